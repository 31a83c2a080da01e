"""DQN with what makes it learn faster, still one of Stable-Baselines3's to its users."""

from __future__ import annotations

import contextlib
import time
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, RolloutReturn, Schedule
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy
from torch.nn import functional as F

from sb3_mario.dqn import arithmetic, saved_replay
from sb3_mario.dqn.allocator import keep_freed_memory
from sb3_mario.dqn.policies import DuelingDQNPolicy, DuelingQNetwork
from sb3_mario.dqn.replay import FrameReplayBuffer
from sb3_mario.dqn.step_ahead import StepAhead

SelfDuelingDQN = TypeVar("SelfDuelingDQN", bound="DuelingDQN")

# The model's arguments that the replay buffer is made with, by the buffer's names for them.
_OF_THE_BUFFER: Final = {
    "n_steps": "n_steps",
    "gamma": "gamma",
    "prioritized": "prioritized_replay",
    "alpha": "prioritized_replay_alpha",
    "eps": "prioritized_replay_eps",
}


class DivergedError(RuntimeError):
    """Loss or gradient is infinite or no number; the last gradient step was not made."""


class DuelingDQN(DQN):
    """DQN with double Q-learning, n-step returns, prioritized replay, and two things at once.

    A subclass of SB3's ``DQN`` that takes its arguments. A model that it saved loads with
    ``stable_baselines3.DQN.load`` for prediction, and with ``DuelingDQN.load`` to go on training.
    What it does otherwise:

    - double Q-learning (van Hasselt et al. 2016, equation 4): the online network chooses the next
      action, the target network gives its value;
    - replay that stores each frame once, with n-step returns, and priorities if asked for
      (Schaul et al. 2016): see `FrameReplayBuffer`;
    - exploration is drawn for each environment on its own, where SB3 draws once for all;
    - with ``overlap``, the next action is sent to the environments before a gradient step and its
      result fetched after it, so that emulators and learner work at the same time. That action
      comes from the network before that step: the policy that acts lags by one call of ``train``;
    - arithmetic suited to the hardware: see ``accelerate``.

    Args:
        policy: Policy class or name.
        env: Environment.
        learning_rate, buffer_size, learning_starts, batch_size, tau, gamma, train_freq,
            gradient_steps: As in ``DQN``.
        replay_buffer_class: None for `FrameReplayBuffer`. Another class gets SB3's arguments only.
        replay_buffer_kwargs: Further arguments of it.
        optimize_memory_usage: Must be False.
        n_steps: Rewards summed up before the value.
        target_update_interval, exploration_fraction, exploration_initial_eps,
            exploration_final_eps, max_grad_norm: As in ``DQN``.
        double_q: Double Q-learning.
        prioritized_replay: Draw transitions by their last error.
        prioritized_replay_alpha: Exponent of the priorities.
        prioritized_replay_beta0: Exponent of the importance weights at first; it rises to 1.
        prioritized_replay_eps: Added to each error.
        reward_scale: Factor of the rewards that are learned from, so that errors are about 1, where
            the loss turns from quadratic to linear. Q-values scale with it.
        overlap: Let the environments run while the learner computes.
        accelerate: bfloat16 where the CPU or GPU computes with it, a fused optimizer, one pass
            from bytes to the first convolution, and freed memory kept for the next step (of the
            whole process: see `allocator`). False computes in float32 as SB3 does; results differ
            by rounding.
        stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device: As in ``DQN``.

    Raises:
        ValueError: Options exclude each other.

    Example:
        >>> from sb3_mario.dqn import DuelingDQN
        >>> model = DuelingDQN("DuelingDQNPolicy", "sb3_mario/SuperMarioBros-1-1-v0", n_steps=3)
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **DQN.policy_aliases,
        "DuelingDQNPolicy": DuelingDQNPolicy,
    }

    def __init__(
        self,
        policy: str | type[DQNPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 1e-4,
        buffer_size: int = 100_000,
        learning_starts: int = 100,
        batch_size: int = 32,
        tau: float = 1.0,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 4,
        gradient_steps: int = 1,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 10000,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        max_grad_norm: float = 10,
        double_q: bool = True,
        prioritized_replay: bool = False,
        prioritized_replay_alpha: float = 0.6,
        prioritized_replay_beta0: float = 0.4,
        prioritized_replay_eps: float = 1e-6,
        reward_scale: float = 1.0,
        overlap: bool = True,
        accelerate: bool = True,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        frames = replay_buffer_class is None or issubclass(replay_buffer_class, FrameReplayBuffer)
        if prioritized_replay and not frames:
            raise ValueError(
                f"prioritized_replay needs FrameReplayBuffer, got {replay_buffer_class}: leave "
                "replay_buffer_class out, or prioritized_replay"
            )
        sums_rewards = frames or issubclass(replay_buffer_class, NStepReplayBuffer)  # type: ignore[arg-type]
        if n_steps > 1 and not sums_rewards:
            raise ValueError(
                f"n_steps={n_steps} needs FrameReplayBuffer or NStepReplayBuffer, got "
                f"{replay_buffer_class}: leave replay_buffer_class out, or n_steps"
            )
        if not 0 <= prioritized_replay_beta0 <= 1:
            raise ValueError(
                f"prioritized_replay_beta0 must be from 0 to 1, got {prioritized_replay_beta0}"
            )
        if not (np.isfinite(reward_scale) and reward_scale > 0):
            raise ValueError(f"reward_scale must be above 0, got {reward_scale}")
        kwargs = dict(replay_buffer_kwargs or {})
        own: dict[str, Any] = {"n_steps": n_steps, "gamma": gamma} if sums_rewards else {}
        if frames:
            replay_buffer_class = replay_buffer_class or FrameReplayBuffer
            own |= {
                "prioritized": prioritized_replay,
                "alpha": prioritized_replay_alpha,
                "eps": prioritized_replay_eps,
            }
        for name, value in own.items():
            if kwargs.setdefault(name, value) != value:
                raise ValueError(
                    f"replay_buffer_kwargs has {name}={kwargs[name]}, but the model's own "
                    f"argument says {value}: leave it out of replay_buffer_kwargs"
                )
        self.double_q = double_q
        self.prioritized_replay = prioritized_replay
        self.prioritized_replay_beta0 = prioritized_replay_beta0
        self.reward_scale = reward_scale
        self.overlap = overlap
        self.accelerate = accelerate
        self._rng: np.random.Generator | None = None
        self._step_ahead: StepAhead | None = None
        # The action under way, as for the environments and as for the replay buffer.
        self._under_way: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None
        self._changes: dict[str, Any] = {}  # of the replay buffer's arguments, by ``load``
        # Seconds spent, by what they were spent on.
        self.seconds = {"policy": 0.0, "replay": 0.0, "gradient": 0.0}
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate,
            buffer_size,
            learning_starts,
            batch_size,
            tau,
            gamma,
            train_freq,
            gradient_steps,
            replay_buffer_class,
            kwargs,
            optimize_memory_usage,
            n_steps,
            target_update_interval,
            exploration_fraction,
            exploration_initial_eps,
            exploration_final_eps,
            max_grad_norm,
            stats_window_size,
            tensorboard_log,
            policy_kwargs,
            verbose,
            seed,
            device,
            _init_setup_model,
        )

    # Setting up, saving and loading

    def _setup_model(self) -> None:
        loaded_rng = self._rng
        sums_rewards = self.replay_buffer_class is not None and issubclass(
            self.replay_buffer_class, FrameReplayBuffer | NStepReplayBuffer
        )
        self._change_buffer()
        if sums_rewards:
            # The buffer counts the steps; SB3 would warn that it does not.
            self.n_steps = 1
        if issubclass(self.policy_class, DuelingDQNPolicy):
            self.policy_kwargs = arithmetic.for_policy(self.policy_kwargs, self.accelerate)
        if self.accelerate:
            keep_freed_memory()
        super()._setup_model()
        if sums_rewards:
            self.n_steps = self.replay_buffer_kwargs["n_steps"]
        if loaded_rng is not None:
            self._rng = loaded_rng

    def _change_buffer(self) -> None:
        """Take over what ``load`` was told to change of the replay buffer."""
        changes, self._changes = self._changes, {}
        if unknown := changes.keys() - self.replay_buffer_kwargs.keys() - {"gamma"}:
            names = ", ".join(sorted(_OF_THE_BUFFER[name] for name in unknown))
            raise ValueError(f"{names}: the saved model's {self.replay_buffer_class} has none")
        known = {k: v for k, v in changes.items() if k in self.replay_buffer_kwargs}
        self.replay_buffer_kwargs = self.replay_buffer_kwargs | known

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed everything; see SB3's."""
        super().set_random_seed(seed)
        self._rng = np.random.default_rng(seed)

    def _excluded_save_params(self) -> list[str]:
        # n_steps is among the replay buffer's arguments; beside them SB3's DQN would warn of it.
        own = ["_step_ahead", "_under_way", "_changes", "n_steps"]
        return super()._excluded_save_params() + own

    @classmethod
    def load(cls: type[SelfDuelingDQN], path: Any, *args: Any, **kwargs: Any) -> SelfDuelingDQN:
        """Load a model; see SB3's.

        Raises:
            ValueError: An argument cannot be changed in a model that was saved.
        """
        if "accelerate" in kwargs:
            raise ValueError(
                "accelerate is part of the saved policy and optimizer: make a new model with it, "
                "and give that the weights with set_parameters"
            )
        changes = {own: kwargs[name] for own, name in _OF_THE_BUFFER.items() if name in kwargs}
        return super().load(path, *args, **kwargs, _changes=changes)

    def save_replay_buffer(self, path: Any) -> None:
        """Save the replay buffer without pickle: see `saved_replay`.

        Args:
            path: A path, ``.npz`` is added where it has no ending; or a file.
        """
        assert self.replay_buffer is not None
        with saved_replay.opened(path, "wb") as file:
            saved_replay.save_replay_buffer(self.replay_buffer, file)

    def load_replay_buffer(self, path: Any, truncate_last_traj: bool = True) -> None:
        """Load what `save_replay_buffer` saved; its last episodes count as cut.

        Raises:
            ValueError: It is torn, or of another kind, shape or setting.
        """
        assert self.replay_buffer is not None
        with saved_replay.opened(path, "rb") as file:
            saved_replay.load_replay_buffer(self.replay_buffer, file)

    # Acting

    def predict(
        self,
        observation: npt.NDArray[Any] | dict[str, npt.NDArray[Any]],
        state: tuple[npt.NDArray[Any], ...] | None = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], tuple[npt.NDArray[Any], ...] | None]:
        """Return actions; unless ``deterministic`` each is random with ``exploration_rate``."""
        if deterministic:
            return self.policy.predict(observation, state, episode_start, deterministic)
        assert self._rng is not None
        vectorized = self.policy.is_vectorized_observation(observation)
        count = 1
        if vectorized:
            first = (
                next(iter(observation.values())) if isinstance(observation, dict) else observation
            )
            count = len(first)
        explore = self._rng.random(count) < self.exploration_rate
        actions = self._random_actions(count)
        if not explore.all():
            with self._autocast():
                greedy, state = self.policy.predict(observation, state, episode_start, True)
            actions = np.where(explore, actions, greedy)
        return (actions if vectorized else actions[0]), state

    def _random_actions(self, count: int) -> npt.NDArray[np.int64]:
        assert self._rng is not None
        assert isinstance(self.action_space, spaces.Discrete)
        return self._rng.integers(self.action_space.n, size=count)

    def _sample_action(
        self,
        learning_starts: int,
        action_noise: ActionNoise | None = None,
        n_envs: int = 1,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            return under_way
        start = time.perf_counter()
        if self.num_timesteps < learning_starts:
            actions: npt.NDArray[Any] = self._random_actions(n_envs)
        else:
            assert self._last_obs is not None
            actions, _ = self.predict(self._last_obs)
        self.seconds["policy"] += time.perf_counter() - start
        return actions, actions

    # Two things at once

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        reset = kwargs.get("reset_num_timesteps", args[2] if len(args) > 2 else True)
        if reset or self._last_obs is None:
            self._forget_under_way()
        return super()._setup_learn(*args, **kwargs)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Set the environment; see SB3's."""
        with contextlib.suppress(Exception):  # those before may be closed already
            self._forget_under_way()
        super().set_env(env, force_reset)
        self._step_ahead = None

    def _forget_under_way(self) -> None:
        self._under_way = None
        if self._step_ahead is not None:
            self._step_ahead.finish()

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Collect experience; see SB3's."""
        if not self.overlap:
            return super().collect_rollouts(env, *args, **kwargs)
        if self._step_ahead is None:
            self._step_ahead = StepAhead(env)
        return super().collect_rollouts(self._step_ahead, *args, **kwargs)

    def _store_transition(self, *args: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        super()._store_transition(*args, **kwargs)
        self.seconds["replay"] += time.perf_counter() - start

    # Learning

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Make gradient steps.

        Raises:
            DivergedError: A loss or a gradient is infinite or no number.
        """
        # Not beyond the end of learning, where the user may do with the environments what he likes.
        goes_on = self.num_timesteps < self._total_timesteps
        if self._step_ahead is not None and self._under_way is None and goes_on:
            self._under_way = self._sample_action(self.learning_starts, None, self.n_envs)
            self._step_ahead.send(self._under_way[0])
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        if isinstance(self.replay_buffer, FrameReplayBuffer):
            beta0 = self.prioritized_replay_beta0
            self.replay_buffer.beta = 1 - (1 - beta0) * self._current_progress_remaining
        losses = [self._gradient_step(batch_size) for _ in range(gradient_steps)]
        self.policy.set_training_mode(False)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))

    def _gradient_step(self, batch_size: int) -> float:
        start = time.perf_counter()
        assert self.replay_buffer is not None
        batch: Any = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        sampled = time.perf_counter()

        discounts = batch.discounts if batch.discounts is not None else self.gamma
        with self._autocast():
            # First, so that autocast's copies of the weights are made with a gradient, and serve
            # the choice of the next action too.
            # (batch, actions)
            q_values = self.q_net(batch.observations).float()
            with th.no_grad():
                following = batch.next_observations
                if isinstance(self.q_net, DuelingQNetwork):
                    following = self.q_net.prepare(following)  # once for both networks
                # (batch, actions)
                next_q_values = self.q_net_target(following)
                chosen_by = self.q_net(following) if self.double_q else next_q_values
                # (batch, 1)
                next_actions = chosen_by.argmax(dim=1, keepdim=True)
                next_values = next_q_values.gather(1, next_actions).float()
                rewards = batch.rewards * self.reward_scale
                targets = rewards + (1 - batch.dones) * discounts * next_values
        # (batch, 1)
        q_values = q_values.gather(1, batch.actions.long())
        errors = F.smooth_l1_loss(q_values, targets, reduction="none")
        weights = getattr(batch, "weights", None)
        loss = (errors if weights is None else errors * weights).mean()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise self._diverged(f"the loss is {value}")
        self.policy.optimizer.zero_grad()
        loss.backward()
        norm = arithmetic.clip_gradients(self.policy.parameters(), self.max_grad_norm)
        if not np.isfinite(norm):
            raise self._diverged(f"the gradient's norm is {norm}")
        self.policy.optimizer.step()
        learned = time.perf_counter()

        if self.prioritized_replay:
            assert isinstance(self.replay_buffer, FrameReplayBuffer)
            difference = (targets - q_values).detach().flatten().cpu().numpy()
            self.replay_buffer.update_priorities(batch.slots, difference)
        self.seconds["gradient"] += learned - sampled
        self.seconds["replay"] += sampled - start + time.perf_counter() - learned
        return value

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"{what} after {self._n_updates:,} gradient steps: training has diverged. The weights "
            "before this step are kept. Look at train/mean_q and train/loss before it; lower "
            "learning_rate, gamma or max_grad_norm, or raise target_update_interval"
        )

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return arithmetic.autocast(self.device) if self.accelerate else contextlib.nullcontext()

    def learn(
        self: SelfDuelingDQN,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int = 4,
        tb_log_name: str = "DuelingDQN",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfDuelingDQN:
        """Learn; see SB3's."""
        return OffPolicyAlgorithm.learn(
            self,
            total_timesteps,
            callback,
            log_interval,
            tb_log_name,
            reset_num_timesteps,
            progress_bar,
        )
