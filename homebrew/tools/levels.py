"""Turns level maps drawn in text into the assembler source that the game plays.

A level is a file of settings, then strips of 13 rows, up to 64 columns each, from left to right::

    name: MEADOW WALK
    level: 1-1
    room: 0x25
    theme: meadow
    clock: 400

    ................
    (12 more rows)

Its characters are those of ``art/metatiles.txt`` and of `ENTITIES`. Behind what is air, scenery of
the theme shows: ``scenery/THEME.txt``, 13 rows that repeat every so many columns.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from .art import Metatile, read_metatiles

ROWS = 13
AIR, GROUND, BALL, LAVA = ".", "#", "i", "l"
GROUND_FILL = 0x64  # what `GROUND` becomes below other ground
FLAG = 0x31
COLUMNS_AFTER_POLE = 9  # fewer, and the screen would end before the pole
MAX_COLUMNS = 250  # a column's number is a byte; the last ones are kept for the game

THEMES = ("meadow", "cave", "dusk", "castle", "autumn", "night", "snow", "keep")
SETTINGS = {
    "name": r"[A-Z0-9 .!-]{1,20}",
    "level": r"[12]-[1-4]",
    "room": r"0x[0-9A-F]{2}",
    "theme": "|".join(THEMES),
    "clock": r"[1-9]00",
}

# Character -> type, as the game's memory has it; what is added to x and y of its place; what the
# landscape has there.
ENTITIES = {
    "b": (0x06, 0, 0, AIR),  # beetle
    "c": (0x03, 0, 0, AIR),  # careful beetle: turns at edges
    "h": (0x12, 0, 0, AIR),  # hedgehog
    "j": (0x0E, 0, 0, AIR),  # frog
    "v": (0x0F, 0, 12, AIR),  # wasp: from here upwards
    "p": (0x0D, 8, 16, AIR),  # plant, in the pipe whose left lip is below
    "e": (0x0C, 0, 0, LAVA),  # ember
}
BODY_TOP = 24  # an entity's y is 24 above its feet, row 0 begins at 32 and is 16 high

ROOMS_PER_TYPE = 32


class LevelError(ValueError):
    """A level's file is wrong."""


@dataclass(frozen=True)
class Map:
    """A level as it was drawn.

    Attributes:
        settings: The lines before the map.
        rows: 13 rows of equal length.
    """

    settings: dict[str, str]
    rows: tuple[str, ...]

    @property
    def columns(self) -> int:
        """Length in metatiles."""
        return len(self.rows[0])

    @property
    def pole(self) -> int:
        """Column of the pole."""
        return next(row.index(BALL) for row in self.rows if BALL in row)


def read_map(path: Path) -> Map:
    """Read a level.

    Raises:
        LevelError: A setting is missing or unknown, a strip has not 13 equal rows, or there is not
            one pole with enough ground behind it.
    """
    settings, strips = _parse(path)
    for name, form in SETTINGS.items():
        if not re.fullmatch(form, settings.get(name, "")):
            raise LevelError(f"{path.name}: {name!r} must match {form}, got {settings.get(name)!r}")
    if settings.keys() != SETTINGS.keys():
        raise LevelError(f"{path.name}: unknown settings {settings.keys() - SETTINGS.keys()}")
    for strip in strips:
        if len(strip) != ROWS:
            raise LevelError(f"{path.name}: a strip has {len(strip)} rows, needs {ROWS}")
    level = Map(settings, tuple("".join(strip[row] for strip in strips) for row in range(ROWS)))
    poles = sum(row.count(BALL) for row in level.rows)
    if poles != 1:
        raise LevelError(f"{path.name}: {poles} balls {BALL!r} of a pole, needs one")
    if not level.pole + COLUMNS_AFTER_POLE <= level.columns <= MAX_COLUMNS:
        raise LevelError(
            f"{path.name}: {level.columns} columns, needs {level.pole + COLUMNS_AFTER_POLE} "
            f"({COLUMNS_AFTER_POLE} from the pole on) to {MAX_COLUMNS}"
        )
    return level


def _parse(path: Path) -> tuple[dict[str, str], list[list[str]]]:
    """Return the settings, and the rows of each strip."""
    settings: dict[str, str] = {}
    strips: list[list[str]] = [[]]
    for count, line in enumerate(path.read_text().splitlines(), 1):
        setting = re.fullmatch(r"(\w+): (.+)", line)
        if setting:
            settings[setting[1]] = setting[2]
        elif not line:
            strips.append([])
        elif not line.startswith(";"):
            strips[-1].append(line)
            if len(line) != len(strips[-1][0]):
                raise LevelError(
                    f"{path.name}:{count}: a row of {len(line)} characters in a strip of "
                    f"{len(strips[-1][0])}"
                )
    return settings, [strip for strip in strips if strip]


