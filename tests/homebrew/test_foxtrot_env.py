"""What the environment shows of the free game alone; see tests/test_env.py for both games."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sb3_mario  # noqa: F401  registers the environments
from homebrew.tools.solve import frames, stored_run
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.game.actions import BUTTONS

NOTHING, RIGHT, A_RIGHT, RIGHT_B = range(4)
MakeEnv = Callable[..., SuperMarioBrosEnv]


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


@pytest.mark.parametrize("action", [RIGHT, RIGHT_B])
def test_holding_right_nearly_clears_the_first_level(make: MakeEnv, action: int) -> None:
    env = make(obs="tiles")
    for noops in (0, 1, 13, 30):
        env.reset(options={"noops": noops})
        terminated = truncated = False
        while not (terminated or truncated):
            _, reward, terminated, truncated, info = env.step(action)
        assert info["end_cause"] == "enemy"
        assert -15.0 <= reward <= -5.0
        assert 0.80 <= info["progress"] < 0.92


def test_random_play_does_not_get_far_in_the_first_level(make: MakeEnv) -> None:
    env = make(obs="tiles")
    rng = np.random.default_rng(0)
    reached = []
    for seed in range(20):
        env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(int(rng.integers(7)))
        reached.append(info["progress"])
    assert 0.1 < np.mean(reached) < 0.4


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
