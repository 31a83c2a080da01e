"""One training run: everything that ``train.py`` does."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import (
    HumanOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
)
from stable_baselines3.common.utils import get_device
from stable_baselines3.common.vec_env import VecEnv
from torch.utils.tensorboard import SummaryWriter

from sb3_mario.callbacks import (
    AtomicCheckpointCallback,
    EpisodeCSVCallback,
    EvaluationCallback,
    InterruptCallback,
    ProgressCallback,
    TensorboardCallback,
    atomic_save_model,
    replay_buffer_path,
)
from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.game.roms import Rom, RomError, find_rom
from sb3_mario.game.selftest import SelfTestError
from sb3_mario.training.arguments import FIXED_ON_RESUME, parse_arguments, with_defaults
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
from sb3_mario.training.environments import (
    EVAL_SEED_OFFSET,
    evaluation_envs,
    training_envs,
)
from sb3_mario.training.folder import RunFolder

MAX_SEED = 2**31


@dataclass
class Run:
    """What is to be done.

    Attributes:
        options: The arguments by name, complete.
        settings: The hyperparameters.
        rom: The game.
        folder: Where to write.
        checkpoint: Model to resume from; None for a new run.
        weights: Model whose weights a new run starts with, or None.
        steps_done: Environment steps done since the program was started.
    """

    options: dict[str, Any]
    settings: Settings
    rom: Rom
    folder: RunFolder
    checkpoint: Path | None
    weights: Path | None
    steps_done: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and return the exit status: 0 done, 1 it broke, 2 wrong settings, 130 Ctrl-C."""
    args = parse_arguments(argv)
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        run = _prepare(args, words)
        try:
            return _train(run)
        except BaseException:
            if run.checkpoint is None and run.steps_done == 0:
                run.folder.remove()
            raise
    except KeyboardInterrupt:
        print("Stopped before training began.", file=sys.stderr)
        return 130
    except (ConfigError, RomError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2
    except (EmulatorError, SelfTestError, OSError, ValueError) as error:
        if args.verbose == 2:
            traceback.print_exc()
        print(f"train.py: error: {error}", file=sys.stderr)
        return 1


# What to do --------------------------------------------------------------------------------------


def _prepare(args: argparse.Namespace, words: Sequence[str]) -> Run:
    """Check every setting before anything is started or written."""
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
        return _prepare_resumed(args, words, folder, path)
    return _prepare_new(args, words, path)


def _is_checkpoint(path: Path) -> bool:
    try:
        replay_buffer_path(path)
    except ValueError:
        return False
    return True


def _prepare_new(args: argparse.Namespace, words: Sequence[str], weights: Path | None) -> Run:
    options = with_defaults(args)
    options["trained_agent"] = None if weights is None else str(weights)
    algorithm = options["algo"]
    env_id = options["env"] = resolve_env_id(options["env"])
    conf_file = options["conf_file"]
    values = load_hyperparams(algorithm, env_id, Path(conf_file) if conf_file else None)
    values = merge(values, parse_assignments(options["hyperparams"], "-params/--hyperparams"))
    env_kwargs = parse_assignments(options["env_kwargs"], "--env-kwargs")
    values = merge(values, {"env_kwargs": env_kwargs} if env_kwargs else {})
    for name in ("n_timesteps", "n_envs"):
        if options[name] is not None:
            values[name] = options[name]
    settings = make_settings(values, algorithm, env_id)
    if options["seed"] is None:
        options["seed"] = secrets.randbelow(2**16)
    rom = find_rom(options["rom"])
    options |= {"rom": str(rom.path.resolve()), "rom_sha1": rom.sha1}
    options["n_timesteps"], options["n_envs"] = settings.n_timesteps, settings.n_envs
    folder = RunFolder.create(Path(options["log_folder"]), algorithm, env_id)
    folder.write(settings.plain, options, ["train.py", *words])
    return Run(options, settings, rom, folder, None, weights)


def _prepare_resumed(
    args: argparse.Namespace, words: Sequence[str], folder: RunFolder, path: Path
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
    rom = find_rom(options["rom"])
    if rom.sha1 != saved.get("rom_sha1"):
        raise ConfigError(
            f"--rom: {rom.path} is another game than the one this run was started on (SHA-1 "
            f"{rom.sha1}, not {saved.get('rom_sha1')}): give that one"
        )
    options["rom"] = str(rom.path.resolve())
    checkpoint = folder.checkpoint() if path.is_dir() else path
    folder.write(settings.plain, options, ["train.py", *words])
    return Run(options, settings, rom, folder, checkpoint, None)


# Doing it ----------------------------------------------------------------------------------------


def _train(run: Run) -> int:
    options, settings, folder = run.options, run.settings, run.folder
    _check_device(options["device"])
    if options["num_threads"] is not None:
        th.set_num_threads(options["num_threads"])
    with_bar = options["progress"]
    if with_bar is None:
        with_bar = sys.stderr.isatty() and options["verbose"] > 0
    env_kwargs = settings.env_kwargs | {"rom": options["rom"]}
    with ExitStack() as stack:
        env = training_envs(
            options["env"],
            env_kwargs,
            n_envs=settings.n_envs,
            vec_env=options["vec_env"],
            folder=folder,
            resumed=run.checkpoint is not None,
        )
        stack.callback(env.close)
        model = _make_model(run, env)
        if options["verbose"] > 0:
            _announce(run, model)
        if model.num_timesteps >= settings.n_timesteps:
            raise ConfigError(
                f"-n/--n-timesteps: the run has done {model.num_timesteps:,} of "
                f"{settings.n_timesteps:,} steps already: give a larger number to go on"
            )
        logger = _make_logger(run, model, table=options["verbose"] > 0 and not with_bar)
        stack.callback(logger.close)
        model.set_logger(logger)

        interrupt = InterruptCallback()
        monitor_files = [folder.monitor_csv(number) for number in range(settings.n_envs)]
        episodes = EpisodeCSVCallback(folder.episodes_csv, monitor_files)
        checkpoints = AtomicCheckpointCallback(
            options["save_freq"] if options["save_freq"] > 0 else MAX_SEED,
            folder.path,
            save_replay_buffer=options["save_replay_buffer"],
            verbose=int(options["verbose"] > 1),
        )
        callbacks: list[BaseCallback] = [interrupt, episodes, TensorboardCallback()]
        if options["eval_freq"] > 0:
            eval_env = evaluation_envs(options["env"], env_kwargs, options["n_eval_envs"])
            stack.callback(eval_env.close)
            callbacks.append(
                EvaluationCallback(
                    eval_env,
                    options["eval_freq"],
                    folder.path,
                    options["eval_episodes"],
                    seed=options["seed"] + EVAL_SEED_OFFSET,
                    on_step=interrupt.check,
                    verbose=options["verbose"],
                )
            )
        callbacks.append(checkpoints)
        if with_bar:
            callbacks.append(ProgressCallback(settings.n_timesteps))
        return _learn(run, model, CallbackList(callbacks), interrupt, checkpoints)


def _learn(
    run: Run,
    model: DQN,
    callbacks: CallbackList,
    interrupt: InterruptCallback,
    checkpoints: AtomicCheckpointCallback,
) -> int:
    start, first = time.monotonic(), model.num_timesteps
    status = 0
    try:
        with interrupt.listening():
            model.learn(
                run.settings.n_timesteps - model.num_timesteps,
                callback=callbacks,
                log_interval=run.options["log_interval"],
                reset_num_timesteps=run.checkpoint is None,
            )
    except KeyboardInterrupt:
        status = 128 + (interrupt.signal or signal.SIGINT)
    except BaseException:
        # Whatever broke, hours of learning must not be lost with it.
        if model.num_timesteps > first:
            _save_after_error(checkpoints)
        raise
    finally:
        for callback in callbacks.callbacks:
            if isinstance(callback, ProgressCallback | EpisodeCSVCallback | TensorboardCallback):
                callback.on_training_end()
        run.steps_done = model.num_timesteps - first
    seconds = time.monotonic() - start
    if model.num_timesteps > 0 and not checkpoints.path(model.num_timesteps).exists():
        checkpoints.save_now()
    if status == 0:
        atomic_save_model(model, run.folder.final_model)
    if run.options["verbose"] > 0:
        saved = run.folder.final_model if status == 0 else checkpoints.path(model.num_timesteps)
        print(
            f"{'Stopped' if status else 'Done'} after {model.num_timesteps:,} steps: "
            f"{run.steps_done:,} in {seconds / 60:,.1f} minutes, "
            f"{run.steps_done / max(seconds, 1e-9):,.0f} a second.\nSaved {saved}"
        )
        if status != 0:
            print(f"Go on with: python train.py -i {run.folder.path}")
    return status


def _save_after_error(checkpoints: AtomicCheckpointCallback) -> None:
    try:
        saved = checkpoints.save_now()
    except Exception as error:
        print(f"train.py: nothing could be saved: {error}", file=sys.stderr)
    else:
        print(
            f"train.py: an error ended the run; saved {saved}. Go on with: python train.py -i "
            f"{saved.parent}",
            file=sys.stderr,
        )


def _check_device(device: str) -> None:
    try:
        th.zeros(1, device=get_device(device))
    except Exception as error:  # torch raises whatever it likes
        raise ConfigError(f"--device: {device!r} cannot be used: {error}") from error
    if device.startswith("cuda") and not th.cuda.is_available():
        raise ConfigError(f"--device: {device!r} cannot be used: torch finds no CUDA here")


def _make_model(run: Run, env: VecEnv) -> DQN:
    options, settings = run.options, run.settings
    cls = ALGORITHMS[options["algo"]].cls
    if run.checkpoint is not None:
        return _load_checkpoint(run, cls, run.checkpoint, env)
    try:
        model = cls(
            settings.policy,
            env,
            seed=options["seed"],
            device=options["device"],
            verbose=0,
            **settings.arguments,
        )
    except MemoryError as error:
        raise ConfigError(f"buffer_size: there is not so much memory ({error})") from error
    if run.weights is not None:
        try:
            model.set_parameters(str(run.weights), device=options["device"])
        except Exception as error:  # torch and zipfile raise whatever they like
            raise ConfigError(
                f"-i/--trained-agent: {run.weights} is no model that fits: {error}"
            ) from error
    return model


def _load_checkpoint(run: Run, cls: type[DQN], checkpoint: Path, env: VecEnv) -> DQN:
    """Return the model of a checkpoint, with its replay buffer; later rows go from the CSVs."""
    try:
        model = cls.load(checkpoint, env=env, device=run.options["device"])
    except Exception as error:  # torch, pickle and zipfile raise whatever they like
        raise ConfigError(
            f"-i/--trained-agent: {checkpoint} cannot be loaded ({error}); resume from the folder "
            "to take the newest whole one"
        ) from error
    model.set_random_seed((run.options["seed"] + model.num_timesteps) % MAX_SEED)
    buffer = replay_buffer_path(checkpoint)
    if buffer.is_file():
        try:
            model.load_replay_buffer(buffer)
        except Exception as error:
            raise ConfigError(
                f"the replay buffer {buffer} cannot be loaded ({error}): remove it to go on with "
                "an empty one"
            ) from error
    else:
        # An empty buffer is filled by random play first, as at the start of a run.
        model.learning_starts += model.num_timesteps
    return model


class _TensorBoard(TensorBoardOutputFormat):
    """SB3's, but what was written after the step from which a run is resumed shows no more."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.writer = SummaryWriter(str(folder), purge_step=steps + 1 if steps else None)
        self._is_closed = False


def _make_logger(run: Run, model: DQN, *, table: bool) -> Logger:
    """Return SB3's logger with TensorBoard's files and, if asked for, its table."""
    chosen = run.options["tensorboard_log"]
    folder = run.folder.path
    if chosen is not None:
        folder = Path(chosen) / run.options["algo"] / folder.name
    formats: list[KVWriter] = [_TensorBoard(folder, model.num_timesteps)]
    if table:
        formats.append(HumanOutputFormat(sys.stdout))
    return Logger(str(folder), formats)


def _announce(run: Run, model: DQN) -> None:
    options = run.options
    known = "" if run.rom.known or run.rom.source == "homebrew" else ", an unknown dump"
    start = "a new run"
    if run.checkpoint is not None:
        buffer = replay_buffer_path(run.checkpoint).is_file()
        start = (
            f"{run.checkpoint.name}, at step {model.num_timesteps:,}, "
            f"{'with its' if buffer else 'without a'} replay buffer"
        )
    elif run.weights is not None:
        start = f"a new run with the weights of {run.weights}"
    rows = {
        "Game": f"{run.rom.name} ({run.rom.path}, from {run.rom.source}{known})",
        "Environment": f"{options['env']}, {run.settings.n_envs} emulator(s)",
        "Algorithm": f"{options['algo']}: {type(model).__name__}, {type(model.policy).__name__}",
        "Machine": f"{model.device}, {th.get_num_threads()} torch threads, seed {options['seed']}",
        "Start": start,
        "Folder": f"{run.folder.path}",
        "Curves": f"tensorboard --logdir {options['tensorboard_log'] or options['log_folder']}",
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:>{width}}: {value}" for name, value in rows.items()), flush=True)
