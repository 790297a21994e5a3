"""Some histories in every run of the tests; `make histories` lives many more."""

import random
from collections import Counter
from dataclasses import replace

import structlog

from tests.histories import draw, quiet, shrink
from tests.histories.house import Ground
from tests.histories.mutants import mutated, read

SEEDS = range(1, 9)
REACHED = (
    "edit",
    "row",
    "fault",
    "death",
    "a touch",
    "verify repairs what no log tells",
    "history",
)
VISITOR = draw.History(
    20045,
    "nasty",
    False,
    {},
    (
        draw.Step("visit", {"cookie": "few", "lead": None}),
        draw.Step("change_a_list", {"place": 1, "leads": [11], "add": True, "by_api": False}),
        draw.Step("daemon"),
        draw.Step("daemon"),
        draw.Step("change_a_lead", {"lead": 11, "values": {"firstName": "Bea"}}),
    ),
)
"""Somebody anonymous, of whom no log tells: only a comparison finds what changes."""


def test_after_some_histories_the_mirror_equals_marketo() -> None:
    """Edits, outbox rows, single feeds, faults and deaths in any order; then quiet, and no difference."""
    before = structlog.get_config()
    reached: Counter[str] = Counter()
    try:
        with Ground() as ground:
            for history in [VISITOR, *map(draw.history, SEEDS)]:
                try:
                    reached.update(quiet.live(ground, history))
                except quiet.BrokenError as problem:
                    raise AssertionError(
                        f"{problem}\n{history}\nagain: make histories SEED={history.seed}"
                    ) from None
    finally:
        structlog.configure(**before)
    assert [what for what in REACHED if not reached[what]] == [], reached


def test_a_seed_draws_the_same_history_each_time() -> None:
    assert all(draw.history(seed) == draw.history(seed) for seed in range(50))
    assert len({str(draw.history(seed)) for seed in range(50)}) == 50


def test_a_failing_history_is_made_as_short_as_it_goes() -> None:
    """What fails only with a deletion after a fault, and with a death in the fault's step, keeps these alone."""
    chance = random.Random(5)
    drawn = draw.Drawing(chance)
    cut = draw.Cut("commit", 2)
    steps = [step for step in (drawn.step() for _ in range(40)) if step.does != "delete_a_lead"][:20]
    steps[4] = draw.Step("fault", {"kind": "reset"}, (draw.Cut("call", 1), cut))
    steps[13] = draw.Step("delete_a_lead", {"lead": 3})
    whole = replace(draw.history(1), steps=tuple(steps))

    def fails(history: draw.History) -> bool:
        names = [step.does for step in history.steps if step.does != "fault" or cut in step.cuts]
        return "fault" in names and "delete_a_lead" in names[names.index("fault") :]

    shortest = shrink.Shrinking(fails).shortest(whole)
    assert shortest.steps == (
        draw.Step("fault", {"kind": "reset"}, (cut,)),
        draw.Step("delete_a_lead", {"lead": 3}),
    )
    assert shortest.options == {}


def test_each_mutant_changes_one_place_of_the_present_code() -> None:
    mutants = read("histories")
    assert len(mutants) >= 8
    for mutant in mutants:
        assert mutated(mutant) is not None, (
            f"{mutant.name}: its place in {mutant.file} is gone or not the only one"
        )
