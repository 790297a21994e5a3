"""The rules by which calls are lent: a world of lanes that want calls, moved on in small steps."""

import random
from collections import Counter, deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.budget import LANES, Books, Lane, Limits, Seen, day_left_for, decide

SHARES = {"outbox": 0.2, "changes": 0.1, "memberships": 0.05, "backfill": 0.05, "verify": 0.02}
NO_SHARES = dict.fromkeys(LANES, 0.0)
STEP = 0.1


class World:
    """Lanes that always want so many calls at once; each call takes a time; the ledger's rules decide."""

    def __init__(self, limits: Limits, took: float = 0.3, seed: int = 1) -> None:
        self.limits, self.took, self.now = limits, took, 0.0
        self.chance = random.Random(seed)
        self.waiting: dict[Lane, deque[float]] = {lane: deque() for lane in LANES}
        self.running: list[tuple[float, Lane]] = []
        self.recent: list[tuple[float, Lane, bool]] = []
        self.lent_at: float | None = None
        self.done: Counter[Lane] = Counter()
        self.waits: dict[Lane, list[float]] = {lane: [] for lane in LANES}

    def books(self) -> Books:
        recent = Counter(lane for _, lane, _ in self.recent)
        under_way = Counter(lane for _, lane in self.running)
        seen = {
            lane: Seen(recent[lane], under_way[lane], self.done[lane], len(self.waiting[lane]))
            for lane in LANES
        }
        since = None if self.lent_at is None else self.now - self.lent_at
        lent = sum(one for _, _, one in self.recent)
        return Books(seen, lent=lent, since_lent=since, day_left=0.0)

    def step(self) -> None:
        self.now += STEP
        self.running = [(end, lane) for end, lane in self.running if end > self.now]
        self.recent = [one for one in self.recent if one[0] > self.now]
        order = list(LANES)
        self.chance.shuffle(order)
        for lane in order:
            while self.waiting[lane] and self._ask(lane):
                pass

    def _ask(self, lane: Lane) -> bool:
        books = self.books()
        mine = replace(books.lanes[lane], waiting=0)
        decision = decide(self.limits, replace(books, lanes={**books.lanes, lane: mine}), lane)
        if decision.kind not in {"go", "lent"}:
            assert decision.seconds >= 0
            return False
        if decision.kind == "lent":
            self.lent_at = self.now
        took = self.took * (0.5 + self.chance.random())
        self.running.append((self.now + took, lane))
        self.recent.append((self.now + took + 20, lane, decision.kind == "lent"))
        self.done[lane] += 1
        self.waits[lane].append(self.now - self.waiting[lane].popleft())
        assert len(self.recent) <= self.limits.rate
        assert len(self.running) <= self.limits.concurrency
        return True

    def run(self, seconds: float, *busy: Lane, callers: int = 4) -> Counter[Lane]:
        before, end = Counter(self.done), self.now + seconds
        while self.now < end:
            for lane in busy:
                while len(self.waiting[lane]) < callers:
                    self.waiting[lane].append(self.now)
            self.step()
        return self.done - before


def limits(**changes: object) -> Limits:
    return replace(Limits(rate=50, concurrency=5, day=1_000_000, shares=SHARES), **changes)


def test_a_lane_alone_gets_the_whole_rate() -> None:
    for lane in LANES:
        world = World(limits())
        world.run(20, lane)
        assert world.run(60, lane)[lane] >= 0.9 * 150, lane


def test_when_all_want_all_each_has_its_floor_and_the_outbox_the_rest() -> None:
    world = World(limits())
    world.run(40, *LANES)
    got = world.run(100, *LANES)
    for lane in LANES:
        assert got[lane] >= 0.9 * SHARES[lane] * sum(got.values()), got
    assert got["outbox"] >= 0.7 * sum(got.values())
    assert sum(got.values()) >= 0.9 * 250


@pytest.mark.parametrize("took", [0.3, 3.0])
def test_the_lowest_lane_does_not_starve_whatever_calls_take(took: float) -> None:
    world = World(limits(), took=took)
    world.run(40, *LANES)
    got = world.run(200, *LANES)
    assert got["verify"] >= 0.8 * SHARES["verify"] * sum(got.values())


