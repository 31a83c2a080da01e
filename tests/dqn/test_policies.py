"""The dueling network and its policy, in SB3's own DQN."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.dqn.policies import CnnPolicy

import sb3_mario.dqn
from sb3_mario.dqn import DuelingDQNPolicy, DuelingQNetwork, FrameStackCNN

FRAMES = spaces.Box(0, 255, (8, 84, 84), np.uint8)


class QuarterEnv(gym.Env[np.ndarray, np.int64]):
    """A bandit: one quarter of the frames is bright, and its number is the action paid for."""

    observation_space = spaces.Box(0, 255, (8, 36, 36), np.uint8)
    action_space = spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.quarter = int(self.np_random.integers(4))
        frames = self.np_random.integers(0, 100, (8, 36, 36)).astype(np.uint8)
        row, column = divmod(self.quarter, 2)
        frames[:, 18 * row : 18 * row + 18, 18 * column : 18 * column + 18] += 155
        return frames, {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.quarter)
        return np.zeros((8, 36, 36), np.uint8), reward, True, False, {}


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> None:
    th.set_num_threads(1)
    set_random_seed(0)


def make_policy(space: spaces.Space = FRAMES, **kwargs: Any) -> DuelingDQNPolicy:
    return DuelingDQNPolicy(space, spaces.Discrete(7), lambda _: 1e-4, **kwargs)


def make_model(policy: Any = "DuelingDQNPolicy", n_envs: int = 1, **kwargs: Any) -> DQN:
    settings = {"buffer_size": 500, "device": "cpu", "seed": 0} | kwargs
    return DQN(policy, make_vec_env(QuarterEnv, n_envs=n_envs, seed=0), **settings)


def observations(n: int, space: spaces.Space = FRAMES) -> th.Tensor:
    space.seed(0)
    return th.as_tensor(np.stack([space.sample() for _ in range(n)]))


def test_q_is_value_plus_advantage_less_the_mean_advantage() -> None:
    network, obs = make_policy().q_net, observations(5)
    with th.no_grad():
        features = network.extract_features(obs, network.features_extractor)
        value, advantages = network.value_net(features), network.advantage_net(features)
        q_values = network(obs)
    assert q_values.shape == (5, 7)
    for i in range(5):
        mean = sum(float(a) for a in advantages[i]) / 7
        expected = [float(value[i, 0]) + float(a) - mean for a in advantages[i]]
        np.testing.assert_allclose(q_values[i].numpy(), expected, atol=1e-6)


def test_the_mean_of_q_over_the_actions_is_the_value() -> None:
    network, obs = make_policy().q_net, observations(5)
    with th.no_grad():
        value = network.value_net(network.extract_features(obs, network.features_extractor))
        th.testing.assert_close(network(obs).mean(dim=1, keepdim=True), value)


def test_a_constant_added_to_the_advantages_leaves_q_as_it_is() -> None:
    network, obs = make_policy().q_net, observations(5)
    with th.no_grad():
        before = network(obs)
        network.advantage_net[-1].bias += 3.0
        th.testing.assert_close(network(obs), before, atol=1e-5, rtol=0)


def test_a_constant_added_to_the_value_is_added_to_each_q() -> None:
    network, obs = make_policy().q_net, observations(5)
    with th.no_grad():
        before = network(obs)
        network.value_net[-1].bias += 3.0
        th.testing.assert_close(network(obs), before + 3.0)


def test_gradients_reach_both_streams_and_the_convolutions() -> None:
    network = make_policy().q_net
    network(observations(4))[:, 2].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_no_parameter_is_left_over_from_the_plain_q_network() -> None:
    network = make_policy().q_net
    names = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert names == {"features_extractor", "advantage_net", "value_net"}


def test_the_default_network_is_little_larger_than_sb3s_cnn_policy() -> None:
    def size(policy: Any) -> int:
        return sum(p.numel() for p in policy.q_net.parameters())

    ours, theirs = size(make_policy()), size(CnnPolicy(FRAMES, spaces.Discrete(7), lambda _: 1e-4))
    assert (ours, theirs) == (1_957_032, 1_695_911)


def test_net_arch_gives_the_hidden_layers_of_each_stream() -> None:
    network = make_policy(
        net_arch=[20, 10],
        activation_fn=th.nn.Tanh,
        features_extractor_kwargs={"features_dim": 30},
    ).q_net
    for stream, outputs in ((network.value_net, 1), (network.advantage_net, 7)):
        sizes = [(m.in_features, m.out_features) for m in stream if isinstance(m, th.nn.Linear)]
        assert sizes == [(30, 20), (20, 10), (10, outputs)]
        assert [type(m) for m in stream][1::2] == [th.nn.Tanh, th.nn.Tanh]


def test_an_empty_net_arch_gives_streams_of_one_layer() -> None:
    network = make_policy(net_arch=[]).q_net
    assert [len(network.value_net), len(network.advantage_net)] == [1, 1]


def test_online_and_target_network_start_equal_and_share_nothing() -> None:
    policy, obs = make_policy(), observations(2)
    online, target = policy.q_net, policy.q_net_target
    assert isinstance(target, DuelingQNetwork)
    assert {p.data_ptr() for p in online.parameters()}.isdisjoint(
        p.data_ptr() for p in target.parameters()
    )
    with th.no_grad():
        before = target(obs)
        th.testing.assert_close(online(obs), before)
        for parameter in online.parameters():
            parameter.add_(1.0)
        th.testing.assert_close(target(obs), before)


def test_the_optimizer_trains_the_online_network_alone_with_the_given_arguments() -> None:
    policy = make_policy(optimizer_class=th.optim.RMSprop, optimizer_kwargs={"alpha": 0.9})
    assert isinstance(policy.optimizer, th.optim.RMSprop)
    (group,) = policy.optimizer.param_groups
    assert (group["alpha"], group["lr"]) == (0.9, 1e-4)
    assert {id(p) for p in group["params"]} == {id(p) for p in policy.q_net.parameters()}


def test_training_mode_reaches_the_online_network_and_never_the_target() -> None:
    policy = make_policy()
    policy.set_training_mode(True)
    assert policy.q_net.value_net.training and not policy.q_net_target.value_net.training
    policy.set_training_mode(False)
    assert not policy.q_net.value_net.training


def test_a_policy_saved_alone_loads_with_its_settings(tmp_path: Path) -> None:
    policy, obs = make_policy(net_arch=[16]), observations(3)
    policy.save(str(tmp_path / "policy.pth"))
    loaded = DuelingDQNPolicy.load(str(tmp_path / "policy.pth"), device="cpu")
    assert loaded.net_arch == [16]
    th.testing.assert_close(loaded.q_net(obs), policy.q_net(obs))


def test_dqn_takes_the_policy_by_name_and_by_class() -> None:
    assert isinstance(make_model("DuelingDQNPolicy").policy, DuelingDQNPolicy)
    assert isinstance(make_model(DuelingDQNPolicy).policy, DuelingDQNPolicy)
    assert {"MlpPolicy", "CnnPolicy", "MultiInputPolicy"} < set(DQN.policy_aliases)


def test_an_alias_of_that_name_already_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.setitem(DQN.policy_aliases, "DuelingDQNPolicy", CnnPolicy)
    importlib.reload(sb3_mario.dqn)
    assert DQN.policy_aliases["DuelingDQNPolicy"] is CnnPolicy


def test_vector_observations_work_with_another_features_extractor() -> None:
    kwargs = {"features_extractor_class": FlattenExtractor}
    model = DQN(
        "DuelingDQNPolicy", "CartPole-v1", policy_kwargs=kwargs, learning_starts=10, buffer_size=100
    )
    assert model.policy.net_arch == [64, 64]
    model.learn(40)
    assert model._n_updates > 0


def test_vector_observations_without_one_are_an_error_that_names_the_mend() -> None:
    with pytest.raises(ValueError, match=r"needs images.*FlattenExtractor"):
        DQN("DuelingDQNPolicy", "CartPole-v1")


def test_float_images_need_only_normalize_images_to_be_off() -> None:
    space = spaces.Box(0, 1, (8, 84, 84), np.float32)
    with pytest.raises(ValueError, match="normalize_images=False"):
        make_policy(space)
    assert make_policy(space, normalize_images=False).q_net(observations(2, space)).shape == (2, 7)


def test_images_are_scaled_to_one_before_the_convolutions() -> None:
    network = make_policy(accelerate=False).q_net
    seen: list[th.Tensor] = []
    network.features_extractor.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    network(th.full((1, 8, 84, 84), 255, dtype=th.uint8))
    assert th.equal(seen[0], th.ones(1, 8, 84, 84))


def test_several_environments_get_one_action_each() -> None:
    model = make_model(n_envs=3, learning_starts=10)
    model.learn(60)
    actions, _ = model.predict(model.env.reset(), deterministic=True)
    assert actions.shape == (3,)


def test_training_a_saved_model_goes_on_with_its_optimizer(tmp_path: Path) -> None:
    model = make_model(learning_starts=10)
    model.learn(60)
    model.save(tmp_path / "model.zip")
    loaded = DQN.load(tmp_path / "model.zip", env=model.env)
    saved, read = (m.policy.optimizer.state_dict()["state"] for m in (model, loaded))
    assert saved.keys() == read.keys() and len(saved) == len(list(model.q_net.parameters()))
    th.testing.assert_close(read[0]["exp_avg"], saved[0]["exp_avg"])
    loaded.learn(60, reset_num_timesteps=False)
    assert loaded.num_timesteps == 120


def test_a_model_loads_in_a_fresh_interpreter_with_sb3_alone_and_acts_the_same(
    tmp_path: Path,
) -> None:
    model = make_model(learning_starts=10, policy_kwargs={"net_arch": [32]})
    model.learn(60)
    model.save(tmp_path / "model.zip")
    obs = observations(16, QuarterEnv.observation_space).numpy()
    np.save(tmp_path / "obs.npy", obs)
    code = (
        "import sys, numpy as np\n"
        "from stable_baselines3 import DQN\n"
        "assert not any(name.startswith('sb3_mario') for name in sys.modules)\n"
        "model = DQN.load('model.zip', device='cpu')\n"
        "obs = np.load('obs.npy')\n"
        "actions, _ = model.predict(obs, deterministic=True)\n"
        "q = model.q_net(model.policy.obs_to_tensor(obs)[0]).detach().numpy()\n"
        "np.savez('out.npz', actions=actions, q=q)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=120,
    )
    out = np.load(tmp_path / "out.npz")
    actions, _ = model.predict(obs, deterministic=True)
    np.testing.assert_array_equal(out["actions"], actions)
    q_values = model.q_net(th.as_tensor(obs)).detach().numpy()
    np.testing.assert_allclose(out["q"], q_values, atol=1e-6)


def test_dqn_learns_which_quarter_of_the_frames_is_bright() -> None:
    model = make_model(
        learning_starts=100,
        learning_rate=5e-4,
        train_freq=2,
        target_update_interval=100,
        exploration_fraction=0.5,
        policy_kwargs={"features_extractor_kwargs": {"features_dim": 64}, "net_arch": [32]},
    )
    assert isinstance(model.policy.q_net.features_extractor, FrameStackCNN)

    def score() -> float:
        env = QuarterEnv()
        env.reset(seed=7)
        rewards = []
        for _ in range(100):
            obs, _ = env.reset()
            rewards.append(env.step(model.predict(obs, deterministic=True)[0])[1])
        return float(np.mean(rewards))

    assert score() < 0.6, "chance is 0.25"
    model.learn(900)
    assert score() > 0.9
