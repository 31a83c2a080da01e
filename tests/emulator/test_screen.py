"""Pictures from the screen: those of the bridge, whatever happens to the window, or an error."""

from __future__ import annotations

import builtins
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sb3_mario.emulator import deadlines
from sb3_mario.emulator.errors import BridgeError, CaptureError, StartError
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.emulator.protocol import State
from sb3_mario.emulator.screen import ScreenCapture
from tests.emulator.desktop import Desktop, wait_for

pytestmark = pytest.mark.real_rom

NOTHING, RIGHT, LEFT, A_RIGHT = 0x00, 0x80, 0x40, 0x81
Small = npt.NDArray[np.int16]


def small(state: State) -> Small:
    """The picture as the network sees it, (84, 84)."""
    gray = cv2.cvtColor(state.frame, cv2.COLOR_RGBA2GRAY)
    return cv2.resize(gray, (84, 84), interpolation=cv2.INTER_AREA).astype(np.int16)


class Twins:
    """The same game twice, with pictures from the screen and with those of the bridge."""

    def __init__(self, screen: Fceux, bridge: Fceux) -> None:
        self.screen, self.bridge = screen, bridge
        self.differences: list[Small] = []

    def check(self, seen: State, true: State) -> State:
        assert (seen.frame_id, seen.emulator_frame) == (true.frame_id, true.emulator_frame)
        assert seen.ram == true.ram
        assert seen.frame is not None and true.frame is not None
        assert np.array_equal(seen.frame[8:232, :, :3], true.frame[8:232, :, :3])
        self.differences.append(np.abs(small(seen) - small(true)))
        return seen

    def reset(self, world: int = 1, stage: int = 1, noops: int = 0) -> State:
        seen = self.screen.bridge.reset(world, stage, noops=noops)
        return self.check(seen, self.bridge.bridge.reset(world, stage, noops=noops))

    def step(self, buttons: int = RIGHT, repeat: int = 4) -> State:
        seen = self.screen.bridge.step(buttons, repeat)
        return self.check(seen, self.bridge.bridge.step(buttons, repeat))

    def step_fails(self, why: str, timeout: float = 0.8) -> None:
        """The screen cannot show this step; the game runs it all the same."""
        self.screen.bridge.timeout, before = timeout, self.screen.bridge.timeout
        try:
            with pytest.raises(CaptureError, match=why):
                self.screen.bridge.step(RIGHT)
        finally:
            self.screen.bridge.timeout = before
        self.bridge.bridge.step(RIGHT)


