"""Replay: memory of a transition and batches of 32 a second, against SB3's buffers.

Each buffer is filled with the same 20,000 transitions of 8x84x84 in a process of its own, whose
resident memory is read from the system. They take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import Contender, compare, machine, table

TRANSITIONS = 20_000
EPISODE = 200
BATCH = 32
NAMES = {
    "ours": "FrameReplayBuffer, 3 steps",
    "ours-prioritized": "FrameReplayBuffer, 3 steps, prioritized",
    "sb3": "SB3's ReplayBuffer, 1 step",
    "sb3-n-step": "SB3's NStepReplayBuffer, 3 steps",
}


def _make(name: str, size: int) -> Any:
    from gymnasium import spaces
    from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

    from sb3_mario.dqn import FrameReplayBuffer

    arguments = (
        size,
        spaces.Box(0, 255, (8, 84, 84), np.uint8),
        spaces.Discrete(7),
        "cpu",
    )
    if name == "sb3":
        return ReplayBuffer(*arguments)
    if name == "sb3-n-step":
        return NStepReplayBuffer(*arguments, n_steps=3, gamma=0.9)
    return FrameReplayBuffer(
        *arguments, n_steps=3, gamma=0.9, prioritized=name == "ours-prioritized", seed=0
    )


def _fill(buffer: Any, transitions: int) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(64, 84, 84), dtype=np.uint8)
    stack = np.repeat(frames[:1], 8, axis=0)
    for step in range(1, transitions + 1):
        following = np.concatenate([stack[1:], frames[step % 64][None]])
        done = step % EPISODE == 0
        buffer.add(
            stack[None], following[None], np.array([step % 7]), np.array([1.0]),
            np.array([done]), [{}],
        )  # fmt: skip
        stack = np.repeat(frames[step % 64][None], 8, axis=0) if done else following


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def measure(name: str, what: str) -> float:
    """Return bytes a transition, or batches a second."""
    import torch as th

    th.set_num_threads(1)
    # What is loaded once is no part of the buffer.
    small = _make(name, 100)
    _fill(small, 100)
    small.sample(BATCH)
    before = _resident()
    buffer = _make(name, TRANSITIONS)
    _fill(buffer, TRANSITIONS)
    if what == "memory":
        return (_resident() - before) / TRANSITIONS
    for _ in range(50):
        buffer.sample(BATCH)
    start = time.perf_counter()
    for _ in range(500):
        buffer.sample(BATCH)
    return 500 / (time.perf_counter() - start)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps({"per_second": measure(*args.only)}))
        return
    print(machine())
    for what, unit in (("memory", "bytes/transition"), ("sampling", "batches/s")):
        contenders = [
            Contender(label, [sys.executable, "-m", "benchmarks.replay", "--only", name, what], {})
            for name, label in NAMES.items()
        ]
        print(table(compare(contenders, args.rounds), unit))


if __name__ == "__main__":
    main()
