"""A version that is served: what is known of it, and its graphs once they are in memory."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol, TypeVar

from service.bundle import Arrays, Bundle, BundleError
from service.engine.batcher import Job
from service.engine.loaded_model import LoadedModel
from service.engine.precision import precision_of
from service.engine.profile import Profile
from service.engine.session import ProviderError, provider_of
from service.metrics import Metrics
from service.settings import Settings
from service.stage_pool import Caller
from service.watch import Watch

T = TypeVar("T")
Listener = Callable[[Job, Arrays, Arrays], None]  # of what was asked: the job, its inputs as they came, its outputs
Finish = Callable[["ServedModel", Listener | None], Awaitable[T]]

LAYOUTS = 3  # times a graph's file: its weights, and in the layout of the kernels. Measured are 2 to 5


class Candidate(Protocol):
    """A version that is tried on the requests of the one that is served."""

    @property
    def canary(self) -> "ServedModel | None":
        """The version, where it answers clients."""

    async def answer(self, caller: Caller, finish: Finish[T]) -> T:
        """What `finish` gives for the version that is to answer this caller."""


class ServedModel:
    """Its files are verified; its graphs are loaded when somebody asks for them, and may leave memory again.

    They come and go on the event loop; only `load` itself is for a thread.
    """

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics, profile: Profile, size: int = 0) -> None:
        """`size` is the bytes that its sessions take; 0: nobody has measured it. Raises BundleError."""
        self.bundle, self.manifest, self.card = bundle, bundle.manifest, bundle.card
        self.metrics = metrics.model(self.manifest.name, self.manifest.version)
        tuned = profile.tuning(self.manifest.name, provider_of(settings.provider))
        self.watch = self.metrics.watch = Watch(self.manifest, settings.drift_window_s)
        self.size = (size or LAYOUTS * bundle.graphs_size) * (tuned.instances if tuned else 1)
        self.loaded: LoadedModel | None = None
        self.candidate: Candidate | None = None
        self.used_at = perf_counter()
        self._settings, self._profile, self._retired = settings, profile, False

    @property
    def provider(self) -> str:
        """Where it runs, or will as far as is known."""
        return provider_of(self._settings.provider) if self.loaded is None else self.loaded.provider

    @property
    def precision(self) -> str:
        """In which it runs, or will as far as is known."""
        return precision_of(self.manifest, self._settings) if self.loaded is None else self.loaded.precision

    def use(self) -> LoadedModel | None:
        """Its graphs, for a request, where they are in memory."""
        self.used_at = perf_counter()
        return self.loaded

    def load(self) -> LoadedModel:
        """Verify the files once more, run every graph. Raises BundleError, ProviderError. Call it in a thread."""
        try:
            self.bundle.verify()
            return LoadedModel(self.bundle, self._settings, self.metrics, self._profile, self.watch)
        except (BundleError, ProviderError):
            raise
        except Exception as error:
            raise BundleError(f"{self.bundle.path} does not load: {type(error).__name__}: {error}") from error

    def hold(self, loaded: LoadedModel) -> None:
        self.loaded, self.used_at = loaded, perf_counter()
        if not self._retired:
            self.metrics.gauges = loaded.gauges

    def let_go(self) -> None:
        """Of what is in memory: it is freed with the last who holds it."""
        self.loaded = self.metrics.gauges = None

    def retire(self) -> None:
        """It is no longer served. Requests in flight still hold it, and it goes with the last of them."""
        self._retired = True
        if self.metrics.watch is self.watch:  # else the same version is served anew
            self.metrics.watch = self.metrics.gauges = None
