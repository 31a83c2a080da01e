"""Runs that several modules look at, made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch as th

from tests.processes import folders_of
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    TINY,
    WHOLE_RUN,
    Finished,
    trainer,
)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A whole run, in a process in which every warning is an error."""
    base = tmp_path_factory.mktemp("finished")
    with trainer(base, *WHOLE_RUN, python=("-W", "error")) as run:
        assert run.wait() == 0, run.output()
        assert folders_of("*", run.temp) == []
    return Finished(run.folder, run.output())


@pytest.fixture(scope="session")
def plain_dqn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of SB3's plain DQN; it printed nothing."""
    base = tmp_path_factory.mktemp("plain")
    words = ("--algo", "dqn", "-n", "80", *TINY, *NO_EVALUATION, "--verbose", "0")
    with trainer(base, *words, python=("-W", "error")) as run:
        assert run.wait() == 0, run.output()
    assert run.output() == ""
    return base / "logs" / "dqn" / f"{ENV_NAME}_1"


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, to be resumed."""
    folder = tmp_path / "logs" / "dueling_dqn" / f"{ENV_NAME}_1"
    shutil.copytree(finished.path, folder)
    return folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = th.get_num_threads()
    yield
    th.set_num_threads(before)
