"""What a run of ``train.py`` is to do: a new run, or going on with one."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.utils import get_device

from sb3_mario import doctor
from sb3_mario.callbacks import replay_buffer_path
from sb3_mario.dqn import DuelingDQN, FrameReplayBuffer
from sb3_mario.game.roms import Rom, RomNotFoundError, find_rom
from sb3_mario.training.arguments import FIXED_ON_RESUME, with_defaults
from sb3_mario.training.config import (
    ALGORITHMS,
    ConfigError,
    Settings,
    load_hyperparams,
    make_settings,
    merge,
    parse_assignments,
    resolve_env_id,
)
from sb3_mario.training.environments import check_env
from sb3_mario.training.folder import RunFolder


@dataclass
class Run:
    """What is to be done.

    Attributes:
        options: The arguments by name, complete.
        command: The words of the command line.
        settings: The hyperparameters.
        rom: The game.
        folder: Where to write.
        checkpoint: Model to resume from; None for a new run.
        weights: Model whose weights a new run starts with, or None.
        model: What learns, once it is made.
        first_step: Environment steps that the model had done before.
    """

    options: dict[str, Any]
    command: Sequence[str]
    settings: Settings
    rom: Rom
    folder: RunFolder
    checkpoint: Path | None
    weights: Path | None
    model: DQN | None = None
    first_step: int = 0

    @property
    def steps_done(self) -> int:
        """Environment steps done since the program was started."""
        return 0 if self.model is None else self.model.num_timesteps - self.first_step


def prepare(args: argparse.Namespace, command: Sequence[str]) -> Run:
    """Check every setting before anything is started; the folder of a new run is made last."""
    path: Path | None = args.trained_agent
    if path is not None and not path.exists():
        raise ConfigError(f"-i/--trained-agent: there is no {path}")
    folder = None if path is None else RunFolder.holding(path)
    if folder is None and path is not None and path.is_dir():
        raise ConfigError(f"-i/--trained-agent: {path} is no run's folder: it has no args.yml")
    # A model beside the checkpoints, such as best_model.zip, is somewhere to start from.
    resume = path is not None and (path.is_dir() or (folder is not None and _is_checkpoint(path)))
    if resume:
        assert path is not None and folder is not None
        return _prepare_resumed(args, command, folder, path)
    return _prepare_new(args, command, path)


def _is_checkpoint(path: Path) -> bool:
    try:
        replay_buffer_path(path)
    except ValueError:
        return False
    return True


def _prepare_new(args: argparse.Namespace, command: Sequence[str], weights: Path | None) -> Run:
    options = with_defaults(args)
    options["trained_agent"] = None if weights is None else str(weights)
    algorithm = options["algo"]
    env_id = options["env"] = resolve_env_id(options["env"])
    rom = find_rom(options["rom"])
    conf_file = options["conf_file"]
    values = load_hyperparams(
        algorithm,
        env_id,
        Path(conf_file) if conf_file else None,
        rom.name.lower() if rom.free else None,
    )
    values = merge(values, parse_assignments(options["hyperparams"], "-params/--hyperparams"))
    env_kwargs = parse_assignments(options["env_kwargs"], "--env-kwargs")
    values = merge(values, {"env_kwargs": env_kwargs} if env_kwargs else {})
    for name in ("n_timesteps", "n_envs"):
        if options[name] is not None:
            values[name] = options[name]
    settings = make_settings(values, algorithm, env_id)
    if options["save_replay_buffer"] is None:
        options["save_replay_buffer"] = _stores_frames_once(algorithm, settings)
    if options["seed"] is None:
        options["seed"] = secrets.randbelow(2**16)
    options |= {"rom": str(rom.path.resolve()), "rom_sha1": rom.sha1}
    options["n_timesteps"], options["n_envs"] = settings.n_timesteps, settings.n_envs
    _check_machine(options, settings, None)
    folder = RunFolder.create(Path(options["log_folder"]), algorithm, env_id)
    return Run(options, command, settings, rom, folder, None, weights)


def _prepare_resumed(
    args: argparse.Namespace, command: Sequence[str], folder: RunFolder, path: Path
) -> Run:
    given = {name: value for name, value in vars(args).items() if value is not None}
    saved = folder.read_args()
    if "env" in given:
        given["env"] = resolve_env_id(given["env"])
    for name in FIXED_ON_RESUME:
        if name in given and given[name] != saved.get(name):
            raise ConfigError(
                f"--{name.replace('_', '-')}: a resumed run keeps its {saved.get(name)!r}, got "
                f"{given[name]!r}: leave it out, or start a new run"
            )
    options = {**with_defaults(args), **saved, **given}
    options["trained_agent"] = saved.get("trained_agent")
    values = merge(folder.read_hyperparams(), {"n_timesteps": options["n_timesteps"]})
    settings = make_settings(values, options["algo"], options["env"])
    try:
        rom = find_rom(options["rom"])
    except RomNotFoundError as error:
        if "rom" in given:
            raise
        raise ConfigError(
            f"the game that this run was started on is gone: there is no {options['rom']}. Give it "
            "with --rom PATH"
        ) from error
    if rom.sha1 != saved.get("rom_sha1"):
        raise ConfigError(
            f"--rom: {rom.path} is another game than the one this run was started on (SHA-1 "
            f"{rom.sha1}, not {saved.get('rom_sha1')}): give that one"
        )
    options["rom"] = str(rom.path.resolve())
    _check_machine(options, settings, folder.path)
    checkpoint = folder.checkpoint() if path.is_dir() else path
    return Run(options, command, settings, rom, folder, checkpoint, None)


def _stores_frames_once(algorithm: str, settings: Settings) -> bool:
    chosen = settings.arguments.get("replay_buffer_class")
    if chosen is None:
        return issubclass(ALGORITHMS[algorithm].cls, DuelingDQN)
    return issubclass(chosen, FrameReplayBuffer)


def _check_machine(options: dict[str, Any], settings: Settings, folder: Path | None) -> None:
    """Check the device, the environment's arguments, and the fast part of the doctor."""
    device = options["device"]
    try:
        th.zeros(1, device=get_device(device))
    except Exception as error:  # torch raises whatever it likes
        raise ConfigError(f"--device: {device!r} cannot be used: {error}") from error
    if device.startswith("cuda") and not th.cuda.is_available():
        raise ConfigError(f"--device: {device!r} cannot be used: torch finds no CUDA here")
    check_env(options["env"], settings.env_kwargs | {"rom": options["rom"]})
    kwargs = settings.env_kwargs
    window = bool(kwargs.get("window")) or kwargs.get("render_mode") == "human"
    screen = kwargs.get("frames") == "screen"
    doctor.require(doctor.Wanted(options["rom"], folder, device, window, screen))
