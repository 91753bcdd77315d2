"""What is looked at before a worker starts: who fails once the server runs is started again and again."""

import io
import os
import resource
import socket
import ssl
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from errno import EADDRINUSE
from multiprocessing import get_context
from pathlib import Path

import psutil

from service.bundle import DEFAULTS, BundleError, current, defaults_of, names
from service.bundle.seal import public_key
from service.engine.session import Session, providers_of
from service.http import insides
from service.http.connection import OTHER_FILES
from service.http.keys import parsed_lines, read_text
from service.settings import Settings, SettingsError

SQLITE = b"SQLite format 3\0"


def check(settings: Settings) -> None:
    """Raises SettingsError or ProviderError unless what the settings speak of is there, and the server's insides."""
    insides.check()
    _check_open_files()
    if not settings.models_dir.is_dir():
        raise SettingsError(
            f"QUARTET_MODELS_DIR: {settings.models_dir} is no folder; `quartet models fetch ADDRESS` gets the models of"
            " a release archive"
        )
    if missing := set(settings.models) - set(names(settings.models_dir)):
        raise SettingsError(f"QUARTET_MODELS: {settings.models_dir} holds no bundle of {min(missing)}")
    _check_defaults(settings)
    if settings.api_keys is not None:
        parsed_lines(settings.api_keys, read_text(settings.api_keys))
    if settings.grpc_port:
        _check_port(settings.grpc_host.strip("[]"), settings.grpc_port)
    _check_certificate(settings)
    _check_bundle_key(settings)
    _check_feedback(settings)
    _check_provider(settings)


def _check_open_files() -> None:
    """Whether the limit on them leaves any for connections: else each would be refused."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit <= OTHER_FILES:
        raise SettingsError(
            f"the limit on open files, {limit}, leaves none for connections: `ulimit -n 4096` before it"
        )


def _check_defaults(settings: Settings) -> None:
    """Whether the models that answer where none is named are there."""
    try:
        written = defaults_of(settings.models_dir)
    except BundleError as error:
        raise SettingsError(str(error)) from None
    there = settings.models or names(settings.models_dir)
    if missing := set(settings.defaults.values()) - set(there):
        raise SettingsError(f"QUARTET_DEFAULTS: {min(missing)} is not served")
    if not settings.models and (missing := set(written.values()) - set(there)):
        raise SettingsError(f"{settings.models_dir / DEFAULTS}: there is no bundle of {min(missing)}")
    for kind, name in settings.defaults.items():
        with suppress(BundleError):  # of one that is broken, which is said when it is loaded
            found = current(settings.models_dir, name).manifest.task.kind
            if found != kind:
                raise SettingsError(f"QUARTET_DEFAULTS: {name} is for {found}, not for {kind}")


def _check_provider(settings: Settings) -> None:
    """Whether it starts, which only a session shows. It has a process of its own: this one would keep GPU memory."""
    providers_of(settings.provider)
    if settings.provider not in ("cpu", "auto"):
        with ProcessPoolExecutor(1, get_context("spawn")) as child:
            child.submit(_try_provider, settings).result()


def _try_provider(settings: Settings) -> None:
    """Raises ProviderError. A bundle that is broken says nothing of it."""
    for name in settings.models or names(settings.models_dir):
        with suppress(BundleError):
            Session(current(settings.models_dir, name), settings.provider, 1)
            return


def _check_certificate(settings: Settings) -> None:
    """Whether the two belong together: gRPC would listen all the same, and refuse every handshake."""
    certificate, key = settings.grpc_certificate, settings.grpc_private_key
    if (certificate is None) != (key is None):
        raise SettingsError("QUARTET_GRPC_CERTIFICATE and QUARTET_GRPC_PRIVATE_KEY go together: set both or none")
    if certificate is not None and key is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"QUARTET_GRPC_CERTIFICATE: {certificate} with {key}: {error}") from None


def _check_bundle_key(settings: Settings) -> None:
    """Whether it is one: with anything else no bundle would be served."""
    try:
        if settings.bundle_key is not None:
            public_key(settings.bundle_key)
    except BundleError as error:
        raise SettingsError(f"QUARTET_BUNDLE_KEY: {error}") from None


def _check_feedback(settings: Settings) -> None:
    """Whether a file may hold feedback. A database elsewhere may come later."""
    place = settings.feedback.get_secret_value() if settings.feedback else ""
    if not place or "://" in place:
        return
    file = Path(place)
    if not (os.access(file.parent, os.W_OK | os.X_OK) and file.parent.is_dir()):
        raise SettingsError(f"QUARTET_FEEDBACK: {file.parent} is no folder that the service may write to")
    try:
        with file.open("rb") if file.exists() else io.BytesIO() as opened:
            begins = opened.read(len(SQLITE))
    except OSError as error:
        raise SettingsError(f"QUARTET_FEEDBACK: {file} cannot be read: {error.strerror}") from None
    if begins not in (b"", SQLITE):
        raise SettingsError(f"QUARTET_FEEDBACK: {file} is another file, not one that the service has made")


def _check_port(host: str, port: int) -> None:
    """Whether gRPC may listen there: nobody does, or another worker of the same server."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        if error.errno != EADDRINUSE or not _is_shared(port):
            raise SettingsError(f"QUARTET_GRPC_PORT: cannot listen on {host}:{port}: {error.strerror}") from None


def _is_shared(port: int) -> bool:
    """Whether another process with the same parent listens there."""
    return any(
        one.laddr.port == port and one.status == psutil.CONN_LISTEN
        for sibling in psutil.Process(os.getppid()).children()
        if sibling.pid != os.getpid()
        for one in sibling.net_connections("tcp")
    )
