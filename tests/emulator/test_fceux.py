"""`sb3_mario.emulator.fceux`: starts, ends, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sb3_mario.emulator import fceux as module
from sb3_mario.emulator.errors import StartError
from sb3_mario.emulator.fceux import Fceux, find_fceux
from tests.conftest import FREE_GAME
from tests.processes import folders_of, is_alive, start_trainer, wait_until_gone


@pytest.fixture
def fake_fceux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in FCEUX's place; the test writes what it does."""
    program = tmp_path / "fceux"
    monkeypatch.setenv("SB3_MARIO_FCEUX", str(program))
    return program


def write_program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.real_rom
def test_close_ends_the_process_and_removes_its_folder(rom: Path) -> None:
    emulator = Fceux(rom)
    assert emulator.is_running()
    assert len(folders_of(os.getpid())) >= 1
    emulator.close()
    assert not is_alive(emulator.pid)
    assert not emulator._home.exists()
    emulator.close()  # a second time is harmless


@pytest.mark.real_rom
def test_several_emulators_run_side_by_side(rom: Path) -> None:
    emulators = [Fceux(rom) for _ in range(3)]
    try:
        assert len({emulator.bridge.port for emulator in emulators}) == 3
        assert len({emulator.bridge.token for emulator in emulators}) == 3
        for emulator in emulators:
            assert emulator.bridge.reset(1, 1).frame is not None
    finally:
        for emulator in emulators:
            emulator.close()


@pytest.mark.real_rom
def test_the_token_is_in_no_command_line_and_no_output(fceux: Fceux) -> None:
    command = Path(f"/proc/{fceux.pid}/cmdline").read_bytes()
    assert b"fceux" in command
    assert fceux.bridge.token.encode() not in command
    assert fceux.bridge.token not in fceux._log.read_text(errors="replace")


@pytest.mark.real_rom
def test_it_listens_on_loopback_only(fceux: Fceux) -> None:
    port = f"{fceux.bridge.port:04X}"
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{port}"]


@pytest.mark.real_rom
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, None])
@pytest.mark.parametrize("where", ["main thread", "other thread"])
def test_no_emulator_outlives_its_trainer(
    rom: Path, sig: signal.Signals | None, where: str
) -> None:
    code = f"""
import time
from sb3_mario.emulator.fceux import Fceux
emulator = Fceux({str(rom)!r})
print(emulator.pid, flush=True)
time.sleep(1 if {sig is None} else 60)
"""
    trainer, pid = start_trainer(code, where)
    assert is_alive(pid)
    if sig is not None:
        trainer.send_signal(sig)
    trainer.wait(30)
    # At once through the kernel; from another thread through the script's idle deadline.
    assert wait_until_gone(pid, 3 if where == "main thread" or sig is None else 15)


def test_what_a_killed_trainer_left_is_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = f"""
import os, signal
from sb3_mario.emulator.fceux import Fceux
emulator = Fceux({str(FREE_GAME)!r})
print(emulator._home, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    trainer = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert trainer.returncode == -signal.SIGKILL
    stale = Path(trainer.stdout.decode().strip())
    assert (stale / "fceux.log").exists()
    Fceux(FREE_GAME).close()
    assert not stale.exists()


def test_a_missing_fceux_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(module, "EXTRA_PATH", "/nonexistent")
    monkeypatch.delenv("SB3_MARIO_FCEUX", raising=False)
    with pytest.raises(StartError, match="apt install fceux lua-socket lua-dkjson"):
        find_fceux()
    monkeypatch.setenv("SB3_MARIO_FCEUX", "/opt/no-such-fceux")
    with pytest.raises(StartError, match="SB3_MARIO_FCEUX=/opt/no-such-fceux"):
        find_fceux()


def test_what_fceux_said_before_it_ended_is_in_the_error(fake_fceux: Path) -> None:
    write_program(fake_fceux, "echo cannot open display; exit 3")
    with pytest.raises(StartError, match=r"(?s)ended at start with code 3.*cannot open display"):
        Fceux("some.nes")


def test_an_fceux_that_never_gets_ready_is_ended(fake_fceux: Path, tmp_path: Path) -> None:
    write_program(fake_fceux, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(StartError, match=r"not ready within 0\.5 seconds"):
        Fceux("some.nes", start_timeout=0.5)
    assert wait_until_gone(int((tmp_path / "pid").read_text()), 3)


def test_a_script_error_reaches_the_user(fake_fceux: Path) -> None:
    write_program(fake_fceux, "echo 'module dkjson not found'; exec sleep 60")
    with pytest.raises(StartError, match="module dkjson not found"):
        Fceux("some.nes", start_timeout=0.5)


def test_a_window_without_a_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(StartError, match="no display"):
        Fceux("some.nes", window=True)


def test_pictures_from_a_window_that_is_not_x11s_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(StartError, match=r"needs X11, but DISPLAY is not set.*window=False"):
        Fceux("some.nes", window=True, screen=True)


def test_a_failed_start_leaves_no_folder(fake_fceux: Path) -> None:
    write_program(fake_fceux, "exit 1")
    before = folders_of(os.getpid())
    with pytest.raises(StartError):
        Fceux("some.nes")
    assert folders_of(os.getpid()) == before


@pytest.mark.real_rom
def test_the_lean_headless_picture_equals_the_whole_one(
    rom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play() -> list[bytes]:
        emulator = Fceux(rom)
        try:
            pictures = []
            state = emulator.bridge.reset(1, 1)
            while not state.ended:  # Mario runs into the first enemy
                assert state.frame is not None
                pictures.append(state.frame.tobytes())
                state = emulator.bridge.step(0x80)
            return pictures
        finally:
            emulator.close()

    lean = play()
    monkeypatch.setattr(module, "HEADLESS_CONFIG", module.CONFIG)
    assert play() == lean
    assert len(set(lean)) > 30
