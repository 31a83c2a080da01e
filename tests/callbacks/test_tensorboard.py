"""What TensorBoard is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.logger import KVWriter, Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_mario.callbacks import TensorboardCallback, tensorboard
from tests.callbacks.toy_mario import MakeModel


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
    """Stands for the ``time`` module: a second passes at each look."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1.0
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


def test_the_hook_is_off_the_network_after_training(make_model: MakeModel) -> None:
    model = make_model()
    model.learn(30, callback=TensorboardCallback())
    assert not model.q_net._forward_hooks


def test_another_environment_is_no_error(recorder: Recorder) -> None:
    from stable_baselines3 import DQN

    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=100, learning_starts=1000)
    model.set_logger(Logger(None, [recorder]))
    model.learn(100, callback=TensorboardCallback(), log_interval=1)
    values = recorder.written[-1][1]
    assert values["rollout/reward"] > 0
    assert "rollout/flag_rate" not in values and "sync/frames" not in values
