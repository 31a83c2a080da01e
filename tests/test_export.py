"""Agents made small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN

from sb3_mario.dqn import DuelingDQN
from sb3_mario.export import main
from tests.dqn.test_algorithm import SIZE, Stacks


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[DuelingDQN, Path]:
    """A model that has learned a little, and its file."""
    th.set_num_threads(1)
    path = tmp_path_factory.mktemp("model") / "model.zip"
    model = DuelingDQN(
        "DuelingDQNPolicy", Stacks(), buffer_size=200, learning_starts=20, seed=0, device="cpu"
    ).learn(80)
    model.save(path)
    return model, path


def test_an_exported_agent_acts_as_before_and_takes_a_fraction_of_the_room(
    model: tuple[DuelingDQN, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, path = model
    small = tmp_path / "given" / "away.zip"
    assert main([str(path), "-o", str(small.with_suffix(""))]) == 0, "as SB3 adds .zip"
    assert str(small) in capsys.readouterr().out
    assert small.stat().st_size < 0.3 * path.stat().st_size
    stacks = np.random.default_rng(0).integers(256, size=(50, 4, SIZE, SIZE), dtype=np.uint8)
    actions = trained.predict(stacks, deterministic=True)[0]
    assert (DQN.load(small, device="cpu").predict(stacks, deterministic=True)[0] == actions).all()


def test_an_exported_agent_can_be_trained_further(
    model: tuple[DuelingDQN, Path], tmp_path: Path
) -> None:
    small = tmp_path / "small.zip"
    assert main([str(model[1]), "-o", str(small)]) == 0
    further = DuelingDQN.load(small, env=Stacks(), device="cpu")
    before = [p.detach().clone() for p in further.q_net_target.parameters()]
    further.learn(60)
    assert all(
        a.equal(b) for a, b in zip(before, further.q_net_target.parameters(), strict=True)
    ), "the target network is one of its own again"
    assert not all(a.equal(b) for a, b in zip(before, further.q_net.parameters(), strict=True))


def test_a_file_that_cannot_be_written_is_named(
    model: tuple[DuelingDQN, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model[1]), "-o", "/proc/no.zip"]) == 1
    assert "/proc/no.zip cannot be written" in capsys.readouterr().err


def test_what_is_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.zip").write_bytes(b"no zip")
    assert main([str(tmp_path / "no.zip"), "-o", str(tmp_path / "out.zip")]) == 1
    assert "no.zip cannot be loaded" in capsys.readouterr().err
    assert not (tmp_path / "out.zip").exists()
