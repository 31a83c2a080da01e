"""One CSV row for each episode of training."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_mario.callbacks.learner import LearnerMeter

COLUMNS = {
    "wall_time": "Unix time at the episode's end, seconds",
    "env": "environment, from 0",
    "episode": "episode of that environment, from 1, counted on when a run is resumed",
    "timesteps": "environment steps of the run so far, all environments together",
    "frames": "emulated frames of the episode",
    "reward": "sum of the episode's rewards",
    "length": "steps of the episode",
    "max_x": "largest x, pixels",
    "world": "world at the end, from 1",
    "stage": "stage at the end, from 1",
    "flag_get": "1 where the level was cleared, else 0",
    "end_cause": "flag, pit, enemy, clock, warp, stuck, step_limit, game_over or emulator: it "
    "broke",
    "score": "score at the end",
    "coins": "coins at the end",
    "power": "0 small, 1 tall, 2 fire",
    "clock": "the game's clock at the end",
    "progress": "share of the level done, 0 to 1",
    "exploration_rate": "probability of a random action at the end",
    "mean_loss": "mean loss of the gradient steps during the episode",
    "mean_q": "mean over the batches of those steps of max_a Q(s, a), online network",
    "sync_frames": "frames matched with their state",
    "sync_retakes": "captures taken again",
    "sync_mismatches": "frames that did not fit their state",
    "sync_reconnects": "emulators that broke in the episode or at its start",
}
"""The CSV's columns, in order, and what they mean."""

# Columns that an info's entry fills as it is.
_FROM_INFO = {"clock": "time"} | {
    name: name
    for name in (
        *("frames", "max_x", "world", "stage", "flag_get", "end_cause", "score", "coins"),
        *("power", "progress"),
        *("sync_frames", "sync_retakes", "sync_mismatches", "sync_reconnects"),
    )
}
_SYNC = tuple(name for name in COLUMNS if name.startswith("sync_"))
_HEADER = ",".join(COLUMNS).encode()


