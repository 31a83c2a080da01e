"""Fixtures for all tests, and the rule for tests that need the real game."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sb3_mario.emulator.fceux import Fceux
from sb3_mario.game.roms import RomError, find_rom

FREE_GAME = Path(__file__).parents[1] / "homebrew" / "foxtrot.nes"
VECTORS = Path(__file__).parent / "vectors"


def _real_rom() -> Path | None:
    try:
        rom = find_rom()
    except RomError:
        return None
    return rom.path if rom.known and not rom.free else None


REAL_ROM = _real_rom()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real game where it is missing; where it is required, fail instead."""
    if REAL_ROM is not None:
        return
    marked = [item for item in items if item.get_closest_marker("real_rom")]
    if marked and os.environ.get("SB3_MARIO_REQUIRE_REAL_ROM") == "1":
        raise pytest.UsageError(
            "SB3_MARIO_REQUIRE_REAL_ROM=1, but no known ROM is found: run `make real-rom`"
        )
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="needs the real game: run `make real-rom`"))


@pytest.fixture(scope="session")
def rom() -> Path:
    """The real game. Only for tests marked ``real_rom``."""
    assert REAL_ROM is not None, "mark this test with @pytest.mark.real_rom"
    return REAL_ROM


@pytest.fixture(params=["foxtrot", pytest.param("real", marks=pytest.mark.real_rom)])
def game(request: pytest.FixtureRequest) -> Path:
    """Both games in turn: the free one always, the real one where it is."""
    if request.param == "foxtrot":
        return FREE_GAME
    assert REAL_ROM is not None
    return REAL_ROM


@pytest.fixture
def fceux(rom: Path) -> Iterator[Fceux]:
    """A fresh FCEUX with the real game at its title."""
    emulator = Fceux(rom)
    yield emulator
    emulator.close()
