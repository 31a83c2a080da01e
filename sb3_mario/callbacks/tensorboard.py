"""What TensorBoard shows beside SB3's own figures."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import NamedTuple

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_mario.callbacks.learner import LearnerMeter

SYNC_COUNTERS = ("frames", "retakes", "mismatches", "reconnects")


class _Mark(NamedTuple):
    seconds: float
    env_steps: int
    gradient_steps: int
    spent: dict[str, float]  # seconds, by what they were spent on


class TensorboardCallback(BaseCallback):
    """Records Mario's figures with the model's logger, which writes them with SB3's.

    SB3 writes every ``log_interval`` episodes and has ``rollout/ep_rew_mean``,
    ``rollout/exploration_rate`` and ``train/loss`` itself. This adds:

    - ``rollout/reward``: mean reward of the episodes since the last writing
    - ``rollout/max_x_mean``: mean of ``max_x`` over the last ``stats_window_size`` (100) episodes,
      pixels
    - ``rollout/flag_rate``: share of those that ended at the flag, 0 to 1
    - ``train/mean_q``: mean over the training batches since the last writing of ``max_a Q(s, a)``
    - ``time/env_steps_per_second``, ``time/gradient_steps_per_second``: since the last writing,
      with all that the run does in that time: acting, learning, evaluation, checkpoints
    - ``milliseconds/*``: of one environment step, what it was spent on since the last writing:
      ``emulator`` (waiting for it; what it does while the learner computes is not in it), ``wire``,
      ``preprocessing``, ``policy``, ``replay``, ``gradient``, and ``other``; of environments in
      processes of their own, which spend their time side by side, the mean
    - ``sync/*``: ``frames``, ``retakes``, ``mismatches``, ``reconnects`` of the run's finished
      episodes; in a resumed run they go on where `EpisodeCSVCallback` comes before this

    Episodes are known by the info of their last step; what it lacks is not recorded.
    """

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self._meter: LearnerMeter | None = None
        self._sync: Counter[str] = Counter()

    def _on_training_start(self) -> None:
        self._stop_measuring()
        self._meter = LearnerMeter(self.model)
        window = self.model._stats_window_size
        self._max_x: deque[int] = deque(maxlen=window)
        self._flags: deque[bool] = deque(maxlen=window)
        if self.num_timesteps == 0:
            self._sync.clear()
        else:
            # What the episodes' callback has read in the file of a resumed run.
            recorded = self.logger.name_to_value
            for name in SYNC_COUNTERS:
                if f"sync/{name}" in recorded:
                    self._sync[name] = int(recorded[f"sync/{name}"])
        self._envs_measure = self.training_env.has_attr("seconds")
        in_processes = isinstance(self.training_env.unwrapped, SubprocVecEnv)
        self._side_by_side = self.training_env.num_envs if in_processes else 1
        self._written = self._latest = self._mark()

    def _on_step(self) -> bool:
        assert self._meter is not None
        self.logger.record_mean("train/mean_q", self._meter.read().mean_q)
        ended = [
            info
            for done, info in zip(self.locals["dones"], self.locals["infos"], strict=True)
            if done
        ]
        for info in ended:
            if "episode" in info:
                self.logger.record_mean("rollout/reward", info["episode"]["r"])
            if "max_x" in info:
                self._max_x.append(info["max_x"])
            if "flag_get" in info:
                self._flags.append(info["flag_get"])
            # The environment counts these for each episode anew.
            for name in SYNC_COUNTERS:
                if f"sync_{name}" in info:
                    self._sync[name] += info[f"sync_{name}"]
        if ended:
            self._record()
        return True

    def _on_training_end(self) -> None:
        self._stop_measuring()

    def _record(self) -> None:
        if self._max_x:
            self.logger.record("rollout/max_x_mean", sum(self._max_x) / len(self._max_x))
        if self._flags:
            self.logger.record("rollout/flag_rate", sum(self._flags) / len(self._flags))
        for name, count in self._sync.items():
            self.logger.record(f"sync/{name}", count)
        # The logger forgets all values when it writes: then a new interval has begun.
        if "time/env_steps_per_second" not in self.logger.name_to_value:
            self._written = self._latest
        now, since = self._mark(), self._written
        self._latest = now
        seconds = now.seconds - since.seconds
        if seconds > 0:
            self.logger.record(
                "time/env_steps_per_second", (now.env_steps - since.env_steps) / seconds
            )
            self.logger.record(
                "time/gradient_steps_per_second",
                (now.gradient_steps - since.gradient_steps) / seconds,
            )
            self._record_spent(now, since)

    def _record_spent(self, now: _Mark, since: _Mark) -> None:
        steps = max(now.env_steps - since.env_steps, 1)
        spent = {name: total - since.spent.get(name, 0.0) for name, total in now.spent.items()}
        if spent:
            spent["other"] = max(now.seconds - since.seconds - sum(spent.values()), 0.0)
        for name, seconds in spent.items():
            self.logger.record(f"milliseconds/{name}", seconds * 1000 / steps)

    def _mark(self) -> _Mark:
        assert self._meter is not None
        spent = dict(getattr(self.model, "seconds", {}))
        if self._envs_measure:
            for seconds in self.training_env.get_attr("seconds"):
                for name, value in seconds.items():
                    spent[name] = spent.get(name, 0.0) + value / self._side_by_side
        return _Mark(time.monotonic(), self.model.num_timesteps, self._meter.total_updates, spent)

    def _stop_measuring(self) -> None:
        if self._meter is not None:
            self._meter.close()
            self._meter = None
