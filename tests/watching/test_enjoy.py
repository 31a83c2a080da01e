"""``enjoy.py`` on the real game, and what it draws."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN

from sb3_mario.dqn import DuelingDQN
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.watching.enjoy import main
from sb3_mario.watching.insight import Insight, look_into
from sb3_mario.watching.panel import ACCENT, BACKGROUND, draw

ROOT = Path(__file__).parents[2]
FREE_GAME = ROOT / "homebrew" / "foxtrot.nes"
ACTIONS = ["NOOP", "right", "right A", "right B", "right A B", "A", "left"]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned nothing."""
    th.set_num_threads(1)
    path = tmp_path_factory.mktemp("model") / "model.zip"
    env = SuperMarioBrosEnv(rom=None)
    DuelingDQN("DuelingDQNPolicy", env, buffer_size=100, seed=0, device="cpu").save(path)
    env.close()
    return path


@pytest.mark.real_rom
def test_an_agent_is_watched_without_a_window(
    model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(model_file), "--no-render", "-n", "40"]
    assert main([*words, "--env-kwargs", "max_steps:15"]) == 0
    assert re.search(r"Episode 1: step_limit at x \d+, reward", capsys.readouterr().out)


@pytest.mark.real_rom
def test_a_video_shows_the_game_beside_what_the_agent_sees(
    model_file: Path, tmp_path: Path
) -> None:
    video = tmp_path / "deep" / "video.mp4"
    assert main(["--model", str(model_file), "--record", str(video), "-n", "20"]) == 0
    reader = cv2.VideoCapture(str(video))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert reader.get(cv2.CAP_PROP_FPS) == 15
    there, frame = reader.read()
    assert there
    assert frame.shape == (720, 1248, 3)
    blue, _, red = frame[300, 400]
    assert blue > red, "the sky"
    assert len(np.unique(frame[70:170, 784:884])) > 20, "the oldest frame of the stack"


@pytest.mark.real_rom
def test_a_judgement_is_written_as_json(
    model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "evaluation.json"
    words = ["--model", str(model_file), "--evaluate", "--episodes", "3", "-o", str(output)]
    assert main([*words, "--env-kwargs", "stuck_steps:15"]) == 0
    results = json.loads(output.read_text())
    assert results["noop_starts"]["n_episodes"] == results["sticky_actions"]["n_episodes"] == 3
    assert results["sticky_actions"]["sticky_action_probability"] == 0.25
    assert results["model"] == "model.zip"
    assert "greedy, sticky actions p=0.25, 3 episodes" in capsys.readouterr().out


@pytest.mark.real_rom
def test_the_window_shows_under_a_display(model_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "enjoy.py", "--model", model_file, "-n", "20"]
    result = subprocess.run(
        ["xvfb-run", "-a", *map(str, command)], cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "no display" not in result.stdout
    assert not (tmp_path / "enjoy.mp4").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("frame_stack:2", ["other observations", "(8, 84, 84)", "(2, 84, 84)"]),
        ("obs:tiles", ["other observations", "(8, 84, 84)", "Dict('tiles'"]),
        ("actions:complex", ["other actions", "Discrete(7)", "Discrete(12)"]),
    ],
)
@pytest.mark.parametrize("mode", [[], ["--record", "video.mp4"], ["--evaluate"]])
def test_a_model_that_does_not_fit_the_environment_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: str,
    words: list[str],
    mode: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    env = SuperMarioBrosEnv(rom=FREE_GAME)
    model = DuelingDQN("DuelingDQNPolicy", env, buffer_size=10, device="cpu")
    model.save(tmp_path / "model.zip")
    command = ["--model", "model.zip", "--rom", str(FREE_GAME), "--env-kwargs", changes]
    assert main([*command, *mode]) == 2
    said = capsys.readouterr().err
    for word in ["enjoy.py: error: model.zip", *words, "--env-kwargs"]:
        assert word in said


def test_without_a_model_it_says_how_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-f", str(tmp_path)]) == 2
    assert "train one with `python train.py" in capsys.readouterr().err


@pytest.mark.real_rom
def test_a_name_that_is_no_videos_is_refused(
    model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "video.unknown"
    assert main(["--model", str(model_file), "--record", str(video), "-n", "5"]) == 2
    assert "give a name in .mp4" in capsys.readouterr().err


# What is drawn


@pytest.mark.parametrize("n_actions", [7, 12])
@pytest.mark.parametrize("frames", [1, 4, 8, 16, 20, 21, 33, 64])
@pytest.mark.parametrize("with_value", [True, False])
def test_every_stacked_frame_and_every_bar_is_in_the_panel(
    frames: int, n_actions: int, with_value: bool
) -> None:
    seen = (
        np.full((frames, 84, 84), 100, np.uint8) + np.arange(frames, dtype=np.uint8)[:, None, None]
    )
    values = np.full(n_actions, -1, np.float32)
    values[-1] = 1
    value, advantages = (2.0, values) if with_value else (None, None)
    insight = Insight(values, value, advantages, None)
    names = [f"action {number}" for number in range(n_actions)]
    panel = draw(np.zeros((240, 256, 3), np.uint8), seen, insight, names, 0, ["one", "two"])
    assert panel.shape == (720, 1248, 3)
    column = panel[:, 768:]
    areas = [(column == 100 + number).all(axis=2).sum() for number in range(frames)]
    assert min(areas) >= 6 * 6
    if frames <= 8:
        assert min(areas) >= 100 * 100, "as large as ever"
    # The last action's bar alone is on the right side of the middle; all of it is to be seen.
    bar = (column == ACCENT).all(axis=2)
    assert bar.sum() == 13 * 81
    assert (column[-1] == BACKGROUND).all(), "nothing is cut off"


@pytest.mark.real_rom
@pytest.mark.parametrize("kind", ["pixels", "pixels+state", "tiles"])
def test_insight_agrees_with_the_model_for_every_observation(kind: str) -> None:
    env = SuperMarioBrosEnv(obs=kind)
    model: DQN = DuelingDQN("DuelingDQNPolicy", env, buffer_size=100, seed=0, device="cpu")
    env.observation_space.seed(0)
    seen = env.observation_space.sample()
    insight = look_into(model, seen)
    tensor, _ = model.policy.obs_to_tensor(seen)
    with th.no_grad():
        expected = model.q_net(tensor)[0].numpy()
    assert insight.q_values == pytest.approx(expected, abs=1e-5)
    assert insight.value is not None
    assert insight.advantages is not None
    assert insight.advantages.sum() == pytest.approx(0, abs=1e-5)
    assert insight.value + insight.advantages == pytest.approx(expected, abs=1e-5)
    if kind == "tiles":
        assert insight.saliency is None
    else:
        assert insight.saliency is not None
        assert insight.saliency.shape == (84, 84)
        assert insight.saliency.max() == pytest.approx(1)
    picture = np.full((240, 256, 3), 90, np.uint8)
    panel = draw(picture, seen, insight, ACTIONS, 3, ["one", "two"])
    assert panel.shape == (720, 1248, 3)
    assert panel.dtype == np.uint8


@pytest.mark.real_rom
def test_a_network_without_streams_shows_its_q_values() -> None:
    model = DQN("CnnPolicy", SuperMarioBrosEnv(), buffer_size=100, seed=0, device="cpu")
    seen = np.random.default_rng(0).integers(256, size=(8, 84, 84), dtype=np.uint8)
    insight = look_into(model, seen)
    assert insight.value is None
    assert insight.advantages is None
    draw(np.zeros((240, 256, 3), np.uint8), seen, insight, ACTIONS, 0, [])
