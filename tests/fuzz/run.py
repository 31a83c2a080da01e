"""The long form of the fuzz tests, guided by coverage (Atheris): ``python -m tests.fuzz.run``.

``make fuzz`` runs it with a million inputs for each target. It ends with an error, and the input is
kept in a file, where a target raises anything; it ends with one, too, where memory has grown.
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TARGETS: Final = ("state", "answer", "client")
INPUT_BYTES: Final = 200
MOST_NEW_BLOCKS: Final = 2000  # of Python's allocator; caches of the interpreter fill slowly
MOST_SECONDS_PER_INPUT: Final = 10


class Watch:
    """Runs a target, and compares the memory in use after a tenth of the inputs and after all."""

    def __init__(self, name: str, target: Callable[[bytes], None], inputs: int) -> None:
        self._name = name
        self._target = target
        self._inputs = inputs
        self._count = 0
        self._start = time.monotonic()
        self._early = (0, 0)

    def __call__(self, data: bytes) -> None:
        """Run the target on one input."""
        self._target(data)
        self._count += 1
        if self._count == self._inputs // 10:
            self._early = _memory()
        elif self._count == self._inputs:
            self._report()

    def _report(self) -> None:
        blocks, kilobytes = _memory()
        print(
            f"{self._name}: {self._count} inputs, no failure, "
            f"{time.monotonic() - self._start:.0f} s; memory after a tenth {self._early[0]} blocks "
            f"of Python's, at the end {blocks}; peak of the process, fuzzer included, "
            f"{self._early[1]} and {kilobytes} KiB",
            flush=True,
        )
        assert blocks <= self._early[0] + MOST_NEW_BLOCKS, "memory has grown"


def _memory() -> tuple[int, int]:
    """Blocks of Python's allocator in use, and the process's peak in KiB."""
    gc.collect()
    return sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(name: str, inputs: int, seed: int) -> None:
    """Fuzz one target in this process, which libFuzzer then ends."""
    import atheris

    with atheris.instrument_imports(include=["sb3_mario.emulator", "websockets"]):
        from tests.fuzz import targets
    atheris.Setup(
        [
            *(sys.argv[0], f"-runs={inputs}", f"-seed={seed}", "-verbosity=0"),
            *(f"-max_len={INPUT_BYTES}", "-len_control=0", f"-timeout={MOST_SECONDS_PER_INPUT}"),
            f"-artifact_prefix={Path.cwd()}/fuzz-{name}-",
        ],
        Watch(name, targets.TARGETS[name], inputs),
    )
    atheris.Fuzz()


def repeat(name: str, file: Path) -> None:
    """Run a target on an input that an earlier run has kept."""
    from tests.fuzz import targets

    targets.TARGETS[name](file.read_bytes())


def main() -> int:
    """Fuzz all targets or the one named, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, help="default: all")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=Path, help="run --target on the input in this file")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.repeat:
        repeat(args.target, args.repeat)
        return 0
    if args.here:
        fuzz(args.target, args.inputs, args.seed)
    failed = 0
    for name in (args.target,) if args.target else TARGETS:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.run", "--here", "--target", name),
                *("--inputs", str(args.inputs), "--seed", str(args.seed)),
            ],
            stderr=subprocess.PIPE,  # libFuzzer's talk
            text=True,
            errors="replace",
            check=False,
        )
        if ran.returncode:
            failed += 1
            print(f"{name}: FAILED\n{ran.stderr[-1000:]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
