"""Names, lengths and ends of levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from sb3_mario.game.levels import (
    ALL_LEVELS,
    LEVEL_LENGTH,
    WHOLE_GAME_ID,
    EndCause,
    Level,
    death_cause,
    progress,
)
from sb3_mario.game.memory import GameState

MakeState = Callable[..., GameState]


def test_there_are_32_levels_in_the_games_order() -> None:
    assert len(set(ALL_LEVELS)) == 32
    assert [str(level) for level in ALL_LEVELS[:5]] == ["1-1", "1-2", "1-3", "1-4", "2-1"]
    assert str(ALL_LEVELS[-1]) == "8-4"


def test_a_name_and_its_level_convert_both_ways() -> None:
    assert Level.parse("4-2") == Level(4, 2)
    assert all(Level.parse(str(level)) == level for level in ALL_LEVELS)


@pytest.mark.parametrize("name", ["", "1", "1-5", "0-1", "9-1", "1-1 ", "1-1\n", "11", "1-1-v0"])
def test_what_is_no_level_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="write world and stage, '1-1' to '8-4'") as error:
        Level.parse(name)
    assert repr(name) in str(error.value)


def test_env_ids() -> None:
    assert Level(8, 4).env_id == "sb3_mario/SuperMarioBros-8-4-v0"
    assert WHOLE_GAME_ID == "sb3_mario/SuperMarioBros-v0"


def test_every_level_has_a_length() -> None:
    assert list(LEVEL_LENGTH) == [str(level) for level in ALL_LEVELS]


@pytest.mark.parametrize(
    ("level", "tiles"),
    [("1-1", 198), ("1-2", 166), ("1-4", 141), ("2-2", 189), ("4-2", 187), ("8-1", 376)],
)
def test_lengths_are_where_the_pole_the_axe_or_the_pipe_stands(level: str, tiles: int) -> None:
    assert LEVEL_LENGTH[level] == tiles * 16


@pytest.mark.parametrize(("one", "other"), [("1-3", "5-3"), ("1-4", "6-4"), ("2-2", "7-2")])
def test_levels_that_the_game_reuses_are_equally_long(one: str, other: str) -> None:
    assert LEVEL_LENGTH[one] == LEVEL_LENGTH[other]


@pytest.mark.parametrize(("x", "share"), [(0, 0.0), (1584, 0.5), (3168, 1.0), (4000, 1.0)])
def test_progress_is_the_share_of_the_way(make_state: MakeState, x: int, share: float) -> None:
    assert progress(x, Level(1, 1)) == share
    assert progress(make_state(x=x), Level(1, 1)) == share


def test_progress_is_all_of_it_once_cleared(make_state: MakeState) -> None:
    assert progress(make_state({0x0E: 4}, x=3161), Level(1, 1)) == 1.0
    assert progress(make_state({0x770: 2}, x=2258, level=(1, 4), room=0x60), Level(1, 4)) == 1.0


def test_a_bonus_room_is_no_progress(make_state: MakeState) -> None:
    assert progress(make_state(x=200, room=0x42), Level(1, 1)) == 0.0


@pytest.mark.parametrize("level", [Level(1, 2), Level(2, 2), Level(4, 2), Level(7, 2)])
def test_behind_the_pipe_out_of_the_level_all_of_it_is_done(
    make_state: MakeState, level: Level
) -> None:
    assert progress(make_state(x=2850, level=(level.world, level.stage)), level) == 1.0


def test_a_world_beyond_the_eighth_has_no_progress_and_no_error(make_state: MakeState) -> None:
    state = make_state(x=500, level=(36, 1), room=0x01)
    assert progress(state, Level(state.world, state.stage)) == 0.0
    assert progress(500, Level(36, 1)) == 0.0


@pytest.mark.parametrize(
    ("poke", "time", "cause"),
    [
        ({0xB5: 2}, 300, "pit"),
        ({0xB5: 2}, 0, "pit"),
        ({0x0E: 11}, 300, "enemy"),
        ({0x0E: 11}, 0, "clock"),
        ({0x0E: 11, 0xB5: 2}, 300, "enemy"),  # the killed drop out of the screen
    ],
)
def test_causes_of_death(
    make_state: MakeState, poke: dict[int, int], time: int, cause: str
) -> None:
    assert death_cause(make_state(poke, time=time)) == cause
    assert cause in get_args(EndCause)
