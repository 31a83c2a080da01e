"""The environment on the real emulator."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

import sb3_mario
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import EmulatorError
from sb3_mario.env import SuperMarioBrosEnv
from sb3_mario.game.levels import ALL_LEVELS, WHOLE_GAME_ID, Level

NOTHING, RIGHT, A_RIGHT, RIGHT_B, A_RIGHT_B, A, LEFT = range(7)
INFO_KEYS = {
    *("coins", "flag_get", "life", "score", "stage", "status", "time", "world", "x_pos", "y_pos"),
    *("max_x", "progress", "power", "frame_id", "frames"),
    *("sync_frames", "sync_retakes", "sync_mismatches", "sync_reconnects"),
}
MakeEnv = Callable[..., SuperMarioBrosEnv]


@pytest.fixture
def make(game: Path) -> Iterator[MakeEnv]:
    """Makes environments and closes them after the test."""
    made: list[SuperMarioBrosEnv] = []

    def factory(**kwargs: Any) -> SuperMarioBrosEnv:
        made.append(SuperMarioBrosEnv(**{"rom": game, **kwargs}))
        return made[-1]

    yield factory
    for env in made:
        env.close()


def test_all_33_ids_are_registered() -> None:
    ids = {level.env_id for level in ALL_LEVELS} | {WHOLE_GAME_ID}
    assert len(ids) == 33
    assert ids <= set(gym.registry)
    assert "sb3_mario/SuperMarioBros-8-4-v0" in ids
    assert sb3_mario.__version__


def test_both_environment_checkers_pass_without_a_warning(game: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("sb3_mario/SuperMarioBros-1-1-v0", rom=game, render_mode="rgb_array")
        gymnasium_check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env.unwrapped)
        env.close()


def test_a_reset_fills_the_stack_and_a_step_shifts_it(make: MakeEnv) -> None:
    env = make()
    first, _ = env.reset(seed=0)
    assert first.shape == (8, 84, 84)
    assert first.dtype == np.uint8
    assert all(np.array_equal(first[0], first[i]) for i in range(8))
    observations = [first]
    for _ in range(10):
        observation, *_ = env.step(RIGHT_B)
        assert np.array_equal(observation[:-1], observations[-1][1:])
        observations.append(observation)
    assert not np.array_equal(observation[-1], observation[-2]), "he runs"
    # Earlier observations are the user's: later steps must not have written into them.
    assert np.array_equal(observations[0], first)
    assert not np.shares_memory(observations[-1], observations[-2])


def test_info_has_every_key_in_plain_python_types(make: MakeEnv) -> None:
    env = make()
    _, info = env.reset(seed=0)
    assert set(info) == INFO_KEYS
    _, reward, terminated, truncated, info = env.step(RIGHT)
    assert set(info) == INFO_KEYS
    assert {type(value) for value in info.values()} <= {int, float, bool, str}
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert (info["world"], info["stage"], info["status"], info["life"]) == (1, 1, "small", 2)
    assert 390 < info["time"] <= 400


def test_walking_right_earns_the_distance_less_the_clock(make: MakeEnv) -> None:
    env = make(noop_max=0)
    _, before = env.reset()
    for _ in range(15):
        _, reward, _, _, info = env.step(RIGHT_B)
        moved, ticks = info["x_pos"] - before["x_pos"], before["time"] - info["time"]
        assert reward == moved - ticks
        before = info
    assert info["x_pos"] > 100


def test_running_into_the_first_enemy_ends_the_episode(make: MakeEnv) -> None:
    env = make(noop_max=0)
    env.reset()
    terminated = truncated = False
    while not (terminated or truncated):
        _, reward, terminated, truncated, info = env.step(RIGHT)
    assert info["end_cause"] == "enemy"
    assert info["is_success"] is False
    assert -15.0 <= reward <= -5.0  # what he walked in this step counts as well
    assert 250 < info["max_x"] < 3000  # the free game's first enemy on the way is near the end


def test_standing_still_is_truncated_as_stuck(make: MakeEnv) -> None:
    env = make(stuck_steps=20)
    env.reset(seed=0)
    ends = [env.step(NOTHING)[2:] for _ in range(20)]
    assert [truncated for _, truncated, _ in ends] == [False] * 19 + [True]
    assert ends[-1][2]["end_cause"] == "stuck"


def test_the_step_limit_truncates(make: MakeEnv) -> None:
    env = make(max_steps=3, stuck_steps=0)
    env.reset(seed=0)
    ends = [env.step(LEFT)[2:] for _ in range(3)]
    assert [truncated for _, truncated, _ in ends] == [False, False, True]
    assert ends[-1][2]["end_cause"] == "step_limit"


def test_the_whole_game_goes_on_after_a_death_and_ends_when_no_life_is_left(
    make: MakeEnv,
) -> None:
    # A new life begins further back, and is not stuck there.
    env = make(level=None, noop_max=0, stuck_steps=20)
    _, info = env.reset()
    lives, penalties = [info["life"]], 0
    for _ in range(1500):
        _, reward, terminated, truncated, info = env.step(RIGHT)
        penalties += reward <= -5.0
        if info["life"] != lives[-1]:
            lives.append(info["life"])
        if terminated or truncated:
            break
    assert info["end_cause"] == "game_over"
    assert penalties == 3
    assert lives[:3] == [2, 1, 0]


def test_no_op_starts_differ_by_seed_and_can_be_set(make: MakeEnv) -> None:
    env = make()
    frames = {env.reset(seed=seed)[1]["frames"] for seed in range(20)}
    assert len(frames) > 5
    assert min(frames) >= 1
    assert max(frames) <= 30
    for noops in (17, np.int64(17)):
        assert env.reset(options={"noops": noops})[1]["frames"] == 17


def test_an_episodes_start_does_not_depend_on_how_the_one_before_was_played(make: MakeEnv) -> None:
    env = make(sticky_action_probability=0.25)
    starts = []
    for steps in (1, 6):
        env.reset(seed=5)
        for _ in range(steps):
            env.step(RIGHT)
        starts.append([env.reset()[1]["frames"] for _ in range(5)])
    assert starts[0] == starts[1] and len(set(starts[0])) > 1


def test_with_probability_1_the_buttons_of_before_the_episode_stay_held(make: MakeEnv) -> None:
    env = make(sticky_action_probability=1.0, noop_max=0)
    _, info = env.reset()
    x = info["x_pos"]
    for _ in range(10):
        _, _, _, _, info = env.step(RIGHT)
    assert info["x_pos"] == x


def test_sticky_actions_hold_the_buttons_of_the_step_before_for_a_number_of_frames(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    send_step = Bridge.send_step

    def recorded(bridge: Bridge, buttons: int, repeat: int, **kwargs: int) -> None:
        sent.append((buttons, kwargs["first"], kwargs["first_frames"]))
        send_step(bridge, buttons, repeat, **kwargs)

    monkeypatch.setattr(Bridge, "send_step", recorded)
    env = make(sticky_action_probability=0.25, jump_again=False, stuck_steps=0)
    env.reset(seed=3)
    sent.clear()  # of the self-test
    steps = 600
    for number in range(steps):
        _, _, terminated, _, _ = env.step((NOTHING, LEFT)[number % 2])
        assert not terminated
    held = 0
    for buttons, first, first_frames in sent:
        assert first_frames == 0 or first == held
        held = first if first_frames == 4 else buttons
    # Machado et al. 2018, 5.2: each frame sticks with p = 0.25 until one does not.
    for frames, share in enumerate([0.75, 0.75 / 4, 0.75 / 16, 0.75 / 64, 1 / 256]):
        count = sum(first_frames == frames for _, _, first_frames in sent)
        expected = steps * share
        assert abs(count - expected) < 4 * math.sqrt(expected), (frames, count)


def test_a_button_that_sticks_is_still_pressed_anew_by_jump_again(make: MakeEnv) -> None:
    # Holding A the whole time jumps again and again, with sticky actions as without.
    steps = 80
    assert jumps(make(sticky_action_probability=0.5), A, steps) > 1
    assert jumps(make(sticky_action_probability=0.5, jump_again=False), A, steps) == 1


def jumps(env: SuperMarioBrosEnv, action: int, steps: int = 60) -> int:
    """Return how often Mario leaves the ground while one action is held."""
    env.reset(seed=1)
    on_ground = []
    for _ in range(steps):
        env.step(action)
        on_ground.append(env.state.on_ground)
    return sum(before and not after for before, after in itertools.pairwise([True, *on_ground]))


@pytest.mark.parametrize("frame_skip", [1, 4])
def test_an_action_with_a_jumps_again_as_soon_as_mario_stands(
    make: MakeEnv, frame_skip: int
) -> None:
    steps = 60 * 4 // frame_skip
    assert jumps(make(frame_skip=frame_skip), A, steps) >= 3
    assert jumps(make(frame_skip=frame_skip, jump_again=False), A, steps) == 1


def test_a_is_held_through_the_air_with_jump_again(make: MakeEnv) -> None:
    heights = []
    for again in (True, False):
        env = make(jump_again=again)
        env.reset(seed=1)
        heights.append(max(env.step(A)[4]["y_pos"] for _ in range(12)))
    assert heights[0] == heights[1]


@pytest.mark.real_rom
def test_an_action_with_a_strokes_on_in_water(rom: Path) -> None:
    highest = {}
    for again in (True, False):
        env = SuperMarioBrosEnv("2-2", rom=rom, jump_again=again, noop_max=0)
        try:
            env.reset()
            for _ in range(40):
                env.step(NOTHING)  # sinks
            highest[again] = max(env.step(A)[4]["y_pos"] for _ in range(30))
        finally:
            env.close()
    assert highest[True] > highest[False] + 20


def play(env: SuperMarioBrosEnv, seed: int, steps: int) -> Iterator[tuple[str, bytes, float]]:
    """Random actions from one seed: hash of the memory, picture and reward of every step."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(int(rng.integers(7)))
        picture = env.render()
        assert picture is not None
        yield info["ram_hash"], picture.tobytes() + observation.tobytes(), reward
        if terminated or truncated:
            env.reset()