class EpisodeCSVCallback(BaseCallback):
    """Writes one row an episode, at once; the columns are `COLUMNS`.

    A cell is empty where nothing was measured: the loss and the Q-values before learning starts,
    and what an environment's info lacks. A gradient step belongs to the episodes that run when
    the next environment step ends.

    When a run is resumed the file is cut to the rows up to the model's ``num_timesteps``: what
    came after belongs to the part that is lost. A torn last line goes too. ``Monitor``'s files,
    which do not know the steps, are cut to the same episodes. Put this callback
    before the one that saves checkpoints, so that a checkpoint's rows are written when it is. The
    sums of the ``sync_*`` columns of the rows that are kept are recorded with the model's logger,
    as ``sync/*``, for `TensorboardCallback` to count on from.

    The file is locked while it is written. When the disk is full rows wait in memory, with a
    warning, and are written with the next that fits.

    Args:
        path: The file; its folder is made where it is missing.
        monitor_files: ``Monitor``'s files, one for each environment, in order.
        verbose: 1 prints how many rows were cut when a run is resumed.

    Raises:
        ValueError: At the start of training: the file has other columns, or a damaged line in the
            middle. At an episode's end: the environment has no ``Monitor``.
        FileExistsError: At the start of training: the run begins at step 0 and the file has rows.
        BlockingIOError: At the start of training: another run writes this file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor_files: Sequence[Path] = (),
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.path = Path(path)
        self.monitor_files = tuple(monitor_files)
        self._file: io.FileIO | None = None
        self._waiting = b""  # rows that could not be written yet
        self._meter: LearnerMeter | None = None

    def close(self) -> None:
        """Close the file; the end of training does it too."""
        if self._meter is not None:
            self._meter.close()
            self._meter = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_training_start(self) -> None:
        self.close()
        n_envs = self.training_env.num_envs
        self._file = _open_locked(self.path)
        try:
            kept = self._cut(self._file)
            # With no rows to go by, all that the monitors have stays.
            episodes, sync = kept or ({}, Counter())
            self._episodes = [episodes.get(env, 0) for env in range(n_envs)]
            if kept is not None:
                for monitor_file, count in zip(self.monitor_files, self._episodes, strict=False):
                    _cut_monitor_file(monitor_file, count)
        except BaseException:
            self.close()
            raise
        for column, total in sync.items():
            self.logger.record(column.replace("sync_", "sync/"), total)
        self._meter = LearnerMeter(self.model)
        # Loss and Q of the running episodes, weighted by gradient steps: (n_envs, 2).
        self._sums = np.zeros((n_envs, 2))
        self._counts = np.zeros((n_envs, 2), dtype=np.int64)
        self._warned_loss = self._warned_disk = False

    def _on_step(self) -> bool:
        self._measure()
        for env, (done, info) in enumerate(
            zip(self.locals["dones"], self.locals["infos"], strict=True)
        ):
            if done:
                self._episodes[env] += 1
                self._write(_row(self._cells(env, info)))
                self._sums[env] = self._counts[env] = 0
        return True

    def _on_training_end(self) -> None:
        if self._waiting and self._file is not None:
            self._write(b"")
        self.close()

    def _measure(self) -> None:
        assert self._meter is not None
        learned = self._meter.read()
        for column, value in enumerate((learned.loss, learned.mean_q)):
            if value is not None:
                self._sums[:, column] += value * learned.updates
                self._counts[:, column] += learned.updates
        if not math.isfinite(learned.loss or 0.0) and not self._warned_loss:
            self._warned_loss = True
            warnings.warn(
                f"the loss is {learned.loss} at step {self.num_timesteps}: training has diverged; "
                "start again from an earlier checkpoint, with a lower learning rate",
                stacklevel=2,
            )

    def _cells(self, env: int, info: dict[str, Any]) -> dict[str, Any]:
        if "episode" not in info:
            raise ValueError(
                "info has no 'episode': wrap the environments in stable_baselines3's Monitor, as "
                "make_vec_env does"
            )
        cells = {name: info.get(key) for name, key in _FROM_INFO.items()}
        if cells["end_cause"] is None and info.get("TimeLimit.truncated"):
            cells["end_cause"] = "step_limit"  # cut by a wrapper, not by the environment
        mean_loss, mean_q = (
            total / count if count else None
            for total, count in zip(self._sums[env], self._counts[env], strict=True)
        )
        return cells | {
            "wall_time": f"{time.time():.3f}",
            "env": env,
            "episode": self._episodes[env],
            "timesteps": self.num_timesteps,
            "reward": info["episode"]["r"],
            "length": info["episode"]["l"],
            "exploration_rate": getattr(self.model, "exploration_rate", None),
            "mean_loss": mean_loss,
            "mean_q": mean_q,
        }

    def _write(self, row: bytes) -> None:
        assert self._file is not None
        self._waiting += row
        try:
            _append(self._file, self._waiting)
        except OSError as error:
            if not self._warned_disk:
                self._warned_disk = True
                warnings.warn(
                    f"could not write {self.path}: {error.strerror}; rows wait in memory until "
                    "there is room",
                    stacklevel=2,
                )
        else:
            self._waiting = b""
            self._warned_disk = False

    def _cut(self, file: io.FileIO) -> tuple[dict[int, int], Counter[str]] | None:
        """Cut the file to the rows up to ``num_timesteps``, or write the header of a new one.

        Returns:
            The episodes by environment, and the sums of the ``sync_*`` columns; None for a new one.
        """
        file.seek(0)
        # What follows the last line feed was torn by a crash.
        *lines, torn = file.readall().split(b"\n")
        if not lines and _HEADER.startswith(torn):
            file.truncate(0)
            _append(file, _HEADER + b"\n")
            return None
        if not lines or lines[0] != _HEADER:
            raise ValueError(
                f"{self.path} has other columns than this version writes: "
                f"{(lines or [torn])[0][:200]!r}. Move it away or choose another path."
            )
        if len(lines) > 1 and self.num_timesteps == 0:
            raise FileExistsError(
                f"{self.path} has {len(lines) - 1} episodes of another run; move it away, choose "
                "another path, or resume that run"
            )
        episodes: dict[int, int] = {}
        sync: Counter[str] = Counter()
        kept = 0
        end = len(_HEADER) + 1
        for number, line in enumerate(lines[1:], start=2):
            row = _parse(line)
            if row is None and number < len(lines):
                raise ValueError(f"{self.path}, line {number} is damaged: {line[:200]!r}")
            if row is None or row["timesteps"] > self.num_timesteps:
                break
            episodes[row["env"]] = row["episode"]
            sync.update({name: row[name] for name in _SYNC if name in row})
            end += len(line) + 1
            kept += 1
        # Steps only grow, so the rows to go are the last: cutting is one call, all or nothing.
        file.truncate(end)
        if self.verbose >= 1:
            print(f"{self.path}: {kept} episodes kept, {len(lines) - 1 - kept} cut")
        return episodes, sync


def _cut_monitor_file(path: Path, episodes: int) -> None:
    """Cut a file of SB3's ``Monitor`` to its first ``episodes`` rows."""
    *lines, _ = path.read_bytes().split(b"\n")
    kept = lines[: 2 + episodes]  # after the line of JSON and the names of the columns
    # The file may be open already: it is appended to, so it goes on at its new end.
    os.truncate(path, sum(len(line) + 1 for line in kept))


def _open_locked(path: Path) -> io.FileIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without Python's buffer each row goes to the system at once, and always to the file's end.
    file = io.FileIO(path, "a+")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise BlockingIOError(
                error.errno,
                f"another run writes {path}; stop it (in this process: close() its callback), "
                "or choose another path",
            ) from error
    return file


def _append(file: io.FileIO, data: bytes) -> None:
    """Append all of ``data`` or, with an OSError, nothing."""
    size = os.fstat(file.fileno()).st_size
    try:
        while data:
            data = data[file.write(data) :]
    except OSError:
        file.truncate(size)
        raise


def _row(cells: dict[str, Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(_text(cells[name]) for name in COLUMNS)
    return text.getvalue().encode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _parse(line: bytes) -> dict[str, int] | None:
    """Return a row's env, episode, timesteps and ``sync_*``; None where the line is no row."""
    cells = next(csv.reader([line.decode(errors="replace")]), [])
    if len(cells) != len(COLUMNS):
        return None
    row = dict(zip(COLUMNS, cells, strict=True))
    try:
        counted = {name: int(row[name]) for name in _SYNC if row[name]}
        return counted | {name: int(row[name]) for name in ("env", "episode", "timesteps")}
    except ValueError:
        return None
