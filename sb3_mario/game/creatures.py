"""What moves in the game, by what it does to Mario."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """What touching something does."""

    OTHER = 0  # nothing, or nothing that matters: the flag of the pole, fireworks, a vine
    STOMPABLE = 1  # beaten from above, deadly from the side
    DEADLY = 2  # deadly from above too
    ITEM = 3  # a power-up
    LIFT = 4  # carries Mario


_NUMBERS: Final[dict[Kind, tuple[int, ...]]] = {
    Kind.STOMPABLE: (
        *(0x00, 0x01, 0x02, 0x03, 0x04),  # koopas and buzzy beetles
        0x05,  # hammer brother
        0x06,  # goomba
        0x08,  # bullet bill
        *(0x09, 0x0E, 0x0F, 0x10),  # koopas with wings
        0x11,  # lakitu
        0x14,  # flying cheep cheep
        0x33,  # bullet bill of a cannon
    ),
    Kind.DEADLY: (
        *(0x07, 0x0A, 0x0B),  # blooper and cheep cheeps: nothing is beaten from above in water
        *(0x0C, 0x0D),  # podoboo, piranha plant
        0x12,  # spiny
        0x15,  # Bowser's flame
        *range(0x1B, 0x20),  # bars of fire
        0x2D,  # Bowser
    ),
    Kind.ITEM: (0x2E,),
    Kind.LIFT: tuple(range(0x24, 0x2D)),
}
_KINDS: Final = {number: kind for kind, numbers in _NUMBERS.items() for number in numbers}


def kind_of(number: int) -> Kind:
    """Return the kind of the creature with the game's number (0x16-0x1B in memory)."""
    return _KINDS.get(number, Kind.OTHER)
