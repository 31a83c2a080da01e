"""The doctor: each failure provoked, its mend printed, and the exit status."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch as th

from sb3_mario import doctor
from sb3_mario.emulator import deadlines
from sb3_mario.emulator import fceux as fceux_module
from tests.processes import descendants
from tests.training.trainer import ROOT, TINY, train

Examine = Callable[..., str]


@pytest.fixture(autouse=True)
def _whole_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "LUA_PATH", "LUA_CPATH", "SB3_MARIO_FCEUX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    threads = th.get_num_threads()
    th.set_num_threads(1)
    yield
    th.set_num_threads(threads)


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Examine:
    """Runs the doctor's fast part, and checks that the one thing named is what fails."""

    def run(*words: str, failed: str | None, status: int = 1) -> str:
        assert doctor.main(["--fast", *words]) == (status if failed else 0)
        printed = capsys.readouterr().out
        lines = re.findall(r"^FAILED  ([^:]+): ", printed, re.MULTILINE)
        assert lines == ([failed] if failed else []), printed
        if failed:
            assert re.search(rf"^FAILED  {failed}: .*\n +-> \S", printed, re.MULTILINE)
            assert "1 check(s) failed." in printed
            assert "game: not started" in printed
        return printed

    return run


def fake_fceux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    program = tmp_path / "fceux"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("SB3_MARIO_FCEUX", str(program))
    return program


def command(*words: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the doctor in a process of its own."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "sb3_mario.doctor", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )


# All is well


@pytest.mark.real_rom
def test_a_whole_installation_passes_and_its_speed_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert doctor.main([]) == 0
    printed = capsys.readouterr().out
    for line in (
        rf"ok  Python: {sys.version_info[0]}\.{sys.version_info[1]}\.\d+, stable-baselines3 2\.",
        r"ok  FCEUX: 2\.\d+\.\d+ \(/",
        r"ok  Lua: modules socket, mime, dkjson, bit",
        r"ok  ROM: Super Mario Bros\. ",
        r"ok  screen: ",
        r"ok  ports: 127\.0\.0\.1 takes connections",
        r"ok  log folder: logs can be written to, [\d.,]+ GB are free",
        r"ok  temporary folder: ",
        r"ok  torch: (cpu|cuda)",
        r"ok  game: runs; [\d,]+ frames a second with pictures, [\d,]+ without",
    ):
        assert re.search(line, printed), line
    assert "Everything that a run needs is there." in printed
    assert list(Path.cwd().iterdir()) == [], "nothing is left behind"


def test_help_and_the_exit_status_of_the_command() -> None:
    result = command("--help")
    assert result.returncode == 0 and "--rom" in result.stdout and "--fast" in result.stdout
    result = command("--fast", "--rom", "/nowhere.nes")
    assert result.returncode == 1 and "FAILED  ROM: " in result.stdout


# FCEUX and its Lua


@pytest.mark.real_rom
def test_a_path_without_fceux(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(fceux_module, "EXTRA_PATH", "/nonexistent")
    printed = examine(failed="FCEUX")
    assert "FCEUX is missing: no program 'fceux' in PATH" in printed
    assert "apt install fceux lua-socket lua-dkjson" in printed


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo cannot open the screen; exit 3", "ended with code 3 and printed: cannot open the"),
        ("echo hello", "does not say that it is FCEUX, but: 'hello"),
        ("echo Starting FCEUX 2.2.3...", "is version 2.2.3, older than 2.6"),
        ("kill -SEGV $$", "ended with code -11"),
        ("exec sleep 60", "did not end within 0.5 seconds"),
    ],
)
def test_a_program_that_is_no_fceux_or_does_not_run(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, says: str
) -> None:
    if "sleep" in body:
        monkeypatch.setattr(deadlines, "SCRIPT_SECONDS", 0.5)
    program = fake_fceux(tmp_path, monkeypatch, body)
    printed = examine(failed="FCEUX")
    assert str(program) in printed and says in printed


