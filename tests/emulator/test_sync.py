"""`sb3_mario.emulator.sync`: whatever is late, lost, doubled or mixed, no wrong pair."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from sb3_mario.emulator import protocol, strip, sync
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import BridgeError, CaptureError, SyncError, WireError
from sb3_mario.emulator.protocol import State
from sb3_mario.emulator.sync import Capture, FrameSynchronizer, StateBuffer
from tests.emulator.fake_script import TOKEN, script
from tests.emulator.strip_pictures import KEY, Picture, noise, shown

TIMEOUT = 0.02
LAST_ID = 8


def state_of(frame_id: int, advanced: int = 1) -> State:
    """The state of a frame, which its memory tells again."""
    return State(
        id=0,
        frame_id=frame_id,
        emulator_frame=frame_id,
        timestamp_us=1000 * frame_id,
        advanced=advanced,
        ended=False,
        skipped=False,
        ram=frame_id.to_bytes(4, "little") * 512,
        frame=None,
    )


def cut(picture: Picture) -> Picture:
    result: Picture = picture.copy()
    strip.cut(result)
    return result


# What FCEUX really draws; a frame more than the states tell of.
GAME = {frame_id: noise(frame_id) for frame_id in range(LAST_ID + 2)}
SHOWN = {frame_id: shown(picture, frame_id) for frame_id, picture in GAME.items()}
# The same ids in an earlier life of the counter, which has 32 bits.
EARLIER = {frame_id: shown(noise(200 + frame_id), frame_id) for frame_id in GAME}
OTHER = {frame_id: shown(noise(100 + frame_id), frame_id, KEY + 1) for frame_id in GAME}


class FaultyScreen:
    """Shows what it is told to, one fault after the other, then the right picture or nothing."""

    def __init__(self, faults: list[tuple[str, int]], recovers: bool) -> None:
        self.faults = faults
        self.recovers = recovers
        self.newest = 0
        self.captures = 0

    def capture(self) -> Capture:
        self.captures += 1
        fault, number = self.faults.pop(0) if self.faults else ("none", 0)
        if fault == "none" and not self.recovers:
            fault = "nothing"
        raw, timestamp_us = self._raw(fault, number)
        frame_id = strip.read(raw, KEY)
        if frame_id is None:
            return Capture(None, timestamp_us)
        return Capture(frame_id, timestamp_us, cut(raw))

    def _raw(self, fault: str, number: int) -> tuple[Picture, int]:
        now = 1000 * self.newest
        older = SHOWN[number % (self.newest + 1)]
        raw = SHOWN[self.newest].copy()
        if fault == "delayed":
            raw = older
        elif fault == "torn":
            line = 8 + number % 224
            raw[:line] = older[:line]
        elif fault == "torn twice":
            raw[80:160] = older[80:160]
        elif fault == "covered":
            raw[100:140, number % 200 : number % 200 + 40] = number % 256
        elif fault == "another emulator":
            raw = OTHER[self.newest]
        elif fault == "from before":
            raw, now = EARLIER[self.newest], now - 1
        elif fault == "not told of":
            raw = SHOWN[self.newest + 1]
        elif fault == "nothing":
            raw = np.zeros_like(raw)
        return raw, now

    def problem(self) -> str:
        return "it is broken on purpose"


HARMLESS = (
    "delayed",
    "torn",
    "torn twice",
    "covered",
    "another emulator",
    "from before",
    "nothing",
)
FAULTS = st.tuples(st.sampled_from(HARMLESS), st.integers(0, 10_000))


def no_redraw() -> None:
    return None


@settings(max_examples=150, deadline=None)
@given(
    faults=st.lists(st.lists(FAULTS, max_size=6), min_size=LAST_ID, max_size=LAST_ID),
    lost_at=st.integers(1, 2 * LAST_ID),
)
def test_a_picture_is_paired_with_the_state_of_its_frame_or_not_at_all(
    faults: list[list[tuple[str, int]]], lost_at: int
) -> None:
    screen = FaultyScreen([], recovers=True)
    synchronizer = FrameSynchronizer(screen)
    retakes = 0
    for frame_id in range(1, LAST_ID + 1):
        synchronizer.accept(state_of(frame_id), follows=frame_id > 1)
        screen.newest, screen.faults, screen.captures = frame_id, list(faults[frame_id - 1]), 0
        screen.recovers = frame_id != lost_at  # from here on the window is gone
        try:
            pair = synchronizer.pair(frame_id, TIMEOUT if frame_id == lost_at else 5, no_redraw)
        except CaptureError:
            assert frame_id == lost_at
            retakes += screen.captures
        else:
            retakes += screen.captures - 1
            assert pair.frame_id == frame_id
            assert pair.ram == state_of(frame_id).ram
            assert np.array_equal(pair.frame, cut(GAME[frame_id]))
    counters = synchronizer.counters
    assert (counters.frames, counters.retakes, counters.mismatches) == (LAST_ID, retakes, 0)


@given(harmless=st.lists(st.sampled_from(HARMLESS), max_size=4))
def test_a_picture_of_a_frame_that_nobody_told_of_is_an_error(harmless: list[str]) -> None:
    # number 2: an older frame than the newest, which is 3
    screen = FaultyScreen([(fault, 2) for fault in (*harmless, "not told of")], recovers=True)
    synchronizer = FrameSynchronizer(screen)
    synchronizer.accept(state_of(3), follows=False)
    screen.newest = 3
    with pytest.raises(SyncError, match="shows frame 4, but the newest state is of frame 3"):
        synchronizer.pair(3, 5, no_redraw)
    assert synchronizer.counters.mismatches == 1


@given(
    messages=st.lists(
        st.tuples(st.integers(0, LAST_ID), st.integers(0, 2), st.booleans()), max_size=12
    )
)
def test_only_the_state_that_comes_next_is_accepted(
    messages: list[tuple[int, int, bool]],
) -> None:
    # lost: a number is left out; doubled: it comes twice; late: it comes after a later one
    synchronizer = FrameSynchronizer()
    synchronizer.accept(state_of(0), follows=False)
    newest, frames = 0, 1
    for frame_id, advanced, follows in messages:
        # A step may run no frame: after the game's end.
        fits = frame_id == newest + advanced if follows else frame_id > newest
        try:
            synchronizer.accept(state_of(frame_id, advanced), follows=follows)
        except SyncError:
            assert not fits
            assert synchronizer.counters.mismatches == 1
            break
        assert fits
        newest, frames = frame_id, frames + advanced
    assert synchronizer.states.newest_id == newest
    assert synchronizer.counters.frames == frames


@given(ids=st.lists(st.integers(0, 50), max_size=60), capacity=st.integers(1, 20))
def test_the_buffer_holds_the_newest_states_in_their_order(ids: list[int], capacity: int) -> None:
    buffer = StateBuffer(capacity)
    assert buffer.newest_id == -1
    kept: list[int] = []
    for frame_id in ids:
        if kept and frame_id < kept[-1]:
            with pytest.raises(SyncError, match=f"frame {frame_id} comes after frame {kept[-1]}"):
                buffer.add(state_of(frame_id))
        else:
            buffer.add(state_of(frame_id))
            kept += [frame_id] if frame_id not in kept else []
    for frame_id in range(51):
        state = buffer.get(frame_id)
        assert (state is not None) == (frame_id in kept[-capacity:])
        assert state is None or state.ram == state_of(frame_id).ram
    assert len(buffer) == min(len(kept), capacity)


def test_a_forgotten_state_gets_no_picture() -> None:
    synchronizer = FrameSynchronizer(FaultyScreen([], recovers=True))
    for frame_id in range(sync.STATES_KEPT + 1):
        synchronizer.accept(state_of(frame_id), follows=False)
    with pytest.raises(SyncError, match="no state of frame 0"):
        synchronizer.pair(0, TIMEOUT, no_redraw)


def test_the_buffer_keeps_no_pictures() -> None:
    buffer = StateBuffer()
    buffer.add(protocol.decode_state(bytearray(_message(1, frame_id=7, flags=1)), 1))
    kept = buffer.get(7)
    assert kept is not None and kept.frame is None


def test_a_screen_that_was_wiped_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "REDRAW_SECONDS", 0.05)
    screen = FaultyScreen([], recovers=False)
    synchronizer = FrameSynchronizer(screen)
    synchronizer.accept(state_of(4), follows=False)
    screen.newest = 4
    redrawn = []

    def redraw() -> None:
        redrawn.append(time.monotonic())
        screen.recovers = len(redrawn) == 2

    start = time.monotonic()
    assert synchronizer.pair(4, 5, redraw).frame_id == 4
    assert len(redrawn) == 2
    assert redrawn[0] - start >= 0.05
    assert redrawn[1] - redrawn[0] >= 0.05


def test_the_error_says_what_was_seen_and_why() -> None:
    screen = FaultyScreen([], recovers=False)
    synchronizer = FrameSynchronizer(screen)
    synchronizer.accept(state_of(4), follows=False)
    screen.newest = 4
    with pytest.raises(
        CaptureError, match=r"frame 4 within 0\.02 seconds \(no frame could be read"
    ):
        synchronizer.pair(4, TIMEOUT, no_redraw)
    screen.faults = [("delayed", 2)]
    with pytest.raises(CaptureError, match=r"last seen: frame 2\): it is broken on purpose"):
        synchronizer.pair(4, TIMEOUT, no_redraw)


# The same, for messages, through a real connection ------------------------------------------------

MESSAGE_FAULTS = ("none", "doubled", "early", "late", "lost", "of another request")


def _message(message_id: int, *, frame_id: int, flags: int) -> bytes:
    """A state whose memory, and picture where there is one, tell its frame."""
    frame = frame_id.to_bytes(4, "little") * (protocol.FRAME_BYTES // 4) if flags & 1 else b""
    header = protocol.HEADER.pack(
        protocol.MAGIC, 1, flags, 44, message_id, frame_id, 0, 1, 1000 * frame_id, 2048,
        len(frame), 256, 240,
    )  # fmt: skip
    return header + frame + frame_id.to_bytes(4, "little") * 512


class FaultyScript:
    """Plays a game of one frame a request, and answers as it is told to."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        self.frame_of: dict[int, int] = {}  # request -> the frame that is its true answer

    def __call__(self, connection: ServerConnection) -> None:
        try:
            for number, fault in enumerate(self.faults):
                request: dict[str, Any] = json.loads(connection.recv())
                frame_id = number + 1
                self.frame_of[request["id"]] = frame_id
                for sent_id, sent_frame in self._answers(fault, request["id"], frame_id):
                    message = _message(sent_id, frame_id=sent_frame, flags=int(request["frame"]))
                    connection.send(message)
            connection.recv()
        except ConnectionClosed:
            pass

    def _answers(self, fault: str, request: int, frame_id: int) -> list[tuple[int, int]]:
        right, before, after = (
            (request, frame_id),
            (request - 1, frame_id - 1),
            (request + 1, frame_id + 1),
        )
        return {
            "none": [right],
            "doubled": [right, right],
            "early": [after, right],
            "late": [before, right],
            "lost": [],
            "of another request": [(request, frame_id + 1)],
        }[fault]


@settings(max_examples=60, deadline=None)
@given(
    faults=st.lists(st.sampled_from(("none", "none", "none", *MESSAGE_FAULTS)), max_size=8),
    frame=st.booleans(),
)
def test_the_bridge_gives_the_true_answer_or_an_error(faults: list[str], frame: bool) -> None:
    served = FaultyScript(["none", *faults])
    with script(served) as port:
        bridge = Bridge(port, TOKEN, timeout=5)
        try:
            bridge.reset(1, 1, frame=frame)
            bridge.timeout = 0.1
            clean = True
            for fault in faults:
                clean = clean and fault == "none"
                try:
                    state = bridge.step(0, 1, frame=frame)
                except (WireError, SyncError, BridgeError):
                    assert not clean
                    break
                assert state.frame_id == served.frame_of[state.id]
                assert state.ram[:4] == state.frame_id.to_bytes(4, "little")
                if frame:
                    assert state.frame is not None
                    assert state.frame[0, 0].tobytes() == state.ram[:4]
                    assert state.frame[-1, -1].tobytes() == state.ram[:4]
            else:
                assert bridge.counters.mismatches == 0
        finally:
            bridge.abort()
