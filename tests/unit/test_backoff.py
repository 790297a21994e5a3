"""Exponential back-off with full jitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.backoff import full_jitter


@pytest.mark.parametrize(
    ("attempt", "bound"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (1000, 60)]
)
def test_the_bound_doubles_up_to_the_cap(attempt, bound):
    assert full_jitter(attempt, base=2, cap=60, chance=1 - 1e-12) == pytest.approx(bound)
    assert full_jitter(attempt, base=2, cap=60, chance=0.5) == bound / 2
    assert full_jitter(attempt, base=2, cap=60, chance=0) == 0


@given(st.integers(1, 10**9), st.floats(0.001, 1e6), st.floats(0.001, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_negative_never_over_the_cap_and_never_an_overflow(attempt, base, cap, chance):
    assert 0 <= full_jitter(attempt, base=base, cap=cap, chance=chance) <= cap
