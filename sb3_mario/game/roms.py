"""Finds the game's ROM file and checks it. Nothing is downloaded."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENVIRONMENT_VARIABLE: Final = "SB3_MARIO_ROM"

HEADER_SIZE: Final = 16
TRAINER_SIZE: Final = 512
PRG_BANK: Final = 16 * 1024
CHR_BANK: Final = 8 * 1024
PRG_BANKS: Final = 2  # Super Mario Bros. is an NROM-256 board: mapper 0, 32 KiB and 8 KiB
CHR_BANKS: Final = 1

# SHA-1 of PRG and CHR, without a header, as cartridge databases list them.
KNOWN_DUMPS: Final = {
    "facee9c577a5262dbe33ac4930bb0b58c8c037f7": "Super Mario Bros. (World)",
    # made for 50 Hz televisions, so faster at 60; gym-super-mario-bros brings this one
    "0c4992fc08d2278697339d3b48066e7b5f943598": "Super Mario Bros. (Europe) (Rev A)",
}

FREE_GAME: Final = "Foxtrot"

_warned_of: set[str] = set()  # hashes of games; one warning is enough

_HOW_TO_GIVE_ONE: Final = (
    "Give one in one of three ways:\n"
    "  - pass its path: rom=PATH in Python, --rom PATH on the command line\n"
    f"  - set the environment variable {ENVIRONMENT_VARIABLE}=PATH\n"
    "  - pip install --no-deps gym-super-mario-bros==7.4.0, a package that contains one"
)


class RomError(ValueError):
    """A file is not the ROM of a game that could be Super Mario Bros."""


class RomNotFoundError(RomError, FileNotFoundError):
    """There is no ROM file."""


@dataclass(frozen=True)
class Rom:
    """A ROM file that was found and checked.

    Attributes:
        path: Where it is.
        source: Who named it: ``"argument"``, ``"SB3_MARIO_ROM"``, ``"gym-super-mario-bros"`` or
            ``"homebrew"``.
        sha1: SHA-1 of PRG and CHR, so that files that differ in their header agree.
        known: Whether it is a dump of Super Mario Bros. that is known to work, or the free game.
        name: The game's name where it is known, else the file's.
        free: Whether it is the free game that comes with this package.
    """

    path: Path
    source: str
    sha1: str
    known: bool
    name: str
    free: bool = False


def find_rom(rom: str | os.PathLike[str] | None = None) -> Rom:
    """Return the first ROM there is.

    Looks at ``rom``, at the environment variable SB3_MARIO_ROM, into an installed
    gym-super-mario-bros (without importing it), and for a free game that comes with this package.
    A file named by the first two is taken or refused, never passed over. A dump that is not known
    is taken with a warning.

    Args:
        rom: Path of a ROM file; None looks in the other places.

    Raises:
        RomNotFoundError: There is none; the message lists the places.
        RomError: The file is no ROM of this kind.
    """
    variable = os.environ.get(ENVIRONMENT_VARIABLE)
    if rom is not None:
        return _check(Path(rom).expanduser(), "argument")
    if variable:
        return _check(Path(variable).expanduser(), ENVIRONMENT_VARIABLE)
    looked = ["the argument rom: not given", f"{ENVIRONMENT_VARIABLE}: not set"]
    package = _gym_super_mario_bros()
    if package is None:
        looked.append("gym-super-mario-bros: not installed")
    elif package.is_file():
        return _check(package, "gym-super-mario-bros")
    else:
        looked.append(f"gym-super-mario-bros: no {package}")
    free = _free_game(looked)
    if free is not None:
        return free
    places = "\n".join(f"  - {place}" for place in looked)
    raise RomNotFoundError(
        f"there is no ROM of Super Mario Bros. Looked at:\n{places}\n{_HOW_TO_GIVE_ONE}"
    )


def check_ines(path: str | os.PathLike[str]) -> str:
    """Check that a file is an iNES image of Super Mario Bros.' kind of cartridge.

    Bytes after the game are ignored, as emulators do: some dumps carry a title or the hint screens
    of an arcade machine there.

    Args:
        path: The file.

    Returns:
        SHA-1 of PRG and CHR, in hexadecimal.

    Raises:
        RomNotFoundError: There is no such file.
        RomError: It is not iNES, of another kind of cartridge, or truncated.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RomNotFoundError(f"there is no file {path}. {_HOW_TO_GIVE_ONE}") from None
    except OSError as error:
        raise RomError(
            f"{path} cannot be read ({error.strerror}): is it a file, and yours?"
        ) from error
    if data[:4] != b"NES\x1a":
        raise RomError(
            f"{path} is not an iNES file: it starts with {data[:4]!r}, not b'NES\\x1a'. "
            "If it is packed (.zip), unpack it"
        )
    if len(data) < HEADER_SIZE:
        raise RomError(f"{path} is truncated: {len(data)} bytes, its header alone has 16")
    prg_banks, chr_banks, flags_6, flags_7 = data[4:8]
    mapper = flags_6 >> 4 | flags_7 & 0xF0
    if mapper != 0:
        raise RomError(
            f"{path} is for mapper {mapper}, Super Mario Bros. for mapper 0: it is another game, "
            "or its header is damaged (bytes 7 to 15 should be 0)"
        )
    if (prg_banks, chr_banks) != (PRG_BANKS, CHR_BANKS):
        raise RomError(
            f"{path} has {prg_banks} x 16 KiB PRG and {chr_banks} x 8 KiB CHR, Super Mario Bros. "
            f"{PRG_BANKS} and {CHR_BANKS}: it is another game"
        )
    start = HEADER_SIZE + (TRAINER_SIZE if flags_6 & 0x04 else 0)
    end = start + PRG_BANKS * PRG_BANK + CHR_BANKS * CHR_BANK
    if len(data) < end:
        raise RomError(
            f"{path} is truncated: {len(data)} bytes, its header says {end}. Copy it again"
        )
    return hashlib.sha1(data[start:end], usedforsecurity=False).hexdigest()


