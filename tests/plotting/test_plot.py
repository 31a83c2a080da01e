"""Plots from runs' CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from sb3_mario.callbacks import COLUMNS
from sb3_mario.plot import main
from sb3_mario.plotting.runs import RunError, curve, grouped, read_run


def write_run(folder: Path, seed: int = 0, slope: float = 1.0, **hyperparams: object) -> Path:
    """A run of 200 episodes of 50 steps whose largest x rises by ``slope`` an episode."""
    folder.mkdir(parents=True)
    (folder / "args.yml").write_text(yaml.safe_dump({"algo": "dueling_dqn", "seed": seed}))
    settings = {"gamma": 0.9, "env_kwargs": {"obs": "pixels"}} | hyperparams
    (folder / "config.yml").write_text(yaml.safe_dump(settings))
    with (folder / "episodes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="0")
        writer.writeheader()
        for episode in range(1, 201):
            writer.writerow(
                {
                    "wall_time": 1000 + 36 * episode,
                    "timesteps": 50 * episode,
                    "max_x": slope * episode,
                    "flag_get": int(episode > 100),
                    "end_cause": "flag" if episode > 100 else "pit",
                    "mean_loss": "",
                }
            )
    return folder


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", seed=7))
    assert (run.algorithm, run.seed, len(run.steps)) == ("dueling_dqn", 7, 200)
    assert run.hours[-1] == pytest.approx(199 * 36 / 3600)
    assert np.isnan(run.columns["mean_loss"]).all()
    assert run.columns["end_cause"][0] == "pit"


def test_a_curve_is_the_mean_of_a_window_with_a_band_over_seeds(tmp_path: Path) -> None:
    runs = [read_run(write_run(tmp_path / f"{s}", seed=s, slope=s)) for s in (1, 2, 3)]
    line = curve(runs, "max_x", "steps")
    # The last 5 % of 10,000 steps are the episodes 191 to 200.
    assert line.at[-1] == 10_000
    assert line.mean[-1] == pytest.approx(2 * 195.5)
    assert (line.low[-1], line.high[-1]) == pytest.approx((195.5, 3 * 195.5))
    assert curve(runs, "flag_get", "hours").mean[[0, -1]].tolist() == [0, 1]


def test_runs_that_differ_by_their_seed_are_one_line(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / "a", seed=1)),
        read_run(write_run(tmp_path / "b", seed=2)),
        read_run(write_run(tmp_path / "c", seed=1, gamma=0.99, double_q=False)),
    ]
    groups = grouped(runs)
    assert {label: len(members) for label, members in groups.items()} == {
        "dueling_dqn double_q=default gamma=0.9": 2,
        "dueling_dqn double_q=False gamma=0.99": 1,
    }
    assert list(grouped(runs[:2])) == ["dueling_dqn"]


def test_the_figures_and_their_data_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_run(tmp_path / "a", seed=1)
    other = write_run(tmp_path / "b", seed=1, gamma=0.99)
    output = tmp_path / "plots"
    assert main([str(one), str(other), "-o", str(output), "--labels", "first", "second"]) == 0
    for name in ("curves", "ends", "causes"):
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (output / f"{name}.svg").read_bytes()
        assert f"{name}.png" in capsys.readouterr().out or name != "curves"
    with (output / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["line"] for row in rows} == {"first", "second"}
    last = [row for row in rows if row["figure"] == "max_x against steps"][99]
    assert (float(last["at"]), float(last["mean"])) == (10_000, 195.5)


def test_the_same_runs_give_the_same_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("one", "two"):
        assert main([str(run), "-o", str(tmp_path / name)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=r"no run's folder: it has no episodes\.csv"):
        read_run(tmp_path)
    (tmp_path / "episodes.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(RunError, match="no episodes yet"):
        read_run(tmp_path)
    (tmp_path / "episodes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="lacks the columns"):
        read_run(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert "sb3_mario.plot: error: " in capsys.readouterr().err


def test_labels_must_be_as_many_as_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    assert main([str(run), "-o", str(tmp_path / "p"), "--labels", "a", "b"]) == 2
    assert "2 names for 1 lines" in capsys.readouterr().err
