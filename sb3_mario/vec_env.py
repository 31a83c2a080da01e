"""Several emulators that work at the same time, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_mario.env import SuperMarioBrosEnv


class EmulatorVecEnv(DummyVecEnv):
    """SB3's ``DummyVecEnv`` whose emulators run side by side.

    ``step_async`` sends all actions, and ``step_wait`` collects the results: FCEUX is a process of
    its own, so the emulators use all cores without a Python process for each.

    Args:
        env_fns: Make the environments: `SuperMarioBrosEnv`, wrapped or not. A wrapper must hand on
            the action as it is.
    """

    actions: npt.NDArray[Any]

    def __init__(self, env_fns: list[Callable[[], gym.Env[Any, Any]]]) -> None:
        super().__init__(env_fns)
        self._emulators = []
        for env in self.envs:
            emulator = env.unwrapped
            if not isinstance(emulator, SuperMarioBrosEnv):
                raise TypeError(f"EmulatorVecEnv is for SuperMarioBrosEnv, got {emulator}")
            self._emulators.append(emulator)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Send an action to every emulator."""
        self.actions = actions
        for emulator, action in zip(self._emulators, actions.tolist(), strict=True):
            emulator.begin_step(action)

    def step_wait(self) -> VecEnvStepReturn:
        """Return the results; an environment whose episode has ended starts its next one."""
        observations, rewards, dones, infos = [], [], [], []
        for number, (env, action) in enumerate(zip(self.envs, self.actions.tolist(), strict=True)):
            observation, reward, terminated, truncated, info = env.step(action)
            done = terminated or truncated
            info["TimeLimit.truncated"] = truncated and not terminated
            if done:
                info["terminal_observation"] = observation
                observation, self.reset_infos[number] = env.reset()
            observations.append(observation)
            rewards.append(reward)
            dones.append(done)
            infos.append(info)
        return (
            stacked(observations),
            np.array(rewards, np.float32),
            np.array(dones, np.bool_),
            infos,
        )


def stacked(observations: list[Any]) -> VecEnvObs:
    """Return the observations of several environments as a batch."""
    if isinstance(observations[0], dict):
        return {name: np.stack([o[name] for o in observations]) for name in observations[0]}
    return np.stack(observations)
