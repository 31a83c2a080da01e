"""The start-up self-test: what it refuses, by a bridge that is faked, and that a game passes."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from sb3_mario.emulator.fceux import Fceux
from sb3_mario.emulator.protocol import HEIGHT, WIDTH, State
from sb3_mario.game import memory
from sb3_mario.game.actions import BUTTONS
from sb3_mario.game.levels import Level
from sb3_mario.game.memory import GameState
from sb3_mario.game.selftest import MIN_COLOURS, WALK_FRAMES, SelfTestError, self_test
from tests.conftest import FREE_GAME
from tests.game.conftest import MakeState

LEVEL: Final = Level(1, 1)


def picture(colours: int) -> np.ndarray:
    frame = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    frame[:colours, :, 0] = np.arange(colours)[:, None]
    return frame


class FakeBridge:
    """Answers a reset and a step with what it is given, and notes what it is asked for."""

    def __init__(
        self, before: GameState, after: GameState, colours: tuple[int, int] = (10, 10)
    ) -> None:
        self.asked: list[tuple[int, int]] = []
        self._answers = [(before, colours[0]), (after, colours[1])]

    def reset(self, world: int, stage: int) -> State:
        return self._answer(world, stage)

    def step(self, buttons: int, repeat: int) -> State:
        return self._answer(buttons, repeat)

    def _answer(self, *asked: int) -> State:
        self.asked.append(asked)
        state, colours = self._answers[len(self.asked) - 1]
        return State(
            id=len(self.asked),
            frame_id=len(self.asked),
            emulator_frame=0,
            timestamp_us=0,
            advanced=WALK_FRAMES,
            ended=False,
            skipped=False,
            ram=state._ram,
            frame=picture(colours),
        )


def test_a_game_whose_mario_walks_passes(make_state: MakeState) -> None:
    bridge = FakeBridge(make_state(x=40), make_state(x=41), (MIN_COLOURS, MIN_COLOURS))
    self_test(bridge, LEVEL)
    assert bridge.asked == [(1, 1), (BUTTONS["right"], WALK_FRAMES)]


@pytest.mark.parametrize(("colours", "frame"), [((1, 10), 1), ((2, 10), 1), ((10, 1), 2)])
def test_a_blank_picture_is_refused(
    make_state: MakeState, colours: tuple[int, int], frame: int
) -> None:
    blank = colours[frame - 1]
    message = rf"the picture of frame {frame} is blank \({blank} colours\): FCEUX does not draw"
    with pytest.raises(SelfTestError, match=message):
        self_test(FakeBridge(make_state(x=40), make_state(x=60), colours), LEVEL)


@pytest.mark.parametrize("found", [(2, 1), (1, 3)])
def test_another_level_than_the_one_asked_for_is_refused(
    make_state: MakeState, found: tuple[int, int]
) -> None:
    bridge = FakeBridge(make_state(level=found), make_state(level=found, x=60))
    message = f"asked for level 1-1, but the memory says world {found[0]}, stage {found[1]}, "
    with pytest.raises(SelfTestError, match=message):
        self_test(bridge, LEVEL)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"time": 0}, "clock 0"),
        ({"time": 999}, "clock 999"),
        ({"poke": {memory.LIVES: 255}}, "lives 255"),
        ({"x": 1024}, "x=1024"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_memory_that_makes_no_sense_is_refused(
    make_state: MakeState, wrong: dict[str, object], named: str
) -> None:
    bridge = FakeBridge(make_state(**wrong), make_state(x=2000))
    message = f"the memory makes no sense at the start of level 1-1: .*{named}"
    with pytest.raises(SelfTestError, match=message):
        self_test(bridge, LEVEL)


@pytest.mark.parametrize("x", [40, 39])
def test_a_button_that_moves_nothing_is_refused(make_state: MakeState, x: int) -> None:
    message = rf"holding 'right' for {WALK_FRAMES} frames left Mario at x={x} \(before: 40\)"
    with pytest.raises(SelfTestError, match=message):
        self_test(FakeBridge(make_state(x=40), make_state(x=x)), LEVEL)


def test_the_free_game_in_fceux_passes() -> None:
    emulator = Fceux(FREE_GAME)
    try:
        self_test(emulator.bridge, LEVEL)
    finally:
        emulator.close()
