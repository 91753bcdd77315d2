"""What of uvicorn's insides is overridden or read here, looked for before a worker starts.

None of it is promised by uvicorn: another version may name it otherwise, and bounds would silently be gone.
"""

from importlib.metadata import version

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.settings import SettingsError

USED: dict[type, str] = {
    HttpToolsProtocol: """
        config connections cycle flow headers loop parser pipeline scope tasks timeout_keep_alive
        timeout_keep_alive_task transport connection_made connection_lost data_received on_message_begin on_url
        on_header on_headers_complete on_body on_message_complete on_response_complete pause_writing resume_writing
        send_400_response timeout_keep_alive_handler _should_upgrade _start_asgi_task _unset_keepalive_if_required
        _unsupported_upgrade_warning
    """,
    RequestResponseCycle: """
        body disconnected flow keep_alive message_event more_body on_response response_complete scope transport
    """,
    FlowControl: "drain pause_reading resume_reading resume_writing write_paused",
}


def check() -> None:
    """Raises SettingsError unless the uvicorn that is installed has all that is used."""
    missing = [
        f"{owner.__name__}.{name}" for owner, names in USED.items() for name in names.split() if not _has(owner, name)
    ]
    if "auto" not in HTTP_PROTOCOLS:
        missing.append("HTTP_PROTOCOLS['auto']")
    if missing:
        raise SettingsError(
            f"uvicorn {version('uvicorn')} has no {', '.join(missing)}, which connections are built on: "
            "install the version that requirements.txt names"
        )


def _has(owner: type, name: str) -> bool:
    """Whether the class has it, or what makes its instances speaks of it."""
    return hasattr(owner, name) or name in owner.__init__.__code__.co_names  # type: ignore[misc]
