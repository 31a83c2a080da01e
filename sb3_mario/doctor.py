"""Checks that everything a run needs is there: ``python -m sb3_mario.doctor``.

Each line tells what was found; below what is not as it must be stands the mend. ``train.py`` runs
the fast part before it starts anything.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch as th
from stable_baselines3.common.utils import get_device

from sb3_mario.emulator.errors import EmulatorError, StartError
from sb3_mario.emulator.fceux import NO_X11, Fceux, find_fceux, run_script
from sb3_mario.game.levels import Level
from sb3_mario.game.roms import Rom, RomError, find_rom
from sb3_mario.game.selftest import SelfTestError, self_test
from sb3_mario.resources import lua_bridge_dir

PACKAGES: Final = ("stable-baselines3", "gymnasium", "torch", "websockets", "mss")
OLDEST_FCEUX: Final = (2, 6)  # 2.6.5 is the version that the tests run on
SPEED_SECONDS: Final = 1.5
LOWEST_SPEED: Final = 120  # frames a second, twice the console's
LOWEST_SPACE: Final = 2 * 10**9  # bytes; a run's checkpoints with their replay take about 0.5e9

Status: TypeAlias = Literal["ok", "note", "FAILED"]

_INSTALL_FCEUX: Final = "install it: `apt install fceux lua-socket lua-dkjson` (Debian, Ubuntu)"


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        name: What was checked.
        status: ``"ok"``; ``"note"``: not everything works, a run does; ``"FAILED"``.
        text: What there is, or is not.
        mend: What to do about it, where the status is not ``"ok"``.
    """

    name: str
    status: Status
    text: str
    mend: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a run would use.

    Attributes:
        rom: Path of the ROM; None for the one that is found.
        log_folder: Where it writes; None where that is seen to elsewhere.
        device: torch's device.
        window: Whether FCEUX's window is to be shown.
        screen: Whether pictures are to be taken from the screen.
    """

    rom: str | None = None
    log_folder: Path | None = Path("logs")
    device: str = "auto"
    window: bool = False
    screen: bool = False


def fast_checks(wanted: Wanted) -> Iterator[Finding]:
    """Check all that takes no time; no game is started."""
    yield from check_fceux()
    yield check_rom(wanted.rom)
    yield check_display(wanted.window)
    yield check_screen(wanted.screen, window=wanted.window)
    yield check_port()
    if wanted.log_folder is not None:
        yield check_folder("log folder", wanted.log_folder)
    yield check_temporary_folder()
    yield check_device(wanted.device)


def require(wanted: Wanted) -> None:
    """Raise where a fast check fails.

    Raises:
        EmulatorError: Something is missing; the message has all that is, with the mends.
    """
    failed = [finding for finding in fast_checks(wanted) if finding.status == "FAILED"]
    if failed:
        raise EmulatorError("\n".join(f"{f.text}\n  -> {f.mend}" for f in failed))


# The checks


def check_packages() -> Finding:
    """Tell the versions of Python and of what this package stands on."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return Finding("Python", "ok", f"{platform.python_version()}, {versions}")


def check_fceux() -> Iterator[Finding]:
    """Check the program, its version, and the Lua modules that it finds."""
    try:
        program = find_fceux()
    except StartError as error:
        yield Finding("FCEUX", "FAILED", str(error).partition(". ")[0], _INSTALL_FCEUX)
        return
    try:
        printed = run_script(lua_bridge_dir() / "doctor.lua")
    except StartError as error:
        yield Finding(
            "FCEUX",
            "FAILED",
            f"{program} does not run: {error}",
            f"start it by hand; {_INSTALL_FCEUX} again, or name another in SB3_MARIO_FCEUX",
        )
        return
    version = re.search(r"FCEUX ((\d+)\.(\d+)\.\d+)", printed)
    if version is None:
        yield Finding(
            "FCEUX",
            "FAILED",
            f"{program} does not say that it is FCEUX, but: {printed[:200]!r}",
            f"{_INSTALL_FCEUX}, or name it in SB3_MARIO_FCEUX",
        )
    elif (int(version[2]), int(version[3])) < OLDEST_FCEUX:
        yield Finding(
            "FCEUX",
            "FAILED",
            f"{program} is version {version[1]}, older than 2.6",
            "install a newer one (Debian 12, Ubuntu 23.04 and later have it)",
        )
    else:
        yield Finding("FCEUX", "ok", f"{version[1]} ({program})")
        yield _check_lua(program, printed)


