"""``train.py`` stopped, killed or broken, and what goes on from there."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from stable_baselines3 import DQN

from sb3_mario.callbacks import (
    AtomicCheckpointCallback,
    EvaluationCallback,
    replay_buffer_path,
)
from sb3_mario.dqn.saved_replay import load_replay_buffer
from sb3_mario.emulator.fceux import find_fceux
from tests.processes import folders_of, is_alive, parent, wait_until_gone
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    SMALL,
    STEPS,
    TINY,
    assert_rows_agree,
    episodes,
    same,
    scalars,
    snapshot,
    train,
    trainer,
    weights,
)


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
    words = (*TINY, *NO_EVALUATION, "--log-interval", "1")
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
    assert re.search(r"Schedule: learning rate [\d.e-]+, exploration \d+%\n", again.output())
    assert f"Done after {end} steps: 60 in" in again.output()
    rows = assert_rows_agree(run.folder, end)
    assert rows[: len(before)] == before and len(rows) > len(before)
    model = DQN.load(run.folder / f"{ENV_NAME}.zip", device="cpu")
    with replay_buffer_path(run.folder / f"rl_model_{end}_steps.zip").open("rb") as file:
        load_replay_buffer(model.replay_buffer, file)
    assert (model.num_timesteps, model.replay_buffer.size()) == (end, end)
    assert_no_point_is_of_the_lost_part(run.folder)
    commands = (run.folder / "command.txt").read_text().splitlines()
    assert len(commands) == 2 and commands[1].endswith(f"-i {run.folder} -n {end}")


@pytest.mark.real_rom
def test_sigterm_saves_too_and_without_its_buffer_a_run_fills_a_new_one(tmp_path: Path) -> None:
    words = (*TINY, *NO_EVALUATION, "--no-save-replay-buffer")
    with trainer(tmp_path, "-n", "100000", *words) as run:
        run.wait_for_episodes(3)
        emulators = run.emulators()
        run.process.terminate()
        assert run.wait() == 143, run.output()
        assert not any(is_alive(pid) for pid in emulators)
        assert folders_of("*", run.temp) == []
    (checkpoint,) = run.folder.glob("rl_model_*.zip")
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
        before, after = (saved_buffer(folder, steps) for steps in (resumed_at, end))
        assert len(before["rewards"]) == resumed_at and len(after["rewards"]) == end
        last = resumed_at - 1
        assert not before["dones"][last] and not before["timeouts"][last]
        assert after["timeouts"][last] and after["timeouts"].sum() == before["timeouts"].sum() + 1
        assert np.array_equal(after["rewards"][:resumed_at], before["rewards"])


def saved_buffer(folder: Path, steps: int) -> dict[str, Any]:
    """The arrays of a saved replay buffer of SB3's."""
    path = replay_buffer_path(folder / f"rl_model_{steps}_steps.zip")
    with np.load(path) as archive:
        return {name: archive[name][:, 0] for name in ("rewards", "dones", "timeouts")}


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
def test_a_run_stopped_in_the_evaluation_at_its_end_has_its_model(tmp_path: Path) -> None:
    # 40 steps are the whole run, and an evaluation is due.
    words = (*TINY, "-n", "40", "--eval-freq", "40", "--eval-episodes", "100000")
    with trainer(tmp_path, *words) as run:
        run.wait_for(lambda: len(run.emulators()) == 2)
        run.process.terminate()
        assert run.wait() == 143, run.output()
    assert DQN.load(run.folder / f"{ENV_NAME}.zip", device="cpu").num_timesteps == 40
    assert "Done after 40 steps" in run.output()
    assert "Go on with" not in run.output()


@pytest.mark.real_rom
def test_a_signal_to_the_group_while_threads_are_measured_is_no_error(tmp_path: Path) -> None:
    words = ("--n-envs", "2", "--vec-env", "subproc", "-n", "100")
    with trainer(tmp_path, *words) as run:
        run.wait_for(lambda: len(run.emulators()) == 2)
        emulators = run.emulators()
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.wait() == 130, run.output()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
    assert "Stopped before training began." in run.output()
    assert "Traceback" not in run.output()


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
    gone = len(lost) - len(kept)
    steps = max(int(row["timesteps"]) for row in lost) - newest
    assert (
        f"at step {newest}, with its replay buffer; {steps} steps or more after it, {gone} "
        "episode(s), are lost" in again.output()
    )
    rows = assert_rows_agree(run.folder, end)
    assert rows[: len(kept)] == kept and len(rows) > len(kept)
    assert_no_point_is_of_the_lost_part(run.folder)
    with np.load(run.folder / "evaluations.npz") as archive:
        assert archive["timesteps"].tolist() == list(range(40, end + 1, 40))


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_an_emulator_that_can_no_longer_be_started_ends_the_run_and_nothing_learned_is_lost(
    tmp_path: Path, vec_env: str
) -> None:
    real = find_fceux()
    program = tmp_path / "fceux"
    program.symlink_to(real)
    words = (*TINY, *NO_EVALUATION, "--n-envs", "2", "--vec-env", vec_env)
    environment = {"SB3_MARIO_FCEUX": str(program)}
    with trainer(tmp_path, "-n", "100000", *words, **environment) as run:
        run.wait_for_episodes(3)
        emulators = run.emulators()
        program.unlink()
        program.write_text("#!/bin/sh\necho out of order\nexit 3\n")
        program.chmod(0o755)
        os.kill(emulators[0], signal.SIGKILL)
        assert run.wait() == 1, run.output()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
    (checkpoint,) = run.folder.glob("rl_model_*.zip")
    assert f"an error ended the run; saved {checkpoint}" in run.output()
    assert "FCEUX broke 6 times in a row, at last with: FCEUX ended at start" in run.output()
    assert "out of order" in run.output()
    if vec_env == "subproc":
        assert "train.py: error: an emulator's process (--vec-env subproc) ended" in run.output()
    else:
        assert "Traceback" not in run.output()
    assert DQN.load(checkpoint, device="cpu").num_timesteps == int(checkpoint.stem.split("_")[2])


@pytest.mark.real_rom
def test_a_dead_worker_ends_the_run_with_an_error_and_nothing_learned_is_lost(
    tmp_path: Path,
) -> None:
    words = (*TINY, *NO_EVALUATION, "--n-envs", "2", "--vec-env", "subproc")
    with trainer(tmp_path, "-n", "100000", *words) as run:
        run.wait_for_episodes(3)
        emulators = run.emulators()
        worker = parent(emulators[0])
        assert worker != run.process.pid
        os.kill(worker, signal.SIGKILL)
        assert run.wait() == 1, run.output()
        assert all(wait_until_gone(pid, 3) for pid in emulators)
    (checkpoint,) = run.folder.glob("rl_model_*.zip")
    assert f"an error ended the run; saved {checkpoint}" in run.output()
    assert "train.py: error: an emulator's process (--vec-env subproc) ended" in run.output()


@pytest.mark.real_rom
def test_a_diverged_run_ends_with_an_error_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("-f", tmp_path, *TINY, "learning_rate:1e20", *NO_EVALUATION) == 1
    error = capsys.readouterr().err
    assert re.search("train.py: error: the (loss|gradient's norm) is ", error)
    assert "training has diverged" in error
    (checkpoint,) = tmp_path.glob("dueling_dqn/*/rl_model_*_steps.zip")
    assert f"an error ended the run; saved {checkpoint}" in error
    assert "Go on with" not in error, "it would go on from what diverged"
    assert all(w.isfinite().all() for w in weights(checkpoint).values())


@pytest.mark.real_rom
def test_after_an_error_at_the_end_the_model_is_named_though_no_checkpoint_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: EvaluationCallback) -> None:
        raise ValueError("broken")

    def full(self: AtomicCheckpointCallback, remove_others: bool = True) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EvaluationCallback, "_on_training_end", broken)
    monkeypatch.setattr(AtomicCheckpointCallback, "save_now", full)
    assert train("-f", tmp_path, *TINY, "-n", "40", "--eval-freq", "1000") == 1
    (final,) = tmp_path.glob(f"dueling_dqn/*/{ENV_NAME}.zip")
    error = capsys.readouterr().err
    assert f"an error ended the run; saved {final}, but no checkpoint: [Errno 28]" in error


@pytest.mark.real_rom
def test_a_run_that_goes_on_after_its_end_has_no_model_at_the_end_until_then(
    tmp_path: Path,
) -> None:
    with trainer(tmp_path, *TINY, *NO_EVALUATION, "-n", "40") as run:
        assert run.wait() == 0, run.output()
    final = run.folder / f"{ENV_NAME}.zip"
    assert final.is_file()
    with trainer(tmp_path, "-i", str(run.folder), "-n", "100000") as again:
        again.wait_for_episodes(3)
        again.process.send_signal(signal.SIGINT)
        assert again.wait() == 130, again.output()
    assert not final.exists()


@pytest.mark.real_rom
def test_a_checkpoint_names_the_step_to_resume_from(copy: Path) -> None:
    assert train("-i", copy / "rl_model_100_steps.zip", "-n", str(STEPS)) == 0
    rows = assert_rows_agree(copy, STEPS)
    assert len((copy / "command.txt").read_text().splitlines()) == 2
    steps = sorted(int(p.stem.split("_")[2]) for p in copy.glob("rl_model_*.zip"))
    assert steps == [100, 200, STEPS]
    first = [int(row["timesteps"]) for row in rows if int(row["timesteps"]) <= 100]
    assert int(rows[len(first)]["timesteps"]) - int(rows[len(first)]["length"]) == 100, (
        "an episode began at the resumption"
    )
    # Not with the same random numbers as at the start of the run.
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
    # Adam's averages, which the file has, would not fit another optimizer.
    other = "policy_kwargs.optimizer_class:torch.optim.RMSprop"
    words = ("-n", "8", *SMALL, "-params", "learning_starts:100", other, *NO_EVALUATION)
    assert train("-f", tmp_path / "logs", "-i", model, *words) == 0
    assert f"Start: a new run with the weights of {model}" in capsys.readouterr().out
    new = copy.with_name(f"{ENV_NAME}_2")
    assert same(weights(new / f"{ENV_NAME}.zip"), weights(model)), "nothing was learned in 8 steps"
    assert DQN.load(new / f"{ENV_NAME}.zip", device="cpu").num_timesteps == 8
    assert yaml.safe_load((new / "args.yml").read_text())["trained_agent"] == str(model)
    assert snapshot(copy) == before
