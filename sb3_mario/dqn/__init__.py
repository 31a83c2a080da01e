"""``DuelingDQN``, and a dueling network, policy and replay buffer for Stable-Baselines3's ``DQN``.

Importing this package adds ``"DuelingDQNPolicy"`` to the names that ``DQN`` knows, so that
``DQN("DuelingDQNPolicy", env)`` works; a policy already there under that name stays. To load a
saved model no import is needed: the file names the class, and ``DQN.load(path)`` finds it.
"""

from stable_baselines3 import DQN

from sb3_mario.dqn.algorithm import DivergedError, DuelingDQN
from sb3_mario.dqn.features import FrameStackCNN, GridCNN, JointExtractor
from sb3_mario.dqn.policies import DuelingDQNPolicy, DuelingQNetwork
from sb3_mario.dqn.replay import FrameReplayBuffer

__all__ = [
    "DivergedError",
    "DuelingDQN",
    "DuelingDQNPolicy",
    "DuelingQNetwork",
    "FrameReplayBuffer",
    "FrameStackCNN",
    "GridCNN",
    "JointExtractor",
]

DQN.policy_aliases.setdefault("DuelingDQNPolicy", DuelingDQNPolicy)
