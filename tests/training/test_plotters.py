"""What SB3's plotters make of a run's monitor files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from stable_baselines3.common.monitor import get_monitor_files, load_results
from stable_baselines3.common.results_plotter import (
    X_EPISODES,
    X_TIMESTEPS,
    X_WALLTIME,
    plot_results,
    ts2xy,
)

from tests.training.trainer import STEPS, Finished, episodes

AXES = (X_TIMESTEPS, X_EPISODES, X_WALLTIME)


def test_the_monitor_files_are_found_and_hold_every_episode(finished: Finished) -> None:
    assert [Path(path).name for path in get_monitor_files(str(finished.path))] == ["0.monitor.csv"]
    rows = episodes(finished.path)
    table = load_results(str(finished.path))
    assert len(rows) == len(table) > 5
    assert table["r"].tolist() == [float(row["reward"]) for row in rows]
    assert table["l"].tolist() == [int(row["length"]) for row in rows]


def test_each_axis_gives_the_rewards_in_their_order(finished: Finished) -> None:
    rows = episodes(finished.path)
    table = load_results(str(finished.path))
    for axis in AXES:
        x, y = ts2xy(table, axis)
        assert y.tolist() == [float(row["reward"]) for row in rows]
        assert np.all(np.diff(x) > 0)
    steps, _ = ts2xy(table, X_TIMESTEPS)
    assert steps.tolist() == [int(row["timesteps"]) for row in rows]
    assert steps[-1] <= STEPS


@pytest.mark.parametrize("axis", AXES)
def test_sb3_plots_a_run(finished: Finished, axis: str, tmp_path: Path) -> None:
    mpl.use("Agg")
    try:
        plot_results([str(finished.path)], None, axis, "a run")
        (points,) = plt.gca().collections
        assert len(np.asarray(points.get_offsets())) == len(episodes(finished.path))
        plt.savefig(tmp_path / "run.png")
    finally:
        plt.close("all")
    assert (tmp_path / "run.png").stat().st_size > 5000
