"""Training outlives its emulators: what they showed is right, what was lost is counted."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import DQN

from sb3_mario.callbacks import replay_buffer_path
from sb3_mario.dqn import FrameReplayBuffer
from sb3_mario.dqn.saved_replay import load_replay_buffer
from sb3_mario.emulator import fceux as fceux_module
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.env import SuperMarioBrosEnv
from tests.faults.chaos import Chaos
from tests.faults.records import Episode, Records, crc, replayed
from tests.processes import wait_until_gone
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    TINY,
    assert_rows_agree,
    episodes,
    scalars,
    train,
    trainer,
)

pytestmark = [
    pytest.mark.real_rom,
    pytest.mark.filterwarnings("ignore:fault "),  # all other warnings are errors
]

TIMEOUT = 4  # to notice a standstill; a busy machine must not be taken for one
MAX_STEPS = 120
N_ENVS = 2
QUIET_END = 2 * N_ENVS * MAX_STEPS  # steps without a fault, so that every episode with one ends

Transition = tuple[int, int, float, int, bool]


@dataclass
class Size:
    """Of a run: environment steps, and faults in it."""

    steps: int
    faults: int


@pytest.mark.parametrize(
    "size",
    [
        Size(1_600, 8),
        pytest.param(Size(10_000, 50), marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
    ids=lambda size: f"{size.faults} faults in {size.steps} steps",
)
def test_a_run_outlives_its_emulators_and_nothing_but_the_steps_in_flight_is_lost(
    tmp_path: Path, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        records = Records(patch)
        moments = random.Random(size.steps).sample(range(50, size.steps - QUIET_END), size.faults)
        chaos = Chaos(sorted(moments), lambda: records.steps, connected_emulators, seed=size.steps)
        chaos.start()
        # The last evaluation comes at the end, and notices what befell its idle emulator.
        status = train(
            *("-f", tmp_path, "-n", str(size.steps), "--seed", "1", "--num-threads", "1"),
            *("--n-envs", str(N_ENVS), "--log-interval", "1", "--save-freq", str(size.steps // 2)),
            *("--env-kwargs", f"max_steps:{MAX_STEPS}", f"timeout:{TIMEOUT}"),
            "sticky_action_probability:0",  # so that the actions alone lead there again
            *("--eval-freq", str(size.steps // 3), "--eval-episodes", "2"),
            *("-params", "buffer_size:20000", "learning_starts:100", "train_freq:4"),
        )
        chaos.stop_soon()
    assert (status, chaos.errors) == (0, []), capsys.readouterr().err
    assert sum(chaos.done.values()) == size.faults
    folder = tmp_path / "dueling_dqn" / f"{ENV_NAME}_1"
    check_counters(folder, records, size)
    check_replay_buffer(folder, records, size)
    check_against_an_unbroken_emulator(records)
    lost = sum(episode.lost for mine in records.episodes for episode in mine)
    with capsys.disabled():
        print(f"\n{size.steps} steps, faults {dict(chaos.done)}, {lost} steps lost")


def connected_emulators() -> list[Fceux]:
    return [fceux for fceux in list(fceux_module._running) if hasattr(fceux, "bridge")]


def check_counters(folder: Path, records: Records, size: Size) -> None:
    """Each fault was noticed once, and every step of the run is in an episode."""
    assert len(records.envs) == N_ENVS + 1
    assert sum(env.reconnects for env in records.envs) == size.faults
    of_training = sum(env.reconnects for env in records.envs[:N_ENVS])
    assert of_training > 0
    rows = assert_rows_agree(folder, size.steps, N_ENVS)
    assert sum(int(row["sync_reconnects"]) for row in rows) == of_training
    assert scalars(folder)["sync/reconnects"][-1][1] == of_training
    assert {row["sync_mismatches"] for row in rows} == {"0"}
    for number in range(N_ENVS):
        shown = records.episodes[number]
        assert sum(len(e.steps) + e.lost for e in shown) == size.steps // N_ENVS
        mine = [row for row in rows if row["env"] == str(number)]
        ended = [(len(e.steps) + e.lost, e.lost) for e in shown[: len(mine)]]
        assert ended == [(int(r["length"]), r["end_cause"] == "emulator") for r in mine]
    with np.load(folder / "evaluations.npz") as archive:
        assert archive["ep_lengths"].shape == (3, 2), "no evaluation is missing"


def transitions(episode_list: list[Episode]) -> list[Transition]:
    found = []
    for episode in episode_list:
        before = episode.observation
        for step in episode.steps:
            found.append((before, step.action, step.reward, step.observation, step.terminated))
            before = step.observation
    return found


def check_replay_buffer(folder: Path, records: Records, size: Size) -> None:
    """It holds the steps that were shown, all of them, and no other."""
    model = DQN.load(folder / f"{ENV_NAME}.zip", device="cpu")
    buffer = model.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer)
    with replay_buffer_path(folder / f"rl_model_{size.steps}_steps.zip").open("rb") as file:
        load_replay_buffer(buffer, file)
    storage = buffer.storage
    frames = storage.frames[""]
    for env, span in enumerate(storage.written_spans()):
        found: list[Transition] = []
        for slot in range(span.start, span.stop):
            if storage.has_step[slot]:
                before, after = (
                    crc(frames[storage.stack("", np.array([at]))[0]]) for at in (slot, slot + 1)
                )
                action, reward = int(storage.actions[slot]), float(storage.rewards[slot])
                found.append((before, action, reward, after, bool(storage.terminated[slot])))
        assert found == transitions(records.episodes[env])


def check_against_an_unbroken_emulator(records: Records) -> None:
    env = SuperMarioBrosEnv(max_steps=MAX_STEPS)
    try:
        for shown in records.episodes:
            for episode in shown:
                assert replayed(env, episode) == episode
    finally:
        env.close()


def has_reconnected(folder: Path, number: int) -> bool:
    return sum(int(row["sync_reconnects"]) for row in episodes(folder)) == number


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_in_worker_processes_outlives_its_emulators(
    tmp_path: Path, sig: signal.Signals
) -> None:
    words = (*TINY, *NO_EVALUATION, "--n-envs", "2", "--vec-env", "subproc")
    timeout = ("--env-kwargs", "max_steps:25", "timeout:2")
    faults = 3
    with trainer(tmp_path, "-n", "100000", *words, *timeout) as run:
        run.wait_for_episodes(2)
        for number in range(1, faults + 1):
            (broken, *_) = run.emulators()
            os.kill(broken, sig)
            assert wait_until_gone(broken, 10)
            run.wait_for(partial(has_reconnected, run.folder, number))
            run.wait_for_episodes(len(episodes(run.folder)) + 4)
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130, run.output()
    (checkpoint,) = run.folder.glob("rl_model_*.zip")
    steps = int(checkpoint.stem.split("_")[2])
    rows = assert_rows_agree(run.folder, steps, n_envs=2)
    assert [row["end_cause"] for row in rows].count("emulator") in range(1, faults + 1)
    assert run.output().count("Another FCEUX is started") == faults
