"""The folder that workers share: whose it must be, and what is cleared away."""

import os
from pathlib import Path

import pytest

from service.shared_folder import ensure, folder_of_siblings, new_folder

GONE = f"quartet-{2**22 + 1}-1700000000"  # Linux gives no process so high an id


def test_what_those_that_are_gone_shared_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / GONE).mkdir()
    (tmp_path / GONE / "1.json").write_text("{}")
    alive = tmp_path / f"quartet-{os.getpid()}-1700000000"
    alive.mkdir()
    own = folder_of_siblings(tmp_path)
    assert set(tmp_path.iterdir()) == {alive, own}


@pytest.mark.parametrize("name", ["quartet-model-cache", "quartet-1-", f"{GONE}-kept", f"quartet-{'9' * 30}-1"])
def test_a_folder_with_another_kind_of_name_is_none_of_its_business(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert new_folder(tmp_path) is not None
    assert (tmp_path / name).is_dir()


def test_a_new_folder_is_closed_to_others_and_called_as_nobody_can_guess(tmp_path: Path) -> None:
    one, other = new_folder(tmp_path), new_folder(tmp_path)
    assert one is not None
    assert one != other
    assert one.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path) -> None:
    folder = folder_of_siblings(tmp_path)
    assert folder is not None
    folder.chmod(0o777)
    assert folder_of_siblings(tmp_path) is None
    with pytest.raises(PermissionError):
        ensure(folder)


def test_a_link_to_a_folder_is_not_used(tmp_path: Path) -> None:
    folder = folder_of_siblings(tmp_path)
    assert folder is not None
    folder.rename(tmp_path / "run_in_thread")
    folder.symlink_to(tmp_path / "run_in_thread")
    assert folder_of_siblings(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    folder = folder_of_siblings(tmp_path)
    assert folder is not None
    os.chown(folder, 65534, 65534)
    assert folder_of_siblings(tmp_path) is None


def test_without_a_place_for_it_there_is_none(tmp_path: Path) -> None:
    assert new_folder(tmp_path / "missing") is None
    assert folder_of_siblings(tmp_path / "missing") is None
