"""Hyperparameters: read from YAML, changed on the command line, checked before anything starts."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import gymnasium as gym
import yaml
from gymnasium.envs.registration import load_env_creator
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn, optim

from sb3_mario.dqn import DuelingDQN
from sb3_mario.resources import hyperparams_dir

T = TypeVar("T")


class ConfigError(ValueError):
    """A setting is wrong; the message names it, the cause and the mend."""


@dataclass(frozen=True)
class Algorithm:
    """An algorithm that ``--algo`` names.

    Attributes:
        cls: Its class.
        policy: The policy where the hyperparameters name none: an alias or a dotted name.
    """

    cls: type[DQN]
    policy: str


ALGORITHMS: Final = {
    "dueling_dqn": Algorithm(DuelingDQN, "sb3_mario.dqn.DuelingDQNPolicy"),
    "dqn": Algorithm(DQN, "CnnPolicy"),
}

NAMESPACE: Final = "sb3_mario/"

# Keys beside the algorithm's own arguments.
_RUN_KEYS: Final = frozenset({"n_timesteps", "n_envs", "env_kwargs"})
# Arguments of the algorithm that have a flag, or that the run sets itself.
_BY_FLAG: Final = {
    "env": "--env",
    "seed": "--seed",
    "verbose": "--verbose",
    "device": "--device",
    "tensorboard_log": "--tensorboard-log",
}
# Arguments of the policy that are classes, and what they must be.
_POLICY_CLASSES: Final[dict[str, type]] = {
    "features_extractor_class": BaseFeaturesExtractor,
    "optimizer_class": optim.Optimizer,
    "activation_fn": nn.Module,
}
_LOWEST: Final = {
    "n_timesteps": 1,
    "n_envs": 1,
    "buffer_size": 1,
    "batch_size": 1,
    "learning_starts": 0,
    "n_steps": 1,
    "target_update_interval": 1,
    "gradient_steps": -1,
    "stats_window_size": 1,
    "max_grad_norm": 0,
}
_SHARES: Final = frozenset(
    {"gamma", "tau", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps"}
)
# YAML 1.1 takes 1e-4 (no dot) for text, a trap in every file of hyperparameters.
_EXPONENT: Final = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True)
class Settings:
    """Hyperparameters, checked and turned into Python objects.

    Attributes:
        n_timesteps: Environment steps of the whole run.
        n_envs: Environments that play side by side.
        env_kwargs: Arguments of the environment.
        policy: Class of the policy.
        arguments: The algorithm's other arguments.
        plain: All of the above as plain YAML values, for ``config.yml``.
    """

    n_timesteps: int
    n_envs: int
    env_kwargs: dict[str, Any]
    policy: type[DQNPolicy]
    arguments: dict[str, Any]
    plain: dict[str, Any]


def resolve_env_id(name: str) -> str:
    """Return the full id of an environment.

    Args:
        name: ``"1-1"``, ``"SuperMarioBros-1-1-v0"`` or ``"sb3_mario/SuperMarioBros-1-1-v0"``.

    Raises:
        ConfigError: There is no such environment of this package.
    """
    for candidate in (name, f"{NAMESPACE}{name}", f"{NAMESPACE}SuperMarioBros-{name}-v0"):
        if candidate.startswith(NAMESPACE) and candidate in gym.registry:
            return candidate
    ids = [env_id for env_id in gym.registry if env_id.startswith(NAMESPACE)]
    match = difflib.get_close_matches(name, ids, 1, cutoff=0.5)
    hint = f"did you mean {match[0]}? " if match else ""
    raise ConfigError(
        f"--env: there is no environment {name!r}; {hint}Write a level, 1-1 to 8-4, or "
        f"SuperMarioBros-v0 for the whole game"
    )


def parse_assignments(items: Sequence[str], flag: str) -> dict[str, Any]:
    """Read ``key:value`` from the command line.

    Values are YAML, so numbers, booleans, null, text, lists and mappings; a dotted key leads into
    a mapping: ``policy_kwargs.net_arch:[256]``. Of two words for one key the later counts.

    Args:
        items: The words after the flag.
        flag: Its name, for the messages.

    Raises:
        ConfigError: A word has no colon, or a value is no YAML.
    """
    result: dict[str, Any] = {}
    for item in items:
        key, colon, text = item.partition(":")
        parts = key.split(".")
        if not colon or not all(parts):
            raise ConfigError(f"{flag}: expected key:value, got {item!r}")
        try:
            value = _numbers(yaml.safe_load(text))
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
            raise ConfigError(f"{flag}: the value of {item!r} is no YAML: {error}") from error
        for part in reversed(parts):
            value = {part: value}
        result = merge(result, value)
    return result


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes``; where both hold a mapping the two are merged."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; only plain values are allowed in it.

    Raises:
        ConfigError: The file is missing, no YAML, or holds something else than a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is no plain YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path} must hold a mapping from names to values")
    return typing.cast("dict[str, Any]", _numbers(content))


def load_hyperparams(
    algorithm: str, env_id: str, file: Path | None = None, game: str | None = None
) -> dict[str, Any]:
    """Return the entry for an environment, else ``default``, as rl-baselines3-zoo reads them.

    Args:
        algorithm: Name of the algorithm, and of the file that comes with this package.
        env_id: Full id; the entry may leave out the namespace.
        file: Another file to read.
        game: Name of an entry to take before ``default``, for a game with needs of its own.

    Raises:
        ConfigError: The file cannot be read, or has no such entry.
    """
    path = file or hyperparams_dir() / f"{algorithm}.yml"
    entries = read_yaml(path)
    for name in (env_id, env_id.removeprefix(NAMESPACE), game, "default"):
        if name is not None and name in entries:
            if not isinstance(entries[name], dict):
                raise ConfigError(f"{path}: the entry {name} must be a mapping of hyperparameters")
            return dict(entries[name])
    raise ConfigError(f"{path} has no entry {env_id} and no default; it has {', '.join(entries)}")


def make_settings(values: Mapping[str, Any], algorithm: str, env_id: str) -> Settings:
    """Check hyperparameters and turn names into classes and schedules.

    Args:
        values: Plain values, as YAML holds them.
        algorithm: Name of the algorithm.
        env_id: Full id of the environment.

    Raises:
        ConfigError: A key or a value is not allowed.
    """
    cls, default_policy = ALGORITHMS[algorithm].cls, ALGORITHMS[algorithm].policy
    # SB3 names VecEnv in a type without importing it.
    hints = typing.get_type_hints(cls.__init__, localns={"VecEnv": VecEnv})
    allowed = _arguments_of(cls.__init__) - set(_BY_FLAG) - {"_init_setup_model"} | _RUN_KEYS
    for key in values:
        if key in _BY_FLAG:
            raise ConfigError(f"{key} is no hyperparameter here: use {_BY_FLAG[key]}")
    _refuse_unknown(values, allowed, f"{algorithm} has no hyperparameter")
    types = hints | {"n_timesteps": int, "n_envs": int, "env_kwargs": dict[str, Any] | None}
    plain = {key: _checked(key, value, types[key]) for key, value in sorted(values.items())}
    if "n_timesteps" not in plain:
        raise ConfigError("n_timesteps is missing: add it to the hyperparameters, or give -n")
    if plain.get("optimize_memory_usage") and plain.get("n_steps", 1) > 1:
        raise ConfigError("optimize_memory_usage and n_steps above 1 exclude each other")

    env_kwargs = _env_kwargs(plain.get("env_kwargs") or {}, env_id)
    arguments = {key: value for key, value in plain.items() if key not in _RUN_KEYS}
    policy = _policy(arguments.pop("policy", default_policy), cls)
    if arguments.get("policy_kwargs"):
        kwargs = arguments["policy_kwargs"]
        own = _arguments_of(policy.__init__)
        own -= {"observation_space", "action_space", "lr_schedule"}
        _refuse_unknown(kwargs, own, f"{policy.__name__} has no argument")
        arguments["policy_kwargs"] = {
            key: _class(value, f"policy_kwargs.{key}", _POLICY_CLASSES[key])
            if key in _POLICY_CLASSES
            else value
            for key, value in kwargs.items()
        }
    if arguments.get("replay_buffer_class") is not None:
        name = "replay_buffer_class"
        arguments[name] = _class(arguments[name], name, ReplayBuffer)
    if "learning_rate" in arguments:
        arguments["learning_rate"] = _schedule(arguments["learning_rate"])
    if "train_freq" in arguments:
        arguments["train_freq"] = _train_freq(arguments["train_freq"])
    n_envs = plain.get("n_envs", 1)
    if n_envs > 1 and arguments.get("train_freq", (1, "step"))[1] == "episode":
        raise ConfigError(
            f"train_freq: episodes can be counted with an n_envs of 1 only, got {n_envs}: give a "
            "number of steps"
        )
    return Settings(plain["n_timesteps"], n_envs, env_kwargs, policy, arguments, plain)


def _refuse_unknown(keys: Collection[str], allowed: Collection[str], what: str) -> None:
    for key in keys:
        if key not in allowed:
            match = difflib.get_close_matches(key, allowed, 1, cutoff=0.5)
            hint = f"did you mean {match[0]}?" if match else f"it has {', '.join(sorted(allowed))}"
            raise ConfigError(f"{what} {key!r}; {hint}")


def _arguments_of(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "kwargs"}


def _env_kwargs(env_kwargs: Mapping[str, Any], env_id: str) -> dict[str, Any]:
    """Return the environment's arguments in their types; it checks the ranges itself."""
    spec = gym.spec(env_id)
    assert spec.entry_point is not None
    creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    if "rom" in env_kwargs:
        raise ConfigError("env_kwargs.rom is no setting here: use --rom")
    # What the id itself sets, such as its level, is not for the user to change.
    allowed = _arguments_of(creator) - set(spec.kwargs) - {"rom"}
    _refuse_unknown(env_kwargs, allowed, f"{env_id} has no argument")
    parameters = inspect.signature(creator, eval_str=True).parameters
    return {
        key: _checked(f"env_kwargs.{key}", value, parameters[key].annotation)
        for key, value in env_kwargs.items()
    }


