"""Finds FCEUX's window on an X11 display, and says why its picture cannot be seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sb3_mario.emulator.errors import StartError
from sb3_mario.emulator.protocol import HEIGHT, WIDTH

if TYPE_CHECKING:
    from Xlib.xobject.drawable import Window

MISSING: Final = (
    "frames='screen' needs python-xlib to find FCEUX's window: "
    "`pip install python-xlib` (Debian, Ubuntu: `apt install python3-xlib`)"
)


class EmulatorWindow:
    """The part of FCEUX's window that shows the picture.

    It is found by the process id in ``_NET_WM_PID``, which Qt sets, and by its size: FCEUX draws
    the picture in the middle of the largest window inside the main window, below the menu bar.

    Args:
        scale: Screen pixels for each of the picture's, in both directions.
        display: Name of the display; None for that of the environment.

    Attributes:
        pid: Process id of FCEUX; to be set before anything is asked.
        width: Of the picture on the screen, pixels.
        height: Likewise.

    Raises:
        StartError: python-xlib is missing, or the display cannot be opened.
    """

    def __init__(self, scale: int, display: str | None = None) -> None:
        try:
            from Xlib import X, error
            from Xlib.display import Display
        except ImportError as missing:
            raise StartError(MISSING) from missing
        self._x = X
        self._errors = (error.XError, error.ConnectionClosedError)
        try:
            self._display = Display(display)
        except (error.DisplayError, OSError) as failed:
            raise StartError(f"cannot open the display of FCEUX's window: {failed}") from failed
        self._root: Window = self._display.screen().root
        self._pid_atom = self._display.intern_atom("_NET_WM_PID")
        self.pid = -1
        self.width, self.height = WIDTH * scale, HEIGHT * scale
        self._view: Window | None = None

    def locate(self) -> tuple[int, int] | None:
        """Return the picture's left and top on the screen; None where it is not all there."""
        try:
            box = self._box()
            if box is None:
                return None
            root = self._root.get_geometry()
        except self._errors:
            self._view = None
            return None
        left, top, width, height = box
        left += (width - self.width) // 2
        top += (height - self.height) // 2
        if width < self.width or height < self.height:
            self._view = None  # perhaps FCEUX has not made the right one yet
            return None
        inside = 0 <= left <= root.width - self.width and 0 <= top <= root.height - self.height
        return (left, top) if inside else None

    def problem(self) -> str:
        """Return why the picture cannot be seen, as the end of a sentence."""
        try:
            return self._problem()
        except self._errors as error:
            self._view = None
            return f"the display does not answer for FCEUX's window ({error})"

    def close(self) -> None:
        """Close the connection to the display. Never raises."""
        with contextlib.suppress(*self._errors):  # the display may be gone
            self._display.close()

    def _problem(self) -> str:
        box = self._box()
        if box is None:
            return f"FCEUX, process {self.pid}, has no window on this display"
        assert self._view is not None
        if self._view.get_attributes().map_state != self._x.IsViewable:
            return "FCEUX's window is minimised or hidden; show it"
        left, top, width, height = box
        if width < self.width or height < self.height:
            return (
                f"FCEUX's window has {width}x{height} pixels for the picture, which needs "
                f"{self.width}x{self.height}; make it larger"
            )
        if self.locate() is None:
            return f"FCEUX's picture, at {left},{top}, lies partly outside the screen; move it back"
        above = self._covering(box)
        if above is not None:
            return f"FCEUX's window is covered by {above}; move that away"
        return (
            "FCEUX's window is in sight, but what is on the screen there is not its picture. Is "
            "something drawn over it, or is this a Wayland session, whose screen cannot be read? "
            "Take window=False then, for a private display"
        )

    def _box(self) -> tuple[int, int, int, int] | None:
        """Return left, top, width and height of the window that holds the picture."""
        if self._view is None:
            self._view = self._find()
        if self._view is None:
            return None
        size = self._view.get_geometry()
        place = self._root.translate_coords(self._view, 0, 0)
        return place.x, place.y, size.width, size.height

    def _find(self) -> Window | None:
        found = [
            (size.width * size.height, view.id, view)
            for main in self._mains(self._root)
            for view in main.query_tree().children
            if (size := view.get_geometry())
        ]
        return max(found)[2] if found else None

    def _mains(self, window: Window) -> Iterator[Window]:
        """Yield the outermost windows of the process."""
        for child in window.query_tree().children:
            pid = child.get_full_property(self._pid_atom, self._x.AnyPropertyType)
            if pid is not None and list(pid.value) == [self.pid]:
                yield child
            else:
                yield from self._mains(child)

    def _covering(self, box: tuple[int, int, int, int]) -> str | None:
        """Return the name of a window that lies over a part of the screen, above ours."""
        left, top, width, height = box
        ours: Any = self._view
        while (parent := ours.query_tree().parent) != self._root:
            ours = parent
        for window in reversed(self._root.query_tree().children):  # highest first
            if window == ours:
                break
            attributes, size = window.get_attributes(), window.get_geometry()
            if (
                attributes.map_state == self._x.IsViewable
                and attributes.win_class == self._x.InputOutput
                and size.x < left + width
                and size.y < top + height
                and size.x + size.width > left
                and size.y + size.height > top
            ):
                return self._name(window)
        return None

    def _name(self, window: Window) -> str:
        for candidate in (window, *window.query_tree().children):
            name = candidate.get_wm_name()
            if name:
                return f"the window {name!r}"
        return f"a window without a name (0x{window.id:x})"
