"""A run's folder: its number, its files, and what is left when it goes."""

from __future__ import annotations

import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import DQN

from sb3_mario.callbacks import atomic_save_model
from sb3_mario.training.config import ConfigError
from sb3_mario.training.folder import RunFolder

ENV_ID = "sb3_mario/SuperMarioBros-1-1-v0"
NAME = "sb3_mario-SuperMarioBros-1-1-v0"


def create(log_folder: Path) -> RunFolder:
    return RunFolder.create(log_folder, "dqn", ENV_ID)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create(tmp_path / "logs")


# Its name


def test_runs_are_numbered_from_1_below_their_algorithm(tmp_path: Path) -> None:
    paths = [create(tmp_path / "logs").path for _ in range(3)]
    assert paths == [tmp_path / "logs" / "dqn" / f"{NAME}_{n}" for n in (1, 2, 3)]
    assert all(path.is_dir() for path in paths)


def test_the_number_follows_the_largest_of_the_same_environment(tmp_path: Path) -> None:
    for name in (f"{NAME}_2", f"{NAME}_10", f"{NAME}_x", f"{NAME}_11_old", "sb3_mario-Other_99"):
        (tmp_path / "dqn" / name).mkdir(parents=True)
    (tmp_path / "dueling_dqn" / f"{NAME}_50").mkdir(parents=True)
    assert create(tmp_path).path.name == f"{NAME}_11"
    assert RunFolder.create(tmp_path, "dqn", "sb3_mario/SuperMarioBros-v0").path.name == (
        "sb3_mario-SuperMarioBros-v0_1"
    )


def test_runs_that_start_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def start(_: int) -> list[Path]:
        barrier.wait()
        return [create(tmp_path / "logs").path for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        paths = [path for made in pool.map(start, range(8)) for path in made]
    assert len(set(paths)) == 160
    assert {int(path.name.rpartition("_")[2]) for path in paths} == set(range(1, 161))


def test_a_log_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(ConfigError, match=r"-f/--log-folder: no folder can be made in .*logs"):
        create(tmp_path / "logs")


# When a run did not begin


def test_a_removed_folder_takes_those_with_it_that_were_made_for_it(tmp_path: Path) -> None:
    folder = create(tmp_path / "a" / "b" / "logs")
    (folder.path / "0.monitor.csv").write_text("r,l,t\n")
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_before_stay(tmp_path: Path) -> None:
    (tmp_path / "logs" / "dqn").mkdir(parents=True)
    create(tmp_path / "logs").remove()
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["dqn"]


def test_another_run_that_began_meanwhile_stays(tmp_path: Path) -> None:
    first, second = create(tmp_path / "logs"), create(tmp_path / "logs")
    (second.path / "episodes.csv").write_text("mine")
    first.remove()
    assert not first.path.exists()
    assert (second.path / "episodes.csv").read_text() == "mine"


# Its files


def test_files_have_the_names_of_the_docstring(folder: RunFolder) -> None:
    assert folder.final_model == folder.path / f"{NAME}.zip"
    assert folder.episodes_csv == folder.path / "episodes.csv"
    assert folder.monitor_csv(1) == folder.path / "1.monitor.csv"


def test_what_the_run_is_can_be_read_back(folder: RunFolder) -> None:
    hyperparams = {"gamma": 0.9, "env_kwargs": {"actions": [["right", "A"]]}, "learning_rate": 1e-4}
    args = {"algo": "dqn", "seed": 0, "rom": None, "hyperparams": ["gamma:0.9"]}
    folder.write(hyperparams, args, ["train.py"])
    assert folder.read_hyperparams() == hyperparams
    assert folder.read_args() == args
    assert {path.name for path in folder.path.iterdir()} == {
        "config.yml",
        "args.yml",
        "command.txt",
    }


def test_each_start_adds_its_command_so_that_a_shell_takes_it(folder: RunFolder) -> None:
    commands = [["train.py", "-params", "train_freq:[2, episode]"], ["train.py", "-i", "a b"]]
    for command in commands:
        folder.write({"gamma": 0.9}, {"algo": "dqn"}, command)
    lines = (folder.path / "command.txt").read_text().splitlines()
    assert [shlex.split(line) for line in lines] == commands


@pytest.mark.parametrize("damage", [None, "algo: [", "- dqn"])
def test_missing_or_damaged_files_are_named(folder: RunFolder, damage: str | None) -> None:
    for name, read in (("args", folder.read_args), ("config", folder.read_hyperparams)):
        if damage is not None:
            (folder.path / f"{name}.yml").write_text(damage)
        with pytest.raises(ConfigError, match=rf"{name}\.yml"):
            read()


# Resuming


def test_a_path_in_a_run_belongs_to_it(folder: RunFolder, tmp_path: Path) -> None:
    assert RunFolder.holding(folder.path) is None, "without args.yml it is no run's"
    folder.write({}, {}, ["train.py"])
    checkpoint = folder.path / "rl_model_10_steps.zip"
    checkpoint.write_bytes(b"")
    for path in (folder.path, checkpoint):
        held = RunFolder.holding(path)
        assert held is not None and held.path == folder.path
    assert RunFolder.holding(tmp_path) is None
    (tmp_path / "model.zip").write_bytes(b"")
    assert RunFolder.holding(tmp_path / "model.zip") is None


def test_a_checkpoint_is_found_from_within_its_folder(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write({}, {}, ["train.py"])
    (folder.path / "rl_model_10_steps.zip").write_bytes(b"")
    monkeypatch.chdir(folder.path)
    for path in ("rl_model_10_steps.zip", ".", "../" + folder.path.name):
        found = RunFolder.holding(Path(path))
        assert found is not None
        assert found.final_model.name == folder.final_model.name
        assert found.final_model.parent.samefile(folder.path)


def test_the_newest_whole_checkpoint_is_resumed_from(folder: RunFolder) -> None:
    th.set_num_threads(1)
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=10, device="cpu")
    for steps in (90, 100):
        atomic_save_model(model, folder.path / f"rl_model_{steps}_steps.zip")
    assert folder.checkpoint() == folder.path / "rl_model_100_steps.zip"
    (folder.path / "rl_model_100_steps.zip").write_bytes(b"PK torn")
    with pytest.warns(UserWarning, match="passing over the damaged checkpoint .*_100_steps"):
        assert folder.checkpoint() == folder.path / "rl_model_90_steps.zip"


def test_a_run_without_a_checkpoint_cannot_be_resumed(folder: RunFolder) -> None:
    (folder.path / "best_model.zip").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"-i/--trained-agent: .* holds no whole checkpoint"):
        folder.checkpoint()