def test_the_more_urgent_lane_goes_first_beyond_the_floors() -> None:
    world = World(limits())
    world.run(40, "changes", "backfill")
    got = world.run(100, "changes", "backfill")
    assert got["backfill"] <= 0.12 * sum(got.values())


def test_who_comes_back_to_a_rate_that_was_lent_waits_for_about_a_second() -> None:
    for seed in range(10):
        world = World(limits(), seed=seed)
        world.run(45 + seed * 1.7, "backfill")
        world.waiting["outbox"].append(world.now)
        world.run(5, "backfill")
        assert world.waits["outbox"][0] <= 1.3, world.waits["outbox"]


def test_the_outbox_finds_a_free_slot_among_long_calls() -> None:
    world = World(limits(), took=100)
    world.run(10, "changes", "memberships", "backfill", "verify")
    assert len(world.running) == 4
    world.waiting["outbox"].append(world.now)
    world.run(1)
    assert world.waits["outbox"][0] <= 0.1


def day(left: float, **today: int) -> Books:
    return Books({lane: Seen(today=today.get(lane, 0)) for lane in LANES}, day_left=left)


def test_the_day_is_kept_for_others_as_long_as_it_lasts() -> None:
    of = limits(day=1000)
    assert day_left_for(of, day(1.0), "backfill") == 1000 - 200 - 100 - 50 - 20
    assert day_left_for(of, day(0.5), "backfill") == 1000 - 100 - 50 - 25 - 10
    assert day_left_for(of, day(0.5, outbox=150), "backfill") == 850 - 50 - 50 - 25 - 10
    assert day_left_for(of, day(0.0), "backfill") == 1000
    assert day_left_for(of, day(1.0, backfill=630), "backfill") == 0
    assert decide(of, day(1.0, backfill=630), "backfill").kind == "kept"
    assert decide(of, day(1.0, backfill=630), "outbox").kind == "go"
    assert decide(of, day(1.0, backfill=1000), "outbox").kind == "spent"


def test_a_floor_of_the_day_yields_to_more_urgent_floors_only() -> None:
    of = limits(day=1000)
    spent = day(1.0, changes=750)
    assert day_left_for(of, spent, "verify") == 0, "the outbox's 200 and the floors above come first"
    spent = day(1.0, outbox=620)
    assert day_left_for(of, spent, "verify") == 20 + 380 - 100 - 50 - 50 - 20
    assert day_left_for(of, day(1.0, outbox=800), "outbox") == 0
    assert day_left_for(of, day(1.0, outbox=800), "backfill") == 50


def test_even_the_largest_share_leaves_the_others_one_call() -> None:
    tiny = limits(rate=1, concurrency=1, day=1, shares={**NO_SHARES, "outbox": 0.9})
    assert decide(tiny, day(1.0), "verify").kind in {"go", "lent"}


shares = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(
    lambda parts: dict(zip(LANES, (p / max(1.0, sum(parts)) for p in parts), strict=True))
)


@given(
    shares,
    st.integers(1, 100),
    st.integers(1, 10),
    st.lists(st.tuples(st.sampled_from(LANES), st.integers(1, 20)), min_size=1, max_size=12),
    st.integers(0, 2**16),
)
def test_whatever_comes_the_limits_hold_and_nobody_waits_for_ever(
    floors: dict[Lane, float],
    rate: int,
    concurrency: int,
    arrivals: list[tuple[Lane, int]],
    seed: int,
) -> None:
    world = World(limits(rate=rate, concurrency=concurrency, shares=floors), took=0.2, seed=seed)
    for lane, count in arrivals:
        world.waiting[lane].extend([world.now] * count)
        world.step()
    total = sum(count for _, count in arrivals)
    end = world.now + 21.5 * (1 + total / rate) + 20
    while any(world.waiting.values()) and world.now < end:
        world.now += 0.4
        world.step()
    assert not any(world.waiting.values())


@given(
    shares, st.integers(1, 50_000), st.floats(0, 1), st.lists(st.integers(0, 10_000), min_size=5, max_size=5)
)
def test_no_lane_may_take_more_of_the_day_than_there_is(
    floors: dict[Lane, float], of_day: int, left: float, today: list[int]
) -> None:
    books = day(left, **dict(zip(LANES, today, strict=True)))
    for lane in LANES:
        mine = day_left_for(limits(day=of_day, shares=floors), books, lane)
        assert 0 <= mine <= max(0, of_day - sum(today))
