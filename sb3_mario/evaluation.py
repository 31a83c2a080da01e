"""How good an agent is: many episodes from random starts, counted."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.vec_env import stacked

NOOP_MAX: Final = 30
STICKY_PROBABILITY: Final = 0.25
TRIES: Final = 3
"""Times that an episode is begun, where emulators break in it."""

_Z: Final = statistics.NormalDist().inv_cdf(0.975)  # of a 95 % interval


class Predicts(Protocol):
    """What is evaluated: a model of SB3."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Return actions for a batch of observations."""


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        noops: Frames without a button at its start.
        cause: Of its end: ``flag``, ``pit``, ``enemy``, ...
        max_x: Largest x, pixels.
        clock: The game's clock at its end.
        steps: Environment steps.
        reward: Sum of the rewards.
    """

    noops: int
    cause: str
    max_x: int
    clock: int
    steps: int
    reward: float


@dataclass(frozen=True)
class Evaluation:
    """Episodes played under one rule.

    Attributes:
        env_id: Level, or whole game.
        rom_sha1: The game.
        deterministic: Whether the agent was greedy.
        sticky_action_probability: Probability of each frame to hold the buttons of the step before.
        seed: Seed of the starts.
        episodes: In order of their starts.
    """

    env_id: str
    rom_sha1: str
    deterministic: bool
    sticky_action_probability: float
    seed: int
    episodes: tuple[Episode, ...]

    @property
    def clears(self) -> int:
        """Episodes that ended at the flag."""
        return sum(episode.cause == "flag" for episode in self.episodes)

    @property
    def distinct(self) -> int:
        """Episodes that differ in their course: without chance, one for each start."""
        return len(set(self.episodes)) if self.has_chance else len({e.noops for e in self.episodes})

    @property
    def has_chance(self) -> bool:
        """Whether the same start can lead to different episodes."""
        return self.sticky_action_probability > 0 or not self.deterministic

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        low, high = wilson_interval(self.clears, len(self.episodes))
        return {
            **{name: value for name, value in asdict(self).items() if name != "episodes"},
            "n_episodes": len(self.episodes),
            "distinct_episodes": self.distinct,
            "clears": self.clears,
            "clear_rate_95": [round(low, 4), round(high, 4)],
            "causes": dict(Counter(e.cause for e in self.episodes).most_common()),
            "median_max_x": statistics.median(e.max_x for e in self.episodes),
            "median_clock_left_at_flag": _median_or_none(
                [e.clock for e in self.episodes if e.cause == "flag"]
            ),
            "mean_reward": round(statistics.fmean(e.reward for e in self.episodes), 3),
            "episodes": [asdict(episode) for episode in self.episodes],
        }

    def summary(self) -> str:
        """Return the figures as text for people."""
        figures = self.as_dict()
        count = len(self.episodes)
        rule = "greedy" if self.deterministic else "stochastic"
        if self.sticky_action_probability:
            rule += f", sticky actions p={self.sticky_action_probability}"
        causes = ", ".join(f"{cause} {n}" for cause, n in figures["causes"].items())
        lines = [
            f"{self.env_id}, {rule}, {count} episodes after 1 to {NOOP_MAX} frames without a "
            f"button (seed {self.seed}, {len({e.noops for e in self.episodes})} different starts):"
        ]
        if self.distinct == 1:
            lines.append("  one start without chance: this is one episode, and no rate")
        else:
            low, high = figures["clear_rate_95"]
            lines.append(
                f"  cleared {self.clears} of {count} (95 % interval {low:.1%} to {high:.1%})"
            )
        lines.append(f"  ends: {causes}")
        lines.append(f"  largest x: median {figures['median_max_x']:,.0f}")
        if figures["median_clock_left_at_flag"] is not None:
            lines.append(f"  clock left at the flag: median {figures['median_clock_left_at_flag']}")
        return "\n".join(lines)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson 1927; Brown et al. 2001, equation 4).

    Args:
        successes: 0 to ``trials``.
        trials: At least 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials cannot be")
    rate = successes / trials
    middle = rate + _Z**2 / (2 * trials)
    half = _Z * math.sqrt(rate * (1 - rate) / trials + _Z**2 / (4 * trials**2))
    whole = 1 + _Z**2 / trials
    return max((middle - half) / whole, 0.0), min((middle + half) / whole, 1.0)


def evaluate(
    model: Predicts,
    make_env: Callable[[float], SuperMarioBrosEnv],
    *,
    env_id: str,
    episodes: int = 100,
    seed: int = 0,
    sticky_action_probability: float = 0.0,
    deterministic: bool = True,
    n_envs: int = 1,
    on_episode: Callable[[Episode], object] | None = None,
) -> Evaluation:
    """Play episodes, each after a random number of frames without a button.

    The starts and the sticky actions of an episode depend on the seed and its number alone, not on
    how many emulators play.

    Args:
        model: The agent.
        make_env: Makes an environment with a probability of sticky actions.
        env_id: For the record.
        episodes: Number of episodes.
        seed: Seeds the starts.
        sticky_action_probability: See `SuperMarioBrosEnv`.
        deterministic: Take the best action; else the agent's own exploration.
        n_envs: Emulators that play side by side.
        on_episode: Called when an episode has ended.

    Raises:
        EmulatorError: Emulators broke in an episode `TRIES` times. One that breaks less often
            costs nothing: the episode is played from its start.
    """
    noops = np.random.default_rng(seed).integers(1, NOOP_MAX + 1, size=episodes).tolist()
    done: list[Episode | None] = [None] * episodes
    waiting = iter(range(episodes))
    envs = [make_env(sticky_action_probability) for _ in range(min(n_envs, episodes))]
    try:
        tables: list[_Table | None] = [
            _Table.start(env, seed, next(waiting), noops) for env in envs
        ]
        while playing := [table for table in tables if table is not None]:
            actions, _ = model.predict(
                stacked([table.observation for table in playing]), deterministic=deterministic
            )
            for table, action in zip(playing, actions.tolist(), strict=True):
                table.env.begin_step(action)
            for table, action in zip(playing, actions.tolist(), strict=True):
                episode = table.step(action, seed)
                if episode is None:
                    continue
                done[table.number] = episode
                if on_episode is not None:
                    on_episode(episode)
                following = next(waiting, None)
                tables[tables.index(table)] = (
                    None if following is None else _Table.start(table.env, seed, following, noops)
                )
    finally:
        for env in envs:
            env.close()
    assert all(done)
    return Evaluation(
        env_id,
        envs[0].rom.sha1,
        deterministic,
        sticky_action_probability,
        seed,
        tuple(episode for episode in done if episode is not None),
    )


@dataclass
class _Table:
    """An emulator and the episode that is played on it."""

    env: SuperMarioBrosEnv
    number: int
    noops: int
    observation: Any
    steps: int = 0
    reward: float = 0.0
    tries: int = 1

    @classmethod
    def start(cls, env: SuperMarioBrosEnv, seed: int, number: int, noops: Sequence[int]) -> _Table:
        observation, _ = env.reset(seed=seed + number, options={"noops": noops[number]})
        return cls(env, number, noops[number], observation)

    def step(self, action: int, seed: int) -> Episode | None:
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        self.reward += reward
        if not (terminated or truncated):
            return None
        if "step_lost" in info:
            self._start_again(seed)
            return None
        return Episode(
            self.noops, info["end_cause"], info["max_x"], info["time"], self.steps, self.reward
        )

    def _start_again(self, seed: int) -> None:
        if self.tries == TRIES:
            raise EmulatorError(f"emulators broke in episode {self.number} {TRIES} times")
        self.tries += 1
        self.steps, self.reward = 0, 0.0
        self.observation, _ = self.env.reset(seed=seed + self.number, options={"noops": self.noops})


def _median_or_none(values: list[int]) -> float | None:
    return statistics.median(values) if values else None
