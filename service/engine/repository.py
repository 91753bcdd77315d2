"""The models that are served: found on disk, verified, replaced, handed out by name and version.

What should be served is written on disk, in each model's `CURRENT` and, for models that an operator has unloaded, in
a file that the workers share; every worker looks there every `QUARTET_WATCH_S`. So all of them converge on the same
versions, and a replaced worker starts with them. Which of them are in memory is up to `residents`.
"""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from service.bundle import Bundle, BundleError, Manifest, current_version, names
from service.bundle.seal import check as check_seal
from service.engine.defaults import Defaults, only
from service.engine.device import DEVICE
from service.engine.loaded_model import LoadedModel
from service.engine.profile import read_profile
from service.engine.refusals import Refusals, Refused, seen_of
from service.engine.residents import Residents
from service.engine.served_model import ServedModel
from service.engine.session import ProviderError
from service.engine.trial import Trials, key_of
from service.engine.trial_process import Verdict
from service.engine.unloaded import Unloaded
from service.errors import LoadFailed, NotReady, UnknownModel, UnknownVersion
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A line of the repository's index."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class Repository:
    """Served models by name.

    Handing out is safe at any time: a version appears, and replaces another, in one assignment.
    """

    def __init__(self, settings: Settings, metrics: Metrics, trials: Trials | None = None) -> None:
        """Without `trials` versions are loaded untried."""
        self.settings, self.metrics, self._trials = settings, metrics, trials
        self.models: dict[str, ServedModel] = {}
        self.residents = Residents(settings.model_memory, lambda: self.models.values(), self._stays, self._fail)
        self.draining = False
        self._profile = read_profile(settings.profile)
        self._settled = self._away = False
        self._found = names(settings.models_dir)  # what the folder held when it was last looked at
        self._defaults = Defaults(settings)
        self._refused = Refusals(metrics)
        self._unloaded = Unloaded(metrics)
        self._changing = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Once every declared model is verified and those that stay are in memory.

        Not while their folder is away, nor while one of them turns out not to load, nor once the GPU is lost.
        """
        return self._settled and not self.draining and not self._away and not DEVICE.lost

    @property
    def state(self) -> str:
        """Why it is not ready."""
        if self.draining:
            return "The service is going down."
        if DEVICE.lost:
            return "The GPU is lost to a process, which has to be started anew."
        if self._away:
            return f"{self.settings.models_dir} is away or empty; what was loaded from it is still served."
        if broken := [name for name in self._refused if name not in self.models]:
            return f"Broken bundles, see the log: {', '.join(broken)}."
        return "Models are being loaded."

    @property
    def room(self) -> int:
        """Bytes that models which are not in memory may come to take; where the settings name all of them, all are."""
        return 0 if self.settings.models else max(0, self.residents.bound - self.residents.held)

    async def load(self) -> None:
        """Serve every declared model. A broken one is logged and leaves the others serving. Raises ProviderError."""
        await self.refresh()
        if not self.models and not self.declared():
            log.error("%s holds no bundle: train a model or set QUARTET_MODELS_DIR", self.settings.models_dir)

    async def watch(self, every_s: float) -> None:
        """Follow what is written on disk, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.refresh()
            except Exception:
                log.exception("looking for new versions failed")

    async def refresh(self) -> None:
        """Bring what is served in line with what is written."""
        found = await asyncio.to_thread(names, self.settings.models_dir)
        away = bool(self.models) and not (set(found) & set(self.settings.models or found))
        if away and not self._away:
            log.error("%s is away or empty: serving what was loaded from it", self.settings.models_dir)
        self._away = away
        if away:  # a volume that is not mounted, perhaps for a moment
            return
        async with self._changing:
            self._found = found
            await asyncio.to_thread(self._defaults.read)
            await asyncio.to_thread(self._unloaded.read)
            for name in set(self.models) - set(self.declared()):
                self._retire(self.models.pop(name))
            for name in set(self._refused) - set(self.declared()):
                del self._refused[name]
            self._defaults.follow(self.models)
            if self._trials is not None and not self._settled:
                await asyncio.to_thread(self._begin_trials, self._trials)
            for name in self._by_turn():
                await self._follow(name)
            for model in list(self.models.values()):
                if self._stays(model):
                    with suppress(BundleError):  # which has been told of
                        await self.residents.bring(model)
            self._defaults.follow(self.models)
            self.models = dict(sorted(self.models.items()))
            await self.residents.trim()
            broken = self._refused.keys() - self.models.keys()
            self._settled = self._settled or (bool(self.models or self._unloaded.names) and not broken)

    async def set_loaded(self, name: str, loaded: bool) -> None:
        """Load or unload a model, here now; in the other workers it comes or goes when they look next.

        Raises UnknownModel when there is no such bundle, LoadFailed when it is broken.
        """
        if not self.settings.models:
            self._found = await asyncio.to_thread(names, self.settings.models_dir)
        if name not in self._known():
            raise UnknownModel(f"Bundles here: {', '.join(self._known()) or 'none'}.", "model")
        self._refused.pop(name, None)
        if self._trials is not None and loaded and name not in self.models:
            await asyncio.to_thread(self._forget_trial, self._trials, name)
        await asyncio.to_thread(self._unloaded.note, name, loaded)
        await self.refresh()
        if loaded and name in self.models:
            with suppress(BundleError):
                await self.residents.bring(self.models[name])
        if loaded and name in self._refused:
            raise LoadFailed(f"{name} {self._refused[name].version} does not load; the log says why.", "model")

    def default(self, kind: str, graph: str | None = None) -> str:
        """The model of a kind, which holds a graph, that answers where a request names none.

        The one that the settings say, else the models folder, else the only one there is.
        Raises NotReady, UnknownModel.
        """
        models = dict(self.models)  # for threads ask, too, while models come and go
        if graph is not None:
            models = {name: model for name, model in models.items() if graph in model.manifest.graphs}
        chosen = self._defaults.of(kind)
        if chosen is None or (graph is not None and chosen not in models):
            chosen = only(models, kind)
        if chosen is not None:
            return chosen
        if not self._settled:
            raise NotReady("Models are being loaded.", "model")
        served = sorted(name for name, model in models.items() if model.manifest.task.kind == kind)
        problem = f"Say which, there are {', '.join(served)}." if served else f"No model of {kind} is served."
        raise UnknownModel(problem, "model")

    async def bring(self, model: ServedModel, deadline: float) -> LoadedModel:
        """The model in memory, for a request. Raises NotReady, DeadlineExceeded."""
        try:
            return await self.residents.bring(model, deadline)
        except (BundleError, ProviderError):
            raise NotReady(_broken(model.manifest.name), "model") from None

    async def load_candidate(self, name: str, version: str) -> ServedModel:
        """A version that is not served, tried as those that are, and in memory. Raises BundleError, ProviderError."""
        seen = await asyncio.to_thread(seen_of, self.settings.models_dir / name / version)
        model = await asyncio.to_thread(self._verified, name, version, seen)
        await self.residents.bring(model)
        return model

    def pick(self, name: str, version: str | None, kind: str | None = None) -> ServedModel:
        """Raises UnknownModel, also when the model does another task than `kind`; UnknownVersion; NotReady."""
        model = self.models.get(name)
        if model is None and name in self.declared():
            raise NotReady(_broken(name) if name in self._refused else f"{name} is being loaded.", "model")
        if model is None or (kind is not None and model.manifest.task.kind != kind):
            models = tuple(self.models.items())  # for threads ask, too, while models come and go
            served = [one for one, other in models if kind in (None, other.manifest.task.kind)]
            raise UnknownModel(f"Served here: {', '.join(served) or 'none'}.", "model")
        if version is not None and version != model.manifest.version:
            if model.candidate and (canary := model.candidate.canary) and canary.manifest.version == version:
                return canary
            raise UnknownVersion(f"Served of {name}: {model.manifest.version}.", "version")
        return model

    def index(self) -> list[Entry]:
        """Every bundle of the folder, served or not."""
        return [entry for name in self._known() for entry in self._entries(name)]

    def manifests(self) -> list[Manifest]:
        return [model.manifest for model in tuple(self.models.values())]

    def declared(self) -> list[str]:
        """The models that should be served."""
        return [name for name in self._known() if name not in self._unloaded.names]

    def _known(self) -> list[str]:
        return list(self.settings.models) or self._found

    def _entries(self, name: str) -> list[Entry]:
        model, refused = self.models.get(name), self._refused.get(name)
        entries = [Entry(name, model.manifest.version, "READY", "")] if model else []
        if refused:
            entries.append(Entry(name, refused.version, "UNAVAILABLE", refused.reason))
        if entries:
            return entries
        unloaded = name in self._unloaded.names
        return [Entry(name, "", "UNAVAILABLE", "unloaded") if unloaded else Entry(name, "", "LOADING", "")]

    def _by_turn(self) -> list[str]:
        """What is declared, those first that other models do not wait for."""
        return sorted(self.declared(), key=lambda name: not self._is_named(name))

    def _is_named(self, name: str) -> bool:
        """Whether the settings or the models folder want it, and not just any model that is there."""
        return name in self.settings.models or self._defaults.has(name)

    def _stays(self, model: ServedModel) -> bool:
        """Whether it is always in memory: it is named, or no other model is of its kind."""
        name, kind = model.manifest.name, model.manifest.task.kind
        return self._is_named(name) or all(
            other.manifest.task.kind != kind for key, other in self.models.items() if key != name
        )

    async def _follow(self, name: str) -> None:
        """Serve the version that `CURRENT` names, unless it is served or known to be broken.

        Where the one before is in memory, the next one is before it takes over.
        """
        version, seen, refused = "", None, self._refused.get(name)
        try:
            version = await asyncio.to_thread(current_version, self.settings.models_dir, name)
            served = self.models.get(name)
            if served is not None and served.manifest.version == version:
                self._refused.pop(name, None)
                return
            seen = await asyncio.to_thread(seen_of, self.settings.models_dir / name / version)
            if refused is not None and (refused.version, refused.seen) == (version, seen):
                return
            model = await asyncio.to_thread(self._verified, name, version, seen)
            if self._is_named(name) or (served is not None and served.loaded is not None):
                await self.residents.bring(model)
        except (BundleError, OSError) as error:
            self._refused.note(name, Refused(version, str(error), seen))
        else:
            self.models[name] = model
            self._refused.pop(name, None)
            self._retire(served)

    async def _fail(self, model: ServedModel, error: Exception) -> None:
        """A version that was verified does not load."""
        name, version = model.manifest.name, model.manifest.version
        if self.models.get(name, model) is not model:  # another one is served by now
            log.info("%s", error)
            return
        seen = await asyncio.to_thread(seen_of, self.settings.models_dir / name / version)
        self._refused.note(name, Refused(version, str(error), seen))
        if self.models.get(name) is model:
            self._retire(self.models.pop(name))
            self._settled = False

    def _begin_trials(self, trials: Trials) -> None:
        """Of all versions at once, for a process takes its time to start."""
        versions: dict[str, Path] = {}
        for name in self._by_turn():
            if name not in self.models and name not in self._refused:
                with suppress(BundleError, OSError):
                    versions.update([self._key_and_folder(name)])
        trials.begin(versions)

    def _forget_trial(self, trials: Trials, name: str) -> None:
        with suppress(BundleError, OSError):
            trials.forget(self._key_and_folder(name)[0])

    def _key_and_folder(self, name: str) -> tuple[str, Path]:
        folder = self.settings.models_dir / name / current_version(self.settings.models_dir, name)
        return key_of(folder, seen_of(folder)), folder

    def _verified(self, name: str, version: str, seen: object) -> ServedModel:
        """Raises BundleError."""
        path, verdict = self.settings.models_dir / name / version, Verdict("")
        check_seal(path, self.settings.bundle_key)
        if self._trials is not None and (verdict := self._trials.verdict(key_of(path, seen), path)).reason:
            raise BundleError(verdict.reason)
        return ServedModel(Bundle(path), self.settings, self.metrics, self._profile, verdict.size)

    def _retire(self, model: ServedModel | None) -> None:
        """A version that was served."""
        if model is not None:
            name, version = model.manifest.name, model.manifest.version
            model.retire()
            self.metrics.forget_old(name, self.models[name].manifest.version if name in self.models else version)
            log.info("%s %s is no longer served", name, version)


def _broken(name: str) -> str:
    return f"{name} does not load: its operator finds the reason in the log."
