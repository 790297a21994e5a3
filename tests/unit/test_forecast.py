"""When what waits is done: by hand, for days that are easy to reckon."""

from datetime import UTC, datetime, timedelta

from syncd.core.budget import LANES, Limits
from syncd.core.codes import next_reset
from syncd.core.forecast import Work, look_ahead

NOW = datetime(2026, 3, 2, 18, tzinfo=UTC)
RESET = next_reset(NOW)
LIMITS = Limits(rate=50, concurrency=5, day=30_000, shares=dict.fromkeys(LANES, 0.0))
HOUR = timedelta(hours=1)


def test_without_work_nothing_is_spent_but_what_goes_on_anyway() -> None:
    seen = look_ahead(NOW, LIMITS, spent=1_000, steady=0.1, paces={}, work=[])
    assert seen.done_at == ()
    assert seen.lasts
    assert seen.spent_by_reset == 1_000 + int(0.1 * (RESET - NOW).total_seconds())


def test_work_is_done_at_the_present_pace() -> None:
    seen = look_ahead(
        NOW,
        LIMITS,
        spent=0,
        steady=0.0,
        paces={"backfill": 1.0},
        work=[Work("windows", "backfill", 720, 3_600)],
    )
    assert seen.done_at == (NOW + HOUR,)
    assert (seen.lasts, seen.spent_by_reset) == (True, 3_600)


def test_without_a_pace_it_is_done_as_fast_as_the_rate_allows() -> None:
    seen = look_ahead(NOW, LIMITS, spent=0, steady=0.5, paces={}, work=[Work("outbox", "outbox", 1, 7_200)])
    assert seen.done_at == (NOW + HOUR,)


def test_urgent_work_is_done_first() -> None:
    work = [Work("windows", "backfill", 1, 3_600), Work("outbox", "outbox", 1, 1_800)]
    seen = look_ahead(NOW, LIMITS, spent=0, steady=0.0, paces={"backfill": 1.0, "outbox": 1.0}, work=work)
    assert seen.done_at == (NOW + 1.5 * HOUR, NOW + 0.5 * HOUR)


def test_what_the_day_has_no_calls_for_goes_on_after_midnight_us_central() -> None:
    work = [Work("windows", "backfill", 1, 5_000)]
    seen = look_ahead(NOW, LIMITS, spent=29_000, steady=0.0, paces={"backfill": 1.0}, work=work)
    assert seen.done_at == (RESET + timedelta(seconds=4_000),)
    assert not seen.lasts
    assert NOW < (seen.used_up_at or NOW) < RESET


def test_days_and_days() -> None:
    work = [Work("windows", "backfill", 1, 100_000)]
    seen = look_ahead(NOW, LIMITS, spent=30_000, steady=0.0, paces={}, work=work)
    assert seen.done_at == (RESET + timedelta(days=3, seconds=10_000 / 2.5),)
    assert (seen.lasts, seen.used_up_at) == (False, NOW)


def test_work_that_the_days_calls_never_suffice_for_is_never_done() -> None:
    seen = look_ahead(NOW, LIMITS, spent=30_000, steady=1.0, paces={}, work=[Work("w", "backfill", 1, 10)])
    assert seen.done_at == (None,)


def test_after_607_nothing_begins_before_the_reset() -> None:
    work = [Work("outbox", "outbox", 1, 250)]
    seen = look_ahead(NOW, LIMITS, spent=9_000, steady=0.0, paces={}, work=work, resumes_at=RESET)
    assert seen.done_at == (RESET + timedelta(seconds=100),)
