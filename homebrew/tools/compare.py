"""Plays the same buttons on the free game and on Super Mario Bros., and prints both games' states.

``python -m homebrew.tools.compare``, in the project's folder, prints Markdown tables. Each scene
starts at the first playable frame of 1-1. The last one needs other buttons in each game, since the
levels differ: a stored run each that clears it. At the end all of `GameState` is shown, at the
start, at the death and at the flag.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from homebrew.tools.solve import ROM, frames, stored_run
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.game.levels import Level, death_cause
from sb3_mario.game.memory import GameState
from sb3_mario.game.roms import RomError, find_rom

REAL_RUN = "smb-1-1"
COLUMNS = ("x", "y", "x speed", "y speed", "is in", "state", "time")
FIELDS = tuple(name for name, value in vars(GameState).items() if isinstance(value, property))
HEXADECIMAL = ("player_state", "room")  # as the README's tables have them


@dataclass(frozen=True)
class Scene:
    """Buttons to hold in both games.

    Attributes:
        title: What is seen.
        run: The buttons, as in a stored run.
        shown: Frames to print; the last one of each game is always printed.
    """

    title: str
    run: str
    shown: Sequence[int] = ()


UNTIL_IT_ENDS = Scene("Holding right until it ends", "R:2400", (60, 120))
SCENES = (
    Scene("Walking, and letting go", "R:60 -:30", (1, 10, 20, 30, 40, 60, 70, 80, 90)),
    Scene("Running, and letting go", "RB:60 -:30", (1, 10, 20, 30, 40, 50, 60, 70, 80, 90)),
    Scene("A jump from standing, A held", "A:60", (1, 10, 20, 30, 40, 50, 60)),
    Scene("A jump from standing, A tapped", "A:4 -:46", (1, 5, 10, 15, 20, 30, 40, 50)),
    Scene("A jump from running, A held", "RB:42 RAB:70", (42, 43, 52, 62, 72, 82, 92, 102, 112)),
    UNTIL_IT_ENDS,
)


def play(bridge: Bridge, run: str) -> list[GameState]:
    """Return the states after 0, 1, 2... frames of a run through 1-1, until its end."""
    states = [bridge.reset(1, 1, frame=False)]
    for buttons, count in frames(run):
        for _ in range(count):
            if not states[-1].ended:
                states.append(bridge.step(buttons, 1, frame=False))
    return [GameState.from_ram(state.ram) for state in states]


def cells(game: GameState | None) -> str:
    """Return the cells of one game in a row of a table."""
    if game is None:
        return "| " * len(COLUMNS)
    air = ("ground", "jump", "fall", "pole")[game.float_state & 3]
    return (
        f"| {game.x_pos} | {game.y_pos} | {game.x_speed} | {game.y_speed} | {air} "
        f"| {game.player_state:#04x} | {game.time} "
    )


def end(states: Sequence[GameState]) -> str:
    """Return how an episode ended, and after how many frames."""
    game, count = states[-1], len(states) - 1
    if game.flag_get:
        return f"flag after {count} frames, score {game.score}, coins {game.coins}"
    if game.is_dying:
        return f"dead ({death_cause(game)}) after {count} frames, lives {game.lives}"
    return "plays on"


def table(
    title: str, rows: Sequence[tuple[int | str, int]], games: dict[str, list[GameState]]
) -> str:
    """Return a scene as a table, the games side by side.

    Args:
        title: Above it.
        rows: What is written in front of each row, and which state it shows.
        games: The states of each game.
    """
    heads = [f"{name} {COLUMNS[0]} | {' | '.join(COLUMNS[1:])}" for name in games]
    lines = [f"**{title}**", "", f"| frame | {' | '.join(heads)} |"]
    lines.append("| ---: " * (1 + len(games) * len(COLUMNS)) + "|")
    for label, at in rows:
        shown = [states[at] if at < len(states) else None for states in games.values()]
        lines.append(f"| {label} {''.join(cells(game) for game in shown)}|")
    ends = [f"{name}: {end(states)}" for name, states in games.items()]
    return "\n".join([*lines, "", "; ".join(ends) + ".", ""])


def field(game: GameState, name: str) -> str:
    """Return one of a state's `FIELDS` as a cell of a table."""
    if name == "tiles":
        return f"{np.count_nonzero(game.tiles)} of {game.tiles.size} not 0"
    if name == "enemies":
        places = (f"{enemy.type:#04x} at {enemy.x}, {enemy.y}" for enemy in game.enemies)
        return "; ".join(places) or "none"
    value = getattr(game, name)
    return f"{value:#04x}" if name in HEXADECIMAL else str(value)


def all_fields(moments: dict[str, dict[str, GameState]]) -> str:
    """Return a table of all that is read from memory, the games side by side.

    Args:
        moments: Name of a moment -> name of a game -> its state then.
    """
    heads = [f"{moment}: {name}" for moment, games in moments.items() for name in games]
    states = [game for games in moments.values() for game in games.values()]
    lines = [
        "**All that `GameState` reads, at three moments**",
        "",
        f"| | {' | '.join(heads)} |",
        "| --- " + "| ---: " * len(heads) + "|",
    ]
    lines += [
        f"| `{name}` | {' | '.join(field(game, name) for game in states)} |" for name in FIELDS
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rom", help="Super Mario Bros.; default: the first that is found")
    arguments = parser.parse_args()
    try:
        real = find_rom(arguments.rom)
    except RomError as error:
        parser.exit(2, f"{error}\n")
    if not real.known:
        parser.exit(2, f"{real.path} is no known dump of Super Mario Bros.: name one with --rom\n")
    roms: dict[str, Path] = {"Foxtrot": ROM, "SMB": real.path}
    emulators: dict[str, Fceux] = {}
    try:
        for name, path in roms.items():
            emulators[name] = Fceux(path)
        print(f"SMB is {real.name}.\n")
        moments: dict[str, dict[str, GameState]] = {}
        for scene in SCENES:
            games = {name: play(fceux.bridge, scene.run) for name, fceux in emulators.items()}
            ends = {len(states) - 1 for states in games.values()}
            shown = sorted(ends | {frame for frame in scene.shown if frame < max(ends)})
            print(table(scene.title, [(frame, frame) for frame in shown], games))
            if scene is UNTIL_IT_ENDS:
                moments["start"] = {name: states[0] for name, states in games.items()}
                moments["death"] = {name: states[-1] for name, states in games.items()}
        runs = {"Foxtrot": stored_run(str(Level(1, 1))), "SMB": stored_run(REAL_RUN)}
        games = {name: play(fceux.bridge, runs[name]) for name, fceux in emulators.items()}
        rows = [("last but one", -2), ("last", -1)]
        print(table("Clearing 1-1, each with a run of its own", rows, games))
        moments["flag"] = {name: states[-1] for name, states in games.items()}
        print(all_fields(moments))
    finally:
        for fceux in emulators.values():
            fceux.close()


if __name__ == "__main__":
    main()
