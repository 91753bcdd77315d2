"""A worker does not start over a server whose insides are not what it is built on."""

from pathlib import Path

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service import preflight
from service.http import insides
from service.settings import Settings, SettingsError


def test_the_server_that_is_installed_has_them() -> None:
    insides.check()


def test_a_method_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, toy_models: Path) -> None:
    monkeypatch.delattr(HttpToolsProtocol, "_start_asgi_task")
    with pytest.raises(
        SettingsError, match=r"uvicorn .* has no HttpToolsProtocol\._start_asgi_task,.*requirements\.txt"
    ):
        preflight.check(Settings(models_dir=toy_models))


def test_an_attribute_that_is_no_longer_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(self: RequestResponseCycle) -> None:
        self.hung_up = False  # type: ignore[attr-defined]

    monkeypatch.setattr(RequestResponseCycle, "__init__", renamed)
    with pytest.raises(SettingsError, match=r"RequestResponseCycle\.disconnected"):
        insides.check()
