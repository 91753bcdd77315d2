"""How each model is run on this machine: what `QUARTET_PROFILE` says, which `python -m service tune` wrote."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.bundle import MAIN, Bundle
from service.engine.costs import batch_sizes
from service.engine.session import CPU, CUDA, SHORT
from service.settings import SettingsError

ON_DEVICE, HERE = SHORT[CUDA], SHORT[CPU]
# On a GPU the next batch is copied while one runs, and a row alone leaves most of it idle.
SIDE_BY_SIDE, LEAST_BATCH = 2, 8


class Tuning(BaseModel):
    """How one model is run. On a GPU batches are filled up to one of its `buckets`; without: 1, 2, 4, ... rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(ge=1)
    instances: int = Field(default=1, ge=1)
    max_batch: int = Field(ge=1)
    buckets: tuple[int, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        known = self.buckets
        if known and (list(known) != sorted(set(known)) or known[0] < 1 or known[-1] != self.max_batch):
            raise ValueError("buckets must grow from 1 on, and the last must be max_batch")
        return self

    @property
    def filled_to(self) -> tuple[int, ...]:
        return self.buckets or tuple(batch_sizes(self.max_batch))


class Measurement(BaseModel):
    """What a way to run a model comes to: `latency_ms` and the processor time of all threads are those of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tuning: Tuning
    rows_per_s: float
    latency_ms: float
    cpu_ms: float


class Tunings(BaseModel):
    """Under one provider: by model, what they were chosen from, and the machine that it was measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str = ""
    models: dict[str, Tuning] = {}
    measured: dict[str, list[Measurement]] = {}


class Profile(BaseModel):
    """By the provider's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    providers: dict[str, Tunings] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_one(cls, given: Any) -> Any:
        """Profiles once knew one machine and no provider."""
        return {"providers": {HERE: given}} if isinstance(given, dict) and "models" in given else given

    def of(self, provider: str) -> Tunings:
        return self.providers.get(provider, Tunings())

    def tuning(self, name: str, provider: str) -> Tuning | None:
        return self.of(provider).models.get(name)


def read_profile(path: Path | None) -> Profile:
    """Raises SettingsError when the file is missing or is no profile."""
    if path is None:
        return Profile()
    try:
        return Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"QUARTET_PROFILE: {path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise SettingsError(
            f"QUARTET_PROFILE: {path}: {where}{first['msg']}; write it anew with `python -m service tune`"
        ) from None


def usual(bundle: Bundle, threads: int, provider: str) -> Tuning:
    """Where no profile says anything."""
    max_batch = bundle.manifest.graphs[MAIN].max_batch
    if provider != ON_DEVICE:
        return Tuning(threads=threads, max_batch=max_batch)
    return Tuning(threads=threads, instances=SIDE_BY_SIDE, max_batch=max(max_batch, LEAST_BATCH))
