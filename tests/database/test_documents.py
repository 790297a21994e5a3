"""JSON on its way out of PostgreSQL."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncd.database.documents import parsed

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | NUMBERS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
)
@example({"digits": "1" * 30, "whole": 2**64})
@example(10**400)
def test_json_is_read_to_the_last_digit(value):
    told = json.dumps(value)
    assert parsed(told.encode()) == parsed(told) == value


def test_a_number_with_more_digits_than_python_reads_stays_text():
    assert parsed(b'{"a": ' + b"9" * 5000 + b', "b": 1}') == {"a": "9" * 5000, "b": 1}


def test_nesting_is_read_as_deep_as_python_goes():
    depth = 700
    assert json.dumps(parsed("[" * depth + "]" * depth)) == "[" * depth + "]" * depth
