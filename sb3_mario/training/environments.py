"""The emulators that a run trains and evaluates on."""

from __future__ import annotations

import contextlib
import json
import signal
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor, ResultsWriter
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_mario.evaluation import NOOP_MAX
from sb3_mario.training.config import ConfigError
from sb3_mario.training.folder import RunFolder
from sb3_mario.vec_env import EmulatorVecEnv

VEC_ENVS: Final[dict[str, type[EmulatorVecEnv] | type[SubprocVecEnv]]] = {
    "dummy": EmulatorVecEnv,
    "subproc": SubprocVecEnv,
}

# Evaluations play the same random starts each time, and not those of training.
EVAL_SEED_OFFSET: Final = 2**20

# After a SIGTERM a worker process has this long to be closed by the trainer.
GRACE_SECONDS: Final = 30
# When it is closed: to answer a step under way, and to end.
ANSWER_SECONDS: Final = 1
CLOSE_SECONDS: Final = 10


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
    grace = GRACE_SECONDS if vec_env == "subproc" else None
    factories = [
        _factory(env_id, env_kwargs, folder.monitor_csv(number), resumed, grace)
        for number in range(n_envs)
    ]
    return VEC_ENVS[vec_env](factories)


def evaluation_envs(env_id: str, env_kwargs: Mapping[str, Any], n_envs: int) -> VecEnv:
    """Return the environments to evaluate on: always with random no-op starts.

    They render pictures, which TensorBoard's video is made of, where pictures are sent anyway.
    """
    kwargs = {**env_kwargs, "noop_max": env_kwargs.get("noop_max") or NOOP_MAX}
    if kwargs.get("obs") != "tiles":
        kwargs["render_mode"] = env_kwargs.get("render_mode") or "rgb_array"
    return EmulatorVecEnv([_factory(env_id, kwargs) for _ in range(n_envs)])


def measurement_envs(
    env_id: str, env_kwargs: Mapping[str, Any], *, n_envs: int, vec_env: str
) -> VecEnv:
    """Return environments like those to train on, without files."""
    grace = GRACE_SECONDS if vec_env == "subproc" else None
    factories = [_factory(env_id, env_kwargs, grace_seconds=grace) for _ in range(n_envs)]
    return VEC_ENVS[vec_env](factories)


def check_env(env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Make the environment once, which starts no emulator, so that it can refuse its arguments.

    Raises:
        ConfigError: An argument is wrong.
        StartError: FCEUX is missing.
    """
    try:
        _make(env_id, env_kwargs).close()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"env_kwargs: {error}") from error


def close_envs(env: VecEnv) -> None:
    """Close environments, whatever has become of their processes and of a step under way."""
    if not isinstance(env, SubprocVecEnv):
        env.close()
        return
    if env.closed:
        return
    # SB3's own close waits for ever for an answer that was read before an interruption, and lets
    # the others live where one process has died.
    for remote in env.remotes:
        with contextlib.suppress(EOFError, OSError):
            if env.waiting and remote.poll(ANSWER_SECONDS):
                remote.recv()
            remote.send(("close", None))
    for process in env.processes:
        process.join(CLOSE_SECONDS)
    for remote in env.remotes:
        remote.close()
    env.closed = True


def _make(env_id: str, env_kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    # With its package named, the id is known in a worker process too.
    return gym.make(f"sb3_mario:{env_id}", disable_env_checker=True, **env_kwargs)


def _factory(
    env_id: str,
    env_kwargs: Mapping[str, Any],
    monitor_file: Path | None = None,
    resumed: bool = False,
    grace_seconds: int | None = None,
) -> Callable[[], gym.Env[Any, Any]]:
    def make() -> gym.Env[Any, Any]:
        if grace_seconds is not None:
            _leave_signals_to_the_trainer(grace_seconds)
        env = _make(env_id, env_kwargs)
        if monitor_file is None:
            return Monitor(env)
        monitor = Monitor(env)
        start = _start_time(monitor_file) if resumed else None
        if start is not None:
            monitor.t_start = start  # the times of a file count from the one in its first line
        monitor.results_writer = PatientWriter(
            str(monitor_file),
            header={"t_start": monitor.t_start, "env_id": env_id},
            override_existing=start is None,
        )
        return monitor

    return make


class PatientWriter(ResultsWriter):
    """SB3's writer of monitor files, which a full disk does not stop.

    What could not be written waits in the file's buffer, and goes out with a later row.
    """

    _warned = False

    def write_row(self, epinfo: dict[str, float]) -> None:
        """Write an episode's row, now or later."""
        try:
            super().write_row(epinfo)
            self._warned = False
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"could not write {self.file_handler.name}: {error.strerror}; rows wait in "
                    "memory until there is room",
                    stacklevel=2,
                )

    def close(self) -> None:
        """Close the file; what there is no room for is lost."""
        with contextlib.suppress(OSError):
            super().close()


def _leave_signals_to_the_trainer(grace_seconds: int) -> None:
    """Let a worker process live on when its whole process group is asked to stop.

    The trainer needs it until the rollout is done, and ends it then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # multiprocessing ends what is left at the trainer's exit by SIGTERM: that must not be in vain.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(grace_seconds))


def _start_time(path: Path) -> float | None:
    """Return the time in a monitor file's first line; None where there is no such file."""
    try:
        with path.open() as file:
            return float(json.loads(file.readline().removeprefix("#"))["t_start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
