"""Level maps: what is refused, and that the game's memory shows what the maps draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from homebrew.tools import levels
from homebrew.tools.art import read_metatiles
from homebrew.tools.levels import LevelError, Map, read_map
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import RefusedError
from sb3_mario.game.levels import _WAYS, Level
from sb3_mario.game.memory import Enemy, GameState
from sb3_mario.game.selftest import self_test
from tests.homebrew.conftest import Play

HOMEBREW = Path(__file__).parents[2] / "homebrew"
LEVELS = [Level(world, stage) for world in (1, 2) for stage in (1, 2, 3, 4)]

HEAD = "name: TEST\nlevel: 1-1\nroom: 0x25\ntheme: meadow\nclock: 400\n\n"
ROWS = [list("." * 20) for _ in range(13)]
ROWS[1][10] = "i"
STRIP = "\n".join("".join(row) for row in ROWS) + "\n"


@pytest.fixture(params=LEVELS, ids=str)
def level(request: pytest.FixtureRequest) -> Level:
    """Each of the eight levels."""
    result: Level = request.param
    return result


def drawn(level: Level) -> Map:
    return read_map(HOMEBREW / "levels" / f"{level}.txt")


def solid(level: Level) -> np.ndarray:
    """Return the map's solid metatiles, ``(13, columns)``, 0 for air and scenery."""
    behind = [levels.AIR * 16] * levels.ROWS
    tiles = levels.columns(drawn(level), behind, read_metatiles(HOMEBREW / "art/metatiles.txt"), "")
    numbers = np.array([list(column) for column in tiles]).T
    lowest = np.array([0x10, 0x50, 0x90, 0xC0])[numbers >> 6]
    return np.where(numbers < lowest, 0, numbers)


# Maps


def test_rooms_and_lengths_are_those_of_the_level_of_the_same_name(level: Level) -> None:
    room, length = _WAYS[str(level)]
    assert int(drawn(level).settings["room"], 16) == room
    assert drawn(level).pole * 16 == length


def test_strips_are_joined_from_left_to_right(tmp_path: Path) -> None:
    path = tmp_path / "1-1.txt"
    other = "\n".join(["#" * 4] * 13) + "\n"
    path.write_text(f"; a comment\n{HEAD}{STRIP}\n{other}")
    level = read_map(path)
    assert (level.columns, level.pole) == (24, 10)
    assert level.rows[0] == "." * 20 + "#" * 4


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (HEAD + STRIP.replace("i", "."), "0 balls 'i' of a pole"),
        (HEAD + STRIP + "\n" + STRIP, "2 balls"),
        (HEAD + STRIP + STRIP, "a strip has 26 rows, needs 13"),
        (HEAD + STRIP + "...\n", "a row of 3 characters in a strip of 20"),
        (HEAD + STRIP.replace("....\n", "\n"), "16 columns, needs 19"),
        (HEAD + STRIP + ("\n" + "\n".join(["." * 64] * 13) + "\n") * 4, "276 columns"),
        (HEAD.replace("0x25", "37") + STRIP, "'room' must match .* got '37'"),
        (HEAD.replace("meadow", "moon") + STRIP, "'theme' must match .* got 'moon'"),
        (HEAD.replace("name: TEST\n", "") + STRIP, "'name' must match .* got None"),
        ("colour: red\n" + HEAD + STRIP, "unknown settings {'colour'}"),
    ],
)
def test_a_wrong_map_is_refused_by_cause(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "1-1.txt"
    path.write_text(text)
    with pytest.raises(LevelError, match=cause):
        read_map(path)


def test_an_unknown_character_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "1-1.txt"
    path.write_text(HEAD + STRIP.replace("i", "i&", 1).replace("i&.", "i&", 1))
    metatiles = read_metatiles(HOMEBREW / "art" / "metatiles.txt")
    with pytest.raises(LevelError, match="column 11, row 1: nothing is drawn '&'"):
        levels.columns(read_map(path), ["."] * 13, metatiles, "1-1")


def test_creatures_stand_on_the_floor_of_their_cell(tmp_path: Path) -> None:
    path = tmp_path / "1-1.txt"
    rows = STRIP.splitlines()
    rows[10] = "...b................"
    path.write_text(HEAD + "\n".join(rows) + "\n")
    # the cell's floor is at 32 + 11 * 16 = 208, and a creature 24 high
    assert levels.entities(read_map(path), "1-1")[0] == (3, 0, 208 - 24, 0x06)


def test_two_creatures_in_a_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "1-1.txt"
    rows = STRIP.splitlines()
    rows[9] = rows[10] = "...b................"
    path.write_text(HEAD + "\n".join(rows) + "\n")
    with pytest.raises(LevelError, match="two creatures share a column"):
        levels.entities(read_map(path), "1-1")


# The game's memory


def test_a_level_starts_as_super_mario_bros_would(bridge: Bridge, level: Level) -> None:
    state = bridge.reset(level.world, level.stage)
    game = GameState.from_ram(state.ram)
    assert (game.world, game.stage) == (level.world, level.stage)
    assert game.area == (level.stage if level.stage > 1 else 0)
    assert game.room == _WAYS[str(level)][0]
    assert (game.x_pos, game.y_pos, game.left_edge_x) == (40, 79, 0)
    assert (game.mode, game.task, game.player_state) == (1, 3, 8)
    assert (game.lives, game.power, game.coins, game.score) == (2, 0, 0, 0)
    assert game.time == int(drawn(level).settings["clock"])
    # the title is left after 60 frames; Super Mario Bros. then takes 30 to 41
    assert 30 <= state.emulator_frame - 60 <= 41


def test_the_self_test_passes(bridge: Bridge, level: Level) -> None:
    self_test(bridge, level)


def test_the_tile_buffers_hold_the_map_around_the_screen(play: Play, level: Level) -> None:
    wanted = solid(level)
    for game in play((level.world, level.stage), "RB:20 RAB:30 RB:40 RAB:30", every=10):
        left = game.left_edge_x // 16
        for column in range(left, min(left + 17, wanted.shape[1])):
            found = game.tiles[:, column % 32]
            assert np.array_equal(found, wanted[:, column]), f"column {column}"


def test_creatures_come_where_the_map_has_them(play: Play) -> None:
    beetle = drawn(Level(1, 2)).rows[10].index("b")
    start, later = play((1, 2), "-:40", every=40)
    # it walks to the left at 8/16 pixel a frame, and has done so while the level was shown
    assert start.enemies[0].type == 0x06
    assert 0 <= beetle * 16 - start.enemies[0].x <= 5
    assert later.enemies[0] == Enemy(0, 0x06, start.enemies[0].x - 20, 184)


@pytest.mark.parametrize("name", ["3-1", "8-4"])
def test_a_level_that_does_not_exist_does_not_start(bridge: Bridge, name: str) -> None:
    level = Level.parse(name)
    with pytest.raises(RefusedError, match=f"{name} did not start within 600 frames"):
        bridge.reset(level.world, level.stage)
    assert GameState.from_ram(bridge.reset(1, 1).ram).in_play
