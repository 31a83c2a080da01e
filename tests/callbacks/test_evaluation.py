"""Evaluation: the same starts each time, the best model kept, files that are whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecEnv

from sb3_mario.callbacks import EvaluationCallback
from sb3_mario.emulator.errors import StartError
from sb3_mario.game.selftest import SelfTestError
from tests.callbacks.toy_mario import MakeModel, ToyMario


class DrawnToy(ToyMario):
    """Draws the length of each episode, 5 to 7 steps; a reward of 1 a step, or ``reward``."""

    reward = 1.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        result = super().reset(seed=seed)
        self.episode = int(self.np_random.integers(3))
        return result

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, _, done, truncated, info = super().step(action)
        if done:
            info["is_success"] = info["flag_get"]
        return observation, DrawnToy.reward, done, truncated, info


class Breaking(DrawnToy):
    """Loses the steps whose numbers, counted over all episodes, are in ``lost``."""

    lost: frozenset[int] = frozenset()
    made = 0

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        Breaking.made += 1
        if Breaking.made in Breaking.lost:
            info = {"step_lost": True, "end_cause": "emulator"}
            return self._observation(), 0.0, False, True, info
        return super().step(action)


@pytest.fixture(autouse=True)
def _reward_of_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DrawnToy, "reward", 1.0)


def eval_envs(n_envs: int = 1) -> VecEnv:
    return make_vec_env(DrawnToy, n_envs=n_envs)


def evaluations(folder: Path) -> dict[str, Any]:
    with np.load(folder / "evaluations.npz") as archive:
        return dict(archive)


def make(folder: Path, freq: int = 10, episodes: int = 4, **kwargs: Any) -> EvaluationCallback:
    return EvaluationCallback(eval_envs(), freq, folder, episodes, **{"verbose": 0} | kwargs)


# What is played


def test_every_evaluation_plays_the_same_starts(make_model: MakeModel, tmp_path: Path) -> None:
    make_model().learn(50, callback=make(tmp_path, episodes=20))
    stored = evaluations(tmp_path)
    assert stored["timesteps"].tolist() == [10, 20, 30, 40, 50]
    for name in ("results", "ep_lengths", "successes"):
        assert (stored[name] == stored[name][0]).all(), name
        assert stored[name].shape == (5, 20)
    assert set(stored["ep_lengths"][0]) == {5, 6, 7}, "and each start differs from the others"
    assert (stored["successes"] == (stored["ep_lengths"] == 7)).all()


@pytest.mark.parametrize("lost", [{1}, {17}, {3, 30}])
def test_an_evaluation_in_which_an_emulator_breaks_is_played_again_from_its_start(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: set[int]
) -> None:
    for folder, lost_here in (("unbroken", set()), ("broken", lost)):
        monkeypatch.setattr(Breaking, "lost", frozenset(lost_here))
        monkeypatch.setattr(Breaking, "made", 0)
        callback = EvaluationCallback(
            make_vec_env(Breaking, n_envs=2), 10, tmp_path / folder, 6, verbose=0
        )
        make_model().learn(20, callback=callback)
        assert Breaking.made > max(lost)
    unbroken, broken = (evaluations(tmp_path / folder) for folder in ("unbroken", "broken"))
    for name, values in unbroken.items():
        assert np.array_equal(broken[name], values), name


def test_an_evaluation_that_breaks_each_time_is_given_up_with_a_warning(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Breaking, "lost", frozenset(range(1, 4)))
    monkeypatch.setattr(Breaking, "made", 0)
    callback = EvaluationCallback(make_vec_env(Breaking), 10, tmp_path, 4, verbose=0)
    with pytest.warns(UserWarning, match="no evaluation at step 10: .* in each of 3 tries"):
        make_model().learn(20, callback=callback)
    assert evaluations(tmp_path)["timesteps"].tolist() == [20], "the next is played"


@pytest.mark.parametrize(
    "error", [StartError("not ready in time"), SelfTestError("not the game")], ids=repr
)
def test_an_emulator_that_does_not_start_costs_an_evaluation_and_no_run(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    callback = make(tmp_path)
    reset, starts = callback.eval_env.reset, []

    def start() -> Any:
        starts.append(1)
        if len(starts) <= 3 + 1:  # all tries of the first evaluation, one of the second
            raise error
        return reset()

    monkeypatch.setattr(callback.eval_env, "reset", start)
    with pytest.warns(UserWarning, match=f"no evaluation at step 10: .*at last with: {error}"):
        make_model().learn(20, callback=callback)
    assert evaluations(tmp_path)["timesteps"].tolist() == [20], "the next is played"


def test_another_seed_plays_other_starts(make_model: MakeModel, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_model().learn(10, callback=make(tmp_path / str(seed), episodes=20, seed=seed))
    one, other = (evaluations(tmp_path / str(seed))["ep_lengths"] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_it_plays_greedily(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    predict = DQN.predict

    def watched(self: DQN, *args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["deterministic"])
        return predict(self, *args, **kwargs)

    monkeypatch.setattr(DQN, "predict", watched)
    make_model(learning_starts=1000).learn(10, callback=make(tmp_path))
    assert asked and all(asked)


def test_it_counts_environment_steps_however_many_environments(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model(n_envs=3).learn(45, callback=make(tmp_path))
    assert evaluations(tmp_path)["timesteps"].tolist() == [12, 21, 30, 42]


def test_several_emulators_share_the_episodes(make_model: MakeModel, tmp_path: Path) -> None:
    callback = EvaluationCallback(eval_envs(3), 10, tmp_path, 5, verbose=0)
    make_model().learn(20, callback=callback)
    stored = evaluations(tmp_path)
    assert stored["results"].shape == (2, 5)
    assert (stored["results"] == stored["ep_lengths"]).all(), "figures of the same episodes"
    assert (stored["successes"] == (stored["ep_lengths"] == 7)).all()


def test_it_changes_nothing_in_the_training(make_model: MakeModel, tmp_path: Path) -> None:
    plain = make_model().learn(100)
    watched = make_model().learn(100, callback=make(tmp_path))
    for a, b in zip(plain.q_net.parameters(), watched.q_net.parameters(), strict=True):
        assert th.equal(a, b)


# What is written


def test_the_file_has_the_form_of_sb3s(make_model: MakeModel, tmp_path: Path) -> None:
    theirs = EvalCallback(
        eval_envs(),
        n_eval_episodes=4,
        eval_freq=10,
        log_path=str(tmp_path / "theirs"),
        verbose=0,
    )
    make_model().learn(30, callback=[theirs, make(tmp_path / "ours")])
    one, other = evaluations(tmp_path / "theirs"), evaluations(tmp_path / "ours")
    assert other.keys() - one.keys() == {"max_x", "end_causes", "best_mean_reward"}
    assert one.keys() < other.keys()
    for name in one:
        assert (one[name].shape, one[name].dtype) == (other[name].shape, other[name].dtype), name


class Recorder(KVWriter):
    """Keeps what the logger writes of an evaluation, as (step, values)."""

    def __init__(self) -> None:
        self.written: list[tuple[int, dict[str, Any]]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        values = {key: v for key, v in key_values.items() if key.startswith("eval/")}
        if values:
            self.written.append((step, values))

    def close(self) -> None: ...


def test_the_file_has_each_episodes_largest_x_and_end(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model().learn(20, callback=make(tmp_path, episodes=20))
    stored = evaluations(tmp_path)
    assert (stored["max_x"] == 10 * stored["ep_lengths"]).all()
    assert (stored["end_causes"] == np.where(stored["successes"], "flag", "pit")).all()


def test_tensorboard_gets_sb3s_figures_and_the_largest_x(
    make_model: MakeModel, tmp_path: Path
) -> None:
    recorder = Recorder()
    model = make_model()
    model.set_logger(Logger(None, [recorder]))
    model.learn(20, callback=make(tmp_path, episodes=20))
    lengths = evaluations(tmp_path)["ep_lengths"][0]
    assert [step for step, _ in recorder.written] == [10, 20]
    assert recorder.written[0][1] == pytest.approx(
        {
            "eval/mean_reward": lengths.mean(),
            "eval/mean_ep_length": lengths.mean(),
            "eval/max_x_mean": 10 * lengths.mean(),
            "eval/success_rate": (lengths == 7).mean(),
        }
    )


def test_the_best_model_is_that_of_the_highest_mean_reward(
    make_model: MakeModel, tmp_path: Path
) -> None:
    rewards = iter((1.0, 3.0, 2.0, 3.0, 4.0))
    callback = make(tmp_path)
    model = make_model()
    best_steps = []
    for _ in range(5):
        DrawnToy.reward = next(rewards)
        model.learn(10, callback=callback, reset_num_timesteps=False)
        best_steps.append(DQN.load(tmp_path / "best_model.zip", device="cpu").num_timesteps)
    assert best_steps == [10, 20, 20, 20, 50], "an equal one does not take its place"


def test_a_line_tells_the_result(
    make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(learning_starts=1000).learn(20, callback=make(tmp_path, episodes=20, verbose=1))
    first, second = capsys.readouterr().out.splitlines()
    lengths = evaluations(tmp_path)["ep_lengths"][0]
    assert first == (
        f"Evaluation at 10 steps: reward {lengths.mean():.1f} ± {lengths.std():.1f}, largest x "
        f"{10 * lengths.mean():.0f} on average, flag in {(lengths == 7).sum()} of 20 episodes "
        "(best so far)"
    )
    assert "(best so far)" not in second
    make_model(learning_starts=1000).learn(20, callback=make(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_full_disk_is_a_warning_and_the_next_evaluation_writes_what_is_missing(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    fsync = os.fsync

    def full_at_step_20(fd: int) -> None:
        DrawnToy.reward = 2.0  # from the second evaluation on
        if model.num_timesteps == 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", full_at_step_20)
    with pytest.warns(UserWarning, match=r"at step 20 is not saved: .*best_model.*No space left"):
        model.learn(30, callback=make(tmp_path))
    assert evaluations(tmp_path)["timesteps"].tolist() == [10, 20, 30]
    best = DQN.load(tmp_path / "best_model.zip", device="cpu").num_timesteps
    assert best == 30, "the first of the best that could be saved"
    assert {path.name for path in tmp_path.iterdir()} == {"evaluations.npz", "best_model.zip"}


# Interrupted, and resumed


class StopError(Exception):
    """Gives an evaluation up, as a signal does."""


def test_an_evaluation_can_be_given_up_at_each_step_and_is_made_up_for(
    make_model: MakeModel, tmp_path: Path
) -> None:
    steps = []

    def on_step() -> None:
        steps.append(model.num_timesteps)
        if model.num_timesteps == 20 and len(steps) > 30:
            raise StopError

    model = make_model()
    with pytest.raises(StopError):
        model.learn(50, callback=make(tmp_path, on_step=on_step))
    assert model.num_timesteps == 20 and steps.count(20) > 1
    assert evaluations(tmp_path)["timesteps"].tolist() == [10]
    model.learn(15, callback=make(tmp_path), reset_num_timesteps=False)
    assert evaluations(tmp_path)["timesteps"].tolist() == [10, 20, 30]


def test_a_resumed_run_keeps_the_evaluations_up_to_its_step_and_the_best_of_all(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    model.learn(20, callback=make(tmp_path))
    model.save(tmp_path / "at_20")
    DrawnToy.reward = 3.0
    model.learn(20, callback=make(tmp_path), reset_num_timesteps=False)
    first = evaluations(tmp_path)
    assert first["timesteps"].tolist() == [10, 20, 30, 40]

    DrawnToy.reward = 2.0
    resumed = DQN.load(tmp_path / "at_20", env=make_model().env, device="cpu")
    resumed.learn(15, callback=make(tmp_path), reset_num_timesteps=False)
    stored = evaluations(tmp_path)
    assert stored["timesteps"].tolist() == [10, 20, 30]
    assert (stored["results"][:2] == first["results"][:2]).all()
    assert (stored["results"][2] == 2 * first["ep_lengths"][2]).all()
    best = DQN.load(tmp_path / "best_model.zip", device="cpu").num_timesteps
    assert best == 30, "of the abandoned part, and better than anything since"

    resumed.learn(10, callback=make(tmp_path), reset_num_timesteps=False)
    assert evaluations(tmp_path)["timesteps"].tolist() == [10, 20, 30, 40]
    best = DQN.load(tmp_path / "best_model.zip", device="cpu").num_timesteps
    assert best == 30, "also where the evaluation that made it the best is forgotten"


def test_a_resumed_run_without_evaluations_begins_with_one(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model().learn(25)
    model.learn(10, callback=make(tmp_path), reset_num_timesteps=False)
    assert evaluations(tmp_path)["timesteps"].tolist() == [25, 30]


def test_another_number_of_episodes_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    model.learn(10, callback=make(tmp_path))
    with pytest.raises(ValueError, match=r"evaluations\.npz has 4 episodes .*, this run 5"):
        model.learn(10, callback=make(tmp_path, episodes=5), reset_num_timesteps=False)


@pytest.mark.parametrize("damage", [b"", b"PK nonsense", None])
def test_a_damaged_file_is_named(
    make_model: MakeModel, tmp_path: Path, damage: bytes | None
) -> None:
    path = tmp_path / "evaluations.npz"
    if damage is None:
        np.savez(path, timesteps=np.array([10]))
    else:
        path.write_bytes(damage)
    model = make_model().learn(10)
    with pytest.raises(ValueError, match=r"evaluations\.npz is damaged .*: move it away"):
        model.learn(10, callback=make(tmp_path), reset_num_timesteps=False)


@pytest.mark.parametrize("argument", ["eval_freq", "n_eval_episodes"])
def test_numbers_below_one_are_refused_by_name(tmp_path: Path, argument: str) -> None:
    arguments = {"eval_freq": 10, "n_eval_episodes": 3, argument: 0}
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        EvaluationCallback(eval_envs(), folder=tmp_path, **arguments)
