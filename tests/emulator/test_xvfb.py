"""`sb3_mario.emulator.xvfb`: private, and gone when nobody needs it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from mss import MSS, ScreenShotError

from sb3_mario.emulator.errors import StartError
from sb3_mario.emulator.xvfb import Xvfb
from tests.processes import is_alive, start_trainer, wait_until_gone


@pytest.fixture
def xvfb(tmp_path: Path) -> Iterator[Xvfb]:
    made = Xvfb(tmp_path)
    yield made
    made.close()


def test_only_who_has_its_authority_file_may_connect(
    xvfb: Xvfb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setenv("XAUTHORITY", str(tmp_path / "empty"))
    with xvfb.authorized():
        client = MSS(display=xvfb.display)
    with pytest.raises(ScreenShotError):
        MSS(display=xvfb.display)
    client.close()
    assert os.environ["XAUTHORITY"] == str(tmp_path / "empty")


def test_the_environment_is_as_before_when_there_was_no_authority(
    xvfb: Xvfb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XAUTHORITY", raising=False)
    with xvfb.authorized():
        assert os.environ["XAUTHORITY"] == str(xvfb.authority)
    assert "XAUTHORITY" not in os.environ


def test_several_have_displays_of_their_own(xvfb: Xvfb, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Xvfb(tmp_path / "second")
    try:
        assert second.display != xvfb.display
    finally:
        second.close()


def test_it_ends_at_close_and_with_its_last_client(tmp_path: Path) -> None:
    for last_client in (False, True):
        xvfb = Xvfb(tmp_path)
        with xvfb.authorized():
            client = MSS(display=xvfb.display)
        if last_client:
            client.close()
            assert xvfb._process.wait(5) is not None
        xvfb.close()
        assert xvfb._process.poll() is not None
        xvfb.close()  # a second time is harmless
        if not last_client:
            with contextlib.suppress(ScreenShotError):
                client.close()


def test_what_xvfb_said_before_it_ended_is_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "Xvfb"
    program.write_text("#!/bin/sh\necho cannot open the frame buffer >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(StartError, match=r"ended at start.*cannot open the frame buffer"):
        Xvfb(tmp_path)


def test_one_that_cannot_be_started_is_named_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "Xvfb"
    program.write_bytes(b"no program of any kind")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # without setpriv, which could be started
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(StartError, match=f"{program}, the private display, cannot be started"):
        Xvfb(tmp_path)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_one_whose_authority_file_cannot_be_finished_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    write = Xvfb._write_authority

    def full_disk(self: Xvfb, number: str, cookie: bytes) -> None:
        if number:
            started.append(self._process.pid)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, number, cookie)

    monkeypatch.setattr(Xvfb, "_write_authority", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Xvfb(tmp_path)
    assert wait_until_gone(started[0], 3)


def test_one_that_never_gets_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "Xvfb"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid; exec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("sb3_mario.emulator.xvfb.START_SECONDS", 0.5)
    with pytest.raises(StartError, match=r"took over 0\.5 seconds"):
        Xvfb(tmp_path)
    assert wait_until_gone(int((tmp_path / "pid").read_text()), 3)


@pytest.mark.real_rom
@pytest.mark.parametrize("where", ["main thread", "other thread"])
def test_no_display_outlives_its_trainer(rom: Path, where: str) -> None:
    code = f"""
import time
from sb3_mario.emulator import deadlines, fceux
deadlines.ALONE_SECONDS = 1
emulator = fceux.Fceux({str(rom)!r}, screen=True)
print(emulator._xvfb._process.pid, flush=True)
time.sleep(60)
"""
    trainer, pid = start_trainer(code, where)
    assert is_alive(pid)
    trainer.send_signal(signal.SIGKILL)
    trainer.wait(30)
    # At once through the kernel; from another thread when FCEUX, its last client, has gone.
    assert wait_until_gone(pid, 3 if where == "main thread" else 6)
