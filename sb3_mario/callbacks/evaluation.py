"""Evaluation during training: greedy, on emulators of its own, from the same starts each time."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from sb3_mario.callbacks.checkpoints import atomic_save_model, atomic_write
from sb3_mario.callbacks.evaluation_media import EvaluationMedia
from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.game.selftest import SelfTestError

TRIES = 3
"""Times that an evaluation in which an emulator breaks is played, from its start."""

# Arrays of evaluations.npz: SB3's, and those of ours with what stands for an unknown value.
_OF_SB3 = ("timesteps", "results", "ep_lengths", "successes")
_OWN: dict[str, Any] = {"max_x": np.nan, "end_causes": ""}


class EvaluationCallback(BaseCallback):
    """Plays ``n_eval_episodes`` every ``eval_freq`` steps and keeps the best model.

    SB3's ``EvalCallback`` with the same files (``evaluations.npz``, ``best_model.zip``) and the
    same figures in TensorBoard (``eval/mean_reward``, ``eval/mean_ep_length``,
    ``eval/success_rate``, here the share of flags; and ``eval/max_x_mean``), but: steps are
    ``num_timesteps``, however many environments there are; every evaluation plays the same starts,
    so that two differ by the model alone; files are whole or as they were; a full disk is a
    warning, and the next evaluation writes what is missing; an evaluation in which an emulator
    breaks is played again; and when a run is resumed, earlier evaluations stay and count, and one
    that was given up is made up for. `EvaluationMedia` says what TensorBoard shows of evaluations
    besides. For it ``evaluations.npz`` has two arrays more, of the shape of ``results``: ``max_x``,
    pixels, NaN where unknown, and ``end_causes``, text, empty where unknown.

    Args:
        eval_env: Environments with SB3's ``Monitor``, and random no-op starts: a game without
            chance would play the same episode ``n_eval_episodes`` times.
        eval_freq: Environment steps (``num_timesteps``) between evaluations.
        folder: Where the files go.
        n_eval_episodes: Episodes of each evaluation.
        seed: Seeds the starts.
        on_step: Called at each step of an evaluation; may raise to give it up.
        verbose: 1 prints a line for each evaluation.
        episodes_csv: `EpisodeCSVCallback`'s file, for TensorBoard's heat map of ends.

    Raises:
        ValueError: ``eval_freq`` or ``n_eval_episodes`` is below 1. At the start of training: the
            earlier evaluations in the folder had another number of episodes, or are damaged.
    """

    def __init__(
        self,
        eval_env: VecEnv,
        eval_freq: int,
        folder: str | os.PathLike[str],
        n_eval_episodes: int = 10,
        seed: int = 0,
        on_step: Callable[[], None] | None = None,
        verbose: int = 1,
        episodes_csv: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(verbose)
        for name, value in (("eval_freq", eval_freq), ("n_eval_episodes", n_eval_episodes)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.eval_env = eval_env
        self.eval_freq = eval_freq
        self.folder = Path(folder)
        self.n_eval_episodes = n_eval_episodes
        self.seed = seed
        self.best_mean_reward = -np.inf
        self._on_eval_step = on_step
        self._media = EvaluationMedia(eval_env, episodes_csv)
        # timesteps (n,), the others (n, n_eval_episodes)
        self._evaluations: dict[str, list[Any]] = {name: [] for name in (*_OF_SB3, *_OWN)}

    def _on_training_start(self) -> None:
        if self.num_timesteps > 0:
            self._restore()
        self._due = self._next_due((self._evaluations["timesteps"] or [0])[-1])

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._evaluate_if_due()

    def _on_training_end(self) -> None:
        self._evaluate_if_due()

    def _next_due(self, steps: int) -> int:
        return (steps // self.eval_freq + 1) * self.eval_freq

    def _evaluate_if_due(self) -> None:
        if self.model.num_timesteps >= self._due:
            self._due = self._next_due(self.model.num_timesteps)
            self._evaluate()

    def _evaluate(self) -> None:
        why: Exception | None = None
        for _ in range(TRIES):
            try:
                rewards, lengths, last_infos = self._play()
                break
            except (EmulatorError, SelfTestError) as error:
                why = error
        else:
            warnings.warn(
                f"no evaluation at step {self.model.num_timesteps}: an emulator broke in each of "
                f"{TRIES} tries, at last with: {why}. Training goes on",
                stacklevel=2,
            )
            return
        successes = [bool(info.get("is_success")) for info in last_infos]
        max_x = [info["max_x"] for info in last_infos if "max_x" in info]
        own = (
            [info.get("max_x", _OWN["max_x"]) for info in last_infos],
            [info.get("end_cause", _OWN["end_causes"]) for info in last_infos],
        )
        mean_reward = float(np.mean(rewards))
        best_mean_reward = max(mean_reward, self.best_mean_reward)
        row = (self.model.num_timesteps, rewards, lengths, successes, *own)
        for values, value in zip(self._evaluations.values(), row, strict=True):
            values.append(value)
        best = mean_reward > self.best_mean_reward
        try:
            self._save(best, best_mean_reward)
        except OSError as error:
            warnings.warn(
                f"the evaluation at step {self.model.num_timesteps} is not saved: {error}. "
                "Training goes on",
                stacklevel=2,
            )
        else:
            self.best_mean_reward = best_mean_reward

        self.logger.record("eval/mean_reward", mean_reward)
        self.logger.record("eval/mean_ep_length", float(np.mean(lengths)))
        self.logger.record("eval/success_rate", float(np.mean(successes)))
        if max_x:
            self.logger.record("eval/max_x_mean", float(np.mean(max_x)))
        self.logger.record("time/total_timesteps", self.model.num_timesteps, exclude="tensorboard")
        self._media.write(self.model, self._evaluations)
        self.logger.dump(self.model.num_timesteps)

        if self.verbose >= 1:
            reached = f", largest x {np.mean(max_x):,.0f} on average" if max_x else ""
            tqdm.write(
                f"Evaluation at {self.model.num_timesteps:,} steps: reward {mean_reward:,.1f} "
                f"± {np.std(rewards):,.1f}{reached}, flag in {sum(successes)} of "
                f"{len(successes)} episodes{' (best so far)' if best else ''}"
            )

    def _play(self) -> tuple[list[float], list[int], list[dict[str, Any]]]:
        """Return each episode's reward, length and last info.

        Raises:
            EmulatorError: An episode was cut off, so the figures are not the model's.
        """
        last_infos: list[dict[str, Any]] = []

        def watch(locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
            if "step_lost" in locals_["info"]:
                raise EmulatorError("an episode was cut off")
            self._media.step(locals_)
            if locals_["done"]:
                last_infos.append(locals_["info"])
            if self._on_eval_step is not None:
                self._on_eval_step()

        self.eval_env.seed(self.seed)
        self.model.policy.set_training_mode(False)
        with self._media.recording(self.model):
            rewards, lengths = evaluate_policy(
                self.model,
                self.eval_env,
                self.n_eval_episodes,
                deterministic=True,
                return_episode_rewards=True,
                callback=watch,
            )
        assert isinstance(rewards, list) and isinstance(lengths, list)
        return rewards, lengths, last_infos

    def _save(self, best: bool, best_mean_reward: float) -> None:
        if best:
            atomic_save_model(self.model, self.folder / "best_model.zip")
        archive = io.BytesIO()
        # The best may be of a part of the run that is abandoned, and no longer among the others.
        arrays = {"best_mean_reward": best_mean_reward, **self._evaluations}
        np.savez(archive, **{name: np.array(v) for name, v in arrays.items()})  # type: ignore[arg-type]
        atomic_write(self.folder / "evaluations.npz", archive.getbuffer())

    def _restore(self) -> None:
        """Take over the evaluations up to ``num_timesteps``; the best of all keeps its model."""
        path = self.folder / "evaluations.npz"
        if not path.is_file():
            return
        try:
            with np.load(path) as archive:
                stored = {name: archive[name] for name in _OF_SB3}
                for name, unknown in _OWN.items():
                    # Files of SB3, and of earlier versions of this class, do not have it.
                    nothing = np.full_like(stored["results"], unknown, dtype=type(unknown))
                    stored[name] = archive.get(name, nothing)
                episodes = stored["results"].shape[1]
                best = archive.get("best_mean_reward", stored["results"].mean(axis=1).max())
        except (EOFError, IndexError, KeyError, ValueError, BadZipFile) as error:
            raise ValueError(f"{path} is damaged ({error}): move it away") from error
        if episodes != self.n_eval_episodes:
            raise ValueError(
                f"{path} has {episodes} episodes an evaluation, this run {self.n_eval_episodes}: "
                "use the same number"
            )
        self.best_mean_reward = float(best)
        kept = int(np.searchsorted(stored["timesteps"], self.num_timesteps, side="right"))
        self._evaluations = {name: list(values[:kept]) for name, values in stored.items()}
