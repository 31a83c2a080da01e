"""``train.py`` on the real game: what a run leaves, and the models that it saves."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageSequence
from stable_baselines3 import DQN
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_mario.callbacks import COLUMNS
from sb3_mario.game import roms
from sb3_mario.training import threads
from sb3_mario.training.config import load_hyperparams
from tests.conftest import FREE_GAME
from tests.processes import folders_of
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    ROOT,
    STEPS,
    TINY,
    WHOLE_RUN,
    Finished,
    assert_rows_agree,
    episodes,
    read_csv,
    same,
    scalars,
    train,
    trainer,
    weights,
)

# A whole run


@pytest.mark.real_rom
def test_the_folder_holds_every_file_of_the_layout(finished: Finished) -> None:
    names = {path.name for path in finished.path.iterdir()}
    (events,) = {name for name in names if name.startswith("events.out.tfevents.")}
    assert names - {events} == {
        "config.yml",
        "args.yml",
        "command.txt",
        "episodes.csv",
        "0.monitor.csv",
        "evaluations.npz",
        "best_model.zip",
        "rl_model_100_steps.zip",
        "rl_model_200_steps.zip",
        f"rl_model_{STEPS}_steps.zip",
        "rl_model_replay_buffer_100_steps.npz",
        "rl_model_replay_buffer_200_steps.npz",
        f"rl_model_replay_buffer_{STEPS}_steps.npz",
        f"{ENV_NAME}.zip",
    }


@pytest.mark.real_rom
def test_the_settings_that_were_used_are_written_in_full(finished: Finished) -> None:
    config = yaml.safe_load((finished.path / "config.yml").read_text())
    assert (config["n_timesteps"], config["buffer_size"], config["gamma"]) == (STEPS, 500, 0.9)
    assert config["env_kwargs"]["max_steps"] == 25
    assert config["env_kwargs"]["frame_stack"] == 8
    args = yaml.safe_load((finished.path / "args.yml").read_text())
    assert (args["algo"], args["seed"], args["eval_freq"]) == ("dueling_dqn", 1, 100)
    assert args["env"] == "sb3_mario/SuperMarioBros-1-1-v0"
    assert len(args["rom_sha1"]) == 40
    (command,) = (finished.path / "command.txt").read_text().splitlines()
    assert command.startswith("train.py -f ") and command.endswith("--eval-episodes 2")


@pytest.mark.real_rom
def test_every_episode_is_in_both_csv_files(finished: Finished) -> None:
    rows = assert_rows_agree(finished.path, STEPS)
    assert list(rows[0]) == list(COLUMNS)
    lengths = [int(row["length"]) for row in rows]
    assert list(itertools.accumulate(lengths)) == [int(row["timesteps"]) for row in rows]
    assert STEPS - sum(lengths) < 25, "but for the last, which had not ended"
    assert rows[0]["mean_loss"] == "" and float(rows[-1]["mean_loss"]) > 0
    assert {row["sync_mismatches"] for row in rows} == {"0"}


@pytest.mark.real_rom
def test_tensorboard_has_the_curves(finished: Finished) -> None:
    curves = scalars(finished.path)
    rows = episodes(finished.path)
    ends = [int(row["timesteps"]) for row in rows]
    for tag in ("rollout/reward", "rollout/max_x_mean", "rollout/flag_rate"):
        assert [step for step, _ in curves[tag]] == ends[1::2], tag
    rewards = [float(row["reward"]) for row in rows]
    pairs = list(zip(rewards[::2], rewards[1::2], strict=False))
    assert [value for _, value in curves["rollout/reward"]] == pytest.approx(
        [np.mean(pair) for pair in pairs], rel=1e-5
    )
    mean_x = np.mean([int(row["max_x"]) for row in rows[: 2 * len(pairs)]])
    assert curves["rollout/max_x_mean"][-1][1] == pytest.approx(mean_x, rel=1e-5)
    assert {value for _, value in curves["rollout/flag_rate"]} == {0.0}
    exploration = [value for _, value in curves["rollout/exploration_rate"]]
    assert exploration[0] > exploration[1] and exploration[-1] == pytest.approx(0.02)
    for tag in ("train/loss", "train/mean_q", "time/gradient_steps_per_second"):
        assert all(np.isfinite(value) for _, value in curves[tag]), tag
    learning = [step for step, _ in curves["train/loss"]]
    assert learning and min(learning) > 50
    assert all(value > 0 for _, value in curves["train/loss"])
    assert all(value > 0 for _, value in curves["time/env_steps_per_second"])
    assert curves["time/gradient_steps_per_second"][-1][1] > 0
    for tag in ("eval/mean_reward", "eval/mean_ep_length", "eval/success_rate", "eval/max_x_mean"):
        assert [step for step, _ in curves[tag]] == [100, 200], tag


@pytest.mark.real_rom
def test_evaluations_are_in_sb3s_file(finished: Finished) -> None:
    with np.load(finished.path / "evaluations.npz") as archive:
        assert archive["timesteps"].tolist() == [100, 200]
        assert archive["results"].shape == archive["ep_lengths"].shape == (2, 2)
        assert archive["successes"].shape == (2, 2)
        assert archive["ep_lengths"].max() <= 25


@pytest.mark.real_rom
def test_it_tells_what_it_does_and_where(finished: Finished) -> None:
    for text in (
        "Game: Super Mario Bros.",
        "Environment: sb3_mario/SuperMarioBros-1-1-v0, 1 emulator(s)",
        "Algorithm: dueling_dqn: DuelingDQN, DuelingDQNPolicy",
        "seed 1",
        "Start: a new run",
        f"Folder: {finished.path}",
        f"tensorboard --logdir {finished.path.parents[1]}",
        "Evaluation at 100 steps: reward ",
        f"Done after {STEPS} steps",
        f"Saved {finished.path / ENV_NAME}.zip",
        "| rollout/",
    ):
        assert text in finished.printed
    assert "Go on with" not in finished.printed


@pytest.mark.real_rom
def test_the_same_seed_gives_the_same_run(
    finished: Finished, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("-f", tmp_path, *WHOLE_RUN, "--verbose", "0") == 0
    assert "".join(capfd.readouterr()) == ""
    again = tmp_path / "dueling_dqn" / f"{ENV_NAME}_1"
    for here, there in zip(episodes(again), episodes(finished.path), strict=True):
        del here["wall_time"], there["wall_time"]
        assert here == there
    for name in (f"{ENV_NAME}.zip", "best_model.zip"):
        assert same(weights(again / name), weights(finished.path / name))


# The models


@pytest.mark.real_rom
def test_a_fresh_interpreter_loads_the_models_with_sb3_alone(
    finished: Finished, plain_dqn: Path
) -> None:
    paths = [
        finished.path / f"{ENV_NAME}.zip",
        finished.path / "best_model.zip",
        finished.path / "rl_model_100_steps.zip",
        plain_dqn / f"{ENV_NAME}.zip",
    ]
    code = f"""
