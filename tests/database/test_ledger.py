"""The ledger: all replicas together stay within rate, concurrency and the day's share of calls."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from syncd import settings
from syncd.core.budget import LANES, STOPPING
from syncd.core.codes import next_reset
from syncd.database import state
from syncd.database.budget import LONGEST_WAIT, SHORTEST_WAIT, Ledger
from syncd.errors import QuotaExhausted, Retryable
from tests.database.desk import Desk
from tests.support.clock import FakeClock
from tests.support.postgres import connected

LEADS = "Get Leads"


@pytest.fixture
def clock(desk: Desk) -> FakeClock:
    """While somebody sleeps, the calls in the books grow older."""

    def pass_on(seconds: float) -> None:
        desk.run(
            "UPDATE api_call SET started_at = started_at - make_interval(secs => %(s)s), "
            "expires_at = expires_at - make_interval(secs => %(s)s), "
            "finished_at = finished_at - make_interval(secs => %(s)s)".replace("%(s)s", str(seconds))
        )
        desk.run(
            "UPDATE quota_pause SET until = until - make_interval(secs => %s) WHERE what = 'rate'", seconds
        )

    return FakeClock(on_sleep=pass_on)


def ledger(desk: Desk, clock: FakeClock, **conf: object) -> Ledger:
    roomy = {"calls_per_20_seconds": 100, "concurrent_calls": 10, "calls_per_day": 1000}
    roomy |= dict.fromkeys([f"{lane}_share" for lane in LANES], 0)
    return Ledger(desk.database, settings.Budget(**{**roomy, **conf}), clock)


def call(books: Ledger, lane: str = "changes", *, holds_for: float = 60.0) -> int:
    return books.acquire(lane=lane, endpoint=LEADS, holds_for=holds_for)


def calls_today(desk: Desk) -> int:
    with desk.database.begin() as transaction:
        return sum(row.calls for row in transaction.rows("usage_today"))


def end(books: Ledger, *leases: int) -> None:
    for lease in leases:
        books.release(lease, charged=True, error=None)


def passed(clock: FakeClock) -> float:
    """Return the time as the books see it: what was slept, and what really passed meanwhile."""
    return clock.monotonic() + time.monotonic()


def test_a_call_is_lent_counted_and_taken_back(desk, clock):
    books = ledger(desk, clock)
    lease = call(books)
    end(books, lease)
    assert clock.slept == []
    assert desk.run("SELECT lane, endpoint, calls, errors FROM api_usage") == [("changes", LEADS, 1, 0)]
    assert desk.value("SELECT count(*) FROM api_call WHERE finished_at IS NOT NULL") == 1


def test_the_call_beyond_the_rate_waits_until_the_oldest_is_20_seconds_old(desk, clock):
    books = ledger(desk, clock, calls_per_20_seconds=3)
    began = passed(clock)
    end(books, *(call(books) for _ in range(3)))
    assert clock.slept == []
    end(books, call(books))
    assert 20 <= passed(clock) - began < 30
    assert all(SHORTEST_WAIT <= slept <= LONGEST_WAIT for slept in clock.slept)


def test_in_no_20_seconds_are_there_more_calls_than_the_rate(desk, clock):
    books, starts = ledger(desk, clock, calls_per_20_seconds=4), []
    for _ in range(13):
        end(books, call(books))
        starts.append(passed(clock))
        clock.sleep(1.7)
    # A start is noted a moment after it was granted.
    for n, start in enumerate(starts):
        assert sum(1 for other in starts[n:] if other < start + 19.5) <= 4


def test_the_call_beyond_the_concurrency_waits_for_one_to_end(desk, clock):
    books = ledger(desk, clock, concurrent_calls=2)
    first, second = call(books), call(books)
    clock.on_sleep = lambda _: end(books, first)
    third = call(books)
    assert clock.slept == [SHORTEST_WAIT]
    end(books, second, third)


def test_a_lease_whose_holder_died_counts_until_it_expires(desk, clock):
    books = ledger(desk, clock, concurrent_calls=1)
    call(books, holds_for=5)
    began = passed(clock)
    call(books, holds_for=5)
    assert 4.5 < passed(clock) - began < 10


def test_the_day_has_its_end(desk, clock):
    books = ledger(desk, clock, calls_per_day=2)
    end(books, call(books), call(books))
    with pytest.raises(QuotaExhausted, match=r"budget\.calls_per_day") as problem:
        call(books)
    assert problem.value.until == next_reset(clock.now())
    assert problem.value.endpoint == LEADS
    assert clock.slept == []


def test_yesterdays_calls_are_not_todays(desk, clock):
    books = ledger(desk, clock, calls_per_day=1)
    end(books, call(books))
    desk.run("UPDATE api_usage SET day = day - 1")
    end(books, call(books))
    assert calls_today(desk) == 1


@pytest.mark.parametrize(("code", "seconds"), [("606", 5), ("615", 1)])
def test_a_refusal_for_too_many_calls_makes_every_lane_hold_its_breath(desk, clock, code, seconds):
    books = ledger(desk, clock)
    books.release(call(books), charged=False, error=code)
    began = clock.monotonic()
    end(books, call(books, "outbox"))
    assert seconds - 1 <= clock.monotonic() - began <= seconds


@pytest.mark.parametrize("error", [None, "606"])
def test_a_call_that_marketo_does_not_charge_is_taken_off_the_day(desk, clock, error):
    books = ledger(desk, clock, calls_per_day=1)
    for _ in range(3):
        books.release(call(books), charged=False, error=error)
    assert desk.run("SELECT calls, errors FROM api_usage") == [(0, 3)]


def test_a_call_that_failed_but_is_charged_counts_as_both(desk, clock):
    books = ledger(desk, clock)
    books.release(call(books), charged=True, error="1003")
    assert desk.run("SELECT calls, errors FROM api_usage") == [(1, 1)]


@pytest.mark.parametrize(("limit", "others"), [("calls_per_20_seconds", 9), ("concurrent_calls", 8)])
def test_a_share_of_the_slots_is_the_outboxs_own_and_of_the_rate_is_lent_bit_by_bit(
    desk, clock, limit, others
):
    books = ledger(desk, clock, **{limit: 10, "outbox_share": 0.2})
    clock.on_sleep = lambda _: clock.stop()
    for _ in range(others):
        lease = call(books, "backfill")
        if limit != "concurrent_calls":
            end(books, lease)
    with pytest.raises((Retryable, QuotaExhausted)):
        call(books, "backfill")
    clock._stopped.clear()
    for _ in range(10 - others):
        lease = call(books, "outbox")
    with pytest.raises((Retryable, QuotaExhausted)):
        call(books, "outbox")


def test_even_the_largest_share_leaves_the_others_one_call(desk, clock):
    books = ledger(desk, clock, concurrent_calls=1, calls_per_20_seconds=1, calls_per_day=1, outbox_share=0.9)
    end(books, call(books, "verify"))


def test_who_is_told_to_stop_waits_no_more_and_made_no_call(desk, clock):
    books = ledger(desk, clock, concurrent_calls=1)
    call(books)
    clock.on_sleep = lambda _: clock.stop()
    with pytest.raises(Retryable) as problem:
        call(books)
    assert problem.value.code == STOPPING
    assert calls_today(desk) == 1


def test_while_marketo_says_that_the_quota_is_used_up_nobody_calls(desk, clock):
    books = ledger(desk, clock)
    state.pause(desk.database, "calls", datetime.now(UTC) + timedelta(hours=1), "Daily quota reached")
    for lane in ("outbox", "verify"):
        with pytest.raises(QuotaExhausted) as problem:
            call(books, lane)
        assert timedelta(minutes=59) < problem.value.until - clock.now() <= timedelta(hours=1)
    state.pause(desk.database, "calls", datetime.now(UTC) - timedelta(seconds=1), "over")
    end(books, call(books))


def test_one_replica_that_learns_of_the_quota_tells_all(desk, clock):
    books = ledger(desk, clock)
    clock.start = datetime.now(UTC)
    books.release(call(books), charged=False, error="607")
    with pytest.raises(QuotaExhausted) as problem:
        call(ledger(desk, clock))
    assert abs(problem.value.until - next_reset(clock.now())) < timedelta(seconds=5)


def test_all_replicas_share_one_ledger_whatever_they_do_at_once(desk, clock):
    """Forty calls of eight threads over two pools: never more at once than allowed, none lost, none counted twice."""
    most, done, under_way, seen, guard = 3, [], set(), [], threading.Lock()
    clock.on_sleep = None
    url = desk.database._conninfo

    def work(books: Ledger) -> None:
        for _ in range(5):
            lease = call(books)
            with guard:
                under_way.add(lease)
                seen.append(len(under_way))
            with guard:
                under_way.remove(lease)
                done.append(lease)
            end(books, lease)

    with connected(url) as other, ThreadPoolExecutor(8) as pool:
        books = ledger(desk, clock, concurrent_calls=most)
        far = Ledger(other, books._conf, clock)
        for worker in [pool.submit(work, ledger) for ledger in (books, far) * 4]:
            worker.result()
    assert max(seen) <= most
    assert len(set(done)) == 40
    assert calls_today(desk) == 40
    assert desk.value("SELECT count(*) FROM api_call WHERE finished_at IS NULL") == 0


def test_the_days_limit_holds_to_the_call_though_many_ask_at_once(desk, clock):
    books, granted, refused = ledger(desk, clock, calls_per_day=13), [], []

    def work() -> None:
        try:
            while True:
                lease = call(books)
                granted.append(lease)
                end(books, lease)
        except QuotaExhausted:
            refused.append(1)

    with ThreadPoolExecutor(6) as pool:
        for worker in [pool.submit(work) for _ in range(6)]:
            worker.result()
    assert (len(granted), len(refused)) == (13, 6)


def test_old_calls_are_forgotten_and_those_under_way_are_not(desk, clock):
    books = ledger(desk, clock)
    over, under_way, expired = call(books), call(books, holds_for=3600), call(books, holds_for=1)
    end(books, over)
    clock.sleep(61)
    fresh = call(books)
    books.prune()
    assert [n for (n,) in desk.run("SELECT id FROM api_call ORDER BY id")] == [under_way, fresh]
    assert expired
    end(books, over, under_way)  # a late end of a forgotten call is no mistake
    assert calls_today(desk) == 4
