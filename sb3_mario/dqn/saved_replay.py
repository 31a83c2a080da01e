"""Replay buffers of training, saved without pickle: `FrameReplayBuffer` and SB3's own."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_mario.dqn import array_file
from sb3_mario.dqn.replay import FrameReplayBuffer

# Subclasses may have more to them than is known here.
_SB3_CLASSES: Final = (ReplayBuffer, NStepReplayBuffer, DictReplayBuffer)


def opened(path: Any, mode: Literal["rb", "wb"]) -> AbstractContextManager[IO[bytes]]:
    """Open a path, to which ``.npz`` is added where it has no ending; or hand on an open file."""
    if not isinstance(path, str | os.PathLike):
        return nullcontext(path)
    found = Path(path)
    return (found if found.suffix else found.with_name(f"{found.name}.npz")).open(mode)


def check_savable(buffer: ReplayBuffer) -> None:
    """Raise unless the buffer can be saved.

    Raises:
        TypeError: It is of a class that is not known here.
    """
    if not isinstance(buffer, FrameReplayBuffer) and type(buffer) not in _SB3_CLASSES:
        raise TypeError(
            f"a {type(buffer).__name__} cannot be saved with the checkpoints: leave "
            "save_replay_buffer (--save-replay-buffer) out, or use FrameReplayBuffer or one of "
            f"{', '.join(cls.__name__ for cls in _SB3_CLASSES)}"
        )


def save_replay_buffer(buffer: ReplayBuffer, file: IO[bytes]) -> None:
    """Write a buffer.

    Args:
        buffer: The buffer.
        file: Open for writing.

    Raises:
        TypeError: See `check_savable`.
        OSError: The file could not be written.
    """
    check_savable(buffer)
    if isinstance(buffer, FrameReplayBuffer):
        buffer.save(file)
    else:
        meta = {"format": type(buffer).__name__, "pos": buffer.pos, "full": buffer.full}
        array_file.write(file, meta, _arrays(buffer, buffer.full, buffer.pos))


def load_replay_buffer(buffer: ReplayBuffer, file: IO[bytes]) -> None:
    """Take over a saved buffer's content, in place; no code is run.

    Where the saved run stopped its episodes end: returns of several steps must not reach from them
    into those of the resumed run.

    Args:
        buffer: Of the class and the settings that were saved.
        file: Open for reading.

    Raises:
        TypeError: See `check_savable`.
        ValueError: The file is torn, no saved buffer, or one with other settings.
    """
    check_savable(buffer)
    try:
        _load(buffer, file)
    except ValueError as error:
        raise ValueError(f"the saved replay buffer does not fit: {error}") from error


def _load(buffer: ReplayBuffer, file: IO[bytes]) -> None:
    if isinstance(buffer, FrameReplayBuffer):
        buffer.load(file)
        return
    with array_file.ArrayFile(file) as saved:
        form, pos, full = (saved.meta.get(name) for name in ("format", "pos", "full"))
        if form != type(buffer).__name__:
            raise ValueError(f"it is a {form}, not a {type(buffer).__name__}")
        if type(pos) is not int or type(full) is not bool or not 0 <= pos < buffer.buffer_size:
            raise ValueError(f"it is damaged: pos {pos}, full {full}")
        buffer.reset()
        for name, blocks in _arrays(buffer, full, pos).items():
            saved.fill(name, blocks)
        buffer.pos, buffer.full = pos, full
    if buffer.size() > 0:
        last = buffer.pos - 1
        buffer.timeouts[last] = np.maximum(buffer.timeouts[last], 1 - buffer.dones[last])


def _arrays(buffer: ReplayBuffer, full: bool, pos: int) -> dict[str, array_file.Blocks]:
    """Return the rows that are written to, as views."""
    arrays: dict[str, Any] = {
        name: getattr(buffer, name) for name in ("actions", "rewards", "dones", "timeouts")
    }
    for name in ("observations", "next_observations"):
        observations = getattr(buffer, name, None)  # the next are shared to optimize memory
        if isinstance(observations, dict):
            arrays |= {f"{name}_{part}": array for part, array in observations.items()}
        elif observations is not None:
            arrays[name] = observations
    return {name: [array[: None if full else pos]] for name, array in arrays.items()}
