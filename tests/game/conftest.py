"""A console memory to write into, for the tests of the game's modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from sb3_mario.game import memory
from sb3_mario.game.memory import GameState

MakeState = Callable[..., GameState]

ROOM_1_1 = 0x25


@pytest.fixture(scope="session")
def make_state() -> MakeState:
    """Return a maker of states: playing 1-1 at x 40, clock 400, but for what it is given."""

    def make(
        poke: Mapping[int, int] | None = None,
        *,
        x: int = 40,
        time: int = 400,
        level: tuple[int, int] = (1, 1),
        room: int = ROOM_1_1,
    ) -> GameState:
        ram = bytearray(memory.RAM_SIZE)
        ram[memory.MODE] = memory.MODE_PLAY
        ram[memory.TASK] = memory.TASK_PLAY
        ram[memory.PLAYER_STATE] = memory.PLAYING
        ram[memory.Y_PAGE] = 1
        ram[memory.Y_ON_SCREEN] = 176
        ram[memory.LIVES] = 2
        ram[memory.X_PAGE], ram[memory.X_IN_PAGE] = divmod(x, 256)
        ram[memory.CLOCK_DIGITS[0] : memory.CLOCK_DIGITS[0] + 3] = bytes(
            int(digit) for digit in f"{time:03}"
        )
        ram[memory.WORLD], ram[memory.STAGE] = level[0] - 1, level[1] - 1
        ram[memory.AREA_TYPE], ram[memory.AREA_OF_TYPE] = divmod(room, 32)
        for address, byte in (poke or {}).items():
            ram[address] = byte
        return GameState.from_ram(ram)

    return make
