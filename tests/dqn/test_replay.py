"""`FrameReplayBuffer` against SB3's buffers, which store every stack whole."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_mario.dqn.replay import FrameReplayBuffer

DEPTH = 4
SPACE = spaces.Box(0, 255, (DEPTH, 3, 3), np.uint8)
ACTIONS = spaces.Discrete(5)
GAMMA = 0.9


class Episodes:
    """Random episodes of stacked frames; the reward of a step is its number, so that it is known.

    Every frame is different, but that the first fills the stack after a reset.
    """

    def __init__(self, seed: int, n_envs: int, mean_length: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.n_envs = n_envs
        self.end = 1 / mean_length
        self.steps = 0
        self.frames = 0
        self.stacks = [self._reset() for _ in range(n_envs)]

    def _frame(self) -> np.ndarray[Any, Any]:
        self.frames += 1
        frame = self.rng.integers(256, size=(3, 3), dtype=np.uint8)
        frame.flat[:4] = np.frombuffer(np.uint32(self.frames).tobytes(), np.uint8)
        return frame

    def _reset(self) -> deque[np.ndarray[Any, Any]]:
        return deque([self._frame()] * DEPTH, maxlen=DEPTH)

    def step(self) -> tuple[Any, ...]:
        """Arguments of ``ReplayBuffer.add`` for a step of every environment."""
        obs = np.array([np.array(stack) for stack in self.stacks])
        rewards = np.arange(self.steps, self.steps + self.n_envs, dtype=np.float32)
        self.steps += self.n_envs
        for stack in self.stacks:
            stack.append(self._frame())
        next_obs = np.array([np.array(stack) for stack in self.stacks])
        dones = self.rng.random(self.n_envs) < self.end
        infos = [{"TimeLimit.truncated": bool(done and self.rng.random() < 0.4)} for done in dones]
        for env in np.flatnonzero(dones):
            self.stacks[env] = self._reset()
        actions = self.rng.integers(5, size=self.n_envs)
        return obs, next_obs, actions, rewards, dones, infos


def by_file(buffer: FrameReplayBuffer) -> FrameReplayBuffer:
    """A buffer of the same arguments that has loaded what the buffer saved."""
    file = io.BytesIO()
    buffer.save(file)
    other = FrameReplayBuffer(
        buffer.buffer_size * buffer.n_envs, buffer.observation_space, buffer.action_space, "cpu",
        n_envs=buffer.n_envs, n_steps=buffer.n_steps, gamma=buffer.gamma, seed=99,
        prioritized=buffer.prioritized,
    )  # fmt: skip
    file.seek(0)
    other.load(file)
    return other


def by_pickle(buffer: FrameReplayBuffer) -> FrameReplayBuffer:
    loaded: FrameReplayBuffer = pickle.loads(pickle.dumps(buffer))
    return loaded


def fields(samples: Any) -> list[bytes]:
    """Each transition of a batch as bytes."""
    observations, actions, following, dones, rewards = samples[:5]
    discounts = samples.discounts
    assert discounts is not None
    parts = (observations, actions, following, dones, rewards, discounts)
    return [
        b"".join(part[i].contiguous().numpy().tobytes() for part in parts)
        for i in range(len(actions))
    ]


def everything_of_ours(buffer: FrameReplayBuffer) -> dict[int, bytes]:
    """All transitions by the number in the reward of their first step."""
    slots = np.flatnonzero(buffer.storage.has_step)
    numbers = buffer.storage.rewards[slots].astype(int)
    samples = buffer._samples_at(slots, np.ones(len(slots)))
    return dict(zip(numbers.tolist(), fields(samples), strict=True))


def everything_of_sb3s(buffer: ReplayBuffer) -> dict[int, bytes]:
    """The same of SB3's buffer, whose sampling chooses the environments at random."""
    rows = buffer.buffer_size if buffer.full else buffer.pos
    found: dict[int, bytes] = {}
    for env in range(buffer.n_envs):
        randint = np.random.randint
        np.random.randint = lambda *args, size, env=env, **kwargs: np.full(size, env)
        try:
            samples = buffer._get_samples(np.arange(rows))
        finally:
            np.random.randint = randint
        if samples.discounts is None:
            samples = samples._replace(discounts=th.full_like(samples.rewards, GAMMA))
        numbers = buffer.rewards[:rows, env].astype(int).tolist()
        found |= dict(zip(numbers, fields(samples), strict=True))
    return found


