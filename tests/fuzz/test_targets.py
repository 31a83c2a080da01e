"""The short form of ``make fuzz``: the same targets, fed by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

INPUTS = 5_000
INPUT_BYTES = 100


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_undocumented_comes_of_any_input(target: str) -> None:
    @settings(max_examples=INPUTS, deadline=None, derandomize=True, database=None)
    @given(st.binary(min_size=INPUT_BYTES, max_size=INPUT_BYTES))
    def fuzz(data: bytes) -> None:
        TARGETS[target](data)

    fuzz()
