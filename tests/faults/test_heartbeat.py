"""Each side notices within the stated time what has become of the other, with the real FCEUX.

The stated times are those of `deadlines`, here made short.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sb3_mario.emulator import deadlines
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import BridgeClosedError, BridgeTimeoutError
from sb3_mario.emulator.fceux import Fceux
from tests.faults.wire import PING, PONG, through_wire
from tests.processes import is_alive, wait_until_gone

pytestmark = pytest.mark.real_rom

SHORT = {"PING": 0.3, "EMULATOR": 1.2, "TRAINER": 2.4, "ALONE": 1.0}
ANSWER = 1.5
SLACK = 1.5  # a busy machine's
RIGHT = 0x80


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in SHORT.items():
        monkeypatch.setattr(deadlines, f"{name}_SECONDS", seconds)


@pytest.fixture
def emulator(rom: Path) -> Iterator[Fceux]:
    running = Fceux(rom, timeout=ANSWER)
    running.bridge.reset(1, 1)
    yield running
    if is_alive(running.pid):
        os.kill(running.pid, signal.SIGCONT)
    running.kill()


def seconds_until(condition: Callable[[], bool], limit: float = 20) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - start


# Nothing is wrong


def test_both_sides_ping_while_nothing_is_asked_for_and_both_answer(emulator: Fceux) -> None:
    with through_wire(emulator.bridge) as (bridge, wire):
        before = bridge.reset(1, 1)
        seconds_until(lambda: wire.frames["up"].count(PING) + wire.frames["down"].count(PING) >= 4)
        for sender, answerer in (("up", "down"), ("down", "up")):
            # The one whose ping comes first need not send another.
            pings, pongs = wire.frames[sender].count(PING), wire.frames[answerer].count(PONG)
            assert abs(pings - pongs) <= 1
        time.sleep(SHORT["TRAINER"] + SHORT["ALONE"] + SHORT["EMULATOR"])
        assert bridge.step(RIGHT).frame_id == before.frame_id + 4, "the same connection, in step"


def test_lua_pings_where_the_trainer_does_not(
    emulator: Fceux, monkeypatch: pytest.MonkeyPatch
) -> None:
    with through_wire(emulator.bridge) as (bridge, wire):
        bridge.reset(1, 1)
        time.sleep(0.1)
        with bridge._lock:  # the heartbeat waits its turn
            time.sleep(3.5 * SHORT["PING"])
        assert wire.frames["up"].count(PING) >= 3
        assert wire.frames["down"].count(PING) == 0
        seconds_until(lambda: wire.frames["down"].count(PONG) >= 3)


def test_the_trainer_pings_where_lua_does_not(rom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for_lua = deadlines.for_lua()
    del for_lua["SB3_MARIO_PING_SECONDS"]
    monkeypatch.setattr(deadlines, "for_lua", lambda: for_lua)
    emulator = Fceux(rom, timeout=ANSWER)
    try:
        with through_wire(emulator.bridge) as (bridge, wire):
            bridge.reset(1, 1)
            seconds_until(lambda: wire.frames["up"].count(PONG) >= 3)
            assert wire.frames["up"].count(PING) == 0
    finally:
        emulator.kill()


def test_a_trainer_that_computes_without_a_pause_keeps_its_emulator(emulator: Fceux) -> None:
    end = time.monotonic() + SHORT["TRAINER"] + 1
    while time.monotonic() < end:
        sum(range(10_000))  # holds the interpreter's lock
    assert emulator.bridge.step(RIGHT).advanced == 4


def test_a_step_that_is_left_under_way_for_long_is_there_in_the_end(emulator: Fceux) -> None:
    before = emulator.bridge.reset(1, 1)
    emulator.bridge.send_step(RIGHT)
    time.sleep(SHORT["TRAINER"] + SHORT["EMULATOR"])
    after = emulator.bridge.receive_step()
    assert (after.frame_id, after.advanced) == (before.frame_id + 4, 4)
    assert after.frame is not None
    assert emulator.bridge.step(RIGHT).frame_id == after.frame_id + 4


def test_a_connection_that_nobody_holds_any_more_ends_with_its_thread(emulator: Fceux) -> None:
    def beating() -> int:
        return sum(t.name == "sb3-mario heartbeat" for t in threading.enumerate())

    assert beating() == 1
    port, token = emulator.bridge.port, emulator.bridge.token
    emulator.bridge.abort()
    seconds_until(lambda: beating() == 0)
    forgotten = [Bridge(port, token)]
    assert beating() == 1
    with pytest.warns(ResourceWarning, match="unclosed"):
        forgotten.clear()
    seconds_until(lambda: beating() == 0)


# FCEUX


@pytest.mark.parametrize("sig", [signal.SIGSTOP, signal.SIGKILL])
def test_a_dead_fceux_is_noticed_while_nothing_is_asked_of_it(
    emulator: Fceux, sig: signal.Signals
) -> None:
    os.kill(emulator.pid, sig)
    stated = SHORT["PING"] + (SHORT["EMULATOR"] if sig == signal.SIGSTOP else 0)
    took = seconds_until(lambda: emulator.bridge.closed)
    assert took < stated + SLACK
    wanted = BridgeTimeoutError if sig == signal.SIGSTOP else BridgeClosedError
    start = time.monotonic()
    with pytest.raises(wanted, match=r"no sign of life from FCEUX|connection to FCEUX"):
        emulator.bridge.step(RIGHT)
    assert time.monotonic() - start < 0.2, "nothing is waited for"


@pytest.mark.parametrize("sig", [signal.SIGSTOP, signal.SIGKILL])
def test_a_dead_fceux_is_noticed_while_an_answer_is_awaited(
    emulator: Fceux, sig: signal.Signals
) -> None:
    emulator.bridge.send_step(RIGHT, 600)
    os.kill(emulator.pid, sig)
    start = time.monotonic()
    with pytest.raises(BridgeTimeoutError if sig == signal.SIGSTOP else BridgeClosedError):
        emulator.bridge.receive_step()
    assert time.monotonic() - start < (ANSWER if sig == signal.SIGSTOP else 0) + SLACK


def test_a_short_standstill_of_fceux_changes_nothing(emulator: Fceux) -> None:
    before = emulator.bridge.step(RIGHT)
    os.kill(emulator.pid, signal.SIGSTOP)
    time.sleep(SHORT["EMULATOR"] / 2)
    os.kill(emulator.pid, signal.SIGCONT)
    assert emulator.bridge.step(RIGHT).frame_id == before.frame_id + 4


# The connection


def test_a_half_open_connection_is_noticed_by_both_sides(emulator: Fceux) -> None:
    with through_wire(emulator.bridge) as (bridge, wire):
        bridge.reset(1, 1)
        wire.swallow()
        assert seconds_until(lambda: bridge.closed) < SHORT["EMULATOR"] + SHORT["PING"] + SLACK
        stated = SHORT["TRAINER"] + SHORT["ALONE"]
        assert wait_until_gone(emulator.pid, stated + 1 + SLACK), "Lua looks once a second"
    assert "no client for 1 seconds" in emulator.output()


def test_a_half_open_connection_is_noticed_while_an_answer_is_awaited(emulator: Fceux) -> None:
    with through_wire(emulator.bridge) as (bridge, wire):
        bridge.reset(1, 1)
        wire.swallow()
        start = time.monotonic()
        with pytest.raises(BridgeTimeoutError, match="while waiting for a state"):
            bridge.step(RIGHT)
        assert ANSWER - 0.1 < time.monotonic() - start < ANSWER + SLACK


def test_a_cut_connection_is_noticed_at_once(emulator: Fceux) -> None:
    with through_wire(emulator.bridge) as (bridge, wire):
        bridge.reset(1, 1)
        wire.cut()
        with pytest.raises(BridgeClosedError):
            bridge.step(RIGHT)
        assert wait_until_gone(emulator.pid, SHORT["ALONE"] + 1 + SLACK)


# The trainer

TRAINER = """
import sys
from sb3_mario.emulator import deadlines
for name, seconds in {short}.items():
    setattr(deadlines, name + "_SECONDS", seconds)
