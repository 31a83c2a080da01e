"""Judging an agent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.evaluation import Episode, Evaluation, evaluate, wilson_interval
from tests.faults.chaos import FAULTS

RIGHT, A_RIGHT_B = 1, 4


class Always:
    """An agent that holds one action."""

    def __init__(self, action: int) -> None:
        self.action = action

    def predict(self, observation: Any, deterministic: bool = False, **_: Any) -> Any:
        return np.full(len(observation), self.action), None


def episodes(*causes: str, noops: tuple[int, ...] = (1, 2, 3)) -> tuple[Episode, ...]:
    return tuple(
        Episode(noops[i % len(noops)], cause, 100 + i, 300 - i, 50, 90.0)
        for i, cause in enumerate(causes)
    )


def evaluation(*causes: str, sticky: float = 0.0, noops: tuple[int, ...] = (1, 2, 3)) -> Evaluation:
    return Evaluation("1-1", "sha", True, sticky, 0, episodes(*causes, noops=noops))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (95, 100), (1, 2), (7, 23)])
def test_the_interval_ends_where_the_score_test_does(successes: int, trials: int) -> None:
    # Wilson's interval holds the rates p that are within 1.96 standard errors, those at p.
    low, high = wilson_interval(successes, trials)
    rates = np.linspace(0, 1, 1_000_001)[1:-1]
    distance = np.abs(successes / trials - rates) / np.sqrt(rates * (1 - rates) / trials)
    inside = rates[distance <= 1.959964]
    assert low == pytest.approx(inside.min(), abs=2e-6)
    assert high == pytest.approx(inside.max(), abs=2e-6)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes in {trials} trials"):
        wilson_interval(successes, trials)


def test_the_summary_counts_clears_and_causes() -> None:
    text = evaluation("flag", "flag", "pit", "enemy").summary()
    assert "cleared 2 of 4 (95 % interval 15.0% to 85.0%)" in text
    assert "flag 2, pit 1, enemy 1" in text
    assert "clock left at the flag: median 299.5" in text


def test_one_start_without_chance_is_no_rate() -> None:
    text = evaluation("flag", "flag", noops=(7,)).summary()
    assert "this is one episode, and no rate" in text
    assert "cleared" not in text


def test_sticky_actions_are_chance_enough() -> None:
    assert "cleared 1 of 2" in evaluation("flag", "pit", sticky=0.25, noops=(7,)).summary()


def test_everything_goes_into_json() -> None:
    values = json.loads(json.dumps(evaluation("flag", "pit").as_dict()))
    assert (values["clears"], values["n_episodes"], values["seed"]) == (1, 2, 0)
    assert values["episodes"][1]["cause"] == "pit"
    assert values["causes"] == {"flag": 1, "pit": 1}


@pytest.mark.real_rom
def test_episodes_do_not_depend_on_the_number_of_emulators() -> None:
    def make_env(sticky: float) -> SuperMarioBrosEnv:
        return SuperMarioBrosEnv(sticky_action_probability=sticky, stuck_steps=30)

    seen: list[Episode] = []
    one, two = (
        evaluate(
            Always(A_RIGHT_B), make_env, env_id="1-1", episodes=5, seed=3, n_envs=n_envs,
            sticky_action_probability=0.25, on_episode=seen.append,
        )
        for n_envs in (1, 2)
    )  # fmt: skip
    assert one == two
    assert len(seen) == 10
    assert len({episode.noops for episode in one.episodes}) > 1
    assert all(1 <= episode.noops <= 30 for episode in one.episodes)
    assert one.distinct > 1


@pytest.mark.real_rom
def test_an_episode_whose_emulator_broke_is_played_again() -> None:
    made: list[SuperMarioBrosEnv] = []

    def make_env(sticky: float) -> SuperMarioBrosEnv:
        made.append(SuperMarioBrosEnv(stuck_steps=30))
        return made[-1]

    class Breaks(Always):
        def predict(self, observation: Any, deterministic: bool = False, **kwargs: Any) -> Any:
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 20:
                assert made[-1]._fceux is not None
                FAULTS["kill"](made[-1]._fceux)
            return super().predict(observation, deterministic, **kwargs)

    expected = evaluate(Always(RIGHT), make_env, env_id="1-1", episodes=2)
    with pytest.warns(UserWarning, match="fault 1: "):
        found = evaluate(Breaks(RIGHT), make_env, env_id="1-1", episodes=2)
    assert found == expected


@pytest.mark.real_rom
def test_emulators_that_break_again_and_again_end_the_evaluation() -> None:
    made: list[SuperMarioBrosEnv] = []

    def make_env(sticky: float) -> SuperMarioBrosEnv:
        made.append(SuperMarioBrosEnv())
        return made[-1]

    class Breaks(Always):
        def predict(self, observation: Any, deterministic: bool = False, **kwargs: Any) -> Any:
            assert made[-1]._fceux is not None
            FAULTS["kill"](made[-1]._fceux)
            return super().predict(observation, deterministic, **kwargs)

    with (
        pytest.warns(UserWarning, match="fault"),
        pytest.raises(EmulatorError, match="broke in episode 0 3 times"),
    ):
        evaluate(Breaks(RIGHT), make_env, env_id="1-1", episodes=1)


@pytest.mark.real_rom
def test_who_only_walks_is_killed_by_the_first_enemy() -> None:
    result = evaluate(
        Always(RIGHT), lambda sticky: SuperMarioBrosEnv(), env_id="1-1", episodes=3, n_envs=3
    )
    assert [episode.cause for episode in result.episodes] == ["enemy"] * 3
    assert result.clears == 0
    assert all(250 < episode.max_x < 400 for episode in result.episodes)
