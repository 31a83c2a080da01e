"""What the environments of a run have shown, and whether an unbroken emulator shows the same."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sb3_mario.env import SuperMarioBrosEnv


@dataclass
class Step:
    """A step that was not lost; what it led to, as checksums."""

    action: int
    ram: int
    observation: int
    reward: float
    terminated: bool
    truncated: bool


@dataclass
class Episode:
    """An episode: where it began, and its steps.

    Attributes:
        lost: Whether its last step was lost with the emulator.
    """

    noops: int
    ram: int
    observation: int
    steps: list[Step] = field(default_factory=list)
    lost: bool = False


def crc(data: bytes | np.ndarray[Any, Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data)


class Records:
    """Notes every episode of every environment that is made in this process.

    Attributes:
        envs: The environments.
        episodes: Their episodes, by environment.
        steps: Steps begun, all together.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.envs: list[SuperMarioBrosEnv] = []
        self.episodes: list[list[Episode]] = []
        self.steps = 0
        cls = SuperMarioBrosEnv
        begin_step, step, reset = cls.begin_step, cls.step, cls.reset

        def noting_reset(env: SuperMarioBrosEnv, **kwargs: Any) -> Any:
            if env not in self.envs:
                self.envs.append(env)
                self.episodes.append([])
            observation, info = reset(env, **kwargs)
            assert env._state is not None
            episode = Episode(info["frames"], crc(env._state.ram), crc(observation))
            self.episodes[self.envs.index(env)].append(episode)
            return observation, info

        def noting_begin_step(env: SuperMarioBrosEnv, action: Any) -> None:
            self.steps += 1
            begin_step(env, action)

        def noting_step(env: SuperMarioBrosEnv, action: Any) -> Any:
            observation, reward, terminated, truncated, info = result = step(env, action)
            episode = self.episodes[self.envs.index(env)][-1]
            if "step_lost" in info:
                episode.lost = True
            else:
                assert env._state is not None
                ram = crc(env._state.ram)
                episode.steps.append(
                    Step(int(action), ram, crc(observation), reward, terminated, truncated)
                )
            return result

        monkeypatch.setattr(cls, "reset", noting_reset)
        monkeypatch.setattr(cls, "begin_step", noting_begin_step)
        monkeypatch.setattr(cls, "step", noting_step)


def replayed(env: SuperMarioBrosEnv, episode: Episode) -> Episode:
    """Return what an emulator shows for an episode's start and actions."""
    observation, _ = env.reset(options={"noops": episode.noops})
    assert env._state is not None
    again = Episode(episode.noops, crc(env._state.ram), crc(observation), lost=episode.lost)
    for step in episode.steps:
        observation, reward, terminated, truncated, info = env.step(step.action)
        assert "step_lost" not in info
        again.steps.append(
            Step(step.action, crc(env._state.ram), crc(observation), reward, terminated, truncated)
        )
    return again
