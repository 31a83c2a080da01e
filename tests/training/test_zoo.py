"""rl-baselines3-zoo trains, plays, searches and plots: the commands of docs/rl_zoo3.md."""

from __future__ import annotations

import csv
import importlib.util
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.monitor import load_results

from sb3_mario.dqn import DuelingDQNPolicy, FrameReplayBuffer
from sb3_mario.resources import hyperparams_dir
from tests.conftest import FREE_GAME
from tests.training.trainer import ENV_NAME, ROOT, Finished

TEXT = (ROOT / "docs" / "rl_zoo3.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PYTHON = [block for language, block in BLOCKS if language == "python"]
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\\\n", "").splitlines()
]

# Later words go before those of the documentation. With this seed batches of 4 and 8 are drawn.
SMALL = ("--num-threads", "1", "--seed", "2", "--env-kwargs", "max_steps:25", "-n", "120")
TINY = (*SMALL, "-params", "buffer_size:500", "learning_starts:60")
TWO_TRIALS = ("--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1")

MISSING = [
    name for name in ("rl_zoo3", "rliable", "requests") if importlib.util.find_spec(name) is None
]
needs_zoo = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{' and '.join(MISSING)} missing: run `pip install -e '.[zoo]'` for rl-baselines3-zoo",
)


def command(*words: str, without: str = "") -> list[str]:
    """The documentation's one command with these words."""
    (found,) = (c for c in COMMANDS if set(words) <= set(c) and without not in c)
    return found


TRAIN = command("rl_zoo3.train", without="-optimize")
ENJOY = command("rl_zoo3.enjoy")
SEARCH = command("rl_zoo3.train", "-optimize")
SEARCH_OURS = command("zoo.py", "-optimize")
EVALUATIONS = command("rl_zoo3.plots.all_plots", without="successes")
SUCCESSES = command("rl_zoo3.plots.all_plots", "successes")
EPISODES = command("rl_zoo3.plots.plot_train")


def run(words: list[str], *more: str | Path, cwd: Path) -> str:
    """Run one of the documentation's commands; all that it printed."""
    assert words[0] == "python"
    variables = {
        "PYTHONPATH": str(ROOT), "SB3_MARIO_ROM": str(FREE_GAME), "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    result = subprocess.run(
        [sys.executable, *words[1:], *map(str, more)],
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands read; what they write goes there too."""
    base = tmp_path_factory.mktemp("zoo")
    shutil.copytree(ROOT / "hyperparams", base / "hyperparams")
    (base / "zoo.py").write_text(PYTHON[0])
    return base


@pytest.fixture(scope="module")
def trained(checkout: Path) -> Path:
    """The folder of the zoo's run."""
    printed = run(TRAIN, "--eval-freq", "60", "--eval-episodes", "1", *TINY, cwd=checkout)
    assert "Saving to" in printed
    return checkout / "logs" / "dqn" / f"{ENV_NAME}_1"


def test_every_command_and_block_is_run_here() -> None:
    run_here = [TRAIN, ENJOY, SEARCH, SEARCH_OURS, EVALUATIONS, SUCCESSES, EPISODES]
    assert [c for c in COMMANDS if c not in run_here] == [["pip", "install", ".[zoo]"]]
    assert len(PYTHON) == 2, "zoo.py, and the plot with SB3"


def test_the_values_for_the_zoo_are_ours_where_its_dqn_has_them() -> None:
    def read(name: str) -> dict[str, Any]:
        values: dict[str, Any] = yaml.safe_load((hyperparams_dir() / name).read_text())["default"]
        return values

    ours, zoos = read("dueling_dqn.yml"), read("zoo/dqn.yml")
    assert zoos["replay_buffer_kwargs"] == {"n_steps": ours["n_steps"], "gamma": ours["gamma"]}
    assert zoos["train_freq"] == ours["n_envs"] * ours["train_freq"]
    others = (zoos.keys() & ours.keys()) - {"n_envs", "train_freq", "learning_rate"}
    assert {key: zoos[key] for key in others} == {key: ours[key] for key in others}


@needs_zoo
def test_the_zoo_trains_our_network_on_our_buffer(trained: Path) -> None:
    model = DQN.load(trained / f"{ENV_NAME}.zip", device="cpu")
    assert type(model.policy) is DuelingDQNPolicy
    assert model.replay_buffer_class is FrameReplayBuffer
    assert model.num_timesteps == 120 and model._n_updates == 15
    assert len(load_results(str(trained))) == 4
    with np.load(trained / "evaluations.npz") as evaluations:
        assert evaluations["timesteps"].tolist() == [60, 120]


@needs_zoo
def test_the_zoo_plays_what_it_trained(trained: Path) -> None:
    printed = run(ENJOY, "-n", "60", "--num-threads", "1", cwd=trained.parents[2])
    assert "2 Episodes" in printed and "Success rate: 0.00%" in printed


@needs_zoo
@pytest.mark.parametrize(
    ("words", "algorithm", "searched"),
    [
        (SEARCH, "dqn", "batch_size_pow"),
        (SEARCH_OURS, "dueling_dqn", "n_steps"),
    ],
    ids=["dqn", "dueling_dqn"],
)
def test_the_zoo_searches(checkout: Path, words: list[str], algorithm: str, searched: str) -> None:
    printed = run(words, *TWO_TRIALS, *TINY, "n_envs:1", cwd=checkout)
    assert "Number of finished trials:  2" in printed
    (report,) = (checkout / "logs" / algorithm).glob("report_*.csv")
    with report.open() as file:
        trials = list(csv.DictReader(file))
    assert [trial["state"] for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert all(float(trial["value"]) for trial in trials)
    assert all(trial[f"params_{searched}"] for trial in trials)


@needs_zoo
@pytest.mark.parametrize("words", [EVALUATIONS, SUCCESSES], ids=["rewards", "successes"])
def test_the_zoos_table_has_a_run_of_ours(
    finished: Finished, words: list[str], tmp_path: Path
) -> None:
    base = finished.path.parents[2]
    printed = run(words, "--no-million", "-print", "-o", tmp_path / "table", cwd=base)
    assert "SuperMarioBros-1-1-v0-DUELING_DQN-logs: 1" in printed
    key = "successes" if "successes" in words else "results"
    with np.load(finished.path / "evaluations.npz") as ours:
        steps, means = ours["timesteps"], ours[key].mean(axis=1)
    assert f"{means[-1]:.0f} +/- 0" in printed
    table = pickle.loads((tmp_path / "table.pkl").read_bytes())
    curve = table["SuperMarioBros-1-1-v0"]["DUELING_DQN-logs"]
    assert curve["timesteps"].tolist() == steps.tolist() == [100, 200]
    assert curve["mean"].tolist() == means.tolist()


@needs_zoo
def test_the_zoo_plots_our_training(finished: Finished) -> None:
    printed = run(EPISODES, "-w", "2", cwd=finished.path.parents[2])
    # It says so where it draws nothing.
    assert "No artists" not in printed and "No data" not in printed


def test_the_block_that_plots_with_sb3_runs(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.path.parents[1], tmp_path / "logs")
    (tmp_path / "plot.py").write_text(PYTHON[1])
    run(["python", "plot.py"], cwd=tmp_path)
    assert (tmp_path / "rewards.png").stat().st_size > 5000
