"""`sb3_mario.emulator.strip` against the golden strips that the Lua spec reads too, and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sb3_mario.emulator import strip
from tests.emulator.strip_pictures import KEY, Picture, draw_cells, noise, shown

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "strip.json").read_text())["strips"]
U32 = st.integers(0, 2**32 - 1)


def golden_picture(name: str) -> Picture:
    y, x = np.mgrid[:240, :256]
    picture = np.zeros((240, 256, 4), np.uint8)
    if name == "pattern":
        channels = (x + 2 * y, x * y, 7 * x + 13 * y, x)  # blue, green, red, anything
        picture[:] = np.stack([channel % 256 for channel in channels], axis=2)
    return picture


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: f"{golden['picture']}")
def test_a_golden_strip_is_read(golden: dict[str, Any]) -> None:
    picture = golden_picture(golden["picture"])
    assert strip.code(picture, golden["key"], golden["frame_id"]) == golden["code"]
    draw_cells(picture, golden["cells"])
    assert strip.read(picture, golden["key"]) == golden["frame_id"]


@given(frame_id=U32, key=U32, other_key=U32, seed=st.integers(0, 9))
def test_any_id_is_read_back_and_under_its_own_key_only(
    frame_id: int, key: int, other_key: int, seed: int
) -> None:
    assume(key != other_key)
    picture = shown(noise(seed), frame_id, key)
    assert strip.read(picture, key) == frame_id
    assert strip.read(picture, other_key) is None


@settings(max_examples=300)
@given(
    left=st.integers(0, 248),
    top=st.integers(8, 224),
    width=st.integers(8, 256),
    height=st.integers(8, 240),
    colour=st.one_of(st.none(), st.integers(0, 255)),
)
def test_a_picture_with_a_window_over_it_is_refused(
    left: int, top: int, width: int, height: int, colour: int | None
) -> None:
    picture = shown(noise(1), 5)
    hidden = picture[top : top + height, left : left + width]
    # a plain window, or one that shows another picture of the game
    other = shown(noise(2), 4)[: hidden.shape[0], : hidden.shape[1]]
    hidden[:] = other if colour is None else colour
    assert strip.read(picture, KEY) is None


@given(cuts=st.lists(st.integers(0, 240), min_size=1, max_size=3), first=st.booleans())
def test_a_mix_of_two_frames_is_refused(cuts: list[int], first: bool) -> None:
    frames = [shown(noise(1), 1), shown(noise(2), 2)]
    picture = frames[first].copy()
    for number, cut in enumerate(sorted(cuts)):
        picture[cut:] = frames[first ^ (number % 2 == 0)][cut:]
    found = strip.read(picture, KEY)
    if found is not None:
        mixed_in = (picture != frames[found - 1]).any(axis=(1, 2)).sum()
        assert mixed_in < strip.GRID  # lines, between two that count


@given(data=st.data())
def test_a_damaged_strip_is_refused(data: st.DataObject) -> None:
    picture = shown(noise(3), 77)
    flipped = data.draw(st.sets(st.integers(0, 63), min_size=1))
    where = data.draw(st.sampled_from(["top", "bottom", "both"]))
    for cell in flipped:
        columns = slice(4 * cell, 4 * cell + 4)
        if where != "bottom":
            picture[:8, columns] ^= 255
        if where != "top":
            picture[-8:, columns] ^= 255
    assert strip.read(picture, KEY) is None


@pytest.mark.parametrize("value", [0, 127, 128, 255])
def test_a_plain_picture_shows_no_frame(value: int) -> None:
    picture = np.full((240, 256, 4), value, np.uint8)
    assert all(strip.read(picture, key) is None for key in range(200))


def test_a_cut_leaves_all_but_the_strips_as_it_is() -> None:
    before = noise(4)
    picture = before.copy()
    strip.cut(picture)
    assert np.array_equal(picture[8:232], before[8:232])
    assert np.array_equal(picture[:8], np.repeat(before[8:9], 8, axis=0))
    assert np.array_equal(picture[232:], before[216:224])
