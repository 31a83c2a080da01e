"""Checkpoints that are whole or not there."""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_mario.dqn.algorithm import DuelingDQN
from sb3_mario.dqn.saved_replay import check_savable, save_replay_buffer

_MODEL_PARTS = ("data", "policy.pth")
_ABANDONED = ".abandoned"


def atomic_save_model(model: BaseAlgorithm, path: str | os.PathLike[str]) -> Path:
    """Save a model with its optimizer so that ``path`` is never half a file.

    Args:
        model: The model.
        path: Where to; ``.zip`` is added where it is missing, as SB3 does.

    Returns:
        The file's path.

    Raises:
        OSError: The file could not be written, for instance because the disk is full. What was at
            ``path`` is still there and nothing else is left behind.
    """
    path = Path(path)
    if path.suffix != ".zip":
        path = path.with_name(f"{path.name}.zip")
    # By way of memory: torch turns a full disk into errors of its own.
    archive = io.BytesIO()
    model.save(archive, exclude=_chosen_again(model))
    atomic_write(path, archive.getbuffer())
    return path


def atomic_write(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that ``path`` is never half a file.

    Raises:
        OSError: The file could not be written; what was at ``path`` is still there.
    """
    with _atomic_file(path) as file:
        file.write(data)


def replay_buffer_path(checkpoint: Path) -> Path:
    """Return where the replay buffer of ``rl_model_<n>_steps.zip`` is, if one was saved."""
    match = re.fullmatch(r"(.+)_(\d+)_steps", checkpoint.stem)
    if match is None:
        raise ValueError(f"{checkpoint} is not named <prefix>_<number>_steps.zip")
    return checkpoint.with_name(f"{match[1]}_replay_buffer_{match[2]}_steps.npz")


def checkpoints_by_steps(
    folder: str | os.PathLike[str], name_prefix: str = "rl_model"
) -> dict[int, Path]:
    """Return the checkpoints in a folder, whole or damaged, by their steps."""
    return _files(Path(folder), name_prefix, "zip")


def newest_checkpoint(folder: str | os.PathLike[str], name_prefix: str = "rl_model") -> Path | None:
    """Return the whole checkpoint with the most steps in ``folder``, or None.

    One with a damaged model or replay buffer is passed over with a warning; one without a replay
    buffer is whole.
    """
    for _, path in sorted(checkpoints_by_steps(folder, name_prefix).items(), reverse=True):
        buffer = replay_buffer_path(path)
        for file, must_hold in ((path, _MODEL_PARTS), (buffer, ())):
            damaged = _damage(file, must_hold) if file == path or file.is_file() else None
            if damaged is not None:
                warnings.warn(
                    f"passing over the damaged checkpoint {file} ({damaged})", stacklevel=2
                )
                break
        else:
            return path
    return None


class AtomicCheckpointCallback(BaseCallback):
    """Saves the model every ``save_freq`` steps, and keeps the newest ``keep_last``.

    Saves are made between two rollouts, when the model and its replay buffer agree. Files are named
    as SB3's ``CheckpointCallback`` names them, but that a replay buffer is an ``.npz``, which runs
    no code when it is read. Each is written under a temporary name, flushed to the disk and
    renamed, the replay buffer first: where there is a model it is whole, and so is its buffer.
    Temporary files that a crash left are removed at the start.

    When a run is resumed at step T, checkpoints of later steps belong to the abandoned part: they
    get the ending ``.abandoned``, and are removed when it saves again. A failed save (disk full)
    is a warning: training goes on and the earlier checkpoints stay. A replay buffer can be large,
    and for a moment ``keep_last + 1`` are there.

    Args:
        save_freq: Environment steps (``num_timesteps``, all environments together) between saves.
        save_path: Folder, made where it is missing.
        name_prefix: Start of the files' names.
        save_replay_buffer: Save the replay buffer too.
        keep_last: Checkpoints to keep, each with its buffer.
        verbose: 1 prints each save.

    Attributes:
        newest: The model that this callback has saved last, or None.

    Raises:
        ValueError: ``save_freq`` or ``keep_last`` is below 1.
        TypeError: At the start of training: the replay buffer is of a class that cannot be saved.
        FileExistsError: At the start of training: the run begins at step 0 in a folder with
            another run's checkpoints, which it would remove.
    """

    def __init__(
        self,
        save_freq: int,
        save_path: str | os.PathLike[str],
        name_prefix: str = "rl_model",
        save_replay_buffer: bool = False,
        keep_last: int = 3,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        for name, value in (("save_freq", save_freq), ("keep_last", keep_last)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.save_freq = save_freq
        self.save_path = Path(save_path)
        self.name_prefix = name_prefix
        self.save_replay_buffer = save_replay_buffer
        self.keep_last = keep_last
        self.newest: Path | None = None

    def path(self, steps: int) -> Path:
        """Return where the model of a checkpoint is, or would be."""
        return self.save_path / f"{self.name_prefix}_{steps}_steps.zip"

    def save_now(self, remove_others: bool = True) -> Path:
        """Save a checkpoint of this moment, for instance at Ctrl-C.

        Where the disk has no room for the replay buffer, the model is saved without it, with a
        warning, and no earlier checkpoint is removed.

        Args:
            remove_others: Remove what ``keep_last`` does not keep.

        Returns:
            The model's path.

        Raises:
            OSError: It could not be written; the earlier checkpoints are still there.
        """
        try:
            return self._save(remove_others)
        except OSError as error:
            if not self.save_replay_buffer:
                raise
            path = self.path(self.model.num_timesteps)
            replay_buffer_path(path).unlink(missing_ok=True)
            self.newest = atomic_save_model(self.model, path)
            warnings.warn(
                f"{error}: {path} is saved without its replay buffer; a run that goes on from it "
                "fills a new one",
                stacklevel=2,
            )
            return path

    def _save(self, remove_others: bool = True) -> Path:
        steps = self.model.num_timesteps
        path = self.path(steps)
        if self.save_replay_buffer:
            with _atomic_file(replay_buffer_path(path)) as file:
                save_replay_buffer(self._replay_buffer(), file)
        try:
            self.newest = atomic_save_model(self.model, path)
        except BaseException:
            if not path.exists():  # a buffer alone only takes room
                replay_buffer_path(path).unlink(missing_ok=True)
            raise
        if remove_others:
            self._remove_others(steps)
        if self.verbose >= 1:
            print(f"Saved {path}")
        return path

    def _replay_buffer(self) -> ReplayBuffer:
        assert isinstance(self.model, OffPolicyAlgorithm) and self.model.replay_buffer is not None
        return self.model.replay_buffer

    def _on_training_start(self) -> None:
        if self.save_replay_buffer:
            check_savable(self._replay_buffer())
        existing = checkpoints_by_steps(self.save_path, self.name_prefix)
        if existing and self.num_timesteps == 0:
            raise FileExistsError(
                f"{self.save_path} holds {len(existing)} checkpoints of another run; choose "
                "another folder, or resume that run"
            )
        for leftover in self.save_path.glob(f".{self.name_prefix}_*_steps.*.tmp"):
            leftover.unlink()
        for files in self._saved():
            for steps, path in files.items():
                if steps > self.num_timesteps:
                    path.rename(path.with_name(path.name + _ABANDONED))
        self._due = self._next_due()

    def _on_step(self) -> bool:
        return True

    # Between two rollouts every transition is in the replay buffer, and learned from when due;
    # within one, the newest is not stored yet.

    def _on_rollout_start(self) -> None:
        self._save_if_due()

    def _on_training_end(self) -> None:
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self.model.num_timesteps < self._due:
            return
        self._due = self._next_due()
        try:
            self._save()
        except OSError as error:
            warnings.warn(
                f"no checkpoint at step {self.model.num_timesteps}: {error}. Training goes on, "
                f"the earlier checkpoints are whole, the next try is at step {self._due}",
                stacklevel=2,
            )

    def _next_due(self) -> int:
        return (self.model.num_timesteps // self.save_freq + 1) * self.save_freq

    def _remove_others(self, newest: int) -> None:
        """Remove all but the ``keep_last`` checkpoints up to step ``newest``."""
        models, buffers = self._saved()
        keep = sorted(steps for steps in models if steps <= newest)[-self.keep_last :]
        # Models first: what is left if this stops half-way are buffers, removed next time.
        for files in (models, buffers):
            for steps, path in files.items():
                if steps not in keep:
                    path.unlink()
        for path in self.save_path.glob(f"{self.name_prefix}_*_steps.*{_ABANDONED}"):
            path.unlink()

    def _saved(self) -> tuple[dict[int, Path], dict[int, Path]]:
        """Return the models and the replay buffers by their steps."""
        buffers = _files(self.save_path, f"{self.name_prefix}_replay_buffer", "npz")
        return checkpoints_by_steps(self.save_path, self.name_prefix), buffers


def _chosen_again(model: BaseAlgorithm) -> list[str]:
    """Return what SB3 chooses by itself when the model is loaded, and warns of if it is there."""
    if not isinstance(model, OffPolicyAlgorithm) or isinstance(model, DuelingDQN):
        return []
    chosen = model.replay_buffer_class is NStepReplayBuffer and model.n_steps > 1
    own = {"n_steps": model.n_steps, "gamma": model.gamma}
    same = own.items() <= model.replay_buffer_kwargs.items()
    return ["replay_buffer_class"] if chosen and same else []


def _damage(path: Path, must_hold: Collection[str]) -> str | None:
    """Return what is wrong with a zip, or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            # torch's files are zips, stored as they are, so a model cut short can still end in a
            # whole zip: one of theirs.
            missing = set(must_hold) - set(archive.namelist())
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
        return str(error)  # RuntimeError: a broken file may look encrypted, or of another method
    if missing:
        return f"lacks {', '.join(sorted(missing))}"
    return f"{broken} is broken" if broken is not None else None


def _files(folder: Path, prefix: str, extension: str) -> dict[int, Path]:
    """Return the files ``<prefix>_<steps>_steps.<extension>`` of a folder by their steps."""
    pattern = re.compile(rf"{re.escape(prefix)}_(\d+)_steps\.{extension}")
    paths = folder.iterdir() if folder.is_dir() else ()
    return {int(match[1]): path for path in paths if (match := pattern.fullmatch(path.name))}


@contextmanager
def _atomic_file(path: Path) -> Iterator[io.BufferedWriter]:
    """Open a file that appears at ``path``, whole and on the disk, when the block has ended."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"could not write {path}: {reason}") from error
        raise
    if os.name == "posix":
        # The rename is on the disk only when its folder is.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
