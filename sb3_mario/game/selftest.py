"""The start-up self-test: better an error now than hours of training on nothing."""

from __future__ import annotations

from typing import Final

import numpy as np

from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.protocol import State
from sb3_mario.game.actions import BUTTONS
from sb3_mario.game.levels import Level
from sb3_mario.game.memory import GameState

WALK_FRAMES: Final = 30
MIN_COLOURS: Final = 3  # a level shows ten or more; a blank or fading screen one or two


class SelfTestError(RuntimeError):
    """The emulator runs, but what it shows is not Super Mario Bros. being played."""


def self_test(bridge: Bridge, level: Level) -> None:
    """Check that the picture, the memory and the controller of a fresh emulator work.

    Leaves the game somewhere in ``level``; reset afterwards.

    Args:
        bridge: Connection to an emulator.
        level: Level to test with.

    Raises:
        SelfTestError: The picture is blank, the memory makes no sense, or a button moves nothing.
    """
    start = bridge.reset(level.world, level.stage)
    _check_picture(start)
    before = GameState.from_ram(start.ram)
    _check_memory(before, level)
    state = bridge.step(BUTTONS["right"], WALK_FRAMES)
    _check_picture(state)
    after = GameState.from_ram(state.ram)
    if after.x_pos <= before.x_pos:
        raise SelfTestError(
            f"holding 'right' for {state.advanced} frames left Mario at x={after.x_pos} (before: "
            f"{before.x_pos}): the buttons do not reach the game"
        )


def _check_picture(state: State) -> None:
    assert state.frame is not None
    colours = len(np.unique(state.frame.reshape(-1, 4).view(np.uint32)))
    if colours < MIN_COLOURS:
        raise SelfTestError(
            f"the picture of frame {state.frame_id} is blank ({colours} colours): FCEUX does not "
            "draw; check its video driver"
        )


def _check_memory(state: GameState, level: Level) -> None:
    found = f"world {state.world}, stage {state.stage}, clock {state.time}, lives {state.lives}"
    if (state.world, state.stage) != (level.world, level.stage):
        raise SelfTestError(
            f"asked for level {level}, but the memory says {found}: is the ROM Super Mario Bros.?"
        )
    if not (0 < state.time <= 401 and 0 <= state.lives <= 99 and state.x_pos < 1024):
        raise SelfTestError(
            f"the memory makes no sense at the start of level {level}: {found}, x={state.x_pos}; "
            "is the ROM Super Mario Bros.?"
        )
