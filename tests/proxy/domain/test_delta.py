from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.domain.delta import Changes, Contradiction, Observed, PageOf, Shown, next_step

SHOWN = Shown(per_page=10, last_page=100)


def page(store: Sequence[int], wanted: PageOf, shown: Shown = SHOWN) -> Observed:
    """As upstream would give it."""
    rows = list(reversed(store)) if wanted.ascending else list(store)
    first = (wanted.number - 1) * shown.per_page
    return Observed(wanted, tuple(rows[first : first + shown.per_page]), len(rows))


def check(
    mirror: Sequence[int], store: Sequence[int], shown: Shown = SHOWN, audit: PageOf | None = None
) -> tuple[Changes, int]:
    """A whole check of a store that stands still: the changes and the pages that it took."""
    pages = [page(store, audit, shown)] if audit else []
    while True:
        step = next_step(mirror, pages, shown)
        match step:
            case PageOf():
                assert step not in [each.page for each in pages]
                pages.append(page(store, step, shown))
            case Changes():
                return step, len(pages)
            case Contradiction():
                raise AssertionError(step.reason)


STORE = list(range(300, 0, -1))


def test_where_nothing_changed_one_page_is_enough() -> None:
    assert check(STORE, STORE) == (Changes(tuple(STORE)), 1)


def test_additions_cost_no_more_than_the_pages_they_fill() -> None:
    found, pages = check(STORE, [1003, 1002, 1001, *STORE])
    assert (found.added, pages) == ((1003, 1002, 1001), 1)
    added = list(range(1035, 1000, -1))
    found, pages = check(STORE, [*added, *STORE])
    assert found.order == (*added, *STORE)
    assert pages <= 5


@pytest.mark.parametrize("sold", [300, 299, 155, 11, 10, 2, 1])
def test_a_sale_is_found_wherever_it_is(sold: int) -> None:
    found, pages = check(STORE, [each for each in STORE if each != sold])
    assert found.removed == (sold,)
    assert pages <= 2 + math.ceil(math.log2(30))


def test_a_relisting_moves_and_is_neither_added_nor_removed() -> None:
    store = [50, *(each for each in STORE if each != 50)]
    found, _ = check(STORE, store)
    assert (found.order, found.added, found.removed, found.moved) == (tuple(store), (), (), (50,))


def test_a_store_that_empties_and_one_that_fills() -> None:
    assert check(STORE, [])[0].removed == tuple(STORE)
    assert check([], STORE)[0].added == tuple(STORE)


def test_the_far_end_of_a_long_store_is_read_from_there() -> None:
    shown = Shown(per_page=10, last_page=20)
    found, pages = check(STORE, [each for each in STORE if each != 5], shown)
    assert found.removed == (5,)
    assert pages <= 8
    store = list(range(600, 0, -1))
    with pytest.raises(AssertionError, match="upstream shows nothing"):
        check(store, [each for each in store if each != 300], shown)


def test_the_middle_of_a_store_too_long_to_be_read_is_counted() -> None:
    shown = Shown(per_page=10, last_page=10)
    store = list(range(600, 0, -1))
    mirror = [*store[:100], *range(-400, 0), *store[500:]]
    assert check(mirror, store, shown)[0].order == tuple(mirror)
    for sold, left in ((300, []), (550, [550]), (20, [20])):
        found, pages = check(mirror, [each for each in store if each != sold], shown)
        assert found.removed == tuple(left)
        assert len(found.order) == 599
        assert pages <= 12


def test_pages_of_different_moments_contradict_each_other() -> None:
    one, two = page(STORE, PageOf(1)), page(STORE[1:], PageOf(2))
    assert isinstance(next_step(STORE, [one, two], SHOWN), Contradiction)
    # A sale above and an addition below between the two reads: the count is the same, a row is on both.
    store = [1001, *(each for each in STORE if each != 3)]
    assert next_step(STORE, [one, page(store, PageOf(2))], SHOWN) == Contradiction("a listing is on two pages")