import sys, warnings
warnings.simplefilter("error")
import numpy as np
from stable_baselines3 import DQN
observations = np.random.default_rng(0).integers(0, 256, (64, 8, 84, 84), dtype=np.uint8)
assert not any(name.startswith("sb3_mario") for name in sys.modules)
for path in {[str(path) for path in reversed(paths)]}:
    model = DQN.load(path, device="cpu")
    print(type(model.policy).__name__, *model.predict(observations, deterministic=True)[0])
    assert ("sb3_mario" in sys.modules) == ("DuelingDQNPolicy" == type(model.policy).__name__)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    printed = [line.split() for line in reversed(result.stdout.splitlines())]
    assert [name for name, *_ in printed] == ["DuelingDQNPolicy"] * 3 + ["CnnPolicy"]
    observations = np.random.default_rng(0).integers(0, 256, (64, 8, 84, 84), dtype=np.uint8)
    for path, (_, *actions) in zip(paths, printed, strict=True):
        expected, _ = DQN.load(path, device="cpu").predict(observations, deterministic=True)
        assert [int(action) for action in actions] == expected.tolist()


@pytest.mark.real_rom
def test_the_plain_dqn_has_its_files_too(plain_dqn: Path) -> None:
    assert_rows_agree(plain_dqn, 80)
    assert (plain_dqn / "rl_model_80_steps.zip").is_file()
    assert not (plain_dqn / "evaluations.npz").exists()


# Other ways to run


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_several_emulators_fill_one_run(tmp_path: Path, vec_env: str) -> None:
    words = (*TINY, "-n", "120", "--n-envs", "2", "--vec-env", vec_env, "--log-interval", "1")
    with trainer(tmp_path, *words, "--eval-freq", "100", "--eval-episodes", "2") as run:
        assert run.wait() == 0, run.output()
        assert folders_of("*", run.temp) == []
    assert "2 emulator(s)" in run.output()
    rows = assert_rows_agree(run.folder, 120, n_envs=2)
    assert {row["env"] for row in rows} == {"0", "1"}
    of_env: list[list[Any]] = [
        [(row["length"], row["reward"]) for row in rows if row["env"] == env] for env in "01"
    ]
    assert of_env[0] != of_env[1], "the environments are seeded differently"
    assert DQN.load(run.folder / f"{ENV_NAME}.zip", device="cpu").n_envs == 2
    assert read_csv(run.folder / "1.monitor.csv")


