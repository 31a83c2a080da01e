"""Features from a stack of game frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from torch import nn
from torch.nn import functional as F

STRIDE = 4
"""Pixels from one place of the first convolution's kernel, 8x8, to the next."""

EMBEDDING = 4
"""Numbers that stand for a kind of cell in a grid."""

MIN_SIZE = 36
"""Smallest height and width, pixels, from which the three convolutions leave anything."""


class FrameStackCNN(BaseFeaturesExtractor):
    """The convolutions of the Nature DQN over a stack of frames, one channel a frame.

    Mnih et al. 2015, "Methods, Model architecture": 32 filters 8x8 stride 4, 64 filters 4x4
    stride 2, 64 filters 3x3 stride 1, then ``features_dim`` units, each followed by a ReLU; or
    other numbers of filters.
    Input ``(batch, frames, height, width)``, float32 in 0 to 1 (SB3 divides by 255) or uint8 as
    the environment gives them; output ``(batch, features_dim)``.

    Bytes take a shorter way to the same result: 4x4 pixels become 16 channels, so that the first
    convolution is one of 2x2 (the same products, in another order), its weights are divided by 255
    in place of the pixels, and the bytes are converted once, in the layout that convolutions like.

    Args:
        observation_space: ``Box(0, 255, (frames, height, width), uint8)``.
        features_dim: Features to give.
        normalized_image: The images are floats in 0 to 1 already; type and bounds of the space
            are then not checked.
        filters: Filters of the three convolutions.

    Raises:
        ValueError: The observation is no image, or one too small for the convolutions; or
            ``filters`` are not three.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        features_dim: int = 512,
        normalized_image: bool = False,
        filters: Sequence[int] = (32, 64, 64),
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
        if len(filters) != 3 or min(filters) < 1:
            raise ValueError(
                "FrameStackCNN needs the filters of its three convolutions, for instance "
                f"[16, 32, 32], got {filters}"
            )
        super().__init__(observation_space, features_dim)
        self.frames = frames
        first, second, third = filters
        self.cnn = nn.Sequential(
            nn.Conv2d(frames, first, kernel_size=2 * STRIDE, stride=STRIDE),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, kernel_size=4, stride=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, kernel_size=3, stride=1),
            nn.ReLU(inplace=True),
            _FlattenChannelsLast(),
        )
        with th.no_grad():
            n_flatten = self.cnn(th.zeros(1, frames, height, width)).shape[1]
        self.linear = nn.Sequential(nn.Linear(n_flatten, features_dim), nn.ReLU())

        self.cnn.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Return the features, ``(batch, features_dim)``.

        Args:
            observations: ``(batch, frames, height, width)``, or what `prepare` made of them.
        """
        prepared = self.prepare(observations)
        if prepared.shape[1] == self.frames:
            maps = self.cnn(prepared)
        else:
            maps = self.cnn[1:](self._first_convolution(prepared))
        features: th.Tensor = self.linear(maps)
        return features

    def prepare(self, observations: th.Tensor) -> th.Tensor:
        """Return bytes as the first convolution takes them, and anything else as it is.

        What several networks look at needs to be prepared only once.

        Args:
            observations: ``(batch, frames, height, width)`` uint8.

        Returns:
            ``(batch, frames * 16, height / 4, width / 4)``, channels last, of the type that
            convolutions compute in.
        """
        if observations.dtype != th.uint8:
            return observations
        batch, frames, height, width = observations.shape
        rows, columns = height // STRIDE, width // STRIDE
        # What does not fill a stride is under no kernel either.
        cropped = observations[:, :, : rows * STRIDE, : columns * STRIDE].contiguous()
        # A row of 4 pixels is one number of 32 bits, which moves as a whole.
        # (batch, frames, rows, 4, columns) -> (batch, rows, columns, frames, 4)
        blocks = cropped.view(th.int32).view(batch, frames, rows, STRIDE, columns)
        blocks = blocks.permute(0, 2, 4, 1, 3).contiguous()
        pixels = blocks.view(th.uint8).view(batch, rows, columns, frames * STRIDE**2)
        # Whole numbers up to 255 are exact in bfloat16 too.
        return pixels.to(_arithmetic_dtype(self.cnn)).permute(0, 3, 1, 2)

    def _first_convolution(self, prepared: th.Tensor) -> th.Tensor:
        """Return ``self.cnn[0](observations / 255)`` of prepared observations."""
        first = self.cnn[0]
        assert isinstance(first, nn.Conv2d)
        # (out, frames, 2, 4, 2, 4) -> (out, frames, 4, 4, 2, 2)
        kernel = (first.weight / 255).view(-1, self.frames, 2, STRIDE, 2, STRIDE)
        kernel = kernel.permute(0, 1, 3, 5, 2, 4).reshape(-1, self.frames * STRIDE**2, 2, 2)
        return F.conv2d(prepared, kernel, first.bias)


