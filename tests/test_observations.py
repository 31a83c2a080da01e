"""What an agent sees, on the real emulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import DQN

from sb3_mario.dqn import DuelingDQN
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.game.features import state_vector
from sb3_mario.game.tiles import Cell, semantic_grid
from sb3_mario.observations import KINDS, Observations
from sb3_mario.vec_env import EmulatorVecEnv

RIGHT_B = 3


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"pixels, pixels\+state, tiles, got 'sound'"):
        Observations("sound", 8, 84)


@pytest.mark.real_rom
@pytest.mark.parametrize("kind", ["pixels+state", "tiles"])
def test_a_dict_holds_the_newest_frame_last(kind: str) -> None:
    env = SuperMarioBrosEnv(obs=kind)
    try:
        first, _ = env.reset(seed=0)
        assert env.observation_space.contains(first)
        before = first
        for _ in range(12):
            observation, *_ = env.step(RIGHT_B)
            assert env.observation_space.contains(observation)
            for name, part in observation.items():
                if part.ndim > 1:
                    assert np.array_equal(part[:-1], before[name][1:])
            before = observation
        state = observation["state"]
        assert np.array_equal(state if state.ndim == 1 else state[-1], state_vector(env._game))
        if kind == "tiles":
            assert np.array_equal(observation["tiles"][-1], semantic_grid(env._game))
            assert (observation["tiles"][-1] == Cell.MARIO).sum() == 1
    finally:
        env.close()


@pytest.mark.real_rom
def test_with_tiles_no_picture_crosses_the_wire() -> None:
    env = SuperMarioBrosEnv(obs="tiles")
    try:
        env.reset(seed=0)
        env.step(RIGHT_B)
        assert env._state is not None
        assert env._state.frame is None
        env.close()
        env = SuperMarioBrosEnv(obs="tiles", render_mode="rgb_array")
        env.reset(seed=0)
        assert env.render() is not None, "but for a render mode that shows it"
    finally:
        env.close()


@pytest.mark.real_rom
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_learned_from_saved_and_loaded_with_plain_dqn(
    kind: str, tmp_path: Path
) -> None:
    envs = EmulatorVecEnv([lambda: SuperMarioBrosEnv(obs=kind) for _ in range(2)])
    try:
        model = DuelingDQN(
            "DuelingDQNPolicy", envs, buffer_size=300, learning_starts=20, train_freq=1,
            n_steps=3, device="cpu", seed=0,
        )  # fmt: skip
        model.learn(100)
        assert model._n_updates > 20
        model.save(tmp_path / "model")
        loaded = DQN.load(tmp_path / "model", device="cpu")
        observations = envs.reset()
        for _ in range(20):
            actions, _ = model.predict(observations, deterministic=True)
            assert np.array_equal(loaded.predict(observations, deterministic=True)[0], actions)
            observations, *_ = envs.step(actions)
    finally:
        envs.close()
