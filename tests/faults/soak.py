"""A soak of the environments with faults: ``python -m tests.faults.soak``, or ``make soak``.

Two emulators side by side play episodes whose every state and picture are known: each was first
played once, undisturbed, and what it showed was kept as checksums. They play them over and over,
while one of the two is killed, stopped or cut off at random moments. Each step's memory and
picture must be those of its episode and its number, so a picture paired with the wrong state, or a
step that is made twice or left out, cannot go unseen.

Prints the counters, and writes the memory that this process and both emulators hold to a CSV. The
emulator without faults lives from the start to the end: its memory tells of leaks.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sb3_mario.emulator.fceux import Fceux
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.vec_env import EmulatorVecEnv
from tests.faults.chaos import Chaos
from tests.faults.records import crc

NOOP_MAX = 30  # so many episodes are known: one for each start
MAX_STEPS = 200
TIMEOUT = 3.0  # seconds until a standstill is noticed
POINTS = 100  # of the memory curve
MIB = 2**20
FLAT_MIB = 4.0  # growth over the soak's second half that still counts as flat
# Mostly to the right, with jumps, so that episodes come some way.
CHANCES = (0.02, 0.2, 0.3, 0.2, 0.24, 0.02, 0.02)

Shown = tuple[str, int, bool]  # SHA-1 of the memory, checksum of the observation, end


@dataclass
class Known:
    """An episode: its actions, and what its start and each of them show."""

    actions: list[int]
    shown: list[Shown]


@dataclass
class Result:
    """What came of a soak.

    Attributes:
        frames: Frames run.
        compared: States with their pictures that were compared.
        wrong: Those that belong to another moment, or to none.
        faults: Faults, by kind.
        reconnects: Emulators that took a broken one's place.
        lost: Steps lost with an emulator.
        mismatches: States that were refused.
        seconds: Length of the soak.
        memory: The curve: frames, and MiB of this process, of the emulator with faults, and of the
            one without.
    """

    frames: int = 0
    compared: int = 0
    wrong: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    reconnects: int = 0
    lost: int = 0
    mismatches: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, float, float, float]] = field(default_factory=list)

    def growth(self) -> tuple[float, float]:
        """Return by how many MiB this process and the whole emulator grew in the second half."""
        half = self.memory[len(self.memory) // 2 :]
        quarter = max(len(half) // 4, 1)

        def of(column: int) -> float:
            first, last = half[:quarter], half[-quarter:]
            return statistics.median(r[column] for r in last) - statistics.median(
                r[column] for r in first
            )

        return of(1), of(3)

    def problems(self) -> list[str]:
        """Return what is not as it must be."""
        found = []
        if self.wrong:
            found.append(f"{self.wrong} results belong to another moment")
        if sum(self.faults.values()) != self.reconnects:
            found.append(f"{sum(self.faults.values())} faults, but {self.reconnects} reconnects")
        for name, growth in zip(("this process", "the emulator"), self.growth(), strict=True):
            if growth > FLAT_MIB:
                found.append(f"{name} grew by {growth:.1f} MiB in the second half")
        return found


def known_episodes(seed: int) -> dict[int, Known]:
    """Play one episode from each start, undisturbed."""
    env = SuperMarioBrosEnv(noop_max=NOOP_MAX, max_steps=MAX_STEPS, ram_hash=True)
    rng = np.random.default_rng(seed)
    episodes = {}
    try:
        for noops in range(1, NOOP_MAX + 1):
            observation, info = env.reset(options={"noops": noops})
            episode = Known([], [(info["ram_hash"], crc(observation), False)])
            done = False
            while not done:
                action = int(rng.choice(len(CHANCES), p=CHANCES))
                observation, _, terminated, truncated, info = env.step(action)
                done = terminated or truncated
                episode.actions.append(action)
                episode.shown.append((info["ram_hash"], crc(observation), done))
            episodes[noops] = episode
    finally:
        env.close()
    return episodes


class Player:
    """Plays known episodes on one of the environments, and compares."""

    def __init__(self, episodes: dict[int, Known], result: Result) -> None:
        self._episodes, self._result = episodes, result

    def begin(self, observation: np.ndarray[Any, Any], info: dict[str, Any]) -> None:
        self._episode, self._step = self._episodes[info["frames"]], 0
        self._frames = 0
        self._count(info)
        self._compare((info["ram_hash"], crc(observation), False))

    def action(self) -> int:
        return self._episode.actions[self._step]

    def see(self, observation: np.ndarray[Any, Any], done: bool, info: dict[str, Any]) -> None:
        self._result.mismatches += info["sync_mismatches"] if done else 0
        if "step_lost" in info:
            self._result.lost += 1
            return
        self._step += 1
        self._count(info)
        self._compare((info["ram_hash"], crc(observation), done))

    def _count(self, info: dict[str, Any]) -> None:
        self._result.frames += info["sync_frames"] - self._frames
        self._frames = info["sync_frames"]

    def _compare(self, shown: Shown) -> None:
        self._result.compared += 1
        self._result.wrong += shown != self._episode.shown[self._step]


def soak(frames: int, faults: int, seed: int = 0, *, verbose: bool = False) -> Result:
    """Play until so many frames are run, with so many faults."""
    result = Result()
    episodes = known_episodes(seed)

    def make() -> SuperMarioBrosEnv:
        return SuperMarioBrosEnv(
            noop_max=NOOP_MAX, max_steps=MAX_STEPS, ram_hash=True, timeout=TIMEOUT
        )

    envs = EmulatorVecEnv([make, make])
    broken, whole = (env.unwrapped for env in envs.envs)
    assert isinstance(broken, SuperMarioBrosEnv) and isinstance(whole, SuperMarioBrosEnv)

    def target() -> list[Fceux]:
        fceux = broken._fceux
        return [fceux] if fceux is not None and hasattr(fceux, "bridge") else []

    # The last ones still have to be noticed.
    moments = sorted(random.Random(seed).sample(range(frames // 50, frames * 49 // 50), faults))
    chaos = Chaos(moments, lambda: result.frames, target, seed)
    players = [Player(episodes, result) for _ in range(2)]
    start = time.monotonic()
    try:
        envs.seed(seed)
        for player, observation, info in zip(players, envs.reset(), envs.reset_infos, strict=True):
            player.begin(observation, info)
        chaos.start()
        while result.frames < frames:
            if result.frames * POINTS >= frames * len(result.memory):
                result.memory.append(_memory(result.frames, broken, whole))
                if verbose:
                    _progress(result, frames, start)
            observations, _, dones, infos = envs.step(np.array([p.action() for p in players]))
            assert isinstance(observations, np.ndarray)
            for number, (player, done) in enumerate(zip(players, dones, strict=True)):
                info = infos[number]
                shown = info["terminal_observation"] if done else observations[number]
                player.see(shown, bool(done), info)
                if done:
                    player.begin(observations[number], envs.reset_infos[number])
        result.reconnects = broken.reconnects + whole.reconnects
    finally:
        chaos.stop_soon()
        envs.close()
    if chaos.errors:
        raise chaos.errors[0]
    result.faults = dict(chaos.done)
    result.seconds = time.monotonic() - start
    return result


def _memory(
    frames: int, broken: SuperMarioBrosEnv, whole: SuperMarioBrosEnv
) -> tuple[int, float, float, float]:
    pids = [None if env._fceux is None else env._fceux.pid for env in (broken, whole)]
    return frames, _resident("self"), *(_resident(pid) for pid in pids)  # type: ignore[return-value]


def _resident(pid: int | str | None) -> float:
    """Return the MiB that a process holds, 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _progress(result: Result, frames: int, start: float) -> None:
    done, *memory = result.memory[-1]
    print(
        f"{done:>9,} of {frames:,} frames, {time.monotonic() - start:5,.0f} s, "
        f"{result.wrong} wrong, {result.lost} steps lost, "
        f"MiB {' '.join(f'{m:.1f}' for m in memory)}",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Soak, and return 0 where everything was as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"), help="the memory curve")
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore", "fault ")
    result = soak(args.frames, args.faults, args.seed, verbose=True)
    with args.csv.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("frames", "process_mib", "emulator_with_faults_mib", "emulator_mib"))
        rows.writerows((frames, *(f"{m:.1f}" for m in mib)) for frames, *mib in result.memory)
    for name in ("frames", "compared", "wrong", "lost", "mismatches", "reconnects", "faults"):
        print(f"{name:>11}: {getattr(result, name)}")
    print(f"    seconds: {result.seconds:,.0f}")
    print(
        "     growth: {:.1f} MiB of this process, {:.1f} of the emulator".format(*result.growth())
    )
    problems = result.problems()
    print("\n".join(problems) or "all as it must be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
