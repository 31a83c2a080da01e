"""A small environment with the info of the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import DQN

MakeModel = Callable[..., DQN]


class ToyMario(gym.Env[np.ndarray, np.int64]):
    """Walks 10 pixels a step for 1 a step; episodes of 5, 6, 7, 5, ... steps.

    Those of 7 steps end at the flag, the others in a pit.
    """

    observation_space = spaces.Box(-1, 1, (4,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self) -> None:
        self.episode = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.steps = 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        length = 5 + self.episode % 3
        done = self.steps == length
        info = {
            "frames": 4 * self.steps,
            "frame_id": 4 * self.steps,
            "x_pos": 10 * self.steps,
            "max_x": 10 * self.steps,
            "y_pos": 79,
            "world": 1,
            "stage": 1,
            "flag_get": done and length == 7,
            "score": 200,
            "coins": 3,
            "life": 2,
            "status": "tall",
            "power": 1,
            "time": 400 - self.steps,
            "progress": self.steps / 10,
            "sync_frames": 4 * self.steps,
            "sync_retakes": 1,
            "sync_mismatches": 0,
            "sync_reconnects": 0,
        }
        if done:
            info["end_cause"] = "flag" if length == 7 else "pit"
        return self._observation(), 1.0, done, False, info

    def _observation(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 4).astype(np.float32)


class MeasuredMario(ToyMario):
    """Counts half a second of waiting at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = {"emulator": 0.0}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.seconds["emulator"] += 0.5
        return super().step(action)
