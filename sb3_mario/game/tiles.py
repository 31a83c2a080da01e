"""The screen around Mario as a grid of tiles, each with what it means."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from sb3_mario.game.creatures import Kind, kind_of
from sb3_mario.game.memory import TILE_COLUMNS, TILE_ROWS, GameState

TILE: Final = 16  # pixels
ROWS: Final = TILE_ROWS
COLUMNS: Final = 16
BEHIND: Final = 5  # columns to Mario's left; to his right are ten, which is what a screen shows
TOP: Final = 32  # pixels above the first row: the status line


class Cell(IntEnum):
    """What is in a cell; where several things are the last of this list that is there shows."""

    AIR = 0
    SOLID = 1
    BRICK = 2  # breaks, or has something in it
    COIN = 3
    LIFT = 4
    ITEM = 5
    STOMPABLE = 6
    DEADLY = 7
    MARIO = 8


# The game's numbers of tiles. Scenery is not in memory, so what is left is solid, or nearly all.
_MEANINGS: Final = np.full(256, Cell.SOLID, np.uint8)
_MEANINGS[[0x00, 0x5F, 0x60]] = Cell.AIR  # the latter are blocks that nobody sees
_MEANINGS[[0x51, 0x52, *range(0x55, 0x5F)]] = Cell.BRICK  # plain ones, and those with contents
_MEANINGS[[0xC0, 0xC1]] = Cell.BRICK  # with a question mark
_MEANINGS[[0xC2, 0xC3]] = Cell.COIN
_MEANINGS[[0x24, 0x25, 0x26, 0xC5]] = Cell.COIN  # pole, vine and axe: worth touching, too

_CREATURES: Final = {
    Kind.STOMPABLE: Cell.STOMPABLE,
    Kind.DEADLY: Cell.DEADLY,
    Kind.ITEM: Cell.ITEM,
    Kind.LIFT: Cell.LIFT,
}


def semantic_grid(game: GameState) -> npt.NDArray[np.uint8]:
    """Return the level, what moves in it, and Mario.

    Args:
        game: A state.

    Returns:
        ``(13, 16)`` uint8, values of `Cell`. Mario's column is the sixth; row 0 is the first below
        the status line. Left of the level all is solid, as for the game. Tiles are at 0x500-0x69F,
        creatures at 0x0F-0x14, 0x16-0x1B, 0x6E-0x73, 0x87-0x8C and 0xCF-0xD4, Mario at 0x6D, 0x86
        and 0x3B8.
    """
    first = game.x_pos // TILE - BEHIND
    columns = np.arange(first, first + COLUMNS)
    grid = _MEANINGS[game.tiles[:, columns % (2 * TILE_COLUMNS)]]
    grid[:, columns < 0] = Cell.SOLID
    for enemy in game.enemies:
        cell = _CREATURES.get(kind_of(enemy.type))
        if cell is not None:
            # An enemy's box is 24 pixels high, its feet at the bottom.
            _put(grid, enemy.x + TILE // 2 - first * TILE, enemy.y + TILE, cell)
    mario_x = game.x_pos + TILE // 2 - first * TILE
    top = game.y_on_screen if game.power == 0 else game.y_on_screen - TILE
    for y in range(top, game.y_on_screen + 1, TILE):
        # He is drawn in the lower half of a box of 32 pixels where he is small.
        _put(grid, mario_x, y + TILE + TILE // 2, Cell.MARIO)
    return grid


def _put(grid: npt.NDArray[np.uint8], x: int, y: int, cell: Cell) -> None:
    row, column = (y - TOP) // TILE, x // TILE
    if 0 <= row < ROWS and 0 <= column < COLUMNS:
        grid[row, column] = max(grid[row, column], cell)
