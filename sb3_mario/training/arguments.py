"""The command line of ``train.py``, with rl-baselines3-zoo's flags."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ALGORITHM_NAMES: Final = ("dueling_dqn", "dqn")
MAX_SEED: Final = 2**31 - 1  # with what is added to it, NumPy's 32 bits are enough

# Values of flags that were not given. They are not the parser's own defaults: a resumed run takes
# what was not given from the run that it resumes.
DEFAULTS: Final[dict[str, Any]] = {
    "algo": "dueling_dqn",
    "env": "sb3_mario/SuperMarioBros-1-1-v0",
    "rom": None,
    "n_timesteps": None,
    "tensorboard_log": None,
    "log_folder": "logs",
    "log_interval": 10,
    "eval_freq": 25_000,
    "eval_episodes": 10,
    "n_eval_envs": 1,
    "save_freq": 50_000,
    "save_replay_buffer": None,
    "seed": None,
    "n_envs": None,
    "vec_env": "dummy",
    "device": "auto",
    "num_threads": None,
    "hyperparams": [],
    "conf_file": None,
    "env_kwargs": [],
    "progress": None,
    "verbose": 1,
}

# What a run is; changing it would make it another run.
FIXED_ON_RESUME: Final = (
    *("algo", "env", "log_folder", "tensorboard_log", "seed", "n_envs", "vec_env"),
    *("eval_episodes", "n_eval_envs", "hyperparams", "conf_file", "env_kwargs"),
)

_EPILOG: Final = """\
examples:
  train.py                                        level 1-1, dueling DQN, on the ROM that is found
  train.py --algo dqn --env 1-2 -n 500000         SB3's plain DQN on level 1-2
  train.py -params learning_rate:5e-5 gamma:0.95  other hyperparameters
  train.py --env-kwargs actions:right_only        another argument of the environment
  train.py -i logs/dueling_dqn/NAME_1             go on with a run that was stopped
  tensorboard --logdir logs                       watch the curves
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments; ``None`` where a flag was not given (see `DEFAULTS`).

    Args:
        argv: Words of the command line, without the program's name; None takes the real ones.

    Raises:
        SystemExit: ``--help`` was asked for, or a word is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train an agent on Super Mario Bros. in FCEUX.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_what(parser)
    _add_folder(parser)
    _add_evaluation(parser)
    _add_machine(parser)
    return parser.parse_args(argv)


def with_defaults(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments by name, with `DEFAULTS` where a flag was not given."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    return DEFAULTS | given


def _add_what(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to train")
    group.add_argument(
        "--algo", choices=ALGORITHM_NAMES, help=f"the algorithm (default: {DEFAULTS['algo']})"
    )
    group.add_argument(
        "--env",
        metavar="ID",
        help="environment: a level, 1-1 to 8-4, or a full id; SuperMarioBros-v0 is the whole game "
        "(default: 1-1)",
    )
    group.add_argument(
        "--rom",
        metavar="FILE",
        help="the game's .nes file (default: SB3_MARIO_ROM, else the one in an installed "
        "gym-super-mario-bros, else the free game that comes with this package)",
    )
    group.add_argument(
        "-n",
        "--n-timesteps",
        type=Whole(1),
        metavar="N",
        help="environment steps of the whole run, also of a resumed one, whose learning rate and "
        "exploration become those of a run of N steps (default: from the YAML)",
    )
    group.add_argument(
        "-i",
        "--trained-agent",
        type=Path,
        metavar="PATH",
        help="a run's folder: resume it from its newest whole checkpoint; a checkpoint in one: "
        "resume from there; any other model (.zip): start a new run with its weights",
    )
    group.add_argument(
        "-params",
        "--hyperparams",
        nargs="+",
        metavar="KEY:VALUE",
        help="hyperparameters to change; values are YAML (policy_kwargs.net_arch:[512])",
    )
    group.add_argument(
        "-conf", "--conf-file", metavar="FILE", help="YAML file of hyperparameters to use instead"
    )
    group.add_argument(
        "--env-kwargs", nargs="+", metavar="KEY:VALUE", help="arguments of the environment"
    )
    group.add_argument(
        "--seed",
        type=Whole(0, MAX_SEED),
        metavar="N",
        help="seed of everything (default: a random one)",
    )
    group.add_argument(
        "--n-envs", type=Whole(1), metavar="N", help="emulators to train on (default: YAML's)"
    )


def _add_folder(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to write, and where")
    group.add_argument(
        "-f",
        "--log-folder",
        metavar="DIR",
        help="the run is written to DIR/<algo>/<env>_<n>/ (default: logs)",
    )
    group.add_argument(
        "-tb",
        "--tensorboard-log",
        metavar="DIR",
        help="folder of TensorBoard's files (default: the run's)",
    )
    group.add_argument(
        "--log-interval",
        type=Whole(1),
        metavar="N",
        help=f"episodes between two points in TensorBoard (default: {DEFAULTS['log_interval']})",
    )
    group.add_argument(
        "--save-freq",
        type=Whole(-1),
        metavar="N",
        help="environment steps between two checkpoints, the last 3 of which are kept; 0 or -1 "
        f"for none but at the end (default: {DEFAULTS['save_freq']})",
    )
    group.add_argument(
        "--save-replay-buffer",
        action=argparse.BooleanOptionalAction,
        help="save the replay buffer with each checkpoint (default: where frames are stored once, "
        "as dueling_dqn does: 80 MB for 100,000 steps; not SB3's own buffer)",
    )
    group.add_argument(
        "-P",
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar (default: in a terminal)",
    )
    group.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        help="0 errors only, 1 also evaluations and, without a progress bar, SB3's table, 2 also "
        "checkpoints and tracebacks (default: 1)",
    )


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("evaluation: greedy, random no-op starts, own emulator")
    group.add_argument(
        "--eval-freq",
        type=Whole(-1),
        metavar="N",
        help=f"environment steps between two; 0 or -1 for none (default: {DEFAULTS['eval_freq']})",
    )
    group.add_argument(
        "--eval-episodes",
        type=Whole(1),
        metavar="N",
        help=f"episodes of each (default: {DEFAULTS['eval_episodes']})",
    )
    group.add_argument(
        "--n-eval-envs",
        type=Whole(1),
        metavar="N",
        help=f"emulators to evaluate on (default: {DEFAULTS['n_eval_envs']})",
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the machine")
    group.add_argument(
        "--vec-env",
        choices=("dummy", "subproc"),
        help="several emulators in this process, or one process each (default: dummy)",
    )
    group.add_argument("--device", help="torch device: auto, cpu, cuda, ... (default: auto)")
    group.add_argument(
        "--num-threads",
        type=Whole(1),
        metavar="N",
        help="torch threads (default: what a measurement of some seconds shows to be fastest)",
    )


class Whole:
    """A whole number in a range, for argparse, which shows ``__name__`` in its messages."""

    def __init__(self, low: int, high: int | None = None) -> None:
        self.low, self.high = low, high
        self.__name__ = f"whole number from {low} {'on' if high is None else f'to {high}'}"

    def __call__(self, text: str) -> int:
        """Return the number that the text is.

        Raises:
            ValueError: It is none, or out of range.
        """
        number = float(text) if "e" in text.lower() else int(text)  # 1e6
        too_large = number == math.inf or (self.high is not None and number > self.high)
        if too_large or number != int(number) or number < self.low:
            raise ValueError(text)
        return int(number)
