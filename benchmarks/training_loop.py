"""Environment steps a second of whole training, from step 20,000 to step 30,000.

``train.py --algo dueling_dqn`` as it comes, against SB3's stock ``DQN`` with ``CnnPolicy`` on
gym-super-mario-bros 7.4.0: both on level 1-1 with 4 frames a step, 8 stacked frames of 84x84, a
gradient of batch 32 for every 4 steps, and exploration that ends before step 10,000. They take
turns. Then what a step's time is spent on, as train.py logs it to TensorBoard.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.compare import ROOT, Contender, compare, machine, table

FIRST, LAST = 20_000, 30_000


def measure(first: int, last: int, split_file: Path) -> float:
    """Train, and return the environment steps a second between two steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tempfile.TemporaryDirectory(prefix="sb3-mario-bench-") as folder:
        subprocess.run(
            [
                *(sys.executable, "train.py", "--algo", "dueling_dqn", "-n", str(last)),
                *("-f", folder, "--eval-freq", "0", "--save-freq", "0", "--seed", "0"),
                *("--verbose", "0", "-params", "exploration_fraction:0.3"),
            ],
            cwd=ROOT,
            check=True,
        )
        (run,) = Path(folder, "dueling_dqn").iterdir()
        with (run / "episodes.csv").open() as file:
            ends = [
                (int(row["timesteps"]), float(row["wall_time"])) for row in csv.DictReader(file)
            ]
        start = next(end for end in ends if end[0] >= first)
        events = EventAccumulator(str(run)).Reload()
        split = {
            tag.removeprefix("milliseconds/"): [
                event.value for event in events.Scalars(tag) if event.step >= first
            ]
            for tag in events.Tags()["scalars"]
            if tag.startswith("milliseconds/")
        }
    split_file.write_text(
        json.dumps({name: sum(values) / len(values) for name, values in split.items()})
    )
    return (ends[-1][0] - start[0]) / (ends[-1][1] - start[1])


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    parser.add_argument("--steps", nargs=2, type=int, default=(FIRST, LAST), metavar="N")
    parser.add_argument("--peer-python", default=".venv-peer/bin/python")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    first, last = args.steps
    if args.only is not None:
        print(json.dumps({"per_second": measure(first, last, args.only)}))
        return
    with tempfile.TemporaryDirectory(prefix="sb3-mario-bench-") as folder:
        split_file = Path(folder, "split.json")
        this = [sys.executable, "-m", "benchmarks.training_loop", "--steps", str(first), str(last)]
        peer = [args.peer_python, "benchmarks/peer_training.py", str(first), str(last)]
        contenders = [
            Contender("train.py --algo dueling_dqn", [*this, "--only", str(split_file)], {}, 3600),
            Contender("SB3's DQN on gym-super-mario-bros", peer, {}, 3600),
        ]
        figures = compare(contenders, args.rounds)
        split = json.loads(split_file.read_text())
    print(machine())
    print(f"steps {first:,} to {last:,}, {args.rounds} runs of each, in turn")
    print(table(figures, "steps/s"))
    print("\n| of a step of train.py | milliseconds | share |\n|---|---:|---:|")
    total = sum(split.values())
    for name, milliseconds in sorted(split.items(), key=lambda item: -item[1]):
        print(f"| {name} | {milliseconds:.2f} | {milliseconds / total:.0%} |")


if __name__ == "__main__":
    main()
