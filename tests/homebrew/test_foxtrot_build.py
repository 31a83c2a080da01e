"""The committed ROM is what its sources make, and the build says what it misses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from homebrew.tools import art
from homebrew.tools.art import ArtError
from sb3_mario.game import roms
from sb3_mario.game.roms import check_ines, find_rom

HOMEBREW = Path(__file__).parents[2] / "homebrew"
PICTURE = ": dot 8x8\n" + "........\n" * 7 + "1.2.3.#.\n"


def make(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(HOMEBREW), f"BUILD={folder}", f"ROM={folder / 'game.nes'}"]
    return subprocess.run(
        [*command, *settings], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make: apt install make")
class TestMake:
    @pytest.mark.skipif(shutil.which("ca65") is None, reason="needs ca65: apt install cc65")
    def test_a_rebuild_gives_the_same_bytes(self, tmp_path: Path, foxtrot: Path) -> None:
        result = make(tmp_path)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "game.nes").read_bytes() == foxtrot.read_bytes(), (
            "foxtrot.nes is not what the sources make: run `make rom` and commit it"
        )

    @pytest.mark.parametrize("tool", ["CA65", "LD65"])
    def test_a_missing_assembler_is_named_with_its_package(self, tmp_path: Path, tool: str) -> None:
        result = make(tmp_path, f"{tool}=no-such-program")
        assert result.returncode != 0
        assert "no-such-program" in result.stderr
        assert "apt install cc65" in result.stderr
        assert not list(tmp_path.iterdir())

    def test_a_missing_python_is_named(self, tmp_path: Path) -> None:
        result = make(tmp_path, "PYTHON=no-such-python", "CA65=true", "LD65=true")
        assert result.returncode != 0
        assert "no-such-python is missing" in result.stderr


def test_it_is_an_nrom_cartridge_of_40976_bytes(foxtrot: Path) -> None:
    assert foxtrot.stat().st_size == 40_976
    assert len(check_ines(foxtrot)) == 40


@pytest.mark.skipif(
    not (HOMEBREW.parent / "pyproject.toml").is_file(),
    reason="a checkout is known by its pyproject.toml, which is not here",
)
def test_without_any_other_rom_it_is_the_one_that_is_found(
    foxtrot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SB3_MARIO_ROM", raising=False)
    monkeypatch.setattr(roms, "_gym_super_mario_bros", lambda: None)
    rom = find_rom()
    assert (rom.source, rom.name) == ("homebrew", "Foxtrot")
    assert rom.path.read_bytes() == foxtrot.read_bytes()


# Pictures


def test_a_pictures_pixels_become_two_planes_of_bits(tmp_path: Path) -> None:
    path = tmp_path / "art.txt"
    path.write_text("; a comment\n\n" + PICTURE)
    dot = art.read_pictures(path)["dot"]
    assert (dot.width, dot.height) == (8, 8)
    # colours 1, 2, 3 and 3 at every other pixel: bit 0 of 1 and 3, bit 1 of 2 and 3
    assert dot.tile(0, 0) == bytes(7) + bytes([0b10001010]) + bytes(7) + bytes([0b00101010])


def test_letters_are_cut_out_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "font.txt"
    path.write_text(": glyphs AB\n" + ("#" * 8 + "." * 8 + "\n") * 8)
    letters = art.read_pictures(path)
    assert letters["A"].tile(0, 0) == b"\xff" * 16
    assert letters["B"].tile(0, 0) == bytes(16)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("dot 8x8\n", "expected a heading"),
        (": dot 8\n", "such as 16x16, got '8'"),
        (": dot 8x7\n", "multiples of 8, got 8x7"),
        (": dot 8x8\n" + "........\n" * 7, "got ''"),
        (": dot 8x8\n" + ".......\n" * 8, "expected 8 of"),
        (": dot 8x8\n" + "....4...\n" * 8, r"got '....4...'"),
        (PICTURE + PICTURE, "a second picture 'dot'"),
    ],
)
def test_a_malformed_picture_is_refused_by_file_and_cause(
    tmp_path: Path, text: str, cause: str
) -> None:
    path = tmp_path / "art.txt"
    path.write_text(text)
    with pytest.raises(ArtError, match=cause) as error:
        art.read_pictures(path)
    assert "art.txt:" in str(error.value)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (".  00\n", "expected CHAR NUMBER PICTURE"),
        (".  xx  air\n", "expected CHAR NUMBER PICTURE"),
        ("..  00  air\n", "CHAR is one character"),
        (".  100  air\n", "NUMBER one byte"),
        (".  00  air\n.  01  air\n", "repeats an earlier line"),
        (".  00  air\n#  00  air\n", "repeats an earlier line"),
    ],
)
def test_a_malformed_metatile_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "metatiles.txt"
    path.write_text(text)
    with pytest.raises(ArtError, match=cause):
        art.read_metatiles(path)


def test_too_many_tiles_are_refused() -> None:
    table = art.Table("sprites")
    with pytest.raises(ArtError, match="the sprites need more than 256 tiles"):
        table.extend([bytes(16)] * 256)


def test_equal_tiles_of_the_landscape_are_kept_once() -> None:
    table = art.Table("landscape")
    one = table.add(b"\x01" * 16)
    assert table.add(b"\x02" * 16) == one + 1
    assert table.add(b"\x01" * 16) == one
