"""A private X11 display that nobody sees, for the window of one FCEUX.

It ends at `Xvfb.close`, with this process (see `sb3_mario.emulator.process`), and when its last
client has gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sb3_mario.emulator.errors import StartError
from sb3_mario.emulator.process import tied_to_parent

SCREEN: Final = "640x480x24"
START_SECONDS: Final = 10.0
FAMILY_LOCAL: Final = 256  # in an authority file: this machine, by its host name
MISSING: Final = (
    "frames='screen' needs a display for FCEUX's window, and there is no program 'Xvfb' to make a "
    "private one. Install it (Debian, Ubuntu: `apt install xvfb`), or show the window on your own "
    "display with window=True."
)

_environ_lock = threading.Lock()


class Xvfb:
    """A running Xvfb. Only who can read its authority file may connect to it.

    Args:
        folder: For its authority file and its log; others must not be able to read there.

    Attributes:
        display: Its name, such as ``":1"``.
        authority: Path of the authority file.

    Raises:
        StartError: Xvfb is missing, ended, or was not ready in time.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("Xvfb")
        if program is None:
            raise StartError(MISSING)
        self.authority = folder / "xauthority"
        self._log = folder / "xvfb.log"
        cookie = secrets.token_bytes(16)
        self._write_authority("", cookie)
        ready, tell = os.pipe()
        command = [program, "-displayfd", str(tell), "-screen", "0", SCREEN]
        command += ["-auth", str(self.authority), "-nolisten", "tcp", "-terminate"]
        try:
            try:
                self._process = self._start(command, tell)
            finally:
                os.close(tell)
            try:
                number = self._wait_until_ready(ready)
                self.display = f":{number}"
                self._write_authority(number, cookie)
            except BaseException:
                self.close()
                raise
        finally:
            os.close(ready)

    @contextlib.contextmanager
    def authorized(self) -> Iterator[None]:
        """Let this process connect to the display, as long as the context lasts."""
        # Both mss and python-xlib look for the authority file where this variable says.
        with _environ_lock:
            before = os.environ.get("XAUTHORITY")
            os.environ["XAUTHORITY"] = str(self.authority)
            try:
                yield
            finally:
                if before is None:
                    del os.environ["XAUTHORITY"]
                else:
                    os.environ["XAUTHORITY"] = before

    def close(self) -> None:
        """End the process. May be called again; never raises."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _start(self, command: list[str], tell: int) -> subprocess.Popen[bytes]:
        try:
            with self._log.open("wb") as log:
                return subprocess.Popen(
                    tied_to_parent(command, "TERM"),  # at which it removes its lock
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[tell],
                    start_new_session=True,
                )
        except OSError as error:
            raise StartError(
                f"{command[0]}, the private display, cannot be started: {error}"
            ) from error

    def _wait_until_ready(self, ready: int) -> str:
        """Return the number of the display, which Xvfb writes once it can be connected to."""
        deadline = time.monotonic() + START_SECONDS
        number = b""
        while not number.endswith(b"\n"):
            readable, _, _ = select.select([ready], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(ready, 16) if readable else b""
            if not data:
                how = "ended at start" if readable else f"took over {START_SECONDS:g} seconds"
                printed = self._log.read_text(errors="replace").strip()
                raise StartError(f"Xvfb, the private display, {how}. It printed: {printed}")
            number += data
        return number.decode().strip()

    def _write_authority(self, number: str, cookie: bytes) -> None:
        """Write the file in the format of ``Xau(3)``: big-endian lengths before each field."""
        fields = [socket.gethostname().encode(), number.encode(), b"MIT-MAGIC-COOKIE-1", cookie]
        entry = struct.pack(">H", FAMILY_LOCAL)
        entry += b"".join(struct.pack(">H", len(field)) + field for field in fields)
        self.authority.write_bytes(entry)