def _check_lua(program: Path, printed: str) -> Finding:
    modules = dict(re.findall(r"^sb3-mario: module (\w+) (.*)$", printed, re.MULTILINE))
    if not modules:
        return Finding(
            "Lua",
            "FAILED",
            f"{program} ran no Lua script",
            "it may be built without Lua: install another build of it",
        )
    missing = {name: text for name, text in modules.items() if text != "found"}
    if missing:
        set_paths = [name for name in ("LUA_PATH", "LUA_CPATH") if name in os.environ]
        unset = f"; or unset {' and '.join(set_paths)}, which may hide them" if set_paths else ""
        return Finding(
            "Lua",
            "FAILED",
            f"FCEUX's Lua does not find {', '.join(missing)} ({next(iter(missing.values()))})",
            f"`apt install lua-socket lua-dkjson` (Debian, Ubuntu){unset}",
        )
    return Finding("Lua", "ok", f"modules {', '.join(modules)}")


def check_rom(rom: str | None) -> Finding:
    """Check the game's file."""
    try:
        found = _find_rom(rom)
    except RomError as error:
        text, give, ways = str(error).partition("Give one in one of three ways:")
        mend = give + ways if ways else "give another file: --rom, or SB3_MARIO_ROM"
        return Finding("ROM", "FAILED", text.strip(), mend)
    text = f"{found.name} ({found.path}, from {found.source})"
    if found.known or found.source == "homebrew":
        return Finding("ROM", "ok", text)
    mend = "nothing to do if it is meant; else compare it with a database of dumps"
    return Finding("ROM", "note", f"{text}: an unknown dump, SHA-1 {found.sha1}", mend)


def _find_rom(rom: str | None) -> Rom:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a dump is unknown is a finding here
        return find_rom(rom)


def check_display(window: bool) -> Finding:
    """Check that a window could be shown; only ``window`` needs it."""
    problem = _display_problem()
    if problem is None:
        shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        return Finding("display", "ok", shown or "the system's")
    return Finding(
        "display",
        "FAILED" if window else "note",
        f"{problem}: FCEUX runs without a window, but none can be shown",
        "to see one, run in a desktop session, or under `xvfb-run` (apt install xvfb xauth)",
    )


def _display_problem() -> str | None:
    if not sys.platform.startswith("linux") or os.environ.get("WAYLAND_DISPLAY"):
        return None
    display = os.environ.get("DISPLAY")
    if not display:
        return "DISPLAY is not set"
    local = re.fullmatch(r"(?:unix)?:(\d+)(?:\.\d+)?", display)
    if local is None:
        return None  # on another machine: only a try would tell
    name = f"/tmp/.X11-unix/X{local[1]}"  # noqa: S108 - where X servers listen
    for address in (name, f"\0{name}"):
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(2)
            if tried.connect_ex(address) == 0:
                return None
    return f"DISPLAY is {display}, but no X server answers there"


def check_screen(wanted: bool, *, window: bool) -> Finding:
    """Check what ``frames="screen"`` needs; only ``wanted`` makes it necessary."""
    name = "screen"
    status: Status = "FAILED" if wanted else "note"
    if not sys.platform.startswith("linux"):
        mend = "use frames='bridge', which brings the same pictures"
        return Finding(name, status, "frames='screen' works with X11 on Linux only", mend)
    if importlib.util.find_spec("Xlib") is None:
        mend = 'pip install "sb3-mario[screen]"'
        return Finding(name, status, "frames='screen' needs python-xlib, which is missing", mend)
    if window and not os.environ.get("DISPLAY"):
        return Finding(name, status, NO_X11, "take window=False, for a private display")
    if shutil.which("Xvfb") is None and not window:
        text = "there is no Xvfb, the private display that frames='screen' needs without a window"
        return Finding(name, status, text, "apt install xvfb (Debian, Ubuntu)")
    source = "FCEUX's window" if window else "Xvfb"
    return Finding(name, "ok", f"frames='screen' has python-xlib and {source}")


def check_port() -> Finding:
    """Check that programs can speak with each other on this machine."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), 2) as client,
        ):
            server.settimeout(2)
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x")
                accepted.settimeout(2)
                accepted.recv(1)
            port = server.getsockname()[1]
    except OSError as error:
        return Finding(
            "ports",
            "FAILED",
            f"no connection on 127.0.0.1 can be made: {error}",
            "bring the loopback interface up (`ip link set lo up`), and look for a sandbox or "
            "firewall that forbids connections to 127.0.0.1",
        )
    return Finding("ports", "ok", f"127.0.0.1 takes connections (port {port} was free)")


def check_folder(name: str, folder: Path) -> Finding:
    """Check that files can be written to a folder, or to where it would be made."""
    there = folder.absolute()
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(
            name,
            "FAILED",
            f"nothing can be written to {folder} ({error.strerror})",
            "choose another one (--log-folder DIR; TMPDIR=DIR for temporary files), or change its "
            "owner or mode",
        )
    text = f"{folder} can be written to, {free / 1e9:,.1f} GB are free"
    if free < LOWEST_SPACE:
        mend = "make room: a run keeps three checkpoints, each with its replay buffer"
        return Finding(name, "note", text, mend)
    return Finding(name, "ok", text)


def check_temporary_folder() -> Finding:
    """Check where FCEUX's settings and output go."""
    name = "temporary folder"
    try:
        return check_folder(name, Path(tempfile.gettempdir()))
    except FileNotFoundError as error:
        return Finding(name, "FAILED", str(error), "set TMPDIR to a folder that can be written to")


