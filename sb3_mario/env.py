"""Super Mario Bros. on FCEUX as a Gymnasium environment."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import operator
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_mario.emulator import deadlines
from sb3_mario.emulator.errors import BridgeError, EmulatorError, RefusedError, StartError
from sb3_mario.emulator.fceux import Fceux, find_fceux
from sb3_mario.emulator.protocol import MAX_NOOPS, State
from sb3_mario.emulator.sync import SyncCounters
from sb3_mario.game.actions import BUTTONS, button_masks
from sb3_mario.game.episode import Episode
from sb3_mario.game.levels import Level
from sb3_mario.game.memory import GameState
from sb3_mario.game.rewards import RewardWeights, compute_reward
from sb3_mario.game.roms import find_rom
from sb3_mario.game.selftest import self_test
from sb3_mario.observations import Observations

MAX_FAULTS = 5
"""Faults of FCEUX in a row, without a step in between, that a run survives."""


class SuperMarioBrosEnv(gym.Env[Any, np.int64]):
    """One level, or the whole game, on an emulator of its own.

    Observation: ``Box(0, 255, (frame_stack, 84, 84), uint8)``, gray, newest frame last; after a
    reset the first frame fills the stack; ``obs`` chooses others. Action: ``Discrete(n)``, one of
    ``actions``, held for ``frame_skip`` frames. Reward: see
    `sb3_mario.game.rewards.compute_reward`.

    An episode terminates when Mario dies or clears the level (in the whole game: when the game is
    over or won) and is truncated when he is stuck or after ``max_steps``. FCEUX starts at the
    first `reset`, is tested, and ends at `close`; a reset loads a state from memory, which takes
    less than a frame. The same seed and actions give the same memory and the same pictures.

    When FCEUX dies, hangs or speaks nonsense, the episode is truncated, with a warning, and the
    next `reset` starts another FCEUX. What the step in flight would have led to is not known then:
    its observation is the last one, its reward 0, and ``info["step_lost"]`` is True, so that
    nobody learns from it.

    ``info`` of every step, in plain Python types:

    - ``coins``: coins
    - ``flag_get``: whether the level is cleared
    - ``life``: lives left
    - ``score``: score
    - ``stage``, ``world``: from 1
    - ``status``: ``"small"``, ``"tall"`` or ``"fireball"``
    - ``time``: the game's clock
    - ``x_pos``, ``y_pos``: pixels; y from the bottom
    - ``max_x``: largest ``x_pos`` of the episode
    - ``progress``: largest share of a level done in the episode, 0 to 1
    - ``power``: 0 small, 1 tall, 2 fire
    - ``frames``: frames run in this episode, with the no-ops at its start
    - ``frame_id``: id of the frame, counted from the episode's start
    - ``sync_*``: ``frames``, ``retakes``, ``mismatches`` of this episode: see `SyncCounters`;
      ``reconnects``, the emulators that broke in it or at its start
    - ``ram_hash``: SHA-1 of the memory, where ``ram_hash=True``
    - ``end_cause``: on the last step: ``flag``, ``pit``, ``enemy``, ``clock``, ``warp`` (into
      another level, which is not the one that was to be cleared), ``game_over``, ``stuck``,
      ``step_limit`` or ``emulator``
    - ``is_success``: on the last step: the same as ``flag_get``, under SB3's name; not where the
      emulator broke
    - ``step_lost``: True where the emulator broke in this step, else not there

    Args:
        level: ``"1-1"`` to ``"8-4"``, or None for the whole game.
        rom: Path of the ROM; None looks in the usual places, see
            `sb3_mario.game.roms.find_rom`.
        frames: Where pictures come from: ``"bridge"``, with the state, or ``"screen"``, from
            FCEUX's window: the one that is shown, or one on a private display. Between the first
            and the last 8 lines, which the screen's lack (see `sb3_mario.emulator.strip`), both
            are the same, pixel for pixel. ``"screen"`` takes longer and needs Linux with X11,
            python-xlib, and Xvfb where no window is shown.
        obs: ``"pixels"``, ``"pixels+state"`` or ``"tiles"``: see
            `sb3_mario.observations.Observations`. With ``"tiles"`` no pictures are sent.
        actions: ``"right_only"``, ``"simple"``, ``"complex"``, or a list of lists of buttons.
        jump_again: An action with A lets go of it for its first frame where Mario stands, or swims,
            with A held, so that he always jumps. The game wants A pressed anew for each jump, and
            pictures do not show what is held: without this an agent that sees only them and always
            takes the best action stands before a pipe for ever. False for the game's own way, which
            is gym-super-mario-bros'.
        frame_skip: Frames an action is held.
        frame_stack: Frames in an observation.
        frame_size: Height and width of a frame in an observation, pixels.
        noop_max: After a reset, 1 to ``noop_max`` frames (drawn at random) pass without a button,
            so that episodes differ; 0 for none. ``reset(options={"noops": n})`` sets a number.
        sticky_action_probability: Probability, drawn for each frame, that the buttons of the step
            before stay held one frame longer (Machado et al. 2018, section 5.2; per frame, as in
            the Arcade Learning Environment and in SB3's ``AtariWrapper``).
        stuck_steps: Steps without a new largest x until truncation; 0 for never.
        max_steps: Steps until truncation; 0 for never.
        reward_weights: A `RewardWeights` or its fields as a mapping.
        ram_hash: Put ``ram_hash`` into ``info``.
        window: Show FCEUX's window, at full speed.
        render_mode: ``"rgb_array"`` (``(240, 256, 3)`` uint8), ``"human"`` (FCEUX's window at 60
            frames a second) or None.
        timeout: Seconds to wait for each answer of the emulator, and for each picture on the
            screen.

    Raises:
        RomError: There is no ROM, or the file is none.
        StartError: FCEUX is missing; at the first `reset` also where a display, or what
            ``frames="screen"`` needs, is.
        ValueError: An argument is out of range.

    Example:
        >>> import gymnasium as gym, sb3_mario
        >>> env = gym.make("sb3_mario/SuperMarioBros-1-1-v0")
        >>> observation, info = env.reset(seed=1)
        >>> observation.shape
        (8, 84, 84)
        >>> env.close()
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in Gymnasium
        "render_modes": ["rgb_array", "human"],
        "render_fps": 15,
    }

    def __init__(
        self,
        level: str | None = "1-1",
        *,
        rom: str | os.PathLike[str] | None = None,
        frames: str = "bridge",
        obs: str = "pixels",
        actions: str | Sequence[Sequence[str]] = "simple",
        jump_again: bool = True,
        frame_skip: int = 4,
        frame_stack: int = 8,
        frame_size: int = 84,
        noop_max: int = 30,
        sticky_action_probability: float = 0.0,
        stuck_steps: int = 150,
        max_steps: int = 27_000,
        reward_weights: RewardWeights | Mapping[str, float] | None = None,
        ram_hash: bool = False,
        window: bool = False,
        render_mode: str | None = None,
        timeout: float = deadlines.ANSWER_SECONDS,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'rgb_array' or 'human', got {render_mode!r}")
        if frames not in ("bridge", "screen"):
            raise ValueError(f"frames must be 'bridge' or 'screen', got {frames!r}")
        _check_range("frame_skip", frame_skip, 1, 60)
        _check_range("frame_stack", frame_stack, 1, 64)
        _check_range("frame_size", frame_size, 8, 240)
        _check_range("noop_max", noop_max, 0, MAX_NOOPS)
        _check_range("sticky_action_probability", sticky_action_probability, 0, 1)
        _check_range("stuck_steps", stuck_steps, 0, math.inf)
        _check_range("max_steps", max_steps, 0, math.inf)
        self.whole_game = level is None
        self.level = Level.parse(level or "1-1")
        self.rom = find_rom(rom)
        find_fceux()
        self.jump_again = jump_again
        self.frame_skip = frame_skip
        self.noop_max = noop_max
        self.sticky_action_probability = sticky_action_probability
        self.stuck_steps = stuck_steps
        self.max_steps = max_steps
        self.reward_weights = (
            reward_weights
            if isinstance(reward_weights, RewardWeights)
            else RewardWeights(**(reward_weights or {}))
        )
        self.render_mode = render_mode
        self._ram_hash = ram_hash
        self._screen = frames == "screen"
        self._window = window or render_mode == "human"
        self._timeout = timeout
        self._buttons = button_masks(actions)
        self._fceux: Fceux | None = None
        self._state: State | None = None
        self._sent: int | None = None  # action under way
        self._send_error: BridgeError | None = None  # why it is not
        self._worked = False  # an FCEUX has been started
        self._counters = SyncCounters()  # of all its emulators
        self._faults = 0  # in a row
        self.reconnects = 0  # emulators started after the first
        # Seconds spent since this was made: waiting for FCEUX's answers, receiving them, and
        # making observations of them.
        self.seconds = {"emulator": 0.0, "wire": 0.0, "preprocessing": 0.0}
        self._observations = Observations(obs, frame_stack, frame_size)
        self._wants_picture = self._observations.needs_picture or render_mode == "rgb_array"
        self.observation_space = self._observations.space
        self.action_space = gym.spaces.Discrete(len(self._buttons))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the no-ops and the sticky actions.
            options: ``{"noops": n}`` sets the number of frames without a button; fewer are run
                where the player would die of them.

        Returns:
            Observation and info.

        Raises:
            EmulatorError: FCEUX did not start, or broke more than `MAX_FAULTS` times in a row.
            SelfTestError: The fresh emulator does not show a game being played.
        """
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(1, self.noop_max + 1)) if self.noop_max else 0
        # Of its own, so that the next episode's start does not depend on how long this one lasts.
        self._sticky_random = np.random.default_rng(self.np_random.integers(2**63))
        noops = operator.index((options or {}).get("noops", drawn))
        _check_range("options['noops']", noops, 0, MAX_NOOPS)
        self._reconnects_before = self.reconnects
        mismatches = self._counters.mismatches
        while True:
            try:
                state = self._first_state(noops)
                if not state.ended:
                    break
                noops //= 2  # nobody lives that long without a button
            except (BridgeError, StartError) as error:
                if isinstance(error, StartError) and not self._worked:
                    raise  # the installation is at fault
                self._fault(error)
        self._counters_before.mismatches = mismatches
        self._state = state
        self._game = GameState.from_ram(state.ram)
        self._held = 0
        self._frames = state.advanced
        self._first_frame_id = state.frame_id - state.advanced
        self._episode = Episode(
            None if self.whole_game else self.level, self._game, self.stuck_steps, self.max_steps
        )
        return self._observations.restart(state, self._game), self._info()

    def _first_state(self, noops: int) -> State:
        bridge = self._emulator().bridge
        if self._sent is not None:
            self._sent = None
            with contextlib.suppress(RefusedError):  # the game could not go on: now it begins
                bridge.receive_step()
        self._counters_before = dataclasses.replace(self._counters)
        return bridge.reset(
            self.level.world,
            self.level.stage,
            noops=noops,
            whole_game=self.whole_game,
            frame=self._wants_picture,
        )

    @property
    def state(self) -> GameState:
        """The newest state; after a `reset`."""
        return self._game

    def begin_step(self, action: np.int64 | int) -> None:
        """Send an action, so that FCEUX works while this process does something else.

        ``step`` with the same action must follow; it returns the result.

        Args:
            action: Index into the action set.

        Raises:
            ValueError: There is no such action.
        """
        if self._fceux is None or self._state is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        if self._sent is not None:
            raise RuntimeError(f"begin_step({self._sent}) is under way: call step() first")
        if not 0 <= action < len(self._buttons):
            raise ValueError(f"action must be from 0 to {len(self._buttons) - 1}, got {action}")
        self._sent = int(action)
        buttons = self._buttons[self._sent]
        late = self._sticky_frames()
        first, first_frames = (self._held if late else buttons), late
        presses_a = late < self.frame_skip and self._held & buttons & BUTTONS["A"]
        if self.jump_again and presses_a and self._game.can_jump:
            first, first_frames = first & ~BUTTONS["A"], max(late, 1)
        self._held = first if first_frames == self.frame_skip else buttons
        try:
            self._fceux.bridge.send_step(
                buttons,
                self.frame_skip,
                first=first,
                first_frames=first_frames,
                frame=self._wants_picture,
            )
        except BridgeError as error:
            self._send_error = error  # the episode ends with the step

    def _sticky_frames(self) -> int:
        """Draw how many frames of a step the buttons of the step before stay held."""
        if not self.sticky_action_probability:
            return 0
        sticks = self._sticky_random.random(self.frame_skip) < self.sticky_action_probability
        return self.frame_skip if sticks.all() else int(sticks.argmin())

    def step(self, action: np.int64 | int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Hold the action's buttons for ``frame_skip`` frames, fewer where the episode ends.

        Args:
            action: Index into the action set.

        Returns:
            Observation, reward, terminated, truncated, info.

        Raises:
            EmulatorError: FCEUX broke more than `MAX_FAULTS` times in a row.
        """
        if self._sent is None:
            self.begin_step(action)
        elif self._sent != action:
            raise ValueError(f"step({action}) cannot follow begin_step({self._sent})")
        assert self._fceux is not None
        self._sent = None
        counters = self._counters
        waited, received = counters.emulator_seconds, counters.wire_seconds
        try:
            if self._send_error is not None:
                raise self._send_error
            state = self._fceux.bridge.receive_step()
        except (BridgeError, RefusedError) as error:  # refused: the game cannot go on
            return self._cut_off(error)
        self._faults = 0
        start = time.perf_counter()
        self.seconds["emulator"] += counters.emulator_seconds - waited
        self.seconds["wire"] += counters.wire_seconds - received
        result = self._result(state)
        self.seconds["preprocessing"] += time.perf_counter() - start
        return result

    def _result(self, state: State) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return what `step` returns for the state after it."""
        before, game = self._game, GameState.from_ram(state.ram)
        self._state, self._game = state, game
        self._frames += state.advanced
        observation = self._observations.advance(state, game)
        # Frames that were skipped moved nothing that the player could be paid for.
        played = min(state.advanced, self.frame_skip)
        reward = compute_reward(before, game, played, self.reward_weights)
        end_cause = self._episode.advance(before, game)
        info = self._info()
        if end_cause is not None:
            info["end_cause"] = end_cause
            info["is_success"] = game.flag_get  # SB3 makes rollout/success_rate of it
        truncated = end_cause in ("stuck", "step_limit")
        terminated = end_cause is not None and not truncated
        return observation, reward, terminated, truncated, info

    def _cut_off(self, error: EmulatorError) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return what `step` returns where FCEUX broke: the episode is cut off before it."""
        self._fault(error)
        lost = {"end_cause": "emulator", "step_lost": True}
        return self._observations.newest(), 0.0, False, True, self._info() | lost

    def render(self) -> npt.NDArray[np.uint8] | None:
        """Return the newest picture, ``(240, 256, 3)`` uint8, where ``render_mode`` asks for it."""
        if self.render_mode != "rgb_array" or self._state is None:
            return None
        assert self._state.frame is not None
        picture: npt.NDArray[np.uint8] = self._state.frame[:, :, :3].copy()
        return picture

    def close(self) -> None:
        """End FCEUX."""
        self._sent = self._send_error = None
        if self._fceux is not None:
            self._fceux.close()
            self._fceux = None
        self._state = None

    def _emulator(self) -> Fceux:
        if self._fceux is None:
            self._fceux = Fceux(
                self.rom.path,
                window=self._window,
                screen=self._screen,
                speed="normal" if self.render_mode == "human" else "maximum",
                counters=self._counters,
                timeout=self._timeout,
            )
            try:
                self_test(self._fceux.bridge, self.level)
            except BaseException:
                self.close()
                raise
            self._worked = True
        return self._fceux

    def _fault(self, error: EmulatorError) -> None:
        """Count a fault and end what is left of FCEUX; the next reset starts another one."""
        words, gone = "", ""
        if self._fceux is not None:
            gone = f" in place of process {self._fceux.pid}"
            words = f"\n{self._fceux.output()}"
            self._fceux.kill()
            self._fceux = None
        self._sent = self._send_error = None
        self._faults += 1
        self.reconnects += 1
        if self._faults > MAX_FAULTS:
            raise EmulatorError(
                f"FCEUX broke {self._faults} times in a row, at last with: {error}{words}\n"
                "`python -m sb3_mario.doctor` checks the installation and this machine."
            ) from error
        # The numbers make each text another one: Python shows the same warning once.
        warnings.warn(
            f"fault {self.reconnects}: {error}. Another FCEUX is started{gone}, the episode is "
            "cut off",
            stacklevel=3,
        )

    def _info(self) -> dict[str, Any]:
        assert self._state is not None
        game, counters, before = self._game, self._counters, self._counters_before
        info: dict[str, Any] = {
            "coins": game.coins,
            "flag_get": game.flag_get,
            "life": game.lives,
            "score": game.score,
            "stage": game.stage,
            "status": game.status,
            "time": game.time,
            "world": game.world,
            "x_pos": game.x_pos,
            "y_pos": game.y_pos,
            "max_x": self._episode.max_x,
            "progress": self._episode.progress,
            "power": game.power,
            "frame_id": self._state.frame_id - self._first_frame_id,
            "frames": self._frames,
            "sync_frames": counters.frames - before.frames,
            "sync_retakes": counters.retakes - before.retakes,
            "sync_mismatches": counters.mismatches - before.mismatches,
            "sync_reconnects": self.reconnects - self._reconnects_before,
        }
        if self._ram_hash:
            info["ram_hash"] = hashlib.sha1(self._state.ram, usedforsecurity=False).hexdigest()
        return info


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        bounds = f"from {low} to {high}" if high < math.inf else f"at least {low}"
        raise ValueError(f"{name} must be {bounds}, got {value!r}")
