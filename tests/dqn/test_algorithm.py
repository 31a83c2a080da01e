"""`DuelingDQN`: SB3's DQN to its users, and what it does otherwise."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_mario.callbacks import atomic_save_model
from sb3_mario.dqn import DivergedError, DuelingDQN, FrameReplayBuffer

SIZE = 36


class Stacks(gym.Env[np.ndarray[Any, Any], np.int64]):
    """Random frames in stacks of 4; reward 1 for action 1; episodes of 9 steps, or cut at 5."""

    observation_space = spaces.Box(0, 255, (4, SIZE, SIZE), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        self.cut = bool(self.np_random.random() < 0.5)
        self.stack = np.repeat(self._frame()[None], 4, axis=0)
        return self.stack, {}

    def step(self, action: np.int64) -> Any:
        self.steps += 1
        self.stack = np.concatenate([self.stack[1:], self._frame()[None]])
        cut = self.cut and self.steps == 5
        return self.stack, float(action == 1), self.steps == 9, cut, {}

    def _frame(self) -> np.ndarray[Any, Any]:
        return self.np_random.integers(256, size=(SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    th.set_num_threads(1)


def envs(n_envs: int = 2, seed: int = 0, cls: type[VecEnv] = DummyVecEnv) -> VecEnv:
    return make_vec_env(Stacks, n_envs=n_envs, seed=seed, vec_env_cls=cls)


def make(env: VecEnv | None = None, **kwargs: Any) -> DuelingDQN:
    settings: dict[str, Any] = {
        "buffer_size": 400, "learning_starts": 20, "batch_size": 8, "train_freq": 1,
        "target_update_interval": 20, "seed": 0, "device": "cpu", "n_steps": 3, "gamma": 0.9,
    }  # fmt: skip
    return DuelingDQN("DuelingDQNPolicy", env or envs(), **settings | kwargs)


def broken(batch_size: int) -> float:
    """A gradient step that fails."""
    raise RuntimeError("broken")


def parameters(model: DQN) -> list[th.Tensor]:
    return [p.detach().clone() for p in model.policy.parameters()]


def same(one: list[th.Tensor], other: list[th.Tensor]) -> bool:
    return all(th.equal(a, b) for a, b in zip(one, other, strict=True))


# An SB3 DQN to its users


def test_a_saved_model_loads_with_plain_dqn_without_a_warning_and_acts_the_same(
    tmp_path: Path,
) -> None:
    model = make(prioritized_replay=True).learn(60)
    model.save(tmp_path / "model")
    code = f"""
import warnings
warnings.simplefilter("error")
import numpy as np
from stable_baselines3 import DQN
model = DQN.load({str(tmp_path / "model")!r}, device="cpu")
assert type(model) is DQN
stacks = np.random.default_rng(0).integers(256, size=(50, 4, {SIZE}, {SIZE}), dtype=np.uint8)
print(*model.predict(stacks, deterministic=True)[0])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    stacks = np.random.default_rng(0).integers(256, size=(50, 4, SIZE, SIZE), dtype=np.uint8)
    actions = model.predict(stacks, deterministic=True)[0]
    assert result.stdout.split() == [str(action) for action in actions]


def test_its_own_load_keeps_every_setting(tmp_path: Path) -> None:
    model = make(double_q=False, prioritized_replay=True, prioritized_replay_beta0=0.7)
    model.save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = DuelingDQN.load(tmp_path / "model", device="cpu")
    for name in ("double_q", "prioritized_replay", "prioritized_replay_beta0", "n_steps", "gamma"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert isinstance(loaded.replay_buffer, FrameReplayBuffer)
    assert loaded.replay_buffer.n_steps == 3
    assert loaded.replay_buffer.prioritized


def test_what_load_changes_is_changed_in_the_replay_buffer_too(tmp_path: Path) -> None:
    make().save(tmp_path / "model")
    changes: dict[str, Any] = {
        "n_steps": 5, "gamma": 0.5, "prioritized_replay": True, "prioritized_replay_alpha": 0.1,
    }  # fmt: skip
    loaded = DuelingDQN.load(tmp_path / "model", env=envs(), device="cpu", **changes)
    buffer = loaded.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer)
    assert (loaded.n_steps, loaded.gamma, loaded.prioritized_replay) == (5, 0.5, True)
    assert (buffer.n_steps, buffer.gamma, buffer.prioritized, buffer.alpha) == (5, 0.5, True, 0.1)
    loaded.learn(40)
    loaded.save(tmp_path / "again")
    assert DuelingDQN.load(tmp_path / "again", device="cpu").n_steps == 5


