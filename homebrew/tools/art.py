"""Turns pictures drawn in text into the game's CHR data and the tables that name its tiles.

A picture is a heading and one line for each row of pixels::

    : beetle 16x16
    ................
    ..1111..

Pixels are ``.`` (see-through) and the palette's colours ``1`` dark, ``2`` middle, ``3`` light. A
heading ``: glyphs ABC`` starts a row of 8x8 letters, in which ``#`` is colour 3. Lines that start
with ``;`` are comments.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

TILE = 8
TILES = 256  # in each of the two pattern tables
FIRST_LETTER = 0x20  # a letter's tile is its ASCII code less this
LETTERS = 64  # tiles kept for letters
PIXELS = {".": 0, "1": 1, "2": 2, "3": 3, "#": 3}


class ArtError(ValueError):
    """A picture or a table of the sources is wrong."""


@dataclass(frozen=True)
class Picture:
    """A named picture, as rows of colour numbers."""

    name: str
    rows: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Pixels across."""
        return len(self.rows[0])

    @property
    def height(self) -> int:
        """Pixels down."""
        return len(self.rows)

    def tile(self, column: int, row: int) -> bytes:
        """Return the 16 bytes of one 8x8 tile: eight rows of bit 0, then eight of bit 1."""
        planes = [bytearray(), bytearray()]
        for y in range(row * TILE, row * TILE + TILE):
            line = self.rows[y][column * TILE : column * TILE + TILE]
            for bit, plane in enumerate(planes):
                plane.append(sum((pixel >> bit & 1) << (7 - i) for i, pixel in enumerate(line)))
        return bytes(planes[0] + planes[1])

    def tiles(self) -> list[bytes]:
        """Return all tiles, row by row."""
        return [
            self.tile(column, row)
            for row in range(self.height // TILE)
            for column in range(self.width // TILE)
        ]


def read_pictures(path: Path) -> dict[str, Picture]:
    """Return the pictures of a file by name, letters as pictures named by the letter alone.

    Raises:
        ArtError: A picture is malformed; the message names file, line and cause.
    """
    pictures: dict[str, Picture] = {}
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for count, line in lines:
        if not line or line.startswith(";"):
            continue
        where = f"{path.name}:{count}"
        names, width, height = _heading(line, where)
        rows = [_pixels(next(lines, (0, ""))[1], width, where) for _ in range(height)]
        each = width // len(names)
        for i, name in enumerate(names):
            if name in pictures:
                raise ArtError(f"{where}: there is a second picture {name!r}")
            part = tuple(row[i * each : i * each + each] for row in rows)
            pictures[name] = Picture(name, part)
    return pictures


def _heading(line: str, where: str) -> tuple[list[str], int, int]:
    """Return the names of the pictures side by side, and the size of all together."""
    match line.split():
        case [":", "glyphs", letters]:
            return list(letters), len(letters) * TILE, TILE
        case [":", name, size]:
            pass
        case _:
            raise ArtError(f"{where}: expected a heading ': NAME WIDTHxHEIGHT', got {line!r}")
    try:
        width, height = (int(number) for number in size.split("x"))
    except ValueError:
        raise ArtError(f"{where}: expected a size such as 16x16, got {size!r}") from None
    if width % TILE or height % TILE or not width or not height:
        raise ArtError(f"{where}: a picture's sides must be multiples of {TILE}, got {size}")
    return [name], width, height


def _pixels(line: str, width: int, where: str) -> tuple[int, ...]:
    if len(line) != width or set(line) - PIXELS.keys():
        raise ArtError(f"{where}: expected {width} of {''.join(PIXELS)!r} a row, got {line!r}")
    return tuple(PIXELS[pixel] for pixel in line)


@dataclass(frozen=True)
class Metatile:
    """A 16x16 piece of the landscape.

    Attributes:
        char: How level maps draw it; a space where they cannot.
        number: Its byte in the game's tile buffers; the upper two bits are its palette.
        picture: Name of its picture.
        cell: Column and row of the piece within a larger picture.
    """

    char: str
    number: int
    picture: str
    cell: tuple[int, int] = (0, 0)


def read_metatiles(path: Path) -> list[Metatile]:
    """Return the table ``CHAR NUMBER PICTURE[@COLUMN,ROW]``; CHAR is ``--`` where maps have none.

    Raises:
        ArtError: A line is malformed, or two share a character or a number.
    """
    metatiles: list[Metatile] = []
    for count, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split(";")[0].split() if not line.startswith("; ") else []
        if not words:
            continue
        try:
            char, number, picture = words
            name, _, cell = picture.partition("@")
            column, row = (int(word) for word in (cell or "0,0").split(","))
            char = " " if char == "--" else char
            metatile = Metatile(char, int(number, 16), name, (column, row))
        except ValueError:
            raise ArtError(
                f"{path.name}:{count}: expected CHAR NUMBER PICTURE[@COLUMN,ROW], got {line!r}"
            ) from None
        if len(metatile.char) != 1 or not 0 <= metatile.number <= 255:
            raise ArtError(f"{path.name}:{count}: CHAR is one character, NUMBER one byte: {line!r}")
        for other in metatiles:
            if metatile.number == other.number or metatile.char == other.char != " ":
                raise ArtError(f"{path.name}:{count}: {line!r} repeats an earlier line")
        metatiles.append(metatile)
    return metatiles


@dataclass
class Table:
    """A pattern table that fills up with tiles; tile 0 is empty."""

    name: str
    tiles: list[bytes] = field(default_factory=lambda: [bytes(16)])

    def add(self, tile: bytes) -> int:
        """Return the number of a tile, which is added unless it is there already."""
        if tile not in self.tiles:
            self.extend([tile])
        return self.tiles.index(tile)

    def extend(self, tiles: list[bytes]) -> int:
        """Add tiles that must follow each other; return the number of the first."""
        first = len(self.tiles)
        if first + len(tiles) > TILES:
            raise ArtError(f"the {self.name} need more than {TILES} tiles")
        self.tiles.extend(tiles)
        return first

    def chr(self) -> bytes:
        """Return the 4 KiB of the table."""
        return b"".join(self.tiles).ljust(TILES * 16, b"\0")


def convert(art: Path) -> tuple[bytes, str, str]:
    """Return the 8 KiB of CHR, the source that names its tiles, and that of the metatiles' tiles.

    Args:
        art: Folder with ``font.txt``, ``landscape.txt``, ``sprites.txt`` and ``metatiles.txt``.

    Raises:
        ArtError: A picture is malformed or missing, or there are too many tiles.
    """
    landscape, sprites = Table("letters and landscape"), Table("sprites")
    landscape.extend(_font(art / "font.txt"))
    pictures = read_pictures(art / "landscape.txt")
    metatiles = read_metatiles(art / "metatiles.txt")
    tables = _metatile_tables(metatiles, pictures, landscape)
    names = ["; Made by tools/art.py from art/*.txt.", ""]
    for name, picture in pictures.items():
        if (picture.width, picture.height) == (TILE, TILE):
            names.append(f"BG_{name.upper()} = ${landscape.add(picture.tile(0, 0)):02X}")
    for name, picture in read_pictures(art / "sprites.txt").items():
        names.append(f"SPR_{name.upper()} = ${sprites.extend(picture.tiles()):02X}")
    return landscape.chr() + sprites.chr(), "\n".join([*names, ""]), tables


def _font(path: Path) -> list[bytes]:
    """Return the tiles of the letters, in ASCII's order; tile 0, the space, is there already."""
    font = [bytes(16)] * LETTERS
    for name, letter in read_pictures(path).items():
        code = ord(name) - FIRST_LETTER
        if not 0 < code < LETTERS:
            raise ArtError(f"{path.name}: the letter {name!r} is outside ASCII's 0x21 to 0x5F")
        font[code] = letter.tile(0, 0)
    return font[1:]


def _metatile_tables(
    metatiles: list[Metatile], pictures: dict[str, Picture], landscape: Table
) -> str:
    """Return the four tables that give a metatile's tiles, which are added to ``landscape``."""
    quarters = {"upper_left": (0, 0), "lower_left": (0, 1)}
    quarters |= {"upper_right": (1, 0), "lower_right": (1, 1)}
    numbers = {name: [0] * 256 for name in quarters}
    for metatile in metatiles:
        picture = pictures.get(metatile.picture)
        column, row = (2 * place for place in metatile.cell)
        if picture is None:
            raise ArtError(f"metatiles.txt: there is no picture {metatile.picture!r}")
        if (column + 2) * TILE > picture.width or (row + 2) * TILE > picture.height:
            raise ArtError(f"metatiles.txt: {metatile.cell} is outside of {metatile.picture!r}")
        for name, (dx, dy) in quarters.items():
            tile = landscape.add(picture.tile(column + dx, row + dy))
            numbers[name][metatile.number] = tile
    lines = ["; Made by tools/art.py from art/metatiles.txt."]
    for name, tiles in numbers.items():
        lines.append(f"metatile_{name}:")
        for start in range(0, 256, 16):
            row_of = ", ".join(f"${tile:02X}" for tile in tiles[start : start + 16])
            lines.append(f"  .byte {row_of}")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write ``tiles.chr``, ``tiles.inc`` and ``metatiles.inc`` into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("art", type=Path, help="folder of the pictures")
    parser.add_argument("build", type=Path, help="folder to write into")
    arguments = parser.parse_args()
    try:
        chr_data, names, tables = convert(arguments.art)
    except ArtError as error:
        parser.exit(1, f"{error}\n")
    (arguments.build / "tiles.chr").write_bytes(chr_data)
    (arguments.build / "tiles.inc").write_text(names)
    (arguments.build / "metatiles.inc").write_text(tables)


if __name__ == "__main__":
    main()