def _checked(key: str, value: Any, hint: Any) -> Any:
    """Return a plain value in its argument's type, within its range."""
    if hint is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e6
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int and (not number or isinstance(value, float)):
        raise ConfigError(f"{key} must be a whole number, got {value!r}")
    if hint is float and not (number and math.isfinite(value)):
        raise ConfigError(f"{key} must be a number, got {value!r}")
    if hint is bool and not isinstance(value, bool):
        raise ConfigError(f"{key} must be true or false, got {value!r}")
    if hint == dict[str, Any] | None and not (value is None or isinstance(value, dict)):
        raise ConfigError(f"{key} must be a mapping, got {value!r}")
    if key in _LOWEST and value < _LOWEST[key]:
        raise ConfigError(f"{key} must be at least {_LOWEST[key]}, got {value!r}")
    if key in _SHARES and not 0 <= value <= 1:
        raise ConfigError(f"{key} must be from 0 to 1, got {value!r}")
    return value


def _policy(name: Any, cls: type[DQN]) -> type[DQNPolicy]:
    # For the name "DuelingDQNPolicy".
    importlib.import_module("sb3_mario.dqn")
    if isinstance(name, str) and "." not in name:
        if name not in cls.policy_aliases:
            _refuse_unknown([name], cls.policy_aliases, "policy: there is no")
        name = f"{cls.policy_aliases[name].__module__}.{cls.policy_aliases[name].__qualname__}"
    return _class(name, "policy", DQNPolicy)


