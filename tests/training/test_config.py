"""Hyperparameters: what is taken, and how what is wrong is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch as th
import yaml
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.utils import FloatSchedule, LinearSchedule
from stable_baselines3.dqn.policies import CnnPolicy

from sb3_mario.dqn import DuelingDQNPolicy, FrameStackCNN
from sb3_mario.game.levels import ALL_LEVELS, WHOLE_GAME_ID
from sb3_mario.resources import hyperparams_dir
from sb3_mario.training.arguments import ALGORITHM_NAMES
from sb3_mario.training.config import (
    ALGORITHMS,
    ConfigError,
    Settings,
    load_hyperparams,
    make_settings,
    merge,
    parse_assignments,
    read_yaml,
    resolve_env_id,
)

LEVEL_1_1 = "sb3_mario/SuperMarioBros-1-1-v0"
ENV_IDS = [level.env_id for level in ALL_LEVELS] + [WHOLE_GAME_ID]


def settings(**values: Any) -> Settings:
    return make_settings({"n_timesteps": 100} | values, "dueling_dqn", LEVEL_1_1)


def params(*words: str) -> dict[str, Any]:
    return parse_assignments(words, "-params")


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "mine.yml"
        path.write_text(text)
        return path

    return write


# Which environment


@pytest.mark.parametrize("name", ["1-1", "SuperMarioBros-1-1-v0", LEVEL_1_1])
def test_a_level_goes_by_three_names(name: str) -> None:
    assert resolve_env_id(name) == LEVEL_1_1


@pytest.mark.parametrize("name", ["SuperMarioBros-v0", WHOLE_GAME_ID])
def test_the_whole_game_goes_by_two_names(name: str) -> None:
    assert resolve_env_id(name) == WHOLE_GAME_ID


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("9-1", r"no environment '9-1'.*1-1 to 8-4"),
        ("SuperMarioBros-1-5-v0", r"did you mean sb3_mario/SuperMarioBros-1-\d-v0\?"),
        ("CartPole-v1", "no environment 'CartPole-v1'"),
        ("", "no environment ''"),
    ],
)
def test_another_environment_is_refused_with_the_way_to_write_one(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--env: .*{message}"):
        resolve_env_id(name)


# Words of the command line


def test_words_become_values_as_in_yaml() -> None:
    assert params(
        "learning_rate:1e-4",
        "buffer_size:1e6",
        "gamma:0.95",
        "optimize_memory_usage:false",
        "policy_kwargs:null",
        "train_freq:[2, episode]",
        "policy:CnnPolicy",
    ) == {
        "learning_rate": 1e-4,
        "buffer_size": 1e6,
        "gamma": 0.95,
        "optimize_memory_usage": False,
        "policy_kwargs": None,
        "train_freq": [2, "episode"],
        "policy": "CnnPolicy",
    }


def test_a_dotted_key_leads_into_mappings_which_are_merged() -> None:
    assert params("policy_kwargs.net_arch:[512]", "policy_kwargs.optimizer_kwargs.eps:1e-5") == {
        "policy_kwargs": {"net_arch": [512], "optimizer_kwargs": {"eps": 1e-5}}
    }


def test_the_later_of_two_equal_keys_counts() -> None:
    assert params("gamma:0.9", "gamma:0.95") == {"gamma": 0.95}


def test_a_value_may_hold_colons() -> None:
    assert params("policy_kwargs:{net_arch: [64]}") == {"policy_kwargs": {"net_arch": [64]}}


@pytest.mark.parametrize("word", ["gamma", "gamma=0.9", ":0.9", ".net_arch:1", "a..b:1", "a.:1"])
def test_a_word_that_is_no_assignment_is_shown(word: str) -> None:
    with pytest.raises(ConfigError, match="-params: expected key:value, got ") as error:
        params(word)
    assert repr(word) in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2", "{a: ", "!!python/object:os.system {}", "2024-13-45"])
def test_a_value_that_is_no_plain_yaml_is_shown_with_its_key(text: str) -> None:
    with pytest.raises(ConfigError, match=r"-params: the value of 'gamma:.* is no YAML"):
        params(f"gamma:{text}")


# Files


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("-2E+3", -2000.0), ("5.e-1", 0.5), ("1.5e6", 1.5e6), ("0.1", 0.1)],
)
def test_numbers_with_an_exponent_are_numbers_wherever_they_stand(
    write: Any, text: str, number: float
) -> None:
    content = read_yaml(write(f"a: {text}\nb: {{c: [{text}]}}\n"))
    assert content == {"a": number, "b": {"c": [number]}}
    assert type(content["a"]) is float


def test_other_text_stays_text(write: Any) -> None:
    names = {"a": "1e", "b": "e5", "c": "lin_1e-4", "d": "1e-4x", "e": "__import__('os')"}
    assert read_yaml(write(yaml.safe_dump(names))) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is no plain YAML"),
        ("a: !!python/object/apply:os.system ['true']", "is no plain YAML"),
        ("a: !!python/name:os.system", "is no plain YAML"),
        ("- a\n- b", "must hold a mapping"),
        ("just words", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("1: a", "must hold a mapping"),
    ],
)
def test_a_file_that_is_no_plain_mapping_is_named(write: Any, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_yaml(path)
    assert str(path) in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml cannot be read: .*No such file"):
        read_yaml(tmp_path / "none.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yml cannot be read"):
        read_yaml(tmp_path / "binary.yml")


ZOO_FORMAT = """
default: &default
  n_timesteps: 1e6
  gamma: 0.9
  env_kwargs: {frame_skip: 4}
