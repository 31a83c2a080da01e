"""The environment on the free game: what holds for the real one holds here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import sb3_mario  # noqa: F401  registers the environments
from homebrew.tools.solve import frames, stored_run
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.game.actions import BUTTONS

NOTHING, RIGHT, A_RIGHT, RIGHT_B = range(4)
MakeEnv = Callable[..., SuperMarioBrosEnv]

pytestmark = pytest.mark.filterwarnings("ignore:.*no known dump:UserWarning")


@pytest.fixture
def make(foxtrot: Path) -> Iterator[MakeEnv]:
    """Makes environments on the free game and closes them after the test."""
    made: list[SuperMarioBrosEnv] = []

    def factory(level: str | None = "1-1", **kwargs: Any) -> SuperMarioBrosEnv:
        made.append(SuperMarioBrosEnv(level, rom=foxtrot, **kwargs))
        return made[-1]

    yield factory
    for env in made:
        env.close()


def test_both_environment_checkers_pass(foxtrot: Path) -> None:
    env = gym.make("sb3_mario/SuperMarioBros-1-1-v0", rom=foxtrot, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*no known dump")
        gymnasium_check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env.unwrapped)
    env.close()


def play(env: SuperMarioBrosEnv, seed: int, steps: int) -> Iterator[tuple[str, bytes, float]]:
    """Random actions: hash of the memory, picture with observation, and reward of every step."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(int(rng.integers(7)))
        picture = env.render()
        assert picture is not None
        yield info["ram_hash"], picture.tobytes() + observation.tobytes(), reward
        if terminated or truncated:
            env.reset()


@pytest.mark.parametrize("level", ["1-1", "2-2"])
def test_two_emulators_agree_on_memory_and_pixels(make: MakeEnv, level: str) -> None:
    one, two = (make(level, render_mode="rgb_array", ram_hash=True) for _ in range(2))
    hashes = set()
    for here, there in zip(play(one, 5, 600), play(two, 5, 600), strict=True):
        assert here == there
        hashes.add(here[0])
    assert len(hashes) > 400


def test_walking_earns_the_distance_less_the_clock(make: MakeEnv) -> None:
    env = make(noop_max=0)
    _, before = env.reset()
    for _ in range(30):
        _, reward, _, _, info = env.step(RIGHT)
        assert reward == info["x_pos"] - before["x_pos"] - (before["time"] - info["time"])
        before = info
    assert info["x_pos"] > 180


@pytest.mark.parametrize("action", [RIGHT, RIGHT_B])
def test_holding_right_clears_a_third_of_the_first_level(make: MakeEnv, action: int) -> None:
    env = make()
    for seed in range(3):
        env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            _, reward, terminated, truncated, info = env.step(action)
        assert info["end_cause"] == "enemy"
        assert -15.0 <= reward <= -5.0
        assert 0.33 < info["progress"] < 0.35


def test_clearing_a_level_ends_the_episode_with_its_flag(make: MakeEnv) -> None:
    env = make("1-3", frame_skip=6, noop_max=0, actions=[list(pressed) for pressed in CHOICES])
    env.reset()
    for buttons, count in frames(stored_run("1-3")):
        for _ in range(count // 6):
            _, reward, terminated, _, info = env.step(MASKS.index(buttons))
            if terminated:
                break
    assert terminated
    assert info["flag_get"]
    assert (info["end_cause"], info["progress"]) == ("flag", 1.0)
    assert reward > 0


CHOICES = (("right", "B"), ("right", "A", "B"), ("right",), ("right", "A"), (), ("left",))
MASKS = [sum(BUTTONS[name] for name in pressed) for pressed in CHOICES]


def test_the_whole_game_goes_on_after_a_death_and_ends_with_the_last_life(make: MakeEnv) -> None:
    env = make(None, noop_max=0, stuck_steps=0)
    _, info = env.reset()
    lives, penalties = [info["life"]], 0
    for _ in range(900):
        _, reward, terminated, truncated, info = env.step(RIGHT)
        penalties += reward <= -10.0
        if info["life"] != lives[-1]:
            lives.append(info["life"])
        if terminated or truncated:
            break
    assert info["end_cause"] == "game_over"
    assert penalties == 3
    assert lives[:3] == [2, 1, 0]


def test_a_frame_of_84_lines_still_shows_the_hero_the_ground_and_where_it_ends(
    make: MakeEnv,
) -> None:
    env = make("1-3", noop_max=0)
    env.reset()
    for _ in range(25):
        observation, _, _, _, info = env.step(RIGHT)
    frame = observation[-1].astype(int)

    def at(x: int, y: int) -> int:
        """Return the pixel that shows a place in the level."""
        return int(frame[y * 84 // 240, (x - info["x_pos"] + 112) * 84 // 256])

    sky, ground, abyss = at(200, 120), at(14 * 16, 225), at(17 * 16, 225)
    assert abs(abyss - sky) < 10
    assert abs(ground - sky) > 30
    assert at(info["x_pos"] + 8, 200) - sky > 30
