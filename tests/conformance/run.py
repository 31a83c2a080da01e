"""Runs the Autobahn|Testsuite's fuzzing client against the Lua server inside FCEUX.

``make conformance`` installs what is needed and runs this; with ``WRITE=1`` it writes
``results.md`` too. Ends with 1 if a case is anything but OK, its close included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sb3_mario.emulator import fceux, protocol

HERE: Final = Path(__file__).parent
AGENT: Final = "sb3-mario"
SECTIONS: Final = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Close",
    "9": "Limits and performance, up to 16 MiB",
    "10": "Automatic fragmentation",
}
SUITE_VERSION: Final = "25.10.1"  # as the Makefile installs it
CASES: Final = 301  # in these sections; 12 and 13 are on compression, which is not offered
# The suite calls these informational whatever a server does.
INFORMATIONAL: Final = frozenset({"7.1.6", "7.13.1", "7.13.2"})
START_SECONDS: Final = 30
RUN_SECONDS: Final = 1200
READY: Final = re.compile(r"^ready on port (\d+)$", re.MULTILINE)
ASKED: Final = re.compile(r"will run (\d+) test cases")
VERSION: Final = re.compile(r"^Starting FCEUX (\S+?)\.*$", re.MULTILINE)


@dataclass(frozen=True)
class Echo:
    """A running echo server."""

    port: int
    token: str
    fceux_version: str


@dataclass(frozen=True)
class Result:
    """What the suite found in one case: ``behavior`` of the messages, ``close`` of the end."""

    case: str
    behavior: str
    close: str
    milliseconds: int

    @property
    def section(self) -> str:
        return self.case.split(".")[0]

    @property
    def verdict(self) -> str:
        """``"OK"`` only if both are; else the first that is not."""
        return self.close if self.behavior == "OK" else self.behavior

    @property
    def is_right(self) -> bool:
        wanted = "INFORMATIONAL" if self.case in INFORMATIONAL else "OK"
        return self.behavior == self.close == wanted


def blank_rom() -> bytes:
    """A cartridge whose program jumps to itself for ever."""
    program = bytes.fromhex("4c0080").ljust(0x7FFA, b"\xea") + bytes.fromhex("008000800080")
    return b"NES\x1a" + bytes([2, 1, 0, 0]) + bytes(8) + program + bytes(0x2000)


@contextmanager
def echo_server() -> Iterator[Echo]:
    """Run FCEUX with ``echo.lua``."""
    token = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory(prefix="sb3-mario-echo-") as home:
        (Path(home) / ".fceux").mkdir()
        (Path(home) / ".fceux" / "fceux.cfg").write_text(fceux.HEADLESS_CONFIG)
        rom = Path(home) / "blank.nes"
        rom.write_bytes(blank_rom())
        log = Path(home) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(str(fceux.find_fceux()), "--sound", "0"),
                    *("--loadlua", str(HERE / "echo.lua"), str(rom)),
                ],
                env={
                    **os.environ,
                    "HOME": home,
                    "QT_QPA_PLATFORM": "offscreen",
                    "SDL_VIDEODRIVER": "dummy",
                    "SDL_AUDIODRIVER": "dummy",
                    "SB3_MARIO_TOKEN": token,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (ready := READY.search(printed := log.read_text(errors="replace"))):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"FCEUX did not start the echo server. It printed:\n{printed}")
                time.sleep(0.05)
            version = VERSION.search(printed)
            yield Echo(int(ready[1]), token, version[1] if version else "of unknown version")
        finally:
            process.kill()
            process.wait()


def run_client(echo: Echo, python: str, suite: Path, cases: list[str]) -> dict[str, Result]:
    """Run the suite's client.

    Args:
        echo: The server.
        python: A Python 2.7.
        suite: Folder with the installed test suite.
        cases: Patterns such as ``"6.*"``.

    Returns:
        The results by case.
    """
    with tempfile.TemporaryDirectory(prefix="sb3-mario-autobahn-") as folder:
        specification = Path(folder) / "fuzzingclient.json"
        server = {
            "agent": AGENT,
            "url": f"ws://127.0.0.1:{echo.port}/",
            "protocols": [protocol.SUBPROTOCOL],
        }
        specification.write_text(
            json.dumps({"outdir": folder, "servers": [server], "cases": cases})
        )
        ran = subprocess.run(
            [python, "-s", str(HERE / "fuzzing_client.py"), str(suite), str(specification)],
            env={**os.environ, "SB3_MARIO_TOKEN": echo.token},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            timeout=RUN_SECONDS,
            check=False,
        )
        index = Path(folder) / "index.json"
        found = json.loads(index.read_text()).get(AGENT, {}) if index.is_file() else {}
    asked = ASKED.search(ran.stdout)
    if ran.returncode or not asked or len(found) != int(asked[1]):
        raise SystemExit(f"the fuzzing client ran {len(found)} cases only:\n{ran.stdout[-3000:]}")
    return {
        case: Result(case, each["behavior"], each["behaviorClose"], each["duration"])
        for case, each in found.items()
    }


def table(results: dict[str, Result]) -> str:
    """Return a Markdown table, one row a section and one for all."""
    lines = [
        "| section | cases | OK | non-strict | informational | failed | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = [
        (f"{section}. {title}", [each for each in results.values() if each.section == section])
        for section, title in SECTIONS.items()
    ]
    for title, members in [*rows, ("**all**", list(results.values()))]:
        if not members:
            continue
        verdicts = Counter(each.verdict for each in members)
        good, lax, told = (verdicts.pop(key, 0) for key in ("OK", "NON-STRICT", "INFORMATIONAL"))
        seconds = sum(each.milliseconds for each in members) / 1000
        cells = (title, len(members), good, lax, told, verdicts.total(), f"{seconds:.1f}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def report(results: dict[str, Result], echo: Echo) -> str:
    """Return the text that is committed beside this file."""
    always = ", ".join(sorted(INFORMATIONAL))
    return f"""# Autobahn|Testsuite {SUITE_VERSION} against the Lua server

Written by `make conformance WRITE=1`; the server ran in FCEUX {echo.fceux_version}. OK means
strictly: the messages and the end of the connection are what the suite calls right, where
"non-strict" would still conform to RFC 6455. The suite calls {always}
informational whatever a server does. Its sections 12 and 13 are on compression, which this server
does not offer. Seconds are of one run, the client's share included.

{table(results)}
"""


def main() -> int:
    """Run the cases asked for, print the table, and write it where all were run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python2", required=True, help="a Python 2.7")
    parser.add_argument("--suite", type=Path, required=True, help="folder of the test suite")
    parser.add_argument(
        "--cases", nargs="+", default=[f"{section}.*" for section in SECTIONS], help="as in '6.*'"
    )
    parser.add_argument("--write", type=Path, help="file for the table, if all cases were run")
    args = parser.parse_args()
    start = time.monotonic()
    with echo_server() as echo:
        results = run_client(echo, args.python2, args.suite, args.cases)
    print(table(results))
    if args.write and len(results) == CASES:
        args.write.write_text(report(results, echo))
    wrong = [each for each in results.values() if not each.is_right]
    for each in wrong:
        print(f"case {each.case}: {each.behavior}, its close: {each.close}")
    print(f"Autobahn|Testsuite, {time.monotonic() - start:.0f} seconds:")
    print(f"{len(results) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or not results else 0


if __name__ == "__main__":
    sys.exit(main())
