"""Signals end training where everything can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from stable_baselines3.common.callbacks import BaseCallback

from sb3_mario.callbacks import InterruptCallback
from tests.callbacks.toy_mario import MakeModel

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class At(BaseCallback):
    """Does something at one step."""

    def __init__(self, step: int, what: Callable[[], object]) -> None:
        super().__init__()
        self.step = step
        self.what = what

    def _on_step(self) -> bool:
        if self.num_timesteps == self.step:
            self.what()
        return True


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_training_ends_between_two_rollouts(
    make_model: MakeModel, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    model, interrupt = make_model(train_freq=5, learning_starts=1), InterruptCallback()
    with pytest.raises(KeyboardInterrupt), interrupt.listening():
        model.learn(50, callback=[interrupt, At(7, lambda: signal.raise_signal(number))])
    assert interrupt.signal is number
    assert model.num_timesteps == 10, "the rollout was played to its end"
    assert model.replay_buffer.size() == 10, "and each of its transitions is stored"
    assert model._n_updates == 2, "and learned from"
    assert capfd.readouterr().err == (
        "\nStopping: everything is saved first (again: stop at once).\n"
    )


def test_a_second_signal_does_not_wait(make_model: MakeModel) -> None:
    model, interrupt = make_model(train_freq=50), InterruptCallback()
    callbacks = [
        interrupt,
        At(7, lambda: signal.raise_signal(signal.SIGTERM)),
        At(9, lambda: signal.raise_signal(signal.SIGINT)),
    ]
    with pytest.raises(KeyboardInterrupt), interrupt.listening():
        model.learn(50, callback=callbacks)
    assert model.num_timesteps == 9
    assert interrupt.signal is signal.SIGTERM, "the first"


def test_a_signal_before_the_first_rollout_ends_training_before_it(make_model: MakeModel) -> None:
    model, interrupt = make_model(), InterruptCallback()
    with interrupt.listening():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            model.learn(50, callback=interrupt)
    assert model.num_timesteps == 0


def test_without_a_signal_nothing_happens(make_model: MakeModel) -> None:
    model, interrupt = make_model(), InterruptCallback()
    with interrupt.listening():
        interrupt.check()
        model.learn(30, callback=interrupt)
    assert model.num_timesteps == 30 and interrupt.signal is None


def test_the_signals_are_given_back_also_after_an_error() -> None:
    before = handlers()
    with suppress(ZeroDivisionError), InterruptCallback().listening():
        assert all(handler not in before for handler in handlers())
        raise ZeroDivisionError
    assert handlers() == before


def test_another_thread_leaves_the_signals_alone(make_model: MakeModel) -> None:
    before = handlers()
    seen: list[object] = []
    model = make_model()

    def train() -> None:
        with InterruptCallback().listening():
            seen.extend(handlers())
            model.learn(20)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == before and model.num_timesteps == 20
