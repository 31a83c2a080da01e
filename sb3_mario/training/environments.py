"""The emulators that a run trains and evaluates on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_mario.training.folder import RunFolder
from sb3_mario.vec_env import EmulatorVecEnv

VEC_ENVS: Final[dict[str, type[EmulatorVecEnv] | type[SubprocVecEnv]]] = {
    "dummy": EmulatorVecEnv,
    "subproc": SubprocVecEnv,
}

# Evaluations play the same random starts each time, and not those of training.
EVAL_SEED_OFFSET: Final = 2**20
EVAL_NOOP_MAX: Final = 30


def training_envs(
    env_id: str,
    env_kwargs: Mapping[str, Any],
    *,
    n_envs: int,
    vec_env: str,
    folder: RunFolder,
    resumed: bool,
) -> VecEnv:
    """Return the environments to train on, each with a monitor file.

    Args:
        env_id: Full id.
        env_kwargs: Arguments of the environment.
        n_envs: Number of environments, and of emulators.
        vec_env: A key of `VEC_ENVS`.
        folder: The run's.
        resumed: Go on with the monitor files that are there.
    """
    factories = [
        _factory(env_id, env_kwargs, folder.monitor_csv(number), resumed)
        for number in range(n_envs)
    ]
    return VEC_ENVS[vec_env](factories)


def evaluation_envs(env_id: str, env_kwargs: Mapping[str, Any], n_envs: int) -> VecEnv:
    """Return the environments to evaluate on: always with random no-op starts."""
    kwargs = {**env_kwargs, "noop_max": env_kwargs.get("noop_max") or EVAL_NOOP_MAX}
    return EmulatorVecEnv([_factory(env_id, kwargs, None, False) for _ in range(n_envs)])


def _factory(
    env_id: str, env_kwargs: Mapping[str, Any], monitor_file: Path | None, resumed: bool
) -> Callable[[], gym.Env[Any, Any]]:
    def make() -> gym.Env[Any, Any]:
        # With its package named, the id is known in a worker process too.
        env = gym.make(f"sb3_mario:{env_id}", disable_env_checker=True, **env_kwargs)
        if monitor_file is None:
            return Monitor(env)
        start = _start_time(monitor_file) if resumed else None
        monitor = Monitor(env, str(monitor_file), override_existing=start is None)
        if start is not None:
            monitor.t_start = start  # the times of a file count from the one in its first line
        return monitor

    return make


def _start_time(path: Path) -> float | None:
    """Return the time in a monitor file's first line; None where there is no such file."""
    try:
        with path.open() as file:
            return float(json.loads(file.readline().removeprefix("#"))["t_start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