def _check(path: Path, source: str) -> Rom:
    try:
        sha1 = check_ines(path)
    except RomNotFoundError as error:
        raise RomNotFoundError(f"{source}: {error}") from None
    except RomError as error:
        raise RomError(f"{source}: {error}") from error
    if sha1 in KNOWN_DUMPS:
        return Rom(path, source, sha1, known=True, name=KNOWN_DUMPS[sha1])
    free = _free_game([])
    if free is not None and free.sha1 == sha1:
        return dataclasses.replace(free, path=path, source=source)
    if sha1 not in _warned_of:
        _warned_of.add(sha1)
        warnings.warn(
            f"{path} is no known dump of Super Mario Bros. (SHA-1 without header {sha1}): "
            "addresses in memory may differ, and results cannot be compared",
            stacklevel=3,
        )
    return Rom(path, source, sha1, known=False, name=path.stem)


def _free_game(looked: list[str]) -> Rom | None:
    """Return the free game that comes with this package; adds to ``looked`` where it is not."""
    for folder in _homebrew_folders():
        for path in sorted(folder.glob("*.nes")):
            try:
                sha1 = check_ines(path)
            except RomError as error:
                looked.append(f"homebrew: {error}")
            else:
                return Rom(path, "homebrew", sha1, known=True, name=FREE_GAME, free=True)
        looked.append(f"homebrew: nothing usable in {folder}")
    return None


def _gym_super_mario_bros() -> Path | None:
    """Return where an installed gym-super-mario-bros keeps its ROM; None without the package."""
    spec = importlib.util.find_spec("gym_super_mario_bros")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "_roms", "super-mario-bros.nes")


def _homebrew_folders() -> Iterator[Path]:
    """Yield where the free game would be: in the package, and in a checkout of the project."""
    package = Path(__file__).parents[1]
    yield package / "homebrew"
    if (package.parent / "pyproject.toml").is_file():
        yield package.parent / "homebrew"
