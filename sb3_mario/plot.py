"""``python -m sb3_mario.plot RUN [RUN...]``: curves, ends along the level, and their causes."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from sb3_mario.plotting.figures import causes_over_time, ends_along_the_level, learning_curves, save
from sb3_mario.plotting.runs import Curve, RunData, RunError, grouped, read_run
from sb3_mario.training.config import ConfigError

_EPILOG = """\
Runs that differ by their seed alone are drawn as one line, with a band from the lowest to the
highest of them. Every point of a curve is the mean over the episodes of the last 5 % of the run.
The thin dashed lines are random play: the episodes with an exploration rate above 0.95. Hours leave
out the pauses before resumptions.

examples:
  python -m sb3_mario.plot logs/dueling_dqn/*
  python -m sb3_mario.plot logs/dqn/A_1 logs/dueling_dqn/A_1 --labels "SB3's DQN" "dueling" -o docs
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, and return the exit status: 0 done, 2 there is nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="python -m sb3_mario.plot",
        description="Draw learning curves, where episodes end and why, as PNG and SVG.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("plots"), help="folder to write to (plots)"
    )
    parser.add_argument(
        "--by-seed", action="store_true", help="a line for each seed, in place of their mean"
    )
    parser.add_argument(
        "--labels", nargs="+", help="names of the lines, in the order of their first runs"
    )
    args = parser.parse_args(argv)
    try:
        groups = grouped([read_run(folder) for folder in args.runs])
        if args.by_seed:
            groups = _by_seed(groups)
        groups = _labelled(groups, args.labels)
        args.output.mkdir(parents=True, exist_ok=True)
        written = _draw(groups, args.output)
    except (ConfigError, OSError, RunError) as error:
        print(f"sb3_mario.plot: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"Wrote {path}" for path in written))
    return 0


def _by_seed(groups: dict[str, list[RunData]]) -> dict[str, list[RunData]]:
    seeds: dict[str, list[RunData]] = {}
    for name, runs in groups.items():
        for run in runs:
            seeds.setdefault(f"{name} seed={run.seed}", []).append(run)
    return seeds


def _labelled(
    groups: dict[str, list[RunData]], labels: Sequence[str] | None
) -> dict[str, list[RunData]]:
    if labels is None:
        return groups
    if len(labels) != len(groups):
        raise RunError(
            f"--labels: {len(labels)} names for {len(groups)} lines: {', '.join(groups)}"
        )
    return dict(zip(labels, groups.values(), strict=True))


def _draw(groups: dict[str, list[RunData]], folder: Path) -> list[Path]:
    figure, curves = learning_curves(groups)
    return [
        *save(figure, folder / "curves"),
        _write_curves(curves, folder / "curves.csv"),
        *save(ends_along_the_level(groups), folder / "ends"),
        *save(causes_over_time(groups), folder / "causes"),
    ]


def _write_curves(curves: dict[str, dict[str, Curve]], path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", "figure", "at", "mean", "low", "high"])
        for name, panels in curves.items():
            for panel, line in panels.items():
                rows = zip(line.at, line.mean, line.low, line.high, strict=True)
                writer.writerows([name, panel, *(f"{value:.6g}" for value in row)] for row in rows)
    return path


if __name__ == "__main__":
    sys.exit(main())
