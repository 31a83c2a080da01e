"""The strip that says which frame a picture shows, for pictures taken from the screen.

64 cells of 4x8 pixels, black for 0 and white for 1: the frame's id and a check code, 32 bits each,
highest bit first. It stands in the picture's first 8 lines and again in its last 8.

The code is the CRC-32 of four big-endian u32: the launch's key, the frame's id, and two sums over
the picture between the strips, modulo 2^32. Every 8th pixel of every 8th line counts as
R * 65536 + G * 256 + B; one sum adds these numbers, the other adds the first sum after each. So a
picture of another emulator, one that something hides more than 8x8 pixels of, and a mix of two
frames are all told from a good one.

Twin of ``lua_bridge/strip.lua``; ``tests/vectors/strip.json`` holds both together.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from sb3_mario.emulator.protocol import HEIGHT, WIDTH

LINES: Final = 8
CELL: Final = 4  # pixels
GRID: Final = 8  # pixels from one that counts to the next
BLOCK: Final = 16  # lines

_SAMPLES: Final = (slice(LINES + GRID // 2, HEIGHT - LINES, GRID), slice(GRID // 2, WIDTH, GRID))
_COUNT: Final = ((HEIGHT - 2 * LINES) // GRID) * (WIDTH // GRID)
_WEIGHTS: Final = np.arange(_COUNT, 0, -1, dtype=np.int64)


def code(picture: npt.NDArray[np.uint8], key: int, frame_id: int) -> int:
    """Return the check code of a picture.

    Args:
        picture: ``(240, 256, 4)`` uint8: blue, green, red, anything; C-contiguous.
        key: The launch's, 0 to 2^32 - 1.
        frame_id: Likewise.
    """
    samples = picture.view("<u4")[:, :, 0][_SAMPLES].ravel().astype(np.int64) & 0xFFFFFF
    sums = int(samples.sum()), int(samples @ _WEIGHTS)
    words = (key, frame_id, *(total % 2**32 for total in sums))
    return zlib.crc32(np.array(words, ">u4").tobytes())


def read(picture: npt.NDArray[np.uint8], key: int) -> int | None:
    """Return the id of the frame that a picture shows.

    Args:
        picture: As for `code`.
        key: The launch's.

    Returns:
        The id; None where a strip is unreadable, the two differ, or the code does not fit.
    """
    bits = picture[:, CELL // 2 :: CELL, 1] > 127
    rows = np.packbits(np.concatenate((bits[:LINES], bits[-LINES:])), axis=1)
    if (rows != rows[0]).any():
        return None
    frame_id, written = (int(word) for word in rows[0].view(">u4"))
    return frame_id if written == code(picture, key, frame_id) else None


def cut(picture: npt.NDArray[np.uint8]) -> None:
    """Replace the strips, in place, by what they most probably hide.

    Above, the line below the strip: in Super Mario Bros. sky, wall or darkness. Below, what stands
    one block of 16 lines higher: the ground there is two blocks deep. In the levels that is what
    the game draws but for sprites in these lines and a few edges.

    Args:
        picture: ``(240, 256, channels)``.
    """
    picture[:LINES] = picture[LINES]
    picture[-LINES:] = picture[-LINES - BLOCK : -BLOCK]
