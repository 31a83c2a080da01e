"""The reward: way gained, less time spent, less a life lost."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from sb3_mario.game.memory import GameState

MAX_SPEED: Final = (
    5  # pixels a frame; he runs 2.5, in the European game 3: what is faster is no run
)


@dataclass(frozen=True)
class RewardWeights:
    """Weights of `compute_reward`.

    Attributes:
        progress: For a pixel to the right.
        clock: For a unit of the game's clock (about 0.4 seconds), which only ever runs down.
        death: Added once for a death.
        clip: The reward of a step stays within ``-clip`` to ``clip``.

    Raises:
        ValueError: A weight is not finite, or ``clip`` is not positive.
    """

    progress: float = 1.0
    clock: float = 1.0
    death: float = -15.0
    clip: float = 15.0

    def __post_init__(self) -> None:
        """Check the weights."""
        for field in fields(self):
            weight = getattr(self, field.name)
            if not math.isfinite(weight):
                raise ValueError(f"reward weight {field.name!r} must be finite, got {weight!r}")
        if self.clip <= 0:
            raise ValueError(f"reward weight 'clip' must be above 0, got {self.clip!r}")


def compute_reward(
    previous: GameState, current: GameState, frames: int, weights: RewardWeights
) -> float:
    """Return the reward for going from one state to the next.

    ``progress * dx + clock * dt + death * d``, clipped to ``-clip`` to ``clip``, where

    - ``dx`` is the change of x in pixels; 0 where Mario did not run there: another level, another
      room (pipes, vines), or more than 5 pixels for each frame (a castle that starts over, a pipe
      within a room, a new life);
    - ``dt`` is the change of the clock, never positive; 0 where it was wound up again;
    - ``d`` is 1 where Mario died in this step, else 0.

    A step that clears the level is never worth less than 0, and the step after an end (in the
    whole game) is worth 0: it starts a new life or level.

    Args:
        previous: State before the step.
        current: State after it.
        frames: Frames from one to the other.
        weights: See `RewardWeights`.
    """
    if _is_over(previous):
        return 0.0
    dx = current.x_pos - previous.x_pos
    dt = min(current.time - previous.time, 0)
    level_changed = (previous.world, previous.stage) != (current.world, current.stage)
    if level_changed:
        dt = 0
    if level_changed or previous.room != current.room or abs(dx) > MAX_SPEED * frames:
        dx = 0
    reward = weights.progress * dx
    if current.flag_get:
        return min(max(reward, 0.0), weights.clip)
    reward += weights.clock * dt
    if _is_over(current):
        reward += weights.death
    return min(max(reward, -weights.clip), weights.clip)


def _is_over(state: GameState) -> bool:
    return state.flag_get or state.is_dying or state.is_dead or state.is_game_over
