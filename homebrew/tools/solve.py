"""Finds the buttons that clear a level, by a beam search through savestates on FCEUX.

A run is text: words ``BUTTONS:FRAMES``, the buttons as letters of ``A B L R``, or ``-`` for none.
``python -m homebrew.tools.solve 1-1``, in the project's folder, finds a run and writes it to
``homebrew/runs/1-1.txt``. Do so when the game was changed and a stored run no longer clears.
"""

from __future__ import annotations

import argparse
import itertools
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.game.actions import BUTTONS
from sb3_mario.game.levels import Level
from sb3_mario.game.memory import GameState

HOMEBREW = Path(__file__).resolve().parents[1]
ROM = HOMEBREW / "foxtrot.nes"
RUNS = HOMEBREW / "runs"
LETTERS = {"A": "A", "B": "B", "L": "left", "R": "right"}

HOLD = 6  # frames between decisions
BEAM = 24  # states kept; with their successors they fill the bridge's 64 slots
CHOICES = ("RB", "RAB", "R", "RA", "-", "L")
SAME_PLACE = 2  # of the beam's states in one square of 16 pixels


def mask(buttons: str) -> int:
    """Return the controller byte of a run's letters."""
    return sum(BUTTONS[LETTERS[letter]] for letter in buttons.replace("-", ""))


def stored_run(name: str) -> str:
    """Return the run in ``runs/NAME.txt``."""
    lines = (RUNS / f"{name}.txt").read_text().splitlines()
    return " ".join(line for line in lines if not line.startswith(";"))


def frames(run: str) -> Iterator[tuple[int, int]]:
    """Yield controller byte and number of frames of each word of a run."""
    for word in run.split():
        buttons, _, count = word.partition(":")
        yield mask(buttons), int(count)


def shorten(choices: list[str]) -> str:
    """Return decisions of `HOLD` frames each as a run."""
    return " ".join(
        f"{buttons}:{HOLD * len(list(same))}" for buttons, same in itertools.groupby(choices)
    )


@dataclass
class Node:
    """A state of the search and how it was reached."""

    slot: int
    game: GameState
    choices: list[str]

    @property
    def worth(self) -> tuple[int, int]:
        """Further is better, and higher where equally far."""
        return (self.game.x_pos, self.game.y_pos)

    @property
    def key(self) -> tuple[int, ...]:
        """States with equal keys are as good as the same."""
        game = self.game
        return (
            game.x_pos // 4,
            game.y_pos // 8,
            game.x_speed // 8,
            game.y_speed,
            game.float_state,
            game.power,
        )


def solve(bridge: Bridge, level: Level, limit: int = 700) -> str:
    """Return a run that clears a level.

    Args:
        bridge: Connection to an emulator with the game.
        level: Which.
        limit: Decisions until it gives up.

    Raises:
        RuntimeError: None was found.
    """
    start = bridge.reset(level.world, level.stage, frame=False)
    bridge.save(0)
    beam = [Node(0, GameState.from_ram(start.ram), [])]
    best = 0
    for _ in range(limit):
        children = _successors(bridge, beam)
        if isinstance(children, str):
            return children
        beam = _best(children)
        if not beam:
            break
        best = max(best, beam[0].game.x_pos)
    raise RuntimeError(f"no run through {level} was found, the best gets to x={best}")


def _successors(bridge: Bridge, beam: list[Node]) -> list[Node] | str:
    """Return the states after each choice in each of the beam's states, or the run if one clears.

    Where there are more than slots, the worst are left out.
    """
    free = iter(set(range(64)) - {node.slot for node in beam})
    found: dict[tuple[int, ...], Node] = {}
    for node, choice in itertools.product(beam, CHOICES):
        bridge.load(node.slot, frame=False)
        state = bridge.step(mask(choice), HOLD, frame=False)
        child = Node(-1, GameState.from_ram(state.ram), [*node.choices, choice])
        if child.game.flag_get:
            return shorten(child.choices)
        if state.ended or child.key in found:
            continue
        child.slot = next(free, -1)
        if child.slot < 0:
            worst = min(found.values(), key=lambda other: other.worth)
            if worst.worth >= child.worth:
                continue
            child.slot = found.pop(worst.key).slot
        bridge.save(child.slot)
        found[child.key] = child
    return list(found.values())


def _best(nodes: list[Node]) -> list[Node]:
    """Return the states to go on with: the furthest, few of them in the same place."""
    beam: list[Node] = []
    crowd: Counter[tuple[int, int]] = Counter()
    for node in sorted(nodes, key=lambda node: node.worth, reverse=True):
        square = (node.game.x_pos // 16, node.game.y_pos // 16)
        if crowd[square] < SAME_PLACE and len(beam) < BEAM:
            crowd[square] += 1
            beam.append(node)
    return beam


def main() -> None:
    """Find and store the runs through some levels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("level", type=Level.parse, nargs="+")
    parser.add_argument("--rom", type=Path, default=ROM, help="another game at the same addresses")
    parser.add_argument("--prefix", default="", help="goes before the names of the files")
    arguments = parser.parse_args()
    fceux = Fceux(arguments.rom)
    try:
        for level in arguments.level:
            run = solve(fceux.bridge, level)
            path = RUNS / f"{arguments.prefix}{level}.txt"
            head = f"; Clears {level} of {arguments.rom.name}; found by tools/solve.py."
            path.write_text("\n".join([head, *textwrap.wrap(run, 98), ""]))
            print(f"{level}: {sum(count for _, count in frames(run))} frames, {path}", flush=True)
    finally:
        fceux.close()


if __name__ == "__main__":
    main()
