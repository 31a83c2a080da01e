"""Takes FCEUX's picture from the screen, with mss."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from mss import MSS, ScreenShotError

from sb3_mario.emulator import deadlines, strip
from sb3_mario.emulator.errors import CaptureError, StartError
from sb3_mario.emulator.protocol import HEIGHT, WIDTH
from sb3_mario.emulator.sync import Capture
from sb3_mario.emulator.window import EmulatorWindow

SLICES: Final = 10

_Answer = TypeVar("_Answer")
_Questions = SimpleQueue[tuple["Future[Any]", Callable[[], Any]] | None]


class ScreenCapture:
    """Takes pictures of one FCEUX's window.

    Where the window stands is asked again after every picture that shows no frame. All that asks
    the display runs in a thread of its own, for neither mss nor python-xlib has deadlines.

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
        self._place: tuple[int, int] | None = None
        self._hangs = False
        self._connections = contextlib.ExitStack()
        self._questions: _Questions = SimpleQueue()
        self._end = weakref.finalize(self, _end, self._questions, self._connections)
        threading.Thread(target=_answer, args=(self._questions,), daemon=True).start()
        try:
            self._window, self._mss = self._ask(lambda: self._connect(display))
        except BaseException as error:
            self.close()
            if isinstance(error, CaptureError):
                raise StartError(str(error)) from error
            raise

    def follow(self, pid: int) -> None:
        """Set the process whose window it is. Before the first picture."""
        self._window.pid = pid

    def capture(self) -> Capture:
        """Take a picture, and read which frame it shows; the strips are cut out of it.

        Raises:
            CaptureError: The display does not answer.
        """
        timestamp_us = time.time_ns() // 1000
        shot = self._ask(self._grab)
        frame_id = None if shot is None else strip.read(shot, self._key)
        if shot is None or frame_id is None:
            self._place = None
            return Capture(None, timestamp_us)
        picture = np.empty_like(shot)
        cv2.cvtColor(shot, cv2.COLOR_BGRA2RGBA, dst=picture)
        strip.cut(picture)
        return Capture(frame_id, timestamp_us, picture)

    def problem(self) -> str:
        """Return why the picture cannot be seen, as the end of a sentence.

        Raises:
            CaptureError: The display does not answer.
        """
        return self._ask(self._window.problem)

    def close(self) -> None:
        """Close the connections to the display. May be called again; never raises."""
        try:
            if self._end.alive:
                self._ask(self._connections.close)
        except CaptureError:
            pass  # they are closed if the display goes on
        finally:
            self._end()

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Return the answer of a function that asks the display.

        Raises:
            CaptureError: There is none in time, or there was none before.
        """
        future: Future[_Answer] = Future()
        if not self._hangs:
            self._questions.put((future, question))
            for _ in range(SLICES):  # so that this process may stand still itself meanwhile
                if wait([future], deadlines.DISPLAY_SECONDS / SLICES).done:
                    return future.result()
            self._hangs = True
        raise CaptureError(
            f"the X11 display did not answer within {deadlines.DISPLAY_SECONDS:g} seconds: it "
            "stands still, or a program keeps it for itself"
        )

    def _connect(self, display: str | None) -> tuple[EmulatorWindow, MSS]:
        window = EmulatorWindow(self._scale, display)
        self._connections.callback(window.close)
        try:
            pictures = MSS(display=display)
        except ScreenShotError as error:
            raise StartError(f"mss cannot take pictures of the display: {error}") from error
        self._connections.enter_context(contextlib.suppress(ScreenShotError))
        self._connections.callback(pictures.close)  # raises where the display is gone
        return window, pictures

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


def _answer(questions: _Questions) -> None:
    """Answer one question after the other, until there is None."""
    while (asked := questions.get()) is not None:
        future, question = asked
        try:
            future.set_result(question())
        except Exception as error:
            future.set_exception(error)
        del asked, future, question  # they would keep what was asked for until the next one


def _end(questions: _Questions, connections: contextlib.ExitStack) -> None:
    questions.put((Future(), connections.close))
    questions.put(None)
