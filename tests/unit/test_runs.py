"""Rows that share a record: what it holds, what each row gets, and how it is parted when Marketo refuses it."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncd.core.outbox import ClaimedRow, Shape
from syncd.core.runs import Run, runs

SHAPE = Shape("create_or_update", "email", None)


def row(number: int, follows: int | None = None, **payload: Any) -> ClaimedRow:
    return ClaimedRow(
        number,
        {"email": "a@b.com"} | payload,
        attempts=1,
        unknown=False,
        on_unknown_outcome="hold",
        follows=follows,
    )


def run(*payloads: dict[str, Any]) -> Run:
    return Run(tuple(row(number, 1, **payload) for number, payload in enumerate(payloads, 1)))


def test_rows_are_grouped_by_the_row_that_they_follow_in_their_order():
    found = runs([row(1), row(2), row(3, 1), row(4, 2), row(5), row(6, 1)])
    assert [[r.id for r in together.rows] for together in found] == [[1, 3, 6], [2, 4], [5]]


payloads = st.lists(
    st.dictionaries(st.sampled_from(["phone", "city"]), st.sampled_from(["1", "2", None])),
    min_size=1,
    max_size=6,
)


@given(payloads)
def test_the_record_holds_what_the_rows_would_leave_behind_one_after_the_other(written):
    state: dict[str, Any] = {}
    for payload in written:
        state.update(payload)
    assert run(*written).record == {"email": "a@b.com"} | state


def test_only_the_first_row_made_the_lead_and_a_row_alone_is_told_nothing_of_others():
    assert run({}, {}).results(7, "created") == [
        {"id": 7, "status": "created", "sent_as_one_with": 2},
        {"id": 7, "status": "updated", "sent_as_one_with": 2},
    ]
    assert run({}).results(7, "created") == [{"id": 7, "status": "created"}]


def parted(which: Run, code: str = "1003", message: str = "no") -> tuple[list[int], list[list[int]]]:
    refused, rest = which.parted(SHAPE, code, message)
    return [r.id for r in refused], [[r.id for r in part.rows] for part in rest]


def test_the_last_row_that_sets_the_field_that_marketo_names_is_to_blame():
    three = run({"leadScore": "x"}, {"leadScore": "y"}, {"city": "Rome"})
    assert parted(three, message="Invalid value for field 'leadScore' and value 'y'") == ([2], [[1, 3]])


def test_without_a_name_the_run_is_halved_until_one_row_stands_alone():
    assert parted(run({}, {}, {})) == ([], [[1], [2, 3]])
    assert parted(run({})) == ([1], [])


def test_rows_that_may_have_taken_effect_together_stay_together_whatever_came_between_them():
    def doubted(*numbers: int) -> Run:
        return Run(tuple(replace(r, unknown=r.id in numbers) for r in run({}, {}, {}, {}).rows))

    assert parted(doubted(1, 3)) == ([], [[1, 2, 3], [4]])
    assert parted(doubted(1)) == ([], [[1, 2], [3, 4]])
    assert parted(doubted(1, 2, 3, 4)) == ([], [[1, 2], [3, 4]])


def test_a_refusal_of_the_lead_itself_holds_for_all_rows():
    assert parted(run({}, {}), "1004", "Lead not found") == ([1, 2], [])
    assert parted(run({}, {}), message="Invalid value for field 'email' and value 'a'") == ([1, 2], [])


@given(payloads, st.sets(st.sampled_from(["phone", "city"])))
def test_parting_ends_and_blames_each_row_at_most_once(written, named):
    message = "".join(f"Invalid value for field '{name}'" for name in sorted(named))
    open_, blamed = [run(*written)], []
    for _ in range(50):
        if not open_:
            break
        refused, rest = open_.pop(0).parted(SHAPE, "1003", message)
        blamed += [r.id for r in refused]
        open_ = [*rest, *open_]
    assert sorted(blamed) == list(range(1, len(written) + 1))
