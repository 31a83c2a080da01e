"""The number of torch threads is measured."""

from __future__ import annotations

import os

import pytest
import torch as th

from sb3_mario.training import threads
from sb3_mario.training.threads import measure_threads
from tests.callbacks.conftest import make_model  # noqa: F401 - a fixture
from tests.callbacks.toy_mario import MakeModel


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SECONDS", 0.05)


def test_every_doubling_up_to_the_cores_is_measured_and_torchs_number_left(
    make_model: MakeModel,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_cores", lambda: 5)
    before = th.get_num_threads()
    measured = measure_threads(make_model(), lambda: None)
    assert list(measured) == [1, 2, 4]
    assert all(speed > 0 for speed in measured.values())
    assert th.get_num_threads() == before


def test_the_best_of_the_rounds_counts(
    make_model: MakeModel,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speeds = iter([100.0, 50.0, 80.0, 120.0])
    monkeypatch.setattr(threads, "_cores", lambda: 2)
    monkeypatch.setattr(threads, "_steps_per_second", lambda model: next(speeds))
    assert measure_threads(make_model(), lambda: None) == {1: 100.0, 2: 120.0}


def test_it_can_be_stopped(make_model: MakeModel) -> None:  # noqa: F811
    def stop() -> None:
        raise KeyboardInterrupt

    before = th.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        measure_threads(make_model(), stop)
    assert th.get_num_threads() == before


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= threads._cores() <= (os.cpu_count() or 1)
