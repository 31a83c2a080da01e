"""What TensorBoard shows of evaluations beside their figures: a video, histograms, a heat map."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import TensorBoardOutputFormat
from stable_baselines3.common.vec_env import VecEnv
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import histogram

from sb3_mario.callbacks.clip import Clip

Q_BINS: Final = 50


class EvaluationMedia:
    """Records evaluations and writes to TensorBoard what is no scalar.

    - ``eval/episode``: a video (GIF) of the first episode of one environment, the same start each
      time, a picture a step, 14 a second; see `sb3_mario.callbacks.clip`. The step that ends the
      episode has no picture: the next one has begun by then
    - ``eval/actions``: histogram of the actions of all episodes, a bin for each action
    - ``eval/q_values``: histogram of the Q-values of all actions in all steps
    - ``eval/max_q``: histogram of the largest of each step
    - ``eval/ends``: heat map of where along the level the episodes of all evaluations ended, and
      those of training: see `sb3_mario.plotting.heat_map`

    Without TensorBoard in the model's logger nothing is done. What there is nothing of is left
    out, quietly: the video where the environments do not have ``render_mode="rgb_array"`` (nor in
    ``train.py`` with ``obs="tiles"``, for which no pictures are sent), the Q-values where the model
    has no ``q_net``, the heat map where infos have no ``max_x``. What goes wrong, a full disk too,
    is a warning.

    No network is run for it: the Q-values are taken from the forward passes that choose the
    actions.

    Args:
        env: The environments that evaluations are played on.
        episodes_csv: `EpisodeCSVCallback`'s file, for the ends of training episodes; None for a
            heat map of evaluations alone.
    """

    def __init__(self, env: VecEnv, episodes_csv: str | os.PathLike[str] | None = None) -> None:
        self._env = env
        self._episodes_csv = None if episodes_csv is None else Path(episodes_csv)
        # evaluate_policy gives the last environment at least as many episodes as any other.
        self._filmed = env.num_envs - 1
        self._active = False
        self._forget()

    def _forget(self) -> None:
        self._clip = Clip()
        self._filming = self._env.render_mode == "rgb_array"
        self._actions: list[int] = []
        self._q_values: list[npt.NDArray[np.float32]] = []  # (n_actions,) each
        self._newest_q: npt.NDArray[np.float32] | None = None  # (n_envs, n_actions)

    @contextmanager
    def recording(self, model: BaseAlgorithm) -> Iterator[None]:
        """Record the evaluation that is played in the block, in place of one before it."""
        self._forget()
        self._active = _writer(model) is not None
        q_net = getattr(model, "q_net", None)
        hook = None
        if self._active and isinstance(q_net, nn.Module):
            hook = q_net.register_forward_hook(self._on_forward)
        try:
            yield
        finally:
            if hook is not None:
                hook.remove()

    def _on_forward(self, module: nn.Module, args: Any, q_values: th.Tensor) -> None:
        self._newest_q = q_values.detach().float().cpu().numpy()

    def step(self, locals_: Mapping[str, Any]) -> None:
        """Take down a step of one environment.

        Args:
            locals_: What ``evaluate_policy`` gives its callback: ``i`` is the environment,
                ``actions`` are ``(n_envs,)``, ``done`` is whether the episode has ended.
        """
        if not self._active:
            return
        env = locals_["i"]
        try:
            self._actions.append(int(locals_["actions"][env]))
            if self._newest_q is not None:
                self._q_values.append(self._newest_q[env])
            if env == self._filmed and self._filming:
                self._film(locals_["done"])
        except Exception as error:
            self._active = False
            _warn(f"an evaluation is not recorded for TensorBoard: {error!r}")

    def _film(self, done: bool) -> None:
        if done:
            self._filming = False
        elif not self._clip.skips():
            (picture,) = self._env.env_method("render", indices=[self._filmed])
            self._clip.add(picture)

    def write(self, model: BaseAlgorithm, evaluations: Mapping[str, Sequence[Any]]) -> None:
        """Write what was recorded last, as of the model's ``num_timesteps``.

        Args:
            model: The model that was evaluated.
            evaluations: All evaluations of the run with the last one: ``timesteps``
                ``(evaluations,)``; ``max_x``, pixels, NaN where unknown, and ``end_causes``, both
                ``(evaluations, episodes)``.
        """
        if not self._active:
            return
        makers: dict[str, Callable[[str], Summary | None]] = {
            "eval/actions": self._action_histogram,
            "eval/q_values": self._q_histogram,
            "eval/max_q": self._max_q_histogram,
            "eval/episode": self._video,
            "eval/ends": partial(self._heat_map, evaluations),
        }
        for tag, make in makers.items():
            try:
                summary, writer = make(tag), _writer(model)
                if summary is not None and writer is not None:
                    assert writer.file_writer is not None
                    writer.file_writer.add_summary(summary, model.num_timesteps)
            except Exception as error:
                _warn(f"no {tag} in TensorBoard at step {model.num_timesteps:,}: {error!r}")
        self._forget()

    def _action_histogram(self, tag: str) -> Summary | None:
        space = self._env.action_space
        if not self._actions or not isinstance(space, spaces.Discrete):
            return None
        return _histogram(tag, np.array(self._actions), np.arange(space.n + 1) - 0.5)

    def _q_histogram(self, tag: str) -> Summary | None:
        return _histogram(tag, np.array(self._q_values), Q_BINS) if self._q_values else None

    def _max_q_histogram(self, tag: str) -> Summary | None:
        if not self._q_values:
            return None
        return _histogram(tag, np.array(self._q_values).max(axis=1), Q_BINS)

    def _video(self, tag: str) -> Summary | None:
        return _image(tag, *self._clip.gif()) if len(self._clip) else None

    def _heat_map(self, evaluations: Mapping[str, Sequence[Any]], tag: str) -> Summary | None:
        # Not above: plotting imports this package, and matplotlib takes its time.
        from sb3_mario.plotting.heat_map import Ends, ends_heat_map

        x = np.array(evaluations["max_x"], dtype=np.float64)
        known = np.isfinite(x)
        if not known.any():
            return None
        steps = np.broadcast_to(np.array(evaluations["timesteps"], float)[:, None], x.shape)
        causes = np.array(evaluations["end_causes"], dtype=np.str_)
        training = Ends(*_training_ends(self._episodes_csv))
        figure = ends_heat_map(Ends(steps[known], x[known], causes[known]), training)
        png = io.BytesIO()
        figure.savefig(png, format="png")
        width, height = figure.canvas.get_width_height()
        return _image(tag, png.getvalue(), (height, width))


def _writer(model: BaseAlgorithm) -> SummaryWriter | None:
    """Return what writes TensorBoard's files; None without TensorBoard."""
    for output in model.logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat):
            return output.writer
    return None


