"""`SumTree` against a list that is summed up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_mario.dqn.priorities import SumTree

SIZES = [1, 2, 63, 64, 65, 4096, 4097, 5000]


def naive_find(priorities: list[float], mass: float) -> int:
    total = 0.0
    for leaf, priority in enumerate(priorities):
        total += priority
        if mass < total:
            return leaf
    return max(leaf for leaf, priority in enumerate(priorities) if priority > 0)


@settings(max_examples=100, deadline=None)
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 2**32 - 1), rounds=st.integers(1, 5))
def test_leaves_are_found_where_a_list_has_them(size: int, seed: int, rounds: int) -> None:
    rng = np.random.default_rng(seed)
    tree, naive = SumTree(size), [0.0] * size
    for _ in range(rounds):
        leaves = rng.integers(size, size=rng.integers(1, 40))
        # Whole numbers, so that both sum up without rounding.
        priorities = rng.integers(0, 50, size=len(leaves)).astype(np.float64)
        tree.set(leaves, priorities)
        for leaf, priority in zip(leaves.tolist(), priorities.tolist(), strict=True):
            naive[leaf] = priority
        assert tree.total == sum(naive)
        assert tree[np.arange(size)].tolist() == naive
    if sum(naive) == 0:
        return
    masses = np.concatenate([rng.uniform(0, tree.total, 50), np.arange(tree.total)[:50]])
    assert tree.find(masses).tolist() == [naive_find(naive, mass) for mass in masses.tolist()]


@settings(max_examples=100, deadline=None)
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 2**32 - 1))
def test_rounding_never_leads_to_a_leaf_without_priority(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tree = SumTree(size)
    leaves = rng.choice(size, size=max(size // 3, 1), replace=False)
    tree.set(leaves, rng.random(len(leaves)) ** 20 + 1e-12)
    ends = np.array(
        [0.0, tree.total, np.nextafter(tree.total, 0), np.nextafter(tree.total, np.inf)]
    )
    found = np.concatenate([tree.find(ends), tree.sample(500, rng)])
    assert np.all(tree[found] > 0)


def test_draws_are_as_frequent_as_the_priorities_say() -> None:
    rng = np.random.default_rng(0)
    tree = SumTree(300)
    priorities = rng.uniform(0, 1, 300) * (rng.random(300) < 0.5)
    tree.set(np.arange(300), priorities)
    counts = np.bincount(np.concatenate([tree.sample(32, rng) for _ in range(5000)]), minlength=300)
    expected = priorities / priorities.sum() * counts.sum()
    there = expected > 0
    assert counts[~there].sum() == 0
    chi_squared = ((counts - expected)[there] ** 2 / expected[there]).sum() / (there.sum() - 1)
    assert 0.6 < chi_squared < 1.4


def test_each_of_the_equal_parts_gives_one_draw() -> None:
    tree = SumTree(100)
    tree.set(np.arange(100), 1.0)
    drawn = tree.sample(50, np.random.default_rng(0))
    assert (drawn // 2).tolist() == list(range(50))


def test_of_two_priorities_for_one_leaf_the_last_counts() -> None:
    tree = SumTree(10)
    tree.set(np.array([3, 3]), np.array([5.0, 2.0]))
    assert tree.total == 2.0


@pytest.mark.parametrize("priority", [-1.0, np.nan, np.inf])
def test_priorities_that_cannot_be_are_refused(priority: float) -> None:
    tree = SumTree(10)
    with pytest.raises(ValueError, match="finite and at least 0"):
        tree.set(np.array([1]), np.array([priority]))
    assert tree.total == 0


def test_a_tree_without_priorities_gives_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        SumTree(10).sample(1, np.random.default_rng(0))


def test_a_tree_without_leaves_is_refused() -> None:
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        SumTree(0)
