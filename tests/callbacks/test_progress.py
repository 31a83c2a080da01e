"""The progress bar: how far, and Mario's figures."""

from __future__ import annotations

import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from sb3_mario.callbacks import ProgressCallback, progress
from tests.callbacks.toy_mario import MakeModel

Printed = pytest.CaptureFixture[str]


def last_bar(capsys: Printed) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.replace("\n", "\r").strip("\r").rpartition("\r")[2].strip()


def test_the_bar_ends_with_the_figures_of_the_run(make_model: MakeModel, capsys: Printed) -> None:
    # Episodes of 5, 6 and 7 steps, 10 pixels each; the last one ends at the flag.
    make_model(learning_starts=1000).learn(18, callback=ProgressCallback(18))
    bar = last_bar(capsys)
    assert bar.startswith("100%") and "18.0/18.0" in bar
    assert "episodes 3, x 60, flags 33%, ε 0.05" in bar
    assert "loss" not in bar, "nothing was learned"


def test_the_loss_is_shown_even_where_the_logger_forgot_it(
    make_model: MakeModel, capsys: Printed
) -> None:
    # log_interval=1: SB3's logger forgets the loss at each episode's end, here at step 23, and
    # learning goes on after step 24 only.
    model = make_model(learning_starts=5, train_freq=4)
    model.learn(24, callback=ProgressCallback(24), log_interval=1)
    assert float(last_bar(capsys).rpartition("loss ")[2].strip("]")) > 0


def test_several_environments_count_all_their_steps(make_model: MakeModel, capsys: Printed) -> None:
    make_model(n_envs=2).learn(36, callback=ProgressCallback(36))
    bar = last_bar(capsys)
    assert "36.0/36.0" in bar and "episodes 6" in bar


def test_a_resumed_run_starts_where_it_was(make_model: MakeModel, capsys: Printed) -> None:
    model = make_model()
    model.learn(50)
    capsys.readouterr()
    model.learn(50, callback=ProgressCallback(100), reset_num_timesteps=False)
    printed = capsys.readouterr().err
    assert "50.0/100 " in printed.partition("\r")[2].partition("\r")[0]
    assert "100/100 " in printed


def test_the_figures_are_those_of_the_last_100_episodes(
    make_model: MakeModel, capsys: Printed
) -> None:
    # 102 episodes; the first two, without a flag, are forgotten: 34 of 100.
    make_model(learning_starts=10_000).learn(612, callback=ProgressCallback(612))
    assert "episodes 102, x 60, flags 34%" in last_bar(capsys)


def test_the_bar_is_closed_when_training_breaks(make_model: MakeModel, capsys: Printed) -> None:
    class BreakError(Exception):
        pass

    class Break(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 12:
                raise BreakError
            return True

    bar = ProgressCallback(50)
    with pytest.raises(BreakError):
        make_model().learn(50, callback=[bar, Break()])
    bar.on_training_end()
    assert "12.0/50.0" in last_bar(capsys)
    bar.on_training_end()
    assert capsys.readouterr().err == "", "once"


def test_figures_are_renewed_now_and_then_only(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    class Bar:
        def __init__(self, **kwargs: object) -> None: ...
        def update(self, steps: int) -> None: ...
        def close(self) -> None: ...
        def set_postfix_str(self, text: str, refresh: bool = True) -> None:
            shown.append(text)

    class Clock:
        """Stands for the ``time`` module: a quarter of a second passes at each look."""

        seconds = 100.0

        def monotonic(self) -> float:
            self.seconds += 0.25
            return self.seconds

    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setattr(progress, "time", Clock())
    make_model().learn(36, callback=ProgressCallback(36))
    assert 6 <= len(shown) <= 10, "every fifth step, and the end"


def test_another_environment_has_fewer_figures(capsys: Printed) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=100, learning_starts=1000)
    model.learn(100, callback=ProgressCallback(100))
    bar = last_bar(capsys)
    assert "100/100" in bar and "episodes" in bar and "x " not in bar
