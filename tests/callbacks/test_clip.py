"""Clips: the whole of an episode of any length, in few pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sb3_mario.callbacks.clip import MAX_PICTURES, Clip

BITS = 12


def picture(number: int) -> np.ndarray:
    """Return 8x24 pixels that are white in each column, 2 wide, of a bit of ``number``."""
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8)
    return np.repeat(255 * bits, 2)[None, :, None].repeat(8, axis=0).repeat(3, axis=2)


def numbers(gif: bytes) -> list[int]:
    frames = [np.array(f.convert("L")) for f in ImageSequence.Iterator(Image.open(io.BytesIO(gif)))]
    assert {frame.shape for frame in frames} == {(4, BITS)}
    return [sum(1 << bit for bit in range(BITS) if frame[2, bit] > 127) for frame in frames]


def clip_of(steps: int) -> Clip:
    clip = Clip()
    for step in range(steps):
        if not clip.skips():
            clip.add(picture(step))
    return clip


@pytest.mark.parametrize(
    ("steps", "stride"),
    [(1, 1), (5, 1), (256, 1), (257, 2), (511, 2), (512, 2), (513, 4), (600, 4), (1500, 8)],
)
def test_every_stride_th_picture_is_in_the_gif_from_the_first_on(steps: int, stride: int) -> None:
    clip = clip_of(steps)
    gif, size = clip.gif()
    assert size == (4, BITS)
    assert numbers(gif) == list(range(0, steps, stride))
    assert len(clip) <= MAX_PICTURES


def test_it_plays_over_and_over_and_stops_a_second_at_the_end() -> None:
    gif, _ = clip_of(4).gif()
    image = Image.open(io.BytesIO(gif))
    assert image.info["loop"] == 0
    assert [f.info["duration"] for f in ImageSequence.Iterator(image)] == [70, 70, 70, 1000]


def test_colours_are_those_of_the_picture() -> None:
    colours = np.array([(107, 140, 255), (200, 76, 12), (0, 168, 0)], np.uint8)
    clip = Clip()
    for _ in range(2):
        clip.add(colours.repeat(2, axis=0)[None].repeat(4, axis=0))
    shown = np.array(Image.open(io.BytesIO(clip.gif()[0])).convert("RGB"))
    assert np.abs(shown[0].astype(int) - colours).max() <= 2


def test_what_is_of_one_colour_stays_so_where_there_are_too_many_colours() -> None:
    levels = np.linspace(0, 255, 50).astype(np.uint8)
    patches = np.stack([levels, levels[::-1], np.roll(levels, 9)], axis=1)
    clip = Clip()
    clip.add(patches.repeat(8, axis=0)[None].repeat(16, axis=0))
    shown = np.array(Image.open(io.BytesIO(clip.gif()[0])).convert("RGB"))
    assert shown.shape == (8, 200, 3)
    assert (shown == shown[:1, ::4].repeat(4, axis=1)).all()


def test_half_of_an_odd_size_is_rounded_down() -> None:
    clip = Clip()
    clip.add(np.zeros((7, 9, 3), np.uint8))
    assert clip.gif()[1] == (3, 4)


def test_a_clip_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="without pictures"):
        Clip().gif()