def entities(level: Map, where: str) -> list[tuple[int, int, int, int]]:
    """Return what moves: column, x in it, y, type; in the order of their columns."""
    found = [(level.pole, 0, 2 * 16 + BODY_TOP, FLAG)]
    for row, line in enumerate(level.rows):
        for column, char in enumerate(line):
            if char in ENTITIES:
                kind, dx, dy, _ = ENTITIES[char]
                found.append((column, dx, row * 16 + BODY_TOP + dy, kind))
    crowd = [column for column, *_ in found]
    if len(set(crowd)) != len(crowd):
        raise LevelError(f"{where}: two creatures share a column")
    return sorted(found)


def scenery(path: Path) -> list[str]:
    """Return the 13 rows behind a theme's levels."""
    rows = [line for line in path.read_text().splitlines() if line and not line.startswith(";")]
    if len(rows) != ROWS or len({len(row) for row in rows}) != 1:
        raise LevelError(f"{path.name}: needs {ROWS} rows of equal length")
    return rows


def columns(level: Map, behind: list[str], metatiles: list[Metatile], where: str) -> list[bytes]:
    """Return the level's columns, 13 metatiles each from top to bottom."""
    numbers = {metatile.char: metatile.number for metatile in metatiles}
    result = []
    for at in range(level.columns):
        column = bytearray()
        above = AIR
        for row in range(ROWS):
            char = level.rows[row][at]
            shown = ENTITIES[char][-1] if char in ENTITIES else char
            if shown == AIR:
                shown = behind[row][at % len(behind[0])]
            if shown not in numbers:
                raise LevelError(f"{where}: column {at}, row {row}: nothing is drawn {shown!r}")
            heap = shown == above == GROUND
            column.append(GROUND_FILL if heap else numbers[shown])
            above = shown
        result.append(bytes(column))
    return result


def convert(folder: Path) -> str:
    """Return the assembler source of all levels.

    Args:
        folder: Holds ``levels/``, ``scenery/`` and ``art/``.

    Raises:
        LevelError: A level is wrong, or one of the eight is missing.
    """
    metatiles = read_metatiles(folder / "art" / "metatiles.txt")
    wanted = [f"{world}-{stage}" for world in (1, 2) for stage in (1, 2, 3, 4)]
    maps = {}
    for path in sorted((folder / "levels").glob("*.txt")):
        level = read_map(path)
        if path.stem != level.settings["level"]:
            raise LevelError(f"{path.name} says that it is level {level.settings['level']}")
        maps[path.stem] = level
    if list(maps) != wanted:
        raise LevelError(f"levels/ holds {', '.join(maps)}; needs {', '.join(wanted)}")

    names: dict[bytes, str] = {}  # of each different column
    lines = ["; Made by tools/levels.py from levels/*.txt and scenery/*.txt.", ""]
    for table, part in (("low", "<"), ("high", ">")):
        heads = ", ".join(f"{part}level_{name.replace('-', '_')}" for name in maps)
        lines.append(f"levels_{table}: .byte {heads}")
    for name, level in maps.items():
        label = f"level_{name.replace('-', '_')}"
        settings = level.settings
        area_type, area = divmod(int(settings["room"], 16), ROOMS_PER_TYPE)
        length = len(settings["name"])
        lines += [
            f"\n{label}:  ; {level.columns} columns",
            f"  .byte {area_type}, {area}, {THEMES.index(settings['theme'])}, "
            f"{int(settings['clock']) // 100}, {level.pole}, {level.columns}",
            f"  .addr {label}_columns, {label}_entities, {label}_name",
            f'{label}_name: .byte {length}, "{settings["name"]}"',
            f"{label}_entities:",
        ]
        for at, x, y, kind in entities(level, name):
            lines.append(f"  .byte {at}, ${x:02X}, ${y:02X}, ${kind:02X}")
        lines += ["  .byte $FF", f"{label}_columns:"]
        behind = scenery(folder / "scenery" / f"{settings['theme']}.txt")
        labels = [
            names.setdefault(column, f"column_{len(names)}")
            for column in columns(level, behind, metatiles, name)
        ]
        for start in range(0, len(labels), 8):
            lines.append(f"  .addr {', '.join(labels[start : start + 8])}")
    lines.append("")
    for column, name in names.items():
        lines.append(f"{name}: .byte {', '.join(f'${number:02X}' for number in column)}")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write ``levels.inc`` into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the game's sources")
    parser.add_argument("build", type=Path, help="folder to write into")
    arguments = parser.parse_args()
    try:
        source = convert(arguments.folder)
    except ValueError as error:  # of this module, or of art
        parser.exit(1, f"{error}\n")
    (arguments.build / "levels.inc").write_text(source)


if __name__ == "__main__":
    main()
