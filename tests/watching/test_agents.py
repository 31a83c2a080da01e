"""Which agent the flags name."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import yaml
from stable_baselines3 import DQN

from sb3_mario.dqn import DuelingDQN
from sb3_mario.training.config import ConfigError
from sb3_mario.watching.agents import Agent, find_agent
from sb3_mario.watching.arguments import parse_arguments

FREE_GAME = Path(__file__).parents[2] / "homebrew" / "foxtrot.nes"
NAME = "sb3_mario-SuperMarioBros-1-1-v0"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two runs; the second has no final model."""
    for number in (1, 2):
        folder = tmp_path / "dueling_dqn" / f"{NAME}_{number}"
        folder.mkdir(parents=True)
        args = {"env": "sb3_mario/SuperMarioBros-1-1-v0", "rom": "/a.nes"}
        (folder / "args.yml").write_text(yaml.safe_dump(args))
        config = {"env_kwargs": {"actions": "complex", "noop_max": 0}}
        (folder / "config.yml").write_text(yaml.safe_dump(config))
        for name in ("best_model", "rl_model_500_steps", NAME if number == 1 else "other"):
            (folder / f"{name}.zip").write_bytes(b"")
    return tmp_path


def found(logs: Path, *words: str) -> Path:
    return find_agent(parse_arguments(["-f", str(logs), *words])).path


def test_the_newest_run_is_taken_unless_a_number_is_given(logs: Path) -> None:
    assert found(logs, "--load-best").parent.name == f"{NAME}_2"
    assert found(logs, "--load-best", "--exp-id", "1").parent.name == f"{NAME}_1"


def test_the_model_is_the_one_asked_for(logs: Path) -> None:
    assert found(logs, "--exp-id", "1").name == f"{NAME}.zip"
    assert found(logs, "--load-best").name == "best_model.zip"
    assert found(logs, "--load-checkpoint", "500").name == "rl_model_500_steps.zip"
    model = logs / "dueling_dqn" / f"{NAME}_1" / "best_model.zip"
    assert find_agent(parse_arguments(["--model", str(model)])).path == model


def test_a_model_is_of_the_algorithm_that_is_said(logs: Path) -> None:
    model = str(logs / "dueling_dqn" / f"{NAME}_1" / "best_model.zip")
    agent = find_agent(parse_arguments(["--model", model, "--algo", "dueling_dqn"]))
    assert agent.algorithm == "dueling_dqn"


