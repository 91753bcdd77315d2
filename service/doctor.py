"""What is installed, what the machine gives, and whether the bundles are whole: `python -m service doctor`."""

import importlib.metadata
import platform
import socket
from collections.abc import Iterator

import psutil

from service.bundle import BundleError, current, defaults_of, names
from service.engine.session import providers_of
from service.preflight import check
from service.quota import cpu_quota
from service.settings import Settings, SettingsError

LIBRARIES = "bentoml", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "pydicom", "uvicorn"
PORT = 3000


def examine(port: int = PORT) -> bool:
    """Print what was found, a line each. False when the service could not start, or a bundle is broken."""
    troubles = []
    for topic, text, sound in findings(port):
        print(f"{'ok  ' if sound else 'BAD '} {topic:12} {text}", flush=True)
        if not sound:
            troubles.append(topic)
    return not troubles


def findings(port: int) -> Iterator[tuple[str, str, bool]]:
    """Topic, what was found, and whether it is as it should be."""
    yield "python", platform.python_version(), True
    yield "libraries", ", ".join(_versions()), True
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        yield "settings", str(error), False
        return
    yield from _machine(settings)
    yield from _port(port)
    try:
        check(settings)
        yield "settings", "as they should be", True
    except Exception as error:  # whatever would end the service at its start
        yield "settings", str(error), False
    yield from _bundles(settings)


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _machine(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    yield "processor", f"{cpu_quota()} of {psutil.cpu_count()} cores; {settings.processes} workers", True
    memory = psutil.virtual_memory()
    yield "memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free", memory.available > 2**30
    try:
        yield "provider", ", ".join(str(one) for one in providers_of(settings.provider)), True
    except Exception as error:  # a GPU that is asked for and not there
        yield "provider", str(error), False


def _port(port: int) -> Iterator[tuple[str, str, bool]]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            yield "port", f"{port} is free", True
        except OSError as error:
            yield "port", f"{port}: {error.strerror}; choose another with --port, or this is the service itself", True


def _bundles(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Whether each bundle holds what its manifest pins. Its answers are looked at when the service loads it."""
    folder = settings.models_dir
    if not folder.is_dir():
        return
    for name in settings.models or names(folder):
        try:
            bundle = current(folder, name)
            yield "bundle", f"{name} {bundle.manifest.version}, {bundle.manifest.task.kind}", True
        except BundleError as error:
            yield "bundle", f"{name}: {error}", False
    try:
        defaults = defaults_of(folder) | settings.defaults
        yield "defaults", ", ".join(f"{kind}: {name}" for kind, name in sorted(defaults.items())), True
    except BundleError as error:
        yield "defaults", str(error), False
