"""Environments that are sent an action now and asked for its result later."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class StepAhead(VecEnvWrapper):
    """Lets ``send`` start the step whose result the next ``step`` returns.

    Args:
        venv: Environments; only those that do their work between ``step_async`` and ``step_wait``
            gain by it.
    """

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self._sent: npt.NDArray[Any] | None = None

    def send(self, actions: npt.NDArray[Any]) -> None:
        """Start a step; ``step`` with the same actions must follow."""
        assert self._sent is None
        self.venv.step_async(actions)
        self._sent = actions

    def step(self, actions: npt.NDArray[Any]) -> VecEnvStepReturn:
        """Return the result of the step that was sent, or make one."""
        if self._sent is None:
            return self.venv.step(actions)
        sent, self._sent = self._sent, None
        if not np.array_equal(sent, actions):
            raise RuntimeError(f"step({actions}) cannot follow send({sent})")
        return self.venv.step_wait()

    def finish(self) -> None:
        """Wait for a step that was sent, and forget its result."""
        if self._sent is not None:
            self._sent = None
            self.venv.step_wait()

    def step_wait(self) -> VecEnvStepReturn:
        """Return the result of ``step_async``."""
        return self.venv.step_wait()

    def reset(self) -> VecEnvObs:
        """Reset the environments."""
        self.finish()
        return self.venv.reset()
