"""A sum tree over the priorities of a replay buffer, for whole batches at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Priorities = npt.NDArray[np.float64]

# A node has so many children: few levels to walk, and rows short enough to add up at once.
FAN_OUT: Final = 64


class SumTree:
    """Leaves with a priority of at least 0, drawn in proportion to it.

    Every inner node is the sum of its `FAN_OUT` children and is added up anew when one of them
    changes, so that rounding errors do not pile up.

    Args:
        size: Number of leaves; all start at 0.

    Raises:
        ValueError: ``size`` is below 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size
        # Leaves first, the root last; every level but the root is filled up to whole rows.
        self._levels: list[Priorities] = []
        nodes = size
        while True:
            nodes = -(-nodes // FAN_OUT) * FAN_OUT
            self._levels.append(np.zeros(nodes))
            nodes //= FAN_OUT
            if nodes == 1:
                break

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self._levels[-1].sum())

    def __getitem__(self, leaves: Indices) -> Priorities:
        """Return the priorities of leaves, ``(n,)`` float64."""
        return self._levels[0][leaves]

    def set(self, leaves: Indices, priorities: Priorities | float) -> None:
        """Set priorities.

        Args:
            leaves: ``(n,)`` int64; where one comes twice its last priority counts.
            priorities: ``(n,)`` float64, finite and at least 0, or one number for all.

        Raises:
            ValueError: A priority is negative, infinite or no number.
        """
        priorities = np.asarray(priorities, np.float64)
        if not np.all(np.isfinite(priorities) & (priorities >= 0)):
            raise ValueError(f"priorities must be finite and at least 0, got {priorities}")
        self._levels[0][leaves] = priorities
        nodes = leaves
        for below, above in zip(self._levels, self._levels[1:], strict=False):
            nodes = np.unique(nodes // FAN_OUT)
            above[nodes] = below.reshape(-1, FAN_OUT)[nodes].sum(axis=1)

    def find(self, masses: Priorities) -> Indices:
        """Return the leaf at each point of the priorities laid end to end.

        Args:
            masses: ``(n,)`` float64, from 0 to `total`.

        Returns:
            ``(n,)`` int64; never a leaf of priority 0.

        Raises:
            ValueError: All priorities are 0.
        """
        if self.total <= 0:
            raise ValueError("all priorities are 0: there is nothing to draw")
        rest = np.array(masses, np.float64)
        nodes = np.zeros(len(rest), np.int64)
        for level in reversed(self._levels):
            # (n, FAN_OUT): where each child ends
            ends = level.reshape(-1, FAN_OUT)[nodes].cumsum(axis=1)
            # Rounding may put a point at or behind the end of the last child.
            rest = np.minimum(rest, np.nextafter(ends[:, -1], 0))
            children = (ends <= rest[:, None]).sum(axis=1)
            before = np.take_along_axis(ends, np.maximum(children - 1, 0)[:, None], axis=1)[:, 0]
            rest = np.where(children > 0, rest - before, rest)
            nodes = nodes * FAN_OUT + children
        return nodes

    def sample(self, count: int, rng: np.random.Generator) -> Indices:
        """Draw leaves in proportion to their priorities, one from each of ``count`` equal parts.

        Schaul et al. 2016, section 3.3 and appendix B.2.1.

        Args:
            count: Number of leaves.
            rng: Source of chance.

        Returns:
            ``(count,)`` int64.

        Raises:
            ValueError: All priorities are 0.
        """
        points = (np.arange(count) + rng.random(count)) * (self.total / count)
        return self.find(points)
