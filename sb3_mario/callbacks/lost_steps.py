"""Steps that a broken emulator has lost, taken out of SB3's replay buffers."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_mario.dqn.replay import FrameReplayBuffer


class LostStepsCallback(BaseCallback):
    """Sees to it that nobody learns from steps whose info has ``step_lost``.

    SB3 stores something for every step. In place of a lost one this puts the step before it once
    more, with an end behind both, so that returns of several steps stop there.
    `FrameReplayBuffer` leaves lost steps out by itself; in a buffer that optimizes memory, where
    steps share their observations, they stay: as steps that changed nothing, for a reward of 0.
    """

    def _on_training_start(self) -> None:
        self._lost: list[int] = []  # environments whose newest step is to go

    def _on_step(self) -> bool:
        self._replace()  # now the last step is stored, and the newest not yet
        self._lost = [env for env, info in enumerate(self.locals["infos"]) if "step_lost" in info]
        return True

    def _on_rollout_end(self) -> None:
        self._replace()  # before it is learned from

    def _replace(self) -> None:
        lost, self._lost = self._lost, []
        assert isinstance(self.model, OffPolicyAlgorithm)
        buffer = self.model.replay_buffer
        if not lost or buffer is None or isinstance(buffer, FrameReplayBuffer):
            return
        if buffer.optimize_memory_usage:
            return
        newest, before = buffer.pos - 1, buffer.pos - 2
        if newest == 0 and not buffer.full:
            buffer.reset()  # no step is before it
            return
        for env in lost:
            for column in _columns(buffer):
                column[newest, env] = column[before, env]
            over = buffer.dones[before, env]
            buffer.timeouts[[before, newest], env] = np.maximum(
                buffer.timeouts[before, env], 1 - over
            )


def _columns(buffer: ReplayBuffer) -> list[np.ndarray]:
    columns = [buffer.actions, buffer.rewards, buffer.dones]
    for observations in (buffer.observations, buffer.next_observations):
        if isinstance(buffer, DictReplayBuffer):
            assert isinstance(observations, dict)
            columns.extend(observations.values())
        else:
            columns.append(observations)
    return columns
