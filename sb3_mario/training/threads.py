"""How many threads torch should have, by measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch as th
from stable_baselines3 import DQN

WARM_UP_STEPS = 100
STEPS = 400
ROUNDS = 2


def measure_threads(make_model: Callable[[], DQN]) -> dict[int, float]:
    """Train for a moment with each number of threads.

    More threads make a gradient faster but take the cores from the emulators; which of both counts
    for more differs from machine to machine.

    Args:
        make_model: Makes a model to train and throw away, on the environments of the run.

    Returns:
        Environment steps a second by number of threads; `torch`'s own number is left as it was.
    """
    before = th.get_num_threads()
    candidates = [1]
    while candidates[-1] * 2 <= (os.cpu_count() or 1):
        candidates.append(candidates[-1] * 2)
    best = dict.fromkeys(candidates, 0.0)
    model = make_model()
    model.learn(WARM_UP_STEPS)
    try:
        # In turns, and the best of each: other work on the machine only ever slows it.
        for _ in range(ROUNDS):
            for threads in candidates:
                th.set_num_threads(threads)
                start = time.perf_counter()
                model.learn(STEPS, reset_num_timesteps=False)
                best[threads] = max(best[threads], STEPS / (time.perf_counter() - start))
    finally:
        th.set_num_threads(before)
    return best
