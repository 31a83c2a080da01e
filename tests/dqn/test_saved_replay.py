"""Saved replay buffers: whole or refused, and never code."""

from __future__ import annotations

import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_mario.dqn.array_file import ArrayFile, ArrayFileError, write
from sb3_mario.dqn.replay import FrameReplayBuffer
from sb3_mario.dqn.saved_replay import load_replay_buffer, save_replay_buffer

SPACE = spaces.Box(0, 255, (4, 6, 6), np.uint8)
ACTIONS = spaces.Discrete(5)
DICT_SPACE = spaces.Dict(
    pixels=SPACE, state=spaces.Box(-1, 1, (3,), np.float32)
)  # fmt: skip

Make = Callable[[], ReplayBuffer]
BUFFERS: dict[str, Make] = {
    "frames": lambda: FrameReplayBuffer(60, SPACE, ACTIONS, "cpu", n_envs=2, seed=0),
    "priorities": lambda: FrameReplayBuffer(
        60, SPACE, ACTIONS, "cpu", n_envs=2, prioritized=True, seed=0
    ),
    "dict of frames": lambda: FrameReplayBuffer(60, DICT_SPACE, ACTIONS, "cpu", n_envs=2, seed=0),
    "SB3": lambda: ReplayBuffer(60, SPACE, ACTIONS, "cpu", n_envs=2),
    "SB3 of several steps": lambda: NStepReplayBuffer(60, SPACE, ACTIONS, "cpu", n_envs=2),
    "SB3 dict": lambda: DictReplayBuffer(60, DICT_SPACE, ACTIONS, "cpu", n_envs=2),
}


