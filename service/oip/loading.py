"""The load call: a model comes back as `CURRENT` names it, or one of its versions is promoted first."""

from typing import Any

from service.engine.repository import Repository
from service.errors import InvalidValue
from service.release import Release
from service.releases import Promotion, checked, on_disk

PARAMETERS = "parameters"


async def load(repository: Repository, name: str, parameters: object) -> None:
    """With a version among the parameters that one is promoted, as the route of releases does it.

    Raises InvalidValue, UnknownModel, ReleaseRefused, LoadFailed.
    """
    if parameters:
        order = promotion_of(parameters)
        if not repository.settings.models or name in repository.settings.models:  # others are unknown to `set_loaded`
            await on_disk(repository.settings.models_dir, name, lambda release: _promote(release, order))
    await repository.set_loaded(name, True)


def promotion_of(parameters: object) -> Promotion:
    """Raises InvalidValue."""
    if not isinstance(parameters, dict):
        raise InvalidValue("Must be an object.", PARAMETERS)
    if unknown := parameters.keys() - Promotion.model_fields:
        there = ", ".join(Promotion.model_fields)
        raise InvalidValue(f"Unknown: a load takes {there}, and else is as the bundle has it.", _field(min(unknown)))
    order = checked(Promotion, parameters, PARAMETERS)
    if not order.version:
        raise InvalidValue("Say which version should be served.", _field("version"))
    return order


def _promote(release: Release, order: Promotion) -> None:
    """Nothing where it is served already, for a load may be repeated."""
    if order.version != release.served:
        release.promote(order.version, order.who, order.reason, force=order.force)


def _field(name: Any) -> str:
    return f"{PARAMETERS}.{name}"