def test_what_load_cannot_change_is_refused(tmp_path: Path) -> None:
    make(replay_buffer_class=NStepReplayBuffer).save(tmp_path / "model")
    with pytest.raises(ValueError, match="accelerate is part of the saved policy"):
        DuelingDQN.load(tmp_path / "model", accelerate=False)
    with pytest.raises(ValueError, match=r"prioritized_replay: the saved model's .*NStepReplay"):
        DuelingDQN.load(tmp_path / "model", prioritized_replay=True)


@pytest.mark.parametrize("overlap", [True, False])
def test_a_resumed_model_goes_on_bit_for_bit(tmp_path: Path, overlap: bool) -> None:
    model = make(overlap=overlap, prioritized_replay=True).learn(80)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    resumed = DuelingDQN.load(tmp_path / "model", env=envs(), device="cpu")
    resumed.load_replay_buffer(tmp_path / "buffer")
    model.set_env(envs())
    # As in the file, the episodes under way end here.
    assert isinstance(model.replay_buffer, FrameReplayBuffer)
    model.replay_buffer.storage.close_episodes()
    for each in (model, resumed):
        each.get_env().seed(5)  # loading seeds the environments with the model's seed
        each.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps == resumed.num_timesteps == 180
    assert same(parameters(model), parameters(resumed))
    optimizers = [m.policy.optimizer.state_dict()["state"] for m in (model, resumed)]
    for key, state in optimizers[0].items():
        assert th.equal(state["exp_avg_sq"], optimizers[1][key]["exp_avg_sq"])
    assert np.array_equal(
        model.replay_buffer.storage.rewards, resumed.replay_buffer.storage.rewards
    )


