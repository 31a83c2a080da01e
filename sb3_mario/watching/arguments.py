"""The command line of ``enjoy.py``, with rl-baselines3-zoo's flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sb3_mario.training.arguments import ALGORITHM_NAMES, MAX_SEED, Whole

_EPILOG = """\
examples:
  enjoy.py                                        the agent that comes with sb3-mario, for the game
                                                  that is found; with no display, a video of it
  enjoy.py --load-best                            the newest run's best model, in FCEUX's window
  enjoy.py --load-best --record mario.mp4         a video of it, with what the agent sees and thinks
  enjoy.py --load-best --evaluate                 100 episodes from random starts, and 100 sticky
  enjoy.py --model mario.zip --env 1-2 -n 2000    another model, on another level
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments.

    Raises:
        SystemExit: ``--help`` was asked for, or a word is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="enjoy.py",
        description="Watch a trained agent, record it, or judge it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    which = parser.add_argument_group(
        "which agent", "None of these: the agent that comes with sb3-mario, on level 1-1."
    )
    which.add_argument("--model", type=Path, metavar="FILE", help="a model's file")
    which.add_argument(
        "--algo", choices=ALGORITHM_NAMES, help="a run of this algorithm (dueling_dqn)"
    )
    which.add_argument("--env", metavar="ID", help="its environment, or a level (1-1)")
    which.add_argument(
        "-f", "--folder", type=Path, metavar="DIR", help="a run in this log folder (logs)"
    )
    which.add_argument(
        "--exp-id", type=Whole(0), default=0, metavar="N", help="number of the run (0: the newest)"
    )
    load = which.add_mutually_exclusive_group()
    load.add_argument("--load-best", action="store_true", help="the best evaluation's model")
    load.add_argument(
        "--load-checkpoint", type=Whole(0), metavar="STEPS", help="the checkpoint of these steps"
    )
    load.add_argument(
        "--load-last-checkpoint", action="store_true", help="the newest whole checkpoint"
    )
    how = parser.add_argument_group("how to play")
    how.add_argument("--rom", metavar="FILE", help="the game (default: that of the training)")
    how.add_argument("--env-kwargs", nargs="+", metavar="KEY:VALUE", help="as for train.py")
    greedy = how.add_mutually_exclusive_group()
    greedy.add_argument(
        "--deterministic", action="store_true", default=True, help="the best action (default)"
    )
    greedy.add_argument(
        "--stochastic", dest="deterministic", action="store_false", help="with exploration"
    )
    how.add_argument(
        "--seed",
        type=Whole(0, MAX_SEED),
        default=0,
        metavar="N",
        help="of the random starts and the exploration (0)",
    )
    how.add_argument("--device", default="auto", help="torch device (auto)")
    watch = parser.add_argument_group("to watch")
    watch.add_argument(
        "-n", "--n-timesteps", type=Whole(1), default=1000, metavar="N", help="steps to play (1000)"
    )
    watch.add_argument("--no-render", action="store_true", help="no window: print the episodes")
    watch.add_argument("--fast", action="store_true", help="as fast as it goes, not 60 frames/s")
    watch.add_argument(
        "--record", type=Path, metavar="FILE.mp4", help="write a video; needs no display"
    )
    judge = parser.add_argument_group("to judge")
    judge.add_argument(
        "--evaluate",
        action="store_true",
        help="play many episodes from random starts, then as many with sticky actions",
    )
    judge.add_argument(
        "--episodes", type=Whole(1), default=100, metavar="N", help="episodes of each (100)"
    )
    judge.add_argument(
        "--n-envs", type=Whole(1), default=2, metavar="N", help="emulators to evaluate on (2)"
    )
    judge.add_argument(
        "-o", "--output", type=Path, metavar="FILE.json", help="write the evaluation as JSON"
    )
    return parser.parse_args(argv)
