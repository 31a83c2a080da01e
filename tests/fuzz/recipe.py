"""Choices read from bytes: a fuzzer that changes the bytes changes what is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Recipe:
    """Hands out choices until the bytes are used up, and the first of each from then on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        """The next bytes, fewer at the end."""
        taken = self._data[self._position : self._position + count]
        self._position += count
        return taken

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``, at most 65,535."""
        return self.integer(1 if limit <= 256 else 2) % limit

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def mutate(self, data: bytes) -> bytes:
        """Change a few bytes, or none."""
        changed = bytearray(data)
        for _ in range(self.below(4)):
            start = self.integer(2) % (len(changed) + 1)
            stop = start + self.below(4)
            changed[start:stop] = self.take(self.below(4))
        return bytes(changed)
