"""Keeps frames and states together: a picture is paired with the state of its frame, or not at all.

States come from the Lua script, one for each request, and are accepted in their order only. A
picture comes with its state over the bridge, or is taken from the screen: then it counts for the
state whose frame id it shows, and is taken again until it shows the one asked for.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sb3_mario.emulator.errors import CaptureError, SyncError
from sb3_mario.emulator.protocol import State

STATES_KEPT: Final = 16
RETAKE_SECONDS: Final = 0.0005
# The picture is on the screen a few milliseconds after its state is here. What a window on top of
# it, a new size or a moment in the task bar has wiped out is not there until it is drawn again.
REDRAW_SECONDS: Final = 0.25


@dataclass(slots=True)
class SyncCounters:
    """How well states and pictures have kept together, over one connection or one after another.

    Attributes:
        frames: Frames run.
        retakes: Pictures taken again because they did not show the state's frame.
        mismatches: States or pictures of a frame that cannot be; each ends the connection.
        emulator_seconds: Waited for the first byte of an answer.
        wire_seconds: From that byte to the last, and from there to the picture on the screen.
    """

    frames: int = 0
    retakes: int = 0
    mismatches: int = 0
    emulator_seconds: float = 0.0
    wire_seconds: float = 0.0


class Capture(NamedTuple):
    """A picture taken from the screen.

    Attributes:
        frame_id: Of the frame that it shows; None where that cannot be told.
        timestamp_us: When it was taken, microseconds since 1970.
        picture: ``(240, 256, 4)`` uint8: red, green, blue, and anything; None without an id.
    """

    frame_id: int | None
    timestamp_us: int
    picture: npt.NDArray[np.uint8] | None = None


class Screen(Protocol):
    """What takes pictures of the screen."""

    def capture(self) -> Capture:
        """Take one."""
        ...

    def problem(self) -> str:
        """Return why the pictures do not show what they should, as the end of a sentence."""
        ...


class StateBuffer:
    """The last states, by frame id, without their pictures.

    Args:
        capacity: How many are kept.
    """

    def __init__(self, capacity: int = STATES_KEPT) -> None:
        self._capacity = capacity
        self._states: dict[int, State] = {}
        self._newest_id = -1

    @property
    def newest_id(self) -> int:
        """Id of the newest state's frame; -1 before the first."""
        return self._newest_id

    def __len__(self) -> int:
        return len(self._states)

    def add(self, state: State) -> None:
        """Keep a state, and forget the oldest where there are too many.

        Raises:
            SyncError: It is older than the newest.
        """
        if state.frame_id < self._newest_id:
            raise SyncError(f"frame {state.frame_id} comes after frame {self._newest_id}")
        self._newest_id = state.frame_id
        self._states[state.frame_id] = dataclasses.replace(state, frame=None)
        if len(self._states) > self._capacity:
            del self._states[next(iter(self._states))]

    def get(self, frame_id: int) -> State | None:
        """Return the state of a frame; None where it never came or is forgotten."""
        return self._states.get(frame_id)


class FrameSynchronizer:
    """Accepts states in their order, and finds the picture of each on the screen.

    Args:
        screen: Takes the pictures; None where they come with their states.
        counters: To count on with; None for new ones.

    Attributes:
        states: The last states.
        counters: See `SyncCounters`.
    """

    def __init__(self, screen: Screen | None = None, counters: SyncCounters | None = None) -> None:
        self.screen = screen
        self.states = StateBuffer()
        self.counters = SyncCounters() if counters is None else counters

    def accept(self, state: State, *, follows: bool) -> None:
        """Take a state that has come.

        Args:
            state: The state.
            follows: Whether the frames run must lead to it from the one before, as in a step; a
                reset and a load only lead to a newer id.

        Raises:
            SyncError: The state belongs to another moment.
        """
        before = self.states.newest_id
        fits = state.frame_id == before + state.advanced if follows else state.frame_id > before
        if not fits:
            self.counters.mismatches += 1
            raise SyncError(
                f"frame {state.frame_id}, {state.advanced} frames run, does not follow frame "
                f"{before}"
            )
        self.states.add(state)
        self.counters.frames += state.advanced

    def pair(self, frame_id: int, timeout: float, redraw: Callable[[], None]) -> State:
        """Return the state of a frame with the picture that the screen shows of it.

        Args:
            frame_id: Of a state that was accepted.
            timeout: Seconds until the picture must be there.
            redraw: Makes the emulator draw its newest frame again.

        Raises:
            CaptureError: The screen did not show the picture in time.
            SyncError: The screen shows a frame that no state has told of, or the state is
                forgotten.
        """
        assert self.screen is not None
        state = self.states.get(frame_id)
        if state is None:
            raise SyncError(f"there is no state of frame {frame_id} among the last {STATES_KEPT}")
        start = time.monotonic()
        next_redraw = start + REDRAW_SECONDS
        seen: int | None = None
        while True:
            capture = self.screen.capture()
            if self._fits(capture, state):
                return dataclasses.replace(state, frame=capture.picture)
            self.counters.retakes += 1
            seen = capture.frame_id if capture.frame_id is not None else seen
            now = time.monotonic()
            if now - start >= timeout:
                last = "no frame could be read" if seen is None else f"last seen: frame {seen}"
                raise CaptureError(
                    f"the screen did not show frame {frame_id} within {timeout:g} seconds "
                    f"({last}): {self.screen.problem()}"
                )
            if now >= next_redraw:
                redraw()
                next_redraw = time.monotonic() + REDRAW_SECONDS
            time.sleep(RETAKE_SECONDS)

    def _fits(self, capture: Capture, state: State) -> bool:
        if capture.frame_id is None:
            return False
        if capture.frame_id > self.states.newest_id:
            self.counters.mismatches += 1
            raise SyncError(
                f"the screen shows frame {capture.frame_id}, but the newest state is of frame "
                f"{self.states.newest_id}"
            )
        return capture.frame_id == state.frame_id and capture.timestamp_us >= state.timestamp_us
