"""What the addresses mean, and the readings that went wrong in other environments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sb3_mario.game.memory import Enemy, GameState

MakeState = Callable[..., GameState]


def test_ram_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2048 bytes of memory, got 2047"):
        GameState.from_ram(bytes(2047))


def test_a_number_is_not_taken_for_memory() -> None:
    with pytest.raises(TypeError):
        GameState.from_ram(2048)


def test_later_changes_of_the_buffer_do_not_show() -> None:
    ram = bytearray(2048)
    state = GameState.from_ram(memoryview(ram))
    ram[0x86] = 99
    assert state.x_pos == 0


def test_x_in_the_last_page_of_a_byte_does_not_overflow() -> None:
    # as uint8 numbers, 0x0B * 256 wraps to 0 (or raises) under NumPy 2
    ram = np.zeros(2048, np.uint8)
    ram[0x6D], ram[0x86] = 0x0B, 0xFF
    state = GameState.from_ram(ram.data)
    assert state.x_pos == 3071
    assert type(state.x_pos) is int


@pytest.mark.parametrize(
    ("page", "y", "expected"),
    [(1, 176, 79), (1, 0, 255), (0, 255, 255), (0, 200, 310), (2, 5, 250)],
)
def test_y_counts_from_the_bottom_as_in_gym_super_mario_bros(
    make_state: MakeState, page: int, y: int, expected: int
) -> None:
    assert make_state({0xB5: page, 0x3B8: y}).y_pos == expected


@pytest.mark.parametrize(("byte", "speed"), [(0, 0), (40, 40), (127, 127), (128, -128), (216, -40)])
def test_speeds_are_signed(make_state: MakeState, byte: int, speed: int) -> None:
    state = make_state({0x57: byte, 0x9F: byte})
    assert (state.x_speed, state.y_speed) == (speed, speed)


@pytest.mark.parametrize(("byte", "facing"), [(0, 0), (1, 1), (2, -1)])
def test_facing_is_a_sign(make_state: MakeState, byte: int, facing: int) -> None:
    assert make_state({0x33: byte}).facing == facing


@pytest.mark.parametrize(
    ("byte", "power", "status"), [(0, 0, "small"), (1, 1, "tall"), (2, 2, "fireball")]
)
def test_power_and_its_name(make_state: MakeState, byte: int, power: int, status: str) -> None:
    state = make_state({0x756: byte})
    assert (state.power, state.status) == (power, status)


def test_score_is_the_number_on_the_screen(make_state: MakeState) -> None:
    # the screen shows these six digits and a fixed 0: 0012340
    digits = dict(enumerate([0, 0, 1, 2, 3, 4], start=0x7DD))
    assert make_state(digits).score == 12340


def test_coins_and_clock_are_digits(make_state: MakeState) -> None:
    state = make_state({0x7ED: 4, 0x7EE: 2, 0x7F8: 3, 0x7F9: 0, 0x7FA: 7})
    assert (state.coins, state.time) == (42, 307)


def test_bytes_that_are_no_digits_read_as_0(make_state: MakeState) -> None:
    state = make_state({0x7ED: 0x24, 0x7FA: 10, 0x7E0: 255})
    assert (state.coins, state.time, state.score) == (0, 0, 0)


def test_world_and_stage_count_from_1_and_area_from_0(make_state: MakeState) -> None:
    state = make_state({0x75F: 7, 0x75C: 3, 0x760: 4})
    assert (state.world, state.stage, state.area) == (8, 4, 4)


def test_room_tells_a_bonus_room_from_the_level(make_state: MakeState) -> None:
    level, bonus = make_state(), make_state({0x74E: 2, 0x74F: 2})
    assert (level.room, bonus.room) == (0x25, 0x42)
    assert level.area == bonus.area


def test_lives_timers_and_left_edge(make_state: MakeState) -> None:
    state = make_state({0x75A: 2, 0x79E: 8, 0x79F: 35, 0x71A: 3, 0x71C: 17, 0x1D: 2})
    assert (state.lives, state.hurt_timer, state.star_timer) == (2, 8, 35)
    assert state.left_edge_x == 785
    assert (state.float_state, state.on_ground) == (2, False)


@pytest.mark.parametrize(
    ("float_state", "area_type", "can_jump"),
    [(0, 1, True), (1, 1, False), (2, 3, False), (1, 0, True)],
)
def test_who_stands_or_swims_can_jump(
    make_state: MakeState, float_state: int, area_type: int, can_jump: bool
) -> None:
    assert make_state({0x1D: float_state, 0x74E: area_type}).can_jump is can_jump


@pytest.mark.parametrize("player_state", [4, 5])
def test_sliding_down_the_pole_and_walking_off_clear_the_level(
    make_state: MakeState, player_state: int
) -> None:
    assert make_state({0x0E: player_state}).flag_get


def test_the_axe_of_a_castle_clears_the_level(make_state: MakeState) -> None:
    assert make_state({0x770: 2, 0x772: 0}).flag_get


def test_the_game_is_won_at_the_axe_of_8_4_alone(make_state: MakeState) -> None:
    axe = {0x770: 2, 0x772: 0}
    assert make_state(axe | {0x75F: 7, 0x75C: 3}).is_won
    assert not make_state(axe | {0x75F: 6, 0x75C: 3}).is_won
    assert not make_state({0x75F: 7, 0x75C: 3}).is_won


@pytest.mark.parametrize("player_state", [1, 8])
def test_a_vine_is_no_flag(make_state: MakeState, player_state: int) -> None:
    # even with Bowser or a flag in an enemy slot
    assert not make_state({0x1D: 3, 0x0E: player_state, 0x16: 0x31, 0x0F: 1}).flag_get


def test_left_overs_while_an_area_loads_are_neither_flag_nor_death(make_state: MakeState) -> None:
    for player_state in (4, 5, 6, 11):
        state = make_state({0x0E: player_state, 0xB5: 5, 0x772: 0})
        assert not (state.flag_get or state.is_dying or state.is_dead)
        assert state.is_busy


def test_the_demo_on_the_title_is_no_play(make_state: MakeState) -> None:
    state = make_state({0x770: 0, 0x0E: 11})
    assert not (state.is_dying or state.is_busy or state.flag_get)


@pytest.mark.parametrize("poke", [{0x0E: 11}, {0xB5: 2}, {0xB5: 5}])
def test_killed_and_fallen_are_dying(make_state: MakeState, poke: dict[int, int]) -> None:
    state = make_state(poke)
    assert state.is_dying
    assert not state.is_dead


def test_falling_out_of_a_bonus_room_in_the_clouds_is_no_death(make_state: MakeState) -> None:
    assert not make_state({0xB5: 2, 0x743: 3}).is_dying
    assert make_state({0xB5: 2, 0x743: 3, 0x759: 1}).is_dying  # the clock had run out


def test_above_the_screen_is_no_death(make_state: MakeState) -> None:
    assert not make_state({0xB5: 0}).is_dying


def test_losing_the_life_is_dead(make_state: MakeState) -> None:
    assert make_state({0x0E: 6}).is_dead
    assert not make_state().is_dead


@pytest.mark.parametrize("poke", [{0x770: 3}, {0x75A: 0xFF}])
def test_game_over(make_state: MakeState, poke: dict[int, int]) -> None:
    assert make_state(poke).is_game_over
    assert not make_state().is_game_over


@pytest.mark.parametrize("player_state", range(13))
def test_busy_is_all_but_playing_and_death(make_state: MakeState, player_state: int) -> None:
    state = make_state({0x0E: player_state})
    assert state.is_busy == (player_state not in (6, 8, 11))


def test_only_occupied_slots_are_enemies(make_state: MakeState) -> None:
    state = make_state(
        {0x10: 1, 0x17: 0x06, 0x6F: 2, 0x88: 5, 0xD0: 184, 0x18: 0x2D}
        | {0x13: 1, 0x1A: 0x31, 0x72: 12, 0x8B: 255, 0xD3: 48}
    )
    assert state.enemies == (Enemy(1, 0x06, 517, 184), Enemy(4, 0x31, 3327, 48))


def test_tiles_of_both_pages_lie_side_by_side(make_state: MakeState) -> None:
    tiles = make_state({0x500: 1, 0x50F: 2, 0x5C0: 3, 0x5D0: 4, 0x69F: 5}).tiles
    assert tiles.shape == (13, 32)
    assert tiles.dtype == np.uint8
    found = {(int(row), int(column)): int(tiles[row, column]) for row, column in np.argwhere(tiles)}
    assert found == {(0, 0): 1, (0, 15): 2, (12, 0): 3, (0, 16): 4, (12, 31): 5}


def test_the_text_of_a_state_names_the_place(make_state: MakeState) -> None:
    assert repr(make_state(level=(4, 2))).startswith("GameState(4-2, x=40, y=79, time=400")
