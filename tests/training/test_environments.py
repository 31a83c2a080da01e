"""The emulators of a run: their starts, their monitor files, their ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_mario.emulator.errors import StartError
from sb3_mario.training.arguments import parse_arguments
from sb3_mario.training.config import ConfigError
from sb3_mario.training.environments import (
    VEC_ENVS,
    PatientWriter,
    check_env,
    close_envs,
    evaluation_envs,
    training_envs,
)
from sb3_mario.training.folder import RunFolder
from sb3_mario.vec_env import EmulatorVecEnv
from tests.processes import descendants, wait_until_gone

ENV_ID = "sb3_mario/SuperMarioBros-1-1-v0"
RIGHT = 1

Make = Callable[..., VecEnv]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes the environments of a run in ``tmp_path`` and closes them after the test."""
    made: list[VecEnv] = []

    def make(env_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> VecEnv:
        settings = {"n_envs": 1, "vec_env": "dummy", "resumed": False} | kwargs
        folder = RunFolder(tmp_path)
        made.append(training_envs(ENV_ID, env_kwargs or {}, folder=folder, **settings))
        return made[-1]

    yield make
    for env in made:
        close_envs(env)


@pytest.fixture
def make_evaluation() -> Iterator[Make]:
    made: list[VecEnv] = []

    def make(env_kwargs: dict[str, Any], n_envs: int = 1) -> VecEnv:
        made.append(evaluation_envs(ENV_ID, env_kwargs, n_envs))
        return made[-1]

    yield make
    for env in made:
        close_envs(env)


def play(env: VecEnv, steps: int) -> list[dict[str, Any]]:
    """Walk right; the infos of the first environment."""
    return [env.step(np.full(env.num_envs, RIGHT))[3][0] for _ in range(steps)]


def monitor_file(path: Path) -> tuple[dict[str, Any], list[list[str]]]:
    header, names, *rows = path.read_text().splitlines()
    assert names == "r,l,t"
    return json.loads(header.removeprefix("#")), [row.split(",") for row in rows]


def test_the_flag_names_the_kinds_that_there_are() -> None:
    for name in VEC_ENVS:
        assert parse_arguments(["--vec-env", name]).vec_env == name
    assert {"dummy": EmulatorVecEnv, "subproc": SubprocVecEnv} == VEC_ENVS


# Training


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", VEC_ENVS)
def test_each_environment_has_its_own_start_and_monitor_file(
    make: Make, tmp_path: Path, vec_env: str
) -> None:
    before = time.time()
    env = make({"max_steps": 5, "actions": "right_only"}, n_envs=2, vec_env=vec_env)
    assert type(env) is VEC_ENVS[vec_env] and env.num_envs == 2
    assert env.action_space == spaces.Discrete(5)
    assert env.env_is_wrapped(Monitor) == [True, True]
    env.seed(3)
    env.reset()
    assert len({info["frames"] for info in env.reset_infos}) == 2, "two numbers of no-ops"
    play(env, 5)
    for number in range(2):
        header, rows = monitor_file(tmp_path / f"{number}.monitor.csv")
        assert header["env_id"] == ENV_ID and header["t_start"] >= before
        assert [row[1] for row in rows] == ["5"]


@pytest.mark.real_rom
def test_the_same_seed_gives_the_same_starts(make: Make) -> None:
    starts = []
    env = make({"max_steps": 2})
    for _ in range(2):
        env.seed(5)
        env.reset()
        frames = [env.reset_infos[0]["frames"]]
        for _ in range(4):
            play(env, 2)
            frames.append(env.reset_infos[0]["frames"])
        starts.append(frames)
    assert starts[0] == starts[1] and len(set(starts[0])) > 1


@pytest.mark.real_rom
def test_a_resumed_run_goes_on_with_its_monitor_files_and_their_clock(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "0.monitor.csv"
    path.write_text('#{"t_start": 1000.0, "env_id": "x"}\nr,l,t\n1.5,3,4.25\n')
    env = make({"max_steps": 2}, resumed=True)
    env.reset()
    play(env, 2)
    header, rows = monitor_file(path)
    assert header == {"t_start": 1000.0, "env_id": "x"}
    assert rows[0] == ["1.5", "3", "4.25"]
    assert rows[1][1] == "2" and float(rows[1][2]) == pytest.approx(time.time() - 1000, abs=60)


@pytest.mark.real_rom
@pytest.mark.parametrize(
    "content", [None, "", "#{", "r,l,t\n", '#{"env_id": "x"}\nr,l,t\n', "#5\n"]
)
def test_a_resumed_run_without_a_whole_monitor_file_begins_a_new_one(
    make: Make, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "0.monitor.csv"
    if content is not None:
        path.write_text(content)
    make(resumed=True)
    header, rows = monitor_file(path)
    assert header["env_id"] == ENV_ID and rows == []


@pytest.mark.real_rom
def test_a_new_run_does_not_go_on_with_another_ones_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "0.monitor.csv"
    path.write_text('#{"t_start": 1000.0}\nr,l,t\n1.5,3,4.25\n')
    make()
    assert monitor_file(path)[1] == []


# Evaluation


@pytest.mark.real_rom
@pytest.mark.parametrize(("given", "used"), [({}, 30), ({"noop_max": 0}, 30), ({"noop_max": 9}, 9)])
def test_evaluation_always_has_random_starts(
    make_evaluation: Make, given: dict[str, int], used: int
) -> None:
    env = make_evaluation(given, n_envs=2)
    assert type(env) is EmulatorVecEnv and env.num_envs == 2
    assert env.get_attr("noop_max") == [used, used]
    assert env.env_is_wrapped(Monitor) == [True, True]


@pytest.mark.real_rom
def test_evaluation_takes_the_other_arguments_over_and_writes_no_monitor_file(
    make_evaluation: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = make_evaluation({"max_steps": 3, "frame_stack": 4})
    assert env.reset().shape == (1, 4, 84, 84)
    assert play(env, 3)[-1]["episode"]["l"] == 3
    assert list(tmp_path.iterdir()) == []


# Before and after


@pytest.mark.real_rom
def test_checking_starts_no_emulator(rom: Path) -> None:
    before = descendants(os.getpid()).keys()
    check_env(ENV_ID, {"rom": str(rom), "frame_skip": 2})
    assert descendants(os.getpid()).keys() == before


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("env_kwargs", "message"),
    [
        ({"frame_skip": 0}, "env_kwargs: frame_skip must be from 1 to 60, got 0"),
        ({"actions": [["right", "left"]]}, "env_kwargs: action .* presses 'left' and 'right'"),
        ({"reward_weights": {"clip": 0}}, "env_kwargs: reward weight 'clip' must be above 0"),
        ({"reward_weights": {"deth": 1}}, "env_kwargs: .*'deth'"),
        ({"actions": 5}, "env_kwargs: "),
    ],
)
def test_checking_refuses_what_the_environment_refuses(
    env_kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_env(ENV_ID, env_kwargs)


@pytest.mark.real_rom
def test_checking_finds_a_missing_fceux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_MARIO_FCEUX", "/nowhere/fceux")
    with pytest.raises(StartError, match="/nowhere/fceux"):
        check_env(ENV_ID, {})


@pytest.mark.real_rom
@pytest.mark.parametrize("vec_env", VEC_ENVS)
def test_closing_ends_the_emulators(make: Make, vec_env: str) -> None:
    env = make(n_envs=2, vec_env=vec_env)
    before = descendants(os.getpid())
    env.reset()
    emulators = descendants(os.getpid()).keys() - before.keys()
    assert len(emulators) == 2
    close_envs(env)
    close_envs(env)  # a second time is harmless
    assert all(wait_until_gone(pid, 3) for pid in emulators)


@pytest.mark.real_rom
@pytest.mark.parametrize("answers_read", [0, 1, 2])
def test_closing_an_interrupted_step_does_not_wait_for_answers_that_are_read(
    make: Make, answers_read: int
) -> None:
    env = make(n_envs=2, vec_env="subproc")
    assert isinstance(env, SubprocVecEnv)
    env.reset()
    workers = [process.pid for process in env.processes]
    env.step_async(np.full(2, RIGHT))
    for remote in env.remotes[:answers_read]:
        remote.recv()
    start = time.monotonic()
    close_envs(env)
    assert all(wait_until_gone(pid, 10) for pid in workers)
    assert time.monotonic() - start < 10


@pytest.mark.real_rom
def test_closing_after_a_worker_has_died_ends_the_others(make: Make) -> None:
    env = make(n_envs=2, vec_env="subproc")
    assert isinstance(env, SubprocVecEnv)
    env.reset()
    dead, other = env.processes
    dead.kill()
    dead.join()
    close_envs(env)
    assert wait_until_gone(other.pid, 10)


@pytest.mark.real_rom
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_process_plays_on_after_a_signal_of_its_group(
    make: Make, number: signal.Signals
) -> None:
    env = make(n_envs=1, vec_env="subproc")
    assert isinstance(env, SubprocVecEnv)
    env.reset()
    (worker,) = env.processes
    os.kill(worker.pid, number)
    assert play(env, 5)[-1]["x_pos"] > 40
    close_envs(env)
    assert worker.exitcode == 0


@pytest.mark.real_rom
def test_a_worker_process_that_nobody_closes_still_ends_after_a_sigterm(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_mario.training.environments.GRACE_SECONDS", 1)
    env = make(n_envs=1, vec_env="subproc")
    assert isinstance(env, SubprocVecEnv)
    (worker,) = env.processes
    worker.terminate()
    assert worker.is_alive()
    worker.join(10)
    assert worker.exitcode == -signal.SIGALRM


def test_a_monitor_files_rows_wait_for_room_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "0.monitor.csv"
    writer = PatientWriter(str(path), header={"t_start": 0.0})
    whole = os.dup(writer.file_handler.fileno())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer.file_handler.fileno())
    with pytest.warns(UserWarning, match=r"could not write .*0\.monitor\.csv: No space left"):
        writer.write_row({"r": 1.0, "l": 2, "t": 3.0})
    writer.write_row({"r": 4.0, "l": 5, "t": 6.0})  # told once
    os.dup2(whole, writer.file_handler.fileno())
    writer.write_row({"r": 7.0, "l": 8, "t": 9.0})
    writer.close()
    os.close(whole)
    os.close(full)
    assert path.read_text().split() == [
        '#{"t_start":', "0.0}", "r,l,t", "1.0,2,3.0", "4.0,5,6.0", "7.0,8,9.0"
    ]  # fmt: skip