@pytest.fixture
def private(rom: Path) -> Iterator[Twins]:
    """Twins of which one has a private display."""
    emulators = Fceux(rom, screen=True), Fceux(rom)
    yield Twins(*emulators)
    for emulator in emulators:
        emulator.close()


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    made = Desktop(tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def visible(rom: Path, desktop: Desktop) -> Iterator[Twins]:
    """Twins of which one has its window on the desktop."""
    emulators = Fceux(rom, window=True, screen=True), Fceux(rom)
    twins = Twins(*emulators)
    twins.reset()
    yield twins
    for emulator in emulators:
        emulator.close()


def test_500_frames_are_those_of_the_bridge(private: Twins) -> None:
    rng = np.random.default_rng(0)
    private.reset()
    counters = private.screen.bridge.counters
    before, start = counters.retakes, time.monotonic()
    ended, taken = False, 0
    while taken < 500:
        if ended:
            ended = private.reset(noops=int(rng.integers(1, 31))).ended
        else:
            ended = private.step(int(rng.choice([NOTHING, RIGHT, A_RIGHT, 0x82, 0x83, LEFT]))).ended
            taken += 1
    milliseconds = (time.monotonic() - start) / taken * 1000
    print(f"{counters.retakes - before} retakes, {milliseconds:.1f} ms a step of both")
    assert counters.mismatches == 0
    differences = np.stack(private.differences)
    # Of the 84 rows, 3 at the top and 3 at the bottom have to do with the lines that are cut away.
    assert not differences[:, 3:81].any()
    assert (differences == 0).all(axis=(1, 2)).mean() > 0.95
    assert differences.mean() < 0.01


@pytest.mark.parametrize(("world", "stage"), [(1, 2), (2, 2), (4, 3), (8, 4)])
def test_levels_of_every_kind_differ_in_the_cut_lines_only(
    private: Twins, world: int, stage: int
) -> None:
    private.reset(world, stage)
    for number in range(40):
        if private.step([RIGHT, A_RIGHT, 0x83][number % 3]).ended:
            private.reset(world, stage, noops=number)
    differences = np.stack(private.differences)
    assert not differences[:, 3:81].any()
    assert differences.mean() < 0.5


def test_a_state_that_was_loaded_is_shown(private: Twins) -> None:
    private.reset()
    for _ in range(10):
        private.step()
    for twin in (private.screen, private.bridge):
        twin.bridge.save(3)
    kept = private.step()
    for _ in range(3):
        loaded = [twin.bridge.load(3) for twin in (private.screen, private.bridge)]
        private.check(*loaded)
        assert np.array_equal(private.step().frame, kept.frame)


def test_a_frame_drawn_again_is_the_same(private: Twins) -> None:
    private.reset()
    for number in range(20):
        private.step(A_RIGHT)
        for _ in range(number % 3):
            private.screen.bridge.redraw()
    private.reset(noops=3)
    private.screen.bridge.redraw()
    private.step()


def test_a_moved_window_is_followed(visible: Twins, desktop: Desktop) -> None:
    window = desktop.window_of(visible.screen.pid)
    for left, top in [(0, 0), (700, 300), (333, 77), (10, 390)]:
        desktop.configure(window, x=left, y=top)
        for _ in range(3):
            visible.step()


def test_a_larger_window_shows_the_same_picture(visible: Twins, desktop: Desktop) -> None:
    window = desktop.window_of(visible.screen.pid)
    for width, height in [(513, 503), (800, 600), (1111, 777), (512, 502)]:
        desktop.configure(window, x=0, y=0, width=width, height=height)
        for _ in range(3):
            visible.step()


def test_a_smaller_window_is_an_error_until_it_is_large_enough(
    visible: Twins, desktop: Desktop
) -> None:
    window = desktop.window_of(visible.screen.pid)
    desktop.configure(window, width=400, height=400)
    visible.step_fails(r"has 400x\d+ pixels for the picture, which needs 512x480; make it larger")
    desktop.configure(window, width=600, height=600)
    visible.step()


def test_a_window_half_outside_the_screen_is_an_error_until_it_is_back(
    visible: Twins, desktop: Desktop
) -> None:
    window = desktop.window_of(visible.screen.pid)
    desktop.configure(window, x=-200, y=100)
    visible.step_fails("lies partly outside the screen; move it back")
    desktop.configure(window, x=100, y=100)
    visible.step()


def test_a_minimised_window_is_an_error_until_it_is_shown(visible: Twins, desktop: Desktop) -> None:
    window = desktop.window_of(visible.screen.pid)
    desktop.minimise(window)
    visible.step_fails("minimised or hidden; show it")
    desktop.show(window)
    visible.step()


@pytest.mark.parametrize(
    ("left", "top", "width", "height"),
    [(0, 0, 1280, 900), (150, 200, 40, 40), (100, 150, 300, 200), (0, 0, 1280, 80)],
)
def test_a_covered_window_is_an_error_until_it_is_free(
    visible: Twins, desktop: Desktop, left: int, top: int, width: int, height: int
) -> None:
    desktop.configure(desktop.window_of(visible.screen.pid), x=0, y=0)
    visible.step()
    curtain = desktop.cover(left, top, width, height)
    visible.step_fails("covered by the window 'a curtain'")
    desktop.uncover(curtain)
    visible.step()


def test_a_window_that_is_free_again_in_time_shows_the_frame(
    visible: Twins, desktop: Desktop
) -> None:
    curtain = desktop.cover(0, 0, 1280, 900)
    timer = threading.Timer(0.7, desktop.uncover, [curtain])
    timer.start()
    visible.step()  # what the curtain has wiped is drawn again
    timer.join()


def test_a_restless_window_never_gives_a_wrong_frame(visible: Twins, desktop: Desktop) -> None:
    window, stop = desktop.window_of(visible.screen.pid), threading.Event()

    def torment() -> None:
        rng = random.Random(0)
        while not stop.wait(0.03):
            left, top = rng.randrange(0, 700), rng.randrange(0, 350)
            if rng.random() < 0.4:
                window.configure(x=left, y=top)
            elif rng.random() < 0.3:
                window.configure(width=rng.randrange(520, 700), height=rng.randrange(510, 700))
            else:
                curtain = desktop.root.create_window(
                    left, top, 100, 100, 0, 0, background_pixel=rng.randrange(2**24),
                    override_redirect=True,
                )  # fmt: skip
                curtain.map()
                desktop.display.sync()
                stop.wait(0.05)
                curtain.destroy()
            desktop.display.sync()

    thread = threading.Thread(target=torment)
    thread.start()
    try:
        for _ in range(60):
            if visible.step().ended:
                visible.reset()
    finally:
        stop.set()
        thread.join()
    assert visible.screen.bridge.counters.retakes > 0
    assert visible.screen.bridge.counters.mismatches == 0


def test_one_window_over_another_is_not_taken_for_it(
    rom: Path, visible: Twins, desktop: Desktop
) -> None:
    above = Fceux(rom, window=True, screen=True)
    try:
        other = Twins(above, Fceux(rom))
        other.reset()
        for emulator in (visible.screen, above):
            desktop.configure(desktop.window_of(emulator.pid), x=50, y=50)
        visible.step_fails("covered by the window 'FCEUX")
        other.step()
        desktop.configure(desktop.window_of(above.pid), x=650, y=50)
        for _ in range(5):
            visible.step()
            other.step(A_RIGHT)
    finally:
        above.close()
        other.bridge.close()


def test_a_window_is_let_in_by_the_users_authority_file(
    rom: Path, desktop: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(os.environ["XAUTHORITY"]).rename(tmp_path / ".Xauthority")  # HOME, in these tests
    monkeypatch.delenv("XAUTHORITY")
    emulator = Fceux(rom, window=True, screen=True)
    try:
        assert emulator.bridge.reset(1, 1).frame is not None
    finally:
        emulator.close()


def test_emulators_on_private_displays_do_not_meet(rom: Path, private: Twins) -> None:
    second = Twins(Fceux(rom, screen=True), Fceux(rom))
    try:
        private.reset()
        second.reset(1, 2)
        for _ in range(10):
            private.step()
            second.step(A_RIGHT)
    finally:
        second.screen.close()
        second.bridge.close()


def test_a_killed_emulator_is_an_error(private: Twins) -> None:
    private.reset()
    os.kill(private.screen.pid, signal.SIGKILL)
    with pytest.raises(BridgeError):
        private.screen.bridge.step(RIGHT)


def test_a_display_that_dies_is_an_error(visible: Twins, desktop: Desktop) -> None:
    desktop.kill()
    visible.screen.bridge.timeout = 2
    with pytest.raises(BridgeError):
        visible.screen.bridge.step(RIGHT)


def test_a_display_that_stands_still_is_an_error_and_closing_does_not_wait_for_it(
    visible: Twins, desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "DISPLAY_SECONDS", 1.0)
    screen = visible.screen._screen
    assert screen is not None
    screen.capture()
    with desktop.standing_still():
        for ask in (screen.capture, screen.problem, screen.capture):
            with pytest.raises(CaptureError, match=r"did not answer within 1 seconds: it stands"):
                ask()
        with pytest.raises(StartError, match=r"did not answer within 1 seconds"):
            ScreenCapture(0, 1)
        with pytest.raises(BridgeError):
            visible.screen.bridge.step(RIGHT)
        start = time.monotonic()
        screen.close()
        assert time.monotonic() - start < 1


OWN_STANDSTILL = """
import sys, time
from sb3_mario.emulator import deadlines
from sb3_mario.emulator.screen import ScreenCapture

deadlines.DISPLAY_SECONDS = 1.0
screen = ScreenCapture(0, 1)
print("ready", flush=True)
end = time.monotonic() + 8
while time.monotonic() < end:
    screen.capture()
screen.close()
"""


def test_a_standstill_of_the_trainer_is_not_held_against_the_display(desktop: Desktop) -> None:
    with subprocess.Popen([sys.executable, "-c", OWN_STANDSTILL], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        for _ in range(3):
            time.sleep(0.2)
            child.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            child.send_signal(signal.SIGCONT)
        assert child.wait(20) == 0


def test_its_thread_ends_however_it_ends(desktop: Desktop) -> None:
    before = threading.active_count()

    def thread_is_gone() -> bool:
        return threading.active_count() == before

    ScreenCapture(0, 1).close()
    wait_for(thread_is_gone)
    ScreenCapture(0, 1)  # dropped
    gc.collect()
    wait_for(thread_is_gone)
    screen = ScreenCapture(0, 1)
    with desktop.standing_still():
        for ask in (screen.capture, screen.close):
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                ask()
    wait_for(thread_is_gone)


def test_closing_ends_the_private_display(rom: Path) -> None:
    emulator = Fceux(rom, screen=True)
    assert emulator._xvfb is not None
    process = emulator._xvfb._process
    assert process.poll() is None
    emulator.close()
    assert process.poll() is not None
    assert not emulator._home.exists()


def test_a_missing_xvfb_is_named_with_the_ways_out(
    rom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")  # FCEUX is also looked for elsewhere
    with pytest.raises(StartError, match=r"apt install xvfb.*window=True"):
        Fceux(rom, screen=True)


def test_a_missing_python_xlib_is_named(rom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_xlib(name: str, *args: Any) -> Any:
        if name.startswith("Xlib"):
            raise ImportError(name)
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_xlib)
    with pytest.raises(StartError, match="pip install python-xlib"):
        Fceux(rom, screen=True)


def test_another_system_is_named_with_the_way_out(
    rom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_mario.emulator.fceux.sys.platform", "darwin")
    with pytest.raises(StartError, match="not on 'darwin': use frames='bridge'"):
        Fceux(rom, screen=True)