def fill(
    seed: int, *, steps: int, buffer_size: int, n_envs: int, n_steps: int, mean_length: float
) -> tuple[FrameReplayBuffer, ReplayBuffer]:
    episodes = Episodes(seed, n_envs, mean_length)
    kwargs: dict[str, Any] = {"n_envs": n_envs, "device": "cpu"}
    ours = FrameReplayBuffer(
        buffer_size, SPACE, ACTIONS, n_steps=n_steps, gamma=GAMMA, seed=0, **kwargs
    )
    theirs = (
        NStepReplayBuffer(buffer_size, SPACE, ACTIONS, n_steps=n_steps, gamma=GAMMA, **kwargs)
        if n_steps > 1
        else ReplayBuffer(buffer_size, SPACE, ACTIONS, **kwargs)
    )
    for _ in range(steps):
        arguments = episodes.step()
        ours.add(*arguments)
        theirs.add(*arguments)
    return ours, theirs


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 160),
    rows=st.integers(8, 100),
    n_envs=st.integers(1, 3),
    n_steps=st.integers(1, 6),
    mean_length=st.sampled_from([1.5, 4.0, 20.0, 1000.0]),
)
def test_every_transition_equals_sb3s_byte_for_byte(
    seed: int, steps: int, rows: int, n_envs: int, n_steps: int, mean_length: float
) -> None:
    ours, theirs = fill(
        seed,
        steps=steps,
        buffer_size=rows * n_envs,
        n_envs=n_envs,
        n_steps=n_steps,
        mean_length=mean_length,
    )
    here, there = everything_of_ours(ours), everything_of_sb3s(theirs)
    assert set(here) <= set(there)
    for number, transition in here.items():
        assert transition == there[number], f"step {number}"
    # Ours keeps as many frames as SB3's keeps transitions, and each of the newest is among them.
    assert ours.storage.count == len(here)
    storage = ours.storage
    for env in range(n_envs):
        mine = sorted(number for number in here if number % n_envs == env)
        newest = sorted(number for number in there if number % n_envs == env)[-len(mine) :]
        assert mine == newest
        lost_to_ends = int(storage.written[env]) - steps
        if storage.written[env] <= rows:
            assert len(mine) == steps
        else:
            assert len(mine) >= rows - lost_to_ends - DEPTH - 1


def test_a_stack_of_one_frame_keeps_its_axis() -> None:
    space = spaces.Box(0, 255, (1, 3, 3), np.uint8)
    kwargs: dict[str, Any] = {"device": "cpu", "n_envs": 2}
    ours = FrameReplayBuffer(40, space, ACTIONS, gamma=GAMMA, **kwargs)
    theirs = ReplayBuffer(40, space, ACTIONS, **kwargs)
    episodes = Episodes(0, 2, 4)
    for _ in range(12):
        obs, next_obs, *rest = episodes.step()
        for buffer in (ours, theirs):
            buffer.add(obs[:, -1:], next_obs[:, -1:], *rest)
    assert ours.sample(5).observations.shape == (5, 1, 3, 3)
    assert everything_of_ours(ours) == everything_of_sb3s(theirs)


def test_the_last_frame_of_an_episode_is_the_true_one_and_not_the_next_start() -> None:
    ours, _ = fill(0, steps=60, buffer_size=100, n_envs=1, n_steps=1, mean_length=3)
    episodes = Episodes(0, 1, 3)
    ends = 0
    for _ in range(60):
        _, next_obs, _, rewards, dones, _ = episodes.step()
        if dones[0]:
            ends += 1
            same = ours.storage.rewards == rewards[0]
            slot = int(np.flatnonzero(ours.storage.has_step & same)[0])
            samples = ours._samples_at(np.array([slot]), np.ones(1))
            assert np.array_equal(samples.next_observations[0].numpy(), next_obs[0])
    assert ends > 5


