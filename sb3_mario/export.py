"""Make a trained agent small enough to give away: ``python -m sb3_mario.export``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stable_baselines3 import DQN

from sb3_mario.callbacks.checkpoints import atomic_save_model


def export(model: DQN, path: Path) -> int:
    """Save what is needed to play and to start another training from; the rest is left out.

    Left out are the optimizer's averages, the target network, which is made equal to the online
    one and so stored once, and the last observations: a quarter of the size remains. Any class
    that loads the model loads this file.

    Args:
        model: The agent; it is changed, and not to be trained any further.
        path: File to write.

    Returns:
        The file's size, bytes.

    Raises:
        OSError: It could not be written.
    """
    policy = model.policy
    policy.q_net_target = policy.q_net
    policy.optimizer.state.clear()
    model._last_obs = model._last_original_obs = model._last_episode_starts = None
    path.parent.mkdir(parents=True, exist_ok=True)
    return atomic_save_model(model, path).stat().st_size


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m sb3_mario.export", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model that train.py saved")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE.zip", help="file to write"
    )
    args = parser.parse_args(argv)
    output = args.output.with_name(args.output.name.removesuffix(".zip") + ".zip")
    try:
        before = args.model.stat().st_size
        model = DQN.load(args.model, device="cpu")
    except Exception as error:  # torch, pickle and zipfile raise whatever they like
        print(f"{args.model} cannot be loaded: {error}", file=sys.stderr)
        return 1
    try:
        size = export(model, output)
    except OSError as error:
        print(f"{output} cannot be written: {error}", file=sys.stderr)
        return 1
    print(f"{output}: {size / 1e6:.1f} MB of {before / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
