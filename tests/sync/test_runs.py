"""Several rows of one lead in one record, against Marketo: one call, each row's own result, nothing out of order."""

from tests.sync.inside import SYNC, Inside


def calls(house: Inside) -> int:
    return house.simulator.calls().get(SYNC, 0)


def test_a_hundred_changes_of_a_lead_are_one_call_and_each_row_has_its_result(filled: Inside) -> None:
    filled.simulator.reset_calls()
    rows = filled.carry_all(
        [("create_or_update", {"email": "new@example.com", "leadScore": n}) for n in range(100)]
    )
    assert calls(filled) == 1
    assert {row["status"] for row in rows} == {"succeeded"}
    assert [row["result"]["status"] for row in rows] == ["created"] + ["updated"] * 99
    assert len({row["lead_id"] for row in rows}) == 1
    assert filled.value("SELECT lead_score FROM lead WHERE email = 'new@example.com'") == 99
    filled.proven()


def test_the_row_with_the_bad_value_fails_alone(filled: Inside) -> None:
    filled.simulator.reset_calls()
    rows = filled.carry_all(
        [
            ("update_only", {"id": 5, "city": "Rome", "leadScore": 1}),
            ("update_only", {"id": 5, "leadScore": "many"}),
            ("update_only", {"id": 5, "city": "Oslo"}),
        ]
    )
    assert [row["status"] for row in rows] == ["succeeded", "failed", "succeeded"]
    assert rows[1]["error_code"] == "1003"
    assert calls(filled) == 2
    lead = filled.lead(5)
    assert lead is not None
    assert (lead["city"], lead["lead_score"]) == ("Oslo", 1)
    filled.proven()


def test_changes_of_a_lead_that_is_gone_fail_with_one_call(filled: Inside) -> None:
    filled.simulator.reset_calls()
    rows = filled.carry_all([("update_only", {"id": 999_999, "city": "Rome"}) for _ in range(4)])
    assert {(row["status"], row["error_code"]) for row in rows} == {("failed", "1004")}
    assert calls(filled) == 1


def test_a_run_of_unknown_outcome_goes_again_as_a_whole(filled: Inside) -> None:
    filled.simulator.fault("reset", SYNC, phase="after")
    rows = filled.carry_all([("update_only", {"id": 5, "leadScore": n}) for n in (7, 8, 9)])
    assert [(row["status"], row["attempts"]) for row in rows] == [("succeeded", 2)] * 3
    filled.proven()
