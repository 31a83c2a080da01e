"""Takes FCEUX's picture from the screen, with mss."""

from __future__ import annotations

import contextlib
import time

import cv2
import numpy as np
import numpy.typing as npt
from mss import MSS, ScreenShotError

from sb3_mario.emulator import strip
from sb3_mario.emulator.errors import StartError
from sb3_mario.emulator.protocol import HEIGHT, WIDTH
from sb3_mario.emulator.sync import Capture
from sb3_mario.emulator.window import EmulatorWindow


class ScreenCapture:
    """Takes pictures of one FCEUX's window.

    Where the window stands is asked again after every picture that shows no frame.

    Args:
        key: Of the strips in its picture.
        scale: Screen pixels for each of the picture's, in both directions.
        display: Name of the X11 display; None for that of the environment.

    Raises:
        StartError: python-xlib is missing, or the display cannot be opened.
    """

    def __init__(self, key: int, scale: int, display: str | None = None) -> None:
        self._key = key
        self._scale = scale
        self._window = EmulatorWindow(scale, display)
        self._place: tuple[int, int] | None = None
        try:
            self._mss = MSS(display=display)
        except ScreenShotError as error:
            self._window.close()
            raise StartError(f"mss cannot take pictures of the display: {error}") from error

    def follow(self, pid: int) -> None:
        """Set the process whose window it is. Before the first picture."""
        self._window.pid = pid

    def capture(self) -> Capture:
        """Take a picture, and read which frame it shows; the strips are cut out of it."""
        timestamp_us = time.time_ns() // 1000
        shot = self._grab()
        frame_id = None if shot is None else strip.read(shot, self._key)
        if shot is None or frame_id is None:
            self._place = None
            return Capture(None, timestamp_us)
        picture = np.empty_like(shot)
        cv2.cvtColor(shot, cv2.COLOR_BGRA2RGBA, dst=picture)
        strip.cut(picture)
        return Capture(frame_id, timestamp_us, picture)

    def problem(self) -> str:
        """Return why the picture cannot be seen, as the end of a sentence."""
        return self._window.problem()

    def close(self) -> None:
        """Close the connections to the display. Never raises."""
        self._window.close()
        with contextlib.suppress(ScreenShotError):  # the display may be gone
            self._mss.close()

    def _grab(self) -> npt.NDArray[np.uint8] | None:
        """Return ``(240, 256, 4)`` uint8, blue, green, red and anything; None if out of sight."""
        self._place = self._place or self._window.locate()
        if self._place is None:
            return None
        left, top = self._place
        box = {
            "left": left,
            "top": top,
            "width": WIDTH * self._scale,
            "height": HEIGHT * self._scale,
        }
        try:
            shot = np.asarray(self._mss.grab(box))
        except (ScreenShotError, AssertionError, ValueError):
            return None  # the display has changed its size; or is gone, which mss does not expect
        return np.ascontiguousarray(shot[:: self._scale, :: self._scale])
