"""How the hero moves, frame by frame, against the formulas in homebrew/README.md."""

from __future__ import annotations

import pytest

from sb3_mario.game.memory import GameState
from tests.homebrew.conftest import Play

FLOOR = 176  # y on the screen of who stands on the ground
WALK, RUN = 0x18, 0x28


def speeds(gain: int, most: int, frames: int) -> list[int]:
    """Return the speed along x after each frame: ``gain`` / 256 a frame, up to ``most``."""
    return [min(gain * frame, most * 256) // 256 for frame in range(1, frames + 1)]


def jump(first: int, up: int, down: int, held: int) -> list[int]:
    """Return y on the screen after each frame of a jump, until he stands again.

    Speeds in 1/256 pixel a frame; ``up`` is the gravity while A is held (``held`` frames) and he
    rises, ``down`` else; he falls at most 4 pixels a frame.
    """
    y, speed = FLOOR * 256, first
    places: list[int] = []
    while not places or places[-1] != FLOOR:
        light = len(places) < held and speed < 0
        speed = min(speed + (up if light else down), 4 * 256)
        y += speed
        places.append(min(y // 256, FLOOR))
    return places


def places(states: list[GameState]) -> list[int]:
    return [255 - state.y_pos for state in states]


@pytest.mark.parametrize(("run", "gain", "most"), [("R", 0xA0, WALK), ("RB", 0xE0, RUN)])
def test_walking_and_running(play: Play, run: str, gain: int, most: int) -> None:
    states = play((1, 1), f"{run}:60")
    wanted = speeds(gain, most, 60)
    assert [state.x_speed for state in states[1:]] == wanted
    assert [state.x_pos for state in states[1:]] == [
        40 + sum(wanted[:frame]) // 16 for frame in range(1, 61)
    ]
    assert wanted[-1] == most


def test_who_lets_go_slides_to_a_stop(play: Play) -> None:
    states = play((1, 1), "R:60 -:60")
    wanted = [max(WALK * 256 - 0xC0 * frame, 0) // 256 for frame in range(1, 61)]
    assert [state.x_speed for state in states[61:]] == wanted


def test_who_turns_brakes_twice_as_hard(play: Play) -> None:
    states = play((1, 1), "R:60 L:10")
    wanted = [(WALK * 256 - 0x180 * frame) // 256 for frame in range(1, 11)]
    assert [state.x_speed for state in states[61:]] == wanted
    assert [state.facing for state in states[60:62]] == [1, -1]


def test_after_b_he_runs_on_for_ten_frames_then_slows_to_a_walk(play: Play) -> None:
    states = play((1, 1), "RB:60 R:40")
    after = [state.x_speed for state in states[61:]]
    assert after[:9] == [RUN] * 9
    assert after[-1] == WALK
    assert after == sorted(after, reverse=True)


@pytest.mark.parametrize("held", [1, 4, 10, 20, 33])
def test_a_jump_is_the_higher_the_longer_a_is_held(play: Play, held: int) -> None:
    wanted = jump(-0x400, 0x20, 0x70, held)
    states = play((1, 1), f"A:{held} -:{len(wanted) - held}")
    assert places(states[1:]) == wanted
    assert [state.float_state for state in states[1:]] == [1] * (len(wanted) - 1) + [0]


def test_a_jump_reaches_four_blocks_a_running_one_five(play: Play) -> None:
    standing = places(play((1, 1), "A:40 -:20"))
    running = places(play((1, 1), "RB:50 RAB:40 RB:30"))
    assert FLOOR - min(standing) == 62  # and 4 more are forgiven at an edge
    assert FLOOR - min(running) == 78
    wanted = jump(-0x4C0, 0x24, 0x80, 40)
    assert running[51 : 51 + len(wanted)] == wanted


def test_a_button_that_stays_held_does_not_jump_again(play: Play) -> None:
    states = play((1, 1), "A:120")
    assert states[-1].float_state == 0
    assert all(state.float_state == 0 for state in states[70:])


def test_in_the_air_he_keeps_his_speed(play: Play) -> None:
    states = play((1, 1), "RB:60 RAB:1 A:30")
    assert {state.x_speed for state in states[61:]} == {RUN}


def test_the_camera_follows_to_the_right_only(play: Play) -> None:
    states = play((1, 1), "R:120 L:60")
    edges = [state.left_edge_x for state in states]
    assert edges == sorted(edges)
    assert edges[120] == states[120].x_pos - 112
    back = play((1, 1), "R:120 L:160")
    assert back[-1].x_pos == back[-1].left_edge_x  # the screen's edge is a wall


def test_both_directions_at_once_are_none(play: Play) -> None:
    assert {state.x_pos for state in play((1, 1), "LR:20")} == {40}


def test_the_clock_loses_one_in_24_frames(play: Play) -> None:
    states = play((1, 1), "-:100")
    assert [state.time for state in states] == [400 - frame // 24 for frame in range(101)]