def fill(buffer: ReplayBuffer, steps: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    space = buffer.observation_space
    space.seed(seed)

    def observation() -> Any:
        drawn = [space.sample() for _ in range(2)]
        if isinstance(space, spaces.Dict):
            return {name: np.stack([d[name] for d in drawn]) for name in space.spaces}
        return np.stack(drawn)

    for _ in range(steps):
        done = rng.random(2) < 0.2
        infos = [{"TimeLimit.truncated": bool(d and rng.random() < 0.5)} for d in done]
        before, after = observation(), observation()
        for stack, following in _stacks(before, after):
            following[:, :-1] = stack[:, 1:]
        buffer.add(before, after, rng.integers(5, size=2), rng.random(2), done, infos)


def _stacks(before: Any, after: Any) -> list[tuple[Any, Any]]:
    if not isinstance(before, dict):
        return [(before, after)]
    return [(before[name], after[name]) for name in before if before[name].ndim > 2]


def content(buffer: ReplayBuffer) -> dict[str, bytes]:
    """Everything that a buffer draws from."""
    if isinstance(buffer, FrameReplayBuffer):
        arrays = {name: list(blocks) for name, blocks in buffer._arrays().items()}
        return {name: b"".join(b.tobytes() for b in blocks) for name, blocks in arrays.items()}
    rows = buffer.buffer_size if buffer.full else buffer.pos
    found = {
        name: getattr(buffer, name)[:rows].tobytes()
        for name in ("actions", "rewards", "dones", "timeouts")
    }
    for name in ("observations", "next_observations"):
        observations = getattr(buffer, name)
        parts = observations if isinstance(observations, dict) else {"": observations}
        found |= {name + part: array[:rows].tobytes() for part, array in parts.items()}
    return found


def saved(buffer: ReplayBuffer) -> bytes:
    file = io.BytesIO()
    save_replay_buffer(buffer, file)
    return file.getvalue()


@pytest.mark.parametrize("steps", [0, 5, 29, 30, 31, 75])
@pytest.mark.parametrize("name", BUFFERS)
def test_what_is_loaded_is_what_was_saved(name: str, steps: int) -> None:
    buffer, other = BUFFERS[name](), BUFFERS[name]()
    fill(buffer, steps)
    fill(other, 40, seed=1)  # goes when it loads
    load_replay_buffer(other, io.BytesIO(saved(buffer)))
    assert other.size() == buffer.size()
    if not isinstance(buffer, FrameReplayBuffer):
        assert (other.pos, other.full) == (buffer.pos, buffer.full)
        if steps:
            last, ended = buffer.pos - 1, np.maximum(buffer.timeouts, 1 - buffer.dones)
            buffer.timeouts[last] = ended[last]
    assert content(other) == content(buffer)


def test_where_a_saved_run_stopped_sb3s_returns_end_and_a_death_stays_one() -> None:
    buffer, other = (NStepReplayBuffer(20, SPACE, ACTIONS, "cpu", n_envs=2) for _ in range(2))
    fill(buffer, 3)
    buffer.dones[2], buffer.timeouts[2] = [1, 0], [0, 0]
    load_replay_buffer(other, io.BytesIO(saved(buffer)))
    assert other.timeouts[2].tolist() == [0, 1] and other.dones[2].tolist() == [1, 0]


def test_numpy_reads_the_arrays_without_pickle(tmp_path: Path) -> None:
    buffer = BUFFERS["frames"]()
    fill(buffer, 20)
    (tmp_path / "buffer.npz").write_bytes(saved(buffer))
    with np.load(tmp_path / "buffer.npz", allow_pickle=False) as archive:
        assert archive["frames_"].shape[1:] == (6, 6)
        assert archive["rewards"].tobytes() == content(buffer)["rewards"]


@pytest.mark.parametrize("name", BUFFERS)
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    buffer, other = BUFFERS[name](), BUFFERS[name]()
    fill(buffer, 20)
    data = saved(buffer)
    for cut in [*range(0, len(data), max(len(data) // 50, 1)), len(data) - 1]:
        with pytest.raises(ValueError, match="the saved replay buffer does not fit"):
            load_replay_buffer(other, io.BytesIO(data[:cut]))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_file_with_wrong_bytes_is_refused_or_holds_the_same(data: st.DataObject) -> None:
    buffer, other = BUFFERS["priorities"](), BUFFERS["priorities"]()
    fill(buffer, 20)
    good = saved(buffer)
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        load_replay_buffer(other, io.BytesIO(bytes(bad)))
    except ValueError:
        pass
    else:  # a name's case, a time: bytes that nothing depends on
        assert content(other) == content(buffer)


@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_of_other_settings_is_refused_and_nothing_is_changed(name: str) -> None:
    buffer = BUFFERS[name]()
    fill(buffer, 20)
    data = saved(buffer)
    for other_name, make in BUFFERS.items():
        other = make()
        fill(other, 10, seed=2)
        before = content(other)
        if other_name == name:
            continue
        with pytest.raises(ValueError, match=r"does not fit: (its|it is) "):
            load_replay_buffer(other, io.BytesIO(data))
        assert content(other) == before, other_name


def test_a_larger_buffer_is_refused_with_both_sizes() -> None:
    other = FrameReplayBuffer(80, SPACE, ACTIONS, "cpu", n_envs=2)
    with pytest.raises(ValueError, match="its buffer_size is 30, not 40"):
        load_replay_buffer(other, io.BytesIO(saved(BUFFERS["frames"]())))


def test_actions_that_there_are_not_are_refused() -> None:
    buffer, other = BUFFERS["frames"](), BUFFERS["frames"]()
    fill(buffer, 20)
    assert isinstance(buffer, FrameReplayBuffer)
    buffer.storage.actions[3] = 17
    with pytest.raises(ValueError, match="actions from 0 to 17"):
        load_replay_buffer(other, io.BytesIO(saved(buffer)))
    assert other.size() == 0


def test_a_class_that_is_not_known_is_refused_by_name() -> None:
    class Mine(ReplayBuffer):
        pass

    with pytest.raises(TypeError, match=r"a Mine cannot be saved .*--save-replay-buffer"):
        save_replay_buffer(Mine(10, SPACE, ACTIONS), io.BytesIO())


# No code


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["frames", "SB3"])
@pytest.mark.parametrize("disguise", ["pickle", "array of objects", "meta"])
def test_a_replay_file_runs_no_code(tmp_path: Path, name: str, disguise: str) -> None:
    bomb = Bomb(tmp_path / "ran")
    pickled = pickle.dumps(bomb)
    pickle.loads(pickled)
    assert bomb.folder.is_dir(), "the bomb works"
    bomb.folder.rmdir()

    buffer = BUFFERS[name]()
    fill(buffer, 20)
    if disguise == "pickle":
        data = pickled
    else:
        data = saved(buffer)
        objects = io.BytesIO()
        np.save(objects, np.array([bomb], object), allow_pickle=True)
        member = "rewards.npy" if disguise == "array of objects" else "meta.json"
        data = replaced(data, member, objects.getvalue() if member != "meta.json" else pickled)
    with pytest.raises(ValueError, match="the saved replay buffer does not fit"):
        load_replay_buffer(BUFFERS[name](), io.BytesIO(data))
    assert not bomb.folder.exists()


def replaced(data: bytes, member: str, content: bytes) -> bytes:
    """A zip with one member changed, its checksum right."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    return result.getvalue()


@pytest.mark.parametrize(
    "meta",
    [b"", b"[]", b"null", b"[" * 100_000, b'{"format": 1}', b"\xff", b"{}" + b" " * 2**21],
    ids=lambda meta: repr(meta[:14]),
)
def test_wrong_values_are_refused(meta: bytes) -> None:
    data = replaced(saved(BUFFERS["frames"]()), "meta.json", meta)
    with pytest.raises(ValueError, match="the saved replay buffer does not fit"):
        load_replay_buffer(BUFFERS["frames"](), io.BytesIO(data))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("written", [-1, 5]),
        ("written", [5]),
        ("written", "many"),
        ("written", [2**70, 1]),
        ("written", None),
        ("highest_priority", "high"),
        ("random_state", {"bit_generator": "PCG64"}),
        ("random_state", 7),
    ],
)
def test_a_wrong_value_is_refused_and_the_buffer_is_empty(name: str, value: object) -> None:
    buffer, other = BUFFERS["priorities"](), BUFFERS["priorities"]()
    fill(buffer, 20)
    with zipfile.ZipFile(io.BytesIO(saved(buffer))) as archive:
        meta = json.loads(archive.read("meta.json"))
    data = replaced(saved(buffer), "meta.json", json.dumps(meta | {name: value}).encode())
    with pytest.raises(ValueError, match="it is damaged"):
        load_replay_buffer(other, io.BytesIO(data))
    assert other.size() == 0


def test_a_small_file_that_claims_to_be_large_takes_no_memory() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", "{}")
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (2**30,)}
        )
        with archive.open("a.npy", "w") as member:
            member.write(header.getvalue())
            for _ in range(40):
                member.write(bytes(2**20))
    bomb.seek(0)
    target = np.zeros(2**30, np.uint8)  # takes no memory until it is written to
    tracemalloc.start()
    with pytest.raises(ArrayFileError, match="torn"), ArrayFile(bomb) as file:
        file.fill("a", [target[: 2**30]])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 2**20


def test_saving_takes_little_memory() -> None:
    blocks = [np.zeros((2000, 84, 84), np.uint8) for _ in range(5)]
    tracemalloc.start()
    write(io.BytesIO(), {}, {"frames": blocks})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15 * 2**20, "of 70 MB"
