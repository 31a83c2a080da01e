"""One FCEUX process: find it, start it with the Lua script, watch it, stop it.

Nothing outlives the trainer, however that ends:

* `Fceux.close` and the interpreter's exit (`atexit`) end the process.
* When the trainer dies without either (SIGTERM, SIGKILL, a crash), Linux kills FCEUX with it, where
  ``setpriv`` is installed and the main thread started FCEUX (`sb3_mario.emulator.process`).
  Everywhere else the Lua script ends FCEUX once it has been without a client for
  `deadlines.ALONE_SECONDS`, ten seconds and up to one more.
* A private display ends with FCEUX (`sb3_mario.emulator.xvfb`).
* What a killed trainer leaves of its temporary folders is removed by the next start
  (`sb3_mario.emulator.folders`).
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Final

from sb3_mario.emulator import deadlines
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import BridgeError, StartError
from sb3_mario.emulator.folders import TemporaryFolder, remove_stale_folders
from sb3_mario.emulator.process import tied_to_parent
from sb3_mario.emulator.screen import ScreenCapture
from sb3_mario.emulator.sync import FrameSynchronizer, SyncCounters
from sb3_mario.emulator.xvfb import Xvfb
from sb3_mario.resources import lua_bridge_dir

LOG_NAME: Final = "fceux.log"
READY: Final = re.compile(r"^sb3-mario: ready on port (\d+)$", re.MULTILINE)
# FCEUX's OpenGL driver, the default, crashes without a display; SDL draws with and without one.
CONFIG: Final = "SDL.VideoDriver = 1\n"
# Without a window FCEUX still converts every picture for it, which is a third of its time: let it
# be one line high. What Lua reads is the whole picture all the same.
HEADLESS_CONFIG: Final = CONFIG + "SDL.ScanLineStartNTSC = 0\nSDL.ScanLineEndNTSC = 1\n"
# For pictures from the screen: every line, no messages over them, each pixel as a block of whole
# screen pixels however large the window is, and no wait for a monitor's refresh.
SCREEN_CONFIG: Final = CONFIG + (
    "SDL.ScanLineStartNTSC = 0\nSDL.ScanLineEndNTSC = 239\nSDL.ShowGuiMessages = 0\n"
    "SDL.AutoScale = 0\nSDL.XScale = {scale}\nSDL.YScale = {scale}\nSDL.VideoVsync = 0\n"
)
PRIVATE_SCALE: Final = 1
VISIBLE_SCALE: Final = 2  # as large as FCEUX's window always is
NO_X11: Final = (
    "frames='screen' with a window needs X11, but DISPLAY is not set (Wayland without Xwayland?)"
)
# Debian keeps games out of root's PATH.
EXTRA_PATH: Final = "/usr/games:/usr/local/games"

_running: weakref.WeakSet[Fceux] = weakref.WeakSet()


def find_fceux() -> Path:
    """Return FCEUX's executable: ``SB3_MARIO_FCEUX``, else the one in PATH.

    Raises:
        StartError: There is none.
    """
    chosen = os.environ.get("SB3_MARIO_FCEUX")
    path = os.environ.get("PATH", "") + os.pathsep + EXTRA_PATH
    found = shutil.which(chosen or "fceux", path=path)
    if found is None:
        where = f"SB3_MARIO_FCEUX={chosen}" if chosen else "'fceux' in PATH or /usr/games"
        raise StartError(
            f"FCEUX is missing: no program {where}. Install it (Debian, Ubuntu: "
            "`apt install fceux lua-socket lua-dkjson`; else https://fceux.com), or name it in "
            "SB3_MARIO_FCEUX."
        )
    return Path(found)


class Fceux:
    """A running FCEUX with its bridge.

    Args:
        rom: Path of the ROM; the caller has checked that it is one.
        window: Show FCEUX's window. Needs a display.
        screen: Take the pictures from the screen: from the window where it is shown, else from a
            private display, which needs Xvfb. Needs python-xlib, and X11.
        speed: ``"maximum"``, or ``"normal"`` for 60 frames a second.
        keyboard: Let the keys of the window press buttons too.
        counters: Of states and pictures, to count on with; None for new ones.
        start_timeout: Seconds until FCEUX must be ready.
        timeout: Seconds to wait for each answer.

    Attributes:
        bridge: The connection to its Lua script.
        pid: Process id.

    Raises:
        StartError: FCEUX, the display, or what the screen needs is missing, or FCEUX ended or hung
            at start; the message carries what FCEUX printed.
    """

    bridge: Bridge

    def __init__(
        self,
        rom: str | os.PathLike[str],
        *,
        window: bool = False,
        screen: bool = False,
        speed: str = "maximum",
        keyboard: bool = False,
        counters: SyncCounters | None = None,
        start_timeout: float = deadlines.START_SECONDS,
        timeout: float = deadlines.ANSWER_SECONDS,
    ) -> None:
        program = find_fceux()
        script = lua_bridge_dir() / "main.lua"
        remove_stale_folders()
        self._folder = TemporaryFolder()
        self._home = self._folder.path
        self._log = self._home / LOG_NAME
        self._process: subprocess.Popen[bytes] | None = None
        self._xvfb: Xvfb | None = None
        self._screen: ScreenCapture | None = None
        self._owner = os.getpid()
        _running.add(self)
        token = secrets.token_urlsafe(32)
        try:
            config = CONFIG if window else HEADLESS_CONFIG
            environment = _environment(self._home, window)
            if screen:
                scale = VISIBLE_SCALE if window else PRIVATE_SCALE
                config = SCREEN_CONFIG.format(scale=scale)
                environment |= self._open_screen(scale, private=not window)
            _write_config(self._home, config)
            environment |= {
                "SB3_MARIO_TOKEN": token,
                "SB3_MARIO_PORT": "0",
                "SB3_MARIO_SPEED": speed,
                "SB3_MARIO_KEYBOARD": str(int(keyboard)),
                **deadlines.for_lua(),
            }
            # absolute: FCEUX runs in a folder of its own
            game = str(Path(rom).absolute())
            command = [str(program), "--sound", "0", "--loadlua", str(script), game]
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    tied_to_parent(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=self._home,
                    start_new_session=True,  # a Ctrl-C is for the trainer, which ends FCEUX itself
                )
            self.pid = self._process.pid
            if self._screen is not None:
                self._screen.follow(self.pid)
            port = self._wait_until_ready(start_timeout)
            try:
                sync = FrameSynchronizer(self._screen, counters)
                self.bridge = Bridge(port, token, timeout=timeout, sync=sync)
            except BridgeError as error:
                raise StartError(f"{error}\n{self.output()}") from error
        except BaseException:
            self.close()
            raise

    def is_running(self) -> bool:
        """Return whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def output(self, lines: int = 15) -> str:
        """Return the last lines that FCEUX printed, for error messages."""
        try:
            printed = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return "FCEUX's output is gone."
        return "\n".join(["FCEUX printed:", *(f"  {line}" for line in printed[-lines:])])

    def close(self) -> None:
        """End the process and remove its folder. May be called again; never raises."""
        bridge: Bridge | None = getattr(self, "bridge", None)
        if bridge is not None:
            bridge.close()
        if self._process is not None:
            if bridge is None:
                self._process.kill()
            try:
                self._process.wait(deadlines.CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._screen is not None:
            self._screen.close()
        if self._xvfb is not None:
            self._xvfb.close()
        self._folder.remove()
        _running.discard(self)

    def kill(self) -> None:
        """End a process that is not to be relied on any more, and remove its folder."""
        self.bridge.abort()
        if self._process is not None:
            self._process.kill()
        self.close()

    def _open_screen(self, scale: int, *, private: bool) -> dict[str, str]:
        """Get ready to take pictures of the screen.

        Returns:
            The part of FCEUX's environment that makes its window one to take pictures of.
        """
        if not sys.platform.startswith("linux"):
            raise StartError(
                f"frames='screen' works with X11 on Linux only, not on {sys.platform!r}: use "
                "frames='bridge', which brings the same pictures"
            )
        key = secrets.randbits(32)
        environment = {
            "SB3_MARIO_STRIP_KEY": str(key),
            "QT_QPA_PLATFORM": "xcb",
            "SDL_VIDEODRIVER": "x11",
            # a window's pixels are the screen's, whatever the desktop's scale
            "QT_ENABLE_HIGHDPI_SCALING": "0",
            "QT_AUTO_SCREEN_SCALE_FACTOR": "0",
            "QT_SCALE_FACTOR": "1",
            "SDL_RENDER_DRIVER": "software",
        }
        if not private:
            if not os.environ.get("DISPLAY"):
                raise StartError(f"{NO_X11}. Take window=False, for a private display.")
            self._screen = ScreenCapture(key, scale)
            return environment
        self._xvfb = Xvfb(self._home)
        with self._xvfb.authorized():
            self._screen = ScreenCapture(key, scale, self._xvfb.display)
        return environment | {
            "DISPLAY": self._xvfb.display,
            "XAUTHORITY": str(self._xvfb.authority),
        }

    def _wait_until_ready(self, timeout: float) -> int:
        """Return the port that the script prints once the game's title stands."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            alive = self.is_running()
            ready = READY.search(self._log.read_text(errors="replace"))
            if ready:
                return int(ready[1])
            if not alive:
                assert self._process is not None
                raise StartError(
                    f"FCEUX ended at start with code {self._process.returncode}.\n{self.output()}"
                )
            time.sleep(0.02)
        raise StartError(f"FCEUX was not ready within {timeout:g} seconds.\n{self.output()}")


def run_script(script: Path) -> str:
    """Run FCEUX without a game and with a Lua script that ends it.

    Returns:
        What it printed.

    Raises:
        StartError: FCEUX is missing, failed, or did not end in time.
    """
    command = [str(find_fceux()), "--sound", "0", "--loadlua", str(script)]
    try:
        with tempfile.TemporaryDirectory(prefix="sb3-mario-script-") as folder:
            home = Path(folder)
            _write_config(home, HEADLESS_CONFIG)
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(home, window=False),
                cwd=home,
                timeout=deadlines.SCRIPT_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise StartError(f"it did not end within {deadlines.SCRIPT_SECONDS:g} seconds") from error
    except OSError as error:
        raise StartError(str(error)) from error
    printed = result.stdout.decode(errors="replace")
    if result.returncode != 0:
        raise StartError(f"it ended with code {result.returncode} and printed: {printed.strip()}")
    return printed


def _write_config(home: Path, config: str) -> None:
    path = home / ".fceux" / "fceux.cfg"
    path.parent.mkdir()
    path.write_text(config)


def _environment(home: Path, window: bool) -> dict[str, str]:
    environment = dict(os.environ, HOME=str(home), SDL_AUDIODRIVER="dummy")
    # FCEUX would keep its settings there, shared by all
    for name in ("FCEUX_HOME", "FCEUX_CONFIG_DIR", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    # opencv-python points Qt at its own plugins, which FCEUX's Qt cannot load
    for name in ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR"):
        if "cv2" in Path(environment.get(name, "")).parts:
            del environment[name]
    if not window:
        return environment | {"QT_QPA_PLATFORM": "offscreen", "SDL_VIDEODRIVER": "dummy"}
    if not has_display():
        raise StartError(
            "no display for FCEUX's window: DISPLAY is not set. Run in a desktop session, under "
            "`xvfb-run`, or without window=True and render_mode='human'."
        )
    # X11 looks for it in HOME, which is another one for FCEUX
    environment.setdefault("XAUTHORITY", str(Path.home() / ".Xauthority"))
    return environment


def has_display() -> bool:
    """Return whether the environment names a display; elsewhere than on Linux there is one."""
    linux = sys.platform.startswith("linux")
    return not linux or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@atexit.register
def _close_all() -> None:
    for fceux in list(_running):
        if fceux._owner == os.getpid():  # not in a fork of the process that started it
            fceux.close()