SuperMarioBros-1-2-v0:
  n_timesteps: 12
sb3_mario/SuperMarioBros-1-3-v0:
  <<: *default
  gamma: 0.95
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("1-1", {"n_timesteps": 1e6, "gamma": 0.9, "env_kwargs": {"frame_skip": 4}}),
        ("1-2", {"n_timesteps": 12}),
        ("1-3", {"n_timesteps": 1e6, "gamma": 0.95, "env_kwargs": {"frame_skip": 4}}),
    ],
    ids=["the default", "an entry without namespace", "an entry that takes another over"],
)
def test_an_entry_is_found_as_in_the_zoos_files(
    write: Any, level: str, expected: dict[str, Any]
) -> None:
    assert load_hyperparams("dqn", resolve_env_id(level), write(ZOO_FORMAT)) == expected


def test_the_full_id_goes_before_the_short_one(write: Any) -> None:
    path = write(f"SuperMarioBros-1-1-v0: {{gamma: 0.1}}\n{LEVEL_1_1}: {{gamma: 0.2}}\n")
    assert load_hyperparams("dqn", LEVEL_1_1, path) == {"gamma": 0.2}


def test_a_file_without_the_entry_says_what_it_has(write: Any) -> None:
    path = write("CartPole-v1: {gamma: 0.9}\nPong-v5: {gamma: 0.9}\n")
    with pytest.raises(ConfigError, match=f"no entry {LEVEL_1_1} and no default; it has CartPole"):
        load_hyperparams("dqn", LEVEL_1_1, path)


def test_an_entry_that_is_no_mapping_is_refused(write: Any) -> None:
    with pytest.raises(ConfigError, match="the entry default must be a mapping"):
        load_hyperparams("dqn", LEVEL_1_1, write("default: 5"))


def test_merging_changes_neither_side() -> None:
    base, changes = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "e": None}
    assert merge(base, changes) == {"a": {"b": 4, "c": 2}, "d": 3, "e": None}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3} and changes == {"a": {"b": 4}, "e": None}


# The files that come with the package


