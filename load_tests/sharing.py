"""How a machine with a GPU is best shared out: what a start takes, what reading costs beside the graph, and how many
processes are fastest on one device. `load_tests.gpu_check` puts the tables into its report.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any

from load_tests.bench import wrk
from load_tests.bodies import SLICE_MM, Body, as_npy, digit, digit_png, digits_json, slice_dicom, slice_hu
from load_tests.servers import START_S
from load_tests.serving import Serving, within
from service.bundle import Bundle, current, names
from service.engine.fixed_shapes import Runnable, open_runnable
from service.engine.profile import Tuning
from service.gpus import gpus
from service.limits import Limits
from service.messages import Request
from service.settings import Settings
from service.tasks import BY_PATH

WORKERS = 1, 2, 4
SEVERAL = 20  # connections, of which no worker misses all
DIGITS, CT = "convnet", "ct-denoiser"
SECONDS, TURNS = 1, 15
CONNECTIONS = {DIGITS: 64, CT: 8}
BODIES: dict[str, dict[str, Body]] = {
    DIGITS: {"JSON": digits_json(7), "npy": as_npy(digit(7)), "PNG": digit_png(7)},
    CT: {"npy": as_npy(slice_hu()), "DICOM": slice_dicom()},
}
PATHS = {DIGITS: f"/v1/digits/classify?model={DIGITS}", CT: f"/v1/ct/denoise?model={CT}&spacing_mm={SLICE_MM}"}


def starts(settings: Settings) -> Iterator[dict[str, Any]]:
    """Seconds until one worker is ready, with the models that are always in memory and with all of them."""
    everything = names(settings.models_dir)
    for what, models in (("as usual", ""), ("all in memory", ",".join(everything))):
        before, started = _used(), monotonic()
        with tempfile.TemporaryDirectory() as folder:
            serving = _serving(Path(folder), settings, 1, models).start()
            try:
                ready = monotonic() - started
                loaded = round(serving.level("quartet_loaded_models"))
                yield {"start": what, "s until ready": ready, "in memory": loaded, "GPU MB": _used() - before}
            finally:
                serving.kill()


def readings(settings: Settings) -> Iterator[dict[str, Any]]:
    """What a request takes by its form: milliseconds of a processor to read and write it, of the clock in the graph."""
    limits = Limits(settings.max_rows, settings.max_pixels)
    for name in _there(settings):
        bundle = current(settings.models_dir, name)
        runner = open_runnable(bundle, settings, Tuning(threads=1, max_batch=1))
        for form, body in BODIES[name].items():
            yield {"model": name, "form": form, **_stages(bundle, runner, PATHS[name], body, limits)}


def _stages(bundle: Bundle, runner: Runnable, path: str, body: Body, limits: Limits) -> dict[str, float]:
    """The shortest of several turns."""
    address, _, query = path.partition("?")
    task, manifest, turns = BY_PATH[address], bundle.manifest, list[tuple[float, float, float]]()
    for _ in range(TURNS):
        request = Request(body.content, {b"content-type": body.media_type.encode()}, query.encode())
        begun = process_time()
        prepared = task.prepare(task.read(request, limits), manifest, limits)
        read, started = process_time(), perf_counter()
        outputs = runner.run(prepared.inputs)
        ran, writing = perf_counter(), process_time()
        task.writers[request.choose(prepared.media_types or tuple(task.writers), prepared.why)](
            outputs, prepared.context, manifest
        )
        turns.append((read - begun, ran - started, process_time() - writing))
    shortest = (1e3 * min(turn) for turn in zip(*turns, strict=True))
    return dict(zip(("read", "run", "write"), shortest, strict=True))


def shared(settings: Settings) -> Iterator[dict[str, Any]]:
    """A row for each number of processes that share the device: rates, and its memory."""
    for workers in WORKERS:
        before = _used()
        with tempfile.TemporaryDirectory() as folder:
            serving = _serving(Path(folder), settings, workers, ",".join(_there(settings))).start()
            try:
                within(START_S, partial(_all_ready, serving))
                row: dict[str, Any] = {"workers": workers}
                for name in _there(settings):
                    for form, body in BODIES[name].items():
                        row[f"{name} {form}/s"] = _rate(serving.port, name, body)
                yield row | {"GPU MB": _used() - before}
            finally:
                serving.kill()


def _serving(folder: Path, settings: Settings, workers: int, models: str) -> Serving:
    return Serving(
        folder,
        models_dir=settings.models_dir,
        provider=settings.provider,
        precision=settings.precision,
        workers=workers,
        models=models,
    )


def _all_ready(serving: Serving) -> bool:
    return all(serving.is_ready() for _ in range(SEVERAL))


def _there(settings: Settings) -> list[str]:
    found = settings.models or names(settings.models_dir)
    return [name for name in BODIES if name in found]


def _rate(port: int, name: str, body: Body) -> float | None:
    """Requests a second; None where none was answered in the time."""
    try:
        return wrk.post(f"http://127.0.0.1:{port}{PATHS[name]}", body, CONNECTIONS[name], SECONDS).requests_per_s
    except wrk.LoadError:
        return None


def _used() -> int:
    """Megabytes of all devices."""
    return round(sum(one.used for one in gpus()) / 1e6)
