"""What an agent sees: stacks of pictures, of numbers from memory, or of both."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_mario.emulator.protocol import State
from sb3_mario.game import tiles
from sb3_mario.game.features import STATE_SIZE, state_vector
from sb3_mario.game.memory import GameState
from sb3_mario.game.tiles import Cell, semantic_grid

Kind: TypeAlias = Literal["pixels", "pixels+state", "tiles"]
KINDS: Final = ("pixels", "pixels+state", "tiles")


class Observations:
    """Makes observations of states, newest frame last.

    - ``pixels``: ``(frame_stack, frame_size, frame_size)`` uint8, the picture in gray
    - ``pixels+state``: a dict of ``pixels`` as above and ``state``, ``(57,)`` float32 of the newest
      frame: see `sb3_mario.game.features`
    - ``tiles``: a dict of ``tiles``, ``(frame_stack, 13, 16)`` uint8: see `sb3_mario.game.tiles`,
      and ``state``, ``(frame_stack, 57)`` float32

    Args:
        kind: One of these.
        frame_stack: Frames in a stack.
        frame_size: Height and width of a picture, pixels.

    Attributes:
        space: The observation space.
        needs_picture: Whether states must have their picture.

    Raises:
        ValueError: There is no such kind.
    """

    def __init__(self, kind: str, frame_stack: int, frame_size: int) -> None:
        if kind not in KINDS:
            raise ValueError(f"obs must be one of {', '.join(KINDS)}, got {kind!r}")
        self._kind = kind
        self._size = (frame_size, frame_size)
        self.needs_picture = kind != "tiles"
        pixels = spaces.Box(0, 255, (frame_stack, frame_size, frame_size), np.uint8)
        if kind == "pixels":
            self.space: spaces.Space[Any] = pixels
        elif kind == "pixels+state":
            self.space = spaces.Dict(
                pixels=pixels, state=spaces.Box(-1, 1, (STATE_SIZE,), np.float32)
            )
        else:
            self.space = spaces.Dict(
                tiles=spaces.Box(0, max(Cell), (frame_stack, tiles.ROWS, tiles.COLUMNS), np.uint8),
                state=spaces.Box(-1, 1, (frame_stack, STATE_SIZE), np.float32),
            )
        parts = self.space.spaces if isinstance(self.space, spaces.Dict) else {"pixels": pixels}
        self._stacks: dict[str, npt.NDArray[Any]] = {
            name: np.zeros_like(box.sample()) for name, box in parts.items()
        }

    def restart(self, state: State, game: GameState) -> Any:
        """Return the observation after a reset: the first frame fills the stacks."""
        for name, frame in self._frame(state, game).items():
            self._stacks[name][:] = frame
        return self.newest()

    def advance(self, state: State, game: GameState) -> Any:
        """Return the observation after a step."""
        for name, frame in self._frame(state, game).items():
            stack = self._stacks[name]
            if stack.ndim > 1:
                stack[:-1] = stack[1:]
                stack[-1] = frame
            else:
                stack[:] = frame
        return self.newest()

    def _frame(self, state: State, game: GameState) -> dict[str, npt.NDArray[Any]]:
        if self._kind == "pixels":
            return {"pixels": self._small(state)}
        if self._kind == "pixels+state":
            return {"pixels": self._small(state), "state": state_vector(game)}
        return {"tiles": semantic_grid(game), "state": state_vector(game)}

    def _small(self, state: State) -> npt.NDArray[Any]:
        """Return the picture in gray, ``(frame_size, frame_size)``."""
        assert state.frame is not None
        gray = cv2.cvtColor(state.frame, cv2.COLOR_RGBA2GRAY)
        small: npt.NDArray[Any] = cv2.resize(gray, self._size, interpolation=cv2.INTER_AREA)
        return small

    def newest(self) -> Any:
        """Return the newest observation, once more."""
        copies = {name: stack.copy() for name, stack in self._stacks.items()}
        return copies["pixels"] if self._kind == "pixels" else copies
