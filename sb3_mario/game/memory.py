"""Super Mario Bros.' memory: 2,048 bytes in, a `GameState` out.

The addresses are those of the game's own variables; what they hold is public knowledge of its
disassembly and agrees with gym-super-mario-bros' where that reads them too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

RAM_SIZE: Final = 0x800

# Mario
PLAYER_STATE: Final = 0x0E  # what the game does with him: one of the constants below
FLOAT_STATE: Final = 0x1D  # 0 on the ground, 1 jumping or swimming, 2 falling, 3 climbing
FACING: Final = 0x33  # 1 right, 2 left
X_SPEED: Final = 0x57  # signed, 1/16 pixel a frame
X_PAGE: Final = 0x6D  # 256 pixels each
X_IN_PAGE: Final = 0x86
Y_SPEED: Final = 0x9F  # signed, pixels a frame, down is positive
Y_PAGE: Final = 0xB5  # 0 above the screen, 1 on it, 2 and more below
Y_ON_SCREEN: Final = 0x3B8  # pixels from the top
POWER: Final = 0x756  # 0 small, 1 tall, 2 fire
LIVES: Final = 0x75A  # 0xFF once the last is lost
HURT_TIMER: Final = 0x79E  # cannot be hurt until 0
STAR_TIMER: Final = 0x79F  # invincible until 0

# The game
AREA_TYPE: Final = 0x74E  # 0 water, 1 ground, 2 underground, 3 castle
AREA_OF_TYPE: Final = 0x74F  # number of the loaded area among those of its type
CLOUDS: Final = 0x743  # not 0 in a bonus room above the clouds
CLOCK_RAN_OUT: Final = 0x759
STAGE: Final = 0x75C  # from 0
WORLD: Final = 0x75F  # from 0
AREA: Final = 0x760  # from 0; counts the short walk into a pipe before x-2 as well
MODE: Final = 0x770  # one of the constants below
TASK: Final = 0x772  # step within the mode
SCORE_DIGITS: Final = (0x7DD, 6)  # address, count; most significant first, one digit a byte
COIN_DIGITS: Final = (0x7ED, 2)
CLOCK_DIGITS: Final = (0x7F8, 3)

# The screen and what is on it
LEFT_EDGE_PAGE: Final = 0x71A
LEFT_EDGE_IN_PAGE: Final = 0x71C
ENEMY_SLOTS: Final = 6  # the last is for what blocks release, and the flag of a pole
ENEMY_ACTIVE: Final = 0x0F  # and the next five; so for all of ENEMY_*
ENEMY_TYPE: Final = 0x16
ENEMY_X_PAGE: Final = 0x6E
ENEMY_X_IN_PAGE: Final = 0x87
ENEMY_Y: Final = 0xCF
TILES: Final = 0x500  # two buffers of 13 rows of 16 tiles; even pages in the first
TILE_ROWS: Final = 13
TILE_COLUMNS: Final = 16

# Values of PLAYER_STATE
LEFTMOST, VINE, SIDE_PIPE, DOWN_PIPE, FLAG_SLIDE, LEVEL_END, LOSE_LIFE, ENTERING = range(8)
PLAYING, GROWING, HURT, DYING, GETTING_FIRE = range(8, 13)
BUSY_STATES: Final = frozenset(
    {LEFTMOST, VINE, SIDE_PIPE, DOWN_PIPE, FLAG_SLIDE, LEVEL_END, ENTERING}
    | {GROWING, HURT, GETTING_FIRE}
)

# Values of MODE, and of TASK in MODE_PLAY
MODE_TITLE, MODE_PLAY, MODE_VICTORY, MODE_OVER = range(4)
TASK_PLAY: Final = 3  # before it the next area is loaded

_STATUS: Final = ("small", "tall", "fireball")


class Enemy(NamedTuple):
    """One occupied enemy slot.

    Attributes:
        slot: 0 to 5; 5 is a power-up, a vine or the flag of the pole.
        type: The game's number: 0x06 goomba, 0x2D Bowser, 0x30 the flag of the pole (in Foxtrot
            0x31).
        x: Pixels from the level's left end.
        y: Pixels from the top of the screen.
    """

    slot: int
    type: int
    x: int
    y: int


class GameState:
    """What the memory says after a frame. Immutable; every value is read when it is asked for.

    All numbers are Python's, so that sums of bytes cannot wrap around.
    """

    __slots__ = ("_ram",)

    def __init__(self, ram: bytes) -> None:
        """Wrap memory that was checked; use `from_ram`."""
        self._ram = ram

    @classmethod
    def from_ram(cls, ram: bytes | bytearray | memoryview) -> GameState:
        """Read a copy of the console's memory.

        Args:
            ram: 2,048 bytes; later changes to it do not show in the state.

        Raises:
            ValueError: ``ram`` has another length.
        """
        copy = bytes(memoryview(ram))
        if len(copy) != RAM_SIZE:
            raise ValueError(
                f"the NES has {RAM_SIZE} bytes of memory, got {len(copy)}: pass all of "
                "0x000 to 0x7FF"
            )
        return cls(copy)

    def __repr__(self) -> str:
        """Name the place, for error messages and debuggers."""
        return (
            f"GameState({self.world}-{self.stage}, x={self.x_pos}, y={self.y_pos}, "
            f"time={self.time}, player_state={self.player_state:#04x}, mode={self.mode})"
        )

    # Mario

    @property
    def x_pos(self) -> int:
        """Pixels from the area's left end: 0x6D is the page, 0x86 the place in it."""
        return self._ram[X_PAGE] * 256 + self._ram[X_IN_PAGE]

    @property
    def y_pos(self) -> int:
        """Pixels from the bottom of the screen, as gym-super-mario-bros counts: 0x3B8, 0xB5.

        255 - y on the screen, 510 - y above it. Below it (see `has_fallen`) gym-super-mario-bros
        counts as on it, and so does this.
        """
        return (255 if self._ram[Y_PAGE] else 510) - self._ram[Y_ON_SCREEN]

    @property
    def y_on_screen(self) -> int:
        """Pixels from the top of the screen to his box; beyond 255 below it, negative above: 0x3B8.

        The page is at 0xB5.
        """
        return self._ram[Y_ON_SCREEN] + (self._ram[Y_PAGE] - 1) * 256

    @property
    def x_speed(self) -> int:
        """Speed to the right in 1/16 pixel a frame, negative to the left: 0x57."""
        return _signed(self._ram[X_SPEED])

    @property
    def y_speed(self) -> int:
        """Speed downwards in pixels a frame, negative upwards: 0x9F."""
        return _signed(self._ram[Y_SPEED])

    @property
    def facing(self) -> int:
        """1 right, -1 left, 0 before he stands: 0x33."""
        return (0, 1, -1, 0)[self._ram[FACING] & 3]

    @property
    def player_state(self) -> int:
        """What the game does with Mario, 8 for playing: 0x0E."""
        return self._ram[PLAYER_STATE]

    @property
    def float_state(self) -> int:
        """0 on the ground, 1 jumping or swimming, 2 falling, 3 on a vine or flagpole: 0x1D."""
        return self._ram[FLOAT_STATE]

    @property
    def on_ground(self) -> bool:
        """Whether he stands: 0x1D."""
        return self._ram[FLOAT_STATE] == 0

    @property
    def can_jump(self) -> bool:
        """Whether pressing A anew jumps or swims: he stands, or is in water: 0x1D, 0x74E."""
        return self.on_ground or self._ram[AREA_TYPE] == 0

    @property
    def power(self) -> int:
        """0 small, 1 tall, 2 with fire: 0x756."""
        return min(self._ram[POWER], 2)

    @property
    def status(self) -> str:
        """`power` as gym-super-mario-bros names it: ``small``, ``tall``, ``fireball``."""
        return _STATUS[self.power]

    @property
    def lives(self) -> int:
        """Lives left after this one, 255 once the last is lost: 0x75A."""
        return self._ram[LIVES]

    @property
    def hurt_timer(self) -> int:
        """Counts down while he blinks and cannot be hurt again: 0x79E."""
        return self._ram[HURT_TIMER]

    @property
    def star_timer(self) -> int:
        """Counts down while a star protects him: 0x79F."""
        return self._ram[STAR_TIMER]

    # The game

    @property
    def coins(self) -> int:
        """Coins, 0 to 99: 0x7ED-0x7EE."""
        return self._number(*COIN_DIGITS)

    @property
    def score(self) -> int:
        """Score as the screen shows it: 0x7DD-0x7E2 are its digits but for the last, always 0."""
        return self._number(*SCORE_DIGITS) * 10

    @property
    def time(self) -> int:
        """The clock, 401 at most: 0x7F8-0x7FA."""
        return self._number(*CLOCK_DIGITS)

    @property
    def world(self) -> int:
        """World, from 1: 0x75F."""
        return self._ram[WORLD] + 1

    @property
    def stage(self) -> int:
        """Level within the world, from 1: 0x75C."""
        return self._ram[STAGE] + 1

    @property
    def area(self) -> int:
        """Area within the world, from 0: 0x760. Bonus rooms do not count: see `room`."""
        return self._ram[AREA]

    @property
    def room(self) -> int:
        """Which of the game's areas is loaded: type (0x74E) * 32 + number (0x74F).

        Unlike `area` it changes with every pipe or vine into another room, where x starts anew.
        """
        return self._ram[AREA_TYPE] * 32 + self._ram[AREA_OF_TYPE]

    @property
    def mode(self) -> int:
        """0 title, 1 play, 2 victory (a castle is cleared), 3 game over: 0x770."""
        return self._ram[MODE]

    @property
    def task(self) -> int:
        """Step within `mode`; in play 3 once the area is loaded: 0x772."""
        return self._ram[TASK]

    @property
    def in_play(self) -> bool:
        """Whether the loaded area is played, so that 0x0E and 0xB5 are not left-overs."""
        return self._ram[MODE] == MODE_PLAY and self._ram[TASK] == TASK_PLAY

    @property
    def has_fallen(self) -> bool:
        """Whether he fell to his death: 0xB5.

        Out of a bonus room above the clouds (0x743) he falls back into the level instead, unless
        the clock ran out (0x759).
        """
        ram = self._ram
        return ram[Y_PAGE] > 1 and (not ram[CLOUDS] or ram[CLOCK_RAN_OUT] > 0) and self.in_play

    @property
    def is_dying(self) -> bool:
        """Whether he is lost: killed (0x0E is 0x0B) or fallen (`has_fallen`)."""
        return (self._ram[PLAYER_STATE] == DYING and self.in_play) or self.has_fallen

    @property
    def is_dead(self) -> bool:
        """Whether the life is taken in the next frame: 0x0E is 6."""
        return self._ram[PLAYER_STATE] == LOSE_LIFE and self.in_play

    @property
    def is_game_over(self) -> bool:
        """Whether the last life is lost: 0x770 is 3, or 0x75A is 255."""
        return self._ram[MODE] == MODE_OVER or self._ram[LIVES] == 0xFF

    @property
    def flag_get(self) -> bool:
        """Whether the level is cleared: 0x0E is 4 or 5, or 0x770 is 2.

        These are the slide down the pole, the walk off, and the axe of a castle. 0x1D is of no use
        here: it is 3 on a vine as well, and at the pole for the slide only.
        """
        return self._ram[MODE] == MODE_VICTORY or (
            self._ram[PLAYER_STATE] in (FLAG_SLIDE, LEVEL_END) and self.in_play
        )

    @property
    def is_won(self) -> bool:
        """Whether the whole game is: 8-4 is cleared, after which it stands still."""
        return self.flag_get and (self.world, self.stage) == (8, 4)

    @property
    def is_busy(self) -> bool:
        """Whether play goes on but nobody controls him: pipes, vines, growing, the next area."""
        return self._ram[MODE] == MODE_PLAY and (
            self._ram[TASK] != TASK_PLAY or self._ram[PLAYER_STATE] in BUSY_STATES
        )

    # The screen and what is on it

    @property
    def left_edge_x(self) -> int:
        """The screen's left edge in `x_pos`' pixels: 0x71A is the page, 0x71C the place in it."""
        return self._ram[LEFT_EDGE_PAGE] * 256 + self._ram[LEFT_EDGE_IN_PAGE]

    @property
    def enemies(self) -> tuple[Enemy, ...]:
        """Occupied slots; power-ups, lifts and other moving things are among them: 0x0F-0x14."""
        ram = self._ram
        return tuple(
            Enemy(
                slot,
                ram[ENEMY_TYPE + slot],
                ram[ENEMY_X_PAGE + slot] * 256 + ram[ENEMY_X_IN_PAGE + slot],
                ram[ENEMY_Y + slot],
            )
            for slot in range(ENEMY_SLOTS)
            if ram[ENEMY_ACTIVE + slot]
        )

    @property
    def tiles(self) -> npt.NDArray[np.uint8]:
        """The two pages of solid tiles around the screen, 0 for air: 0x500-0x69F.

        Returns:
            ``(13, 32)`` uint8. The tile at x (in `x_pos`' pixels) is in column ``x // 16 % 32``;
            row 0 starts 32 pixels below the top of the screen.
        """
        count = 2 * TILE_ROWS * TILE_COLUMNS
        buffers = np.frombuffer(self._ram, np.uint8, count, TILES)
        # (buffer, row, column) to (row, buffer and column)
        pages = buffers.reshape(2, TILE_ROWS, TILE_COLUMNS).transpose(1, 0, 2)
        side_by_side: npt.NDArray[np.uint8] = pages.reshape(TILE_ROWS, 2 * TILE_COLUMNS)
        return side_by_side

    def _number(self, address: int, digits: int) -> int:
        """Return the number whose digits are in memory, 0 where a byte is no digit."""
        number = 0
        for digit in self._ram[address : address + digits]:
            if digit > 9:
                return 0
            number = number * 10 + digit
        return number


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte
