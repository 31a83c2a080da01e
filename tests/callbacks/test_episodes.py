"""One row an episode, through crashes and resumed runs."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_mario.callbacks import COLUMNS, AtomicCheckpointCallback, EpisodeCSVCallback
from tests.callbacks.toy_mario import MakeModel, ToyMario

Rows = list[dict[str, str]]


class CrashError(Exception):
    """Ends training where a crash would."""


class CrashAt(BaseCallback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            raise CrashError
        return True


def read(path: Path) -> Rows:
    text = path.read_text()
    assert text.endswith("\n")
    rows = list(csv.DictReader(text.splitlines()))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "episodes.csv"


def test_a_row_holds_the_episodes_figures_under_the_documented_columns(
    make_model: MakeModel, path: Path
) -> None:
    before = time.time()
    make_model().learn(18, callback=EpisodeCSVCallback(path))
    rows = read(path)
    assert list(rows[0]) == list(COLUMNS)
    last = rows[2]
    assert before - 1 <= float(last.pop("wall_time")) <= time.time() + 1
    assert 0 <= float(last.pop("exploration_rate")) <= 1
    assert last == {
        "env": "0",
        "episode": "3",
        "timesteps": "18",
        "frames": "28",
        "reward": "7",
        "length": "7",
        "max_x": "70",
        "world": "1",
        "stage": "1",
        "flag_get": "1",
        "end_cause": "flag",
        "score": "200",
        "coins": "3",
        "power": "1",
        "clock": "393",
        "progress": "0.7",
        "mean_loss": "",
        "mean_q": "",
        "sync_frames": "28",
        "sync_retakes": "1",
        "sync_mismatches": "0",
        "sync_reconnects": "0",
    }


def test_every_episode_of_every_environment_has_one_row(make_model: MakeModel, path: Path) -> None:
    make_model(n_envs=2).learn(72, callback=EpisodeCSVCallback(path))
    rows = read(path)
    counted = [(int(r["env"]), int(r["episode"]), int(r["timesteps"])) for r in rows]
    ends = [(1, 10), (2, 22), (3, 36), (4, 46), (5, 58), (6, 72)]
    assert counted == [(env, episode, steps) for episode, steps in ends for env in (0, 1)]


def test_a_row_is_in_the_file_as_soon_as_its_episode_has_ended(
    make_model: MakeModel, path: Path
) -> None:
    with closing(EpisodeCSVCallback(path)) as callback, pytest.raises(CrashError):
        make_model().learn(100, callback=[callback, CrashAt(11)])
    assert [row["timesteps"] for row in read(path)] == ["5", "11"]


def test_losses_are_empty_before_learning_and_then_the_mean_over_the_gradient_steps(
    make_model: MakeModel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The n-th call of train logs n, so the means tell which calls were counted.
    calls = []

    def train(self: DQN, gradient_steps: int, batch_size: int) -> None:
        calls.append(self.num_timesteps)
        self._n_updates += gradient_steps
        self.logger.record("train/loss", float(len(calls)))

    monkeypatch.setattr(DQN, "train", train)
    model = make_model(learning_starts=12, train_freq=2)
    # log_interval=1: SB3's logger forgets the loss at each episode's end.
    model.learn(40, callback=EpisodeCSVCallback(path), log_interval=1)
    losses = {int(row["timesteps"]): row["mean_loss"] for row in read(path)}
    assert losses.keys() == {5, 11, 18, 23, 29, 36}
    assert losses[5] == losses[11] == ""
    for end, length in ((18, 7), (23, 5), (29, 6), (36, 7)):
        counted = [n for n, step in enumerate(calls, 1) if end - length <= step < end]
        assert float(losses[end]) == pytest.approx(np.mean(counted))


def test_a_loss_that_the_algorithm_does_not_log_is_empty_and_not_zero(
    make_model: MakeModel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(self: DQN, gradient_steps: int, batch_size: int) -> None:
        self._n_updates += gradient_steps

    monkeypatch.setattr(DQN, "train", train)
    make_model(learning_starts=1).learn(18, callback=EpisodeCSVCallback(path))
    assert [row["mean_loss"] for row in read(path)] == ["", "", ""]


def test_mean_q_is_that_of_the_batches_learned_from(
    make_model: MakeModel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(learning_starts=11, gradient_steps=2, train_freq=3)
    expected: list[float] = []
    sample = model.replay_buffer.sample

    def watched(*args: Any, **kwargs: Any) -> Any:
        batch = sample(*args, **kwargs)
        with th.no_grad():
            expected.append(float(model.q_net(batch.observations).max(dim=1).values.mean()))
        return batch

    monkeypatch.setattr(model.replay_buffer, "sample", watched)
    model.learn(18, callback=EpisodeCSVCallback(path))
    rows = read(path)
    # Gradient steps after steps 12, 15 and, too late for this row, 18.
    assert len(expected) == 6
    assert float(rows[2]["mean_q"]) == pytest.approx(np.mean(expected[:4]), rel=1e-5)
    assert rows[1]["mean_q"] == ""


def test_several_environments_share_the_learners_figures(make_model: MakeModel, path: Path) -> None:
    make_model(n_envs=2, learning_starts=1).learn(36, callback=EpisodeCSVCallback(path))
    rows = read(path)
    assert len(rows) == 6
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first["mean_loss"] == second["mean_loss"] != ""
        assert first["mean_q"] == second["mean_q"] != ""


def test_watching_changes_nothing_in_the_training(make_model: MakeModel, path: Path) -> None:
    # Made one after the other: each seeds the process's random numbers.
    plain = make_model().learn(100)
    watched = make_model().learn(100, callback=EpisodeCSVCallback(path))
    assert watched._n_updates > 50
    for a, b in zip(plain.q_net.parameters(), watched.q_net.parameters(), strict=True):
        assert th.equal(a, b)
    assert not watched.q_net._forward_hooks, "the hook is taken off at the end"


def test_a_resumed_run_has_each_episode_once_and_none_of_the_lost_part(
    make_model: MakeModel, path: Path, tmp_path: Path
) -> None:
    episodes = EpisodeCSVCallback(path)
    checkpoints = AtomicCheckpointCallback(18, tmp_path / "checkpoints")
    with pytest.raises(CrashError):
        make_model().learn(100, callback=[episodes, checkpoints, CrashAt(35)])
    episodes.close()  # as the end of the process does
    kept = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"1760000000.0,0,6,3")
    assert kept.count(b"\n") == 6, "five episodes, two of them after the checkpoint"

    model = DQN.load(
        tmp_path / "checkpoints" / "rl_model_18_steps.zip", env=make_model().env, device="cpu"
    )
    model.learn(30, callback=EpisodeCSVCallback(path), reset_num_timesteps=False)
    rows = read(path)
    assert [row["timesteps"] for row in rows] == ["5", "11", "18", "23", "29", "36", "41", "47"]
    assert [row["episode"] for row in rows] == [str(n) for n in range(1, 9)]
    assert path.read_bytes().splitlines()[:4] == kept.splitlines()[:4]


def test_episodes_are_counted_on_for_each_environment(make_model: MakeModel, path: Path) -> None:
    model = make_model(n_envs=2)
    model.learn(22, callback=EpisodeCSVCallback(path))
    model.learn(36, callback=EpisodeCSVCallback(path), reset_num_timesteps=False)
    counted = [(row["env"], row["episode"]) for row in read(path)]
    assert len(counted) == len(set(counted)) == 10
    assert counted[-2:] == [("0", "5"), ("1", "5")]


@pytest.mark.parametrize("torn", [b"1760000000.0,0,3,1", b"\0\0\0\0\0\n", b"1,2\n"])
def test_a_torn_last_line_is_dropped(make_model: MakeModel, path: Path, torn: bytes) -> None:
    model = make_model()
    model.learn(11, callback=EpisodeCSVCallback(path))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    model.learn(1, callback=EpisodeCSVCallback(path), reset_num_timesteps=False)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("torn", [b"", b"wall_time,env,epi"])
def test_a_file_that_crashed_before_its_first_row_starts_anew(
    make_model: MakeModel, path: Path, torn: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(torn)
    make_model().learn(11, callback=EpisodeCSVCallback(path))
    assert len(read(path)) == 2


@pytest.fixture
def monitored() -> Iterator[Callable[[list[Path]], DummyVecEnv]]:
    """Makes toy environments that go on with their monitor files, or write new ones."""
    made: list[DummyVecEnv] = []

    def make(path: Path) -> Monitor[Any, Any]:
        return Monitor(ToyMario(), str(path), override_existing=not path.exists())

    def make_all(paths: list[Path]) -> DummyVecEnv:
        made.append(DummyVecEnv([partial(make, path) for path in paths]))
        return made[-1]

    yield make_all
    for env in made:
        env.close()


def monitor_rows(path: Path) -> list[tuple[str, str]]:
    header, names, *rows = path.read_text().splitlines()
    assert header.startswith('#{"t_start": ') and names == "r,l,t"
    return [(row.split(",")[0], row.split(",")[1]) for row in rows]


def test_monitor_files_are_cut_to_the_same_episodes(
    make_model: MakeModel,
    path: Path,
    tmp_path: Path,
    monitored: Callable[[list[Path]], DummyVecEnv],
) -> None:
    files = [tmp_path / f"{env}.monitor.csv" for env in range(2)]
    model = make_model(n_envs=2)
    model.set_env(monitored(files))
    model.learn(58, callback=EpisodeCSVCallback(path, files))
    before = [file.read_bytes() for file in files]
    assert [len(monitor_rows(file)) for file in files] == [5, 5]
    files[0].write_bytes(before[0] + b"7.0,7,1")
    files[1].write_bytes(before[1] + b"7.0,7,1.5\r\n7.0,7,2.5\r\n")

    model.num_timesteps = 36  # as a checkpoint of that step
    model.set_env(monitored(files))
    model.learn(22, callback=EpisodeCSVCallback(path, files), reset_num_timesteps=False)
    for env, file in enumerate(files):
        rows = monitor_rows(file)
        assert file.read_bytes().splitlines()[:5] == before[env].splitlines()[:5]
        assert [length for _, length in rows] == ["5", "6", "7", "5", "6"]
        mine = [row for row in read(path) if row["env"] == str(env)]
        assert rows == [(f"{float(row['reward'])}", row["length"]) for row in mine]


def test_monitor_files_stay_whole_where_the_episodes_were_moved_away(
    make_model: MakeModel,
    path: Path,
    tmp_path: Path,
    monitored: Callable[[list[Path]], DummyVecEnv],
) -> None:
    file = tmp_path / "0.monitor.csv"
    model = make_model()
    model.set_env(monitored([file]))
    model.learn(18, callback=EpisodeCSVCallback(path, [file]))
    path.rename(tmp_path / "moved.csv")
    model.set_env(monitored([file]))
    model.learn(5, callback=EpisodeCSVCallback(path, [file]), reset_num_timesteps=False)
    assert [length for _, length in monitor_rows(file)] == ["5", "6", "7", "5"]


def test_a_new_runs_monitor_files_stay_as_they_are(
    make_model: MakeModel,
    path: Path,
    tmp_path: Path,
    monitored: Callable[[list[Path]], DummyVecEnv],
) -> None:
    file = tmp_path / "0.monitor.csv"
    model = make_model()
    model.set_env(monitored([file]))
    header = file.read_bytes()
    model.learn(18, callback=EpisodeCSVCallback(path, [file]))
    assert file.read_bytes().startswith(header)
    assert [length for _, length in monitor_rows(file)] == ["5", "6", "7"]


def test_a_damaged_line_in_the_middle_is_an_error_and_changes_nothing(
    make_model: MakeModel, path: Path
) -> None:
    model = make_model()
    model.learn(18, callback=EpisodeCSVCallback(path))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"nonsense\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match="line 3 is damaged: b'nonsense'"):
        model.learn(10, callback=EpisodeCSVCallback(path), reset_num_timesteps=False)
    assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("header", ["wall_time,reward\n1,2\n", "no header at all"])
def test_a_file_with_other_columns_is_refused_and_left_as_it_is(
    make_model: MakeModel, path: Path, header: str
) -> None:
    path.parent.mkdir()
    path.write_text(header)
    with pytest.raises(ValueError, match=r"other columns.*choose another path"):
        make_model().learn(10, callback=EpisodeCSVCallback(path))
    assert path.read_text() == header


def test_a_new_run_does_not_cut_the_file_of_another(make_model: MakeModel, path: Path) -> None:
    make_model().learn(11, callback=EpisodeCSVCallback(path))
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="2 episodes of another run"):
        make_model().learn(11, callback=EpisodeCSVCallback(path))
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no flock on Windows")
def test_a_second_writer_is_refused(make_model: MakeModel, path: Path) -> None:
    path.parent.mkdir()
    code = (
        f"import fcntl, sys; file = open({str(path)!r}, 'a'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError, match="another run writes"):
            make_model().learn(11, callback=EpisodeCSVCallback(path))
        other.communicate("")
    make_model().learn(11, callback=EpisodeCSVCallback(path))
    assert len(read(path)) == 2


def test_rows_wait_while_the_disk_is_full_and_none_is_torn_or_lost(
    make_model: MakeModel, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sizes: list[int] = []

    class FullFromStep7To20(BaseCallback):
        """Lets the file grow by ten bytes more, which tears a row."""

        def _on_step(self) -> bool:
            if self.num_timesteps == 7:
                limit = path.stat().st_size + 10
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            if self.num_timesteps == 19:
                sizes.append(path.stat().st_size)
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            return True

    try:
        with pytest.warns(UserWarning, match="rows wait in memory") as caught:
            make_model(learning_starts=1000).learn(
                23, callback=[FullFromStep7To20(), EpisodeCSVCallback(path)]
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(caught) == 1, "one warning, not one a row"
    content = path.read_bytes()
    assert content[: sizes[0]].count(b"\n") == 2 and content[: sizes[0]].endswith(b"\n")
    assert [row["timesteps"] for row in read(path)] == ["5", "11", "18", "23"]


def test_rows_that_find_no_room_until_the_end_are_no_second_error(
    make_model: MakeModel, path: Path
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    callback = EpisodeCSVCallback(path)

    class FullFromStep7(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 7:
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
            return True

    try:
        with pytest.warns(UserWarning, match="rows wait in memory"):
            make_model(learning_starts=1000).learn(18, callback=[FullFromStep7(), callback])
        callback.on_training_end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [row["timesteps"] for row in read(path)] == ["5"]


def test_a_loss_that_is_not_finite_is_one_warning_and_stands_in_the_file(
    make_model: MakeModel, path: Path
) -> None:
    model = make_model(learning_starts=5)
    with th.no_grad():
        model.q_net.q_net[0].bias += float("nan")
    with pytest.warns(UserWarning, match="loss is nan at step .* diverged") as caught:
        model.learn(30, callback=EpisodeCSVCallback(path))
    assert len([w for w in caught if "diverged" in str(w.message)]) == 1
    assert read(path)[-1]["mean_loss"] == "nan"


def test_an_environment_without_monitor_is_an_error_that_says_so(path: Path) -> None:
    model = DQN("MlpPolicy", DummyVecEnv([ToyMario]), buffer_size=100, learning_starts=1000)
    with closing(EpisodeCSVCallback(path)) as callback, pytest.raises(ValueError, match="Monitor"):
        model.learn(10, callback=callback)


def test_an_episode_cut_by_a_time_limit_wrapper_ends_at_the_step_limit(path: Path) -> None:
    env = gym.wrappers.TimeLimit(ToyMario(), 3)
    model = DQN("MlpPolicy", env, buffer_size=100, learning_starts=1000)
    model.learn(3, callback=EpisodeCSVCallback(path))
    assert read(path)[0]["end_cause"] == "step_limit"


def test_what_another_environments_info_lacks_is_empty_and_not_zero(path: Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=100, learning_starts=1000)
    model.learn(100, callback=EpisodeCSVCallback(path))
    row = read(path)[0]
    assert row["max_x"] == row["flag_get"] == row["end_cause"] == row["sync_frames"] == ""
    assert float(row["reward"]) == int(row["length"])
