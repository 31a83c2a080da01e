"""Find a trained agent by rl-baselines3-zoo's flags, and what it was trained on."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3 import DQN

from sb3_mario.callbacks import newest_checkpoint
from sb3_mario.game.roms import find_rom
from sb3_mario.resources import pretrained_dir
from sb3_mario.training.config import (
    ALGORITHMS,
    ConfigError,
    merge,
    parse_assignments,
    resolve_env_id,
)
from sb3_mario.training.folder import RunFolder


@dataclass(frozen=True)
class Agent:
    """A trained agent's file, and its environment.

    Attributes:
        path: The model.
        env_id: Full id.
        env_kwargs: Arguments of the environment.
        rom: The game's file; None where nobody said.
        algorithm: Its algorithm's name; None where nobody knows.
    """

    path: Path
    env_id: str
    env_kwargs: dict[str, Any]
    rom: str | None
    algorithm: str | None = None

    def load(self, device: str, seed: int) -> DQN:
        """Load the model with its algorithm's class, else as a plain DQN.

        Args:
            device: torch's name of it.
            seed: Seeds the exploration.

        Raises:
            ConfigError: It cannot be loaded.
        """
        known = ALGORITHMS.get(self.algorithm or "")
        cls = DQN if known is None else known.cls
        try:
            model = cls.load(self.path, device=device)
            model.set_random_seed(seed)
            return model
        except Exception as error:  # torch, pickle and zipfile raise whatever they like
            raise ConfigError(f"{self.path} cannot be loaded: {error}") from error


def find_agent(args: argparse.Namespace) -> Agent:
    """Return the agent that the command line names.

    Raises:
        ConfigError: There is no such file, or no run.
    """
    if not _is_named(args):
        return _pretrained(args)
    if args.model is not None:
        _check_alone(args)
        path: Path = args.model
        if not path.is_file():
            raise ConfigError(f"--model: there is no file {path}")
        folder = RunFolder.holding(path)
    else:
        folder = _find_run(args)
        path = _choose(folder, args)
    saved = {} if folder is None else folder.read_args()
    hyperparams = {} if folder is None else folder.read_hyperparams()
    given = parse_assignments(args.env_kwargs or [], "--env-kwargs")
    env_id = resolve_env_id(args.env) if args.env else str(saved.get("env", resolve_env_id("1-1")))
    env_kwargs = merge(hyperparams.get("env_kwargs") or {}, given)
    algorithm = args.algo or saved.get("algo")
    return Agent(path, env_id, env_kwargs, args.rom or saved.get("rom"), algorithm)


def _is_named(args: argparse.Namespace) -> bool:
    """Return whether the command line says anything of an agent."""
    load = args.load_best or args.load_last_checkpoint or args.load_checkpoint is not None
    named = (args.model, args.algo, args.env, args.folder)
    return load or bool(args.exp_id) or any(word is not None for word in named)


def _check_alone(args: argparse.Namespace) -> None:
    """Refuse what chooses a model beside ``--model``."""
    others = {
        "-f/--folder": args.folder is not None,
        "--exp-id": bool(args.exp_id),
        "--load-best": args.load_best,
        "--load-checkpoint": args.load_checkpoint is not None,
        "--load-last-checkpoint": args.load_last_checkpoint,
    }
    for name, is_given in others.items():
        if is_given:
            raise ConfigError(
                f"--model {args.model} is one model, {name} chooses another: leave one out"
            )


def _pretrained(args: argparse.Namespace) -> Agent:
    """Return the agent that comes with the package, for the game that is given or found.

    Raises:
        ConfigError: That game is neither Super Mario Bros. nor the free one.
        RomError: There is no game, or the file is none.
    """
    rom = find_rom(args.rom)
    if not rom.known:
        raise ConfigError(
            f"--rom: no agent comes with sb3-mario for {rom.path}, which is no known dump of "
            "Super Mario Bros.: name a model with --model"
        )
    name = rom.name if rom.free else "SuperMarioBros"
    env_kwargs = parse_assignments(args.env_kwargs or [], "--env-kwargs")
    path = pretrained_dir() / f"{name}-1-1.zip"
    return Agent(path, resolve_env_id("1-1"), env_kwargs, str(rom.path), "dueling_dqn")


def _find_run(args: argparse.Namespace) -> RunFolder:
    """Return the run with the number asked for, or the newest."""
    algo = args.algo or "dueling_dqn"
    parent = (args.folder or Path("logs")) / algo
    env_id = resolve_env_id(args.env or "1-1").replace("/", "-")
    named = re.compile(rf"{re.escape(env_id)}_(\d+)")
    found = parent.iterdir() if parent.is_dir() else []
    runs = {int(match[1]): path for path in found if (match := named.fullmatch(path.name))}
    if not runs:
        raise ConfigError(
            f"-f/--folder: there is no run {parent / env_id}_<n>: train one with "
            f"`python train.py --algo {algo}`, or name a model with --model"
        )
    number = args.exp_id or max(runs)
    if number not in runs:
        raise ConfigError(f"--exp-id: there is no run {number}; there are {sorted(runs)}")
    return RunFolder(runs[number])


def _choose(folder: RunFolder, args: argparse.Namespace) -> Path:
    best = folder.path / "best_model.zip"
    if args.load_best:
        path: Path | None = best
    elif args.load_checkpoint is not None:
        path = folder.path / f"rl_model_{args.load_checkpoint}_steps.zip"
    elif args.load_last_checkpoint:
        path = newest_checkpoint(folder.path)
    else:
        path = folder.final_model
    if path is None or not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.path.glob("*.zip"))) or "none"
        raise ConfigError(
            f"{folder.path} has no {'checkpoint' if path is None else path.name} (models there: "
            f"{there}): use --load-best, --load-checkpoint STEPS or --load-last-checkpoint"
        )
    return path
