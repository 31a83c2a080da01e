"""Which agent the flags name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sb3_mario.training.config import ConfigError
from sb3_mario.watching.agents import find_agent
from sb3_mario.watching.arguments import parse_arguments

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
    assert found(logs, "--model", str(model)) == model


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
        (["--model", "/none.zip"], "there is no file /none.zip"),
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


def test_a_file_that_is_no_model_is_named(logs: Path) -> None:
    agent = find_agent(parse_arguments(["-f", str(logs), "--load-best"]))
    with pytest.raises(ConfigError, match=r"best_model\.zip cannot be loaded"):
        agent.load("cpu")


@pytest.mark.parametrize(
    "words", [["--episodes", "0"], ["-n", "0"], ["--load-best", "--load-last-checkpoint"]]
)
def test_words_that_make_no_sense_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(words)
