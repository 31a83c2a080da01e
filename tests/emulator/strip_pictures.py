"""Pictures as FCEUX shows them on the screen, strips and all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sb3_mario.emulator import strip

KEY = 0x12345678
Picture = npt.NDArray[np.uint8]


def noise(seed: int) -> Picture:
    """A picture that differs from every other seed's at almost every pixel."""
    return np.random.default_rng(seed).integers(0, 256, (240, 256, 4), np.uint8)


def draw_cells(picture: Picture, cells: str) -> None:
    """Draw the 64 cells, ``"0"`` and ``"1"``, over the picture's first and last lines."""
    bits = np.array([cell == "1" for cell in cells])
    line = np.repeat(bits, strip.CELL)[:, None] * np.uint8(255)
    picture[: strip.LINES] = line
    picture[-strip.LINES :] = line


def shown(picture: Picture, frame_id: int, key: int = KEY) -> Picture:
    """The picture of a frame, with its strips."""
    result: Picture = picture.copy()
    draw_cells(result, f"{frame_id:032b}{strip.code(picture, key, frame_id):032b}")
    return result
