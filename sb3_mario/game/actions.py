"""Sets of actions, in gym-super-mario-bros' order, and the buttons they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

BUTTONS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "A": 0x01,  # the order in which the controller shifts them out
        "B": 0x02,
        "select": 0x04,
        "start": 0x08,
        "up": 0x10,
        "down": 0x20,
        "left": 0x40,
        "right": 0x80,
    }
)
NOOP: Final = "NOOP"

RIGHT_ONLY: Final[list[list[str]]] = [
    [NOOP],
    ["right"],
    ["right", "A"],
    ["right", "B"],
    ["right", "A", "B"],
]
SIMPLE_MOVEMENT: Final[list[list[str]]] = [*RIGHT_ONLY, ["A"], ["left"]]
COMPLEX_MOVEMENT: Final[list[list[str]]] = [
    *SIMPLE_MOVEMENT,
    ["left", "A"],
    ["left", "B"],
    ["left", "A", "B"],
    ["down"],
    ["up"],
]
ACTION_SETS: Final[Mapping[str, list[list[str]]]] = MappingProxyType(
    {"right_only": RIGHT_ONLY, "simple": SIMPLE_MOVEMENT, "complex": COMPLEX_MOVEMENT}
)

# The real cross cannot press both; the game then walks through walls.
_OPPOSITES: Final = (("left", "right"), ("up", "down"))


def button_masks(action_set: str | Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Return the controller byte of every action.

    Args:
        action_set: ``"right_only"``, ``"simple"``, ``"complex"``, or the actions themselves, each
            a list of button names; ``["NOOP"]`` or an empty list holds none.

    Returns:
        One sum of `BUTTONS` for each action, in order.

    Raises:
        ValueError: There is no such set or button, the set is empty, or an action is no list or
            presses opposite directions.

    Example:
        >>> button_masks("right_only")
        (0, 128, 129, 130, 131)
    """
    if isinstance(action_set, str):
        if action_set not in ACTION_SETS:
            raise ValueError(
                f"there is no action set {action_set!r}: choose one of {sorted(ACTION_SETS)}, or "
                "pass a list of lists of buttons"
            )
        action_set = ACTION_SETS[action_set]
    if not action_set:
        raise ValueError("the action set is empty: give at least one action, such as ['right']")
    bare = [action for action in action_set if isinstance(action, str)]
    if bare:
        raise ValueError(f"action {bare[0]!r} must be a list of buttons, such as [{bare[0]!r}]")
    return tuple(_mask(action) for action in action_set)


def _mask(action: Sequence[str]) -> int:
    mask = 0
    for button in action:
        if button == NOOP and len(action) == 1:
            continue
        if button not in BUTTONS:
            raise ValueError(
                f"there is no button {button!r} to hold in action {list(action)}: the buttons "
                f"are {list(BUTTONS)}, and {NOOP!r} stands alone"
            )
        mask |= BUTTONS[button]
    for one, other in _OPPOSITES:
        if mask & BUTTONS[one] and mask & BUTTONS[other]:
            raise ValueError(
                f"action {list(action)} presses {one!r} and {other!r} at once, which no "
                "controller can: drop one"
            )
    return mask
