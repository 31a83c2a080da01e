"""The convolutions over a stack of frames."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_mario.dqn import FrameStackCNN, GridCNN, JointExtractor

FRAMES = spaces.Box(0, 255, (8, 84, 84), np.uint8)


def test_the_layers_are_the_nature_dqns_over_eight_channels() -> None:
    convolutions = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in FrameStackCNN(FRAMES).modules()
        if isinstance(m, th.nn.Conv2d)
    ]
    assert convolutions == [(8, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)]


def test_other_numbers_of_filters_fit() -> None:
    extractor = FrameStackCNN(FRAMES, features_dim=256, filters=[16, 32, 48])
    channels = [m.out_channels for m in extractor.modules() if isinstance(m, th.nn.Conv2d)]
    assert channels == [16, 32, 48]
    stacks = th.randint(256, (3, 8, 84, 84), dtype=th.uint8)
    th.testing.assert_close(extractor(stacks), extractor(stacks / 255), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("filters", [[], [32, 64], [32, 64, 0]], ids=str)
def test_filters_that_are_not_three_are_refused_by_their_value(filters: list[int]) -> None:
    with pytest.raises(ValueError, match=f"three convolutions.*got {re.escape(str(filters))}"):
        FrameStackCNN(FRAMES, filters=filters)


@pytest.mark.parametrize("features_dim", [512, 7])
def test_a_batch_of_stacks_gives_a_batch_of_features(features_dim: int) -> None:
    extractor = FrameStackCNN(FRAMES, features_dim=features_dim)
    assert extractor.features_dim == features_dim
    assert extractor(th.rand(3, 8, 84, 84)).shape == (3, features_dim)


def test_every_frame_of_the_stack_reaches_the_features() -> None:
    frames = th.rand(1, 8, 84, 84, requires_grad=True)
    FrameStackCNN(FRAMES)(frames).sum().backward()
    assert frames.grad is not None
    assert (frames.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_other_stacks_and_sizes_fit() -> None:
    space = spaces.Box(0, 255, (4, 36, 50), np.uint8)
    assert FrameStackCNN(space)(th.rand(2, 4, 36, 50)).shape == (2, 512)


def test_float_images_fit_only_where_asked_for() -> None:
    space = spaces.Box(0, 1, (8, 84, 84), np.float32)
    with pytest.raises(ValueError, match="normalize_images=False"):
        FrameStackCNN(space)
    assert FrameStackCNN(space, normalized_image=True)(th.rand(1, 8, 84, 84)).shape == (1, 512)


@pytest.mark.parametrize(
    "space", [spaces.Box(-1, 1, (20,)), spaces.Discrete(5), spaces.Dict({"image": FRAMES})], ids=str
)
def test_what_is_no_image_is_refused_by_name_and_with_the_mend(space: spaces.Space) -> None:
    with pytest.raises(ValueError, match=r"needs images.*FlattenExtractor") as error:
        FrameStackCNN(space)
    assert str(space) in str(error.value)


def test_frames_too_small_for_the_convolutions_are_refused_by_their_size() -> None:
    with pytest.raises(ValueError, match="at least 36x36 pixels, got 35x84"):
        FrameStackCNN(spaces.Box(0, 255, (8, 35, 84), np.uint8))


def test_building_draws_nothing_from_the_spaces_random_numbers() -> None:
    space, untouched = (spaces.Box(0, 255, (8, 84, 84), np.uint8, seed=3) for _ in range(2))
    FrameStackCNN(space)
    np.testing.assert_array_equal(space.sample(), untouched.sample())


def test_what_was_prepared_gives_the_same_features_for_less_work() -> None:
    extractor = FrameStackCNN(FRAMES)
    stacks = th.randint(256, (3, 8, 84, 84), dtype=th.uint8)
    prepared = extractor.prepare(stacks)
    assert prepared.shape == (3, 8 * 16, 21, 21)
    assert extractor.prepare(prepared) is prepared
    assert extractor(prepared).equal(extractor(stacks))


GRID = spaces.Box(0, 11, (8, 13, 16), np.uint8)
STATE = spaces.Box(-1, 1, (24,), np.float32)


def test_every_cell_of_every_grid_reaches_the_features() -> None:
    extractor = GridCNN(GRID)
    grids = th.zeros(1, 8, 13, 16, dtype=th.uint8)
    features = extractor(grids)
    assert features.shape == (1, 256)
    for frame in range(8):
        for row, column in [(0, 0), (6, 7), (12, 15)]:
            other = grids.clone()
            other[0, frame, row, column] = 11
            assert not th.equal(extractor(other), features), (frame, row, column)


@pytest.mark.parametrize(
    ("parts", "cnn_features_dim", "features_dim"),
    [
        ({"pixels": FRAMES, "state": STATE}, None, 512 + 24),
        ({"tiles": GRID, "state": STATE}, None, 256 + 24),
        ({"tiles": GRID, "state": STATE}, 100, 100 + 24),
    ],
)
def test_the_features_of_a_dicts_parts_stand_side_by_side(
    parts: dict[str, spaces.Space[Any]], cnn_features_dim: int | None, features_dim: int
) -> None:
    space = spaces.Dict(parts)
    space.seed(0)
    extractor = JointExtractor(space, cnn_features_dim)
    assert extractor.features_dim == features_dim
    sample = {name: th.as_tensor(value)[None] for name, value in space.sample().items()}
    features = extractor(sample)
    assert features.shape == (1, features_dim)
    assert (features == sample["state"].flatten()[0]).any()
    with th.autocast("cpu", th.bfloat16):
        assert (extractor(sample) == sample["state"].flatten()[0]).any(), "numbers are not rounded"
    for name in parts:
        changed = sample | {name: th.zeros_like(sample[name])}
        assert not th.equal(extractor(changed), features), name
