"""Where figures go."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from sb3_mario.training.logger import make_logger


def test_a_full_disk_costs_points_of_tensorboard_and_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a run that was resumed at step 100.
    logger = make_logger(tmp_path, 100, table=False)
    logger.record("a", 1.0)
    logger.dump(101)
    logger.output_formats[0].writer.flush()  # type: ignore[attr-defined]

    def full(self: EventFileWriter) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(EventFileWriter, "flush", full)
        logger.record("a", 2.0)
        with pytest.warns(UserWarning, match=r"could not write TensorBoard's file.*step 102 and"):
            logger.dump(102)
    logger.record("a", 3.0)
    logger.dump(103)
    logger.close()
    points = EventAccumulator(str(tmp_path)).Reload().Scalars("a")
    assert {101, 103} <= {point.step for point in points}