from sb3_mario.emulator.errors import BridgeError
from sb3_mario.emulator.fceux import Fceux
fceux = Fceux({rom!r})
fceux.bridge.reset(1, 1)
print(fceux.pid, flush=True)
for line in sys.stdin:  # to be asked while it stands still
    try:
        print("frame", fceux.bridge.step(0x80, 1).frame_id, flush=True)
    except BridgeError as error:
        print(type(error).__name__, error, flush=True)
"""


class Trainer:
    """A trainer in a process of its own that makes a step when it is asked."""

    def __init__(self, rom: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINER.format(short=SHORT, rom=str(rom))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.emulator = int(self._line())

    def step(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def stalled(rom: Path) -> Iterator[Trainer]:
    trainer = Trainer(rom)
    yield trainer
    trainer.close()


def test_a_trainer_that_stands_still_for_a_short_time_goes_on_where_it_was(
    stalled: Trainer,
) -> None:
    first = int(stalled.step().split()[1])
    for number in range(1, 4):
        stalled.process.send_signal(signal.SIGSTOP)
        time.sleep(SHORT["TRAINER"] * 0.6)  # in all more than the whole
        stalled.process.send_signal(signal.SIGCONT)
        assert stalled.step() == f"frame {first + number}"


def test_a_trainer_that_stands_still_for_too_long_loses_its_emulator_and_is_told(
    stalled: Trainer,
) -> None:
    assert stalled.step().startswith("frame ")
    stalled.process.send_signal(signal.SIGSTOP)
    stated = SHORT["TRAINER"] + SHORT["ALONE"]
    start = time.monotonic()
    assert wait_until_gone(stalled.emulator, stated + 1 + SLACK)
    assert time.monotonic() - start > stated - 0.1, "not before"
    stalled.process.send_signal(signal.SIGCONT)
    error = stalled.step()
    assert error.startswith("BridgeClosedError the connection to FCEUX is closed: ")
    assert "1011" in error and "no sign of life from the client for 2.4 seconds" in error


def test_a_killed_trainers_emulator_ends(stalled: Trainer) -> None:
    stalled.process.kill()
    assert wait_until_gone(stalled.emulator, SHORT["ALONE"] + 1 + SLACK)
