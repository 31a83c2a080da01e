"""A stored run through each level clears it, without a lag frame, and leads on to the next."""

from __future__ import annotations

import pytest

from homebrew.tools.solve import frames, shorten, stored_run
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.game.levels import ALL_LEVELS, LEVEL_LENGTH, Level, progress
from sb3_mario.game.memory import FLAG_SLIDE, GameState

LEVELS = [level for level in ALL_LEVELS if level.world <= 2]
FRAME_COUNTER = 0x09  # of the game, not of the emulator
SCREEN_STOPS = 2000  # pixels; no level's last screen starts before


def clear(bridge: Bridge, level: Level) -> GameState:
    """Play the stored run to the pole; check memory, and that no frame is skipped, on the way."""
    state = bridge.reset(level.world, level.stage, whole_game=True, frame=False)
    start, counted, total = state.emulator_frame, state.ram[FRAME_COUNTER], 0
    before = game = GameState.from_ram(state.ram)
    clock = game.time
    for buttons, count in frames(stored_run(str(level))):
        state = bridge.step(buttons, count, frame=False)
        total += state.advanced
        assert not state.skipped  # nobody grows on these runs
        assert state.emulator_frame - start == total
        assert (state.ram[FRAME_COUNTER] - counted) % 256 == total % 256, f"lag before {total}"
        before, game = game, GameState.from_ram(state.ram)
        assert not (game.is_dying or game.is_dead)
        # at the pole the clock has stopped
        assert game.time == clock - (total - game.flag_get) // 24
        assert (game.world, game.stage) == (level.world, level.stage)
        assert state.ram[0x75E] == game.coins >= before.coins
        assert game.score >= before.score + 200 * (game.coins - before.coins)
        assert state.ram[0x3AD] == game.x_pos - game.left_edge_x <= 240
        assert game.left_edge_x >= max(before.left_edge_x, min(game.x_pos - 112, SCREEN_STOPS))
        if state.ended:
            break
    return game


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_the_stored_run_clears_the_level(bridge: Bridge, level: Level) -> None:
    before = GameState.from_ram(bridge.reset(level.world, level.stage, frame=False).ram)
    game = clear(bridge, level)
    assert game.flag_get
    assert game.player_state == FLAG_SLIDE
    assert game.float_state == 3
    # the pole is touched 7 pixels before it, as in Super Mario Bros.
    assert game.x_pos == LEVEL_LENGTH[str(level)] - 7
    assert progress(game, level) == 1.0
    assert game.lives == before.lives
    assert game.score >= 100  # the pole's


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_then_the_clock_is_counted_into_the_score_and_the_next_level_begins(
    bridge: Bridge, level: Level
) -> None:
    cleared = clear(bridge, level)
    counted = bridge.step(0, 1, frame=False)
    game = GameState.from_ram(counted.ram)
    assert game.score == cleared.score + 50 * cleared.time
    assert game.coins == cleared.coins
    assert game.lives == cleared.lives
    if level == LEVELS[-1]:
        assert counted.ended
        assert (game.mode, game.is_game_over) == (3, True)
        return
    following = LEVELS[LEVELS.index(level) + 1]
    assert (game.world, game.stage) == (following.world, following.stage)
    assert game.area == (following.stage if following.stage > 1 else 0)
    assert (game.x_pos, game.player_state) == (40, 8)


def test_no_frame_is_skipped_between_levels_either(bridge: Bridge) -> None:
    clear(bridge, Level(1, 1))
    before = bridge.step(0, 1, frame=False)  # runs on to 1-2
    after = bridge.step(0, 600, frame=False)
    assert before.skipped
    assert (after.ram[FRAME_COUNTER] - before.ram[FRAME_COUNTER]) % 256 == after.advanced % 256
    bridge.reset(1, 1, whole_game=True, frame=False)
    for buttons, count in frames(stored_run("1-1")):
        state = bridge.step(buttons, count, frame=False)
        if state.ended:
            break
    end, counted = state, state.ram[FRAME_COUNTER]
    state = bridge.step(0, 1, frame=False)
    assert state.emulator_frame - end.emulator_frame == state.advanced
    assert (state.ram[FRAME_COUNTER] - counted) % 256 == state.advanced % 256
    assert state.advanced > 400  # a frame for each unit of the clock, and the way home


@pytest.mark.parametrize(
    "run",
    ["R:590 R:590 R:590 RA:24 R:300 RA:40", "RB:538 RB:538 RAB:24 RB:185 RAB:40"],
    ids=["walking", "running"],
)
def test_right_and_a_jump_over_the_beetle_and_onto_the_pole_clear_the_first_level(
    bridge: Bridge, run: str
) -> None:
    bridge.reset(1, 1, frame=False)
    for buttons, count in frames(run):
        state = bridge.step(buttons, count, frame=False)
        if state.ended:
            break
    assert GameState.from_ram(state.ram).flag_get


def test_equal_decisions_are_one_word_of_a_run() -> None:
    assert shorten(["RB", "RB", "-", "RB"]) == "RB:12 -:6 RB:6"
    assert list(frames("RB:12 -:6 RAB:1")) == [(0x82, 12), (0x00, 6), (0x83, 1)]
