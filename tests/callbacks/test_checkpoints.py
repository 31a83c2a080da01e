"""Checkpoints: whole or not there, the newest kept."""

from __future__ import annotations

import errno
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_mario.callbacks import (
    AtomicCheckpointCallback,
    atomic_save_model,
    newest_checkpoint,
    replay_buffer_path,
)
from sb3_mario.dqn.saved_replay import load_replay_buffer
from tests.callbacks.toy_mario import MakeModel


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files(*steps: int, buffers: bool = False) -> set[str]:
    kinds = ["rl_model_{}_steps.zip"]
    if buffers:
        kinds.append("rl_model_replay_buffer_{}_steps.npz")
    return {kind.format(step) for kind in kinds for step in steps}


def full_disk(fd: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_newest_checkpoints_are_kept_with_their_buffers(
    make_model: MakeModel, tmp_path: Path
) -> None:
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True, keep_last=2)
    make_model().learn(59, callback=callback)
    assert names(tmp_path) == files(40, 50, buffers=True)


def test_no_buffer_is_saved_where_none_is_asked_for(make_model: MakeModel, tmp_path: Path) -> None:
    make_model().learn(20, callback=AtomicCheckpointCallback(10, tmp_path))
    assert names(tmp_path) == files(10, 20)


def test_save_freq_counts_environment_steps_however_many_environments(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model(n_envs=3).learn(45, callback=AtomicCheckpointCallback(10, tmp_path, keep_last=9))
    assert names(tmp_path) == files(12, 21, 30, 42)


def test_a_checkpoint_is_the_model_with_its_optimizer_and_its_buffer(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    callback = AtomicCheckpointCallback(1000, tmp_path, save_replay_buffer=True)
    model.learn(50, callback=callback)
    path = callback.save_now()
    assert path == tmp_path / "rl_model_50_steps.zip"
    loaded = DQN.load(path, env=model.env)
    with replay_buffer_path(path).open("rb") as file:
        load_replay_buffer(loaded.replay_buffer, file)
    assert loaded.num_timesteps == 50
    assert loaded.replay_buffer.size() == model.replay_buffer.size() == 50
    saved, read = (m.policy.optimizer.state_dict()["state"] for m in (model, loaded))
    assert saved and th.equal(saved[0]["exp_avg"], read[0]["exp_avg"])
    for a, b in zip(model.q_net.parameters(), loaded.q_net.parameters(), strict=True):
        assert th.equal(a, b)


def test_a_model_with_returns_of_several_steps_loads_without_a_warning_and_keeps_them(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(n_steps=5, gamma=0.9)
    path = atomic_save_model(model, tmp_path / "model.zip")
    loaded = DQN.load(path, env=model.env)  # SB3 warns of a buffer's class that it chose itself
    for buffer in (model.replay_buffer, loaded.replay_buffer):
        assert type(buffer) is NStepReplayBuffer
        assert (buffer.n_steps, buffer.gamma) == (5, 0.9)


def test_a_buffer_that_the_user_chose_is_kept(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(
        replay_buffer_class=NStepReplayBuffer, replay_buffer_kwargs={"n_steps": 5, "gamma": 0.5}
    )
    loaded = DQN.load(atomic_save_model(model, tmp_path / "model.zip"), env=model.env)
    assert type(loaded.replay_buffer) is NStepReplayBuffer
    assert (loaded.replay_buffer.n_steps, loaded.replay_buffer.gamma) == (5, 0.5)


def test_a_resumed_run_saves_at_the_same_steps_and_drops_the_abandoned_part(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model().learn(50, callback=AtomicCheckpointCallback(10, tmp_path, keep_last=5))
    model = DQN.load(tmp_path / "rl_model_20_steps.zip", env=make_model().env)
    callback = AtomicCheckpointCallback(10, tmp_path, keep_last=5)
    model.learn(9, callback=callback, reset_num_timesteps=False)
    aside = {f"{name}.abandoned" for name in files(30, 40, 50)}
    assert names(tmp_path) == files(10, 20) | aside, "nothing goes before the next is safe"
    assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_20_steps.zip"
    model.learn(1, callback=callback, reset_num_timesteps=False)
    assert names(tmp_path) == files(10, 20, 30)


def test_other_files_and_prefixes_are_left_alone(make_model: MakeModel, tmp_path: Path) -> None:
    others = {"best_model.zip", "other_10_steps.zip", "rl_model_10_steps.zip.bak", ".other.tmp"}
    for name in others:
        (tmp_path / name).write_text("mine")
    make_model().learn(40, callback=AtomicCheckpointCallback(10, tmp_path, keep_last=1))
    assert names(tmp_path) == others | files(40)


def test_what_a_crash_left_is_removed_at_the_start(make_model: MakeModel, tmp_path: Path) -> None:
    for name in files(30, buffers=True):
        (tmp_path / f".{name}.tmp").write_bytes(b"half a file")
    make_model().learn(5, callback=AtomicCheckpointCallback(10, tmp_path))
    assert names(tmp_path) == set()


def test_a_buffer_without_its_model_goes_with_the_next_save(
    make_model: MakeModel, tmp_path: Path
) -> None:
    (tmp_path / "rl_model_replay_buffer_5_steps.npz").write_bytes(b"orphan")
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True)
    make_model().learn(10, callback=callback)
    assert names(tmp_path) == files(10, buffers=True)


def test_a_new_run_does_not_remove_the_checkpoints_of_another(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model().learn(20, callback=AtomicCheckpointCallback(10, tmp_path))
    with pytest.raises(FileExistsError, match="2 checkpoints of another run"):
        make_model().learn(20, callback=AtomicCheckpointCallback(10, tmp_path))
    assert names(tmp_path) == files(10, 20)


def test_a_full_disk_is_a_warning_and_the_earlier_checkpoints_stay_whole(
    make_model: MakeModel, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    model = make_model()
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True, keep_last=1)
    model.learn(10, callback=callback)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.warns(UserWarning, match="no checkpoint at step 20: .*could not write"):
            model.learn(10, callback=callback, reset_num_timesteps=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert model.num_timesteps == 20, "training went on"
    assert names(tmp_path) == files(10, buffers=True)
    assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_10_steps.zip"
    model.learn(10, callback=callback, reset_num_timesteps=False)
    assert names(tmp_path) == files(30, buffers=True)


def test_save_now_tells_its_caller_of_a_full_disk(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    callback = AtomicCheckpointCallback(1000, tmp_path)
    model.learn(5, callback=callback)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"could not write .*rl_model_5_steps.zip: No space left"):
        callback.save_now()
    assert names(tmp_path) == set()


def test_save_now_saves_the_model_alone_where_its_buffer_finds_no_room(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = make_model()
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True, keep_last=1)
    model.learn(10, callback=callback)
    model.learn(5, callback=callback, reset_num_timesteps=False)
    monkeypatch.setattr("sb3_mario.callbacks.checkpoints.save_replay_buffer", no_room)
    with pytest.warns(UserWarning, match=r"No space left .* without its replay buffer"):
        assert callback.save_now() == tmp_path / "rl_model_15_steps.zip"
    assert names(tmp_path) == files(10, buffers=True) | files(15)


@pytest.mark.filterwarnings("ignore:no checkpoint at step")
def test_a_buffer_whose_model_finds_no_room_leaves_it_to_others(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = make_model()
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True)
    monkeypatch.setattr("sb3_mario.callbacks.checkpoints.atomic_save_model", no_room)
    model.learn(10, callback=callback)
    with pytest.raises(OSError, match="No space left"):
        callback.save_now()
    assert names(tmp_path) == set()


def test_save_now_removes_nothing_where_it_is_asked_to(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    callback = AtomicCheckpointCallback(10, tmp_path, keep_last=1)
    model.learn(15, callback=callback)
    callback.save_now(remove_others=False)
    assert names(tmp_path) == files(10, 15)


def test_an_interrupted_save_leaves_the_old_file_and_no_other(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = atomic_save_model(make_model(), tmp_path / "final_model")
    assert path == tmp_path / "final_model.zip"
    before = path.read_bytes()

    def interrupt(fd: int) -> None:
        assert path.read_bytes() == before, "the old file is there until the new one is whole"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_save_model(make_model(seed=1), path)
    assert names(tmp_path) == {"final_model.zip"}
    assert path.read_bytes() == before


def test_the_rename_comes_after_the_data_is_on_the_disk(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    atomic_save_model(make_model(), tmp_path / "model.zip")
    assert done == ["fsync", "replace", "fsync"]


def test_the_newest_whole_checkpoint_is_found_by_its_steps(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model().learn(110, callback=AtomicCheckpointCallback(10, tmp_path, keep_last=3))
    os.utime(tmp_path / "rl_model_90_steps.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_110_steps.zip"


def test_a_checkpoint_with_a_wrong_byte_is_passed_over_with_a_warning(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model().learn(20, callback=AtomicCheckpointCallback(10, tmp_path))
    newest = tmp_path / "rl_model_20_steps.zip"
    data = bytearray(newest.read_bytes())
    with zipfile.ZipFile(newest) as archive:
        data[archive.getinfo("policy.pth").header_offset + 200] ^= 0xFF
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged checkpoint .*rl_model_20_steps.zip"):
        assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_10_steps.zip"


@pytest.mark.parametrize("position", [8, 10], ids=["encrypted", "unknown compression"])
def test_a_checkpoint_whose_damage_looks_like_another_kind_of_zip_is_passed_over(
    make_model: MakeModel, tmp_path: Path, position: int
) -> None:
    make_model().learn(20, callback=AtomicCheckpointCallback(10, tmp_path))
    newest = tmp_path / "rl_model_20_steps.zip"
    data = bytearray(newest.read_bytes())
    last_entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"PK\x05\x06"))
    data[last_entry + position] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged checkpoint .*rl_model_20_steps.zip"):
        assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_10_steps.zip"


def test_a_checkpoint_cut_anywhere_is_passed_over_even_where_a_zip_of_torchs_ends(
    make_model: MakeModel, tmp_path: Path
) -> None:
    make_model().learn(20, callback=AtomicCheckpointCallback(10, tmp_path))
    newest = tmp_path / "rl_model_20_steps.zip"
    data = newest.read_bytes()
    cuts = [*range(0, len(data), len(data) // 40), len(data) - 1]
    ends_of_zips = 0
    for cut in cuts:
        newest.write_bytes(data[:cut])
        ends_of_zips += zipfile.is_zipfile(newest)
        with pytest.warns(UserWarning, match="damaged checkpoint .*rl_model_20_steps.zip"):
            assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_10_steps.zip"
    assert ends_of_zips, "the test has met the hard case"


@pytest.mark.parametrize("torn", ["model", "replay buffer"])
def test_the_newest_whole_pair_is_found_wherever_a_file_is_cut(
    make_model: MakeModel, tmp_path: Path, torn: str
) -> None:
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True)
    make_model().learn(20, callback=callback)
    older, newest = (tmp_path / f"rl_model_{steps}_steps.zip" for steps in (10, 20))
    assert newest_checkpoint(tmp_path) == newest
    path = newest if torn == "model" else replay_buffer_path(newest)
    data = path.read_bytes()
    for cut in [*range(0, len(data), len(data) // 40), len(data) - 1]:
        path.write_bytes(data[:cut])
        with pytest.warns(UserWarning, match=f"damaged checkpoint {path}"):
            assert newest_checkpoint(tmp_path) == older
    path.write_bytes(data)
    replay_buffer_path(newest).unlink()
    assert newest_checkpoint(tmp_path) == newest, "one without a replay buffer is whole"


def test_a_replay_buffer_with_a_wrong_byte_is_passed_over(
    make_model: MakeModel, tmp_path: Path
) -> None:
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True)
    make_model().learn(20, callback=callback)
    path = replay_buffer_path(tmp_path / "rl_model_20_steps.zip")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("observations.npy")
    data[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=f"damaged checkpoint {path}"):
        assert newest_checkpoint(tmp_path) == tmp_path / "rl_model_10_steps.zip"


def test_a_replay_buffer_that_cannot_be_saved_is_refused_at_the_start(
    make_model: MakeModel, tmp_path: Path
) -> None:
    class Mine(ReplayBuffer):
        pass

    model = make_model(replay_buffer_class=Mine)
    callback = AtomicCheckpointCallback(10, tmp_path, save_replay_buffer=True)
    with pytest.raises(TypeError, match="a Mine cannot be saved with the checkpoints"):
        model.learn(5, callback=callback)
    assert model.num_timesteps == 0


def test_there_is_no_newest_checkpoint_in_an_empty_or_missing_folder(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "missing") is None


def test_a_name_that_is_no_checkpoints_has_no_buffer() -> None:
    with pytest.raises(ValueError, match=r"best_model\.zip is not named"):
        replay_buffer_path(Path("best_model.zip"))


@pytest.mark.parametrize("argument", ["save_freq", "keep_last"])
def test_numbers_below_one_are_refused_by_name(tmp_path: Path, argument: str) -> None:
    arguments = {"save_freq": 10, "keep_last": 3, argument: 0}
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got 0"):
        AtomicCheckpointCallback(save_path=tmp_path, **arguments)
