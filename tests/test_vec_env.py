"""Several emulators in one process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.vec_env import EmulatorVecEnv

RIGHT, A_RIGHT = 1, 2


def test_other_environments_are_refused() -> None:
    with pytest.raises(TypeError, match="EmulatorVecEnv is for SuperMarioBrosEnv"):
        EmulatorVecEnv([lambda: gym.make("CartPole-v1")])


def transitions(envs: VecEnv, steps: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    envs.seed(3)
    yield envs.reset().tobytes()
    for _ in range(steps):
        observations, rewards, dones, infos = envs.step(rng.integers(7, size=envs.num_envs))
        ends = [
            info["terminal_observation"].tobytes()
            for info in infos
            if "terminal_observation" in info
        ]
        causes = repr(
            [(info.get("end_cause"), info["TimeLimit.truncated"], info["x_pos"]) for info in infos]
        )
        yield (
            observations.tobytes()
            + rewards.tobytes()
            + dones.tobytes()
            + b"".join(b"terminal" + end for end in ends)
            + causes.encode()
        )


@pytest.mark.real_rom
def test_it_gives_what_sb3s_dummy_vec_env_gives() -> None:
    def make() -> Monitor:
        return Monitor(SuperMarioBrosEnv(sticky_action_probability=0.2, stuck_steps=25))

    runs = []
    for cls in (EmulatorVecEnv, DummyVecEnv):
        envs = cls([make, make])
        try:
            runs.append(list(transitions(envs, 200)))
        finally:
            envs.close()
    assert runs[0] == runs[1]
    assert any(b"terminal" in step and b"stuck" in step for step in runs[0])


@pytest.mark.real_rom
def test_pictures_from_several_screens_do_not_mix() -> None:
    levels = ("1-1", "1-2")
    screens = EmulatorVecEnv(
        [partial(SuperMarioBrosEnv, level, frames="screen") for level in levels]
    )
    bridges = EmulatorVecEnv([partial(SuperMarioBrosEnv, level) for level in levels])
    try:
        screens.seed(1)
        bridges.seed(1)
        assert np.array_equal(screens.reset(), bridges.reset())
        for step in range(40):
            actions = np.array([RIGHT, A_RIGHT][:: 1 if step % 3 else -1])
            seen, true = np.array([envs.step(actions)[0] for envs in (screens, bridges)])
            assert np.array_equal(seen[:, :, 3:81], true[:, :, 3:81])
            assert not np.array_equal(seen[0], seen[1])
    finally:
        screens.close()
        bridges.close()


@pytest.mark.real_rom
def test_a_reset_forgets_a_step_under_way() -> None:
    envs = EmulatorVecEnv([SuperMarioBrosEnv])
    try:
        envs.seed(0)
        first = envs.reset()
        envs.step_async(np.array([A_RIGHT]))
        envs.seed(0)
        assert np.array_equal(envs.reset(), first)
        envs.step(np.array([RIGHT]))
    finally:
        envs.close()


@pytest.mark.real_rom
def test_a_step_must_be_the_one_that_was_begun() -> None:
    env = SuperMarioBrosEnv()
    try:
        env.reset(seed=0)
        env.begin_step(RIGHT)
        with pytest.raises(ValueError, match=r"step\(2\) cannot follow begin_step\(1\)"):
            env.step(A_RIGHT)
    finally:
        env.close()