def test_n_step_returns_have_their_closed_form() -> None:
    buffer = FrameReplayBuffer(50, SPACE, ACTIONS, "cpu", n_steps=3, gamma=0.5)
    frames = [np.full((3, 3), i, np.uint8) for i in range(7)]
    stack = [frames[0]] * DEPTH
    for i, reward in enumerate([1, 10, 100, 1000, 10000]):
        following = [*stack[1:], frames[i + 1]]
        done = i == 4
        buffer.add(
            np.array([stack]), np.array([following]), np.array([i]), np.array([reward]),
            np.array([done]), [{}],
        )  # fmt: skip
        stack = following
    slots = np.flatnonzero(buffer.storage.has_step)
    samples = buffer._samples_at(slots, np.ones(5))
    assert samples.rewards.flatten().tolist() == [
        1 + 5 + 25,
        10 + 50 + 250,
        100 + 500 + 2500,
        1000 + 5000,
        10000,
    ]
    assert samples.discounts.flatten().tolist() == [0.125, 0.125, 0.125, 0.25, 0.5]
    assert samples.dones.flatten().tolist() == [0, 0, 1, 1, 1]
    assert samples.next_observations[:, -1, 0, 0].tolist() == [3, 4, 5, 5, 5]
    assert samples.actions.flatten().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("handled", [True, False])
def test_a_cut_episode_is_bootstrapped_only_where_asked_for(handled: bool) -> None:
    buffer = FrameReplayBuffer(50, SPACE, ACTIONS, "cpu", handle_timeout_termination=handled)
    start = np.zeros((1, *SPACE.shape), np.uint8)
    buffer.add(start, start, np.array([0]), np.array([1.0]), np.array([True]),
               [{"TimeLimit.truncated": True}])  # fmt: skip
    assert buffer.sample(1).dones.item() == (0.0 if handled else 1.0)


def test_a_lost_step_starts_a_new_episode_and_no_stack_spans_the_gap() -> None:
    episodes = Episodes(3, 1, 1000)
    buffer = FrameReplayBuffer(100, SPACE, ACTIONS, "cpu", n_steps=3, gamma=GAMMA)
    kept = []
    for step in range(30):
        arguments = episodes.step()
        if step in (10, 11, 20):
            continue  # as when an emulator breaks
        buffer.add(*arguments)
        kept.append(arguments)
    by_number = everything_of_ours(buffer)
    assert len(by_number) == len(kept)
    for obs, _, _, rewards, _, _ in kept:
        slot = int(
            np.flatnonzero(buffer.storage.has_step & (buffer.storage.rewards == rewards[0]))[0]
        )
        samples = buffer._samples_at(np.array([slot]), np.ones(1))
        assert np.array_equal(samples.observations[0].numpy(), obs[0])
    # The return of the step before the gap stops there.
    slot = int(np.flatnonzero(buffer.storage.rewards == 9)[0])
    assert buffer._samples_at(np.array([slot]), np.ones(1)).rewards.item() == 9


def test_even_draws_reach_every_transition_equally_often() -> None:
    ours, _ = fill(1, steps=150, buffer_size=120, n_envs=2, n_steps=1, mean_length=5)
    slots = np.concatenate([ours.sample(256).slots for _ in range(400)])
    drawn, counts = np.unique(slots, return_counts=True)
    assert drawn.tolist() == np.flatnonzero(ours.storage.has_step).tolist()
    expected = len(slots) / len(drawn)
    # chi-squared over its degrees of freedom is near 1
    chi_squared = ((counts - expected) ** 2 / expected).sum() / (len(drawn) - 1)
    assert 0.6 < chi_squared < 1.5


