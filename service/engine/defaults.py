"""Which model answers for a kind where a request names none."""

import logging
from collections.abc import Mapping

from service.bundle import BundleError, defaults_of
from service.engine.served_model import ServedModel
from service.settings import Settings

log = logging.getLogger(__name__)


class Defaults:
    """What the settings say, else what `DEFAULTS` in the models folder does.

    A model that `DEFAULTS` names anew answers once it is in memory, and until then the one that answered before.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises BundleError for a file that says something else."""
        self._folder, self._set = settings.models_dir, settings.defaults
        self._written, self._complaint = defaults_of(settings.models_dir), ""
        self._followed = self._written  # by kind, what of it holds
        self._kept: dict[str, str] = {}  # of these, what held before and holds on

    def of(self, kind: str) -> str | None:
        return self._set.get(kind) or self._followed.get(kind)

    def has(self, name: str) -> bool:
        """Whether the model answers for some kind, or will."""
        return any(name in one.values() for one in (self._set, self._followed, self._written))

    def read(self) -> None:
        """Look at the file: call it in a thread. One that has become wrong is told of once, and its last words hold."""
        try:
            self._written, self._complaint = defaults_of(self._folder), ""
        except BundleError as error:
            if self._complaint != (complaint := str(error)):
                log.error("%s", complaint)
            self._complaint = complaint

    def follow(self, models: Mapping[str, ServedModel]) -> None:
        """Go by what was read, as far as `models`, those that are served, can answer."""
        kept = {
            kind: before
            for kind, name in self._written.items()
            if not _answers(models.get(name)) and (before := self._before(kind, models)) not in (None, name)
        }
        for kind in kept.keys() - self._kept.keys():
            log.warning("DEFAULTS names %s, not served yet: %s answers for it", self._written[kind], kept[kind])
        self._followed, self._kept = self._written | kept, kept

    def _before(self, kind: str, models: Mapping[str, ServedModel]) -> str | None:
        """Who answered for the kind: the one that was named, if it is still served, or the only one there was."""
        if kind in self._followed:
            return self._followed[kind] if self._followed[kind] in models else None
        return only(models, kind)


def only(models: Mapping[str, ServedModel], kind: str) -> str | None:
    """The model of this kind, where there is one and no other."""
    of_kind = [name for name, model in models.items() if model.manifest.task.kind == kind]
    return of_kind[0] if len(of_kind) == 1 else None


def _answers(model: ServedModel | None) -> bool:
    return model is not None and model.loaded is not None
