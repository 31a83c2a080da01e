"""How many threads torch should have, by measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import torch as th
from stable_baselines3 import DQN

WARM_UP_STEPS: Final = 100
STEPS: Final = 40  # between two looks at the clock
SECONDS: Final = 1.5  # of each measurement
ROUNDS: Final = 2
# Of the model that is trained for the measurement.
PROBE_ARGUMENTS: Final = {"buffer_size": 5000, "learning_starts": 64}


def measure_threads(model: DQN, check: Callable[[], None]) -> dict[int, float]:
    """Train for a moment with 1, 2, 4, ... threads, up to the number of cores.

    More threads make a gradient faster but take the cores from the emulators; which of both counts
    for more differs from machine to machine.

    Args:
        model: A model to train and throw away, made with `PROBE_ARGUMENTS`.
        check: Called between two measurements; may raise to stop.

    Returns:
        Environment steps a second by number of threads; torch's own number is left as it was.
    """
    before = th.get_num_threads()
    candidates = [1]
    while candidates[-1] * 2 <= _cores():
        candidates.append(candidates[-1] * 2)
    best = dict.fromkeys(candidates, 0.0)
    try:
        model.learn(WARM_UP_STEPS)
        # In turns, and the best of each: other work on the machine only ever slows it.
        for _ in range(ROUNDS):
            for threads in candidates:
                check()
                th.set_num_threads(threads)
                best[threads] = max(best[threads], _steps_per_second(model))
    finally:
        th.set_num_threads(before)
    return best


def _steps_per_second(model: DQN) -> float:
    start, first = time.perf_counter(), model.num_timesteps
    while (seconds := time.perf_counter() - start) < SECONDS:
        model.learn(STEPS, reset_num_timesteps=False)
    return (model.num_timesteps - first) / seconds


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
