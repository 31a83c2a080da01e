"""Runs read back from their folders, and averaged over seeds."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sb3_mario.callbacks import COLUMNS
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
        columns: Columns of ``episodes.csv`` by name, ``(episodes,)``: float64, or text for
            ``end_cause``; NaN where a cell is empty.
    """

    folder: Path
    algorithm: str
    hyperparams: dict[str, Any]
    seed: int
    columns: dict[str, npt.NDArray[Any]]

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Environment steps at the end of each episode."""
        steps: npt.NDArray[np.float64] = self.columns["timesteps"]
        return steps

    @property
    def hours(self) -> npt.NDArray[np.float64]:
        """Hours from the end of the first episode to that of each."""
        wall: npt.NDArray[np.float64] = self.columns["wall_time"]
        hours: npt.NDArray[np.float64] = (wall - wall[0]) / 3600
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
    return RunData(folder, str(args["algo"]), hyperparams, int(args["seed"]), columns)


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
    """Return runs of the same settings together, each group under what tells it from the others."""
    groups: dict[str, list[RunData]] = {}
    for run in runs:
        key = repr((run.algorithm, sorted(run.hyperparams.items())))
        groups.setdefault(key, []).append(run)
    members = list(groups.values())
    flat = [_flat(group[0].hyperparams) | {"algo": group[0].algorithm} for group in members]
    names = sorted({name for settings in flat for name in settings} - {"n_timesteps"})
    differing = [name for name in names if len({repr(s.get(name)) for s in flat}) > 1]
    labels = []
    for settings in flat:
        parts = [f"{name}={settings.get(name, 'default')}" for name in differing if name != "algo"]
        labels.append(" ".join([str(settings["algo"]), *parts]))
    doubled = Counter(labels)
    assert all(count == 1 for count in doubled.values())
    return dict(zip(labels, members, strict=True))


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result