def test_two_emulators_agree_on_memory_and_pixels_for_2000_random_actions(make: MakeEnv) -> None:
    one, two = (make(render_mode="rgb_array", ram_hash=True) for _ in range(2))
    compared = 0
    hashes = set()
    for here, there in zip(play(one, 7, 2000), play(two, 7, 2000), strict=True):
        assert here == there, f"step {compared}"
        compared += 1
        hashes.add(here[0])
    assert compared == 2000
    assert len(hashes) > 1500


def test_an_emulator_started_again_plays_the_same(make: MakeEnv) -> None:
    env = make(render_mode="rgb_array", ram_hash=True)
    first = list(play(env, 3, 150))
    assert list(play(env, 3, 150)) == first  # after other episodes
    env.close()
    assert list(play(env, 3, 150)) == first  # in a new process


@pytest.mark.real_rom
def test_every_level_starts_and_moves(rom: Path) -> None:
    # One emulator for all, since a start leaves the others' states as they are.
    env = SuperMarioBrosEnv(rom=rom)
    try:
        for level in ALL_LEVELS:
            env.level = level
            _, start = env.reset(options={"noops": 0})
            assert (start["world"], start["stage"]) == (level.world, level.stage)
            for _ in range(8):
                _, _, _, _, info = env.step(RIGHT)
            assert info["x_pos"] > start["x_pos"], str(level)
    finally:
        env.close()


