"""``train.py`` on the real game: a run from its start to its end, whatever that is."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_mario.callbacks import COLUMNS, replay_buffer_path
from sb3_mario.game import roms
from sb3_mario.training.arguments import FIXED_ON_RESUME
from tests.processes import folders_of, is_alive, wait_until_gone
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    ROOT,
    SMALL,
    TINY,
    assert_rows_agree,
    episodes,
    read_csv,
    scalars,
    snapshot,
    train,
    trainer,
)

STEPS = 260
WHOLE_RUN = (
    *TINY,
    *("-n", str(STEPS), "--save-freq", "100", "--log-interval", "2"),
    *("--eval-freq", "100", "--eval-episodes", "2"),
)


@dataclass
class Finished:
    """A run that came to its end.

    Attributes:
        path: Its folder.
        printed: What it printed, both streams.
    """

    path: Path
    printed: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A whole run, in a process in which every warning is an error."""
    base = tmp_path_factory.mktemp("finished")
    with trainer(base, *WHOLE_RUN, python=("-W", "error")) as run:
        assert run.wait() == 0, run.output()
        assert folders_of("*", run.temp) == []
    return Finished(run.folder, run.output())


@pytest.fixture(scope="module")
def plain_dqn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of SB3's plain DQN; it printed nothing."""
    base = tmp_path_factory.mktemp("plain")
    words = ("--algo", "dqn", "-n", "80", *TINY, *NO_EVALUATION, "--verbose", "0")
    with trainer(base, *words, python=("-W", "error")) as run:
        assert run.wait() == 0, run.output()
    assert run.output() == ""
    return base / "logs" / "dqn" / f"{ENV_NAME}_1"


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, to be resumed."""
    folder = tmp_path / "logs" / "dueling_dqn" / f"{ENV_NAME}_1"
    shutil.copytree(finished.path, folder)
    return folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = th.get_num_threads()
    yield
    th.set_num_threads(before)


def weights(path: Path) -> dict[str, th.Tensor]:
    return DQN.load(path, device="cpu").policy.state_dict()


def same(one: dict[str, th.Tensor], other: dict[str, th.Tensor]) -> bool:
    return all(th.equal(one[name], other[name]) for name in one.keys() | other.keys())


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


# Stopped, and resumed


def assert_no_point_is_of_the_lost_part(folder: Path) -> None:
    curves = scalars(folder)
    for tag, points in curves.items():
        steps = [step for step, _ in points]
        assert steps == sorted(steps), tag
    # One point an episode, with --log-interval 1.
    ends = [int(row["timesteps"]) for row in episodes(folder)]
    assert [step for step, _ in curves["rollout/reward"]] == ends


@pytest.mark.real_rom
def test_ctrl_c_saves_and_the_run_goes_on_where_it_was(tmp_path: Path) -> None:
    words = (*TINY, *NO_EVALUATION, "--save-replay-buffer", "--log-interval", "1")
    with trainer(tmp_path, "-n", "100000", *words) as run:
        run.wait_for_episodes(4)
        (emulator,) = run.emulators()
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130, run.output()
        assert wait_until_gone(emulator, 3)
        assert folders_of("*", run.temp) == []
    assert "Traceback" not in run.output()
    (checkpoint,) = run.folder.glob("rl_model_*_steps.zip")
    stopped = int(checkpoint.stem.split("_")[2])
    assert f"Stopped after {stopped} steps" in run.output()
    assert f"Go on with: python train.py -i {run.folder}" in run.output()
    assert replay_buffer_path(checkpoint).is_file()
    assert not (run.folder / f"{ENV_NAME}.zip").exists(), "that is for the end of a run"
    before = assert_rows_agree(run.folder, stopped)
    assert len(before) >= 4

    end = stopped + 60
    with trainer(tmp_path, "-i", str(run.folder), "-n", str(end), python=("-W", "error")) as again:
        assert again.wait() == 0, again.output()
    start = f"rl_model_{stopped}_steps.zip, at step {stopped}, with its replay buffer"
    assert start in again.output()
    assert f"Done after {end} steps: 60 in" in again.output()
    rows = assert_rows_agree(run.folder, end)
    assert rows[: len(before)] == before and len(rows) > len(before)
    model = DQN.load(run.folder / f"{ENV_NAME}.zip", device="cpu")
    model.load_replay_buffer(run.folder / f"rl_model_replay_buffer_{end}_steps.pkl")
    assert (model.num_timesteps, model.replay_buffer.size()) == (end, end)
    assert_no_point_is_of_the_lost_part(run.folder)
    commands = (run.folder / "command.txt").read_text().splitlines()
    assert len(commands) == 2 and commands[1].endswith(f"-i {run.folder} -n {end}")


@pytest.mark.real_rom
def test_sigterm_saves_too_and_without_its_buffer_a_run_fills_a_new_one(tmp_path: Path) -> None:
    with trainer(tmp_path, "-n", "100000", *TINY, *NO_EVALUATION) as run:
        run.wait_for_episodes(3)
        emulators = run.emulators()
        run.process.terminate()
        assert run.wait() == 143, run.output()
        assert not any(is_alive(pid) for pid in emulators)
        assert folders_of("*", run.temp) == []
    (checkpoint,) = run.folder.glob("rl_model_*")
    # Resumed twice: random play fills the empty buffer for 50 steps each time, and no longer.
    steps = int(checkpoint.stem.split("_")[2])
    for _ in range(2):
        resumed, steps = steps, steps + 20
        assert train("-i", run.folder, "-n", str(steps), "--verbose", "0") == 0
        model = DQN.load(run.folder / f"rl_model_{steps}_steps.zip", device="cpu")
        assert model.learning_starts == resumed + 50
    assert_rows_agree(run.folder, steps)


@pytest.mark.real_rom
def test_the_episode_that_a_stop_cut_off_ends_in_the_replay_buffer(tmp_path: Path) -> None:
    # Otherwise returns of several steps would reach from it into the first of the resumed run.
    words = ("--algo", "dqn", "--save-replay-buffer", "--verbose", "0", *NO_EVALUATION)
    assert train("-f", tmp_path, "-n", "60", *SMALL, "-params", "buffer_size:100", *words) == 0
    folder = tmp_path / "dqn" / f"{ENV_NAME}_1"
    for resumed_at, end in ((60, 64), (64, 68)):
        assert train("-i", folder, "-n", str(end), "--verbose", "0") == 0
        before, after = (load_buffer(folder, steps) for steps in (resumed_at, end))
        assert not before.dones[resumed_at - 1] and not before.timeouts[resumed_at - 1]
        assert after.timeouts[resumed_at - 1] and after.timeouts.sum() == before.timeouts.sum() + 1
        assert np.array_equal(after.rewards[:resumed_at], before.rewards[:resumed_at])


def load_buffer(folder: Path, steps: int) -> ReplayBuffer:
    model = DQN.load(folder / f"rl_model_{steps}_steps.zip", device="cpu")
    model.load_replay_buffer(folder / f"rl_model_replay_buffer_{steps}_steps.pkl")
    assert model.replay_buffer is not None
    return model.replay_buffer


@pytest.mark.real_rom
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_process_group_lets_worker_processes_finish(
    tmp_path: Path, sig: signal.Signals
) -> None:
    # That is what a terminal does at Ctrl-C, and service managers at SIGTERM. Rollouts of 100
    # steps: at the signal the workers are still needed.
    words = (*SMALL, "-params", "buffer_size:500", "train_freq:50", *NO_EVALUATION)
    with trainer(tmp_path, *words, "--n-envs", "2", "--vec-env", "subproc") as run:
        run.wait_for_episodes(2)
        emulators = run.emulators()
        assert len(emulators) == 2
        os.killpg(run.process.pid, sig)
        assert run.wait() == 128 + sig, run.output()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
        assert folders_of("*", run.temp) == []
    assert "Traceback" not in run.output()
    (checkpoint,) = run.folder.glob("rl_model_*_steps.zip")
    steps = int(checkpoint.stem.split("_")[2])
    assert steps % 100 == 0, "the rollout was played to its end"
    assert_rows_agree(run.folder, steps, n_envs=2)


@pytest.mark.real_rom
def test_a_signal_does_not_wait_for_the_end_of_an_evaluation(tmp_path: Path) -> None:
    evaluation = ("--eval-freq", "40", "--eval-episodes", "100000")
    with trainer(tmp_path, *TINY, *evaluation) as run:
        run.wait_for(lambda: len(run.emulators()) == 2)  # the second is started to evaluate on
        emulators = run.emulators()
        run.process.terminate()
        assert run.wait() == 143, run.output()
        assert not any(is_alive(pid) for pid in emulators)
    assert (run.folder / "rl_model_40_steps.zip").is_file()
    assert not (run.folder / "evaluations.npz").exists()


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_a_second_ctrl_c_does_not_wait_for_the_rollouts_end(tmp_path: Path, vec_env: str) -> None:
    words = (*SMALL, "-params", "buffer_size:500", "train_freq:10000", *NO_EVALUATION)
    with trainer(tmp_path, *words, "--n-envs", "2", "--vec-env", vec_env) as run:
        run.wait_for_episodes(2)
        emulators = run.emulators()
        run.process.send_signal(signal.SIGINT)
        run.wait_for(lambda: "Stopping" in run.output())
        beyond = len(episodes(run.folder)) + 2
        run.wait_for_episodes(beyond)
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130, run.output()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
    assert 'train.py", line' not in run.output(), "no traceback of the trainer's"
    (checkpoint,) = run.folder.glob("rl_model_*_steps.zip")
    steps = int(checkpoint.stem.split("_")[2])
    assert DQN.load(checkpoint, device="cpu").num_timesteps == steps
    assert int(episodes(run.folder)[-1]["timesteps"]) <= steps


@pytest.mark.real_rom
def test_after_a_kill_the_run_goes_on_from_its_checkpoint_without_the_lost_part(
    tmp_path: Path,
) -> None:
    words = (*TINY, "--save-freq", "60", "--log-interval", "1")
    evaluation = ("--eval-freq", "40", "--eval-episodes", "1")
    with trainer(tmp_path, "-n", "100000", *words, *evaluation) as run:
        run.wait_for(lambda: (run.folder / "rl_model_120_steps.zip").exists())
        beyond = len(episodes(run.folder))
        run.wait_for_episodes(beyond + 2)
        emulators = run.emulators()
        assert len(emulators) == 2, "one to train on, one to evaluate on"
        run.process.kill()
        run.wait()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
        assert folders_of("*", run.temp) != [], "nobody was there to remove them"
    lost = episodes(run.folder)
    newest = max(int(p.stem.split("_")[2]) for p in run.folder.glob("rl_model_*_steps.zip"))
    kept = [row for row in lost if int(row["timesteps"]) <= newest]
    for name in ("episodes.csv", "0.monitor.csv"):
        with (run.folder / name).open("ab") as file:
            file.write(b"1760000000.0,0")  # a row that was being written

    end = newest + 60
    with trainer(tmp_path, "-i", str(run.folder), "-n", str(end), python=("-W", "error")) as again:
        assert again.wait() == 0, again.output()
        assert folders_of("*", again.temp) == [], "the killed run's are removed as well"
    assert f"at step {newest}, without a replay buffer" in again.output()
    rows = assert_rows_agree(run.folder, end)
    assert rows[: len(kept)] == kept and len(rows) > len(kept)
    assert_no_point_is_of_the_lost_part(run.folder)
    with np.load(run.folder / "evaluations.npz") as archive:
        assert archive["timesteps"].tolist() == list(range(40, end + 1, 40))


@pytest.mark.real_rom
def test_a_dead_emulator_ends_the_run_with_an_error_and_nothing_learned_is_lost(
    tmp_path: Path,
) -> None:
    with trainer(tmp_path, "-n", "100000", *TINY, *NO_EVALUATION) as run:
        run.wait_for_episodes(3)
        (emulator,) = run.emulators()
        os.kill(emulator, signal.SIGKILL)
        assert run.wait() == 1, run.output()
        assert folders_of("*", run.temp) == []
    assert "Traceback" not in run.output()
    (checkpoint,) = run.folder.glob("rl_model_*")
    assert f"an error ended the run; saved {checkpoint}" in run.output()
    assert "train.py: error: the connection to FCEUX" in run.output()
    assert DQN.load(checkpoint, device="cpu").num_timesteps == int(checkpoint.stem.split("_")[2])


@pytest.mark.real_rom
def test_a_dead_worker_ends_the_run_with_an_error_and_nothing_learned_is_lost(
    tmp_path: Path,
) -> None:
    words = (*TINY, *NO_EVALUATION, "--n-envs", "2", "--vec-env", "subproc")
    with trainer(tmp_path, "-n", "100000", *words) as run:
        run.wait_for_episodes(3)
        emulators = run.emulators()
        os.kill(emulators[0], signal.SIGKILL)
        assert run.wait() == 1, run.output()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
    (checkpoint,) = run.folder.glob("rl_model_*")
    assert f"an error ended the run; saved {checkpoint}" in run.output()
    assert "the connection to FCEUX" in run.output(), "the worker's own words"
    assert "train.py: error: an emulator's process (--vec-env subproc) ended" in run.output()


@pytest.mark.real_rom
def test_a_diverged_run_ends_with_an_error_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("-f", tmp_path, *TINY, "learning_rate:1e20", *NO_EVALUATION) == 1
    error = capsys.readouterr().err
    assert "train.py: error: the loss is " in error and "training has diverged" in error


@pytest.mark.real_rom
def test_a_checkpoint_names_the_step_to_resume_from(copy: Path) -> None:
    assert train("-i", copy / "rl_model_100_steps.zip", "-n", str(STEPS)) == 0
    rows = assert_rows_agree(copy, STEPS)
    assert len((copy / "command.txt").read_text().splitlines()) == 2
    steps = sorted(int(p.stem.split("_")[2]) for p in copy.glob("rl_model_*"))
    assert steps == [100, 200, STEPS]
    first = [int(row["timesteps"]) for row in rows if int(row["timesteps"]) <= 100]
    assert int(rows[len(first)]["timesteps"]) - int(rows[len(first)]["length"]) == 100, (
        "an episode began at the resumption"
    )
    # Random play again, since the replay buffer is empty: but not with the same random numbers.
    played = [(row["frames"], row["reward"], row["max_x"]) for row in rows]
    assert played[len(first) : len(first) + 2] != played[:2]


@pytest.mark.real_rom
def test_the_last_checkpoint_is_this_runs_and_not_that_of_the_abandoned_part(copy: Path) -> None:
    path = copy / f"rl_model_{STEPS}_steps.zip"
    before = weights(path)
    checkpoint = copy / "rl_model_200_steps.zip"
    words = ("-n", str(STEPS), "--save-freq", "-1", "--verbose", "0", *NO_EVALUATION)
    assert train("-i", checkpoint, *words) == 0
    assert same(weights(path), weights(copy / f"{ENV_NAME}.zip"))
    assert not same(weights(path), before)


@pytest.mark.real_rom
def test_a_torn_newest_checkpoint_is_passed_over_and_told(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = copy / f"rl_model_{STEPS}_steps.zip"
    torn.write_bytes(torn.read_bytes()[:-1000])
    with pytest.warns(UserWarning, match=f"passing over the damaged checkpoint {torn}"):
        assert train("-i", copy, "-n", "220", *NO_EVALUATION) == 0
    assert "Start: rl_model_200_steps.zip, at step 200" in capsys.readouterr().out
    assert_rows_agree(copy, 220)
    assert not torn.exists(), "it was of the abandoned part"


@pytest.mark.real_rom
def test_another_model_starts_a_new_run_with_its_weights(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy / "best_model.zip"
    before = snapshot(copy)
    words = ("-n", "8", *SMALL, "-params", "learning_starts:100", *NO_EVALUATION)
    assert train("-f", tmp_path / "logs", "-i", model, *words) == 0
    assert f"Start: a new run with the weights of {model}" in capsys.readouterr().out
    new = copy.with_name(f"{ENV_NAME}_2")
    assert same(weights(new / f"{ENV_NAME}.zip"), weights(model)), "nothing was learned in 8 steps"
    assert DQN.load(new / f"{ENV_NAME}.zip", device="cpu").num_timesteps == 8
    assert yaml.safe_load((new / "args.yml").read_text())["trained_agent"] == str(model)
    assert snapshot(copy) == before


# What is refused


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 2) -> str:
    """Return the error that ``train.py`` prints, and nothing else."""
    assert train(*words) == status
    printed = capsys.readouterr()
    assert printed.err.startswith("train.py: error: ")
    return printed.err


@pytest.mark.real_rom
@pytest.mark.parametrize("steps", [(), ("-n", "150"), ("-n", str(STEPS))])
def test_a_run_that_is_done_is_not_touched(
    copy: Path, capsys: pytest.CaptureFixture[str], steps: tuple[str, ...]
) -> None:
    before = snapshot(copy)
    wanted = steps[1] if steps else str(STEPS)
    message = refused(capsys, "-i", copy, *steps)
    assert f"-n/--n-timesteps: the run has done {STEPS} of {wanted} steps already" in message
    assert "give a larger number" in message
    assert snapshot(copy) == before


CHANGED: dict[str, tuple[str, ...]] = {
    "algo": ("dqn",),
    "env": ("1-2",),
    "log_folder": ("elsewhere",),
    "tensorboard_log": ("curves",),
    "seed": ("2",),
    "n_envs": ("2",),
    "vec_env": ("subproc",),
    "eval_episodes": ("3",),
    "n_eval_envs": ("2",),
    "hyperparams": ("gamma:0.5",),
    "conf_file": ("mine.yml",),
    "env_kwargs": ("frame_skip:2",),
}


@pytest.mark.real_rom
@pytest.mark.parametrize("name", FIXED_ON_RESUME)
def test_what_would_make_it_another_run_cannot_be_changed(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = snapshot(copy)
    flag = "--" + name.replace("_", "-")
    message = refused(capsys, "-i", copy, "-n", "1000", flag, *CHANGED[name])
    assert f"{flag}: a resumed run keeps its " in message
    assert CHANGED[name][0] in message and "leave it out" in message
    assert snapshot(copy) == before


@pytest.mark.real_rom
def test_the_same_settings_may_be_given_again(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_folder = yaml.safe_load((copy / "args.yml").read_text())["log_folder"]
    message = refused(capsys, "-f", log_folder, "-i", copy, "--env", "1-1", *WHOLE_RUN)
    assert "steps already" in message, "nothing but that was wrong"


@pytest.mark.real_rom
def test_another_game_is_refused(
    copy: Path, rom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.nes"
    data = bytearray(rom.read_bytes())
    data[1000] ^= 1
    other.write_bytes(data)
    with pytest.warns(UserWarning, match="no known dump"):
        message = refused(capsys, "-i", copy, "-n", "300", "--rom", other)
    assert f"--rom: {other} is another game than the one this run was started on" in message


@pytest.mark.real_rom
def test_a_model_that_does_not_fit_is_refused_and_leaves_no_folder(
    plain_dqn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "-f", tmp_path / "logs", *TINY, "-i", plain_dqn / f"{ENV_NAME}.zip")
    assert f"{ENV_NAME}.zip is no model that fits" in message
    (tmp_path / "model.zip").write_bytes(b"PK nonsense")
    message = refused(capsys, "-f", tmp_path / "logs", *TINY, "-i", tmp_path / "model.zip")
    assert "model.zip is no model that fits" in message
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]


@pytest.mark.real_rom
def test_a_damaged_checkpoint_that_was_named_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "rl_model_200_steps.zip"
    path.write_bytes(path.read_bytes()[:-1000])
    before = snapshot(copy)
    message = refused(capsys, "-i", path)
    assert f"{path} cannot be loaded" in message and "resume from the folder" in message
    assert snapshot(copy) == before


def test_there_must_be_something_to_go_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    message = refused(capsys, "-f", logs, "-i", tmp_path / "nothing")
    assert f"-i/--trained-agent: there is no {tmp_path / 'nothing'}" in message
    (tmp_path / "folder").mkdir()
    message = refused(capsys, "-f", logs, "-i", tmp_path / "folder")
    assert "is no run's folder: it has no args.yml" in message
    assert not logs.exists()


# A run that did not begin leaves nothing behind


def no_rom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: None)
    monkeypatch.setattr(roms, "_homebrew_folders", lambda: iter([]))


def test_without_any_rom_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_rom(monkeypatch)
    message = refused(capsys, "-f", tmp_path / "logs", *TINY)
    assert "there is no ROM of Super Mario Bros. Looked at:" in message
    assert "--rom PATH" in message and "gym-super-mario-bros" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [(None, "there is no file"), (b"nonsense", "not an iNES file"), (b"NES\x1a\x02", "truncated")],
)
def test_a_missing_or_corrupt_rom_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None, message: str
) -> None:
    rom = tmp_path / "game.nes"
    if data is not None:
        rom.write_bytes(data)
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--rom", rom)
    assert message in error and str(rom) in error
    assert not (tmp_path / "logs").exists()


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_a_missing_fceux_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    vec_env: str,
) -> None:
    monkeypatch.setenv("SB3_MARIO_FCEUX", "/nowhere/fceux")
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--vec-env", vec_env, status=1)
    assert "FCEUX is missing: no program SB3_MARIO_FCEUX=/nowhere/fceux" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_an_fceux_that_does_not_start_is_quoted(tmp_path: Path, vec_env: str) -> None:
    program = tmp_path / "fceux"
    program.write_text("#!/bin/sh\necho cannot draw\nexit 3\n")
    program.chmod(0o755)
    words = (*TINY, "-tb", str(tmp_path / "curves"), "--vec-env", vec_env)
    with trainer(tmp_path, *words, SB3_MARIO_FCEUX=str(program)) as run:
        assert run.wait() == 1
        assert folders_of("*", run.temp) == []
    assert "FCEUX ended at start with code 3." in run.output()
    assert "cannot draw" in run.output()
    assert not (tmp_path / "logs").exists() and not (tmp_path / "curves").exists()


@pytest.mark.real_rom
@pytest.mark.filterwarnings("ignore:.*is no known dump")
def test_another_game_is_found_out_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    game = tmp_path / "game.nes"
    game.write_bytes(b"NES\x1a\x02\x01\x01\x00" + bytes(8 + 40 * 1024))
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--rom", game, status=1)
    assert "is this ROM Super Mario Bros.?" in error
    assert [path.name for path in tmp_path.iterdir()] == ["game.nes"]


@pytest.mark.real_rom
def test_verbose_2_shows_where_it_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SB3_MARIO_FCEUX", "/nowhere/fceux")
    assert train("-f", tmp_path / "logs", *TINY, "--verbose", "2") == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback") and "\ntrain.py: error: FCEUX is missing" in error


@pytest.mark.real_rom
def test_a_stop_before_the_first_step_leaves_nothing(tmp_path: Path) -> None:
    with trainer(tmp_path, *TINY, *NO_EVALUATION) as run:
        run.wait_for(run.emulators)
        emulators = run.emulators()
        run.process.terminate()
        assert run.wait() == 143, run.output()
        assert not any(is_alive(pid) for pid in emulators)
        assert folders_of("*", run.temp) == []
    assert "Stopped before training began." in run.output()
    assert not (tmp_path / "logs").exists()


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--algo", "dqn", "--env", "9-9"), "--env: there is no environment '9-9'"),
        (("-params", "gama:0.9"), "no hyperparameter 'gama'; did you mean gamma?"),
        (("-params", "gamma"), "-params/--hyperparams: expected key:value, got 'gamma'"),
        (("--env-kwargs", "max_step:2"), "did you mean max_steps?"),
        (("--env-kwargs", "frame_skip:0"), "env_kwargs: frame_skip must be from 1 to 60, got 0"),
        (("--env-kwargs", "actions:walk"), "env_kwargs: there is no action set 'walk'"),
        (("--env-kwargs", "actions:5"), "env_kwargs: "),
        (("--env-kwargs", "reward_weights.deth:1"), "env_kwargs: .*'deth'"),
        (("-params", "policy_kwargs.net_arch:wide"), "the hyperparameters make no model: "),
        (("-params", "n_steps:1", "optimize_memory_usage:true"), "optimize_memory_usage"),
        (("-conf", "/nowhere/mine.yml"), "/nowhere/mine.yml cannot be read"),
        (("--device", "warp"), "--device: 'warp' cannot be used"),
        (("-params", "buffer_size:1e12"), "buffer_size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_setting_ends_with_status_2_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    error = refused(capsys, "-f", tmp_path / "logs", "--num-threads", "1", *words)
    assert re.search(message, error), error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_rom
def test_cuda_without_cuda_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if th.cuda.is_available():
        pytest.skip("there is CUDA here")
    error = refused(capsys, "-f", tmp_path / "logs", *TINY, "--device", "cuda")
    assert "--device: 'cuda' cannot be used: torch finds no CUDA here" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_rom
def test_a_log_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("a file")
    error = refused(capsys, "-f", tmp_path / "logs", *TINY)
    assert f"-f/--log-folder: no folder can be made in {tmp_path / 'logs'}" in error


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
