"""Measures SB3's stock DQN on gym-super-mario-bros; runs in the peer's own virtual environment."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
from peer_env import SIZE, STACK, SkipGrayStack
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

NOOP_MAX = 30
STUCK_STEPS = 150


class PeerEnv(gym.Env[np.ndarray[Any, Any], np.int64]):
    """gym-super-mario-bros with the API that SB3 takes, and this package's rules of an episode."""

    observation_space = gym.spaces.Box(0, 255, (STACK, SIZE, SIZE), np.uint8)
    action_space = gym.spaces.Discrete(7)

    def __init__(self) -> None:
        self.env = SkipGrayStack()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
        """Start an episode with some frames without a button."""
        super().reset(seed=seed)
        self.env.reset()
        for _ in range(int(self.np_random.integers(1, NOOP_MAX + 1))):
            frame, *_ = self.env.env.step(0)
        self.env.restart(frame)
        self.steps_stuck = self.best_x = 0
        return self.env.stack.copy(), {}

    def step(
        self, action: np.int64
    ) -> tuple[np.ndarray[Any, Any], float, bool, bool, dict[str, Any]]:
        """Hold an action for four frames."""
        observation, reward, done = self.env.step(int(action))
        x = int(self.env.info["x_pos"])
        self.steps_stuck = 0 if x > self.best_x else self.steps_stuck + 1
        self.best_x = max(x, self.best_x)
        return observation, reward, done, self.steps_stuck >= STUCK_STEPS, {}


class Clock(BaseCallback):
    """Takes the time at two steps."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last
        self.times: list[float] = []

    def _on_step(self) -> bool:
        if self.num_timesteps in (self.first, self.last):
            self.times.append(time.perf_counter())
        return True


def main(first: int, last: int) -> None:
    """Print the environment steps a second from step ``first`` to step ``last``."""
    model = DQN(
        "CnnPolicy",
        PeerEnv(),
        buffer_size=40_000,
        learning_starts=2000,
        batch_size=32,
        train_freq=4,
        gamma=0.9,
        target_update_interval=2500,
        exploration_fraction=0.3,
        exploration_final_eps=0.02,
        seed=0,
        device="cpu",
    )
    clock = Clock(first, last)
    model.learn(last, callback=clock)
    start, end = clock.times
    print(json.dumps({"per_second": (last - first) / (end - start)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
