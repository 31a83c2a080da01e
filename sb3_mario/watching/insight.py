"""What goes on in a network: values, advantages, and where in the picture they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import DQN

from sb3_mario.dqn import DuelingQNetwork


@dataclass(frozen=True)
class Insight:
    """What the network says of one observation.

    Attributes:
        q_values: ``(n_actions,)``.
        value: V(s); None for a network without a value stream.
        advantages: ``(n_actions,)``, less their mean; None likewise.
        saliency: ``(h, w)`` float32 in 0 to 1: by how much each pixel of the newest frame moves
            the best action's value, |d max_a Q / d pixel| (Simonyan et al. 2013, section 3; Wang
            et al. 2016, section 4.2); None where no picture is seen.
    """

    q_values: npt.NDArray[np.float32]
    value: float | None
    advantages: npt.NDArray[np.float32] | None
    saliency: npt.NDArray[np.float32] | None


def look_into(model: DQN, observation: Any) -> Insight:
    """Return what the network says of an observation, which is one and not a batch."""
    network = model.q_net
    network.set_training_mode(False)
    tensor, _ = model.policy.obs_to_tensor(observation)
    pixels: th.Tensor | None = tensor.get("pixels") if isinstance(tensor, dict) else tensor
    if pixels is not None:
        # In 0 to 1 the pixels have a gradient; as bytes they have none.
        pixels = (pixels.float() / 255).requires_grad_()
        scaled: Any = {**tensor, "pixels": pixels} if isinstance(tensor, dict) else pixels
        features = network.features_extractor(scaled)
    else:
        features = network.extract_features(tensor, network.features_extractor)
    value = advantages = None
    if isinstance(network, DuelingQNetwork):
        v, a = network.value_net(features), network.advantage_net(features)
        a = a - a.mean(dim=1, keepdim=True)
        q_values, value = v + a, float(v.detach())
        advantages = a[0].detach().cpu().numpy()
    else:
        q_values = network.q_net(features)
    saliency = None
    if pixels is not None:
        (gradient,) = th.autograd.grad(q_values.max(), pixels)
        newest = gradient[0, -1].abs()
        saliency = (newest / newest.max().clamp_min(1e-12)).cpu().numpy()
    return Insight(q_values[0].detach().cpu().numpy(), value, advantages, saliency)
