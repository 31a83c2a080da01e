"""The sets' order is a promise: a saved policy's action numbers depend on it."""

from __future__ import annotations

import pytest

from sb3_mario.game.actions import (
    ACTION_SETS,
    BUTTONS,
    COMPLEX_MOVEMENT,
    RIGHT_ONLY,
    SIMPLE_MOVEMENT,
    button_masks,
)

A, B, UP, DOWN, LEFT, RIGHT = 1, 2, 16, 32, 64, 128
RIGHT_MASKS = (0, RIGHT, RIGHT | A, RIGHT | B, RIGHT | A | B)


def test_buttons_have_the_order_of_the_controller() -> None:
    order = ["A", "B", "select", "start", "up", "down", "left", "right"]
    assert {name: 1 << bit for bit, name in enumerate(order)} == BUTTONS


@pytest.mark.parametrize(
    ("name", "masks"),
    [
        ("right_only", RIGHT_MASKS),
        ("simple", (*RIGHT_MASKS, A, LEFT)),
        ("complex", (*RIGHT_MASKS, A, LEFT, LEFT | A, LEFT | B, LEFT | A | B, DOWN, UP)),
    ],
)
def test_sets_keep_gym_super_mario_bros_order(name: str, masks: tuple[int, ...]) -> None:
    assert button_masks(name) == masks


def test_names_stand_for_the_lists() -> None:
    assert [len(actions) for actions in ACTION_SETS.values()] == [5, 7, 12]
    assert list(ACTION_SETS.values()) == [RIGHT_ONLY, SIMPLE_MOVEMENT, COMPLEX_MOVEMENT]


def test_own_actions_may_be_given() -> None:
    assert button_masks([[], ["NOOP"], ("start",), ["A", "down"]]) == (0, 0, 8, 33)


def test_an_unknown_set_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'smiple'.*'complex', 'right_only', 'simple'"):
        button_masks("smiple")


def test_an_unknown_button_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no button 'a' .*'A', 'B', 'select'"):
        button_masks([["right", "a"]])


def test_noop_stands_alone() -> None:
    with pytest.raises(ValueError, match="'NOOP' stands alone"):
        button_masks([["right", "NOOP"]])


@pytest.mark.parametrize("pair", [["left", "right"], ["up", "A", "down"]])
def test_opposite_directions_are_refused(pair: list[str]) -> None:
    with pytest.raises(ValueError, match="at once"):
        button_masks([pair])


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        button_masks([])


def test_a_bare_button_is_no_action() -> None:
    with pytest.raises(ValueError, match=r"such as \['right'\]"):
        button_masks(["right", "A"])
