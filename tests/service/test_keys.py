"""API keys: who has one may ask, as often as it is good for."""

import json
import logging
from pathlib import Path
from time import monotonic, sleep

import pytest

from service.engine.repository import Repository
from service.errors import RateLimited, Unauthorized
from service.http.keys import Keys, new_key
from service.settings import SettingsError
from tests.conftest import lane_over


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, Path]:
    text, line = new_key("ward-7")
    (tmp_path / "keys").write_text(f"# who may ask\n\n{line}\n")
    return text, tmp_path / "keys"


def read(key: tuple[str, Path]) -> Keys:
    return Keys(key[1], key[1].parent)


def test_a_key_opens_the_door_in_either_header(key: tuple[str, Path]) -> None:
    keys = read(key)
    keys.admit({b"authorization": b"Bearer " + key[0].encode()})
    keys.admit({b"x-api-key": key[0].encode()})


@pytest.mark.parametrize(
    "headers", [{}, {b"x-api-key": b"wrong"}, {b"authorization": b"Basic abc"}, {b"x-api-key": b""}]
)
def test_another_key_does_not(key: tuple[str, Path], headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthorized):
        read(key).admit(headers)


def test_the_file_does_not_hold_the_key(key: tuple[str, Path]) -> None:
    assert key[0] not in key[1].read_text()


def limited(key: tuple[str, Path], rate: str) -> dict[bytes, bytes]:
    """Headers with the key, which is good for `rate` from now on."""
    key[1].write_text(key[1].read_text().rstrip() + f" {rate}\n")
    return {b"x-api-key": key[0].encode()}


def test_a_rate_is_kept_and_a_refusal_says_when_to_come_again(key: tuple[str, Path]) -> None:
    headers = limited(key, "0.01")
    keys = read(key)
    keys.admit(headers)
    with pytest.raises(RateLimited) as refused:
        keys.admit(headers)
    assert refused.value.retry_after_s == 100


def test_a_second_s_worth_may_come_at_once(key: tuple[str, Path]) -> None:
    headers = limited(key, "20")
    keys, started = read(key), monotonic()
    admitted = sum(admits(keys, headers) for _ in range(100))
    assert 20 <= admitted <= 20 + 20 * (monotonic() - started)


def test_a_rate_comes_back_with_time(key: tuple[str, Path]) -> None:
    headers = limited(key, "20")
    keys = read(key)
    while admits(keys, headers):
        pass
    sleep(0.06)
    assert admits(keys, headers)


def test_processes_with_a_folder_in_common_count_together(key: tuple[str, Path], tmp_path: Path) -> None:
    headers = limited(key, "0.01")
    (tmp_path / "run_in_thread").mkdir()
    one, another, stranger = (Keys(key[1], shared) for shared in (tmp_path, tmp_path, tmp_path / "run_in_thread"))
    one.admit(headers)
    assert not admits(another, headers)
    assert admits(stranger, headers)


def admits(keys: Keys, headers: dict[bytes, bytes]) -> bool:
    try:
        keys.admit(headers)
    except RateLimited:
        return False
    return True


@pytest.mark.parametrize("line", ["name", "name 1234", "name " + "0" * 64 + " 0.0", "two words " + "0" * 64 + " fast"])
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(f"# first\n{line}\n")
    with pytest.raises(SettingsError, match="keys:2 is not"):
        Keys(tmp_path / "keys", tmp_path)


def test_a_key_that_is_taken_out_of_the_file_opens_nothing_and_a_new_one_does(key: tuple[str, Path]) -> None:
    keys, (another, line) = read(key), new_key("ward-8")
    key[1].write_text(line)
    keys.look()
    keys.admit({b"x-api-key": another.encode()})
    with pytest.raises(Unauthorized):
        keys.admit({b"x-api-key": key[0].encode()})


@pytest.mark.parametrize("broken", ["ward-7 123", None], ids=["broken", "gone"])
def test_the_old_keys_hold_while_the_file_is_broken_and_it_is_said_once(
    key: tuple[str, Path], broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    keys, before = read(key), key[1].read_text()
    if broken is None:
        key[1].unlink()
    else:
        key[1].write_text(broken)
    for _ in range(3):
        keys.look()
    keys.admit({b"x-api-key": key[0].encode()})
    (record,) = caplog.records
    assert "the API keys read before stay valid" in record.message
    key[1].write_text(before)
    keys.look()
    keys.admit({b"x-api-key": key[0].encode()})


@pytest.mark.parametrize("name", ["bob smith", "", "#bob", "b" * 65, "bob\n"])
def test_a_key_is_made_only_for_a_name_that_the_file_may_hold(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the name of a key"):
        new_key(name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="QUARTET_API_KEYS"):
        Keys(tmp_path / "nowhere", tmp_path)


def test_the_log_knows_whose_key_asked(
    repository: Repository, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    key, line = new_key("pipeline-7")
    (tmp_path / "keys").write_text(line)
    lane = lane_over(repository, access_log="all", api_keys=tmp_path / "keys")
    lane("POST", "/v1/digits/classify", headers={"x-api-key": key})
    (told,) = [json.loads(record.message) for record in caplog.records if record.name == "service.access"]
    assert told["key"] == "pipeline-7"
    assert key not in caplog.text