def test_dict_observations_are_stored_by_part() -> None:
    space = spaces.Dict(
        pixels=spaces.Box(0, 255, (DEPTH, 3, 3), np.uint8),
        state=spaces.Box(-1, 1, (2,), np.float32),
    )
    buffer = FrameReplayBuffer(64, space, ACTIONS, "cpu")
    episodes = Episodes(5, 1, 6)
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, (1, 2)).astype(np.float32)
    wanted = {}
    for _ in range(40):
        obs, next_obs, actions, rewards, dones, infos = episodes.step()
        following = rng.uniform(-1, 1, (1, 2)).astype(np.float32)
        buffer.add(
            {"pixels": obs, "state": state}, {"pixels": next_obs, "state": following},
            actions, rewards, dones, infos,
        )  # fmt: skip
        wanted[float(rewards[0])] = (obs, state, next_obs, following)
        state = rng.uniform(-1, 1, (1, 2)).astype(np.float32) if dones[0] else following
    batch = buffer.sample(64)
    for i in range(64):
        obs, state, next_obs, following = wanted[batch.rewards[i].item()]
        assert np.array_equal(batch.observations["pixels"][i].numpy(), obs[0])
        assert np.array_equal(batch.observations["state"][i].numpy(), state[0])
        assert np.array_equal(batch.next_observations["pixels"][i].numpy(), next_obs[0])
        assert np.array_equal(batch.next_observations["state"][i].numpy(), following[0])


# Priorities


def prioritized(**kwargs: Any) -> FrameReplayBuffer:
    buffer = FrameReplayBuffer(
        60, SPACE, ACTIONS, "cpu", n_envs=2, prioritized=True, seed=0, **kwargs
    )
    episodes = Episodes(2, 2, 7)
    for _ in range(80):
        buffer.add(*episodes.step())
    return buffer


def test_new_transitions_have_the_highest_priority_and_lost_ones_none() -> None:
    buffer = prioritized()
    tree, has_step = buffer._tree, buffer.storage.has_step
    assert tree is not None
    assert np.all(tree[np.flatnonzero(has_step)] == 1.0)
    assert np.all(tree[np.flatnonzero(~has_step)] == 0.0)
    slots = buffer.sample(16).slots
    buffer.update_priorities(slots, np.full(16, 40.0))
    episodes = Episodes(9, 2, 7)
    buffer.add(*episodes.step())
    newest = np.flatnonzero(buffer.storage.rewards < 2)
    assert tree[newest[-2:]].max() == pytest.approx((40 + 1e-6) ** 0.6)


def test_draws_follow_the_priorities_and_the_weights_undo_them() -> None:
    buffer = prioritized(alpha=1.0)
    slots = np.flatnonzero(buffer.storage.has_step)
    errors = np.random.default_rng(1).uniform(0.1, 5, len(slots))
    buffer.update_priorities(slots, -errors)
    buffer.beta = 1.0
    share = dict(zip(slots.tolist(), errors / errors.sum(), strict=True))
    counts: dict[int, int] = dict.fromkeys(slots.tolist(), 0)
    for _ in range(2000):
        batch = buffer.sample(16)
        for slot, weight in zip(batch.slots.tolist(), batch.weights.flatten(), strict=True):
            counts[slot] += 1
            # w = (N p)^-1, over the batch's largest
            lowest = min(share[s] for s in batch.slots.tolist())
            assert weight.item() == pytest.approx(lowest / share[slot], rel=1e-4)
    for slot, count in counts.items():
        assert count / 32_000 == pytest.approx(share[slot], abs=0.004)


def test_weights_are_one_without_priorities() -> None:
    ours, _ = fill(1, steps=20, buffer_size=50, n_envs=1, n_steps=1, mean_length=5)
    assert ours.sample(8).weights.flatten().tolist() == [1.0] * 8


def test_an_error_that_is_no_number_is_refused() -> None:
    buffer = prioritized()
    with pytest.raises(ValueError, match="finite"):
        buffer.update_priorities(buffer.sample(2).slots, np.array([1.0, np.nan]))


# Steps that an emulator lost


