"""Where a ROM is looked for, in what order, and what is refused."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import warnings
from pathlib import Path

import pytest

from sb3_mario.game import roms
from sb3_mario.game.roms import RomError, RomNotFoundError, check_ines, find_rom

GAME = bytes(range(256)) * 160  # 32 KiB PRG and 8 KiB CHR
GAME_SHA1 = hashlib.sha1(GAME).hexdigest()


def ines(
    game: bytes = GAME, *, prg: int = 2, chr_: int = 1, flags: tuple[int, int] = (1, 0)
) -> bytes:
    return b"NES\x1a" + bytes([prg, chr_, *flags]) + bytes(8) + game


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture(autouse=True)
def known_game(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the made-up game for a known dump."""
    monkeypatch.setitem(roms.KNOWN_DUMPS, GAME_SHA1, "Made-up Game (Test)")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Take every ROM away; return the folder of the package's homebrew."""
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: None)
    homebrew = tmp_path / "package" / "homebrew"
    monkeypatch.setattr(roms, "_homebrew_folders", lambda: iter([homebrew]))
    return homebrew


# What is a ROM


@pytest.mark.parametrize(
    "data",
    [
        ines(),
        ines(flags=(0, 0)),
        ines(bytes(512) + GAME, flags=(4 | 1, 0)),
        ines(GAME + b"Super Mario Bros."),
    ],
    ids=["plain", "other header", "trainer", "bytes after the game"],
)
def test_the_hash_is_of_the_game_alone(tmp_path: Path, data: bytes) -> None:
    assert check_ines(write(tmp_path / "game.nes", data)) == GAME_SHA1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an iNES file"),
        (b"PK\x03\x04" + bytes(40972), "If it is packed"),
        (ines()[:12], "truncated: 12 bytes"),
        (ines()[:-1], "truncated: 40975 bytes, its header says 40976"),
        (ines(flags=(5, 0)), "truncated: 40976 bytes, its header says 41488"),
        (ines(flags=(0x11, 0)), "for mapper 1,"),
        (ines(flags=(1, 0x40)), "for mapper 64,"),
        (ines(prg=1), "1 x 16 KiB PRG and 1 x 8 KiB CHR"),
        (ines(chr_=2), "2 x 16 KiB PRG and 2 x 8 KiB CHR"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, data: bytes, message: str) -> None:
    path = write(tmp_path / "game.nes", data)
    with pytest.raises(RomError, match=message) as error:
        check_ines(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_both_kinds_of_error(tmp_path: Path) -> None:
    with pytest.raises(RomNotFoundError, match=r"none\.nes") as error:
        check_ines(tmp_path / "none.nes")
    assert isinstance(error.value, FileNotFoundError)
    assert isinstance(error.value, RomError)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RomError, match="cannot be read"):
        check_ines(tmp_path)


# Where it comes from


def test_the_argument_comes_first(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "argument.nes", ines())
    monkeypatch.setenv("SB3_MARIO_ROM", str(write(tmp_path / "variable.nes", ines())))
    rom = find_rom(path)
    assert (rom.path, rom.source, rom.known) == (path, "argument", True)
    assert (rom.sha1, rom.name) == (GAME_SHA1, "Made-up Game (Test)")


def test_then_the_environment_variable(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "variable.nes", ines())
    monkeypatch.setenv("SB3_MARIO_ROM", str(path))
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: tmp_path / "package.nes")
    rom = find_rom()
    assert (rom.path, rom.source) == (path, "SB3_MARIO_ROM")


def test_then_gym_super_mario_bros_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gym_super_mario_bros"
    write(package / "__init__.py", b"raise ImportError('imported')")
    path = write(package / "_roms" / "super-mario-bros.nes", ines())
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    monkeypatch.delitem(sys.modules, "gym_super_mario_bros", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    rom = find_rom()
    assert (rom.path, rom.source) == (path, "gym-super-mario-bros")


def test_then_the_first_usable_homebrew_without_a_warning(nowhere: Path) -> None:
    write(nowhere / "a.nes", b"not a ROM")
    write(nowhere / "c.nes", ines())
    path = write(nowhere / "b.nes", ines(bytes(40960)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rom = find_rom()
    assert (rom.path, rom.source, rom.known, rom.name) == (path, "homebrew", True, "Foxtrot")
    assert rom.free


def test_the_free_game_is_known_wherever_it_is(nowhere: Path, tmp_path: Path) -> None:
    write(nowhere / "game.nes", ines(bytes(40960)))
    copy = write(tmp_path / "copy.nes", ines(bytes(40960)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rom = find_rom(copy)
    assert (rom.path, rom.source, rom.known, rom.free) == (copy, "argument", True, True)


def test_homebrew_is_looked_for_in_the_package_and_the_checkout() -> None:
    package = Path(roms.__file__).parents[1]
    assert next(roms._homebrew_folders()) == package / "homebrew"


def test_an_empty_environment_variable_is_none(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SB3_MARIO_ROM", "")
    write(nowhere / "a.nes", ines())
    assert find_rom().source == "homebrew"


def test_a_wrong_path_is_never_passed_over(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(nowhere / "a.nes", ines())
    with pytest.raises(RomNotFoundError, match=r"argument: there is no file .*none\.nes"):
        find_rom(tmp_path / "none.nes")
    monkeypatch.setenv("SB3_MARIO_ROM", str(write(tmp_path / "bad.nes", b"bad")))
    with pytest.raises(RomError, match=r"SB3_MARIO_ROM: .*not an iNES file"):
        find_rom()


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = write(tmp_path / "game.nes", ines())
    assert find_rom("~/game.nes").path == path


def test_an_unknown_dump_is_taken_with_a_warning_that_gives_its_hash(tmp_path: Path) -> None:
    game = bytes(40960)
    path = write(tmp_path / "mine.nes", ines(game))
    with pytest.warns(UserWarning, match=hashlib.sha1(game).hexdigest()):
        rom = find_rom(path)
    assert (rom.known, rom.name) == (False, "mine")


def test_without_any_rom_the_error_lists_places_and_ways(nowhere: Path) -> None:
    with pytest.raises(RomNotFoundError) as error:
        find_rom()
    message = str(error.value)
    for place in ("argument rom", "SB3_MARIO_ROM: not set", "gym-super-mario-bros: not installed"):
        assert place in message
    assert str(nowhere) in message
    for way in ("--rom PATH", "SB3_MARIO_ROM=PATH", "--no-deps gym-super-mario-bros==7.4.0"):
        assert way in message


def test_a_gym_super_mario_bros_without_its_rom_is_told(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: tmp_path / "gone.nes")
    with pytest.raises(RomNotFoundError, match=r"gym-super-mario-bros: no .*gone\.nes"):
        find_rom()


@pytest.mark.real_rom
def test_gym_super_mario_bros_brings_a_known_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("gym_super_mario_bros") is None:
        pytest.skip("gym-super-mario-bros is not installed")
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rom = find_rom()
    assert rom.known
    assert rom.name == "Super Mario Bros. (Europe) (Rev A)"
    assert rom.sha1 == "0c4992fc08d2278697339d3b48066e7b5f943598"
