"""Playing by hand: what is printed, and that the window's keys reach the game."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sb3_mario import play
from sb3_mario.game.memory import GameState

FOXTROT = Path(__file__).parents[1] / "homebrew" / "foxtrot.nes"


def state(poke: dict[int, int]) -> GameState:
    ram = bytearray(2048)
    ram[0x770], ram[0x772], ram[0x0E], ram[0xB5], ram[0x75A] = 1, 3, 8, 1, 2
    for address, byte in poke.items():
        ram[address] = byte
    return GameState.from_ram(ram)


@pytest.mark.parametrize(
    ("before", "after", "happened"),
    [
        ({}, {}, []),
        ({}, {0x0E: 4}, ["level cleared"]),
        ({}, {0xB5: 2, 0x7F8: 3}, ["died: pit"]),
        ({}, {0x0E: 11, 0x7F8: 3}, ["died: enemy"]),
        ({}, {0x0E: 11}, ["died: clock"]),
        ({}, {0x770: 3, 0x75A: 255}, ["game over"]),
        ({}, {0x75C: 1}, ["level 1-2"]),
        ({}, {0x756: 1}, ["grew"]),
        ({0x756: 1}, {}, ["shrank"]),
        ({}, {0x7EE: 2}, ["2 coins"]),
        ({0x7ED: 9, 0x7EE: 9}, {0x75A: 3}, ["1 coins", "a new life"]),
    ],
)
def test_what_happened_is_told_in_words(
    before: dict[int, int], after: dict[int, int], happened: list[str]
) -> None:
    assert play.events(state(before), state(after)) == happened


def test_a_line_has_place_speed_and_belongings() -> None:
    line = play.describe(state({0x6D: 1, 0x86: 4, 0x3B8: 176, 0x57: 24, 0x756: 1, 0x7EE: 3}))
    wanted = "1-1 x 260 y 79 speed 24 tall lives 3 coins 3 score 0 time 0"
    assert " ".join(line.split()) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "9-9"], "there is no environment '9-9'"),
        (["--rom", "none.nes"], "there is no file none.nes"),
        (["--rom", str(FOXTROT)], "no display for FCEUX's window: DISPLAY is not set"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*no known dump:UserWarning")
def test_what_cannot_be_played_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SystemExit) as end:
        play.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb: apt install xvfb")
@pytest.mark.skipif(shutil.which("xdotool") is None, reason="needs xdotool: apt install xdotool")
def test_the_keys_of_the_window_drive_the_game(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = tmp_path / "keys.sh"
    # xdotool must run on the display that xvfb-run chose, so inside of it
    script.write_text(
        f"""
        "{sys.executable}" -m sb3_mario.play --rom "{FOXTROT}" > "{log}" 2>&1 &
        game=$!
        until grep -q "x   40" "{log}"; do sleep 0.2; done
        xdotool search --sync --onlyvisible --name "^FCEUX" windowfocus --sync
        xdotool keydown f; sleep 1; xdotool keyup f
        xdotool keydown Right; sleep 1.5; xdotool keydown d; sleep 1.5
        xdotool keyup d keyup Right
        xdotool key ctrl+q  # ends FCEUX
        wait $game; echo "exit $?" >> "{log}"
        """
    )
    subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 800x700x24", "bash", str(script)],
        timeout=40,
        check=True,
        capture_output=True,
    )
    printed = log.read_text()
    rows = re.findall(r"x +(\d+)  y +(\d+)  speed +(-?\d+)", printed)
    x, y, speed = zip(*[[int(number) for number in row] for row in rows], strict=True)
    assert x[0] == 40
    assert 24 in speed  # Right walks
    assert max(speed) == 40  # D runs
    assert max(y) > 100  # F jumps
    assert printed.rstrip().endswith("the window was closed\nexit 0")
