"""`sb3_mario.emulator.folders`: a folder stays while its owner lives, and goes after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sb3_mario.emulator import folders
from sb3_mario.emulator.folders import FOLDER_PREFIX, TemporaryFolder, remove_stale_folders
from tests.processes import folders_of

OWNER = """
import sys
from sb3_mario.emulator.folders import TemporaryFolder
folder = TemporaryFolder()
(folder.path / "fceux.log").write_text("left over")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner(temp: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which has made a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temp)},
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def dead_pid() -> int:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def folder_of(owner: subprocess.Popen[bytes]) -> Path:
    assert owner.stdout is not None
    return Path(owner.stdout.readline().decode().strip())


def test_the_folder_of_a_living_process_stays(owner: subprocess.Popen[bytes]) -> None:
    folder = folder_of(owner)
    remove_stale_folders()
    assert (folder / "fceux.log").exists()


def test_it_stays_where_the_living_process_cannot_be_seen(
    owner: subprocess.Popen[bytes], dead_pid: int
) -> None:
    folder = folder_of(owner)
    # As from another container: the name has an id that is nobody's here.
    seen = folder.rename(folder.with_name(f"{FOLDER_PREFIX}{dead_pid}-other"))
    remove_stale_folders()
    assert (seen / "fceux.log").exists()


def test_the_folder_of_a_killed_process_goes(owner: subprocess.Popen[bytes]) -> None:
    folder = folder_of(owner)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert folder.exists()
    remove_stale_folders()
    assert not folder.exists()


def test_it_goes_though_another_process_has_got_its_id(owner: subprocess.Popen[bytes]) -> None:
    folder = folder_of(owner)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    seen = folder.rename(folder.with_name(f"{FOLDER_PREFIX}{os.getpid()}-again"))
    remove_stale_folders()
    assert not seen.exists()


def test_this_process_own_folder_stays_until_it_is_removed() -> None:
    folder = TemporaryFolder()
    remove_stale_folders()
    assert folder.path.exists()
    assert folders_of(os.getpid()) == [folder.path]
    folder.remove()
    assert not folder.path.exists()
    folder.remove()  # a second time is harmless


def test_nobody_else_may_look_into_it() -> None:
    folder = TemporaryFolder()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.remove()


def test_without_locks_the_process_id_decides(
    temp: Path, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_take", lambda _: False)
    mine = TemporaryFolder()
    assert list(mine.path.iterdir()) == [], "no lock that nobody holds"
    stale = temp / f"{FOLDER_PREFIX}{dead_pid}-left"
    stale.mkdir()
    remove_stale_folders()
    assert mine.path.exists() and not stale.exists()
    mine.remove()


def test_a_folder_that_cannot_be_made_leaves_nothing(
    temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(folders, "_make_lock", fail)
    with pytest.raises(OSError, match="the disk is full"):
        TemporaryFolder()
    assert list(temp.iterdir()) == []
