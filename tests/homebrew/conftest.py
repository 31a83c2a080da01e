"""The free game on the real emulator. None of these tests needs the real game."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homebrew.tools.solve import frames
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.emulator.protocol import State
from sb3_mario.game.memory import GameState

HOMEBREW = Path(__file__).parents[2] / "homebrew"

Play = Callable[..., list[GameState]]


@pytest.fixture(scope="session")
def foxtrot() -> Path:
    """The game as it is committed."""
    return HOMEBREW / "foxtrot.nes"


@pytest.fixture(scope="module")
def fceux(foxtrot: Path) -> Iterator[Fceux]:
    """An emulator with the free game, one for all tests of a file."""
    emulator = Fceux(foxtrot)
    yield emulator
    emulator.close()


@pytest.fixture
def bridge(fceux: Fceux) -> Bridge:
    """The emulator's connection."""
    return fceux.bridge


@pytest.fixture
def play(bridge: Bridge) -> Play:
    """Plays a run from a level's start; returns the states, the start's first.

    One after every ``every`` frames, and the last; ends early where the episode does.
    """

    def play(level: tuple[int, int], run: str, *, every: int = 1) -> list[GameState]:
        states: list[State] = [bridge.reset(*level, frame=False)]
        for buttons, count in frames(run):
            for start in range(0, count, every):
                states.append(bridge.step(buttons, min(every, count - start), frame=False))
                if states[-1].ended:
                    return [GameState.from_ram(state.ram) for state in states]
        return [GameState.from_ram(state.ram) for state in states]

    return play