def _histogram(tag: str, values: npt.NDArray[Any], bins: npt.NDArray[Any] | int) -> Summary:
    """Return a histogram; ``bins`` are their number or, ``(bins + 1,)``, their edges."""
    # SB3's way has TensorBoard's bins, each a tenth wider than the last: far too wide for Q-values.
    return histogram(tag, values, bins)  # type: ignore[no-untyped-call]


def _image(tag: str, encoded: bytes, size: tuple[int, int]) -> Summary:
    """Return a picture of ``size``, height and width in pixels, as TensorBoard stores it."""
    # SB3's Video, and Figure, need moviepy and pyplot; encoded pictures need neither.
    image = Summary.Image(height=size[0], width=size[1], colorspace=3, encoded_image_string=encoded)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _training_ends(
    path: Path | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Return steps, largest x and cause of the episodes in a CSV, each ``(episodes,)``."""
    rows: list[dict[str, str]] = []
    if path is not None and path.is_file():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["max_x"] and row["end_cause"]]
    return (
        np.array([float(row["timesteps"]) for row in rows]),
        np.array([float(row["max_x"]) for row in rows]),
        np.array([row["end_cause"] for row in rows], dtype=np.str_),
    )


def _warn(text: str) -> None:
    warnings.warn(f"{text}. Training goes on", stacklevel=4)
