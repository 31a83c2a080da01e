"""Runs contenders in turn, A B A B ..., and prints medians and ratios."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Contender:
    """A program that measures itself and prints ``{"per_second": number}`` as its last line.

    Attributes:
        name: For the table.
        command: The program and its arguments.
        environment: Variables to add to this process's.
        timeout: Seconds that it may take.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    timeout: float = 900.0

    def measure(self) -> float:
        """Run it once and return its figure.

        Raises:
            RuntimeError: It failed; the message has its output.
        """
        result = subprocess.run(
            self.command,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            timeout=self.timeout,
            check=False,
        )
        lines = result.stdout.strip().splitlines()
        if result.returncode != 0 or not lines:
            raise RuntimeError(f"{self.name} failed:\n{result.stdout}{result.stderr}")
        return float(json.loads(lines[-1])["per_second"])


def compare(contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Measure every contender once a round, and return its figures.

    Taking turns gives each the same share of the machine's good and bad moments.
    """
    figures: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    with tqdm(total=rounds * len(contenders), unit="run", desc="measuring") as bar:
        for _ in range(rounds):
            for contender in contenders:
                figures[contender.name].append(contender.measure())
                bar.update()
    return figures


def table(figures: Mapping[str, Sequence[float]], unit: str) -> str:
    """Return a table in Markdown: median, least and most of each, and the median of the ratios.

    The ratio of a row is that of the first row's figure to its own, round by round.
    """
    first = next(iter(figures.values()))
    rows = [f"| | median {unit} | least | most | first row is |", "|---|---:|---:|---:|---:|"]
    for name, values in figures.items():
        ratio = statistics.median(ours / its for ours, its in zip(first, values, strict=True))
        rows.append(
            f"| {name} | {statistics.median(values):,.1f} | {min(values):,.1f} | "
            f"{max(values):,.1f} | {ratio:.2f} x |"
        )
    return "\n".join(rows)


def machine() -> str:
    """Return a line about this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load}"
