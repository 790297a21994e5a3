"""Marketo's codes: what each means for the next step."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.codes import classify, next_reset, record_retryable, without_values

NOTHING_WAS_EXECUTED = ["606", "608", "614", "615", "713", "719", "1014", "1016", "1019", "HTTP 429"]
IN_DOUBT = [
    "604",
    "611",
    "500",
    "502",
    "503",
    "504",
    "HTTP 500",
    "HTTP 502",
    "HTTP 503",
    "HTTP 504",
    "transport",
]
PERMANENT = [
    str(code)
    for code in (
        *(
            605,
            609,
            610,
            612,
            613,
            616,
            701,
            703,
            704,
            709,
            710,
            711,
            712,
            714,
            718,
            1001,
            1002,
            1003,
            1004,
            1005,
            1006,
            1007,
            1008,
            1009,
            1010,
            1011,
            1012,
            1013,
            1017,
            1018,
            1021,
            1022,
            1025,
            1026,
            1027,
            1028,
            1035,
            1036,
            1042,
            1048,
            1049,
            1076,
            1077,
            1078,
            1079,
            1080,
            699,
            799,
            1999,
        ),
        *("HTTP 302", "HTTP 400", "HTTP 404", "HTTP 413", "HTTP 414"),
    )
]


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("code", NOTHING_WAS_EXECUTED)
def test_where_nothing_was_executed_even_a_write_may_be_repeated(code, writes):
    assert classify(code, "", writes=writes).kind == "retry"


@pytest.mark.parametrize("code", IN_DOUBT)
def test_time_outs_and_system_errors_leave_a_write_in_doubt_and_a_read_free_to_repeat(code):
    assert classify(code, "", writes=True).kind == "unknown"
    assert classify(code, "", writes=False).kind == "retry"


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("code", PERMANENT)
def test_permanent_refusals(code, writes):
    assert classify(code, "", writes=writes).kind == "permanent"


@pytest.mark.parametrize("code", ["600", "601", "602"])
def test_token_codes_ask_for_a_new_token(code):
    assert classify(code, "", writes=True).kind == "reauthenticate"


@pytest.mark.parametrize("code", ["603", "HTTP 401", "HTTP 403"])
def test_denials_say_what_to_do(code):
    verdict = classify(code, "Access denied", writes=False)
    assert verdict.kind == "denied"
    assert verdict.advice


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Too many jobs (10) in queue", "retry"),
        ("Too many jobs in queue", "retry"),
        ("Export daily quota 500MB exceeded.", "wait_for_reset"),
        ("Daily export quota exceeded", "wait_for_reset"),
        ("Export job is already queued", "success_equivalent"),
        ("Already queued", "success_equivalent"),
        ("", "retry"),
    ],
)
def test_1029_means_three_things_and_its_text_tells_which(message, kind):
    assert classify("1029", message, writes=False).kind == kind


@pytest.mark.parametrize("code", ["607", "1020"])
def test_daily_quotas_wait_for_the_reset(code):
    assert classify(code, "", writes=True).kind == "wait_for_reset"


def test_nothing_found_is_an_empty_answer_for_a_read_only():
    assert classify("702", "", writes=False).kind == "empty"
    assert classify("702", "", writes=True).kind == "permanent"


@pytest.mark.parametrize("code", ["1015", "1037"])
def test_what_is_already_so_counts_as_done(code):
    assert classify(code, "", writes=True).kind == "success_equivalent"


def test_limits_name_how_long_to_wait():
    assert 0 < classify("606", "", writes=False).after <= 20
    assert 0 < classify("615", "", writes=False).after <= 5


@settings(deadline=None)
@given(st.text(max_size=8))
def test_an_unknown_code_never_lets_a_write_go_out_again_blindly(code):
    known = set(NOTHING_WAS_EXECUTED) | {"600", "601", "602", "607", "1020", "1029"}
    if code not in known:
        assert classify(code, "", writes=True).kind not in {"retry", "reauthenticate", "wait_for_reset"}


def test_records_that_may_succeed_later():
    assert all(record_retryable(code) for code in ["1016", "1019", "1020", "1029"])
    assert not any(record_retryable(code) for code in ["1003", "1004", "1005", "1006", "1007", "1021"])


@pytest.mark.parametrize(
    ("now", "reset"),
    [
        ("2026-01-15T12:00:00+00:00", "2026-01-16T06:00:00+00:00"),
        ("2026-01-15T05:59:59+00:00", "2026-01-15T06:00:00+00:00"),
        ("2026-01-15T06:00:00+00:00", "2026-01-16T06:00:00+00:00"),
        ("2026-07-15T12:00:00+00:00", "2026-07-16T05:00:00+00:00"),
        ("2026-03-08T07:00:00+00:00", "2026-03-09T05:00:00+00:00"),  # the day of 23 hours
        ("2026-11-01T06:00:00+00:00", "2026-11-02T06:00:00+00:00"),  # the day of 25 hours
    ],
)
def test_quotas_start_anew_at_midnight_us_central(now, reset):
    assert next_reset(datetime.fromisoformat(now)) == datetime.fromisoformat(reset)


@settings(deadline=None)
@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_next_reset_is_always_ahead_and_never_more_than_a_long_day(now):
    reset = next_reset(now)
    assert timedelta() < reset - now <= timedelta(hours=25)
    assert reset.tzinfo is UTC
    assert reset.astimezone(ZoneInfo("America/Chicago")).strftime("%H:%M:%S") == "00:00:00"


VALUES = st.text(min_size=3, max_size=60).map(lambda text: f"#{text}#")


@settings(deadline=None)
@given(VALUES)
def test_refused_values_never_reach_a_message(value):
    for text in (
        f"Invalid value for field 'leadScore' and value '{value}'",
        f"Invalid value '{value}'. Required of type 'Integer'",
        f"Invalid cookie value '{value}'",
        f'Invalid value "{value}"',
    ):
        assert value not in without_values(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Field 'leadScoer' not found", "Field 'leadScoer' not found"),
        ("Lookup field 'userId' not found", "Lookup field 'userId' not found"),
        (
            "Max rate limit '100' exceeded with in '20' secs",
            "Max rate limit '100' exceeded with in '20' secs",
        ),
        ("Request method 'POST' not supported", "Request method 'POST' not supported"),
        ("Access denied to partition 'Europe'", "Access denied to partition 'Europe'"),
        (
            "Invalid value for field 'leadScore' and value 'a 'quoted' lot'",
            "Invalid value for field 'leadScore' and value '…'",
        ),
        ("Invalid value 'x'. Required of type 'Integer'", "Invalid value '…'. Required of type 'Integer'"),
        ("No lead with jane@example.com here", "No lead with … here"),
        ("Lead 'Jane' is blocked", "Lead '…' is blocked"),
    ],
)
def test_names_stay_in_a_message_and_values_go(text, left):
    assert without_values(text) == left
