"""Gradient steps a second at batch 32: this package's learner against SB3's DQN.

All learn from the same 2,000 random transitions of 8x84x84 with 7 actions, on the same number of
threads, in processes of their own that take turns. A step is a call of ``train(1)``: drawing the
batch, the networks forward and back, and the optimizer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

import numpy as np

from benchmarks.compare import Contender, compare, machine, table

TRANSITIONS = 2000
BATCH = 32
NAMES = {
    "ours": "DuelingDQN: double Q, 3 steps",
    "ours-prioritized": "DuelingDQN: double Q, 3 steps, prioritized",
    "ours-single": "DuelingDQN without double Q",
    "ours-plain": "DuelingDQN with accelerate=False",
    "sb3-dueling": "SB3's DQN, DuelingDQNPolicy, 3 steps",
    "sb3": "SB3's DQN, CnnPolicy, 1 step",
}


def _make(name: str) -> Any:
    import gymnasium as gym
    from stable_baselines3 import DQN
    from stable_baselines3.common.logger import Logger

    from sb3_mario.dqn import DuelingDQN

    class Spaces(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(0, 255, (8, 84, 84), np.uint8)
        action_space = gym.spaces.Discrete(7)

    common: dict[str, Any] = {
        "buffer_size": TRANSITIONS, "batch_size": BATCH, "gamma": 0.9, "seed": 0, "device": "cpu",
    }  # fmt: skip
    env = Spaces()
    if name == "sb3":
        model: DQN = DQN("CnnPolicy", env, **common)
    elif name == "sb3-dueling":
        model = DQN(
            "DuelingDQNPolicy", env, n_steps=3, policy_kwargs={"accelerate": False}, **common
        )
    else:
        model = DuelingDQN(
            "DuelingDQNPolicy",
            env,
            n_steps=3,
            overlap=False,
            double_q=name != "ours-single",
            accelerate=name != "ours-plain",
            prioritized_replay=name == "ours-prioritized",
            **common,
        )
    model.set_logger(Logger(None, []))
    return model


def _fill(buffer: Any) -> None:
    rng = np.random.default_rng(0)
    stack = np.repeat(rng.integers(256, size=(1, 84, 84), dtype=np.uint8), 8, axis=0)
    for step in range(1, TRANSITIONS + 1):
        frame = rng.integers(256, size=(1, 84, 84), dtype=np.uint8)
        following = np.concatenate([stack[1:], frame])
        done = step % 200 == 0
        buffer.add(
            stack[None], following[None], rng.integers(7, size=1), rng.normal(size=1),
            np.array([done]), [{}],
        )  # fmt: skip
        stack = np.repeat(frame, 8, axis=0) if done else following


def measure(name: str, threads: int, steps: int) -> float:
    """Return gradient steps a second."""
    import torch as th

    th.set_num_threads(threads)
    model = _make(name)
    _fill(model.replay_buffer)
    for _ in range(10):
        model.train(1, BATCH)
    start = time.perf_counter()
    for _ in range(steps):
        model.train(1, BATCH)
    return steps / (time.perf_counter() - start)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured")
    parser.add_argument("--steps", type=int, default=200, help="gradient steps of a measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps({"per_second": measure(args.only, args.threads, args.steps)}))
        return
    this = [sys.executable, "-m", "benchmarks.gradient", "--threads", str(args.threads)]
    contenders = [
        Contender(label, [*this, "--steps", str(args.steps), "--only", name], {})
        for name, label in NAMES.items()
    ]
    print(machine())
    print(f"{args.steps} gradient steps a run on {args.threads} threads")
    print(table(compare(contenders, args.rounds), "gradients/s"))


if __name__ == "__main__":
    main()
