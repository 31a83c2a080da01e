"""Super Mario Bros. on the FCEUX emulator, for Stable-Baselines3.

Importing the package registers the Gymnasium ids ``sb3_mario/SuperMarioBros-<world>-<stage>-v0``
for all 32 levels and ``sb3_mario/SuperMarioBros-v0`` for the whole game.
"""

import gymnasium as gym

from sb3_mario.game.levels import ALL_LEVELS, WHOLE_GAME_ID

__version__ = "0.1.0"
__all__ = ["__version__"]

_ENTRY_POINT = "sb3_mario.env:SuperMarioBrosEnv"

for _level in ALL_LEVELS:
    gym.register(_level.env_id, _ENTRY_POINT, kwargs={"level": str(_level)})
gym.register(WHOLE_GAME_ID, _ENTRY_POINT, kwargs={"level": None})
del _level
