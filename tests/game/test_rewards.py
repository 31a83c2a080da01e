"""The reward by hand-worked numbers, and what must hold for any memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_mario.game.memory import GameState
from sb3_mario.game.rewards import RewardWeights, compute_reward

MakeState = Callable[..., GameState]
WEIGHTS = RewardWeights()

# Any memory: zeros, with any bytes at the addresses that the reward reads.
READ = [0x0E, 0x6D, 0x86, 0xB5, 0x743, 0x74E, 0x74F, 0x759, 0x75A, 0x75C, 0x75F]
READ += [0x770, 0x772, 0x7F8, 0x7F9, 0x7FA]


@st.composite
def rams(draw: st.DrawFn) -> bytearray:
    ram = bytearray(2048)
    for address in READ:
        # small numbers are the likely ones: modes, states, pages, digits
        ram[address] = draw(st.integers(0, 13) | st.integers(0, 255))
    return ram


def test_way_gained_less_clock_spent(make_state: MakeState) -> None:
    before, after = make_state(x=100, time=400), make_state(x=110, time=399)
    assert compute_reward(before, after, 4, WEIGHTS) == 9.0


def test_way_back_costs(make_state: MakeState) -> None:
    assert compute_reward(make_state(x=100), make_state(x=93), 4, WEIGHTS) == -7.0


def test_way_counts_across_a_page(make_state: MakeState) -> None:
    assert compute_reward(make_state(x=254), make_state(x=258), 4, WEIGHTS) == 4.0


def test_weights_scale_each_part(make_state: MakeState) -> None:
    weights = RewardWeights(progress=0.5, clock=2.0, death=-3.0, clip=100.0)
    before, after = make_state(x=100, time=400), make_state({0x0E: 11}, x=110, time=399)
    assert compute_reward(before, after, 4, weights) == 5.0 - 2.0 - 3.0


def test_reward_is_clipped_at_both_ends(make_state: MakeState) -> None:
    assert compute_reward(make_state(x=100), make_state(x=120), 4, WEIGHTS) == 15.0
    assert compute_reward(make_state(x=120), make_state(x=100), 4, WEIGHTS) == -15.0


@pytest.mark.parametrize("poke", [{0x0E: 11}, {0xB5: 2}, {0x0E: 6}])
def test_death_costs_once(make_state: MakeState, poke: dict[int, int]) -> None:
    alive, dying = make_state(), make_state(poke)
    assert compute_reward(alive, dying, 4, WEIGHTS) == -15.0
    assert compute_reward(dying, make_state({0x0E: 6}), 4, WEIGHTS) == 0.0


def test_a_new_life_at_the_start_is_no_way_back(make_state: MakeState) -> None:
    dying = make_state({0x0E: 11}, x=3000, time=100)
    assert compute_reward(dying, make_state(x=40, time=400), 800, WEIGHTS) == 0.0


def test_a_pipe_into_another_room_is_no_way_back(make_state: MakeState) -> None:
    # many frames pass in a pipe, so the limit by speed alone would not do
    before, after = make_state(x=920), make_state(x=40, room=0x42)
    assert compute_reward(before, after, 300, WEIGHTS) == 0.0


def test_the_clock_spent_on_a_pipe_still_counts(make_state: MakeState) -> None:
    before, after = make_state(x=920, time=390), make_state(x=40, time=388, room=0x42)
    assert compute_reward(before, after, 300, WEIGHTS) == -2.0


def test_the_next_level_is_no_way_back(make_state: MakeState) -> None:
    before, after = make_state(x=900, time=400), make_state(x=40, time=300, level=(1, 2))
    assert compute_reward(before, after, 600, WEIGHTS) == 0.0


def test_a_castle_that_starts_over_is_no_way_back(make_state: MakeState) -> None:
    before = make_state(x=1500, level=(4, 4), room=0x61)
    after = make_state(x=1500 - 1024 + 10, level=(4, 4), room=0x61)
    assert compute_reward(before, after, 4, WEIGHTS) == 0.0


@pytest.mark.parametrize(("dx", "reward"), [(5, 5.0), (6, 0.0), (-5, -5.0), (-6, 0.0)])
def test_more_than_5_pixels_a_frame_is_no_run(
    make_state: MakeState, dx: int, reward: float
) -> None:
    assert compute_reward(make_state(x=100), make_state(x=100 + dx), 1, WEIGHTS) == reward


def test_a_clock_wound_up_is_no_gain(make_state: MakeState) -> None:
    assert compute_reward(make_state(time=0), make_state(time=400), 4, WEIGHTS) == 0.0


@pytest.mark.parametrize("poke", [{0x0E: 4}, {0x0E: 5}, {0x770: 2, 0x772: 0}])
def test_clearing_costs_neither_way_back_nor_clock(
    make_state: MakeState, poke: dict[int, int]
) -> None:
    before, after = make_state(x=3160, time=300), make_state(poke, x=3158, time=299)
    assert compute_reward(before, after, 4, WEIGHTS) == 0.0


def test_clearing_pays_for_the_way(make_state: MakeState) -> None:
    before, after = make_state(x=3155, time=300), make_state({0x0E: 4}, x=3161, time=299)
    assert compute_reward(before, after, 4, WEIGHTS) == 6.0


def test_the_bonus_countdown_costs_nothing(make_state: MakeState) -> None:
    before, after = make_state({0x0E: 5}, time=300), make_state({0x0E: 5}, time=200)
    assert compute_reward(before, after, 4, WEIGHTS) == 0.0


@pytest.mark.parametrize("name", ["progress", "clock", "death", "clip"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name!r} must be finite"):
        RewardWeights(**{name: value})


@pytest.mark.parametrize("clip", [0.0, -15.0])
def test_a_clip_that_leaves_nothing_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="'clip' must be above 0"):
        RewardWeights(clip=clip)


@given(rams(), rams(), st.integers(0, 4000), st.floats(0.1, 100))
def test_no_reward_is_beyond_the_clip(
    before: bytearray, after: bytearray, frames: int, clip: float
) -> None:
    states = GameState.from_ram(before), GameState.from_ram(after)
    assert abs(compute_reward(*states, frames, RewardWeights(clip=clip))) <= clip


@given(rams(), rams(), st.integers(0, 4000), st.sampled_from([4, 5]))
def test_clearing_is_never_negative(
    before: bytearray, after: bytearray, frames: int, player_state: int
) -> None:
    after[0x0E], after[0x770], after[0x772] = player_state, 1, 3
    states = GameState.from_ram(before), GameState.from_ram(after)
    assert compute_reward(*states, frames, WEIGHTS) >= 0


@given(rams(), rams(), st.integers(0, 4000))
def test_standing_still_is_never_worth_anything(
    before: bytearray, after: bytearray, frames: int
) -> None:
    after[0x6D], after[0x86] = before[0x6D], before[0x86]
    states = GameState.from_ram(before), GameState.from_ram(after)
    assert compute_reward(*states, frames, WEIGHTS) <= 0
