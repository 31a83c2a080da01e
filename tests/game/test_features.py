"""The state vector: every number where it is documented, in its scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_mario.game.features import ENEMY_FIELDS, FIELDS, STATE_SIZE, state_vector
from sb3_mario.game.memory import RAM_SIZE, GameState
from tests.game.conftest import MakeState


def field(state: GameState, name: str) -> float:
    return float(state_vector(state)[list(FIELDS).index(name)])


def enemy(state: GameState, number: int) -> dict[str, float]:
    start = len(FIELDS) + number * len(ENEMY_FIELDS)
    values = state_vector(state)[start : start + len(ENEMY_FIELDS)]
    return dict(zip(ENEMY_FIELDS, values.tolist(), strict=True))


def test_the_vector_has_its_documented_size(make_state: MakeState) -> None:
    vector = state_vector(make_state())
    assert vector.shape == (STATE_SIZE,) == (57,)
    assert vector.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "poke", "value"),
    [
        ("screen_x", {0x6D: 2, 0x86: 0x90, 0x71A: 2, 0x71C: 0x10}, 0x80 / 256),
        ("y", {0x3B8: 135}, 120 / 240),
        ("x_speed", {0x57: 24}, 0.5),
        ("x_speed", {0x57: 0x100 - 24}, -0.5),
        ("y_speed", {0x9F: 0xFC}, -0.5),
        ("facing", {0x33: 2}, -1),
        ("on_ground", {0x1D: 0}, 1),
        ("on_ground", {0x1D: 2}, 0),
        ("jumping", {0x1D: 1}, 1),
        ("tall", {0x756: 1}, 1),
        ("fire", {0x756: 1}, 0),
        ("fire", {0x756: 2}, 1),
        ("hurt_timer", {0x79E: 4}, 0.5),
        ("star_timer", {0x79F: 7}, 0.2),
        ("busy", {0x0E: 9}, 1),
        ("busy", {}, 0),
        ("clock", {0x7F8: 2, 0x7F9: 0, 0x7FA: 0}, 0.5),
        ("tile_x", {0x86: 0x28}, 0.5),
    ],
)
def test_a_field_follows_its_address(
    make_state: MakeState, name: str, poke: dict[int, int], value: float
) -> None:
    assert field(make_state(poke), name) == pytest.approx(value, abs=1e-3)


def test_progress_is_the_share_of_the_level(make_state: MakeState) -> None:
    assert field(make_state(x=1584), "progress") == pytest.approx(0.5)


def place_enemy(slot: int, number: int, x: int, y: int) -> dict[int, int]:
    return {
        0x0F + slot: 1, 0x16 + slot: number, 0x6E + slot: x // 256, 0x87 + slot: x % 256,
        0xCF + slot: y,
    }  # fmt: skip


def test_the_nearest_enemy_comes_first_with_its_place_and_kind(make_state: MakeState) -> None:
    far, near = place_enemy(0, 0x12, 400, 184), place_enemy(3, 0x06, 290, 176)
    state = make_state(far | near, x=300)
    assert enemy(state, 0) == pytest.approx(
        {"present": 1, "dx": -10 / 256, "dy": 0, "stompable": 1, "deadly": 0, "item": 0, "lift": 0}
    )
    assert enemy(state, 1)["deadly"] == 1
    assert enemy(state, 1)["dy"] == pytest.approx(8 / 240)
    assert enemy(state, 2) == dict.fromkeys(ENEMY_FIELDS, 0)


def test_a_power_up_in_the_last_slot_is_an_item(make_state: MakeState) -> None:
    assert enemy(make_state(place_enemy(5, 0x2E, 60, 100)), 0)["item"] == 1


@given(st.binary(min_size=RAM_SIZE, max_size=RAM_SIZE))
def test_any_memory_gives_finite_numbers_within_one(ram: bytes) -> None:
    vector = state_vector(GameState.from_ram(ram))
    assert np.all(np.abs(vector) <= 1)