def test_the_command_line_names_the_algorithms_that_there_are() -> None:
    assert set(ALGORITHM_NAMES) == set(ALGORITHMS)
    assert {path.stem for path in hyperparams_dir().glob("*.yml")} == set(ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_shipped_hyperparameters_are_right_for_every_environment(
    algorithm: str, env_id: str
) -> None:
    made = make_settings(load_hyperparams(algorithm, env_id), algorithm, env_id)
    assert made.policy is {"dueling_dqn": DuelingDQNPolicy, "dqn": CnnPolicy}[algorithm]
    rate = FloatSchedule(made.arguments["learning_rate"])
    assert (rate(1.0), rate(0.0)) == {"dueling_dqn": (2.5e-4, 0.0), "dqn": (1e-4, 1e-4)}[algorithm]
    assert made.n_timesteps == (5_000_000 if env_id == WHOLE_GAME_ID else 640_000)
    # Exploration falls over the same number of steps in both.
    assert made.n_timesteps * made.arguments["exploration_fraction"] in (80_000, 500_000)


def test_the_two_algorithms_differ_where_their_files_say_so_alone() -> None:
    dueling, plain = (read_yaml(hyperparams_dir() / f"{name}.yml") for name in ALGORITHM_NAMES)
    assert dueling.keys() == plain.keys()
    for entry in dueling:
        both = dueling[entry].keys() & plain[entry].keys()
        differing = {name for name in both if dueling[entry][name] != plain[entry][name]}
        assert differing == {"policy", "n_envs", "train_freq", "learning_rate", "buffer_size"}
        own = dueling[entry].keys() - plain[entry].keys()
        assert own == {"n_steps", "double_q", "prioritized_replay", "reward_scale"}
        # A gradient for every 4 environment steps in both.
        assert dueling[entry]["n_envs"] * dueling[entry]["train_freq"] == 4
        assert plain[entry]["n_envs"] * plain[entry]["train_freq"] == 4


# From plain values to Python's objects


def test_run_and_environment_and_algorithm_get_their_own_values() -> None:
    made = settings(n_envs=2, gamma=0.9, env_kwargs={"frame_skip": 2}, policy="CnnPolicy")
    assert (made.n_timesteps, made.n_envs, made.env_kwargs) == (100, 2, {"frame_skip": 2})
    assert made.policy is CnnPolicy
    assert made.arguments == {"gamma": 0.9}
    assert made.plain == {
        "n_timesteps": 100,
        "n_envs": 2,
        "gamma": 0.9,
        "env_kwargs": {"frame_skip": 2},
        "policy": "CnnPolicy",
    }


def test_without_a_policy_each_algorithm_has_its_own() -> None:
    for algorithm, policy in (("dueling_dqn", DuelingDQNPolicy), ("dqn", CnnPolicy)):
        assert make_settings({"n_timesteps": 1}, algorithm, LEVEL_1_1).policy is policy


@pytest.mark.parametrize(
    "name", ["DuelingDQNPolicy", "sb3_mario.dqn.DuelingDQNPolicy", "sb3_mario.dqn.policies.%s"]
)
def test_a_policy_goes_by_its_alias_or_its_dotted_name(name: str) -> None:
    assert settings(policy=name.replace("%s", "DuelingDQNPolicy")).policy is DuelingDQNPolicy


def test_whole_numbers_may_be_written_with_an_exponent() -> None:
    made = settings(n_timesteps=1e6, buffer_size=2e4, train_freq=4.0)
    assert (made.n_timesteps, made.arguments["buffer_size"]) == (1_000_000, 20_000)
    assert made.arguments["train_freq"] == (4, "step")
    assert type(made.n_timesteps) is type(made.arguments["buffer_size"]) is int


@pytest.mark.parametrize("unit", ["step", "episode"])
def test_train_freq_may_have_a_unit(unit: str) -> None:
    made = settings(train_freq=[3, unit])
    assert made.arguments["train_freq"] == (3, unit)
    assert made.plain["train_freq"] == [3, unit], "plain for YAML"


def test_lin_makes_a_learning_rate_that_falls_to_0() -> None:
    schedule = settings(learning_rate="lin_1e-3").arguments["learning_rate"]
    assert isinstance(schedule, LinearSchedule)
    assert [schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([1e-3, 5e-4, 0.0])
    assert settings(learning_rate=5e-5).arguments["learning_rate"] == 5e-5
    assert settings(learning_rate="0.001").arguments["learning_rate"] == 0.001


def test_classes_are_imported_by_their_dotted_names() -> None:
    made = settings(
        replay_buffer_class="stable_baselines3.common.buffers.NStepReplayBuffer",
        policy_kwargs={
            "features_extractor_class": "sb3_mario.dqn.FrameStackCNN",
            "optimizer_class": "torch.optim.RMSprop",
            "activation_fn": "torch.nn.Tanh",
            "net_arch": [64],
        },
    )
    assert made.arguments["replay_buffer_class"] is NStepReplayBuffer
    assert made.arguments["policy_kwargs"] == {
        "features_extractor_class": FrameStackCNN,
        "optimizer_class": th.optim.RMSprop,
        "activation_fn": th.nn.Tanh,
        "net_arch": [64],
    }
    assert yaml.safe_load(yaml.safe_dump(made.plain)) == made.plain


def test_null_stands_for_an_arguments_default() -> None:
    made = settings(replay_buffer_class=None, policy_kwargs=None, env_kwargs=None)
    assert made.env_kwargs == {}
    assert made.arguments == {"replay_buffer_class": None, "policy_kwargs": None}


def test_nothing_is_ever_evaluated(tmp_path: Path) -> None:
    proof = tmp_path / "evaluated"
    code = f"__import__('pathlib').Path({str(proof)!r}).touch()"
    for key in ("policy", "learning_rate", "gamma", "train_freq", "replay_buffer_class"):
        with pytest.raises(ConfigError, match=key):
            settings(**{key: code})
    with pytest.raises(ConfigError, match="activation_fn"):
        settings(policy_kwargs={"activation_fn": code})
    assert not proof.exists()


def test_a_module_is_imported_for_its_class_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_networks.py").write_text("import torch\nclass Swish(torch.nn.Module): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = settings(policy_kwargs={"activation_fn": "my_networks.Swish"})
    assert made.arguments["policy_kwargs"]["activation_fn"].__name__ == "Swish"
    del sys.modules["my_networks"]


# What is wrong

WRONG: list[tuple[dict[str, Any], str]] = [
    # names
    ({"learning_rat": 0.1}, r"no hyperparameter 'learning_rat'; did you mean learning_rate\?"),
    ({"xyzzy": 1}, r"no hyperparameter 'xyzzy'; it has .*batch_size, buffer_size"),
    ({"_init_setup_model": False}, "no hyperparameter '_init_setup_model'"),
    ({"self": 1}, "no hyperparameter 'self'"),
    ({"env": "CartPole-v1"}, "env is no hyperparameter here: use --env"),
    ({"seed": 1}, "use --seed"),
    ({"verbose": 1}, "use --verbose"),
    ({"device": "cpu"}, "use --device"),
    ({"tensorboard_log": "x"}, "use --tensorboard-log"),
    # types
    ({"buffer_size": "big"}, "buffer_size must be a whole number, got 'big'"),
    ({"buffer_size": 1.5}, r"buffer_size must be a whole number, got 1\.5"),
    ({"buffer_size": True}, "buffer_size must be a whole number, got True"),
    ({"buffer_size": None}, "buffer_size must be a whole number, got None"),
    ({"buffer_size": float("inf")}, "buffer_size must be a whole number, got inf"),
    ({"gamma": "high"}, "gamma must be a number, got 'high'"),
    ({"gamma": True}, "gamma must be a number, got True"),
    ({"gamma": float("nan")}, "gamma must be a number, got nan"),
    ({"gamma": [0.9]}, r"gamma must be a number, got \[0\.9\]"),
    ({"optimize_memory_usage": 1}, "optimize_memory_usage must be true or false, got 1"),
    ({"policy_kwargs": [64]}, r"policy_kwargs must be a mapping, got \[64\]"),
    ({"env_kwargs": "frame_skip"}, "env_kwargs must be a mapping, got 'frame_skip'"),
    # ranges
    ({"n_timesteps": 0}, "n_timesteps must be at least 1, got 0"),
    ({"n_envs": 0}, "n_envs must be at least 1, got 0"),
    ({"buffer_size": 0}, "buffer_size must be at least 1, got 0"),
    ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"learning_starts": -1}, "learning_starts must be at least 0, got -1"),
    ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
    ({"target_update_interval": 0}, "target_update_interval must be at least 1, got 0"),
    ({"gradient_steps": -2}, "gradient_steps must be at least -1, got -2"),
    ({"stats_window_size": 0}, "stats_window_size must be at least 1, got 0"),
    ({"max_grad_norm": -1}, "max_grad_norm must be at least 0, got -1"),
    ({"gamma": 1.1}, r"gamma must be from 0 to 1, got 1\.1"),
    ({"tau": -0.1}, r"tau must be from 0 to 1, got -0\.1"),
    ({"exploration_fraction": 2}, "exploration_fraction must be from 0 to 1, got 2"),
    ({"exploration_initial_eps": -1}, "exploration_initial_eps must be from 0 to 1, got -1"),
    ({"exploration_final_eps": 1.5}, r"exploration_final_eps must be from 0 to 1, got 1\.5"),
    # learning_rate and train_freq
    ({"learning_rate": 0}, "learning_rate must be a number above 0.*got 0"),
    ({"learning_rate": -1e-4}, "learning_rate must be a number above 0.*got -0.0001"),
    ({"learning_rate": True}, "learning_rate must be a number above 0.*got True"),
    ({"learning_rate": None}, "learning_rate must be a number above 0.*got None"),
    ({"learning_rate": "fast"}, "learning_rate must be .*lin_0.001: falls to 0.*got 'fast'"),
    ({"learning_rate": "lin_"}, "learning_rate must be .*got 'lin_'"),
    ({"learning_rate": "lin_nan"}, "learning_rate must be .*got 'lin_nan'"),
    ({"train_freq": 0}, r"train_freq must be a number or \[number, step\|episode\], got 0"),
    ({"train_freq": 2.5}, r"train_freq must be .*got 2\.5"),
    ({"train_freq": [1, "minute"]}, r"train_freq must be .*got \[1, 'minute'\]"),
    ({"train_freq": [1]}, r"train_freq must be .*got \[1\]"),
    ({"train_freq": "often"}, "train_freq must be .*got 'often'"),
    ({"train_freq": True}, "train_freq must be .*got True"),
    ({"train_freq": [1, "episode"], "n_envs": 2}, "train_freq: .*episodes.*n_envs.*got 2"),
    # classes
    ({"policy": "CnnPolic"}, r"policy: there is no 'CnnPolic'; did you mean CnnPolicy\?"),
    ({"policy": 5}, "policy must be a dotted name .*got 5"),
    ({"policy": "no.such.module.Policy"}, "policy: no.such.module.Policy cannot be imported"),
    ({"policy": "sb3_mario.dqn.NoPolicy"}, "policy: sb3_mario.dqn.NoPolicy cannot be imported"),
    ({"policy": "..Policy"}, "policy: ..Policy cannot be imported"),
    ({"policy": "os.system"}, "policy: os.system is no class"),
    ({"policy": "subprocess.Popen"}, "policy: subprocess.Popen is no .*DQNPolicy"),
    ({"replay_buffer_class": "Buffer"}, "replay_buffer_class must be a dotted name .*got 'Buffer'"),
    ({"replay_buffer_class": "subprocess.Popen"}, "replay_buffer_class: .* is no .*ReplayBuffer"),
    (
        {"policy_kwargs": {"net_arc": [64]}},
        r"DuelingDQNPolicy has no argument 'net_arc'; did you mean net_arch\?",
    ),
    (
        {"policy_kwargs": {"observation_space": 1}},
        "DuelingDQNPolicy has no argument 'observation_space'",
    ),
    ({"policy_kwargs": {"optimizer_class": "Adam"}}, r"policy_kwargs\.optimizer_class must be"),
    (
        {"policy_kwargs": {"optimizer_class": "torch.nn.ReLU"}},
        r"policy_kwargs\.optimizer_class: torch\.nn\.ReLU is no .*Optimizer",
    ),
    (
        {"policy_kwargs": {"activation_fn": "subprocess.Popen"}},
        r"policy_kwargs\.activation_fn: subprocess\.Popen is no .*Module",
    ),
    (
        {"policy_kwargs": {"features_extractor_class": "torch.nn.ReLU"}},
        r"policy_kwargs\.features_extractor_class: torch\.nn\.ReLU is no .*BaseFeaturesExtractor",
    ),
    # what excludes each other
    (
        {"optimize_memory_usage": True, "n_steps": 3},
        "optimize_memory_usage and n_steps above 1 exclude each other",
    ),
    # the environment's arguments
    (
        {"env_kwargs": {"frame_skp": 4}},
        rf"{LEVEL_1_1} has no argument 'frame_skp'; did you mean frame_skip\?",
    ),
    ({"env_kwargs": {"level": "1-2"}}, f"{LEVEL_1_1} has no argument 'level'"),
    ({"env_kwargs": {"rom": "game.nes"}}, r"env_kwargs\.rom .*use --rom"),
    ({"env_kwargs": {"frame_skip": "four"}}, r"env_kwargs\.frame_skip must be a whole number"),
    ({"env_kwargs": {"frame_skip": 2.5}}, r"env_kwargs\.frame_skip must be a whole number"),
    ({"env_kwargs": {"ram_hash": "yes"}}, r"env_kwargs\.ram_hash must be true or false"),
    ({"env_kwargs": {"timeout": "long"}}, r"env_kwargs\.timeout must be a number, got 'long'"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_setting_is_named_with_its_value_and_the_mend(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(**values)


def test_a_run_without_a_length_is_told_where_to_give_it() -> None:
    with pytest.raises(ConfigError, match=r"n_timesteps is missing: .*or give -n"):
        make_settings({"gamma": 0.9}, "dqn", LEVEL_1_1)


def test_the_whole_game_has_no_level_to_choose() -> None:
    with pytest.raises(ConfigError, match=f"{WHOLE_GAME_ID} has no argument 'level'"):
        make_settings({"n_timesteps": 1, "env_kwargs": {"level": "1-1"}}, "dqn", WHOLE_GAME_ID)


def test_a_wrong_setting_in_the_zoos_file_is_told_like_one_on_the_command_line(write: Any) -> None:
    path = write("default: {n_timesteps: 10, gama: 0.9}")
    with pytest.raises(ConfigError, match=r"dqn has no hyperparameter 'gama'; did you mean gamma"):
        make_settings(load_hyperparams("dqn", LEVEL_1_1, path), "dqn", LEVEL_1_1)


def test_every_registered_environment_is_tested_here() -> None:
    assert {env_id for env_id in gym.registry if env_id.startswith("sb3_mario/")} == set(ENV_IDS)
