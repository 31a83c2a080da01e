"""A run's folder, ``<log folder>/<algo>/<env>_<n>/``, and the files that say what the run is."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sb3_mario.callbacks import (
    COLUMNS,
    atomic_write,
    checkpoints_by_steps,
    newest_checkpoint,
)
from sb3_mario.training.config import ConfigError, read_yaml


@dataclass(frozen=True)
class RunFolder:
    """Where a run writes.

    - ``config.yml``: hyperparameters
    - ``args.yml``: arguments, with the defaults that were used
    - ``command.txt``: the command, one line for each time the run was started
    - ``episodes.csv``: one row an episode, see `sb3_mario.callbacks.COLUMNS`
    - ``<env>.monitor.csv``: the same for SB3's and the zoo's plots, one file an environment
    - ``events.out.tfevents.*``: TensorBoard
    - ``evaluations.npz``: evaluations, as SB3's ``EvalCallback`` writes them
    - ``best_model.zip``: the model of the best evaluation
    - ``rl_model_<steps>_steps.zip``: checkpoints, with their replay buffers,
      ``rl_model_replay_buffer_<steps>_steps.npz``
    - ``<env id>.zip``: the model at the end of the run

    Attributes:
        path: The folder.
        made: Folders above it that were made for it, the lowest first.
    """

    path: Path
    made: tuple[Path, ...] = ()

    @classmethod
    def create(cls, log_folder: Path, algorithm: str, env_id: str) -> RunFolder:
        """Make the next free numbered folder, as rl-baselines3-zoo does.

        Raises:
            ConfigError: It cannot be made.
        """
        parent = log_folder / algorithm
        name = env_id.replace("/", "-")
        try:
            made = tuple(folder for folder in (parent, *parent.parents) if not folder.exists())
            parent.mkdir(parents=True, exist_ok=True)
            taken = re.compile(rf"{re.escape(name)}_(\d+)")
            numbers = [int(m[1]) for p in parent.iterdir() if (m := taken.fullmatch(p.name))]
            number = max(numbers, default=0) + 1
            while True:
                try:
                    (parent / f"{name}_{number}").mkdir(parents=True)
                except FileExistsError:  # another run that starts at the same time
                    number += 1
                else:
                    return cls(parent / f"{name}_{number}", made)
        except OSError as error:
            raise ConfigError(
                f"-f/--log-folder: no folder can be made in {parent}: {error}"
            ) from error

    @classmethod
    def holding(cls, path: Path) -> RunFolder | None:
        """Return the run's folder that ``path`` is, or that the checkpoint ``path`` is in."""
        folder = path if path.is_dir() else path.parent
        if folder.name in ("", ".."):  # its name says what the run is
            folder = folder.resolve()
        return cls(folder) if (folder / "args.yml").is_file() else None

    def remove(self) -> None:
        """Remove the folder of a run that did not begin, and what was made for it and is empty."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run is in there
            for folder in self.made:
                folder.rmdir()

    @property
    def final_model(self) -> Path:
        """The model at the end of the run."""
        return self.path / f"{re.sub(r'_[0-9]+$', '', self.path.name)}.zip"

    @property
    def episodes_csv(self) -> Path:
        """One row an episode."""
        return self.path / "episodes.csv"

    def monitor_csv(self, env: int) -> Path:
        """SB3's monitor file of an environment."""
        return self.path / f"{env}.monitor.csv"

    def write(
        self, hyperparams: Mapping[str, Any], args: Mapping[str, Any], command: Sequence[str]
    ) -> None:
        """Write what the run is; the command is added to those of earlier starts."""
        for name, content in (("config.yml", hyperparams), ("args.yml", args)):
            text = yaml.safe_dump(dict(content), sort_keys=True)
            atomic_write(self.path / name, text.encode())
        with (self.path / "command.txt").open("a") as file:
            file.write(shlex.join(command) + "\n")

    def read_args(self) -> dict[str, Any]:
        """Return the arguments that the run was started with.

        Raises:
            ConfigError: ``args.yml`` is missing or damaged.
        """
        return read_yaml(self.path / "args.yml")

    def read_hyperparams(self) -> dict[str, Any]:
        """Return the run's hyperparameters.

        Raises:
            ConfigError: ``config.yml`` is missing or damaged.
        """
        return read_yaml(self.path / "config.yml")

    def lost_after(self, steps: int) -> tuple[int, int]:
        """Return how far the run is known to have got after ``steps``.

        Returns:
            Steps, counted to the last episode's end or checkpoint, and episodes that ended.
        """
        lines = self.episodes_csv.read_bytes().split(b"\n") if self.episodes_csv.is_file() else []
        column = list(COLUMNS).index("timesteps")
        ends = [b"".join(line.split(b",")[column : column + 1]) for line in lines]
        # The header is no number, and a row that was torn may be none.
        lost = [int(end) for end in ends if end.isdigit() and int(end) > steps]
        return max([steps, *lost, *checkpoints_by_steps(self.path)]) - steps, len(lost)

    def checkpoint(self) -> Path:
        """Return the newest whole checkpoint.

        Raises:
            ConfigError: There is none.
        """
        newest = newest_checkpoint(self.path)
        if newest is None:
            raise ConfigError(
                f"-i/--trained-agent: {self.path} holds no whole checkpoint "
                "(rl_model_<steps>_steps.zip): start a new run"
            )
        return newest
