"""Runs read back from their folders, and averaged over seeds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sb3_mario.callbacks import COLUMNS
from sb3_mario.game.roms import KNOWN_DUMPS
from sb3_mario.training.config import read_yaml

POINTS: Final = 100  # along a curve
WINDOW: Final = 0.05  # of a run's steps that a point is the mean of


class RunError(ValueError):
    """A folder is no run, or has nothing to show; the message says which and why."""


@dataclass(frozen=True)
class RunData:
    """A run's episodes.

    Attributes:
        folder: Where it was read.
        algorithm: Name of the algorithm.
        hyperparams: As in ``config.yml``.
        seed: Its seed.
        env_id: Full id of its environment.
        rom: The game's name.
        rom_sha1: The game.
        trained_agent: The model whose weights it began with, or None.
        starts: How often it was started: once, and once more for each resumption.
        columns: Columns of ``episodes.csv`` by name, ``(episodes,)``: float64, or text for
            ``end_cause``; NaN where a cell is empty.
    """

    folder: Path
    algorithm: str
    hyperparams: dict[str, Any]
    seed: int
    env_id: str
    rom: str
    rom_sha1: str
    trained_agent: str | None
    starts: int
    columns: dict[str, npt.NDArray[Any]]

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Environment steps at the end of each episode."""
        steps: npt.NDArray[np.float64] = self.columns["timesteps"]
        return steps

    @property
    def hours(self) -> npt.NDArray[np.float64]:
        """Hours of training from the end of the first episode to that of each.

        The time that a run stood still is left out: of a run that was resumed n times, the n
        longest times between the ends of two episodes count as nothing. Where a run stood still
        for a moment only, this leaves out another wait of about that length.
        """
        wall: npt.NDArray[np.float64] = self.columns["wall_time"]
        between = np.diff(wall)
        longest_last = np.argsort(between, kind="stable")
        between[longest_last[max(len(between) - self.starts + 1, 0) :]] = 0.0
        hours: npt.NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(between)]) / 3600
        return hours


def read_run(folder: Path) -> RunData:
    """Read a run's folder.

    Raises:
        RunError: It is none, or no episode has ended.
        ConfigError: Its YAML files are damaged.
    """
    path = folder / "episodes.csv"
    if not path.is_file():
        raise RunError(f"{folder} is no run's folder: it has no episodes.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise RunError(f"{path} has no episodes yet")
    if missing := set(COLUMNS) - set(rows[0]):
        raise RunError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    columns: dict[str, npt.NDArray[Any]] = {
        name: np.array([float(row[name] or "nan") for row in rows])
        for name in COLUMNS
        if name != "end_cause"
    }
    columns["end_cause"] = np.array([row["end_cause"] for row in rows])
    args = read_yaml(folder / "args.yml")
    hyperparams = read_yaml(folder / "config.yml")
    sha1 = str(args.get("rom_sha1", "unknown"))
    return RunData(
        folder=folder,
        algorithm=str(args["algo"]),
        hyperparams=hyperparams,
        seed=int(args["seed"]),
        env_id=str(args.get("env", "unknown")),
        rom=KNOWN_DUMPS.get(sha1) or f"{Path(str(args.get('rom'))).stem} {sha1[:8]}",
        rom_sha1=sha1,
        trained_agent=args.get("trained_agent"),
        starts=_starts(folder),
        columns=columns,
    )


def _starts(folder: Path) -> int:
    """Return how often a run was started; 1 where nobody wrote it down."""
    commands = folder / "command.txt"
    return max(len(commands.read_text().splitlines()), 1) if commands.is_file() else 1


@dataclass(frozen=True)
class Curve:
    """A figure against steps or hours, over the seeds of one setting.

    Attributes:
        at: ``(points,)`` steps or hours.
        mean, low, high: ``(points,)`` mean, least and most over the seeds.
    """

    at: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


def curve(runs: Sequence[RunData], column: str, against: str) -> Curve:
    """Average a column over a sliding window of each run, and over runs.

    Args:
        runs: Runs that differ by their seed.
        column: A column of ``episodes.csv``.
        against: ``"steps"`` or ``"hours"``.
    """
    end = min(getattr(run, against)[-1] for run in runs)
    at = np.linspace(end / POINTS, end, POINTS)
    values = np.array(
        [_smoothed(getattr(run, against), run.columns[column], at, end * WINDOW) for run in runs]
    )
    return Curve(at, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def _smoothed(
    place: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    at: npt.NDArray[np.float64],
    width: float,
) -> npt.NDArray[np.float64]:
    """Return the means of the values in the ``width`` before each point, or of the last before."""
    sums = np.concatenate([[0.0], np.nancumsum(values)])
    ends = np.searchsorted(place, at, side="right")
    starts = np.minimum(np.searchsorted(place, at - width, side="right"), ends - 1)
    ends, starts = np.maximum(ends, 1), np.maximum(starts, 0)
    means: npt.NDArray[np.float64] = (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1)
    return means


def grouped(runs: Sequence[RunData]) -> dict[str, list[RunData]]:
    """Return runs of the same settings together, each group under what tells it from the others.

    Settings are algorithm, environment, game, hyperparameters and the weights that a run began
    with; how long it is, is none.
    """
    settings = [_settings(run) for run in runs]
    hyperparams = {name for values in settings for name in values} - {"env", "rom"}
    names = ["env", "rom", *sorted(hyperparams)]
    differing = [
        name for name in names if len({values.get(name, "default") for values in settings}) > 1
    ]
    games = {run.rom_sha1: run.rom for run in reversed(runs)}  # one name for each
    groups: dict[str, list[RunData]] = {}
    for run, values in zip(runs, settings, strict=True):
        shown = values | {"rom": games[run.rom_sha1]}
        parts = [f"{name}={shown.get(name, 'default')}" for name in differing]
        groups.setdefault(" ".join([run.algorithm, *parts]), []).append(run)
    return groups


def _settings(run: RunData) -> dict[str, str]:
    """Return what a run must share with another to differ from it by its seed alone."""
    settings = {name: str(value) for name, value in _flat(run.hyperparams).items()}
    settings.pop("n_timesteps", None)
    if run.trained_agent is not None:
        settings["trained_agent"] = run.trained_agent
    return settings | {"env": run.env_id.rpartition("/")[2], "rom": run.rom_sha1}


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result
