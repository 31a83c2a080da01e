"""Environment steps a second: this package, gym-super-mario-bros, and FCEUX with no bridge.

All play level 1-1 with the same random actions, held for 4 frames. The two environments give the
same observation, 8 stacked gray frames of 84x84. FCEUX alone runs ``frame_rate.lua``: the same
buttons, no observation, nothing sent. They take turns, each a process of its own.

``make bench`` runs it, and makes the virtual environment of the peer, which needs NumPy below 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.compare import ROOT, Contender, compare, machine, table

FRAME_SKIP = 4
ACTIONS = 7
SEED = 0


def measure_ours(steps: int) -> float:
    """Return the environment steps a second of this package's environment."""
    import gymnasium as gym

    import sb3_mario  # noqa: F401 - registers the ids

    env = gym.make("sb3_mario/SuperMarioBros-1-1-v0", noop_max=0)
    env.reset()
    actions = np.random.default_rng(SEED).integers(ACTIONS, size=steps)
    start = time.perf_counter()
    for action in actions:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    seconds = time.perf_counter() - start
    env.close()
    return steps / seconds


def measure_fceux(steps: int, config: str) -> float:
    """Return the steps of 4 frames a second that FCEUX runs with no bridge."""
    from sb3_mario.emulator import fceux
    from sb3_mario.game.actions import button_masks
    from sb3_mario.game.roms import find_rom

    with tempfile.TemporaryDirectory(prefix="sb3-mario-bench-") as home:
        folder = Path(home, ".fceux")
        folder.mkdir()
        text = fceux.HEADLESS_CONFIG if config == "lean" else fceux.CONFIG
        (folder / "fceux.cfg").write_text(text)
        actions = np.random.default_rng(SEED).integers(ACTIONS, size=steps)
        masks = button_masks("simple")
        buttons = Path(home, "buttons")
        buttons.write_bytes(bytes(masks[action] for action in actions))
        result = Path(home, "result")
        subprocess.run(
            [
                *(str(fceux.find_fceux()), "--sound", "0"),
                *("--loadlua", str(ROOT / "benchmarks" / "frame_rate.lua"), str(find_rom().path)),
            ],
            env={
                **os.environ,
                "HOME": home,
                "QT_QPA_PLATFORM": "offscreen",
                "SDL_VIDEODRIVER": "dummy",
                "SDL_AUDIODRIVER": "dummy",
                "SB3_MARIO_BRIDGE": str(ROOT / "lua_bridge"),
                "SB3_MARIO_BUTTONS": str(buttons),
                "SB3_MARIO_RESULT": str(result),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )
        return steps / float(result.read_text())


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000, help="steps of each measurement")
    parser.add_argument("--rounds", type=int, default=7, help="times that each is measured")
    parser.add_argument(
        "--peer-python",
        default=".venv-peer/bin/python",
        help="Python with gym-super-mario-bros 7.4.0 (made by `make bench`)",
    )
    parser.add_argument("--only", choices=("ours", "lean", "stock"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only == "ours":
        print(json.dumps({"per_second": measure_ours(args.steps)}))
        return
    if args.only is not None:
        print(json.dumps({"per_second": measure_fceux(args.steps, args.only)}))
        return
    this = [sys.executable, "-m", "benchmarks.env_throughput", "--steps", str(args.steps)]
    peer = [args.peer_python, "benchmarks/peer_env.py", str(args.steps), str(SEED)]
    figures = compare(
        [
            Contender("sb3_mario", [*this, "--only", "ours"], {}),
            Contender("gym-super-mario-bros 7.4.0", peer, {}),
            Contender("FCEUX with no bridge, same settings", [*this, "--only", "lean"], {}),
            Contender("FCEUX with no bridge, its own settings", [*this, "--only", "stock"], {}),
        ],
        args.rounds,
    )
    print(machine())
    print(f"{args.steps} steps of {FRAME_SKIP} frames a run, {args.rounds} runs of each, in turn")
    print(table(figures, "steps/s"))


if __name__ == "__main__":
    main()
