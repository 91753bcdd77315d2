"""API keys: who has one may ask, as often as it is good for."""

from pathlib import Path

import pytest

from service.access import Keys, new_key
from service.errors import RateLimited, Unauthorized
from service.settings import SettingsError


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, Path]:
    text, line = new_key("ward-7")
    (tmp_path / "keys").write_text(f"# who may ask\n\n{line}\n")
    return text, tmp_path / "keys"


def test_a_key_opens_the_door_in_either_header(key: tuple[str, Path]) -> None:
    keys = Keys.read(key[1])
    keys.admit({b"authorization": b"Bearer " + key[0].encode()})
    keys.admit({b"x-api-key": key[0].encode()})


@pytest.mark.parametrize(
    "headers", [{}, {b"x-api-key": b"wrong"}, {b"authorization": b"Basic abc"}, {b"x-api-key": b""}]
)
def test_another_key_does_not(key: tuple[str, Path], headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthorized):
        Keys.read(key[1]).admit(headers)


def test_the_file_does_not_hold_the_key(key: tuple[str, Path]) -> None:
    assert key[0] not in key[1].read_text()


def test_a_rate_is_kept(key: tuple[str, Path]) -> None:
    key[1].write_text(key[1].read_text().rstrip() + " 0.001\n")
    keys, headers = Keys.read(key[1]), {b"x-api-key": key[0].encode()}
    keys.admit(headers)
    with pytest.raises(RateLimited):
        keys.admit(headers)


@pytest.mark.parametrize("line", ["name", "name 1234", "two words " + "0" * 64 + " fast"])
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(f"# first\n{line}\n")
    with pytest.raises(SettingsError, match="keys:2 is not"):
        Keys.read(tmp_path / "keys")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="QUARTET_API_KEYS"):
        Keys.read(tmp_path / "nowhere")
