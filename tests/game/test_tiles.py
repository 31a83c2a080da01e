"""The grid around Mario."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_mario.game.memory import RAM_SIZE, GameState
from sb3_mario.game.tiles import BEHIND, COLUMNS, ROWS, Cell, semantic_grid
from tests.game.conftest import MakeState
from tests.game.test_features import place_enemy


def tile(column: int, row: int, number: int) -> dict[int, int]:
    """A tile in memory: even pages of 16 columns in the first buffer."""
    return {0x500 + column // 16 % 2 * 208 + row * 16 + column % 16: number}


def test_mario_is_in_the_sixth_column(make_state: MakeState) -> None:
    grid = semantic_grid(make_state(x=320))
    assert grid.shape == (ROWS, COLUMNS) == (13, 16)
    assert grid.dtype == np.uint8
    assert np.argwhere(grid == Cell.MARIO).tolist() == [[10, BEHIND]]


def test_a_tall_mario_is_two_cells_high(make_state: MakeState) -> None:
    grid = semantic_grid(make_state({0x756: 1}, x=320))
    assert np.argwhere(grid == Cell.MARIO).tolist() == [[9, BEHIND], [10, BEHIND]]


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (0x00, Cell.AIR),
        (0x5F, Cell.AIR),
        (0x54, Cell.SOLID),
        (0x61, Cell.SOLID),
        (0x10, Cell.SOLID),
        (0x51, Cell.BRICK),
        (0x58, Cell.BRICK),
        (0xC0, Cell.BRICK),
        (0xC4, Cell.SOLID),
        (0xC2, Cell.COIN),
        (0x25, Cell.COIN),
    ],
)
@pytest.mark.parametrize("column", [17, 30, 33])  # in both buffers
def test_a_tile_is_where_it_is_in_the_level(
    make_state: MakeState, number: int, cell: Cell, column: int
) -> None:
    x = 22 * 16 if column != 33 else 28 * 16
    grid = semantic_grid(make_state(tile(column, 4, number), x=x))
    assert grid[4, column - (x // 16 - BEHIND)] == cell


def test_left_of_the_level_is_a_wall(make_state: MakeState) -> None:
    grid = semantic_grid(make_state(x=40))
    assert np.all(grid[:, :3] == Cell.SOLID)
    assert np.all(grid[:9, 3:] == Cell.AIR)


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (0x06, Cell.STOMPABLE),
        (0x07, Cell.DEADLY),  # a blooper, which lives in water
        (0x12, Cell.DEADLY),
        (0x2E, Cell.ITEM),
        (0x26, Cell.LIFT),
    ],
)
def test_what_moves_is_drawn_by_its_kind(make_state: MakeState, number: int, cell: Cell) -> None:
    grid = semantic_grid(make_state(place_enemy(2, number, 376, 184), x=320))
    assert np.argwhere(grid == cell).tolist() == [[10, BEHIND + 4]]


@pytest.mark.parametrize("number", [0x30, 0x31], ids=["real", "foxtrot"])
def test_the_flag_of_the_pole_is_not_drawn(make_state: MakeState, number: int) -> None:
    grid = semantic_grid(make_state(place_enemy(5, number, 376, 100), x=320))
    assert set(np.unique(grid)) == {Cell.AIR, Cell.MARIO}


@given(st.binary(min_size=RAM_SIZE, max_size=RAM_SIZE))
def test_any_memory_gives_a_grid_of_known_cells(ram: bytes) -> None:
    grid = semantic_grid(GameState.from_ram(ram))
    assert grid.shape == (ROWS, COLUMNS)
    assert grid.max() <= max(Cell)
