"""An episode: how far it has come, and what ends it."""

from __future__ import annotations

from sb3_mario.game.levels import EndCause, Level, death_cause, progress
from sb3_mario.game.memory import GameState


class Episode:
    """Follows an episode from state to state.

    Args:
        level: The level to clear; None for the whole game.
        game: The first state.
        stuck_steps: Steps without a new largest x until it ends; 0 for never.
        max_steps: Steps until it ends; 0 for never.

    Attributes:
        steps: Steps so far.
        max_x: Largest x, pixels.
        progress: Largest share of a level done, 0 to 1.
    """

    def __init__(
        self, level: Level | None, game: GameState, stuck_steps: int, max_steps: int
    ) -> None:
        self.level = level
        self.stuck_steps = stuck_steps
        self.max_steps = max_steps
        self.steps = 0
        self.max_x = game.x_pos
        self.progress = 0.0
        # Since he was last somewhere else, or began anew: what is new is counted from there.
        self._best_x = game.x_pos
        self._best_step = 0

    def advance(self, before: GameState, game: GameState) -> EndCause | None:
        """Take a step from one state to the next; return what ends the episode with it, or None."""
        self.steps += 1
        self.max_x = max(self.max_x, game.x_pos)
        self.progress = max(self.progress, progress(game, Level(game.world, game.stage)))
        moved_on = (before.world, before.stage, before.room) != (game.world, game.stage, game.room)
        lives_again = before.is_dying or before.is_dead  # perhaps further back
        if moved_on or lives_again or game.x_pos > self._best_x:
            self._best_x = game.x_pos
            self._best_step = self.steps
        return self._end(game) or self._limit()

    def _end(self, game: GameState) -> EndCause | None:
        if self.level is None:
            if game.is_won:
                return "flag"
            return "game_over" if game.is_game_over else None
        if (game.world, game.stage) != (self.level.world, self.level.stage):
            return "warp"
        if game.flag_get:
            return "flag"
        return death_cause(game) if game.is_dying or game.is_dead else None

    def _limit(self) -> EndCause | None:
        if self.stuck_steps and self.steps - self._best_step >= self.stuck_steps:
            return "stuck"
        return "step_limit" if self.max_steps and self.steps >= self.max_steps else None
