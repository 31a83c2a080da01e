"""Watch an agent in FCEUX's window, record it, or judge it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3 import DQN
from tqdm import tqdm

from sb3_mario.callbacks import atomic_write
from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.emulator.fceux import has_display
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.evaluation import NOOP_MAX, STICKY_PROBABILITY, Evaluation, evaluate
from sb3_mario.game.actions import ACTION_SETS
from sb3_mario.game.roms import RomError, find_rom
from sb3_mario.game.selftest import SelfTestError
from sb3_mario.training.config import ConfigError
from sb3_mario.watching.agents import Agent, find_agent
from sb3_mario.watching.arguments import parse_arguments
from sb3_mario.watching.insight import look_into
from sb3_mario.watching.panel import draw

FRAMES_PER_SECOND: Final = 60
WITHOUT_DISPLAY: Final = Path("enjoy.mp4")
"""The video that is written where no window can be shown."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit status.

    Returns:
        0 done, 1 something broke, 2 a setting is wrong, 130 stopped by Ctrl-C.
    """
    args = parse_arguments(argv)
    try:
        agent = find_agent(args)
        model = agent.load(args.device, args.seed)
        print(f"{agent.path} on {agent.env_id} of {find_rom(agent.rom).name}", flush=True)
        if args.evaluate:
            _judge(args, agent, model)
        elif args.record is not None:
            _record(args, agent, model)
        elif args.no_render or has_display():
            _watch(args, agent, model)
        else:
            args.record = WITHOUT_DISPLAY
            print(f"There is no display for FCEUX's window: {args.record} is written instead")
            _record(args, agent, model)
    except KeyboardInterrupt:
        return 130
    except (ConfigError, RomError) as error:
        print(f"enjoy.py: error: {error}", file=sys.stderr)
        return 2
    except (EmulatorError, SelfTestError, OSError) as error:
        print(f"enjoy.py: error: {error}", file=sys.stderr)
        return 1
    return 0


def _make_env(agent: Agent, model: DQN, **changes: Any) -> SuperMarioBrosEnv:
    """Make the agent's environment, without Gymnasium's wrappers.

    Raises:
        ConfigError: Its arguments are wrong, or what is seen and done there is not what the agent
            was trained with.
    """
    kwargs = {**agent.env_kwargs, "rom": agent.rom, **changes}
    kwargs["noop_max"] = kwargs.get("noop_max") or NOOP_MAX
    try:
        env = gym.make(agent.env_id, disable_env_checker=True, **kwargs).unwrapped
    except (TypeError, ValueError) as error:
        raise ConfigError(f"--env-kwargs: {error}") from error
    assert isinstance(env, SuperMarioBrosEnv)
    for name, trained, made in (
        ("observations", model.observation_space, env.observation_space),
        ("actions", model.action_space, env.action_space),
    ):
        if trained != made:
            env.close()
            raise ConfigError(
                f"{agent.path} was trained with other {name} than {agent.env_id} has here:\n"
                f"  the model's:       {trained}\n"
                f"  the environment's: {made}\n"
                "Give the arguments of its training with --env-kwargs (obs, actions, frame_stack, "
                "frame_size), or name the model in its run's folder, which knows them"
            )
    return env


# To watch ----------------------------------------------------------------------------------------


def _watch(args: argparse.Namespace, agent: Agent, model: DQN) -> None:
    options: dict[str, Any] = {}
    if not args.no_render:
        options = {"window": True} if args.fast else {"render_mode": "human"}
    env = _make_env(agent, model, **options)
    try:
        for _ in _play(args, env, model):
            pass
    finally:
        env.close()


def _play(
    args: argparse.Namespace, env: SuperMarioBrosEnv, model: DQN
) -> Iterator[tuple[Any, int, float]]:
    """Play; yields observation, action and the reward so far before each step."""
    observation, _ = env.reset(seed=args.seed)
    reward_so_far, episode = 0.0, 1
    for _ in range(args.n_timesteps):
        actions, _ = model.predict(observation, deterministic=args.deterministic)
        action = int(actions)
        yield observation, action, reward_so_far
        observation, reward, terminated, truncated, info = env.step(action)
        reward_so_far += reward
        if terminated or truncated:
            tqdm.write(
                f"Episode {episode}: {info['end_cause']} at x {info['max_x']:,}, "
                f"reward {reward_so_far:,.0f}, clock {info['time']}"
            )
            observation, _ = env.reset()
            reward_so_far, episode = 0.0, episode + 1


def _record(args: argparse.Namespace, agent: Agent, model: DQN) -> None:
    env = _make_env(agent, model, render_mode="rgb_array")
    names = _action_names(agent.env_kwargs.get("actions", "simple"))
    video: cv2.VideoWriter | None = None
    try:
        with tqdm(total=args.n_timesteps, unit="step", desc="recording") as bar:
            for observation, action, reward in _play(args, env, model):
                picture = env.render()
                assert picture is not None
                lines = [
                    f"{agent.env_id.rpartition('/')[2]}   x {env.state.x_pos:,}",
                    f"reward {reward:,.0f}   clock {env.state.time}",
                ]
                panel = draw(
                    picture, observation, look_into(model, observation), names, action, lines
                )
                if video is None:
                    video = _open_video(args.record, panel, FRAMES_PER_SECOND / env.frame_skip)
                video.write(cv2.cvtColor(panel, cv2.COLOR_RGB2BGR))
                bar.update()
    finally:
        env.close()
        if video is not None:
            video.release()
    print(f"Wrote {args.record}")


def _open_video(path: Path, panel: npt.NDArray[np.uint8], rate: float) -> cv2.VideoWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (panel.shape[1], panel.shape[0])
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not video.isOpened():
        raise ConfigError(f"--record: {path} cannot be written as a video: give a name in .mp4")
    return video


def _action_names(actions: str | Sequence[Sequence[str]]) -> list[str]:
    held = ACTION_SETS[actions] if isinstance(actions, str) else actions
    return [" ".join(buttons) or "NOOP" for buttons in held]


# To judge ----------------------------------------------------------------------------------------


def _judge(args: argparse.Namespace, agent: Agent, model: DQN) -> None:
    def make_env(sticky: float) -> SuperMarioBrosEnv:
        return _make_env(agent, model, sticky_action_probability=sticky)

    results = {}
    with tqdm(total=2 * args.episodes, unit="episode", desc="evaluating") as bar:
        for name, sticky in (("noop_starts", 0.0), ("sticky_actions", STICKY_PROBABILITY)):
            results[name] = evaluate(
                model,
                make_env,
                env_id=agent.env_id,
                episodes=args.episodes,
                seed=args.seed,
                sticky_action_probability=sticky,
                deterministic=args.deterministic,
                n_envs=args.n_envs,
                on_episode=lambda episode: bar.update(),
            )
    for result in results.values():
        print(result.summary())
    if args.output is not None:
        _write(args.output, agent, results)
        print(f"Wrote {args.output}")


def _write(path: Path, agent: Agent, results: dict[str, Evaluation]) -> None:
    game = {"model": agent.path.name, "game": find_rom(agent.rom).name}
    content = game | {name: result.as_dict() for name, result in results.items()}
    atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())