@pytest.mark.parametrize(
    "words",
    [["--load-best"], ["--load-checkpoint", "500"], ["--load-last-checkpoint"], ["--exp-id", "1"],
     ["-f", "logs"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_two_choices_of_a_model_are_refused(logs: Path, words: list[str]) -> None:
    model = str(logs / "dueling_dqn" / f"{NAME}_1" / "best_model.zip")
    with pytest.raises(ConfigError, match=rf"--model .* is one model, .*{words[0]}"):
        find_agent(parse_arguments(["--model", model, *words]))


def test_the_agent_of_the_package_plays_the_game_that_is_there() -> None:
    agent = find_agent(parse_arguments(["--rom", str(FREE_GAME), "--env-kwargs", "frame_skip:3"]))
    assert (agent.path.name, agent.path.is_file()) == ("Foxtrot-1-1.zip", True)
    assert agent.env_id == "sb3_mario/SuperMarioBros-1-1-v0"
    assert (agent.rom, agent.env_kwargs) == (str(FREE_GAME), {"frame_skip": 3})


@pytest.mark.real_rom
def test_the_agent_of_the_package_is_another_one_for_the_real_game(rom: Path) -> None:
    agent = find_agent(parse_arguments(["--rom", str(rom)]))
    assert agent.path.name == "SuperMarioBros-1-1.zip"


def test_there_is_no_agent_of_the_package_for_an_unknown_game(tmp_path: Path) -> None:
    changed = bytearray(FREE_GAME.read_bytes())
    changed[100] ^= 1
    (tmp_path / "other.nes").write_bytes(changed)
    with (
        pytest.warns(UserWarning, match="no known dump"),
        pytest.raises(ConfigError, match=r"--rom: no agent comes with sb3-mario for .*other\.nes"),
    ):
        find_agent(parse_arguments(["--rom", str(tmp_path / "other.nes")]))


@pytest.mark.parametrize(
    "words",
    [["--algo", "dueling_dqn"], ["--env", "1-1"], ["--exp-id", "1"], ["--load-best"]],
)
def test_any_word_about_an_agent_means_a_run(
    logs: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = logs / "work"
    work.mkdir()
    (work / "logs").symlink_to(logs)
    monkeypatch.chdir(work)
    agent = find_agent(parse_arguments([*words, *(["--exp-id", "1"] * ("--exp-id" not in words))]))
    assert agent.path.parent.name == f"{NAME}_1"


def test_it_plays_where_it_was_trained(logs: Path) -> None:
    agent = find_agent(parse_arguments(["-f", str(logs), "--load-best"]))
    assert agent.env_id == "sb3_mario/SuperMarioBros-1-1-v0"
    assert agent.env_kwargs == {"actions": "complex", "noop_max": 0}
    assert agent.rom == "/a.nes"


def test_flags_change_the_environment(logs: Path) -> None:
    model = str(logs / "dueling_dqn" / f"{NAME}_1" / "best_model.zip")
    words = ["--model", model, "--env", "1-2", "--env-kwargs", "frame_skip:2", "--rom", "/b.nes"]
    agent = find_agent(parse_arguments(words))
    assert agent.env_id == "sb3_mario/SuperMarioBros-1-2-v0"
    assert agent.env_kwargs["frame_skip"] == 2
    assert agent.rom == "/b.nes"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--env", "8-4"], "there is no run .*8-4.*train one with"),
        (["--exp-id", "9"], r"--exp-id: there is no run 9; there are \[1, 2\]"),
        ([], "models there: best_model.zip, other.zip, rl_model_500_steps.zip"),
        (["--load-checkpoint", "7"], "has no rl_model_7_steps.zip"),
        (["--load-last-checkpoint"], "has no checkpoint"),
    ],
)
def test_what_is_not_there_is_named(logs: Path, words: list[str], says: str) -> None:
    if "--load-last-checkpoint" in words:
        # its only checkpoint is an empty file
        with pytest.warns(UserWarning, match="damaged"), pytest.raises(ConfigError, match=says):
            found(logs, *words)
    else:
        with pytest.raises(ConfigError, match=says):
            found(logs, *words)


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"there is no file /none\.zip"):
        find_agent(parse_arguments(["--model", "/none.zip"]))


def test_a_file_that_is_no_model_is_named(logs: Path) -> None:
    agent = find_agent(parse_arguments(["-f", str(logs), "--load-best"]))
    with pytest.raises(ConfigError, match=r"best_model\.zip cannot be loaded"):
        agent.load("cpu", 0)


@pytest.fixture(scope="module")
def dueling_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose exploration is at a half."""
    path = tmp_path_factory.mktemp("model") / "model.zip"
    model = DuelingDQN("DuelingDQNPolicy", TinyPictures(), buffer_size=10, seed=0, device="cpu")
    model.exploration_rate = 0.5
    model.save(path)
    return path


class TinyPictures(gym.Env[np.ndarray, np.int64]):
    observation_space = gym.spaces.Box(0, 255, (2, 36, 36), np.uint8)
    action_space = gym.spaces.Discrete(7)


@pytest.mark.parametrize(
    ("algorithm", "cls"),
    [("dueling_dqn", DuelingDQN), ("dqn", DQN), ("unknown", DQN), (None, DQN)],
)
def test_a_model_is_loaded_with_the_class_of_its_runs_algorithm(
    dueling_file: Path, algorithm: str | None, cls: type[DQN]
) -> None:
    agent = Agent(dueling_file, "sb3_mario/SuperMarioBros-1-1-v0", {}, None, algorithm)
    assert type(agent.load("cpu", 0)) is cls


def test_the_algorithm_is_that_of_the_run_and_unknown_outside_of_one(logs: Path) -> None:
    folder = logs / "dueling_dqn" / f"{NAME}_1"
    args = yaml.safe_load((folder / "args.yml").read_text())
    (folder / "args.yml").write_text(yaml.safe_dump(args | {"algo": "dqn"}))
    model = folder / "best_model.zip"
    assert find_agent(parse_arguments(["--model", str(model)])).algorithm == "dqn"
    alone = model.rename(logs / "alone.zip")
    assert find_agent(parse_arguments(["--model", str(alone)])).algorithm is None


@pytest.mark.parametrize("algorithm", ["dueling_dqn", None])
def test_exploration_repeats_with_the_seed(dueling_file: Path, algorithm: str | None) -> None:
    agent = Agent(dueling_file, "sb3_mario/SuperMarioBros-1-1-v0", {}, None, algorithm)
    seen = np.zeros((2, 2, 36, 36), np.uint8)

    def play(seed: int) -> list[list[int]]:
        model = agent.load("cpu", seed)
        return [model.predict(seen, deterministic=False)[0].tolist() for _ in range(40)]

    first = play(1)
    assert play(1) == first
    assert play(2) != first


def test_emulators_side_by_side_explore_each_on_its_own(dueling_file: Path) -> None:
    agent = Agent(dueling_file, "sb3_mario/SuperMarioBros-1-1-v0", {}, None, "dueling_dqn")
    model = agent.load("cpu", 0)
    seen = np.zeros((2, 2, 36, 36), np.uint8)
    greedy = model.predict(seen, deterministic=True)[0]
    actions = np.array([model.predict(seen, deterministic=False)[0] for _ in range(200)])
    explored = actions != greedy
    one_alone = (explored.sum(axis=1) == 1).mean()
    # 2 p (1 - p) with p = 6/14; drawn once for both it would be 0.5 * 2 * 6/7 * 1/7 = 0.12.
    assert 0.35 < one_alone < 0.63


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--episodes", "0"], "--episodes: invalid whole number from 1 on value: '0'"),
        (["-n", "0"], "-n/--n-timesteps: invalid whole number from 1 on"),
        (["--n-envs", "two"], "--n-envs: invalid whole number from 1 on"),
        (["--seed", "-1"], "--seed: invalid whole number from 0 to 2147483647 value: '-1'"),
        (["--seed", "2147483648"], "--seed: invalid whole number from 0 to 2147483647"),
        (["--exp-id", "-1"], "--exp-id: invalid whole number from 0 on"),
        (["--load-best", "--load-last-checkpoint"], "not allowed with argument"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_arguments(words)
    assert end.value.code == 2
    assert says in capsys.readouterr().err