@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
def test_sb3_vector_environments_run_several_emulators(
    vec_env: type[DummyVecEnv], game: Path
) -> None:
    # "module:id", for a worker process that has imported nothing yet
    env_id = "sb3_mario:sb3_mario/SuperMarioBros-1-1-v0"
    envs = vec_env([lambda: gym.make(env_id, rom=game) for _ in range(2)])
    try:
        envs.seed(0)
        assert envs.reset().shape == (2, 8, 84, 84)
        for _ in range(10):
            observations, rewards, _, infos = envs.step(np.array([NOTHING, RIGHT_B]))
        assert observations.shape == (2, 8, 84, 84)
        assert infos[1]["x_pos"] > infos[0]["x_pos"]
        assert rewards[1] > rewards[0]
    finally:
        envs.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasium_vector_environments_run_several_emulators(mode: str, game: Path) -> None:
    envs = gym.make_vec(
        "sb3_mario/SuperMarioBros-1-1-v0", num_envs=2, vectorization_mode=mode, rom=game
    )
    try:
        observations, _ = envs.reset(seed=0)
        assert observations.shape == (2, 8, 84, 84)
        observations, *_ = envs.step(np.array([RIGHT, RIGHT]))
        assert observations.shape == (2, 8, 84, 84)
    finally:
        envs.close()


def test_render_gives_the_picture_in_colour(make: MakeEnv) -> None:
    env = make(render_mode="rgb_array")
    assert env.render() is None
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert picture.shape == (240, 256, 3)
    sky = picture[100, 128]
    assert sky[2] > sky[0], "the sky of 1-1 is blue"