@pytest.mark.real_rom
def test_progress_is_a_bar_in_place_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*TINY, *NO_EVALUATION, "--log-interval", "1", "--progress")
    assert train("-f", tmp_path, "-n", "100", *words) == 0
    printed = capsys.readouterr()
    assert "100/100" in printed.err and "flags 0%" in printed.err and "loss " in printed.err
    assert "| rollout/" not in printed.out and "Done after 100 steps" in printed.out


@pytest.mark.real_rom
def test_tensorboards_files_may_go_elsewhere(tmp_path: Path) -> None:
    words = (*TINY, *NO_EVALUATION, "--log-interval", "1", "--verbose", "0")
    assert train("-f", tmp_path / "logs", "-n", "60", "-tb", tmp_path / "curves", *words) == 0
    run = Path("dueling_dqn") / f"{ENV_NAME}_1"
    assert "rollout/reward" in scalars(tmp_path / "curves" / run)
    assert list((tmp_path / "logs" / run).glob("events*")) == []


# The free game


def test_with_no_rom_the_free_game_is_trained_on_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: None)
    monkeypatch.setattr(threads, "SECONDS", 0.05)
    small = ("--seed", "1", "--env-kwargs", "max_steps:25", "-params", "buffer_size:500")
    assert train("-f", tmp_path, "-n", "120", *small, "learning_starts:50", *NO_EVALUATION) == 0
    printed = capsys.readouterr().out
    line = line_of(printed, "Game")
    assert "Game: Foxtrot, the free game, for no other was given or found; Super Mario" in line
    assert "--rom FILE, or `make real-rom`" in line
    # Unasked, the number of threads is measured, and the choice printed.
    choice = r"[1-9]\d* torch thread\(s\) \(steps a second, by number of threads: 1: \d"
    assert re.search(choice, line_of(printed, "Machine"))
    folder = tmp_path / "dueling_dqn" / f"{ENV_NAME}_1"
    assert yaml.safe_load((folder / "args.yml").read_text())["num_threads"] is None, (
        "it is measured again where the run goes on"
    )
    assert len(episodes(folder)) >= 4


@pytest.mark.parametrize(
    ("obs", "filmed"), [("pixels", True), ("pixels+state", True), ("tiles", False)]
)
def test_tensorboard_has_evaluations_in_pictures_where_there_are_pictures(
    tmp_path: Path, obs: str, filmed: bool
) -> None:
    words = ("-n", "120", "--eval-freq", "60", "--eval-episodes", "2", "--rom", FREE_GAME)
    small = ("--num-threads", "1", "--seed", "1", "--verbose", "0", "--n-envs", "1")
    kwargs = ("--env-kwargs", "max_steps:25", f"obs:{obs}")
    learning = ("-params", "buffer_size:500", "learning_starts:50")
    assert train("-f", tmp_path, *words, *small, *kwargs, *learning) == 0
    folder = tmp_path / "dueling_dqn" / f"{ENV_NAME}_1"
    shown = pictures(folder)
    assert shown.keys() == {"eval/ends", *(["eval/episode"] if filmed else [])}
    assert [(step, ends.size) for step, ends in shown["eval/ends"]] == [
        (60, (900, 600)),
        (120, (900, 600)),
    ]
    for _, video in shown.get("eval/episode", []):
        durations = []
        for frame in ImageSequence.Iterator(video):
            assert frame.size == (128, 120)
            assert len(np.unique(np.asarray(frame.convert("RGB")), axis=0)) > 1, "the game is seen"
            durations.append(frame.info["duration"])
        # Steps in which nothing moves share a frame; the last of 25 has none.
        assert sum(durations) == 23 * 70 + 1000 and len(durations) > 3
    with np.load(folder / "evaluations.npz") as archive:
        assert archive["end_causes"].tolist() == [["step_limit"] * 2] * 2
        assert (archive["max_x"] > 0).all()


def pictures(folder: Path) -> dict[str, list[tuple[int, Image.Image]]]:
    """Images of TensorBoard's file, by tag: (step, image)."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    return {
        tag: [(e.step, Image.open(BytesIO(e.encoded_image_string))) for e in events.Images(tag)]
        for tag in events.Tags()["images"]
    }


def line_of(printed: str, name: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.strip().startswith(f"{name}: ")]
    return line


@pytest.mark.parametrize("algorithm", ["dueling_dqn", "dqn"])
def test_the_free_game_has_hyperparameters_of_its_own(algorithm: str) -> None:
    free, real = (
        load_hyperparams(algorithm, "sb3_mario/SuperMarioBros-1-1-v0", game=game)
        for game in ("foxtrot", None)
    )
    assert (free["n_timesteps"], real["n_timesteps"]) == (300_000, 640_000)