@pytest.mark.parametrize(
    "options",
    [
        {"double_q": False},
        {"prioritized_replay": True},
        {"n_steps": 1},
        {"overlap": False},
        {"accelerate": False},
        {"replay_buffer_class": ReplayBuffer, "n_steps": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_each_part_can_be_switched_on_its_own(options: dict[str, Any]) -> None:
    model = make(**options)
    before = parameters(model)
    model.learn(60)
    assert model._n_updates > 0
    assert not same(before, parameters(model))


# The same as SB3's where it should be


def exploring_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make both classes draw exploration and batches from one source."""

    def predict(self: DQN, observation: Any, *args: Any, **kwargs: Any) -> Any:
        return self.policy.predict(observation, deterministic=True)

    for cls in (DQN, DuelingDQN):
        monkeypatch.setattr(cls, "predict", predict)


def test_without_its_additions_it_learns_as_sb3s_dqn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    exploring_alike(monkeypatch)
    plain = {"double_q": False, "overlap": False, "accelerate": False, "n_steps": 1}
    ours = make(envs(1), learning_starts=0, replay_buffer_class=ReplayBuffer, **plain)
    policy_kwargs = {"accelerate": False}
    theirs = DQN(
        "DuelingDQNPolicy", envs(1), buffer_size=400, learning_starts=0, batch_size=8,
        train_freq=1, target_update_interval=20, seed=0, device="cpu", gamma=0.9,
        policy_kwargs=policy_kwargs,
    )  # fmt: skip
    for model in (ours, theirs):
        np.random.seed(3)  # noqa: NPY002 - SB3's source of chance
        model.learn(60)
    for a, b in zip(parameters(ours), parameters(theirs), strict=True):
        th.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_accelerated_gradients_agree_with_float32_within_their_rounding() -> None:
    batches = []
    for accelerate in (False, True):
        model = make(accelerate=accelerate, learning_rate=1e-30)
        model.learn(40)
        batches.append(model)
    exact, fast = batches
    assert same(parameters(exact), parameters(fast)) or all(
        th.allclose(a, b, atol=1e-6)
        for a, b in zip(parameters(exact), parameters(fast), strict=True)
    )
    rng = np.random.default_rng(0)
    stacks = th.from_numpy(rng.integers(256, size=(64, 4, SIZE, SIZE), dtype=np.uint8))
    exact.policy.load_state_dict(fast.policy.state_dict())
    gradients = []
    for model in (exact, fast):
        with model._autocast():
            q_values = model.q_net(stacks).float()
        model.policy.optimizer.zero_grad()
        (q_values**2).mean().backward()
        gradients.append(
            th.cat([p.grad.flatten() for p in model.q_net.parameters() if p.grad is not None])
        )
    reference, rounded = gradients
    assert float(th.dot(reference, rounded) / reference.norm() / rounded.norm()) > 0.999
    assert float((reference - rounded).norm() / reference.norm()) < 0.03


# Double Q-learning


def test_the_online_network_chooses_and_the_target_network_values() -> None:
    model = make(double_q=True, accelerate=False, n_steps=1).learn(30)
    with th.no_grad():
        for parameter in model.q_net_target.parameters():
            parameter.add_(th.randn_like(parameter))
    batch = model.replay_buffer.sample(8)
    chosen = model.q_net(batch.next_observations).argmax(1)
    values = model.q_net_target(batch.next_observations)[th.arange(8), chosen]
    targets = batch.rewards[:, 0] + (1 - batch.dones[:, 0]) * 0.9 * values
    q_values = model.q_net(batch.observations).gather(1, batch.actions)[:, 0]
    expected = th.nn.functional.smooth_l1_loss(q_values, targets)
    model.replay_buffer.sample = lambda *args, **kwargs: batch
    assert model._gradient_step(8) == pytest.approx(expected.item(), rel=1e-5)


def test_weights_scale_the_loss_of_each_transition() -> None:
    model = make(prioritized_replay=True, accelerate=False).learn(40)
    batch: Any = model.replay_buffer.sample(8)
    losses = []
    for weights in (th.ones(8, 1), th.full((8, 1), 0.25)):
        sampled = batch._replace(weights=weights)
        model.replay_buffer.sample = lambda *args, **kwargs: sampled  # noqa: B023
        before = {k: v.clone() for k, v in model.policy.state_dict().items()}
        losses.append(model._gradient_step(8))
        model.policy.load_state_dict(before)
    assert losses[1] == pytest.approx(losses[0] / 4, rel=1e-5)


def test_a_transition_that_was_learned_from_has_its_errors_priority() -> None:
    model = make(prioritized_replay=True, accelerate=False, double_q=False).learn(40)
    batch: Any = model.replay_buffer.sample(8)
    with th.no_grad():
        values = model.q_net_target(batch.next_observations).max(1).values
        targets = batch.rewards[:, 0] + (1 - batch.dones[:, 0]) * batch.discounts[:, 0] * values
        q_values = model.q_net(batch.observations).gather(1, batch.actions)[:, 0]
    errors = (targets - q_values).abs().double().numpy()
    model.replay_buffer.sample = lambda *args, **kwargs: batch
    model._gradient_step(8)
    priorities = model.replay_buffer._tree[batch.slots]
    np.testing.assert_allclose(priorities, (errors + 1e-6) ** 0.6, rtol=1e-4)


def test_beta_rises_from_its_start_to_one() -> None:
    model = make(prioritized_replay=True, prioritized_replay_beta0=0.4)
    seen = {}
    train = model.train

    def record(*args: Any, **kwargs: Any) -> None:
        train(*args, **kwargs)
        seen[model.num_timesteps] = model.replay_buffer.beta

    model.train = record
    model.learn(200)
    assert min(seen) < 40
    assert seen == pytest.approx({steps: 0.4 + 0.6 * steps / 200 for steps in seen})


# Exploration


def test_each_environment_explores_on_its_own() -> None:
    model = make(envs(8))
    model.exploration_rate = 0.5
    stacks = np.zeros((8, 4, SIZE, SIZE), np.uint8)
    greedy = model.predict(stacks, deterministic=True)[0]
    actions = np.array([model.predict(stacks)[0] for _ in range(300)])
    mixed = [0 < (row != greedy).sum() < 8 for row in actions]
    assert np.mean(mixed) > 0.8
    # a random action is the greedy one in a third of the cases
    assert (actions != greedy).mean() == pytest.approx(0.5 * 2 / 3, abs=0.03)


def test_a_single_observation_gives_a_single_action() -> None:
    model = make()
    model.exploration_rate = 1.0
    action, _ = model.predict(np.zeros((4, SIZE, SIZE), np.uint8))
    assert np.shape(action) == ()


# Two things at once


def recorded(model: DuelingDQN, steps: int) -> list[bytes]:
    transitions: list[bytes] = []
    add = model.replay_buffer.add

    def recording(obs: Any, next_obs: Any, *rest: Any) -> None:
        transitions.append(obs.tobytes() + next_obs.tobytes() + b"".join(
            np.asarray(part).tobytes() for part in rest[:3]
        ))  # fmt: skip
        add(obs, next_obs, *rest)

    model.replay_buffer.add = recording
    model.learn(steps)
    return transitions


@pytest.mark.parametrize("cls", [DummyVecEnv, SubprocVecEnv])
def test_overlapping_gives_the_transitions_of_the_serial_loop(cls: type[VecEnv]) -> None:
    # With a policy that does not change the lag of one gradient step shows nowhere.
    runs = []
    for overlap in (True, False):
        env = envs(3, cls=cls)
        runs.append(recorded(make(env, overlap=overlap, learning_rate=1e-30), 150))
        env.close()
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 50


def test_the_policy_that_acts_lags_by_one_call_of_train() -> None:
    model = make(learning_starts=0)
    events: list[str] = []
    sample_action, gradient_step = model._sample_action, model._gradient_step

    def acting(*args: Any) -> Any:
        if model._under_way is None:
            events.append("act")
        return sample_action(*args)

    def learning(batch_size: int) -> float:
        events.append("learn")
        return gradient_step(batch_size)

    model._sample_action, model._gradient_step = acting, learning
    model.learn(12)
    assert events == ["act"] + ["act", "learn"] * 5 + ["learn"]


@pytest.mark.parametrize("cls", [DummyVecEnv, SubprocVecEnv])
def test_no_step_is_under_way_when_learning_has_ended(cls: type[VecEnv]) -> None:
    env = envs(cls=cls)
    model = make(env, overlap=True).learn(60)
    assert evaluate_policy(model, env, 2, warn=False)[0] >= 0
    env.reset()
    model.learn(60, reset_num_timesteps=False)
    assert model.num_timesteps == 120
    assert model.replay_buffer.storage.count == 120
    env.close()
    model.set_env(envs(seed=9))
    model.learn(60)
    assert model.num_timesteps == 60


def test_a_step_under_way_when_learning_broke_off_is_forgotten_with_its_environment() -> None:
    model = make()
    model.learn(40)

    model._gradient_step, gradient_step = broken, model._gradient_step
    with pytest.raises(RuntimeError, match="broken"):
        model.learn(40, reset_num_timesteps=False)
    assert model._under_way is not None
    model._gradient_step = gradient_step
    model.set_env(envs(seed=9))
    model.learn(60)
    assert model.num_timesteps == 60


@pytest.mark.parametrize("cls", [DummyVecEnv, SubprocVecEnv])
def test_environments_that_were_closed_with_a_step_under_way_can_be_changed(
    cls: type[VecEnv],
) -> None:
    env = envs(cls=cls)
    model = make(env)
    model._gradient_step = broken
    with pytest.raises(RuntimeError, match="broken"):
        model.learn(40)
    assert model._step_ahead._sent is not None
    env.close()
    model.set_env(envs(seed=9))
    del model._gradient_step
    model.learn(60)
    assert model.num_timesteps == 60


# What cannot be


def test_a_loss_that_is_no_number_stops_before_the_weights_are_spoiled() -> None:
    model = make().learn(60)
    before = parameters(model)
    with th.no_grad():
        next(model.q_net_target.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"the loss is nan after .* lower learning_rate"):
        model.train(1, 8)
    assert same(before[: len(list(model.q_net.parameters()))], list(model.q_net.parameters()))


def test_a_gradient_that_is_no_number_stops_too() -> None:
    model = make().learn(60)
    before = parameters(model)
    weight = next(model.q_net.parameters())
    weight.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    with pytest.raises(DivergedError, match=r"the gradient's norm is (inf|nan) after"):
        model.train(1, 8)
    assert same(before, parameters(model))


def test_steps_need_a_buffer_that_sums_rewards() -> None:
    with pytest.raises(ValueError, match=r"n_steps=3 needs FrameReplayBuffer or NStep"):
        make(replay_buffer_class=ReplayBuffer)


@pytest.mark.filterwarnings("error")
def test_sb3s_buffer_of_several_steps_gets_the_models_arguments(tmp_path: Path) -> None:
    model = make(replay_buffer_class=NStepReplayBuffer, n_steps=5, gamma=0.8)
    path = atomic_save_model(model, tmp_path / "model.zip")
    for one in (model, DuelingDQN.load(path, env=model.env)):
        assert type(one.replay_buffer) is NStepReplayBuffer
        assert (one.replay_buffer.n_steps, one.replay_buffer.gamma) == (5, 0.8)
        assert one.n_steps == 5


def test_the_buffers_arguments_do_not_contradict_the_models() -> None:
    with pytest.raises(ValueError, match=r"replay_buffer_kwargs has n_steps=5, .* says 3"):
        make(replay_buffer_kwargs={"n_steps": 5})


def test_priorities_need_their_buffer() -> None:
    with pytest.raises(ValueError, match="prioritized_replay needs FrameReplayBuffer"):
        make(prioritized_replay=True, replay_buffer_class=ReplayBuffer)


def test_a_reward_scale_that_is_no_factor_is_named() -> None:
    with pytest.raises(ValueError, match="reward_scale must be above 0, got 0"):
        make(reward_scale=0)


def test_rewards_are_scaled_where_they_are_learned_from() -> None:
    scaled = []
    for scale in (1.0, 0.1):
        model = make(reward_scale=scale, accelerate=False).learn(30)
        for network in (model.q_net, model.q_net_target):
            for parameter in network.parameters():
                th.nn.init.zeros_(parameter)
        batch: Any = model.replay_buffer.sample(8)
        model.replay_buffer.sample = lambda *args, **kwargs: batch  # noqa: B023
        scaled.append((model._gradient_step(8), batch.rewards))
    loss, rewards = scaled[1]
    # The networks give 0, so the errors are the scaled rewards.
    assert loss == pytest.approx(float(((0.1 * rewards) ** 2 / 2).mean()), rel=1e-4)


def test_beta_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match="prioritized_replay_beta0 must be from 0 to 1, got 2"):
        make(prioritized_replay_beta0=2)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"buffer_size": 300}, "its buffer_size is 150, not 200"),
        ({"n_steps": 2}, "its n_steps is 2, not 3"),
        ({"prioritized_replay": True}, "its prioritized is True, not False"),
        ({"replay_buffer_class": ReplayBuffer, "n_steps": 1}, "its format is 'ReplayBuffer'"),
    ],
)
def test_a_replay_file_of_other_settings_is_refused(
    tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    make(**settings).learn(30).save_replay_buffer(tmp_path / "buffer")
    model = make()
    own = model.replay_buffer
    with pytest.raises(ValueError, match=says):
        model.load_replay_buffer(tmp_path / "buffer.npz")
    assert model.replay_buffer is own


def test_a_replay_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    model = make()
    model.learn(30)
    other = FrameReplayBuffer(
        400, spaces.Box(0, 255, (4, 40, 40), np.uint8), spaces.Discrete(3), "cpu", n_envs=2,
        n_steps=3, gamma=0.9,
    )  # fmt: skip
    model.replay_buffer, own = other, model.replay_buffer
    model.save_replay_buffer(tmp_path / "buffer")
    model.replay_buffer = own
    with pytest.raises(ValueError, match="its observations is"):
        model.load_replay_buffer(tmp_path / "buffer.npz")


@pytest.mark.skipif(not th.cuda.is_available(), reason="this machine has no CUDA device")
def test_it_learns_on_a_gpu_from_bytes_that_are_turned_into_numbers_there() -> None:
    model = make(device="cuda", prioritized_replay=True).learn(60)
    batch: Any = model.replay_buffer.sample(8)
    assert batch.observations.device.type == "cuda" and batch.observations.dtype == th.uint8
    before = parameters(model)
    model.train(1, 8)
    assert not same(before, parameters(model))
