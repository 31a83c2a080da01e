"""Features from a stack of game frames."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

MIN_SIZE = 36
"""Smallest height and width, pixels, from which the three convolutions leave anything."""


class FrameStackCNN(BaseFeaturesExtractor):
    """The convolutions of the Nature DQN over a stack of frames, one channel a frame.

    Mnih et al. 2015, "Methods, Model architecture": 32 filters 8x8 stride 4, 64 filters 4x4
    stride 2, 64 filters 3x3 stride 1, then ``features_dim`` units, each followed by a ReLU.
    Input ``(batch, frames, height, width)`` float32 in 0 to 1 (SB3 divides by 255), output
    ``(batch, features_dim)`` float32.

    Args:
        observation_space: ``Box(0, 255, (frames, height, width), uint8)``.
        features_dim: Features to give.
        normalized_image: The images are floats in 0 to 1 already; type and bounds of the space
            are then not checked.

    Raises:
        ValueError: The observation is no image, or one too small for the convolutions.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        features_dim: int = 512,
        normalized_image: bool = False,
    ) -> None:
        if not is_image_space(observation_space, normalized_image=normalized_image):
            raise ValueError(
                "FrameStackCNN needs images, Box(0, 255, (frames, height, width), uint8), "
                f"got {observation_space}. For vectors pass policy_kwargs="
                "dict(features_extractor_class=FlattenExtractor), for float images in 0 to 1 "
                "policy_kwargs=dict(normalize_images=False)."
            )
        assert observation_space.shape is not None
        frames, height, width = observation_space.shape
        if min(height, width) < MIN_SIZE:
            raise ValueError(
                f"FrameStackCNN needs frames of at least {MIN_SIZE}x{MIN_SIZE} pixels, "
                f"got {height}x{width} (shape {observation_space.shape}, frames first)"
            )
        super().__init__(observation_space, features_dim)
        self.cnn = nn.Sequential(
            nn.Conv2d(frames, 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with th.no_grad():
            n_flatten = self.cnn(th.zeros(1, frames, height, width)).shape[1]
        self.linear = nn.Sequential(nn.Linear(n_flatten, features_dim), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Return the features, ``(batch, features_dim)``, of ``(batch, frames, h, w)``."""
        features: th.Tensor = self.linear(self.cnn(observations))
        return features