def test_pictures_from_the_screen_are_those_of_the_bridge(make: MakeEnv) -> None:
    screen, bridge = make(frames="screen", ram_hash=True), make(ram_hash=True)
    sync_keys = {f"sync_{name}" for name in ("frames", "retakes", "mismatches", "reconnects")}
    seen, _ = screen.reset(seed=5)
    true, _ = bridge.reset(seed=5)
    retakes = 0
    for step in range(150):
        assert np.array_equal(seen[:, 3:81], true[:, 3:81]), f"step {step}"
        action = A_RIGHT_B if step % 9 < 5 else RIGHT_B
        seen, reward, *ends, info = screen.step(action)
        true, true_reward, *true_ends, true_info = bridge.step(action)
        assert (reward, ends) == (true_reward, true_ends)
        for key in set(info) - sync_keys:
            assert info[key] == true_info[key], key
        assert info["sync_mismatches"] == true_info["sync_retakes"] == 0
        retakes = max(retakes, info["sync_retakes"])
        if any(ends):
            (seen, _), (true, _) = screen.reset(), bridge.reset()
    assert retakes > 0


class UncountedRetakes(SuperMarioBrosEnv):
    """How often a picture was taken again is the machine's doing; the checker wants it equal."""

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"sync_retakes": 0}


def test_the_checker_passes_with_pictures_from_the_screen(game: Path) -> None:
    env = UncountedRetakes(rom=game, frames="screen", render_mode="rgb_array")
    gymnasium_check_env(env, skip_render_check=True)
    env.close()


def test_human_mode_without_a_display_says_so(
    make: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    env = make(render_mode="human")
    with pytest.raises(EmulatorError, match="no display"):
        env.reset()


def test_human_mode_shows_a_window_at_the_games_own_speed(game: Path) -> None:
    code = f"""
import time, gymnasium, numpy, mss, sb3_mario
env = gymnasium.make("sb3_mario/SuperMarioBros-1-1-v0", rom={str(game)!r}, render_mode="human")
env.reset(seed=0)
start = time.monotonic()
for _ in range(30):
    env.step(1)
print("seconds", time.monotonic() - start)
time.sleep(0.3)
with mss.MSS() as screen:
    shot = numpy.asarray(screen.grab(screen.monitors[0]))
print("colours", len(numpy.unique(shot.reshape(-1, 4), axis=0)))
env.close()
"""
    result = subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 800x700x24", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    printed = dict(line.split() for line in result.stdout.splitlines() if " " in line)
    # 120 frames at 60 a second are 2 s; at full speed they would take a tenth of that
    assert float(printed["seconds"]) > 1.5
    assert int(printed["colours"]) > 10


@pytest.mark.parametrize(
    ("argument", "value", "named"),
    [
        ("frame_skip", 0, "frame_skip must be .*got 0"),
        ("frame_stack", 0, "frame_stack must be .*got 0"),
        ("noop_max", -1, "noop_max must be .*got -1"),
        ("stuck_steps", -1, "stuck_steps must be at least 0, got -1"),
        ("max_steps", -1, "max_steps must be at least 0, got -1"),
        ("sticky_action_probability", 1.5, "sticky_action_probability must be .*got 1.5"),
        ("render_mode", "ansi", "render_mode .*ansi"),
        ("level", "9-1", "9-1"),
        ("frames", "film", "frames .*film"),
        ("actions", "everything", "everything"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(
    make: MakeEnv, argument: str, value: object, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        make(**{argument: value})


def test_another_level_is_not_the_one_to_be_cleared(make: MakeEnv) -> None:
    env = make()
    env.reset()
    env._episode.level = Level(4, 1)  # as if 1-1 had been reached from there
    _, _, terminated, truncated, info = env.step(RIGHT)
    assert terminated and not truncated
    assert (info["end_cause"], info["is_success"]) == ("warp", False)


def test_a_reset_forgets_a_step_that_the_game_could_not_make(make: MakeEnv) -> None:
    env = make(stuck_steps=0)
    env.reset()
    while not env.step(RIGHT)[2]:
        pass
    env.begin_step(RIGHT)  # the episode is over
    env.reset()
    env.step(RIGHT)
    assert env.reconnects == 0


def test_an_action_that_is_none_is_refused_and_costs_no_emulator(make: MakeEnv) -> None:
    env = make()
    env.reset()
    for action in (-1, 7):
        with pytest.raises(ValueError, match=f"action must be from 0 to 6, got {action}"):
            env.step(action)
    env.step(RIGHT)
    env.reset()
    assert env.reconnects == 0


def test_a_step_before_the_first_reset_is_refused(make: MakeEnv) -> None:
    with pytest.raises(gym.error.ResetNeeded):
        make().step(0)
