"""Where replayed transitions lie: every frame once, in one ring for each environment.

A transition is the step from one frame to the next. Slot t holds a frame, and where a step was
taken from it also that step's action, reward and end; the step led to the frame in slot t + 1. The
last frame of an episode has a slot without a step behind it::

    slot     0    1    2    3    4    5    6
    frame    f0   f1   f2   f3'  g0   g1   g2       ' the true last frame
    age      0    1    2    3    0    1    2        frames since the reset
    step     yes  yes  end  no   yes  yes  not yet

So the stack at a slot is the slots before it, as far back as its age allows, with the first frame
repeated in front; and the n-step return from a slot ends where no step follows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Slots = npt.NDArray[np.int64]


class Part(NamedTuple):
    """One part of an observation, and how it is kept.

    Attributes:
        depth: Frames in a stack; 1 for what is not stacked.
        shape: Shape of what is kept, ``(h, w)`` for a stack ``(depth, h, w)``.
        dtype: Its type.
    """

    depth: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def smallest_ring(parts: dict[str, Part]) -> int:
    """Return how many frames of an environment are the fewest that a `Storage` works with."""
    # A stack, the frame after it, and the one that is being written.
    return max(part.depth for part in parts.values()) + 2


class Storage:
    """Rings of frames with the steps between them.

    Slots are numbered through: those of environment e are ``e * slots_per_env`` to
    ``(e + 1) * slots_per_env - 1``.

    Args:
        slots_per_env: Frames of each environment.
        n_envs: Environments.
        parts: Parts of an observation by name.
        action_dtype: Type of an action.

    Attributes:
        frames: Frames by part, ``(slots, *shape)``.
        ages: Frames since the reset, ``(slots,)``.
        actions, rewards: The step from the frame, ``(slots,)``.
        terminated: Whether it ended the episode for good: no value lies behind, ``(slots,)``.
        has_step: Whether a step was taken from the frame and its stack is whole, ``(slots,)``.
        count: Number of slots with a step.
    """

    def __init__(
        self,
        slots_per_env: int,
        n_envs: int,
        parts: dict[str, Part],
        action_dtype: npt.DTypeLike = np.int64,
    ) -> None:
        self.parts = parts
        self.depth = max(part.depth for part in parts.values())
        if slots_per_env < smallest_ring(parts):
            raise ValueError(
                f"{slots_per_env} frames for each environment are too few for stacks of "
                f"{self.depth}: make buffer_size at least {smallest_ring(parts) * n_envs}"
            )
        self.slots_per_env = slots_per_env
        self.n_envs = n_envs
        slots = slots_per_env * n_envs
        # np.zeros takes memory only as it is written to.
        self.frames = {
            name: np.zeros((slots, *part.shape), part.dtype) for name, part in parts.items()
        }
        self.ages = np.zeros(slots, np.int32)
        self.actions = np.zeros(slots, action_dtype)
        self.rewards = np.zeros(slots, np.float32)
        self.terminated = np.zeros(slots, np.bool_)
        self.has_step = np.zeros(slots, np.bool_)
        self.count = 0
        self.written = np.zeros(n_envs, np.int64)  # frames ever written, of each environment
        self._open: list[int | None] = [None] * n_envs  # newest slot, if its episode goes on
        self._behind = np.arange(1, self.depth)

    def written_spans(self) -> list[slice]:
        """Return the slots of each environment that were written to."""
        ends = np.minimum(self.written, self.slots_per_env).tolist()
        starts = range(0, self.slots_per_env * self.n_envs, self.slots_per_env)
        return [slice(start, start + end) for start, end in zip(starts, ends, strict=True)]

    def add(
        self,
        env: int,
        stack: dict[str, npt.NDArray[np.generic]],
        next_stack: dict[str, npt.NDArray[np.generic]],
        action: object,
        reward: float,
        *,
        terminated: bool,
        truncated: bool,
    ) -> tuple[int, list[int]]:
        """Store a step.

        Args:
            env: Number of the environment.
            stack: Observation before the step, by part; those of stacked parts
                ``(depth, *shape)``, newest frame last.
            next_stack: Observation after it; at an end the episode's true last one.
            action: Action.
            reward: Reward.
            terminated: Whether the episode ended, with no value behind its end.
            truncated: Whether it was cut.

        Returns:
            The step's slot, and the slots whose steps were lost to make room.

        Raises:
            ValueError: The observations are no stacks, noticed at the environment's first step.
        """
        if self.written[env] == 0:
            self._check_stacks(stack, next_stack)
        lost: list[int] = []
        slot = self._open[env]
        if slot is None or not self._is_newest(slot, stack):
            slot = self._begin(env, stack, lost)
        self.actions[slot] = action
        self.rewards[slot] = reward
        self.terminated[slot] = terminated
        following = self._append(env, self._newest(next_stack), int(self.ages[slot]) + 1, lost)
        self.has_step[slot] = True
        self.count += 1
        self._open[env] = None if terminated or truncated else following
        return slot, lost

    def recount(self) -> None:
        """Count the steps anew, after the arrays were written to from outside."""
        self.count = int(self.has_step.sum())

    def close_episode(self, env: int) -> None:
        """End an environment's running episode: what is added next does not follow on it."""
        self._open[env] = None

    def close_episodes(self) -> None:
        """End the running episodes of all environments."""
        self._open = [None] * self.n_envs

    def stack(self, name: str, slots: Slots) -> Slots:
        """Return the slots that make up the stacks of a part, ``(n, depth)``, newest last."""
        depth = self.parts[name].depth
        back = np.minimum(self.ages[slots][:, None], np.arange(depth - 1, -1, -1))
        return self.move(slots[:, None], -back)

    def move(self, slots: Slots, by: Slots) -> Slots:
        """Return the slots ``by`` further on in their rings."""
        places = slots % self.slots_per_env
        return slots - places + (places + by) % self.slots_per_env

    def _newest(
        self, stack: dict[str, npt.NDArray[np.generic]]
    ) -> dict[str, npt.NDArray[np.generic]]:
        return {
            name: stack[name][-1] if part.depth > 1 else stack[name].reshape(part.shape)
            for name, part in self.parts.items()
        }

    def _check_stacks(
        self,
        stack: dict[str, npt.NDArray[np.generic]],
        next_stack: dict[str, npt.NDArray[np.generic]],
    ) -> None:
        for name, part in self.parts.items():
            if part.depth > 1 and not np.array_equal(stack[name][1:], next_stack[name][:-1]):
                raise ValueError(
                    f"the observation{f' {name!r}' if name else ''}, {part.depth} x {part.shape}, "
                    "is no stack of frames along its first axis, oldest first: what a step leads "
                    "to must begin with the frames before it. FrameReplayBuffer stores the newest "
                    "frame only; use another replay_buffer_class"
                )

    def _is_newest(self, slot: int, stack: dict[str, npt.NDArray[np.generic]]) -> bool:
        """Return whether the stack ends with the frame in ``slot``: nothing was lost between."""
        newest = self._newest(stack)
        return all(np.array_equal(self.frames[name][slot], newest[name]) for name in self.parts)

    def _begin(self, env: int, stack: dict[str, npt.NDArray[np.generic]], lost: list[int]) -> int:
        """Write the frames of a stack that continues nothing; return the slot of its newest."""
        stacked = {name: part.depth for name, part in self.parts.items() if part.depth > 1}
        # After a reset all frames are the same, and one is enough.
        fresh = all((stack[name][1:] == stack[name][0]).all() for name in stacked)
        frames = 1 if fresh else self.depth
        slot = -1
        for age in range(frames):
            back = frames - 1 - age
            frame = {
                name: stack[name][max(part.depth - 1 - back, 0)]
                if part.depth > 1
                else stack[name].reshape(part.shape)
                for name, part in self.parts.items()
            }
            slot = self._append(env, frame, age, lost)
        return slot

    def _append(
        self, env: int, frame: dict[str, npt.NDArray[np.generic]], age: int, lost: list[int]
    ) -> int:
        place = int(self.written[env]) % self.slots_per_env
        base = env * self.slots_per_env
        slot = base + place
        if self.written[env] >= self.slots_per_env:
            # The frame here goes, and with it the steps whose stacks it is in.
            behind = base + (place + self._behind) % self.slots_per_env
            within = np.minimum(self.ages[behind], self.depth - 1) >= self._behind
            for old in (slot, *behind[within & self.has_step[behind]].tolist()):
                if self.has_step[old]:
                    self.has_step[old] = False
                    self.count -= 1
                    lost.append(old)
        for name, part in frame.items():
            self.frames[name][slot] = part
        self.ages[slot] = age
        self.has_step[slot] = False
        self.written[env] += 1
        return slot