def check_device(device: str) -> Finding:
    """Check that torch computes on the device."""
    try:
        chosen = get_device(device)
        if device.startswith("cuda") and chosen.type != "cuda":
            raise RuntimeError("torch finds no CUDA here")
        ones = th.ones(8, 8, device=chosen)
        if float((ones @ ones).sum()) != 512:
            raise RuntimeError("it computes wrongly")
    except Exception as error:  # torch raises whatever it likes
        return Finding(
            "torch",
            "FAILED",
            f"the device {device!r} cannot be used: {error}",
            "use --device cpu, or install a torch for this GPU's driver (https://pytorch.org)",
        )
    threads, cores = th.get_num_threads(), os.cpu_count() or 1
    text = f"{chosen}, {threads} thread(s) on {cores} core(s)"
    if threads > cores:
        return Finding("torch", "note", text, "set OMP_NUM_THREADS to the number of cores")
    return Finding("torch", "ok", text)


def check_game(wanted: Wanted) -> Finding:
    """Start the game, test it, and measure how fast it runs."""
    try:
        rom = _find_rom(wanted.rom).path
        fceux = Fceux(rom, window=wanted.window, screen=wanted.screen)
        try:
            self_test(fceux.bridge, Level(1, 1))
            with_pictures, without = (_frames_per_second(fceux, frame) for frame in (True, False))
        finally:
            fceux.close()
    except (EmulatorError, RomError, SelfTestError) as error:
        return Finding(
            "game", "FAILED", f"it does not run: {error}", "see to what FCEUX printed, above all"
        )
    text = f"runs; {with_pictures:,.0f} frames a second with pictures, {without:,.0f} without"
    if with_pictures < LOWEST_SPEED:
        return Finding(
            "game",
            "FAILED",
            f"{text}: too slow to train on",
            "end other programs; with SB3_MARIO_FCEUX choose another FCEUX",
        )
    return Finding("game", "ok", text)


def _frames_per_second(fceux: Fceux, frame: bool) -> float:
    bridge = fceux.bridge
    bridge.reset(1, 1, frame=frame)
    frames, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SPEED_SECONDS:
        state = bridge.step(0, frame=frame)
        frames += state.advanced
        if state.ended:
            bridge.reset(1, 1, frame=frame)
    return frames / seconds


# The command


def main(argv: Sequence[str] | None = None) -> int:
    """Check, print, and return 0 where nothing failed, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m sb3_mario.doctor",
        description="Check that everything a run needs is there, and measure the emulator's speed.",
    )
    parser.add_argument("--rom", metavar="FILE", help="the game's .nes file (default: as train.py)")
    parser.add_argument("-f", "--log-folder", type=Path, default=Path("logs"), metavar="DIR")
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")
    parser.add_argument("--window", action="store_true", help="FCEUX's window is to be shown")
    parser.add_argument(
        "--screen", action="store_true", help="pictures are to be taken from the screen"
    )
    parser.add_argument("--fast", action="store_true", help="start no game")
    args = parser.parse_args(argv)
    wanted = Wanted(args.rom, args.log_folder, args.device, args.window, args.screen)
    failed = 0
    for finding in _all_checks(wanted, fast=args.fast):
        print(_line(finding), flush=True)
        failed += finding.status == "FAILED"
    print(f"\n{failed} check(s) failed." if failed else "\nEverything that a run needs is there.")
    return int(failed > 0)


def _all_checks(wanted: Wanted, *, fast: bool) -> Iterator[Finding]:
    yield check_packages()
    failed = False
    for finding in fast_checks(wanted):
        failed |= finding.status == "FAILED"
        yield finding
    if failed:
        yield Finding("game", "note", "not started", "see to what failed first")
    elif not fast:
        yield check_game(wanted)


def _line(finding: Finding) -> str:
    lines = [f"{finding.status:>6}  {finding.name}: {finding.text}"]
    if finding.mend:
        lines.append(f"-> {finding.mend}")
    return "\n".join(lines).replace("\n", "\n        ")


if __name__ == "__main__":
    sys.exit(main())
