"""A desktop for tests: an X11 display with a window manager, and hands to move windows."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from Xlib import X
from Xlib.display import Display
from Xlib.error import ConnectionClosedError
from Xlib.protocol import event

from sb3_mario.emulator import xvfb
from sb3_mario.emulator.xvfb import Xvfb

WIDTH, HEIGHT = 1280, 900
ICONIC = 3


class Desktop:
    """An Xvfb with openbox, which becomes the display of this process.

    Args:
        folder: For their files.
        patch: Sets the environment.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(xvfb, "SCREEN", f"{WIDTH}x{HEIGHT}x24")
        self._xvfb = Xvfb(folder)
        patch.setenv("DISPLAY", self._xvfb.display)
        patch.setenv("XAUTHORITY", str(self._xvfb.authority))
        patch.setenv("HOME", str(folder))
        patch.delenv("WAYLAND_DISPLAY", raising=False)
        self.display = Display()
        self.root = self.display.screen().root
        self._manager = subprocess.Popen(
            ["openbox", "--sm-disable"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        managed = self.display.intern_atom("_NET_SUPPORTING_WM_CHECK")
        wait_for(lambda: self.root.get_full_property(managed, X.AnyPropertyType) is not None)

    def kill(self) -> None:
        """End the display at once, as when it crashes."""
        self._xvfb._process.kill()
        self._xvfb._process.wait()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let the display answer nobody."""
        self._xvfb._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._xvfb._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._manager.terminate()
        self._manager.wait(5)
        with contextlib.suppress(ConnectionClosedError):
            self.display.close()
        self._xvfb.close()

    def window_of(self, pid: int) -> Any:
        """The main window of a process."""
        atom = self.display.intern_atom("_NET_WM_PID")

        def search(window: Any) -> Any:
            for child in window.query_tree().children:
                owner = child.get_full_property(atom, X.AnyPropertyType)
                is_main = owner is not None and owner.value[0] == pid
                found = child if is_main and child.get_wm_name() else search(child)
                if found is not None:
                    return found
            return None

        return search(self.root)

    def configure(self, window: Any, **changes: int) -> None:
        """Move or resize a window; the window manager does it."""
        window.configure(**changes)
        self._settle()

    def minimise(self, window: Any) -> None:
        change = event.ClientMessage(
            window=window,
            client_type=self.display.intern_atom("WM_CHANGE_STATE"),
            data=(32, [ICONIC, 0, 0, 0, 0]),
        )
        self.root.send_event(change, X.SubstructureRedirectMask | X.SubstructureNotifyMask)
        self._settle()

    def show(self, window: Any) -> None:
        window.map()
        self._settle()

    def cover(self, left: int, top: int, width: int, height: int, colour: int = 0x808080) -> Any:
        """Put a window over everything there; ``destroy()`` takes it away."""
        window = self.root.create_window(
            left, top, width, height, 0, X.CopyFromParent, background_pixel=colour,
            override_redirect=True,
        )  # fmt: skip
        window.set_wm_name("a curtain")
        window.map()
        self._settle()
        return window

    def uncover(self, window: Any) -> None:
        window.destroy()
        self.display.sync()

    def _settle(self) -> None:
        self.display.sync()
        time.sleep(0.3)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