@given(
    seed=st.integers(0, 2**32 - 1),
    n_envs=st.integers(1, 3),
    n_steps=st.integers(1, 4),
    buffer_size=st.sampled_from([40, 400]),
)
@settings(max_examples=60, deadline=None)
def test_a_lost_step_is_absent_and_nothing_reaches_over_it(
    seed: int, n_envs: int, n_steps: int, buffer_size: int
) -> None:
    # The oracle has never seen the lost steps; the episode before one was cut by its last step.
    episodes, rng = Episodes(seed, n_envs, 6), np.random.default_rng(seed)
    kwargs: dict[str, Any] = {"n_envs": 1, "device": "cpu", "n_steps": n_steps, "gamma": GAMMA}
    ours = FrameReplayBuffer(buffer_size * n_envs, SPACE, ACTIONS, **kwargs | {"n_envs": n_envs})
    steps: list[list[list[Any]]] = [[] for _ in range(n_envs)]
    for _ in range(40):
        obs, next_obs, actions, rewards, dones, infos = episodes.step()
        for env in range(n_envs):
            if rng.random() < 0.15:
                next_obs[env], rewards[env], dones[env] = obs[env], 0, True
                infos[env] = {"TimeLimit.truncated": True, "step_lost": True}
                episodes.stacks[env] = episodes._reset()
                if steps[env]:
                    steps[env][-1][4] = True
                    steps[env][-1][5].setdefault("TimeLimit.truncated", True)
            else:
                done = bool(dones[env])
                info = dict(infos[env]) if done else {}
                steps[env].append([obs[env], next_obs[env], actions[env], rewards[env], done, info])
        ours.add(obs, next_obs, actions, rewards, dones, infos)
    expected: dict[int, bytes] = {}
    for mine in steps:
        theirs = (
            NStepReplayBuffer(1000, SPACE, ACTIONS, "cpu", n_steps=n_steps, gamma=GAMMA)
            if n_steps > 1
            else ReplayBuffer(1000, SPACE, ACTIONS, "cpu")
        )
        for o, following, action, reward, done, info in mine:
            a, b, c, d, e = (np.array([x]) for x in (o, following, action, reward, done))
            theirs.add(a, b, c, d, e, [info])
        expected |= everything_of_sb3s(theirs)
    found = everything_of_ours(ours)
    if buffer_size == 400:
        assert found.keys() == expected.keys()
    assert found
    for number, transition in found.items():
        assert transition == expected[number]


def test_a_lost_step_does_not_join_two_episodes_whose_frames_are_the_same() -> None:
    buffer = FrameReplayBuffer(50, SPACE, ACTIONS, "cpu", n_steps=3, gamma=GAMMA)
    still = np.zeros((1, DEPTH, 3, 3), np.uint8)

    def add(reward: float, info: dict[str, Any]) -> None:
        done = np.array(["step_lost" in info])
        buffer.add(still, still, np.array([0]), np.array([reward]), done, [info])

    for info in ({}, {}, {"step_lost": True, "TimeLimit.truncated": True}, {}, {}):
        add(1.0, info)
    slots = np.flatnonzero(buffer.storage.has_step)
    rewards = buffer._samples_at(slots, np.ones(len(slots))).rewards.flatten().tolist()
    assert rewards == pytest.approx([1.9, 1.0, 1.9, 1.0])


# Saving, and what does not fit


@pytest.mark.parametrize("again", [by_file, by_pickle])
@pytest.mark.parametrize("steps", [0, 7, 25, 80])
@pytest.mark.parametrize("with_priorities", [False, True])
def test_a_buffer_saved_and_loaded_draws_the_same_batches(
    with_priorities: bool, steps: int, again: Callable[[FrameReplayBuffer], FrameReplayBuffer]
) -> None:
    buffer = FrameReplayBuffer(
        60, SPACE, ACTIONS, "cpu", n_envs=2, prioritized=with_priorities, n_steps=3, seed=0
    )
    episodes = Episodes(2, 2, 7)
    for _ in range(steps):
        buffer.add(*episodes.step())
    if steps:
        drawn = buffer.sample(8).slots
        buffer.update_priorities(drawn, np.linspace(0.1, 3, len(drawn)))
    loaded = again(buffer)
    assert loaded.size() == buffer.size()
    for _ in range(5 if steps else 0):
        assert fields(buffer.sample(16)) == fields(loaded.sample(16))
    assert everything_of_ours(buffer) == everything_of_ours(loaded)


