"""SB3's DQN on the toy environment."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env

from tests.callbacks.toy_mario import MakeModel, ToyMario


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.fixture
def make_model() -> MakeModel:
    """Make a small DQN on ``n_envs`` toy environments that learns from step 20 on."""

    def make(n_envs: int = 1, **kwargs: Any) -> DQN:
        settings: dict[str, Any] = {
            "learning_starts": 20,
            "train_freq": 1,
            "buffer_size": 200,
            "batch_size": 8,
            "seed": 0,
        }
        env = make_vec_env(ToyMario, n_envs=n_envs, seed=0)
        return DQN("MlpPolicy", env, device="cpu", **settings | kwargs)

    return make
