"""Looks at processes and at what they leave behind, for tests of starts and ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sb3_mario.emulator.folders import FOLDER_PREFIX


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return _stat(pid)[0] not in ("", "Z")


def start_trainer(code: str, where: str) -> tuple[subprocess.Popen[str], int]:
    """Run Python code, that prints a process id, in a process of its own.

    Args:
        code: What to run.
        where: ``"main thread"``, or another of that process.

    Returns:
        That process, and the id that it printed.
    """
    start = f"""
import threading
run = lambda: exec({code!r}, globals())
if {where == "main thread"}:
    run()
else:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
"""
    trainer = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    with trainer.stdout as printed:
        return trainer, int(printed.readline())


def wait_until_gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process started, and that those started: names by id."""
    parents = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    found: dict[int, str] = {}
    front = {pid}
    while front:
        front = {child for child, (_, parent, _) in parents.items() if parent in front}
        found |= {child: parents[child][2] for child in front}
    return found


def parent(pid: int) -> int:
    """The process that started a process."""
    return _stat(pid)[1]


def folders_of(pid: int | str, below: Path | None = None) -> list[Path]:
    """FCEUX's temporary folders that the process ``pid`` (or ``"*"``) made."""
    return list((below or Path(tempfile.gettempdir())).glob(f"{FOLDER_PREFIX}{pid}-*"))


def _stat(pid: int) -> tuple[str, int, str]:
    """Return state, parent and name; an empty state where there is no such process."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return "", 0, ""
    state, parent, *_ = rest.split()
    return state, int(parent), name
