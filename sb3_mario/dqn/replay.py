"""A replay buffer for stacked frames: each frame stored once, n-step returns, priorities."""

from __future__ import annotations

from typing import IO, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from sb3_mario.dqn import array_file
from sb3_mario.dqn.priorities import SumTree
from sb3_mario.dqn.storage import Part, Slots, Storage, smallest_ring

FORMAT: Final = "sb3-mario frame replay 1"


class FrameReplaySamples(NamedTuple):
    """A batch; the first six as in SB3's ``ReplayBufferSamples``.

    Attributes:
        observations: ``(batch, *observation)``, of the observation's type; a dict of these where
            the observation is one.
        actions: ``(batch, 1)`` int64.
        next_observations: Observations ``n_steps`` later, or at the episode's end.
        dones: ``(batch, 1)`` float32, 1 where the episode was over there for good.
        rewards: ``(batch, 1)`` float32, discounted sums.
        discounts: ``(batch, 1)`` float32, for the value of ``next_observations``.
        weights: ``(batch, 1)`` float32, importance weights, at most 1; all 1 without priorities.
        slots: ``(batch,)`` int64, for `FrameReplayBuffer.update_priorities`.
    """

    observations: Any
    actions: th.Tensor
    next_observations: Any
    dones: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor
    weights: th.Tensor
    slots: Slots


