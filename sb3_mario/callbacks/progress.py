"""A progress bar with Mario's figures."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

REFRESH_SECONDS = 1.0


class ProgressCallback(BaseCallback):
    """Shows a bar over the run's steps, in a terminal, with its newest figures.

    These are, over the last 100 episodes, the mean of the largest x and the share of flags; the
    exploration rate; and the last loss.

    Args:
        total_timesteps: Steps of the whole run, those before a resumption included.
    """

    def __init__(self, total_timesteps: int) -> None:
        super().__init__()
        self.total_timesteps = total_timesteps
        self._bar: tqdm | None = None

    def _on_training_start(self) -> None:
        self._episodes = 0
        self._max_x: deque[int] = deque(maxlen=100)
        self._flags: deque[bool] = deque(maxlen=100)
        self._loss: float | None = None
        self._shown = 0.0
        self._bar = tqdm(
            total=self.total_timesteps,
            initial=self.num_timesteps,
            unit="step",
            unit_scale=True,
            dynamic_ncols=True,
        )

    def _on_step(self) -> bool:
        assert self._bar is not None
        self._bar.update(self.training_env.num_envs)
        self._loss = self.logger.name_to_value.get("train/loss", self._loss)
        for info in (self.locals["infos"][i] for i in np.flatnonzero(self.locals["dones"])):
            self._episodes += 1
            if "max_x" in info:
                self._max_x.append(info["max_x"])
            self._flags.append(bool(info.get("flag_get")))
        now = time.monotonic()
        if now - self._shown > REFRESH_SECONDS:
            self._shown = now
            self._bar.set_postfix_str(self._figures(), refresh=False)
        return True

    def _on_training_end(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures())
            self._bar.close()
            self._bar = None

    def _figures(self) -> str:
        figures = [f"episodes {self._episodes}"]
        if self._max_x:
            figures.append(f"x {np.mean(self._max_x):.0f}")
        if self._flags:
            figures.append(f"flags {np.mean(self._flags):.0%}")
        figures.append(f"ε {getattr(self.model, 'exploration_rate', 0):.2f}")
        if self._loss is not None:
            figures.append(f"loss {self._loss:.3g}")
        return ", ".join(figures)
