"""Dueling Q-network and its policy (Wang et al. 2016, arXiv:1511.06581)."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from sb3_mario.dqn.features import FrameStackCNN, JointExtractor


class DuelingQNetwork(QNetwork):
    """Q-values from two streams over the same features, a value V and advantages A.

    ``Q(s, a) = V(s) + A(s, a) - mean_a A(s, a)`` (equation 9). The paper's other detail, the
    gradient scaled by ``1 / sqrt(2)`` where the streams meet, is left out: Adam's steps do not
    depend on the gradient's scale.

    Args:
        observation_space: Observation space.
        action_space: Action space.
        features_extractor: Gives the features that both streams read.
        features_dim: Number of those features.
        net_arch: Units of each stream's hidden layers; None is ``[64, 64]``, as in ``QNetwork``.
        activation_fn: Activation after each hidden layer.
        normalize_images: Divide images by 255.
        accelerate: Give images to the features extractor as bytes where it takes them.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
        accelerate: bool = True,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            features_extractor,
            features_dim,
            net_arch,
            activation_fn,
            normalize_images,
        )
        self._give_bytes = (
            accelerate
            and normalize_images
            and isinstance(features_extractor, FrameStackCNN | JointExtractor)
        )
        # What SB3 built, features to one output an action, is the advantage stream.
        self.advantage_net = self.q_net
        del self.q_net
        self.value_net = nn.Sequential(
            *create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn)
        )

    def prepare(self, obs: PyTorchObs) -> PyTorchObs:
        """Return observations in a form that this and equal networks take with less work."""
        if self._give_bytes:
            assert isinstance(self.features_extractor, FrameStackCNN | JointExtractor)
            return self.features_extractor.prepare(obs)  # type: ignore[arg-type]
        return obs

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """Return the Q-values, ``(batch, n_actions)``, of a batch of observations."""
        # (batch, features_dim)
        features: th.Tensor = (
            self.features_extractor(obs)
            if self._give_bytes
            else self.extract_features(obs, self.features_extractor)
        )
        # bfloat16 has steps of 0.5 at 100, as large as what tells two actions apart.
        with th.autocast(features.device.type, enabled=False):
            features = features.float()
            # (batch, 1)
            value: th.Tensor = self.value_net(features)
            # (batch, n_actions)
            advantages: th.Tensor = self.advantage_net(features)
            return value + advantages - advantages.mean(dim=1, keepdim=True)


class DuelingDQNPolicy(DQNPolicy):
    """SB3's DQN policy with dueling networks over a stack of frames.

    By default each stream has one hidden layer of 256 units over the 512 features. For frames of
    8x84x84 and 7 actions that is 1.96 million parameters a network, where SB3's ``CnnPolicy`` has
    1.70 million and Wang et al.'s two streams of 512 units on the convolutions have 3.3 million.
    The convolutions take most of the time, so a gradient step costs about what it does there.

    Args:
        observation_space: Observation space.
        action_space: Action space.
        lr_schedule: Learning rate schedule.
        net_arch: Units of each stream's hidden layers; None is ``[256]`` over `FrameStackCNN` and
            `JointExtractor`, ``[64, 64]`` over any other features extractor.
        activation_fn: Activation after each hidden layer.
        features_extractor_class: Features extractor; None is `JointExtractor` for a dict and
            `FrameStackCNN` for everything else. For vector observations pass, for instance, SB3's
            ``FlattenExtractor``.
        features_extractor_kwargs: Its arguments, for instance ``dict(features_dim=256)``.
        normalize_images: Divide images by 255; False where they are floats in 0 to 1 already.
        optimizer_class: Optimizer.
        optimizer_kwargs: Its arguments, without the learning rate.
        accelerate: Give images to `FrameStackCNN` as bytes, which saves a pass over them; results
            differ from those of SB3's way by rounding.

    Raises:
        ValueError: The observation does not fit the features extractor.

    Example:
        >>> import gymnasium as gym, sb3_mario.dqn
        >>> from stable_baselines3 import DQN
        >>> env = gym.make("sb3_mario/SuperMarioBros-1-1-v0")
        >>> model = DQN("DuelingDQNPolicy", env, buffer_size=10_000)
        >>> env.close()
    """

    q_net: DuelingQNetwork
    q_net_target: DuelingQNetwork

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        accelerate: bool = True,
    ) -> None:
        self.accelerate = accelerate
        if features_extractor_class is None:
            is_dict = isinstance(observation_space, spaces.Dict)
            features_extractor_class = JointExtractor if is_dict else FrameStackCNN
        if issubclass(features_extractor_class, FrameStackCNN | JointExtractor):
            if net_arch is None:
                net_arch = [256]
            if not normalize_images:
                # SB3 does the same, but for its own extractors only.
                features_extractor_kwargs = {
                    "normalized_image": True,
                    **(features_extractor_kwargs or {}),
                }
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch,
            activation_fn,
            features_extractor_class,
            features_extractor_kwargs,
            normalize_images,
            optimizer_class,
            optimizer_kwargs,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "accelerate": self.accelerate}

    def make_q_net(self) -> DuelingQNetwork:
        """Return a new network with a features extractor of its own."""
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return DuelingQNetwork(**net_args, accelerate=self.accelerate).to(self.device)