class FrameReplayBuffer(ReplayBuffer):
    """SB3's ``ReplayBuffer`` for observations that are stacks, for ``replay_buffer_class=``.

    A part of the observation with two or more axes is a stack along its first, newest last, and of
    each stack only the newest frame is stored; a part with one axis is stored as it is. For 8x84x84
    that is 7,056 bytes a transition in place of 112,896. Stacks are rebuilt when they are sampled:
    at the start of an episode with the first frame repeated, as a reset gives them.

    Transitions are drawn evenly, or in proportion to their priority ``(|error| + eps) ** alpha``
    (Schaul et al. 2016, section 3.3). n-step returns stop at an episode's end, and at the newest
    transition; both as in SB3's ``NStepReplayBuffer``.

    Args:
        buffer_size: Frames kept, over all environments. A transition takes one, and each episode
            one more. With 1, which rl-baselines3-zoo loads models with that only play, as few are
            kept as work.
        observation_space: ``Box`` or ``Dict`` of them.
        action_space: ``Discrete``.
        device: Device of the samples.
        n_envs: Environments.
        optimize_memory_usage: Must be False: memory is saved anyway.
        handle_timeout_termination: Bootstrap where an episode was cut rather than over.
        n_steps: Rewards summed up before the value.
        gamma: Discount factor.
        prioritized: Draw by priorities.
        alpha: Exponent of the priorities; 0 draws evenly.
        eps: Added to each error, so that nothing is never drawn again.
        seed: Seeds the draws; None takes a seed from NumPy's global generator, which SB3 seeds.

    Attributes:
        beta: Exponent of the importance weights, from 0 (none) to 1 (full correction); the learner
            raises it.

    Raises:
        ValueError: An argument is out of range, or the spaces are of another kind.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
        prioritized: bool = False,
        alpha: float = 0.6,
        eps: float = 1e-6,
        seed: int | None = None,
    ) -> None:
        # Not ReplayBuffer's, which would take the memory that this class saves.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        if optimize_memory_usage:
            raise ValueError(
                "optimize_memory_usage must be False: FrameReplayBuffer stores each frame once "
                "whatever it is"
            )
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"FrameReplayBuffer needs discrete actions, got {action_space}")
        for name, value, low in (("n_steps", n_steps, 1), ("alpha", alpha, 0), ("eps", eps, 0)):
            if value < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
        parts = _parts(observation_space)
        self.buffer_size = max(buffer_size // n_envs, 1)
        if buffer_size == 1:
            self.buffer_size = smallest_ring(parts)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps = n_steps
        self.gamma = gamma
        self.prioritized = prioritized
        self.alpha = alpha
        self.eps = eps
        self.beta = 0.4
        self.storage = Storage(self.buffer_size, n_envs, parts, action_space.dtype or np.int64)
        self._is_dict = isinstance(observation_space, spaces.Dict)
        self._tree = SumTree(self.buffer_size * n_envs) if prioritized else None
        self._highest_priority = 1.0
        self._rng = np.random.default_rng(
            int(np.random.randint(2**31)) if seed is None else seed  # noqa: NPY002 - SB3's
        )

    def size(self) -> int:
        """Return the number of transitions, divided by the number of environments."""
        return self.storage.count // self.n_envs

    def reset(self) -> None:
        """Forget everything."""
        self.storage = Storage(
            self.buffer_size, self.n_envs, self.storage.parts, self.storage.actions.dtype
        )
        if self._tree is not None:
            self._tree = SumTree(self._tree.size)
        self._highest_priority = 1.0

    def add(
        self,
        obs: Any,
        next_obs: Any,
        action: npt.NDArray[Any],
        reward: npt.NDArray[Any],
        done: npt.NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Add a transition of each environment; see SB3's ``ReplayBuffer.add``.

        An observation that does not follow on the last one is the start of an episode, whether or
        not that one's end was seen. A step whose info has ``step_lost`` is left out: nobody knows
        where it led, and the episode ends before it.
        """
        actions = action.reshape(self.n_envs)
        lost: list[int] = []
        added: list[int] = []
        for env in range(self.n_envs):
            if infos[env].get("step_lost"):
                self.storage.close_episode(env)
                continue
            cut = self.handle_timeout_termination and infos[env].get("TimeLimit.truncated", False)
            slot, gone = self.storage.add(
                env,
                self._of(obs, env),
                self._of(next_obs, env),
                actions[env],
                float(reward[env]),
                terminated=bool(done[env]) and not cut,
                truncated=bool(done[env]) and bool(cut),
            )
            added.append(slot)
            lost.extend(gone)
        if self._tree is not None:
            if lost:
                self._tree.set(np.array(lost), 0.0)
            self._tree.set(np.array(added, np.int64), self._highest_priority)

    def sample(  # type: ignore[override]
        self, batch_size: int, env: VecNormalize | None = None
    ) -> FrameReplaySamples:
        """Draw a batch.

        Args:
            batch_size: Transitions.
            env: Must be None.

        Raises:
            ValueError: The buffer is empty, or ``env`` is given.
        """
        if env is not None:
            raise ValueError(
                "FrameReplayBuffer does not work with VecNormalize: it stores frames as bytes. "
                "Scale the reward in the environment (reward_weights)"
            )
        if self.storage.count == 0:
            raise ValueError("the replay buffer is empty: there is nothing to sample")
        if self._tree is None:
            slots = self._draw_evenly(batch_size)
            weights = np.ones(batch_size)
        else:
            slots = self._tree.sample(batch_size, self._rng)
            chances = self._tree[slots] / self._tree.total
            # Schaul et al. 2016, section 3.4
            weights = (self.storage.count * chances) ** -self.beta
            weights /= weights.max()
        return self._samples_at(slots, weights)

    def update_priorities(self, slots: Slots, errors: npt.NDArray[Any]) -> None:
        """Set the priorities of transitions that were learned from.

        Args:
            slots: ``(batch,)``, from the batch.
            errors: ``(batch,)``, temporal-difference errors; their sign does not matter.

        Raises:
            ValueError: An error is infinite or no number.
        """
        if self._tree is None:
            return
        priorities = (np.abs(errors.astype(np.float64)) + self.eps) ** self.alpha
        # A transition may have been overwritten since it was drawn.
        there = self.storage.has_step[slots]
        self._tree.set(slots[there], priorities[there])
        self._highest_priority = max(self._highest_priority, float(priorities.max()))

    def _of(self, obs: Any, env: int) -> dict[str, npt.NDArray[np.generic]]:
        """Return an environment's observation by part."""
        if self._is_dict:
            return {name: part[env] for name, part in obs.items()}
        return {"": obs[env]}

    def _draw_evenly(self, count: int) -> Slots:
        storage = self.storage
        written = np.minimum(storage.written, storage.slots_per_env)
        ends = written.cumsum()
        drawn: list[Slots] = []
        missing = count
        while missing > 0:
            # Few slots have no step: the last of each episode, and some around the newest.
            places = self._rng.integers(ends[-1], size=missing + missing // 8 + 4)
            envs = np.searchsorted(ends, places, side="right")
            slots = places - (ends - written)[envs] + envs * storage.slots_per_env
            slots = slots[storage.has_step[slots]][:missing]
            drawn.append(slots)
            missing -= len(slots)
        return np.concatenate(drawn)

    def _samples_at(self, slots: Slots, weights: npt.NDArray[np.float64]) -> FrameReplaySamples:
        storage = self.storage
        steps = np.arange(self.n_steps)
        # (batch, n_steps): the transitions from here on, and whether they belong to the return
        path = storage.move(slots[:, None], steps)
        within = np.ones(path.shape, np.bool_)
        within[:, 1:] = np.logical_and.accumulate(storage.has_step[path[:, 1:]], axis=1)
        length = within.sum(axis=1)
        # The powers and their order are those of SB3's NStepReplayBuffer, to the last bit.
        gammas = self.gamma ** np.arange(self.n_steps, dtype=np.float32)
        returns = (storage.rewards[path] * gammas * within).sum(axis=1, keepdims=True)
        discounts = self.gamma ** length.astype(np.float32)[:, None]
        last = path[np.arange(len(slots)), length - 1]
        return FrameReplaySamples(
            observations=self._observations(slots),
            actions=self._to_device(storage.actions[slots][:, None]),
            next_observations=self._observations(storage.move(last, np.ones_like(last))),
            dones=self._to_device(storage.terminated[last].astype(np.float32)[:, None]),
            rewards=self._to_device(returns.astype(np.float32)),
            discounts=self._to_device(discounts.astype(np.float32)),
            weights=self._to_device(weights.astype(np.float32)[:, None]),
            slots=slots,
        )

    def _observations(self, slots: Slots) -> Any:
        """Return the observations at slots, rebuilt, on the device."""
        parts = {name: self._part(name, slots) for name in self.storage.parts}
        return parts if self._is_dict else parts[""]

    def _part(self, name: str, slots: Slots) -> th.Tensor:
        part = self.storage.parts[name]
        wanted = self.storage.stack(name, slots) if part.depth > 1 else slots
        frames = th.from_numpy(self.storage.frames[name]).flatten(1)
        # From pinned memory a GPU fetches by itself.
        result = th.empty(
            (wanted.size, frames.shape[1]),
            dtype=frames.dtype,
            pin_memory=self.device.type == "cuda",
        )
        th.index_select(frames, 0, th.from_numpy(wanted.ravel()), out=result)
        shape = self.obs_shape[name] if isinstance(self.obs_shape, dict) else self.obs_shape
        return result.view(len(slots), *shape).to(self.device, non_blocking=True)

    def _to_device(self, array: npt.NDArray[Any]) -> th.Tensor:
        return th.from_numpy(array).to(self.device)

    # Saving: slots never written to are left out.

    def save(self, file: IO[bytes]) -> None:
        """Write the buffer to a file that runs no code when it is read: see `array_file`.

        Args:
            file: Open for writing.

        Raises:
            OSError: The file could not be written.
        """
        meta = {
            "format": FORMAT,
            "settings": self._settings(),
            "written": self.storage.written.tolist(),
            "highest_priority": self._highest_priority,
            "random_state": self._rng.bit_generator.state,
        }
        array_file.write(file, meta, self._arrays())

    def load(self, file: IO[bytes]) -> None:
        """Take over what `save` wrote, in place.

        Args:
            file: Open for reading.

        Raises:
            ValueError: It is torn, no saved buffer, or one with other settings. In the first case
                this buffer may be empty afterwards.
        """
        with array_file.ArrayFile(file) as saved:
            if saved.meta.get("format") != FORMAT:
                raise ValueError(f"its format is {saved.meta.get('format')!r}, not {FORMAT!r}")
            other, own = saved.meta.get("settings"), self._settings()
            for name, value in own.items():
                found = other.get(name) if isinstance(other, dict) else None
                if found != value:
                    raise ValueError(f"its {name} is {found}, not {value}")
            self.reset()
            try:
                self._take(saved)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                self.reset()
                raise ValueError(f"it is damaged: {error}") from error

    def _take(self, saved: array_file.ArrayFile) -> None:
        storage = self.storage
        written = np.array(saved.meta["written"], np.int64)
        if written.shape != storage.written.shape or written.min() < 0:
            raise ValueError(f"frames of each environment: {saved.meta['written']}")
        storage.written[:] = written
        arrays = self._arrays()
        for name, blocks in arrays.items():
            saved.fill(name, blocks)
        actions = np.concatenate(arrays["actions"])
        assert isinstance(self.action_space, spaces.Discrete)
        if not np.isin(actions, np.arange(self.action_space.n)).all():
            raise ValueError(f"actions from {actions.min()} to {actions.max()}")
        storage.recount()
        if self._tree is not None:
            for span, values in zip(storage.written_spans(), arrays["priorities"], strict=True):
                self._tree.set(np.arange(span.start, span.stop), values)
        self._highest_priority = float(saved.meta["highest_priority"])
        self._rng.bit_generator.state = saved.meta["random_state"]

    def _settings(self) -> dict[str, Any]:
        """Return what a saved buffer must agree in, as JSON has it."""
        names = ("buffer_size", "n_envs", "n_steps", "gamma", "prioritized", "alpha")
        parts = {
            name: [part.depth, list(part.shape), str(part.dtype)]
            for name, part in self.storage.parts.items()
        }
        return {name: getattr(self, name) for name in names} | {"observations": parts}

    def _arrays(self) -> dict[str, array_file.Blocks]:
        """Return the slots that were written to, as views, and copies of their priorities."""
        storage = self.storage
        spans = storage.written_spans()
        arrays: dict[str, array_file.Blocks] = {
            name: [getattr(storage, name)[span] for span in spans]
            for name in ("ages", "actions", "rewards", "terminated", "has_step")
        }
        for name, frames in storage.frames.items():
            arrays[f"frames_{name}"] = [frames[span] for span in spans]
        if self._tree is not None:
            arrays["priorities"] = [self._tree[np.arange(s.start, s.stop)] for s in spans]
        return arrays

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what pickle saved, for a plain ``DQN`` that saves its buffer so."""
        self.__dict__.update(state)
        # The emulators start anew: no episode goes on.
        self.storage.close_episodes()


def _parts(space: spaces.Space[Any]) -> dict[str, Part]:
    named = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    parts = {}
    for name, box in named.items():
        if not isinstance(box, spaces.Box):
            raise ValueError(f"FrameReplayBuffer needs a Box or a Dict of them, got {space}")
        assert box.dtype is not None
        stacked = len(box.shape) > 1
        parts[name] = Part(
            box.shape[0] if stacked else 1, box.shape[1:] if stacked else box.shape, box.dtype
        )
    return parts
