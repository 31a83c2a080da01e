"""The game's state as a vector of numbers for a network."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from sb3_mario.game.creatures import Kind, kind_of
from sb3_mario.game.levels import Level, progress
from sb3_mario.game.memory import ENEMY_SLOTS, GameState

_MAX_X_SPEED: Final = 48  # 1/16 pixel a frame: running in the European game
_MAX_Y_SPEED: Final = 8
_SCREEN_WIDTH: Final = 256
_SCREEN_HEIGHT: Final = 240
_TIMER: Final = 8  # where 0x79E starts
_STAR: Final = 35  # where 0x79F starts
_CLOCK: Final = 400

FIELDS: Final[dict[str, str]] = {
    "screen_x": "Mario's x on the screen, pixels / 256: 0x6D, 0x86 less 0x71A, 0x71C",
    "y": "his y from the bottom, pixels / 240: 0x3B8, 0xB5",
    "x_speed": "to the right, 1/16 pixels a frame / 48: 0x57",
    "y_speed": "downwards, pixels a frame / 8: 0x9F",
    "facing": "1 right, -1 left: 0x33",
    "on_ground": "1 where he stands: 0x1D is 0",
    "jumping": "1 where he jumps or swims: 0x1D is 1",
    "tall": "1 where he is tall or has fire: 0x756",
    "fire": "1 where he has fire: 0x756",
    "hurt_timer": "time until he can be hurt again, / 8: 0x79E",
    "star_timer": "time that a star protects him, / 35: 0x79F",
    "busy": "1 where nobody controls him: 0x0E, 0x772",
    "clock": "the game's clock / 400: 0x7F8-0x7FA",
    "progress": "share of the level done: 0x6D, 0x86, 0x74E, 0x74F",
    "tile_x": "his place within a tile of 16 pixels: 0x86",
}
"""What the first numbers of the vector are, with their scale and addresses."""

ENEMY_FIELDS: Final[dict[str, str]] = {
    "present": "1 where there is one, else all of its numbers are 0: 0x0F-0x14",
    "dx": "how far right of Mario, pixels / 256: 0x6E, 0x87",
    "dy": "how far below him, pixels / 240: 0xCF",
    "stompable": "1 where it is beaten from above: 0x16",
    "deadly": "1 where it is not: 0x16",
    "item": "1 for a power-up: 0x16",
    "lift": "1 for what carries him: 0x16",
}
"""What follows for each of six enemies, the nearest first; the addresses are the first slot's."""

STATE_SIZE: Final = len(FIELDS) + ENEMY_SLOTS * len(ENEMY_FIELDS)


def state_vector(game: GameState) -> npt.NDArray[np.float32]:
    """Return what the memory says, for a network.

    Args:
        game: A state.

    Returns:
        ``(57,)`` float32 within -1 to 1: the numbers of `FIELDS`, then those of `ENEMY_FIELDS`
        six times.
    """
    mario = (
        (game.x_pos - game.left_edge_x) / _SCREEN_WIDTH,
        game.y_pos / _SCREEN_HEIGHT,
        game.x_speed / _MAX_X_SPEED,
        game.y_speed / _MAX_Y_SPEED,
        game.facing,
        game.float_state == 0,
        game.float_state == 1,
        game.power >= 1,
        game.power >= 2,
        game.hurt_timer / _TIMER,
        game.star_timer / _STAR,
        game.is_busy,
        game.time / _CLOCK,
        progress(game, Level(game.world, game.stage)),
        game.x_pos % 16 / 16,
    )
    enemies = sorted(
        ((enemy.x - game.x_pos, enemy.y - game.y_on_screen, enemy.type) for enemy in game.enemies),
        key=lambda enemy: abs(enemy[0]),
    )
    vector = np.zeros(STATE_SIZE, np.float32)
    vector[: len(FIELDS)] = mario
    place = len(FIELDS)
    for dx, dy, number in enemies:
        kind = kind_of(number)
        vector[place : place + len(ENEMY_FIELDS)] = (
            1,
            dx / _SCREEN_WIDTH,
            dy / _SCREEN_HEIGHT,
            kind is Kind.STOMPABLE,
            kind is Kind.DEADLY,
            kind is Kind.ITEM,
            kind is Kind.LIFT,
        )
        place += len(ENEMY_FIELDS)
    return np.clip(vector, -1, 1)
