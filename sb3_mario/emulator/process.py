"""Child processes that end with this one."""

from __future__ import annotations

import shutil
import sys
import threading


def tied_to_parent(command: list[str], signal: str = "KILL") -> list[str]:
    """Return the command so that Linux sends it a signal when this process dies."""
    # The signal comes when the *thread* that started it ends, so only the main thread may ask.
    setpriv = shutil.which("setpriv") if sys.platform.startswith("linux") else None
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return command
    return [setpriv, "--pdeathsig", signal, "--", *command]
