"""Callbacks for training: the episodes' CSV, checkpoints and TensorBoard."""

from sb3_mario.callbacks.checkpoints import (
    AtomicCheckpointCallback,
    atomic_save_model,
    newest_checkpoint,
    replay_buffer_path,
)
from sb3_mario.callbacks.episodes import COLUMNS, EpisodeCSVCallback
from sb3_mario.callbacks.tensorboard import TensorboardCallback

__all__ = [
    "COLUMNS",
    "AtomicCheckpointCallback",
    "EpisodeCSVCallback",
    "TensorboardCallback",
    "atomic_save_model",
    "newest_checkpoint",
    "replay_buffer_path",
]
