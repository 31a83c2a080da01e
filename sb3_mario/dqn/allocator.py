"""Keeps the memory that torch frees, where the C library would give it back.

A gradient step takes and frees some tens of megabytes in pieces of up to a few. glibc returns such
pieces to the kernel at once and gets them back page by page, each filled with zeros: about 2,600
page faults a gradient step, an eighth of its time (counted in ``/proc/PID/stat``).
"""

from __future__ import annotations

import ctypes
from typing import Final

# <malloc.h>
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3

LARGEST_PIECE: Final = 32 * 2**20  # bytes; glibc allows no more
KEPT: Final = 512 * 2**20  # bytes at most that lie free


def keep_freed_memory() -> bool:
    """Let this process keep up to `KEPT` bytes of freed memory; larger pieces still go back.

    Returns:
        Whether that was possible: glibc only.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Windows, macOS, musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_PIECE) and mallopt(M_TRIM_THRESHOLD, KEPT))
