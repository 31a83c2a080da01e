"""Steps that an emulator lost are in none of SB3's replay buffers."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_mario.callbacks import LostStepsCallback

GAMMA = 0.9


class Counting(gym.Env[Any, np.int64]):
    """The observation counts up, and so does the reward; steps are lost where ``lost`` says so.

    Episodes of ``length`` steps end for good.
    """

    action_space = spaces.Discrete(2)

    def __init__(self, lost: set[int], length: int, as_dict: bool, first: float) -> None:
        box = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict(x=box) if as_dict else box
        self.lost, self.length, self.as_dict = lost, length, as_dict
        self.count, self.made = first, 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=kwargs.get("seed"))
        self.steps = 0
        self.count += 10
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.made += 1
        self.steps += 1
        if self.made in self.lost:
            return self._observation(), 0.0, False, True, {"step_lost": True}
        self.count += 1
        return self._observation(), self.count, self.steps == self.length, False, {}

    def _observation(self) -> Any:
        x = np.array([self.count], np.float32)
        return {"x": x} if self.as_dict else x


def learn(
    steps: int, n_envs: int, lost: list[set[int]], *, as_dict: bool = False, **kwargs: Any
) -> ReplayBuffer:
    def make(number: int) -> gym.Env[Any, Any]:
        return Monitor(Counting(lost[number], 5, as_dict, 1000.0 * number))

    env = DummyVecEnv([partial(make, number) for number in range(n_envs)])
    settings = {"learning_starts": 10, "train_freq": 1, "batch_size": 4, "buffer_size": 40}
    policy = "MultiInputPolicy" if as_dict else "MlpPolicy"
    model = DQN(policy, env, device="cpu", gamma=GAMMA, **settings | kwargs)
    model.learn(steps, callback=LostStepsCallback())
    assert model.replay_buffer is not None
    return model.replay_buffer


def column(buffer: ReplayBuffer, name: str, env: int) -> np.ndarray[Any, Any]:
    array = getattr(buffer, name)
    array = array["x"] if isinstance(array, dict) else array
    return np.ravel(array[: buffer.buffer_size if buffer.full else buffer.pos, env])


@pytest.mark.parametrize("train_freq", [1, 4])
@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("steps", [24, 60, 61])
def test_every_step_that_is_stored_was_made(steps: int, as_dict: bool, train_freq: int) -> None:
    # Lost: in an episode, two in a row, at an episode's start, at its end, the newest of all.
    lost = [{3, 8, 9, 15, 23, 40, 41, 60, 61}, {2, 12, 17, 30, 31}]
    buffer = learn(2 * steps, 2, lost, as_dict=as_dict, train_freq=train_freq, buffer_size=80)
    assert buffer.size() == min(steps, 40)
    for env in range(2):
        before, after, reward, over, cut = (
            column(buffer, name, env)
            for name in ("observations", "next_observations", "rewards", "dones", "timeouts")
        )
        assert (after == before + 1).all() and (reward == after).all()
        assert (cut <= 1 - over).all(), "what is over is not cut"
        newest = buffer.pos - 1
        for at in range(len(before)):
            following = (at + 1) % len(before)
            if at != newest and before[following] != after[at]:
                assert over[at] or cut[at], "nothing follows here"


def test_returns_of_several_steps_end_before_a_lost_one() -> None:
    buffer = learn(9, 1, [{4}], n_steps=3)
    assert isinstance(buffer, NStepReplayBuffer)
    samples = buffer._get_samples(np.arange(9))
    returns = dict(
        zip(
            samples.observations.flatten().tolist(), samples.rewards.flatten().tolist(), strict=True
        )
    )
    # Observations 10, 11, 12, then one is lost; 23 to 28 follow, cut where the run ends.
    assert returns[10] == pytest.approx(11 + GAMMA * 12 + GAMMA**2 * 13)
    assert returns[11] == pytest.approx(12 + GAMMA * 13)
    assert returns[12] == pytest.approx(13)
    assert returns[23] == pytest.approx(24 + GAMMA * 25 + GAMMA**2 * 26)
    assert samples.dones[:4].flatten().tolist() == [0, 0, 0, 0]


def test_a_lost_step_that_is_the_first_of_all_leaves_an_empty_buffer() -> None:
    assert learn(1, 1, [{1}]).size() == 0
    buffer = learn(6, 1, [{1}])
    assert column(buffer, "observations", 0).tolist() == [20, 21, 22, 23, 24]


def test_without_lost_steps_nothing_is_touched() -> None:
    buffer = learn(12, 1, [set()])
    assert column(buffer, "rewards", 0).tolist() == [
        *(11, 12, 13, 14, 15),
        *(26, 27, 28, 29, 30),
        *(41, 42),
    ]
    assert column(buffer, "timeouts", 0).sum() == 0
