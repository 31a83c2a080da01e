"""The temporary folder of one FCEUX, and the removal of those that killed trainers have left.

The owner of a folder holds a lock on a file in it, which the system frees when the owner ends,
however that is. A process id would not do: containers may share a folder for temporary files, and
each sees the processes of the others as dead. Where there are no such locks the id must do.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

if sys.platform != "win32":
    import fcntl

FOLDER_PREFIX: Final = "sb3-mario-fceux-"
NEW_PREFIX: Final = "sb3-mario-new-"  # until it is locked, so that nobody takes it for a stale one
LOCK_NAME: Final = "lock"


class TemporaryFolder:
    """A new folder, for this user only, that is this process's until it removes it or ends.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        new = Path(tempfile.mkdtemp(prefix=NEW_PREFIX))
        try:
            self._lock = _make_lock(new / LOCK_NAME)
            rest = new.name.removeprefix(NEW_PREFIX)
            self.path = new.rename(new.with_name(f"{FOLDER_PREFIX}{os.getpid()}-{rest}"))
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove it with all that is in it. May be called again; never raises."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def remove_stale_folders() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        try:
            with (folder / LOCK_NAME).open("r+b", buffering=0) as lock:
                if _take(lock):
                    shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            owner = folder.name.removeprefix(FOLDER_PREFIX).split("-")[0]
            if owner.isdigit() and not _is_alive(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # another user's


def _make_lock(path: Path) -> IO[bytes] | None:
    """Return the file, locked as long as it is open; None, and no file, where that cannot be."""
    lock = path.open("xb", buffering=0)
    if _take(lock):
        return lock
    lock.close()
    path.unlink()
    return None


def _take(lock: IO[bytes]) -> bool:
    """Lock a file; return whether that was possible."""
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
    return False


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # there os.kill(pid, 0) would end the process instead of asking for it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
