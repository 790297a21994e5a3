"""The dirty set: marked again while being read means read again; two hands at once never block each other for good."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random

from syncd.database import leads, state
from tests.database.desk import Desk


def mark(desk: Desk, *ids: int, reason: str = "changed") -> int:
    with desk.database.begin() as transaction:
        return state.mark_dirty(transaction, ids, reason)


def following(desk: Desk, most: int) -> tuple[list[int], list[int]]:
    with desk.database.begin() as transaction:
        return state.next_dirty(transaction, most)


def dirty(desk: Desk) -> list[int]:
    return [n for (n,) in desk.run("SELECT lead_id FROM dirty_lead ORDER BY mark")]


def test_leads_are_marked_once_and_read_in_the_order_of_their_marks(desk):
    assert mark(desk, 3, 1, 3, 2) == 3
    assert mark(desk) == 0
    assert state.dirty_count(desk.database) == 3
    ids, marks = following(desk, 2)
    assert ids == [1, 2]
    assert marks == sorted(marks)
    with desk.database.begin() as transaction:
        assert state.clear_dirty(transaction, ids, marks) == {1, 2}
    assert dirty(desk) == [3]


def test_a_lead_that_is_marked_again_goes_to_the_end(desk):
    mark(desk, 1, 2, 3)
    mark(desk, 1)
    assert dirty(desk) == [2, 3, 1]


def test_a_lead_that_is_marked_again_while_it_is_read_stays_dirty(desk):
    mark(desk, 1, 2)
    ids, marks = following(desk, 300)
    mark(desk, 2, reason="merged")
    with desk.database.begin() as transaction:
        assert state.clear_dirty(transaction, ids, marks) == {1}
    assert dirty(desk) == [2]


def test_a_mark_that_is_not_yet_committed_counts_too(desk):
    """The fetcher waits for it, and then leaves the lead dirty."""
    mark(desk, 1, 2)
    ids, marks = following(desk, 300)
    cleared: list[set[int]] = []

    def clear() -> None:
        with desk.database.begin() as transaction:
            cleared.append(state.clear_dirty(transaction, ids, marks))

    fetcher = threading.Thread(target=clear)
    with desk.database.begin() as marker:
        state.mark_dirty(marker, [2], "outbox")
        fetcher.start()
        while not desk.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            pass
        assert cleared == []
    fetcher.join()
    assert cleared == [{1}]
    assert dirty(desk) == [2]


def test_two_fetchers_of_the_same_leads_clear_each_lead_once(desk):
    mark(desk, *range(1, 301))
    first, second = following(desk, 300), following(desk, 300)
    with desk.database.begin() as one:
        assert len(state.clear_dirty(one, *first)) == 300
    with desk.database.begin() as other:
        assert state.clear_dirty(other, *second) == set()


class Crowd:
    """Markers and fetchers of one dirty set, and when each lead was last marked and last read."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.marked: dict[int, int] = {}
        self.read: dict[int, int] = {}
        self.all_marked = threading.Event()
        self._ticks = count()
        self._guard = threading.Lock()

    def mark(self, chance: Random) -> None:
        for _ in range(40):
            ids = chance.sample(range(1, 60), 25)
            moment = self._tick()
            mark(self.desk, *ids)
            self._note(self.marked, ids, moment)

    def fetch(self) -> None:
        while not self.all_marked.is_set() or dirty(self.desk):
            ids, marks = following(self.desk, 30)
            moment = self._tick()
            with self.desk.database.begin() as transaction:
                ours = state.clear_dirty(transaction, ids, marks)
                leads.retire(transaction, [(lead, None) for lead in sorted(ours)])
            self._note(self.read, ours, moment)

    def _tick(self) -> int:
        with self._guard:
            return next(self._ticks)

    def _note(self, book: dict[int, int], ids: Iterable[int], moment: int) -> None:
        with self._guard:
            book.update({lead: max(moment, book.get(lead, -1)) for lead in ids})


def test_markers_and_fetchers_at_once_lose_no_mark_and_never_wait_for_each_other_in_a_circle(desk):
    """PostgreSQL ends one of two transactions that wait for each other: that would be an error here."""
    crowd = Crowd(desk)
    with ThreadPoolExecutor(5) as pool:
        fetchers = [pool.submit(crowd.fetch) for _ in range(2)]
        try:
            for marker in [pool.submit(crowd.mark, Random(n)) for n in range(3)]:
                marker.result()
        finally:
            crowd.all_marked.set()
        for fetcher in fetchers:
            fetcher.result()
    # A read that began before the last mark is not the last one.
    assert {lead for lead, moment in crowd.marked.items() if crowd.read.get(lead, -1) < moment} == set()


def test_a_whole_file_is_marked_at_once(desk):
    desk.run("CREATE TABLE staging_test (id text); INSERT INTO staging_test VALUES ('5'), ('6'), ('6')")
    mark(desk, 5, reason="changed")
    with desk.database.begin() as transaction:
        assert leads.mark_staged_dirty(transaction, "staging_test", "100% formula") == 1
    assert desk.run("SELECT lead_id, reason FROM dirty_lead ORDER BY 1") == [
        (5, "changed"),
        (6, "100% formula"),
    ]


def test_what_the_outbox_wrote_may_wait_for_company_and_news_from_marketo_may_not(desk):
    def due(most: int = 300, seconds: float = 60) -> bool:
        return state.dirty_due(desk.database, most=most, seconds=seconds)

    assert not due()
    mark(desk, 1, 2, reason="outbox")
    assert not due()
    assert due(most=2)
    assert due(seconds=0)
    mark(desk, 3, reason="changed")
    assert due()


def test_news_of_a_lead_stays_news_though_the_outbox_writes_it_next(desk):
    mark(desk, 1, reason="changed")
    mark(desk, 1, reason="outbox")
    assert state.dirty_due(desk.database, most=300, seconds=60)