def _class(name: Any, key: str, base: type[T]) -> type[T]:
    """Return the class with a dotted name, by importing its module; nothing is evaluated."""
    if not isinstance(name, str) or "." not in name:
        raise ConfigError(f"{key} must be a dotted name such as torch.optim.Adam, got {name!r}")
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the module may raise whatever it likes
        raise ConfigError(f"{key}: {name} cannot be imported: {error}") from error
    if not isinstance(found, type):
        raise ConfigError(f"{key}: {name} is no class")
    if not issubclass(found, base):
        raise ConfigError(f"{key}: {name} is no {base.__module__}.{base.__qualname__}")
    return found


def _schedule(value: Any) -> float | LinearSchedule:
    """Return a learning rate: a number, or ``"lin_0.001"`` for one that falls to 0."""
    linear = isinstance(value, str) and value.startswith("lin_")
    try:
        rate = float(value.removeprefix("lin_") if linear else value)
    except (TypeError, ValueError):
        rate = math.nan
    if isinstance(value, bool) or not (rate > 0 and math.isfinite(rate)):
        raise ConfigError(
            f"learning_rate must be a number above 0, or lin_ and one (lin_0.001: falls to 0), "
            f"got {value!r}"
        )
    return LinearSchedule(rate, 0.0, 1.0) if linear else rate


def _train_freq(value: Any) -> int | tuple[int, str]:
    number, unit = value if isinstance(value, list) and len(value) == 2 else (value, "step")
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    whole = isinstance(number, int) and not isinstance(number, bool)
    if not whole or number < 1 or unit not in ("step", "episode"):
        raise ConfigError(f"train_freq must be a number or [number, step|episode], got {value!r}")
    return (number, unit)


def _numbers(value: Any) -> Any:
    """Return YAML's values with text such as ``1e-4`` as the number it is meant to be."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return value