def test_an_audit_finds_what_counts_cannot_show() -> None:
    """A sale and an insertion between the same two pages."""
    store = [each for each in STORE if each != 155]
    store.insert(140, 9999)
    assert check(STORE, store)[0].order == tuple(STORE)
    audits = (check(STORE, store, audit=PageOf(number))[0].order for number in range(1, 31))
    assert tuple(store) in audits


class Model:
    """A store that changes at random."""

    def __init__(self, size: int, seed: int) -> None:
        self.draw = random.Random(seed)
        self.rows = list(range(size, 0, -1))
        self.next_id = size + 1

    def happen(self, kind: str) -> None:
        match kind:
            case "addition":
                self.rows.insert(0, self._new())
            case "insertion":
                self.rows.insert(self.draw.randint(0, len(self.rows)), self._new())
            case "sale" if self.rows:
                self.rows.pop(self.draw.randrange(len(self.rows)))
            case "relisting" if self.rows:
                self.rows.insert(0, self.rows.pop(self.draw.randrange(len(self.rows))))

    def _new(self) -> int:
        self.next_id += 1
        return self.next_id


SIZES = st.integers(0, 400)
SEEDS = st.integers(0, 2**32)


@settings(max_examples=300)
@given(SIZES, SEEDS, st.lists(st.sampled_from(["addition", "sale", "relisting"]), max_size=25))
def test_what_happens_at_the_top_or_by_sale_is_found_by_one_quiet_check_and_few_pages(
    size: int, seed: int, events: list[str]
) -> None:
    model = Model(size, seed)
    mirror = list(model.rows)
    for event in events:
        model.happen(event)
    found, pages = check(mirror, model.rows)
    assert found.order == tuple(model.rows)
    assert set(found.added) == set(model.rows) - set(mirror)
    assert set(found.removed) == set(mirror) - set(model.rows)
    in_all = max(1, math.ceil(max(size, len(model.rows)) / SHOWN.per_page))
    assert pages <= min(in_all, 2 + 2 * (len(events) + 1) * math.ceil(math.log2(in_all + 1)))


@settings(max_examples=100)
@given(
    st.integers(1, 200),
    SEEDS,
    st.lists(st.sampled_from(["addition", "sale", "relisting", "insertion"]), max_size=15),
)
def test_whatever_happens_is_found_within_one_rotation_of_the_audit_page(
    size: int, seed: int, events: list[str]
) -> None:
    model = Model(size, seed)
    mirror: Sequence[int] = list(model.rows)
    for event in events:
        model.happen(event)
    for number in range(1, math.ceil(len(model.rows) / SHOWN.per_page) + 1):
        mirror = check(mirror, model.rows, audit=PageOf(number))[0].order
    if model.rows:
        assert mirror == tuple(model.rows)


@settings(max_examples=200)
@given(SIZES, SEEDS, st.lists(st.sampled_from(["addition", "sale", "relisting", "insertion"]), max_size=10))
def test_a_store_that_changes_while_it_is_read_is_right_two_quiet_checks_later(
    size: int, seed: int, events: list[str]
) -> None:
    model = Model(size, seed)
    mirror: Sequence[int] = list(model.rows)
    pages: list[Observed] = []
    waiting = list(events)
    for _ in range(200):
        step = next_step(mirror, pages, SHOWN)
        if isinstance(step, PageOf):
            pages.append(page(model.rows, step))
            if waiting and model.draw.random() < 0.5:
                model.happen(waiting.pop())
        elif isinstance(step, Contradiction):
            pages = []
        else:
            mirror, pages = step.order, []
            if not waiting:
                break
    assert not waiting
    for number in range(1, math.ceil(max(1, len(model.rows)) / SHOWN.per_page) + 1):
        mirror = check(mirror, model.rows, audit=PageOf(number))[0].order
    assert mirror == tuple(model.rows)
