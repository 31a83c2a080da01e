"""Plots from runs' CSV files."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sb3_mario.callbacks import COLUMNS
from sb3_mario.plot import main
from sb3_mario.plotting.figures import RANDOM_WIDTH, learning_curves
from sb3_mario.plotting.runs import RunError, curve, grouped, read_run


def write_run(
    folder: Path,
    seed: int = 0,
    slope: float = 1.0,
    level: str = "1-1",
    rom: tuple[str, str] = ("/games/foxtrot.nes", "0123456789"),
    random_episodes: int = 0,
    **hyperparams: object,
) -> Path:
    """A run of 200 episodes of 50 steps whose largest x rises by ``slope`` an episode.

    An episode takes 36 s. ``rom`` is the game's path and SHA-1.
    """
    folder.mkdir(parents=True)
    args = {
        "algo": "dueling_dqn",
        "seed": seed,
        "env": f"sb3_mario/SuperMarioBros-{level}-v0",
        "rom": rom[0],
        "rom_sha1": rom[1],
    }
    (folder / "args.yml").write_text(yaml.safe_dump(args))
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
                    "exploration_rate": 0.96 if episode <= random_episodes else 0.95,
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


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        ({"n_timesteps": 1000}, {"n_timesteps": 2000}, ["dueling_dqn"]),
        ({"gamma": 1}, {"gamma": "1"}, ["dueling_dqn"]),
        (
            {"level": "1-1"},
            {"level": "1-2"},
            [
                "dueling_dqn env=SuperMarioBros-1-1-v0",
                "dueling_dqn env=SuperMarioBros-1-2-v0",
            ],
        ),
        (
            {"rom": ("/a/foxtrot.nes", "0123456789")},
            {"rom": ("/b/mario.nes", "facee9c577a5262dbe33ac4930bb0b58c8c037f7")},
            ["dueling_dqn rom=foxtrot 01234567", "dueling_dqn rom=Super Mario Bros. (World)"],
        ),
        # two builds of one game
        (
            {"rom": ("/a/foxtrot.nes", "0123456789")},
            {"rom": ("/a/foxtrot.nes", "abcdefghij")},
            ["dueling_dqn rom=foxtrot 01234567", "dueling_dqn rom=foxtrot abcdefgh"],
        ),
        # one game in two places
        (
            {"rom": ("/a/foxtrot.nes", "0123456789")},
            {"rom": ("/b/renamed.nes", "0123456789")},
            ["dueling_dqn"],
        ),
    ],
)
def test_level_and_game_make_another_line_and_the_length_does_not(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], labels: list[str]
) -> None:
    runs = [read_run(write_run(tmp_path / "one", **one))]
    runs.append(read_run(write_run(tmp_path / "other", **other)))
    assert list(grouped(runs)) == labels


def test_the_place_of_one_game_makes_no_line_where_another_game_is_shown(tmp_path: Path) -> None:
    roms = [("/a/foxtrot.nes", "01234567"), ("/b/new.nes", "abcdefgh"), ("/b/x.nes", "01234567")]
    runs = [read_run(write_run(tmp_path / f"{n}", rom=rom)) for n, rom in enumerate(roms)]
    assert {label: len(members) for label, members in grouped(runs).items()} == {
        "dueling_dqn rom=foxtrot 01234567": 2,
        "dueling_dqn rom=new abcdefgh": 1,
    }


@pytest.mark.parametrize(
    ("seeds", "words"),
    [([1], "(1 seed)"), ([1, 2], "(2 seeds)"), ([1, 2, 1], "(3 runs, 2 seeds)")],
)
def test_a_lines_name_counts_distinct_seeds(tmp_path: Path, seeds: list[int], words: str) -> None:
    runs = [read_run(write_run(tmp_path / f"{n}", seed=seed)) for n, seed in enumerate(seeds)]
    figure, _ = learning_curves({"agent": runs})
    assert figure.axes[0].get_legend_handles_labels()[1] == [f"agent {words}"]


def test_hours_leave_out_the_pauses_before_resumptions(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    lines = (folder / "episodes.csv").read_text().splitlines()
    later = []
    for number, line in enumerate(lines[1:], start=1):
        wall, rest = line.split(",", 1)
        # a day before the episode 51, an hour before 151, and an evaluation of 5 minutes before 80
        pauses = 86_400 * (number > 50) + 3600 * (number > 150) + 300 * (number >= 80)
        later.append(f"{float(wall) + pauses},{rest}")
    (folder / "episodes.csv").write_text("\n".join([lines[0], *later]) + "\n")
    training = 199 * 36 + 300
    for starts, seconds in (
        (1, training + 86_400 + 3600),
        (2, training + 3600 - 36),
        (3, training - 2 * 36),
    ):
        (folder / "command.txt").write_text("train.py -n 10000\n" * starts)
        hours = read_run(folder).hours
        assert hours[-1] == pytest.approx(seconds / 3600), f"started {starts} times"
        assert len(hours) == 200 and hours[0] == 0 and (np.diff(hours) >= 0).all()


def test_a_run_of_one_episode_that_was_resumed_has_no_hours(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    lines = (folder / "episodes.csv").read_text().splitlines()
    (folder / "episodes.csv").write_text("\n".join(lines[:2]) + "\n")
    (folder / "command.txt").write_text("train.py\n" * 3)
    assert read_run(folder).hours.tolist() == [0]


def test_a_thin_line_shows_random_play_where_ten_episodes_of_it_were_played(
    tmp_path: Path,
) -> None:
    groups = {
        "none": [read_run(write_run(tmp_path / "none", random_episodes=0))],
        "few": [read_run(write_run(tmp_path / "few", random_episodes=9))],
        "ten": [read_run(write_run(tmp_path / "ten", random_episodes=10))],
        "two runs": [
            read_run(write_run(tmp_path / f"{seed}", seed, slope=2, random_episodes=5 * seed))
            for seed in (1, 2)
        ],
    }
    figure, _ = learning_curves(groups)
    for axes in figure.axes[:2]:
        thin = [line for line in axes.lines if line.get_linewidth() == RANDOM_WIDTH]
        # Means of 1 to 10; of 2 to 10 and 2 to 20 by twos.
        heights = [float(y[0]) for line in thin if len(y := np.asarray(line.get_ydata()))]
        assert heights == pytest.approx([5.5, (30 + 110) / 15])
        assert axes.get_legend_handles_labels()[1].count("random play") == 1
    for axes in figure.axes[2:]:
        assert "random play" not in axes.get_legend_handles_labels()[1]


def test_a_long_name_fits_into_the_figure(tmp_path: Path) -> None:
    name = "dueling_dqn " + " ".join(f"hyperparameter_{n}=default" for n in range(12))
    figure, _ = learning_curves({name: [read_run(write_run(tmp_path / "run"))]})
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    assert name in figure.legends[0].get_texts()[0].get_text().replace("\n", " ")


def test_without_random_play_no_line_is_named_so(tmp_path: Path) -> None:
    figure, _ = learning_curves({"few": [read_run(write_run(tmp_path / "a", random_episodes=9))]})
    assert "random play" not in figure.axes[0].get_legend_handles_labels()[1]


def test_runs_that_began_with_other_weights_are_no_seeds_of_fresh_ones(tmp_path: Path) -> None:
    fresh, going_on = (read_run(write_run(tmp_path / name)) for name in ("fresh", "going_on"))
    going_on = dataclasses.replace(going_on, trained_agent="other.zip")
    assert list(grouped([fresh, going_on])) == [
        "dueling_dqn trained_agent=default", "dueling_dqn trained_agent=other.zip"
    ]  # fmt: skip


def test_the_figures_and_their_data_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_run(tmp_path / "a", seed=1)
    other = write_run(tmp_path / "b", seed=1, gamma=0.99)
    output = tmp_path / "plots"
    assert main([str(one), str(other), "-o", str(output), "--labels", "first", "second"]) == 0
    printed = capsys.readouterr().out
    for name in ("curves", "ends", "causes"):
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (output / f"{name}.svg").read_bytes()
        assert f"{name}.png" in printed
    with (output / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["line"] for row in rows} == {"first", "second"}
    last = [row for row in rows if row["figure"] == "max_x against steps"][99]
    assert (float(last["at"]), float(last["mean"])) == (10_000, 195.5)


def test_each_seed_can_have_a_line_of_its_own(tmp_path: Path) -> None:
    runs = [str(write_run(tmp_path / f"{seed}", seed=seed, slope=seed)) for seed in (1, 2)]
    assert main([*runs, "-o", str(tmp_path / "plots"), "--by-seed"]) == 0
    with (tmp_path / "plots" / "curves.csv").open() as file:
        last = {row["line"]: float(row["mean"]) for row in csv.DictReader(file)
                if row["figure"] == "max_x against steps"}  # fmt: skip
    assert last == {"dueling_dqn seed=1": 195.5, "dueling_dqn seed=2": 391}


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
