"""What the learner did since it was last asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn


@dataclass(frozen=True)
class Learned:
    """Gradient steps and their means.

    Attributes:
        updates: Number of gradient steps.
        loss: Mean loss; None where there was no gradient step or the algorithm logs none.
        mean_q: Mean over the sampled observations of ``max_a Q(s, a)`` of the online network,
            taken before each step; None where there was no gradient step.
    """

    updates: int
    loss: float | None
    mean_q: float | None


class LearnerMeter:
    """Watches the gradient steps of a DQN without adding work to them.

    SB3 logs the mean loss of each call of ``train`` as ``train/loss`` and no Q-values. The loss is
    read from the logger; the Q-values are taken from the forward passes that the learner makes
    anyway, through a hook on ``q_net`` that passes over those that act or evaluate (they run
    without gradient). So no random number is drawn and no network is run for the measurement.

    `read` must be called at every step of the environment: SB3's logger forgets the loss when it
    writes its table.

    Args:
        model: The algorithm; one without a ``q_net`` has no mean Q.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model = model
        self._updates = self.total_updates
        self._q_sum = th.zeros(())
        self._q_count = 0
        q_net = getattr(model, "q_net", None)
        self._hook = q_net.register_forward_hook(self._on_forward) if q_net is not None else None

    @property
    def total_updates(self) -> int:
        """Gradient steps since the model was made."""
        return int(getattr(self._model, "_n_updates", 0))

    def read(self) -> Learned:
        """Return what happened since the last call."""
        total = self.total_updates
        updates, self._updates = total - self._updates, total
        loss = mean_q = None
        if updates > 0:
            # Not [...]: the logger's dict would make a zero of a missing loss.
            logged = self._model.logger.name_to_value.get("train/loss")
            loss = None if logged is None else float(logged)
            if self._q_count:
                mean_q = float(self._q_sum) / self._q_count
            self._q_sum, self._q_count = th.zeros(()), 0
        return Learned(updates, loss, mean_q)

    def close(self) -> None:
        """Take the hook off the network."""
        if self._hook is not None:
            self._hook.remove()

    def _on_forward(self, module: nn.Module, args: Any, q_values: th.Tensor) -> None:
        if th.is_grad_enabled():
            # Stays on the device: a copy to the CPU at every step would wait for it.
            best = q_values.detach().max(dim=1).values.mean()
            self._q_sum = self._q_sum.to(best.device) + best
            self._q_count += 1
