"""Runs of ``train.py`` for tests: small, in a process to send signals to, and what they wrote."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3 import DQN

from sb3_mario.training.run import main
from tests.processes import descendants

ROOT = Path(__file__).parents[2]
ENV_NAME = "sb3_mario-SuperMarioBros-1-1-v0"

# Episodes of at most 25 steps and a network that learns from step 50 on, once every 4 steps.
SMALL = ("--num-threads", "1", "--seed", "1", "--n-envs", "1", "--env-kwargs", "max_steps:25")
TINY = (*SMALL, "-params", "buffer_size:500", "learning_starts:50", "train_freq:4")
NO_EVALUATION = ("--eval-freq", "-1")

STEPS = 260
WHOLE_RUN = (
    *TINY,  # ends with hyperparameters, and takes one more
    "exploration_fraction:0.3",
    *("-n", str(STEPS), "--save-freq", "100", "--log-interval", "2"),
    *("--eval-freq", "100", "--eval-episodes", "2"),
)

Rows = list[dict[str, str]]


@dataclass
class Finished:
    """A run that came to its end.

    Attributes:
        path: Its folder.
        printed: What it printed, both streams.
    """

    path: Path
    printed: str


def train(*words: str | Path) -> int:
    """Run ``train.py`` in this process."""
    th.set_num_threads(1)
    return main([str(word) for word in words])


@dataclass
class Trainer:
    """A ``train.py`` in a process of its own, with a temporary folder of its own.

    Attributes:
        process: The process; also the leader of its process group.
        log: What it has printed, both streams.
        temp: Its folder for temporary files.
        folder: The first run's folder below ``-f``.
    """

    process: subprocess.Popen[bytes]
    log: Path
    temp: Path
    folder: Path

    def wait_for(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not what():
            assert self.process.poll() is None, f"ended early:\n{self.output()}"
            assert time.monotonic() < deadline, f"waited in vain:\n{self.output()}"
            time.sleep(0.02)

    def wait_for_episodes(self, number: int) -> None:
        self.wait_for(lambda: len(episodes(self.folder)) >= number)

    def emulators(self) -> list[int]:
        return [p for p, name in descendants(self.process.pid).items() if name == "fceux"]

    def wait(self) -> int:
        return self.process.wait(60)

    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def trainer(
    tmp_path: Path, *words: str, python: tuple[str, ...] = (), **environment: str
) -> Iterator[Trainer]:
    """Start ``train.py``; it is killed if it still runs at the end of the block."""
    temp = tmp_path / "temp"
    temp.mkdir(exist_ok=True)
    log = tmp_path / f"printed-{len(list(tmp_path.glob('printed-*')))}.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *python, str(ROOT / "train.py"), "-f", str(tmp_path / "logs"), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(temp), "OMP_NUM_THREADS": "1"} | environment,
            start_new_session=True,
        )
    folder = tmp_path / "logs" / "dueling_dqn" / f"{ENV_NAME}_1"
    try:
        yield Trainer(process, log, temp, folder)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def read_csv(path: Path) -> Rows:
    """Whole rows of a CSV file, none where there is none yet; SB3's line of JSON is left out."""
    if not path.is_file():
        return []
    lines = path.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n") and not line.startswith("#")]
    return list(csv.DictReader(whole))


def episodes(folder: Path) -> Rows:
    return read_csv(folder / "episodes.csv")


def assert_rows_agree(folder: Path, steps: int, n_envs: int = 1) -> Rows:
    """Check that both kinds of CSV have each episode of a run of ``steps`` steps once.

    Steps that an episode lacks at a resumption show as a gap, so ``length`` is not summed here.
    """
    rows = episodes(folder)
    assert rows, "there are episodes"
    for env in range(n_envs):
        mine = [row for row in rows if row["env"] == str(env)]
        assert [int(row["episode"]) for row in mine] == list(range(1, len(mine) + 1))
        ends = [int(row["timesteps"]) for row in mine]
        assert ends == sorted(set(ends)) and ends[-1] <= steps
        monitor = read_csv(folder / f"{env}.monitor.csv")
        pairs = [(float(row["r"]), int(row["l"])) for row in monitor]
        assert pairs == [(float(row["reward"]), int(row["length"])) for row in mine]
        times = [float(row["t"]) for row in monitor]
        assert times == sorted(times)
    return rows


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder: (step, value) by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags: list[str] = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def snapshot(folder: Path) -> dict[str, Any]:
    """The content of every file below a folder, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def weights(path: Path) -> dict[str, th.Tensor]:
    return DQN.load(path, device="cpu").policy.state_dict()


def same(one: dict[str, th.Tensor], other: dict[str, th.Tensor]) -> bool:
    return all(th.equal(one[name], other[name]) for name in one.keys() | other.keys())
