"""What happens to the hero: blocks, berries, creatures, and the three ways to die."""

from __future__ import annotations

import pytest

from homebrew.tools.solve import frames, mask
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.game.levels import death_cause
from sb3_mario.game.memory import DYING, PLAYING, GameState
from tests.homebrew.conftest import Play

BEETLE, BERRY = 0x06, 0x2E
FLAT = 0x20
TO_THE_BERRY = "R:352 -:40 A:20 -:40"
ON_TO_THE_BEETLE = "R:1520"


def raw(state: GameState) -> bytes:
    return state._ram


def test_a_paw_block_gives_a_coin_and_is_empty_then(play: Play) -> None:
    states = play((1, 1), "R:142 -:40 A:20 -:20")
    before, after = states[0], states[-1]
    assert before.tiles[7, 16] == 0xC0
    assert after.tiles[7, 16] == 0xC4
    assert (after.coins, after.score) == (1, 200)
    assert raw(after)[0x75E] == 1
    while_bumped = {state.tiles[7, 16] for state in states if state.coins == 1}
    assert while_bumped == {0x23, 0xC4}


def test_a_brick_holds_against_the_small_hero(play: Play) -> None:
    # a little further right than the paw block above
    states = play((1, 1), "R:155 -:40 A:20 -:20")
    assert {state.tiles[7, 17] for state in states} == {0x51, 0x23}
    assert states[-1].tiles[7, 17] == 0x51
    assert states[-1].score == 0


def test_a_berry_makes_tall_and_a_beetle_small_again(play: Play) -> None:
    states = play((1, 1), f"{TO_THE_BERRY} {ON_TO_THE_BEETLE}")
    assert states[440].enemies[-1][:2] == (5, BERRY)  # in the sixth slot
    powers = [state.power for state in states]
    tall = powers.index(1)
    small = powers.index(0, tall)
    assert states[tall].score == states[tall - 1].score + 1000
    assert states[tall].player_state == PLAYING  # the growing itself was skipped
    assert states[tall - 1].hurt_timer == states[tall].hurt_timer == 0
    near = [enemy for enemy in states[small].enemies if abs(enemy.x - states[small].x_pos) <= 10]
    assert [enemy.type for enemy in near] == [BEETLE]
    assert states[small].hurt_timer == 8
    assert states[small].lives == 2
    # in units of 21 frames
    ends = [state.hurt_timer for state in states[small:]]
    assert ends == sorted(ends, reverse=True)
    assert ends.count(7) == 21
    assert not states[-1].is_dying


def test_growing_and_shrinking_take_45_frames_that_nobody_plays(bridge: Bridge) -> None:
    bridge.reset(1, 1, frame=False)
    skipped = []
    for buttons, count in frames(f"{TO_THE_BERRY} {ON_TO_THE_BEETLE}"):
        for _ in range(count):
            state = bridge.step(buttons, 1, frame=False)
            if state.skipped:
                skipped.append(state.advanced)
    assert skipped == [46, 46]


def test_the_tall_hero_breaks_bricks(play: Play) -> None:
    last = play((1, 1), TO_THE_BERRY + " R:196 -:40 A:20 -:10")[-1]
    assert last.power == 1
    assert last.tiles[7, 52 % 32 : 56 % 32].tolist() == [0, 0, 0xC0, 0x51]
    assert last.score == 1000 + 50


def test_stamping_on_a_beetle_flattens_it(play: Play) -> None:
    states = play((1, 2), "R:106 RA:8 R:10 -:50")
    stamp = next(i for i, state in enumerate(states) if state.score)
    before, after = states[stamp - 1], states[stamp]
    assert after.score == 100
    assert before.y_speed > 0
    assert after.y_speed == -4
    assert after.enemies[0].type == BEETLE
    assert raw(after)[0x1E] == FLAT
    assert [len(state.enemies) for state in states[stamp:]] == [2] * 30 + [1] * 13
    assert states[-1].player_state == PLAYING


def test_a_beetle_kills(play: Play) -> None:
    states = play((1, 2), "R:300")
    last = states[-1]
    assert last.player_state == DYING
    assert (last.y_speed, last.x_speed) == (-5, 0)
    assert abs(last.x_pos - last.enemies[0].x) <= 10
    assert death_cause(last) == "enemy"
    assert all(state.player_state == PLAYING for state in states[:-1])


def test_a_pit_kills(play: Play) -> None:
    last = play((1, 4), "R:200")[-1]
    assert last.player_state == PLAYING
    assert raw(last)[0xB5] == 2
    # three columns of lava; his feet are from 3 to 12 pixels right of his place
    assert 15 * 16 - 3 <= last.x_pos <= 18 * 16 - 13
    assert last.has_fallen
    assert death_cause(last) == "pit"


def test_the_clock_kills_after_24_frames_for_each_of_its_units(play: Play) -> None:
    states = play((1, 1), "-:9600", every=600)
    assert [state.time for state in states] == [400 - 25 * i for i in range(17)]
    last = states[-1]
    assert last.player_state == DYING
    assert raw(last)[0x759] == 1
    assert death_cause(last) == "clock"
    almost = play((1, 1), "-:9599", every=600)[-1]
    assert (almost.player_state, almost.time) == (PLAYING, 1)


@pytest.mark.parametrize("level", [(1, 4), (1, 2)], ids=["lava", "beetle"])
def test_after_a_death_the_level_starts_again_with_a_life_less(
    bridge: Bridge, level: tuple[int, int]
) -> None:
    start = GameState.from_ram(bridge.reset(*level, whole_game=True, frame=False).ram)
    while not bridge.step(mask("R"), 60, frame=False).ended:
        pass
    again = GameState.from_ram(bridge.step(0, 1, frame=False).ram)
    assert again.lives == start.lives - 1
    assert (again.world, again.stage, again.x_pos, again.y_pos, again.time, again.power) == (
        *level,
        40,
        79,
        start.time,
        0,
    )
    assert again.player_state == PLAYING
    assert (again.tiles == start.tiles).all()
