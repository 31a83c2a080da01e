"""What TensorBoard is given."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_mario.callbacks import EpisodeCSVCallback, TensorboardCallback, tensorboard
from tests.callbacks.toy_mario import MakeModel, MeasuredMario


class Recorder(KVWriter):
    """Keeps what the logger writes, as (step, values)."""

    def __init__(self) -> None:
        self.written: list[tuple[int, dict[str, Any]]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.written.append((step, dict(key_values)))

    def close(self) -> None: ...


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


class Clock:
    """Stands for the ``time`` module: time passes at each look, and only then."""

    def __init__(self, seconds_a_look: float = 1.0) -> None:
        self.seconds = 0.0
        self.seconds_a_look = seconds_a_look

    def monotonic(self) -> float:
        self.seconds += self.seconds_a_look
        return self.seconds


def test_tensorboards_file_has_sb3s_figures_and_marios(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(tensorboard_log=str(tmp_path))
    model.learn(100, callback=TensorboardCallback(), log_interval=1)
    events = EventAccumulator(str(tmp_path / "DQN_1"))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {
        "rollout/reward",
        "rollout/ep_rew_mean",
        "rollout/max_x_mean",
        "rollout/flag_rate",
        "rollout/exploration_rate",
        "train/loss",
        "train/mean_q",
        "time/env_steps_per_second",
        "time/gradient_steps_per_second",
        "sync/frames",
        "sync/retakes",
        "sync/mismatches",
        "sync/reconnects",
    }


def test_means_are_over_the_window_and_rewards_since_the_last_writing(
    make_model: MakeModel, recorder: Recorder
) -> None:
    model = make_model(stats_window_size=2, learning_starts=1000)
    model.set_logger(Logger(None, [recorder]))
    model.learn(36, callback=TensorboardCallback(), log_interval=3)
    (step, first), (_, second) = recorder.written
    # Episodes of 5, 6 and 7 steps; the window holds the last two, the last is the flag's.
    assert step == 18
    assert first["rollout/reward"] == pytest.approx(6)
    assert first["rollout/max_x_mean"] == pytest.approx(65)
    assert first["rollout/flag_rate"] == pytest.approx(0.5)
    assert first["sync/frames"] == 4 * 18
    assert first["sync/retakes"] == 3
    assert second["sync/frames"] == 4 * 36
    assert "train/mean_q" not in first, "nothing was learned"


def test_all_environments_count(make_model: MakeModel, recorder: Recorder) -> None:
    model = make_model(n_envs=2)
    model.set_logger(Logger(None, [recorder]))
    model.learn(36, callback=TensorboardCallback(), log_interval=6)
    assert recorder.written[-1][1]["sync/frames"] == 2 * 4 * 18


def test_rates_are_those_of_the_time_since_the_last_writing(
    make_model: MakeModel, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "time", Clock())
    model = make_model(learning_starts=20, train_freq=1)
    model.set_logger(Logger(None, [recorder]))
    model.learn(36, callback=TensorboardCallback(), log_interval=3)
    rates = [
        (step, v["time/env_steps_per_second"], v["time/gradient_steps_per_second"])
        for step, v in recorder.written
    ]
    # One look at the start and one an episode: three seconds between the writings. Gradient
    # steps come after steps 21 to 35, that after step 36 is not done yet.
    assert rates == [(18, 18 / 3, 0 / 3), (36, 18 / 3, 15 / 3)]


def test_rates_start_anew_when_the_steps_are_counted_anew(
    make_model: MakeModel, recorder: Recorder
) -> None:
    model, callback = make_model(), TensorboardCallback()
    model.set_logger(Logger(None, [recorder]))
    for _ in range(2):
        model.learn(36, callback=callback, log_interval=1)
    assert len(recorder.written) == 12
    assert all(values["time/env_steps_per_second"] > 0 for _, values in recorder.written)


def test_evaluation_writes_in_between_without_spoiling_mean_q_or_rates(
    make_model: MakeModel, recorder: Recorder, tmp_path: Path
) -> None:
    model = make_model(train_freq=1)
    model.set_logger(Logger(None, [recorder]))
    evaluation = EvalCallback(make_model().env, eval_freq=15, n_eval_episodes=1, verbose=0)
    model.learn(90, callback=[TensorboardCallback(), evaluation], log_interval=2)
    assert any("eval/mean_reward" in values for _, values in recorder.written)
    rates = [v["time/env_steps_per_second"] for _, v in recorder.written if "rollout/reward" in v]
    assert rates and min(rates) > 0
    q_values = [v["train/mean_q"] for _, v in recorder.written if "train/mean_q" in v]
    assert q_values and all(abs(q) < 10 for q in q_values)


@pytest.mark.parametrize(("vec_env", "share"), [(DummyVecEnv, 1), (SubprocVecEnv, 2)])
def test_time_spent_in_processes_side_by_side_counts_once(
    make_model: MakeModel,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    vec_env: type[DummyVecEnv],
    share: int,
) -> None:
    monkeypatch.setattr(tensorboard, "time", Clock(seconds_a_look=100))
    model = make_model(n_envs=2, learning_starts=1000)
    env = vec_env([partial(Monitor, MeasuredMario()) for _ in range(2)])
    try:
        model.set_env(env)
        model.set_logger(Logger(None, [recorder]))
        model.learn(36, callback=TensorboardCallback(), log_interval=6)
    finally:
        env.close()
    (_, values), *_ = recorder.written
    # Each step of both environments is half a second of each.
    assert values["milliseconds/emulator"] == pytest.approx(500 / share)
    seconds = 36 / values["time/env_steps_per_second"]
    assert values["milliseconds/other"] == pytest.approx(seconds * 1000 / 36 - 500 / share)


def test_sync_goes_on_from_the_rows_that_a_resumed_run_keeps(
    make_model: MakeModel, recorder: Recorder, tmp_path: Path
) -> None:
    def learn(steps: int, model: DQN) -> None:
        callbacks = [EpisodeCSVCallback(tmp_path / "episodes.csv"), TensorboardCallback()]
        model.set_logger(Logger(None, [recorder]))  # a new process has a new one
        model.learn(steps, callback=callbacks, log_interval=1, reset_num_timesteps=False)

    learn(36, make_model())
    resumed = make_model()
    resumed.num_timesteps = 18  # as a checkpoint of that step
    recorder.written.clear()
    learn(18, resumed)
    counted = [
        (step, values["sync/frames"], values["sync/retakes"], values["sync/reconnects"])
        for step, values in recorder.written
    ]
    assert counted == [(23, 4 * 23, 4, 0), (29, 4 * 29, 5, 0), (36, 4 * 36, 6, 0)]


def test_sync_goes_on_in_the_same_process_and_starts_anew_with_the_steps(
    make_model: MakeModel, recorder: Recorder
) -> None:
    model, callback = make_model(), TensorboardCallback()
    model.set_logger(Logger(None, [recorder]))
    for anew in (True, False, True):
        model.learn(18, callback=callback, log_interval=3, reset_num_timesteps=anew)
    retakes = [values["sync/retakes"] for _, values in recorder.written]
    assert retakes == [3, 6, 3]


def test_the_hook_is_off_the_network_after_training(make_model: MakeModel) -> None:
    model = make_model()
    model.learn(30, callback=TensorboardCallback())
    assert not model.q_net._forward_hooks


def test_another_environment_is_no_error(recorder: Recorder) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=100, learning_starts=1000)
    model.set_logger(Logger(None, [recorder]))
    model.learn(100, callback=TensorboardCallback(), log_interval=1)
    values = recorder.written[-1][1]
    assert values["rollout/reward"] > 0
    assert "rollout/flag_rate" not in values and "sync/frames" not in values
