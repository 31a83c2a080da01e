"""Play by hand: ``python -m sb3_mario.play --env 1-1``.

Shows FCEUX's window at the game's own speed, lets its keyboard drive the game, and prints what the
memory says twice a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

import gymnasium as gym

from sb3_mario.emulator.errors import BridgeClosedError, EmulatorError, StartError
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.game.levels import Level, death_cause
from sb3_mario.game.memory import GameState
from sb3_mario.game.roms import RomError, find_rom
from sb3_mario.training.config import ConfigError, resolve_env_id

FRAMES: Final = 30  # between two lines, half a second
TIMEOUT: Final = 120.0  # seconds; a scene that nobody plays runs within one answer
KEYS: Final = "arrow keys run, F jumps (A), D runs faster (B), Enter is start, S is select"


def describe(game: GameState) -> str:
    """Return a line on where the hero is, how he is, and what he has."""
    return (
        f"{game.world}-{game.stage}  x {game.x_pos:4}  y {game.y_pos:3}  speed {game.x_speed:3}  "
        f"{game.status:8}  lives {(game.lives + 1) % 256}  coins {game.coins:2}  "
        f"score {game.score:6}  time {game.time:3}"
    )


def events(before: GameState, after: GameState) -> list[str]:
    """Return what happened from one state to the next, in words."""
    happened = []
    if after.is_game_over:
        happened.append("game over")
    elif after.flag_get:
        happened.append("level cleared")
    elif after.is_dying or after.is_dead:
        happened.append(f"died: {death_cause(after)}")
    elif (before.world, before.stage) != (after.world, after.stage):
        happened.append(f"level {after.world}-{after.stage}")
    if after.power > before.power:
        happened.append("grew")
    elif after.power < before.power:
        happened.append("shrank")
    if after.coins != before.coins:
        happened.append(f"{(after.coins - before.coins) % 100} coins")
    if after.lives > before.lives and not after.is_game_over:
        happened.append("a new life")
    return happened


def play(fceux: Fceux, level: Level) -> None:
    """Play from a level on, until the window is closed.

    Args:
        fceux: An emulator with a window, started with ``keyboard=True``.
        level: Where to start, and to start again after the last life.

    Raises:
        BridgeClosedError: The window was closed.
    """
    bridge = fceux.bridge
    game: GameState | None = None
    while True:
        if game is None or game.is_game_over or game.is_won:
            state = bridge.reset(level.world, level.stage, whole_game=True, frame=False)
            game = GameState.from_ram(state.ram)
        state = bridge.step(0, FRAMES, frame=False)
        before, game = game, GameState.from_ram(state.ram)
        print("  ".join([describe(game), *events(before, game)]), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sb3_mario.play", description="Play by hand.")
    parser.add_argument("--env", default="1-1", help="level or environment id (default: 1-1)")
    parser.add_argument("--rom", help="the game; default: the first that is found")
    options = parser.parse_args(arguments)
    try:
        level = gym.spec(resolve_env_id(options.env)).kwargs["level"] or "1-1"
        rom = find_rom(options.rom)
        print(f"{rom.name} ({rom.source}: {rom.path})\n{KEYS}", flush=True)
        fceux = Fceux(rom.path, window=True, speed="normal", keyboard=True, timeout=TIMEOUT)
    except (ConfigError, RomError, StartError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    try:
        play(fceux, Level.parse(level))
    except BridgeClosedError:
        print("the window was closed")
    except KeyboardInterrupt:
        print()
    except EmulatorError as error:
        parser.exit(1, f"{parser.prog}: {error}\n{fceux.output()}\n")
    finally:
        fceux.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
