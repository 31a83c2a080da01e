"""A trainer that is killed, or whose disk is full, goes on from its newest whole checkpoint."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_mario.callbacks import (
    AtomicCheckpointCallback,
    checkpoints_by_steps,
    newest_checkpoint,
    replay_buffer_path,
)
from sb3_mario.dqn import DuelingDQN, FrameReplayBuffer
from sb3_mario.training import run as run_module
from tests.processes import folders_of, wait_until_gone
from tests.training.trainer import (
    ENV_NAME,
    NO_EVALUATION,
    ROOT,
    SMALL,
    Rows,
    Trainer,
    assert_rows_agree,
    episodes,
    train,
    trainer,
)

pytestmark = pytest.mark.real_rom

# Nothing is ever pushed out of the replay buffer, so that its size tells what is in it.
BUFFER = ("buffer_size:100000", "learning_starts:50", "train_freq:4")
WORDS = (*SMALL, "--save-freq", "60", "-params", *BUFFER)


# What a checkpoint holds


def state_of(model: DuelingDQN) -> dict[str, Any]:
    """Everything that a resumed run goes on with."""
    buffer = model.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer)
    counters = ("num_timesteps", "exploration_rate", "_n_updates", "_n_calls", "_episode_num")
    state: dict[str, Any] = {name: getattr(model, name) for name in counters}
    state["replay"] = {
        name: [block.copy() for block in blocks] for name, blocks in buffer._arrays().items()
    }
    state["draws"] = buffer._rng.bit_generator.state
    for name, module in (("weights", model.policy), ("optimizer", model.policy.optimizer)):
        state[name] = {str(k): v for k, v in flat(module.state_dict()).items()}
    return state


def flat(values: Any, name: str = "") -> dict[str, Any]:
    if isinstance(values, dict):
        return {
            k: v for key, value in values.items() for k, v in flat(value, f"{name}.{key}").items()
        }
    if isinstance(values, list):
        return flat(dict(enumerate(values)), name)
    return {name: values.clone() if isinstance(values, th.Tensor) else values}


def assert_same(one: Any, other: Any, name: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), name
        for key in one:
            assert_same(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), name
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{name}[{number}]")
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, other), name
    elif isinstance(one, th.Tensor):
        assert th.equal(one, other), name
    else:
        assert one == other, name


def test_a_resumed_run_has_the_replay_the_exploration_and_the_counters_of_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: dict[int, dict[str, Any]] = {}
    save = AtomicCheckpointCallback._save

    def noting_save(callback: AtomicCheckpointCallback, *args: Any) -> Path:
        path = save(callback, *args)
        saved[callback.model.num_timesteps] = state_of(callback.model)
        return path

    monkeypatch.setattr(AtomicCheckpointCallback, "_save", noting_save)
    words = (*WORDS, "prioritized_replay:true", "--verbose", "0")
    assert train("-f", tmp_path, "-n", "200", *words, *NO_EVALUATION) == 0
    folder = tmp_path / "dueling_dqn" / f"{ENV_NAME}_1"

    resumed: list[dict[str, Any]] = []
    monkeypatch.setattr(
        run_module, "_learn", lambda run, model, *rest: resumed.append(state_of(model)) or 0
    )
    for steps in (120, 180, 200):
        assert train("-i", folder / f"rl_model_{steps}_steps.zip", "-n", "300") == 0
        assert resumed[-1]["num_timesteps"] == steps and resumed[-1]["_n_updates"] > 0
        assert_same(resumed[-1], saved[steps])


# Killed


@pytest.mark.parametrize(
    "kills",
    [4, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_a_run_that_is_killed_again_and_again_loses_only_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kills: int
) -> None:
    chance = random.Random(kills)
    folder = tmp_path / "logs" / "dueling_dqn" / f"{ENV_NAME}_1"
    words = ("-n", "100000", *WORDS, "--eval-freq", "90", "--eval-episodes", "1")
    rows: Rows = []
    checkpoints: list[int] = []  # the newest whole one after each kill
    saving = 0
    for _ in range(kills):
        with trainer(tmp_path, *words, python=("-W", "error")) as run:
            if not checkpoints:
                run.wait_for(lambda: checkpoints_by_steps(folder))
            elif chance.random() < 0.7:
                run.wait_for(partial(has_started, run))
                check_start(run.output(), checkpoints[-1], rows)
            time.sleep(chance.uniform(0, 6))
            if chance.random() < 0.3:
                run.wait_for(lambda: unfinished(folder))
            emulators = run.emulators()
            assert run.process.poll() is None, run.output()
            run.process.kill()
            run.wait()
            assert all(wait_until_gone(pid, 5) for pid in emulators)
        saving += bool(unfinished(folder))
        kept = [row for row in rows if int(row["timesteps"]) <= checkpoints[-1]]
        rows = episodes(folder)
        assert rows[: len(kept)] == kept
        checkpoints.append(whole_checkpoint(folder))
        words = ("-i", str(folder))

    end = checkpoints[-1] + 100
    with trainer(tmp_path, *words, "-n", str(end), python=("-W", "error")) as run:
        assert run.wait() == 0, run.output()
        assert folders_of("*", run.temp) == []
    check_start(run.output(), checkpoints[-1], rows)
    rows = assert_rows_agree(folder, end)
    assert_nothing_is_missing(rows, {0, *checkpoints})
    assert not unfinished(folder)
    # Every step of the run is in its replay buffer, once.
    with np.load(replay_buffer_path(folder / f"rl_model_{end}_steps.zip")) as archive:
        assert archive["has_step"].sum() == end
    with np.load(folder / "evaluations.npz") as archive:
        assert archive["timesteps"].tolist() == [-(-due // 4) * 4 for due in range(90, end + 1, 90)]
    with capsys.disabled():
        print(f"\n{kills} kills, {saving} in a save: resumed at {checkpoints}, ended at {end}")


def has_started(run: Trainer) -> bool:
    return "Start: " in run.output()


def unfinished(folder: Path) -> list[Path]:
    """Files that are being written, or were when the trainer was killed."""
    return list(folder.glob(".*.tmp"))


def whole_checkpoint(folder: Path) -> int:
    """The steps of the newest checkpoint; none is damaged, and it has its replay buffer."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        newest = newest_checkpoint(folder)
    assert newest is not None and replay_buffer_path(newest).is_file()
    return int(newest.stem.split("_")[2])


