"""One training run: everything that ``train.py`` does."""

from __future__ import annotations

import inspect
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecEnv

from sb3_mario.callbacks import (
    AtomicCheckpointCallback,
    EpisodeCSVCallback,
    EvaluationCallback,
    InterruptCallback,
    LostStepsCallback,
    ProgressCallback,
    TensorboardCallback,
    atomic_save_model,
    replay_buffer_path,
)
from sb3_mario.dqn import DivergedError
from sb3_mario.dqn.saved_replay import check_savable, load_replay_buffer
from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.game.roms import RomError
from sb3_mario.game.selftest import SelfTestError
from sb3_mario.training.arguments import MAX_SEED, parse_arguments
from sb3_mario.training.config import ALGORITHMS, ConfigError
from sb3_mario.training.environments import (
    EVAL_SEED_OFFSET,
    close_envs,
    evaluation_envs,
    measurement_envs,
    training_envs,
)
from sb3_mario.training.logger import make_logger
from sb3_mario.training.prepare import Run, prepare
from sb3_mario.training.threads import PROBE_ARGUMENTS, measure_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and return the exit status.

    Returns:
        0 done, 1 something broke, 2 a setting is wrong, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    args = parse_arguments(argv)
    command = ["train.py", *(sys.argv[1:] if argv is None else argv)]
    interrupt = InterruptCallback()
    run: Run | None = None
    try:
        with interrupt.listening():
            run = prepare(args, command)
            return _train(run, interrupt)
    except KeyboardInterrupt:
        begun = run is not None and run.steps_done > 0
        print("Stopped at once." if begun else "Stopped before training began.", file=sys.stderr)
        return 128 + (interrupt.signal or signal.SIGINT)
    except (ConfigError, RomError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2
    except (DivergedError, EmulatorError, SelfTestError, EOFError, OSError, ValueError) as error:
        if args.verbose == 2:
            traceback.print_exc()
        print(f"train.py: error: {_explained(error, run)}", file=sys.stderr)
        return 1
    finally:
        if run is not None and run.checkpoint is None and run.steps_done == 0:
            run.folder.remove()


def _explained(error: Exception, run: Run | None) -> str:
    in_processes = run is not None and run.options["vec_env"] == "subproc"
    if in_processes and isinstance(error, EOFError | ConnectionError):
        return "an emulator's process (--vec-env subproc) ended; its own error is printed above"
    if isinstance(error, DivergedError):
        return (
            f"{error}. To change them, copy an earlier checkpoint out of the run's folder and "
            "start a new run from it: -i COPY.zip -params learning_rate:..."
        )
    return str(error)


def _train(run: Run, interrupt: InterruptCallback) -> int:
    options, settings, folder = run.options, run.settings, run.folder
    measured = {}
    if options["num_threads"] is None:
        measured = _measure_threads(run, interrupt)
        options["num_threads"] = max(measured, key=lambda threads: measured[threads])
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
        stack.callback(close_envs, env)
        model = run.model = _make_model(run, env)
        if options["save_replay_buffer"]:
            _check_savable(model)
        run.first_step = model.num_timesteps
        if options["verbose"] > 0:
            _announce(run, model, measured)
        if model.num_timesteps >= settings.n_timesteps:
            raise ConfigError(
                f"-n/--n-timesteps: the run has done {model.num_timesteps:,} of "
                f"{settings.n_timesteps:,} steps already: give a larger number to go on"
            )
        # What was measured is measured again where the run goes on, perhaps on another machine.
        chosen = options | ({"num_threads": None} if measured else {})
        folder.write(settings.plain, chosen, run.command)
        logger = make_logger(
            _tensorboard_folder(run),
            model.num_timesteps,
            table=options["verbose"] > 0 and not with_bar,
        )
        stack.callback(logger.close)
        model.set_logger(logger)

        monitor_files = [folder.monitor_csv(number) for number in range(settings.n_envs)]
        episodes = EpisodeCSVCallback(folder.episodes_csv, monitor_files)
        checkpoints = AtomicCheckpointCallback(
            options["save_freq"] if options["save_freq"] > 0 else sys.maxsize,
            folder.path,
            save_replay_buffer=options["save_replay_buffer"],
            verbose=int(options["verbose"] > 1),
        )
        callbacks: list[BaseCallback] = [
            interrupt,
            episodes,
            LostStepsCallback(),
            TensorboardCallback(),
        ]
        if options["eval_freq"] > 0:
            eval_env = evaluation_envs(options["env"], env_kwargs, options["n_eval_envs"])
            stack.callback(close_envs, eval_env)
            callbacks.append(
                EvaluationCallback(
                    eval_env,
                    options["eval_freq"],
                    folder.path,
                    options["eval_episodes"],
                    seed=options["seed"] + EVAL_SEED_OFFSET,
                    on_step=interrupt.check,
                    verbose=options["verbose"],
                    episodes_csv=folder.episodes_csv,
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
    start = time.monotonic()
    status = 0
    try:
        model.learn(
            run.settings.n_timesteps - model.num_timesteps,
            callback=callbacks,
            log_interval=run.options["log_interval"],
            reset_num_timesteps=run.checkpoint is None,
        )
    except KeyboardInterrupt:
        if run.steps_done == 0:
            raise  # there is nothing to save
        status = 128 + (interrupt.signal or signal.SIGINT)
    except BaseException as error:
        # Whatever broke, hours of learning must not be lost with it.
        if run.steps_done > 0:
            _save_after_error(run, checkpoints, isinstance(error, DivergedError))
        raise
    finally:
        _end(callbacks)
    seconds = time.monotonic() - start
    saved = checkpoints.path(model.num_timesteps)
    if _is_done(run):  # first, for it needs less room than a checkpoint
        saved = atomic_save_model(model, run.folder.final_model)
    # A file of these steps may also be there from a part that was abandoned.
    if checkpoints.newest != checkpoints.path(model.num_timesteps):
        checkpoints.save_now()
    if not _is_done(run):
        run.folder.final_model.unlink(missing_ok=True)  # of a shorter run, before this went on
    if run.options["verbose"] > 0:
        print(
            f"{'Done' if _is_done(run) else 'Stopped'} after {model.num_timesteps:,} steps: "
            f"{run.steps_done:,} in {seconds / 60:,.1f} minutes, "
            f"{run.steps_done / max(seconds, 1e-9):,.0f} a second.\nSaved {saved}"
        )
        if not _is_done(run):
            print(f"Go on with: python train.py -i {run.folder.path}")
    return status


def _is_done(run: Run) -> bool:
    """Return whether all steps are, though what comes after them may have been broken off."""
    assert run.model is not None
    return run.model.num_timesteps >= run.settings.n_timesteps


def _end(callbacks: CallbackList) -> None:
    """Close what a run that is not at its end leaves open; the other callbacks would go on."""
    for callback in callbacks.callbacks:
        if isinstance(callback, ProgressCallback | EpisodeCSVCallback | TensorboardCallback):
            callback.on_training_end()


def _save_after_error(run: Run, checkpoints: AtomicCheckpointCallback, diverged: bool) -> None:
    assert run.model is not None
    final: Path | None = None
    try:
        if _is_done(run) and not diverged:
            final = atomic_save_model(run.model, run.folder.final_model)
        # After a divergence the earlier checkpoints are the good ones.
        saved = checkpoints.save_now(remove_others=not diverged)
        if not _is_done(run):
            run.folder.final_model.unlink(missing_ok=True)  # as above
    except Exception as error:
        what = "nothing could be saved" if final is None else f"saved {final}, but no checkpoint"
        print(f"train.py: an error ended the run; {what}: {error}", file=sys.stderr)
        return
    further = "" if diverged else f" Go on with: python train.py -i {saved.parent}"
    if final is not None:
        further = f" Its steps are done, and its model is {final}"
    print(f"train.py: an error ended the run; saved {saved}.{further}", file=sys.stderr)


def _measure_threads(run: Run, interrupt: InterruptCallback) -> dict[int, float]:
    """Measure on emulators of its own, so that the run's are as they would be without."""
    if run.options["verbose"] > 0:
        print("Measuring with how many torch threads training is fastest ...", flush=True)
    env = measurement_envs(
        run.options["env"],
        run.settings.env_kwargs | {"rom": run.options["rom"]},
        n_envs=run.settings.n_envs,
        vec_env=run.options["vec_env"],
    )
    try:
        return measure_threads(_new_model(run, env, PROBE_ARGUMENTS), interrupt.check)
    finally:
        close_envs(env)


def _new_model(run: Run, env: VecEnv, changes: Mapping[str, Any]) -> DQN:
    try:
        return ALGORITHMS[run.options["algo"]].cls(
            run.settings.policy,
            env,
            seed=run.options["seed"],
            device=run.options["device"],
            verbose=0,
            **{**run.settings.arguments, **changes},
        )
    except MemoryError as error:
        raise ConfigError(f"buffer_size: there is not so much memory ({error})") from error
    except Exception as error:  # what SB3 and torch alone can check
        raise ConfigError(f"the hyperparameters make no model: {error}") from error


def _make_model(run: Run, env: VecEnv) -> DQN:
    options = run.options
    if run.checkpoint is not None:
        return _load_checkpoint(run, ALGORITHMS[options["algo"]].cls, run.checkpoint, env)
    model = _new_model(run, env, {})
    if run.weights is not None:
        try:
            # Without its optimizer, whose averages and settings are the other run's.
            parameters: Any = load_from_zip_file(run.weights, device=options["device"])[1]
            model.policy.load_state_dict(parameters["policy"])
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
            f"-i/--trained-agent: {checkpoint} cannot be loaded ({error}): it is damaged (resume "
            "from the folder to take the newest whole one), or of a version with another network"
        ) from error
    model.set_random_seed((run.options["seed"] + model.num_timesteps) % (MAX_SEED + 1))
    buffer = replay_buffer_path(checkpoint)
    if buffer.is_file():
        try:
            assert model.replay_buffer is not None
            with buffer.open("rb") as file:
                load_replay_buffer(model.replay_buffer, file)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the replay buffer {buffer} cannot be loaded ({error}): remove it to go on with "
                "an empty one"
            ) from error
    else:
        # An empty buffer is filled by random play first, as at the start of a run.
        default = inspect.signature(cls).parameters["learning_starts"].default
        wait = run.settings.arguments.get("learning_starts", default)
        model.learning_starts = model.num_timesteps + wait
    return model


def _check_savable(model: DQN) -> None:
    assert model.replay_buffer is not None
    try:
        check_savable(model.replay_buffer)
    except TypeError as error:
        raise ConfigError(f"--save-replay-buffer: {error}") from error


def _tensorboard_folder(run: Run) -> Path:
    chosen: str | None = run.options["tensorboard_log"]
    folder = run.folder.path
    return folder if chosen is None else Path(chosen, run.options["algo"], folder.name)


def _schedule(run: Run, model: DQN) -> dict[str, str]:
    """Return what a resumed run goes on with, which hangs on how long it will be."""
    left = 1 - model.num_timesteps / run.settings.n_timesteps
    if run.checkpoint is None or left <= 0:
        return {}
    rate, exploration = model.lr_schedule(left), model.exploration_schedule(left)
    return {"Schedule": f"learning rate {rate:.3g}, exploration {exploration:.0%}"}


def _announce(run: Run, model: DQN, measured: Mapping[int, float]) -> None:
    options = run.options
    threads = f"{th.get_num_threads()} torch thread(s)"
    if measured:
        speeds = ", ".join(f"{n}: {speed:,.0f}" for n, speed in measured.items())
        threads += f" (steps a second, by number of threads: {speeds})"
    known = "" if run.rom.known else ", an unknown dump"
    game = f"{run.rom.name} ({run.rom.path}, from {run.rom.source}{known})"
    if run.rom.source == "homebrew":
        game = (
            f"{run.rom.name}, the free game, for no other was given or found; Super Mario Bros.: "
            "--rom FILE, or `make real-rom`"
        )
    start = "a new run"
    if run.checkpoint is not None:
        buffer = replay_buffer_path(run.checkpoint).is_file()
        start = (
            f"{run.checkpoint.name}, at step {model.num_timesteps:,}, "
            f"{'with its' if buffer else 'without a'} replay buffer"
        )
        steps, episodes = run.folder.lost_after(model.num_timesteps)
        if steps:
            start += f"; {steps:,} steps or more after it, {episodes:,} episode(s), are lost"
    elif run.weights is not None:
        start = f"a new run with the weights of {run.weights}"
    rows = {
        "Game": game,
        "Environment": f"{options['env']}, {run.settings.n_envs} emulator(s)",
        "Algorithm": f"{options['algo']}: {type(model).__name__}, {type(model.policy).__name__}",
        "Machine": f"{model.device}, seed {options['seed']}, {threads}",
        "Start": start,
        **_schedule(run, model),
        "Folder": f"{run.folder.path}",
        "Curves": f"tensorboard --logdir {options['tensorboard_log'] or options['log_folder']}",
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:>{width}}: {value}" for name, value in rows.items()), flush=True)
