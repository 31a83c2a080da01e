"""How far an episode has come, and what ends it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sb3_mario.game.episode import Episode
from sb3_mario.game.levels import EndCause, Level
from sb3_mario.game.memory import GameState

MakeState = Callable[..., GameState]

ONE_ONE = Level(1, 1)
DYING, DEAD, FLAG = {0x0E: 11}, {0x0E: 6}, {0x0E: 4}


def play(
    states: Sequence[GameState],
    level: Level | None = ONE_ONE,
    stuck_steps: int = 0,
    max_steps: int = 0,
) -> tuple[Episode, list[EndCause | None]]:
    """Return an episode of these states, and what each step of it ended with."""
    episode = Episode(level, states[0], stuck_steps, max_steps)
    ends = [episode.advance(*pair) for pair in itertools.pairwise(states)]
    return episode, ends


def test_the_largest_x_and_the_largest_share_of_the_level_stay(make_state: MakeState) -> None:
    episode, ends = play([make_state(x=x) for x in (40, 1584, 100)])
    assert (episode.steps, episode.max_x) == (2, 1584)
    assert 0.4 < episode.progress < 0.6
    assert ends == [None, None]


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        ({"poke": FLAG}, "flag"),
        ({"poke": DYING}, "enemy"),
        ({"poke": DEAD}, "enemy"),
        ({"poke": {0xB5: 2}}, "pit"),
        ({"poke": DYING, "time": 0}, "clock"),
        ({"level": (4, 1)}, "warp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_level_ends_with_its_flag_a_death_or_another_level(
    make_state: MakeState, last: dict[str, Any], cause: str
) -> None:
    # Limits that are reached with the same step say less.
    _, ends = play([make_state(), make_state(), make_state(**last)], stuck_steps=2, max_steps=2)
    assert ends == [None, cause]


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        ({"poke": DYING}, None),
        ({"poke": FLAG}, None),
        ({"level": (4, 1)}, None),
        ({"poke": {0x770: 3}}, "game_over"),
        ({"poke": {0x770: 2}, "level": (8, 4)}, "flag"),
    ],
)
def test_the_whole_game_ends_when_it_is_over_or_won(
    make_state: MakeState, last: dict[str, Any], cause: str | None
) -> None:
    assert play([make_state(), make_state(**last)], level=None)[1] == [cause]


def test_who_gets_no_further_is_stuck(make_state: MakeState) -> None:
    xs = [40, 50, 45, 50, 51, 51, 40, 51]
    assert play([make_state(x=x) for x in xs], stuck_steps=3)[1] == [None] * 6 + ["stuck"]


def test_in_another_room_further_is_counted_from_there(make_state: MakeState) -> None:
    states = [make_state(x=900), make_state(x=40, room=0x42), make_state(x=50, room=0x42)]
    episode, ends = play(states, stuck_steps=2)
    assert ends == [None, None]
    assert episode.max_x == 900


def test_a_new_life_is_not_stuck_where_it_begins(make_state: MakeState) -> None:
    states = [make_state(x=900), make_state(DYING, x=900), make_state(x=40), make_state(x=41)]
    assert play(states, level=None, stuck_steps=2)[1] == [None, None, None]


def test_the_number_of_steps_is_limited_where_asked_for(make_state: MakeState) -> None:
    states = [make_state(x=x) for x in range(40, 44)]
    assert play(states, max_steps=3)[1] == [None, None, "step_limit"]
    assert play(states)[1] == [None, None, None]
