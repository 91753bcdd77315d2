"""The models without HTTP: ONNX Runtime in this process."""

from time import perf_counter

from service.bundle import Arrays, Bundle, repeat_rows
from service.engine.session import Session
from service.settings import Settings

RUNS = 16


class RawModel:
    """A bundle's session with `threads` threads, fed with `inputs`, batch first."""

    def __init__(self, bundle: Bundle, inputs: Arrays, threads: int) -> None:
        self.name, self.threads = bundle.manifest.name, threads
        provider = Settings.from_environment().provider  # that of the service, too
        self.inputs, self._session = inputs, Session(bundle, provider, threads)

    def outputs(self) -> Arrays:
        return self._session.run(self.inputs)

    def rows_per_s(self, batch: int, seconds: float) -> float:
        """In batches of `batch` rows, one after the other, for `seconds` or `RUNS` batches if those take longer."""
        inputs = repeat_rows(self.inputs, batch)
        self._session.run(inputs)
        runs, started = 0, perf_counter()
        while (elapsed := perf_counter() - started) < seconds or runs < RUNS:
            self._session.run(inputs)
            runs += 1
        return runs * batch / elapsed
