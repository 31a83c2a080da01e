"""The trained agents that come with the package: what they are, and that they clear their level."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from stable_baselines3 import DQN

from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.evaluation import evaluate
from sb3_mario.resources import pretrained_dir

ROOT = Path(__file__).parents[1]
LARGEST = 10_000_000  # bytes
STARTS = 10
GAMES = [
    "Foxtrot-1-1",
    pytest.param("SuperMarioBros-1-1", marks=pytest.mark.real_rom),
]


@pytest.mark.parametrize("name", GAMES)
def test_an_agent_clears_its_level_loaded_by_plain_dqn(name: str) -> None:
    rom = ROOT / "homebrew" / "foxtrot.nes" if name.startswith("Foxtrot") else None
    model = DQN.load(pretrained_dir() / f"{name}.zip", device="cpu")
    assert type(model) is DQN

    def make_env(sticky: float) -> SuperMarioBrosEnv:
        return SuperMarioBrosEnv("1-1", rom=rom, sticky_action_probability=sticky)

    found = evaluate(model, make_env, env_id="1-1", episodes=STARTS, seed=7, n_envs=2)
    # its card says how often of 100; processors round differently
    assert found.clears >= 0.7 * STARTS, found.summary()


@pytest.mark.parametrize("name", ["Foxtrot-1-1", "SuperMarioBros-1-1"])
def test_an_agent_is_small_and_has_a_card_with_its_figures(name: str) -> None:
    folder = pretrained_dir()
    assert (folder / f"{name}.zip").stat().st_size < LARGEST
    judged = json.loads((folder / f"{name}.json").read_text())
    card = (folder / f"{name}.md").read_text()
    for rule in ("noop_starts", "sticky_actions"):
        assert judged[rule]["n_episodes"] >= 100
        assert f"{judged[rule]['clears']} of {judged[rule]['n_episodes']}" in card
    for word in ("steps", "hours", "commit", "DQN.load", "seed"):
        assert word in card, word


def test_enjoy_without_arguments_and_display_writes_a_video_of_it(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if "DISPLAY" not in k}
    environment |= {
        "SB3_MARIO_ROM": str(ROOT / "homebrew" / "foxtrot.nes"),
        "PYTHONPATH": str(ROOT),
    }
    result = subprocess.run(
        [sys.executable, ROOT / "enjoy.py", "-n", "30"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Foxtrot-1-1.zip on sb3_mario/SuperMarioBros-1-1-v0" in result.stdout
    assert "no display for FCEUX's window: enjoy.mp4" in result.stdout
    video = cv2.VideoCapture(str(tmp_path / "enjoy.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 30
