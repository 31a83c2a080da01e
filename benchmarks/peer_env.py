"""Measures gym-super-mario-bros 7.4.0; runs in the peer's own virtual environment.

The wrappers are what its users write: skip 4 frames, gray, 84x84, stack 8, newest frame last.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import cv2
import numpy as np

warnings.filterwarnings("ignore")

import gym_super_mario_bros  # noqa: E402 - it warns when it is imported
from gym_super_mario_bros.actions import SIMPLE_MOVEMENT  # noqa: E402
from nes_py.wrappers import JoypadSpace  # noqa: E402

FRAME_SKIP = 4
STACK = 8
SIZE = 84


class SkipGrayStack:
    """Frame skip, gray, resize and stack around the peer's environment."""

    def __init__(self) -> None:
        # Without gym's own wrappers, of which newer versions do not take its four return values.
        env = gym_super_mario_bros.make("SuperMarioBros-1-1-v0").unwrapped
        self.env = JoypadSpace(env, SIMPLE_MOVEMENT)
        self.stack = np.zeros((STACK, SIZE, SIZE), np.uint8)
        self.info: dict[str, Any] = {}

    def reset(self) -> None:
        """Start an episode."""
        self.restart(self.env.reset())

    def restart(self, frame: np.ndarray[Any, Any]) -> None:
        """Fill the stack with a frame."""
        self.stack[:] = self._small(frame)

    def step(self, action: int) -> tuple[np.ndarray[Any, Any], float, bool]:
        """Hold an action for some frames; return observation, reward and end."""
        total = 0.0
        for _ in range(FRAME_SKIP):
            frame, reward, done, self.info = self.env.step(action)
            total += reward
            if done:
                break
        self.stack[:-1] = self.stack[1:]
        self.stack[-1] = self._small(frame)
        return self.stack.copy(), total, bool(done)

    @staticmethod
    def _small(frame: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        small: np.ndarray[Any, Any] = cv2.resize(gray, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return small


def main(steps: int, seed: int) -> None:
    """Print the environment steps a second."""
    env = SkipGrayStack()
    env.reset()
    actions = np.random.default_rng(seed).integers(len(SIMPLE_MOVEMENT), size=steps)
    start = time.perf_counter()
    for action in actions:
        done = env.step(int(action))[2]
        if done:
            env.reset()
    print(json.dumps({"per_second": steps / (time.perf_counter() - start)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
