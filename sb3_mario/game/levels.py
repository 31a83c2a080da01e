"""The 32 levels: their names, how long they are, and how an episode in one can end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sb3_mario.game.memory import DYING, GameState

WHOLE_GAME_ID: Final = "sb3_mario/SuperMarioBros-v0"

EndCause: TypeAlias = Literal[
    "flag", "pit", "enemy", "clock", "warp", "stuck", "step_limit", "game_over"
]

# Level -> the room (see `GameState.room`) most of it is in, and the x in pixels where the way
# through that room ends: at the left edge of the flagpole, the axe, or the pipe that leads out.
# Decoded from the area tables in the ROM; World and European release agree. Mario touches the pole
# when his x is 7 less.
_WAYS: Final[dict[str, tuple[int, int]]] = {
    "1-1": (0x25, 3168),
    "1-2": (0x40, 2656),  # pipe
    "1-3": (0x26, 2432),
    "1-4": (0x60, 2256),
    "2-1": (0x28, 3200),
    "2-2": (0x01, 3024),  # pipe
    "2-3": (0x27, 3600),
    "2-4": (0x62, 2256),
    "3-1": (0x24, 3200),
    "3-2": (0x35, 3344),
    "3-3": (0x20, 2416),
    "3-4": (0x63, 2256),
    "4-1": (0x22, 3600),
    "4-2": (0x41, 2992),  # pipe
    "4-3": (0x2C, 2352),
    "4-4": (0x61, 2768),
    "5-1": (0x2A, 3184),
    "5-2": (0x31, 3200),
    "5-3": (0x26, 2432),
    "5-4": (0x62, 2256),
    "6-1": (0x2E, 2976),
    "6-2": (0x23, 3456),
    "6-3": (0x2D, 2672),
    "6-4": (0x60, 2256),
    "7-1": (0x33, 2864),
    "7-2": (0x01, 3024),  # pipe
    "7-3": (0x27, 3600),
    "7-4": (0x64, 3280),
    "8-1": (0x30, 6016),
    "8-2": (0x32, 3456),
    "8-3": (0x21, 3424),
    "8-4": (0x65, 4816),
}
LEVEL_LENGTH: Final[dict[str, int]] = {level: length for level, (_, length) in _WAYS.items()}

# The pipes out of these levels lead to the last steps before the flagpole of 1-1's room.
_ENDS_WITH_PIPE: Final = frozenset({"1-2", "2-2", "4-2", "7-2"})
_FLAGPOLE_ROOM: Final = 0x25


@dataclass(frozen=True)
class Level:
    """A level of the game.

    Only `parse` checks the range: a glitch of the game leads to worlds beyond the eighth, and a
    state from there still has a name.

    Attributes:
        world: 1 to 8.
        stage: 1 to 4.
    """

    world: int
    stage: int

    @classmethod
    def parse(cls, name: str) -> Level:
        """Read a level's name.

        Args:
            name: ``"1-1"`` to ``"8-4"``.

        Raises:
            ValueError: ``name`` is no level's.
        """
        if not re.fullmatch("[1-8]-[1-4]", name):
            raise ValueError(f"there is no level {name!r}: write world and stage, '1-1' to '8-4'")
        return cls(int(name[0]), int(name[2]))

    def __str__(self) -> str:
        """Return the name, ``"1-1"``."""
        return f"{self.world}-{self.stage}"

    @property
    def env_id(self) -> str:
        """The id to give to `gymnasium.make`."""
        return f"sb3_mario/SuperMarioBros-{self}-v0"


ALL_LEVELS: Final = tuple(Level(world, stage) for world in range(1, 9) for stage in range(1, 5))


def progress(place: GameState | int, level: Level) -> float:
    """Return the share of a level's way that is done.

    Args:
        place: A state, or an x in pixels in the level's main room.
        level: The level.

    Returns:
        x / `LEVEL_LENGTH`, 0 to 1; 1 once the level is cleared, and behind the pipe out of it. 0
        in a bonus room, whose x says nothing about the level's, and outside the 32 levels: keep
        the largest value of an episode.
    """
    name = str(level)
    if isinstance(place, GameState):
        if place.flag_get:
            return 1.0
        if name in _ENDS_WITH_PIPE and place.room == _FLAGPOLE_ROOM:
            return 1.0
        if name not in _WAYS or place.room != _WAYS[name][0]:
            return 0.0
        place = place.x_pos
    if name not in LEVEL_LENGTH:
        return 0.0
    return min(max(place / LEVEL_LENGTH[name], 0.0), 1.0)


def death_cause(state: GameState) -> EndCause:
    """Return what killed Mario: ``"pit"``, ``"clock"`` or ``"enemy"`` (fire and traps too).

    Args:
        state: The first state in which he is dying. Later ones tell less: whoever was killed
            drops out of the screen as well.
    """
    if state.has_fallen and state.player_state != DYING:
        return "pit"
    return "clock" if state.time == 0 else "enemy"