@pytest.mark.parametrize("again", [by_file, by_pickle])
def test_episodes_do_not_go_on_after_loading(
    again: Callable[[FrameReplayBuffer], FrameReplayBuffer],
) -> None:
    buffer = FrameReplayBuffer(60, SPACE, ACTIONS, "cpu", n_steps=3, gamma=GAMMA)
    episodes = Episodes(2, 1, 1000)
    for _ in range(10):
        buffer.add(*episodes.step())
    loaded = again(buffer)
    written = int(loaded.storage.written[0])
    loaded.add(*episodes.step())
    # The frame that both share is there twice: once as an end, once within a new stack.
    assert int(loaded.storage.written[0]) == written + DEPTH + 1


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"alpha": -1}, "alpha must be at least 0"),
        ({"optimize_memory_usage": True}, "optimize_memory_usage must be False"),
        ({"buffer_size": 4}, "make buffer_size at least 6"),
        ({"action_space": spaces.Box(0, 1, (2,))}, "discrete actions"),
        ({"observation_space": spaces.Discrete(3)}, "needs a Box"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(kwargs: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {
        "buffer_size": 50, "observation_space": SPACE, "action_space": ACTIONS, "device": "cpu",
    }  # fmt: skip
    with pytest.raises(ValueError, match=says):
        FrameReplayBuffer(**arguments | kwargs)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_buffer_of_one_frame_is_the_smallest_that_works(n_envs: int) -> None:
    # rl-baselines3-zoo's enjoy loads every model so.
    buffer = FrameReplayBuffer(1, SPACE, ACTIONS, "cpu", n_envs=n_envs)
    assert buffer.buffer_size == DEPTH + 2
    episodes = Episodes(2, n_envs, 1000)
    for _ in range(20):
        buffer.add(*episodes.step())
        buffer.sample(2)


def test_an_empty_buffer_gives_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        FrameReplayBuffer(50, SPACE, ACTIONS, "cpu").sample(1)


def test_reset_forgets_everything() -> None:
    buffer = prioritized()
    buffer.reset()
    assert buffer.size() == 0
    with pytest.raises(ValueError, match="empty"):
        buffer.sample(1)


def test_a_transition_takes_at_most_7200_bytes_of_the_process() -> None:
    code = """
import numpy as np
from gymnasium import spaces
from sb3_mario.dqn.replay import FrameReplayBuffer
def resident():
    status = open("/proc/self/status").read()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024
def filled(count):
    space = spaces.Box(0, 255, (8, 84, 84), np.uint8)
    buffer = FrameReplayBuffer(count, space, spaces.Discrete(7), "cpu", prioritized=True)
    stack = np.zeros((1, 8, 84, 84), np.uint8)
    for step in range(1, count + 1):
        following = np.roll(stack, -1, axis=1)
        following[0, -1] = step % 251
        done = step % 200 == 0
        buffer.add(stack, following, np.array([1]), np.array([1.0]), np.array([done]), [{}])
        stack = np.full_like(stack, 7) if done else following
    return buffer
filled(100).sample(32)  # what is loaded once
before = resident()
buffer = filled(30_000)
print((resident() - before) / buffer.size())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert 7_056 <= float(result.stdout) <= 7_200


def test_observations_that_are_no_stacks_are_refused() -> None:
    buffer = FrameReplayBuffer(100, SPACE, spaces.Discrete(3), "cpu")
    rng = np.random.default_rng(0)
    picture, other = rng.integers(256, size=(2, 1, *SPACE.shape), dtype=np.uint8)
    with pytest.raises(ValueError, match="is no stack of frames along its first axis"):
        buffer.add(picture, other, np.array([0]), np.array([0.0]), np.array([False]), [{}])
