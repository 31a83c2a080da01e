"""Where a run's figures go: TensorBoard's files and SB3's table."""

from __future__ import annotations

import contextlib
import sys
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import (
    HumanOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
)
from torch.utils.tensorboard import SummaryWriter


def make_logger(folder: Path, steps: int, *, table: bool) -> Logger:
    """Return SB3's logger.

    Args:
        folder: Where TensorBoard's files go.
        steps: Environment steps done before; points after them, from an abandoned part of the
            run, show no more.
        table: Print SB3's table too.
    """
    formats: list[KVWriter] = [_TensorBoard(folder, steps)]
    if table:
        formats.append(HumanOutputFormat(sys.stdout))
    return Logger(str(folder), formats)


class _TensorBoard(TensorBoardOutputFormat):
    """SB3's with ``purge_step``, no file before the first point, and no end at a full disk."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder = folder
        self._purge_step = steps + 1 if steps else None
        self._is_closed = False

    @cached_property
    def writer(self) -> SummaryWriter:  # type: ignore[override]
        return SummaryWriter(str(self._folder), purge_step=self._purge_step)

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        try:
            super().write(key_values, key_excluded, step)
        except OSError as error:
            warnings.warn(
                f"could not write TensorBoard's file in {self._folder}: {error.strerror}; the "
                f"points of step {step:,} and some before it are lost",
                stacklevel=2,
            )
            # The writer's thread has died of it: the next points begin another file, and take
            # nothing back of this one.
            self._purge_step = None
            vars(self).pop("writer", None)

    def close(self) -> None:
        if "writer" in vars(self):
            with contextlib.suppress(OSError):
                super().close()
