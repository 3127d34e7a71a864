"""What further orders bring of a store too long to be read, and how long it is shown."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.domain.delta import Changes, Contradiction, Observed, PageOf, Shown, next_step
from proxy.domain.middle import (
    DOUBTED_PART,
    ORDERS,
    SHOWN_PART,
    SORTS,
    Middle,
    has_middle,
    next_turn,
    noted,
    page_of_middle,
    pages_now,
    seen_since,
    skipped,
    vanished_from_middle,
    with_middle,
    within_reach,
)

SHOWN = Shown(per_page=10, last_page=10)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAX_AGE_S = 6 * 3600.0


def test_a_store_has_a_middle_where_both_ends_do_not_meet() -> None:
    assert [has_middle(items, SHOWN) for items in (0, 199, 200, 201)] == [False, False, False, True]


def test_pages_go_through_one_order_after_the_other_from_both_ends() -> None:
    found = [page_of_middle(number, SHOWN) for number in (0, 9, 10, 25, len(ORDERS) * 10 - 1)]
    assert found == [
        PageOf(1, True, "price"),
        PageOf(10, True, "price"),
        PageOf(1, False, "price"),
        PageOf(6, True, "item"),
        PageOf(10, False, "audio"),
    ]


@pytest.mark.parametrize(
    ("middle", "known", "items", "after"),
    [
        (Middle(), 200, 250, Middle(1, 0, 200)),  # 50 of 250 are unknown: two on each page
        (Middle(), 200, 210, Middle(is_read=True)),  # less than one on each page: none is worth reading
        (Middle(1, 10, 200), 220, 250, Middle(2, 10, 220)),
        (Middle(1, 10, 200), 205, 250, Middle(1, 0, 200, is_read=True)),  # it brought too little
        (Middle(2, 20, 220), 240, 250, Middle(2, 0, 220, is_read=True)),  # too little is left
        (Middle(2, 20, 220, is_read=True), 240, 400, Middle(3, 20, 240)),  # the store grew
        (Middle(len(ORDERS), len(ORDERS) * 10, 200), 400, 4000, Middle(len(ORDERS), 0, 200, is_read=True)),
    ],
)
def test_another_order_is_read_while_it_promises_something(
    middle: Middle, known: int, items: int, after: Middle
) -> None:
    assert next_turn(middle, known, items, SHOWN) == after


def test_an_order_that_upstream_does_not_give_waits_for_the_next_round() -> None:
    assert [skipped(Middle(2, page), SHOWN).page for page in (0, 9, 10, 15)] == [10, 10, 20, 20]


@pytest.mark.parametrize(
    ("middle", "audits", "pages"),
    [
        (Middle(), 0, 10),
        (Middle(2, 5), 0, 10),
        (Middle(2, 5, is_read=True), 0, 0),
        (Middle(2, 5, is_read=True), 1, 2),
        (Middle(4, 5, is_read=True), 3, 12),
        (Middle(1, 5, is_read=True), 20, 10),
    ],
)
def test_the_middle_is_read_twice_while_the_ends_are_once(middle: Middle, audits: int, pages: int) -> None:
    assert pages_now(middle, audits, SHOWN) == pages


def test_what_was_not_seen_for_long_is_not_shown() -> None:
    assert seen_since(Middle(), NOW, MAX_AGE_S) == NOW - 3 * HOUR


def test_what_was_not_seen_again_after_something_vanished_is_shown_for_a_while() -> None:
    one, two = NOW - 2.5 * HOUR, NOW - 1 * HOUR
    middle = noted(noted(Middle(), 1, one, MAX_AGE_S), 2, two, MAX_AGE_S)
    assert middle.gone_at == (one, two)
    assert seen_since(middle, one + HOUR, MAX_AGE_S) == one - 2 * HOUR
    assert seen_since(middle, NOW, MAX_AGE_S) == one
    assert seen_since(middle, NOW + HOUR, MAX_AGE_S) == two
    assert noted(middle, 0, NOW + HOUR, MAX_AGE_S).gone_at == (two,)


def test_placeholders_that_are_no_more_tell_that_something_vanished() -> None:
    assert vanished_from_middle([3, -1, -2, -3, 1], Changes((3, -1, -2, 1)), []) == 1
    assert vanished_from_middle([3, -1, -2, -3, 1], Changes((3, 7, -1, -2, 1), added=(7,)), [7]) == 0
    assert vanished_from_middle([3, -1, 1], Changes((4, 3, -1, 1), added=(4,)), [7]) == 0


def test_what_drifts_out_of_reach_leaves_a_placeholder() -> None:
    shown = Shown(per_page=1, last_page=2)
    assert within_reach([7, 6, 5, -9, 3, 2, 1], shown) == (7, 6, -3, -9, -5, 2, 1)
    assert within_reach([4, 3, 2, 1], shown) == (4, 3, 2, 1)


def test_the_middle_stands_between_the_ends() -> None:
    assert with_middle([9, 8, -1, -2, -3, 2, 1], [5, 4, 8]) == [9, 8, 5, 4, 2, 1]
    assert with_middle([2, 1], []) == [2, 1]


class Store:
    """A store that changes at random, and what is known of it, as checks and turns make it."""

    def __init__(self, size: int, seed: int) -> None:
        self.draw = random.Random(seed)
        self.rows = list(range(size, 0, -1))
        self.keys = {sort: {each: self.draw.random() for each in self.rows} for sort in SORTS}
        self.gone_at: dict[int, datetime] = {}
        self.now = NOW
        ends = [*self.rows[:100], *range(-max(0, size - 200), 0), *self.rows[max(100, size - 100) :]]
        self.order = tuple(ends)
        self.seen = {each: NOW for each in ends if each > 0}
        self.middle = Middle()

    def happen(self, kind: str) -> None:
        if kind == "addition":
            new = max(self.keys["price"]) + 1
            for keys in self.keys.values():
                keys[new] = self.draw.random()
            self.rows.insert(0, new)
        elif self.rows:
            sold = self.rows.pop(self.draw.randrange(len(self.rows)))
            self.gone_at[sold] = self.now

    def page(self, page: PageOf) -> Observed:
        rows = list(self.rows)
        if page.sort == "listed":
            rows = rows[::-1] if page.ascending else rows
        else:
            rows.sort(key=lambda each: self.keys[page.sort][each], reverse=not page.ascending)
        first = (page.number - 1) * SHOWN.per_page
        return Observed(page, tuple(rows[first : first + SHOWN.per_page]), len(rows))

    def known(self) -> set[int]:
        return {each for each in self.order if each > 0} | self.in_middle()

    def in_middle(self) -> set[int]:
        return set(self.seen) - set(self.order)

    def keep(self) -> None:
        since, placed = seen_since(self.middle, self.now, MAX_AGE_S), set(self.order)
        self.seen = {each: at for each, at in self.seen.items() if each in placed or at >= since}

    def check(self) -> None:
        pages: list[Observed] = []
        while isinstance(step := next_step(self.order, pages, SHOWN), PageOf):
            pages.append(self.page(step))
        assert not isinstance(step, Contradiction), step
        vanished = vanished_from_middle(self.order, step, self.in_middle())
        self.order = within_reach(step.order, SHOWN)
        for each in step.removed:
            self.seen.pop(each, None)
        self.seen.update({each: self.now for page in pages for each in page.ids})
        if not has_middle(len(self.rows), SHOWN):
            self.middle, self.seen = Middle(), {each: self.seen[each] for each in self.order if each > 0}
            return
        self.middle = noted(self.middle, vanished, self.now, MAX_AGE_S)
        self.keep()
        for _ in range(pages_now(self.middle, 2, SHOWN)):
            if self.middle.page >= self.middle.pages(SHOWN):
                self.middle = next_turn(self.middle, len(self.known()), len(self.rows), SHOWN)
            if self.middle.is_read and not self.middle.orders:
                break
            self.seen.update(dict.fromkeys(self.page(page_of_middle(self.middle.page, SHOWN)).ids, self.now))
            self.middle = replace(self.middle, page=self.middle.page + 1)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(150, 420),
    st.integers(0, 2**32),
    st.lists(st.lists(st.sampled_from(["addition", "sale"]), max_size=3), max_size=60),
)
def test_the_ends_are_exact_and_nothing_sold_is_shown_for_long(size: int, seed: int, story: list[list[str]]) -> None:
    store = Store(size, seed)
    longest = timedelta(seconds=MAX_AGE_S * SHOWN_PART)
    for events in story:
        for event in events:
            store.happen(event)
        store.now += timedelta(minutes=5)
        store.check()
        for place, each in enumerate(store.order):
            if each > 0:
                assert store.rows[place] == each
                assert SHOWN.page_at(place, len(store.rows))
        gone = store.known() - set(store.rows)
        assert all(store.now - store.gone_at[each] <= longest for each in gone)


@settings(max_examples=20, deadline=None)
@given(st.integers(230, 420), st.integers(0, 2**32))
def test_most_of_a_quiet_store_becomes_known_and_a_sale_in_it_is_hidden_in_time(size: int, seed: int) -> None:
    store = Store(size, seed)
    for _ in range(40):
        store.now += timedelta(minutes=1)
        store.check()
    assert store.middle.is_read
    left = len(store.rows) - len(store.known())
    brought_little = (len(store.known()) - store.middle.known_before) / SHOWN.last_page < 1
    assert left * SHOWN.per_page / size < 1 or brought_little or store.middle.orders == len(ORDERS)
    if in_middle := sorted(store.in_middle()):
        sold = store.draw.choice(in_middle)
        store.rows.remove(sold)
        for _ in range(26):
            store.now += timedelta(minutes=5)
            store.check()
        assert timedelta(minutes=26 * 5) >= timedelta(seconds=MAX_AGE_S * DOUBTED_PART)
        assert sold not in store.known()
        assert store.known() <= set(store.rows)