@pytest.mark.real_rom
def test_an_fceux_without_lua(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_fceux(tmp_path, monkeypatch, "echo Starting FCEUX 2.6.5...")
    printed = examine(failed="Lua")
    assert "ran no Lua script" in printed and "built without Lua" in printed


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("variable", "missing"), [("LUA_PATH", "socket, mime, dkjson"), ("LUA_CPATH", "socket, mime")]
)
def test_lua_modules_that_are_missing(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, variable: str, missing: str
) -> None:
    monkeypatch.setenv(variable, "/nowhere/?.lua")
    printed = examine(failed="Lua")
    assert f"FCEUX's Lua does not find {missing} (" in printed
    assert "apt install lua-socket lua-dkjson" in printed
    assert f"unset {variable}, which may hide them" in printed


@pytest.mark.real_rom
def test_one_lua_module_that_is_missing(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of the system's Lua modules but one.
    (source,) = {path.parent for path in Path("/usr/share/lua/5.1").glob("socket.lua")}
    for path in source.iterdir():
        if path.name != "dkjson.lua" and path.suffix == ".lua":
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("LUA_PATH", f"{tmp_path}/?.lua")
    assert "does not find dkjson (missing: module 'dkjson' not found" in examine(failed="Lua")


# The game's file


def test_a_rom_that_is_missing(examine: Examine) -> None:
    printed = examine("--rom", "/nowhere/game.nes", failed="ROM")
    assert "there is no file /nowhere/game.nes" in printed
    assert "pass its path" in printed and "gym-super-mario-bros" in printed


def test_a_file_that_is_no_rom(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "game.nes").write_bytes(b"nonsense")
    printed = examine("--rom", "game.nes", failed="ROM")
    assert "is not an iNES file" in printed and "give another file: --rom" in printed


def test_an_unknown_dump_is_a_note(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "game.nes").write_bytes(b"NES\x1a\x02\x01\x01\x00" + bytes(8 + 40 * 1024))
    printed = examine("--rom", "game.nes", failed=None)
    assert re.search(r"note  ROM: game .*an unknown dump, SHA-1 \w{40}", printed)


# The machine


@pytest.mark.real_rom
def test_no_display_is_a_note_and_a_failure_where_a_window_is_wanted(examine: Examine) -> None:
    printed = examine(failed=None)
    assert "note  display: DISPLAY is not set" in printed
    assert "xvfb-run" in examine("--window", failed="display")


@pytest.mark.real_rom
def test_a_display_without_a_server(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":98765")
    printed = examine("--window", failed="display")
    assert "DISPLAY is :98765, but no X server answers there" in printed


@pytest.mark.real_rom
def test_a_display_that_is_there() -> None:
    result = command("--fast", "--window", prefix=("xvfb-run", "-a"))
    assert result.returncode == 0, result.stdout
    assert re.search(r"ok  display: :\d+", result.stdout)


@pytest.mark.real_rom
@pytest.mark.parametrize("missing", ["python-xlib", "Xvfb"])
def test_what_pictures_from_the_screen_need(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    assert "ok  screen: frames='screen' has python-xlib and Xvfb" in examine(failed=None)
    if missing == "Xvfb":
        monkeypatch.setattr(shutil, "which", which_but("Xvfb", shutil.which))
    else:
        monkeypatch.setitem(sys.modules, "Xlib", None)
    assert re.search(rf"note  screen: .*{missing}", examine(failed=None))
    assert missing in examine("--screen", failed="screen")
    monkeypatch.setenv("DISPLAY", ":1")
    with_window = doctor.check_screen(True, window=True)
    assert (with_window.status == "FAILED") == (missing != "Xvfb"), "its own window needs no Xvfb"


def test_a_window_to_take_pictures_of_needs_x11(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert "needs X11, but DISPLAY is not set" in examine("--window", "--screen", failed="screen")


def which_but(hidden: str, which: Callable[..., str | None]) -> Callable[..., str | None]:
    return lambda name, **kwargs: None if name == hidden else which(name, **kwargs)


@pytest.mark.real_rom
def test_a_machine_without_loopback(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refused)
    printed = examine(failed="ports")
    assert "no connection on 127.0.0.1 can be made" in printed and "ip link set lo up" in printed


def test_a_real_machine_without_loopback() -> None:
    # A network of its own, whose loopback interface is down.
    result = command("--fast", prefix=("unshare", "--map-root-user", "--net"))
    if "unshare" in result.stderr:
        pytest.skip(f"no network of our own can be had here: {result.stderr.strip()}")
    assert result.returncode == 1
    assert "FAILED  ports: no connection on 127.0.0.1 can be made" in result.stdout


@pytest.mark.real_rom
@pytest.mark.parametrize("folder", ["a file/logs", "/proc/logs", "closed/logs"])
def test_a_log_folder_that_cannot_be_written_to(
    examine: Examine, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "closed").mkdir(mode=0o500)
    if folder.startswith("closed") and os.geteuid() == 0:
        pytest.skip("everything is open to root")
    printed = examine("--log-folder", folder, failed="log folder")
    assert f"nothing can be written to {folder} (" in printed and "--log-folder DIR" in printed


@pytest.mark.real_rom
def test_a_temporary_folder_that_cannot_be_written_to(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    assert doctor.check_temporary_folder().status == "FAILED"
    assert "TMPDIR=DIR" in doctor.check_temporary_folder().mend
    # FCEUX cannot be tried either, and that says why.
    fceux = next(doctor.check_fceux())
    assert fceux.status == "FAILED" and "/proc/" in fceux.text


def test_no_temporary_folder_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    found = doctor.check_temporary_folder()
    assert found.status == "FAILED" and "No usable temporary directory" in found.text
    assert "set TMPDIR" in found.mend


@pytest.mark.real_rom
def test_little_room_is_a_note(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOWEST_SPACE", shutil.disk_usage("/").total * 2)
    printed = examine(failed=None)
    assert re.search(r"note  log folder: logs .* free\n +-> make room", printed)


@pytest.mark.real_rom
@pytest.mark.parametrize("device", ["warp", "cuda"])
def test_a_device_that_cannot_be_used(examine: Examine, device: str) -> None:
    if device == "cuda" and th.cuda.is_available():
        pytest.skip("there is CUDA here")
    printed = examine("--device", device, failed="torch")
    assert f"the device '{device}' cannot be used" in printed and "--device cpu" in printed


@pytest.mark.real_rom
def test_more_threads_than_cores_are_a_note(examine: Examine) -> None:
    th.set_num_threads((os.cpu_count() or 1) + 1)
    assert re.search(r"note  torch: .* core\(s\)\n +-> set OMP_NUM_THREADS", examine(failed=None))


# The game


@pytest.mark.real_rom
def test_a_game_that_is_too_slow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "LOWEST_SPEED", 10**6)
    monkeypatch.setattr(doctor, "SPEED_SECONDS", 0.1)
    assert doctor.main([]) == 1
    printed = capsys.readouterr().out
    assert re.search(
        r"FAILED  game: runs; .* too slow to train on\n +-> end other programs", printed
    )


def test_a_game_that_is_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "game.nes").write_bytes(b"NES\x1a\x02\x01\x01\x00" + bytes(8 + 40 * 1024))
    assert doctor.main(["--rom", "game.nes"]) == 1
    assert "FAILED  game: it does not run: " in capsys.readouterr().out


# Before a run


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("variables", "words", "says"),
    [
        ({"LUA_PATH": "/nowhere"}, (), "FCEUX's Lua does not find socket, mime, dkjson"),
        ({}, ("--env-kwargs", "window:true"), "DISPLAY is not set"),
    ],
)
def test_train_runs_the_fast_part_before_it_starts_anything(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    words: tuple[str, ...],
    says: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = descendants(os.getpid()).keys()
    assert train("-f", tmp_path / "logs", *TINY, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: ") and says in error and "\n  -> " in error
    assert not (tmp_path / "logs").exists()
    assert descendants(os.getpid()).keys() == before
