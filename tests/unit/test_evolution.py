"""What is done to a column when its field changes: it is only ever widened."""

import pytest

from syncd.core.evolution import Known, by_pages, plan, widened
from syncd.core.fields import COLUMN_TYPES, FieldFacts
from syncd.core.policy import EVERYTHING, FieldPolicy


@pytest.mark.parametrize(
    ("column", "data_type", "becomes"),
    [
        ("bigint", "integer", None),
        ("bigint", "percent", "numeric"),
        ("bigint", "float", "numeric"),
        ("double precision", "integer", "numeric"),
        ("numeric", "integer", None),
        ("numeric", "float", None),
        ("numeric", "string", "text"),
        ("bigint", "string", "text"),
        ("boolean", "integer", "text"),
        ("date", "datetime", "timestamptz"),
        ("timestamptz", "date", "text"),
        ("text", "integer", None),
        ("text", "boolean", None),
        ("date", "formula", "text"),
    ],
)
def test_how_a_column_is_widened(column, data_type, becomes):
    assert widened(column, data_type) == becomes


@pytest.mark.parametrize("data_type", [*COLUMN_TYPES, "string"])
@pytest.mark.parametrize("column", sorted({*COLUMN_TYPES.values(), "text"}))
def test_a_column_comes_to_rest(column, data_type):
    assert widened(widened(column, data_type) or column, data_type) is None


def known(name: str, kind: str = "string", **more: object) -> dict[str, Known]:
    return {name: Known(FieldFacts(name, name, kind), name.lower(), "text", **more)}


def test_a_field_that_is_the_same_asks_for_nothing():
    (step,) = plan([FieldFacts("A", "A", "string")], known("A"), EVERYTHING, ["a"], 10)
    assert (step.add, step.retype, step.content, step.refill) == (None, None, "stays", False)


def test_a_field_that_is_back_is_filled_and_one_that_is_gone_is_not():
    back, gone = known("A", removed=True), known("B", removed=True)
    steps = plan([FieldFacts("A", "A", "string")], back | gone, EVERYTHING, ["a", "b"], 10)
    assert [(s.facts.name, s.refill) for s in steps] == [("A", True), ("B", False)]


def test_the_settings_hold_for_fields_that_are_gone_too():
    (step,) = plan([], known("A", removed=True), FieldPolicy(exclude=("a",)), ["a"], 0)
    assert (step.kept_as, step.content) == ("excluded", "emptied")


def test_a_field_that_was_never_mirrored_and_is_left_out_gets_no_column():
    (step,) = plan([FieldFacts("A", "A", "string")], {}, FieldPolicy(exclude=("a",)), [], 10)
    assert (step.kept_as, step.column, step.add) == ("excluded", None, None)


def test_fields_without_room_are_refused_one_by_one():
    facts = [FieldFacts(f"f{n}", "F", "string") for n in range(4)]
    steps = plan(facts, {}, FieldPolicy(exclude=("f0",)), [], 2)
    assert [s.kept_as for s in steps] == ["excluded", "plain", "plain", "no_room"]


@pytest.mark.parametrize(
    ("leads", "windows", "pages"), [(0, 0, True), (1200, 1, True), (1201, 1, False), (10**6, 120, False)]
)
def test_pages_are_read_where_they_cost_no_more_calls(leads, windows, pages):
    assert by_pages(leads, windows) is pages
