"""The command line: rl-baselines3-zoo's flags, and what is wrong is told by argparse."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from sb3_mario.training.arguments import (
    DEFAULTS,
    FIXED_ON_RESUME,
    parse_arguments,
    with_defaults,
)

# Flags of rl_zoo3/train.py that mean something here, each with a value and what becomes of it.
ZOO_FLAGS: list[tuple[list[str], str, Any]] = [
    (["--algo", "dqn"], "algo", "dqn"),
    (["--env", "1-2"], "env", "1-2"),
    (["-tb", "curves"], "tensorboard_log", "curves"),
    (["--tensorboard-log", "curves"], "tensorboard_log", "curves"),
    (["-i", "run"], "trained_agent", Path("run")),
    (["--trained-agent", "run"], "trained_agent", Path("run")),
    (["-n", "100"], "n_timesteps", 100),
    (["--n-timesteps", "100"], "n_timesteps", 100),
    (["--num-threads", "2"], "num_threads", 2),
    (["--log-interval", "5"], "log_interval", 5),
    (["--eval-freq", "1000"], "eval_freq", 1000),
    (["--eval-freq", "-1"], "eval_freq", -1),
    (["--eval-episodes", "5"], "eval_episodes", 5),
    (["--n-eval-envs", "2"], "n_eval_envs", 2),
    (["--save-freq", "1000"], "save_freq", 1000),
    (["--save-freq", "-1"], "save_freq", -1),
    (["--save-replay-buffer"], "save_replay_buffer", True),
    (["-f", "runs"], "log_folder", "runs"),
    (["--log-folder", "runs"], "log_folder", "runs"),
    (["--seed", "0"], "seed", 0),
    (["--vec-env", "subproc"], "vec_env", "subproc"),
    (["--device", "cuda"], "device", "cuda"),
    (["--verbose", "0"], "verbose", 0),
    (["--env-kwargs", "a:1", "b:2"], "env_kwargs", ["a:1", "b:2"]),
    (["-params", "a:1", "b:2"], "hyperparams", ["a:1", "b:2"]),
    (["--hyperparams", "a:1", "b:2"], "hyperparams", ["a:1", "b:2"]),
    (["-conf", "mine.yml"], "conf_file", "mine.yml"),
    (["--conf-file", "mine.yml"], "conf_file", "mine.yml"),
    (["-P"], "progress", True),
    (["--progress"], "progress", True),
]
OWN_FLAGS: list[tuple[list[str], str, Any]] = [
    (["--rom", "game.nes"], "rom", "game.nes"),
    (["--n-envs", "2"], "n_envs", 2),
    (["--no-save-replay-buffer"], "save_replay_buffer", False),
    (["--no-progress"], "progress", False),
]


@pytest.mark.parametrize(
    ("words", "name", "value"), ZOO_FLAGS + OWN_FLAGS, ids=lambda value: str(value)
)
def test_a_flag_is_there_and_sets_its_value_alone(words: list[str], name: str, value: Any) -> None:
    given = {key: got for key, got in vars(parse_arguments(words)).items() if got is not None}
    assert given == {name: value}


def test_what_was_not_given_is_none_and_then_its_default() -> None:
    args = parse_arguments([])
    assert set(vars(args).values()) == {None}
    assert vars(args).keys() == DEFAULTS.keys() | {"trained_agent"}
    assert with_defaults(args) == DEFAULTS
    assert with_defaults(parse_arguments(["--seed", "0"])) == DEFAULTS | {"seed": 0}


def test_the_defaults_are_right_values_of_their_flags() -> None:
    for name, value in DEFAULTS.items():
        if value is not None and not isinstance(value, (bool, list)):
            flag = "--" + name.replace("_", "-")
            assert getattr(parse_arguments([flag, str(value)]), name) == value


def test_what_a_resumed_run_keeps_are_flags() -> None:
    assert set(FIXED_ON_RESUME) <= DEFAULTS.keys()


@pytest.mark.parametrize(("text", "number"), [("1e6", 10**6), ("2.5e3", 2500), ("1E2", 100)])
def test_steps_may_be_written_with_an_exponent(text: str, number: int) -> None:
    steps = parse_arguments(["-n", text]).n_timesteps
    assert steps == number and type(steps) is int


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "0"], "-n/--n-timesteps: invalid whole number from 1 on value: '0'"),
        (["-n", "-5"], "-n/--n-timesteps: invalid whole number from 1 on value: '-5'"),
        (["-n", "many"], "-n/--n-timesteps: invalid whole number from 1 on value: 'many'"),
        (["-n", "1.5"], "invalid whole number from 1 on value: '1.5'"),
        (["-n", "1.23e1"], "invalid whole number from 1 on value: '1.23e1'"),
        (["-n", "1e400"], "invalid whole number from 1 on value: '1e400'"),
        (["-n", "inf"], "invalid whole number from 1 on value: 'inf'"),
        (["-n", ""], "invalid whole number from 1 on value: ''"),
        (["-n"], "-n/--n-timesteps: expected one argument"),
        (["--eval-freq", "-2"], "--eval-freq: invalid whole number from -1 on value: '-2'"),
        (["--save-freq", "x"], "--save-freq: invalid whole number from -1 on value: 'x'"),
        (["--eval-episodes", "0"], "--eval-episodes: invalid whole number from 1 on value: '0'"),
        (["--n-eval-envs", "0"], "--n-eval-envs: invalid whole number from 1 on value: '0'"),
        (["--n-envs", "0"], "--n-envs: invalid whole number from 1 on value: '0'"),
        (["--log-interval", "0"], "--log-interval: invalid whole number from 1 on value: '0'"),
        (["--num-threads", "0"], "--num-threads: invalid whole number from 1 on value: '0'"),
        (["--seed", "-1"], "--seed: invalid whole number from 0 to 2147483647 value: '-1'"),
        (["--seed", "2147483648"], "from 0 to 2147483647 value: '2147483648'"),
        (["--algo", "ppo"], "--algo: invalid choice: 'ppo' (choose from"),
        (["--vec-env", "threads"], "--vec-env: invalid choice: 'threads' (choose from"),
        (["--verbose", "3"], "--verbose: invalid choice: 3 (choose from"),
        (["--verbose", "loud"], "--verbose: invalid int value: 'loud'"),
        (["-params"], "-params/--hyperparams: expected at least one argument"),
        (["--algorithm", "dqn"], "unrecognized arguments: --algorithm dqn"),
        (["--eval", "100"], "unrecognized arguments: --eval 100"),
        (["extra"], "unrecognized arguments: extra"),
    ],
)
def test_a_wrong_word_ends_with_status_2_and_is_shown(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(words)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""


def test_help_tells_every_flag_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words, _, _ in ZOO_FLAGS + OWN_FLAGS:
        assert words[0] in text
    for default in ("dueling_dqn", "1-1", "logs", "25000", "50000", "10", "auto", "dummy"):
        assert f"(default: {default})" in text
    assert argparse.SUPPRESS not in text


def test_the_examples_of_the_help_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    lines = capsys.readouterr().out.partition("examples:")[2].splitlines()
    commands = [line.split("  ")[1].split()[1:] for line in lines if "train.py" in line]
    assert len(commands) >= 4
    for words in commands:
        parse_arguments(words)
