"""Callbacks for training: the episodes' CSV, checkpoints, evaluation, TensorBoard, progress."""

from sb3_mario.callbacks.checkpoints import (
    AtomicCheckpointCallback,
    atomic_save_model,
    atomic_write,
    newest_checkpoint,
    replay_buffer_path,
)
from sb3_mario.callbacks.episodes import COLUMNS, EpisodeCSVCallback
from sb3_mario.callbacks.evaluation import EvaluationCallback
from sb3_mario.callbacks.interrupt import InterruptCallback
from sb3_mario.callbacks.progress import ProgressCallback
from sb3_mario.callbacks.tensorboard import TensorboardCallback

__all__ = [
    "COLUMNS",
    "AtomicCheckpointCallback",
    "EpisodeCSVCallback",
    "EvaluationCallback",
    "InterruptCallback",
    "ProgressCallback",
    "TensorboardCallback",
    "atomic_save_model",
    "atomic_write",
    "newest_checkpoint",
    "replay_buffer_path",
]
