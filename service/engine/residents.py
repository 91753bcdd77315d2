"""Which models are in memory: those that always are, and of the others those asked last, within a bound.

A model is loaded in a thread, once for all who wait for it, and after those that are being loaded: side by side they
would only slow each other down.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from math import inf, isfinite
from time import monotonic, perf_counter

from service.allocator import give_back_now
from service.bundle import BundleError
from service.engine.loaded_model import LoadedModel
from service.engine.served_model import ServedModel
from service.engine.session import ProviderError
from service.errors import DeadlineExceeded, NotReady

log = logging.getLogger(__name__)


class Residents:
    """All methods belong to the event loop's thread."""

    def __init__(
        self,
        bound: int,
        served: Callable[[], Iterable[ServedModel]],
        stays: Callable[[ServedModel], bool],
        failed: Callable[[ServedModel, Exception], Awaitable[None]],
    ) -> None:
        """`bound` counts the bytes of models that do not stay; `failed` hears of those that do not load."""
        self.bound = bound
        self._served, self._stays, self._failed = served, stays, failed
        self._loading: dict[ServedModel, asyncio.Task[LoadedModel]] = {}
        self._one_at_a_time = asyncio.Lock()

    @property
    def held(self) -> int:
        """Bytes of what may leave memory."""
        return sum(model.size for model in self._leaving())

    async def bring(self, model: ServedModel, deadline: float = inf) -> LoadedModel:
        """The model in memory.

        Raises BundleError or ProviderError when it does not load, DeadlineExceeded when the deadline (monotonic clock)
        has passed, NotReady when it passes before the model is there: it is loaded all the same.
        """
        if (loaded := model.use()) is not None:
            return loaded
        left = deadline - monotonic()
        if left <= 0:
            raise DeadlineExceeded("The request's time was up before its model was asked.")
        if model not in self._loading:
            self._loading[model] = asyncio.create_task(self._load(model))
            self._loading[model].add_done_callback(_hear)
        try:
            async with asyncio.timeout(left if isfinite(left) else None) as patience:
                return await asyncio.shield(self._loading[model])
        except TimeoutError:
            if not patience.expired():
                raise
            raise NotReady(f"{model.manifest.name} is being loaded.", "model") from None

    async def trim(self) -> None:
        """Keep the bound, should what was in use have been beyond it. The model asked last stays, whatever its size."""
        if gone := self._make_room(0, None):
            await asyncio.to_thread(_free, gone)

    async def _load(self, model: ServedModel) -> LoadedModel:
        try:
            async with self._one_at_a_time:
                gone = self._make_room(0 if self._stays(model) else model.size, model)
                loaded = await asyncio.to_thread(_exchange, gone, model)
                model.hold(loaded)
                return loaded
        except (BundleError, ProviderError) as error:
            await self._failed(model, error)
            raise
        finally:
            del self._loading[model]

    def _leaving(self) -> list[ServedModel]:
        """What may leave memory, the one asked longest ago first."""
        held = [model for model in self._served() if model.loaded is not None and not self._stays(model)]
        return sorted(held, key=lambda model: model.used_at)

    def _make_room(self, size: int, newcomer: ServedModel | None) -> list[LoadedModel]:
        """Take models out until `size` bytes more are within the bound.

        None that works, nor the newcomer's version before it, which answers until the newcomer does.
        """
        leaving, gone = self._leaving(), list[LoadedModel]()
        beyond = sum(model.size for model in leaving) + size - self.bound
        for model in leaving if newcomer else leaving[:-1]:
            if beyond <= 0:
                break
            replaced = newcomer is not None and model.manifest.name == newcomer.manifest.name
            if replaced or model.loaded is None or model.loaded.is_busy:
                continue
            beyond -= model.size
            gone.append(model.loaded)
            model.let_go()
            model.metrics.evictions += 1
            log.info("%s %s makes room in memory for others", model.manifest.name, model.manifest.version)
        return gone


def _exchange(gone: list[LoadedModel], model: ServedModel) -> LoadedModel:
    _free(gone)
    started = perf_counter()
    loaded = model.load()
    give_back_now()  # what the graph's optimisation took
    seconds, megabytes = perf_counter() - started, model.size / 1e6
    name, version = model.manifest.name, model.manifest.version
    where = f"{loaded.provider} in {loaded.precision}"
    log.info("%s %s ready on %s in %.2f s, %.1f MB", name, version, where, seconds, megabytes)
    if loaded.objection:
        log.warning("%s %s stays at %s: %s", name, version, loaded.precision, loaded.objection)
    return loaded


def _free(gone: list[LoadedModel]) -> None:
    gone.clear()
    give_back_now()


def _hear(task: "asyncio.Task[LoadedModel]") -> None:
    """Of an error that nobody has waited for: it has been logged."""
    if not task.cancelled():
        task.exception()