class _FlattenChannelsLast(nn.Module):
    """Flattens maps in the order in which they lie in memory, channels last, without a copy."""

    def forward(self, maps: th.Tensor) -> th.Tensor:
        return maps.permute(0, 2, 3, 1).flatten(1)


class GridCNN(BaseFeaturesExtractor):
    """Two convolutions over a stack of grids whose cells are kinds of things.

    Input ``(batch, frames, rows, columns)``, whole numbers from 0 to the space's upper bound.
    Each kind has `EMBEDDING` learned numbers, the same in every frame; then 32 filters 3x3, 64
    filters 3x3 stride 2, and ``features_dim`` units, each followed by a ReLU. Small, for its input
    is: a gradient takes about 0.6 of `FrameStackCNN`'s time.

    Args:
        observation_space: ``Box(0, kinds - 1, (frames, rows, columns), uint8)``.
        features_dim: Features to give.
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        frames, rows, columns = observation_space.shape
        self.embedding = nn.Embedding(int(observation_space.high.max()) + 1, EMBEDDING)
        self.cnn = nn.Sequential(
            nn.Conv2d(frames * EMBEDDING, 32, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            _FlattenChannelsLast(),
        )
        n_flatten = 64 * -(-rows // 2) * -(-columns // 2)
        self.linear = nn.Sequential(nn.Linear(n_flatten, features_dim), nn.ReLU())
        self.cnn.to(memory_format=th.channels_last)  # type: ignore[call-overload]

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Return the features, ``(batch, features_dim)``."""
        batch, frames, rows, columns = observations.shape
        # (batch, frames, rows, columns, EMBEDDING) -> (batch, rows, columns, frames * EMBEDDING)
        embedded = self.embedding(observations.int()).permute(0, 2, 3, 1, 4)
        maps = embedded.reshape(batch, rows, columns, frames * EMBEDDING).permute(0, 3, 1, 2)
        features: th.Tensor = self.linear(self.cnn(maps))
        return features


class JointExtractor(BaseFeaturesExtractor):
    """The features of every part of a dict, side by side.

    Pictures go through `FrameStackCNN`, grids through `GridCNN`, and numbers are taken as they are.

    Args:
        observation_space: ``Dict`` of ``Box``.
        cnn_features_dim: Features of a picture or grid; None is 512 of a picture, 256 of a grid.
        normalized_image: As in `FrameStackCNN`.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        cnn_features_dim: int | None = None,
        normalized_image: bool = False,
    ) -> None:
        size: dict[str, Any] = (
            {} if cnn_features_dim is None else {"features_dim": cnn_features_dim}
        )
        extractors: dict[str, BaseFeaturesExtractor] = {}
        for name, space in observation_space.spaces.items():
            assert isinstance(space, spaces.Box)
            if is_image_space(space, normalized_image=normalized_image):
                extractors[name] = FrameStackCNN(space, normalized_image=normalized_image, **size)
            elif len(space.shape) == 3:
                extractors[name] = GridCNN(space, **size)
            else:
                extractors[name] = FlattenExtractor(space)
        super().__init__(
            observation_space, sum(extract.features_dim for extract in extractors.values())
        )
        self.extractors = nn.ModuleDict(extractors)

    def prepare(self, observations: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
        """Return the observations with pictures prepared; see `FrameStackCNN.prepare`."""
        return {
            name: extract.prepare(observations[name])
            if isinstance(extract, FrameStackCNN)
            else observations[name]
            for name, extract in self.extractors.items()
        }

    def forward(self, observations: dict[str, th.Tensor]) -> th.Tensor:
        """Return the features, ``(batch, features_dim)``, of observations, prepared or not."""
        parts = [extract(observations[name]) for name, extract in self.extractors.items()]
        # Not in bfloat16, in which a tick of the clock would be lost.
        return th.cat([part.float() for part in parts], dim=1)


def _arithmetic_dtype(module: nn.Module) -> th.dtype:
    """Return the type that a module computes in: autocast's, or its weights'."""
    weight = next(module.parameters())
    device = weight.device.type
    if th.is_autocast_enabled(device):
        return th.get_autocast_dtype(device)
    return weight.dtype
