"""An environment outlives its emulator: the episode is cut off, and nothing else is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_mario import env as env_module
from sb3_mario.emulator import deadlines
from sb3_mario.emulator.errors import BridgeTimeoutError, EmulatorError, StartError
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.env import MAX_FAULTS, SuperMarioBrosEnv
from sb3_mario.game.selftest import self_test
from sb3_mario.vec_env import EmulatorVecEnv
from tests.faults.chaos import FAULTS
from tests.faults.wire import through_wire
from tests.processes import descendants, is_alive, wait_until_gone

pytestmark = pytest.mark.real_rom

RIGHT = 1
TIMEOUT = 2.0

MakeEnv = Callable[..., SuperMarioBrosEnv]


@pytest.fixture
def make() -> Iterator[MakeEnv]:
    made: list[SuperMarioBrosEnv] = []

    def make_env(**kwargs: Any) -> SuperMarioBrosEnv:
        made.append(SuperMarioBrosEnv(**{"timeout": TIMEOUT} | kwargs))
        return made[-1]

    yield make_env
    for env in made:
        env.close()


def emulator(env: SuperMarioBrosEnv) -> Fceux:
    assert env._fceux is not None
    return env._fceux


def play(env: SuperMarioBrosEnv, steps: int) -> list[tuple[bytes, float, int]]:
    """Walk right from a start of 5 no-ops."""
    env.reset(options={"noops": 5})
    results = []
    for _ in range(steps):
        observation, reward, _, _, info = env.step(RIGHT)
        results.append((observation.tobytes(), reward, info["x_pos"]))
    return results


def until_cut(
    env: SuperMarioBrosEnv, unbroken: list[tuple[bytes, float, int]]
) -> tuple[int, tuple[Any, ...]]:
    """Walk on; returns the number of right results, and the one that cut the episode off."""
    for number, expected in enumerate(unbroken):
        observation, reward, _, truncated, info = result = env.step(RIGHT)
        if truncated:
            return number, result
        assert (observation.tobytes(), reward, info["x_pos"]) == expected
    raise AssertionError("the fault was not noticed")


# One environment


@pytest.mark.parametrize("moment", ["before a step", "in a step", "with its result on the way"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_cuts_the_episode_off_and_the_next_is_as_it_would_be(
    make: MakeEnv, fault: str, moment: str
) -> None:
    env = make()
    unbroken = play(env, 10)
    assert play(env, 4) == unbroken[:4]
    broken = emulator(env)
    if moment != "before a step":
        env.begin_step(RIGHT)
    if moment == "with its result on the way":
        time.sleep(0.3)
    FAULTS[fault](broken)
    start = time.monotonic()
    with pytest.warns(UserWarning, match="fault 1: .*Another FCEUX is started"):
        right, result = until_cut(env, unbroken[4:])
    observation, reward, terminated, truncated, info = result
    assert time.monotonic() - start < TIMEOUT + 1.5
    assert not is_alive(broken.pid)
    assert right <= (moment != "before a step"), "only the result on the way may still come"
    last, _, x = unbroken[3 + right]
    assert (observation.tobytes(), info["x_pos"]) == (last, x), "nothing new is shown"
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["end_cause"] == "emulator" and info["step_lost"] is True
    assert "is_success" not in info
    assert info["sync_reconnects"] == 1 and info["frames"] == 5 + 4 * (4 + right)
    assert play(env, 10) == unbroken
    assert emulator(env).pid != broken.pid
    assert env.step(RIGHT)[4]["sync_reconnects"] == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_between_two_episodes_cuts_nothing(make: MakeEnv, fault: str) -> None:
    env = make()
    unbroken = play(env, 5)
    FAULTS[fault](emulator(env))
    with pytest.warns(UserWarning, match="fault 1: "):
        again = play(env, 5)
    assert again == unbroken
    assert env.step(RIGHT)[4]["sync_reconnects"] == 1, "it counts for the episode it delayed"


def test_a_reset_while_a_step_is_under_way_outlives_a_fault(make: MakeEnv) -> None:
    env = make()
    unbroken = play(env, 5)
    FAULTS["kill"](emulator(env))
    env.begin_step(RIGHT)  # cannot be sent
    with pytest.warns(UserWarning, match="fault 1: "):
        assert play(env, 5) == unbroken


def test_nonsense_from_fceux_is_a_fault_and_counted_as_a_mismatch(make: MakeEnv) -> None:
    env = make()
    unbroken = play(env, 5)
    with through_wire(emulator(env).bridge) as (bridge, wire):
        emulator(env).bridge = bridge
        env.reset(options={"noops": 5})
        wire.alter(b"SB3M", b"SB3W")
        with pytest.warns(UserWarning, match="fault 1: not a state message"):
            _, _, _, truncated, info = env.step(RIGHT)
    assert truncated and info["end_cause"] == "emulator"
    assert (info["sync_mismatches"], info["sync_reconnects"]) == (1, 1)
    assert play(env, 5) == unbroken


def test_nonsense_at_a_reset_is_counted_for_the_episode_that_begins_there(make: MakeEnv) -> None:
    env = make()
    play(env, 5)
    with through_wire(emulator(env).bridge) as (bridge, wire):
        emulator(env).bridge = bridge
        env.reset(options={"noops": 5})
        wire.alter(b"SB3M", b"SB3W")
        with pytest.warns(UserWarning, match="fault 1: not a state message"):
            _, info = env.reset()
    assert (info["sync_mismatches"], info["sync_reconnects"]) == (1, 1)
    info = env.step(RIGHT)[4]
    assert (info["sync_mismatches"], info["sync_reconnects"]) == (1, 1)


def test_a_first_emulator_that_breaks_in_its_self_test_is_replaced(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True, False])

    def breaking(*args: Any) -> None:
        if next(fails):
            raise BridgeTimeoutError("no answer from FCEUX")
        self_test(*args)

    monkeypatch.setattr(env_module, "self_test", breaking)
    env = make()
    with pytest.warns(UserWarning, match="fault 1: no answer from FCEUX"):
        _, info = env.reset()
    assert (info["sync_mismatches"], info["sync_reconnects"]) == (0, 1)
    assert info["sync_frames"] == info["frames"], "the self-test's frames are none of the episode's"


def test_a_step_that_the_game_refuses_cuts_the_episode_off(make: MakeEnv) -> None:
    env = make(stuck_steps=0)
    play(env, 5)
    while not emulator(env).bridge.step(0, 60, frame=False).ended:  # behind the environment's back
        pass
    with pytest.warns(UserWarning, match="fault 1: the episode is over"):
        _, _, terminated, truncated, info = env.step(RIGHT)
    assert (terminated, truncated, info["end_cause"]) == (False, True, "emulator")
    play(env, 5)


def test_a_second_step_cannot_begin_before_the_first_has_ended(make: MakeEnv) -> None:
    env = make()
    env.reset()
    env.begin_step(RIGHT)
    with pytest.raises(RuntimeError, match=r"begin_step\(1\) is under way"):
        env.begin_step(RIGHT)
    assert env.step(RIGHT)[3] is False


def test_more_no_ops_than_the_player_outlives_are_halved(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make()
    env.reset()
    reset = emulator(env).bridge.reset

    def deadly(*args: Any, noops: int, **kwargs: Any) -> Any:
        return dataclasses.replace(reset(*args, noops=noops, **kwargs), ended=noops > 30)

    monkeypatch.setattr(emulator(env).bridge, "reset", deadly)
    _, info = env.reset(options={"noops": 100})
    assert info["frames"] == 25
    assert env.step(RIGHT)[3] is False


def test_a_refused_step_after_a_cut_episode_asks_for_a_reset(make: MakeEnv) -> None:
    env = make()
    env.reset()
    FAULTS["kill"](emulator(env))
    with pytest.warns(UserWarning, match="fault 1: "):
        env.step(RIGHT)
    with pytest.raises(Exception, match="call reset"):
        env.step(RIGHT)


def test_faults_in_a_row_end_in_a_clear_error(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make()
    env.reset()
    FAULTS["kill"](emulator(env))
    with pytest.warns(UserWarning, match="fault 1: "):
        env.step(RIGHT)

    def broken(*args: Any, **kwargs: Any) -> Fceux:
        raise StartError("FCEUX ended at start with code -11.")

    monkeypatch.setattr(env_module, "Fceux", broken)
    with (
        pytest.warns(UserWarning, match=r"fault [2-5]: .*code -11"),
        pytest.raises(EmulatorError, match=r"FCEUX broke 6 times in a row.*-11") as raised,
    ):
        env.reset()
    assert "python -m sb3_mario.doctor" in str(raised.value)
    assert env.reconnects == MAX_FAULTS + 1


def test_steps_in_between_make_it_no_row(make: MakeEnv) -> None:
    env = make()
    unbroken = play(env, 2)
    for number in range(1, MAX_FAULTS + 3):
        FAULTS["kill"](emulator(env))
        with pytest.warns(UserWarning, match=f"fault {number}: "):
            assert play(env, 2) == unbroken


def test_an_emulator_that_never_worked_is_an_error_at_once(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "fceux"
    program.write_text("#!/bin/sh\necho x >> $0.starts\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("SB3_MARIO_FCEUX", str(program))
    with pytest.raises(StartError, match="ended at start with code 3"):
        make().reset()
    assert (tmp_path / "fceux.starts").read_text() == "x\n"


# Several


def test_of_several_emulators_side_by_side_only_the_broken_one_is_cut_off() -> None:
    envs = EmulatorVecEnv([lambda: Monitor(SuperMarioBrosEnv(timeout=TIMEOUT)) for _ in range(3)])
    emulators: list[SuperMarioBrosEnv] = [env.unwrapped for env in envs.envs]  # type: ignore[misc]
    try:
        envs.seed(0)
        envs.reset()
        for _ in range(3):
            before, *_ = envs.step(np.full(3, RIGHT))
        pids = [emulator(env).pid for env in emulators]
        FAULTS["kill"](emulator(emulators[1]))
        envs.step_async(np.full(3, RIGHT))
        with pytest.warns(UserWarning, match="fault 1: "):
            after, rewards, dones, infos = envs.step_wait()
        assert dones.tolist() == [False, True, False]
        assert rewards[1] == 0
        assert infos[1]["TimeLimit.truncated"] and infos[1]["step_lost"]
        assert infos[1]["episode"]["l"] == 4
        assert isinstance(before, np.ndarray) and isinstance(after, np.ndarray)
        assert np.array_equal(infos[1]["terminal_observation"], before[1])
        assert (after[1] == after[1][0]).all(), "the first frame of the next episode"
        assert [emulator(env).pid == pid for env, pid in zip(emulators, pids, strict=True)] == [
            True,
            False,
            True,
        ]
        assert all("step_lost" not in infos[env] for env in (0, 2))
        assert not np.array_equal(after[0], before[0])
    finally:
        envs.close()


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.filterwarnings("default")
def test_worker_processes_outlive_their_emulators(sig: signal.Signals) -> None:
    envs = SubprocVecEnv([lambda: Monitor(SuperMarioBrosEnv(timeout=TIMEOUT)) for _ in range(2)])
    try:
        envs.seed(0)
        envs.reset()
        workers = [process.pid for process in envs.processes]
        (broken,) = [p for p, name in descendants(workers[0]).items() if name == "fceux"]
        envs.step_async(np.full(2, RIGHT))
        os.kill(broken, sig)
        cut = []
        for _ in range(5):
            _, _, dones, infos = envs.step_wait()
            cut += [info["end_cause"] for done, info in zip(dones, infos, strict=True) if done]
            envs.step_async(np.full(2, RIGHT))
        envs.step_wait()
        assert cut == ["emulator"]
        assert wait_until_gone(broken, 1)
        assert [process.pid for process in envs.processes if process.is_alive()] == workers
    finally:
        envs.close()


# A trainer that stands still


def test_a_trainer_that_stood_still_for_too_long_goes_on_with_another_emulator(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "PING_SECONDS", 0.2)
    monkeypatch.setattr(deadlines, "TRAINER_SECONDS", 1.0)
    monkeypatch.setattr(deadlines, "ALONE_SECONDS", 0.5)
    env = make()
    unbroken = play(env, 5)
    broken = emulator(env)
    with contextlib.ExitStack() as still:
        still.enter_context(broken.bridge._lock)  # no thread of this process answers
        assert wait_until_gone(broken.pid, 6)
    with pytest.warns(UserWarning, match=r"fault 1: .*no sign of life from the client"):
        assert env.step(RIGHT)[4]["end_cause"] == "emulator"
    assert play(env, 5) == unbroken