def check_start(output: str, steps: int, before: Rows) -> None:
    """The run goes on from there, with its replay, and says what is lost."""
    lost = [int(row["timesteps"]) for row in before if int(row["timesteps"]) > steps]
    expected = f"Start: rl_model_{steps}_steps.zip, at step {steps:,}, with its replay buffer"
    if lost:
        expected += (
            f"; {max(lost) - steps:,} steps or more after it, {len(lost)} episode(s), are lost"
        )
    assert expected + "\n" in output, output


def assert_nothing_is_missing(rows: Rows, resumed_at: set[int]) -> None:
    """Each episode begins where the one before it ended, or where the run was resumed."""
    end = 0
    for row in rows:
        begin = int(row["timesteps"]) - int(row["length"])
        assert begin == end or begin in resumed_at
        end = int(row["timesteps"])


# Checkpoints that are not whole


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 200 steps, with checkpoints of 120, 180 and 200."""
    folder = tmp_path_factory.mktemp("finished")
    assert train("-f", folder, "-n", "200", *WORDS, *NO_EVALUATION, "--verbose", "0") == 0
    return folder / "dueling_dqn" / f"{ENV_NAME}_1"


@pytest.mark.parametrize("torn", ["model", "replay buffer", "replay buffers of two", "both"])
def test_a_checkpoint_cut_in_half_is_passed_over_and_told(
    finished: Path, tmp_path: Path, torn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / finished.name
    shutil.copytree(finished, folder)
    newest, older = (folder / f"rl_model_{steps}_steps.zip" for steps in (200, 180))
    files = {
        "model": [newest],
        "replay buffer": [replay_buffer_path(newest)],
        "replay buffers of two": [replay_buffer_path(newest), replay_buffer_path(older)],
        "both": [newest, replay_buffer_path(newest)],
    }[torn]
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    before = episodes(folder)
    with pytest.warns(UserWarning, match="passing over the damaged checkpoint") as passed:
        assert train("-i", folder, "-n", "232", "--verbose", "1") == 0
    assert any(str(files[0]) in str(warning.message) for warning in passed)
    steps = 120 if torn == "replay buffers of two" else 180
    ends = [int(row["timesteps"]) for row in before if int(row["timesteps"]) > steps]
    start = (
        f"Start: rl_model_{steps}_steps.zip, at step {steps}, with its replay buffer; "
        f"{200 - steps} steps or more after it, {len(ends)} episode(s), are lost\n"
    )
    assert start in capsys.readouterr().out
    rows = assert_rows_agree(folder, 232)
    assert_nothing_is_missing(rows, {steps})
    with np.load(replay_buffer_path(folder / "rl_model_232_steps.zip")) as archive:
        assert archive["has_step"].sum() == 232


# A full disk

ON_A_SMALL_DISK = """
mount -t tmpfs -o size=80m tmpfs {disk} || exit 77
cd {root}
{python} train.py -f {disk} {words} > {log} 2>&1 &
trainer=$!
while kill -0 $trainer && ! grep -q "Training goes on" {log}; do sleep 0.05; done 2> /dev/null
sleep 1
kill -KILL $trainer 2> /dev/null
wait $trainer
cp -r {disk}/. {saved}
"""


def test_a_disk_that_fills_while_a_checkpoint_is_written_spoils_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Three checkpoints of 32 MB do not fit. The disk is seen by the script's processes only.
    disk, saved, log = tmp_path / "disk", tmp_path / "saved", tmp_path / "log"
    disk.mkdir()
    words = shlex.join(("-n", "100000", *WORDS, *NO_EVALUATION))
    script = ON_A_SMALL_DISK.format(
        disk=disk, saved=saved, log=log, words=words, root=ROOT, python=sys.executable
    )
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    result = subprocess.run(unshare, check=False, capture_output=True, text=True, timeout=120)
    if result.returncode in (1, 77) and not log.exists():
        pytest.skip(f"no disk of our own can be had here: {result.stderr.strip()}")
    printed = log.read_text()
    assert "no checkpoint at step 180: [Errno 28] could not write" in printed
    assert "Training goes on, the earlier checkpoints are whole" in printed
    folder = saved / "dueling_dqn" / f"{ENV_NAME}_1"
    before = episodes(folder)
    assert whole_checkpoint(folder) == 120
    assert unfinished(folder) == [], "a failed save leaves no file, and its room to others"
    kept = [row for row in before if int(row["timesteps"]) <= 120]
    assert train("-i", folder, "-n", "220") == 0
    check_start(capsys.readouterr().out, 120, before)
    rows = assert_rows_agree(folder, 220)
    assert rows[: len(kept)] == kept
    assert_nothing_is_missing(rows, {120})
