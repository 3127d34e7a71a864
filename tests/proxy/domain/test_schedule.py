from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.domain.schedule import (
    CHECKS_AT_ONCE,
    FREE_CHECKS_A_DAY,
    SWEEPS_AT_ONCE,
    UNPAID_INTERVAL_S,
    Pace,
    Store,
    Task,
    Work,
    audits,
    choose,
    effective_interval_s,
    forecast,
    interval_s,
    pages_of,
    renewal_pays,
    sweep_left_s,
    task,
    tracked,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PACE = Pace(check_s=60, audit_s=300, content_max_age_s=6 * 3600, tracked_max=2)


def ago(**given: float) -> datetime:
    return NOW - timedelta(**given)


SEEN = Store(
    "shop",
    requested_at=ago(minutes=1),
    is_mirrored=True,
    items=3000,
    checked_at=ago(minutes=2),
    reconciled_at=ago(minutes=2),
    oldest_at=ago(hours=1),
    replaced_calls=1000,
)


# --- what is due ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "seconds"),
    [
        (SEEN, 60),
        (replace(SEEN, requested_at=ago(minutes=11)), 3600),
        (replace(SEEN, replaced_calls=10, check_calls=10), UNPAID_INTERVAL_S),
        (replace(SEEN, requested_at=ago(minutes=11), replaced_calls=0), UNPAID_INTERVAL_S),
        (replace(SEEN, replaced_calls=11, check_calls=10), 60),
    ],
    ids=["looked at", "quiet", "its checks save nothing", "quiet, and they never did", "its checks save something"],
)
def test_a_store_that_is_looked_at_is_checked_at_the_interval_and_else_hourly(store: Store, seconds: float) -> None:
    assert interval_s(store, PACE, NOW) == seconds


@pytest.mark.parametrize(
    ("store", "work"),
    [
        (SEEN, Work.CHECK),
        (replace(SEEN, checked_at=ago(seconds=59)), Work.CHECK),  # so that it has ended when a minute is over
        (replace(SEEN, checked_at=ago(seconds=57)), None),
        (replace(SEEN, is_leased=True), None),
        (replace(SEEN, is_mirrored=False), Work.SWEEP),
        (replace(SEEN, is_mirrored=False, requested_at=datetime(1970, 1, 1, tzinfo=UTC)), Work.SWEEP),
        (replace(SEEN, is_purged=True), Work.SWEEP),
        (replace(SEEN, oldest_at=ago(hours=5.5)), Work.RENEW),
        (replace(SEEN, sweep_page=7), Work.RENEW),
        (replace(SEEN, oldest_at=ago(hours=5.5), replaced_calls=5), Work.CHECK),
        (replace(SEEN, oldest_at=ago(hours=5.5), requested_at=ago(minutes=20)), None),
        (
            replace(SEEN, checked_at=ago(hours=6), requested_at=ago(days=9), replaced_calls=0, check_calls=23),
            Work.CHECK,
        ),
        (replace(SEEN, checked_at=ago(hours=9), requested_at=ago(days=9), replaced_calls=0, check_calls=24), None),
    ],
)
def test_what_is_due(store: Store, work: Work | None) -> None:
    found = task(store, PACE, NOW)
    assert (found and found.work) == work


@pytest.mark.parametrize(
    ("changed", "pages"),
    [
        ({}, 1),
        ({"items": 10_000}, 3),
        ({"items": 20_000}, 6),
        ({"items": 120}, 1),
        ({"reconciled_at": ago(minutes=4)}, 0),
        ({"requested_at": ago(hours=4)}, 0),
        ({"requested_at": ago(hours=2)}, 10),
        ({"oldest_at": ago(hours=5)}, 7),
        ({"reconciled_at": ago(minutes=15)}, 3),
        ({"items": 20_000, "requested_at": ago(hours=2), "replaced_calls": 0}, 0),
        ({"items": 20_000, "requested_at": ago(hours=2), "replaced_calls": 20}, 19),
    ],
)
def test_so_many_pages_are_read_again_that_all_are_in_time(changed: dict[str, object], pages: int) -> None:
    store = replace(SEEN, **({"reconciled_at": ago(minutes=5)} | changed))  # type: ignore[arg-type]
    assert audits(store, PACE, NOW) == pages


# --- which stores ---------------------------------------------------------------------------------------------------

THRICE = (ago(minutes=1), ago(minutes=20), ago(minutes=60))


@pytest.mark.parametrize(
    ("store", "is_tracked"),
    [
        (Store("a", NOW), False),
        (Store("a", NOW, asked_at=THRICE), True),
        (Store("a", NOW, asked_at=THRICE[:2]), False),
        (Store("a", NOW, asked_at=(NOW, ago(minutes=1), ago(minutes=61))), False),
        (Store("a", NOW, asked_at=(NOW, ago(days=1), ago(days=2)), is_tracked=True), True),
        (Store("a", NOW, is_pinned=True), True),
    ],
)
def test_a_store_is_tracked_once_it_is_asked_for_three_times_within_an_hour(store: Store, is_tracked: bool) -> None:
    assert (tracked([store], 5) == {"a"}) is is_tracked


def test_the_store_that_was_asked_for_longest_ago_is_let_go_and_pinned_ones_never() -> None:
    stores = [
        Store("pinned", ago(days=9), is_pinned=True),
        Store("oldest", ago(hours=9), asked_at=THRICE, is_tracked=True),
        Store("older", ago(hours=8), asked_at=THRICE, is_tracked=True),
        Store("newest", NOW, asked_at=THRICE),
    ]
    assert tracked(stores, 2) == {"pinned", "older", "newest"}
    assert tracked(stores, 0) == {"pinned"}


# --- who is next ----------------------------------------------------------------------------------------------------


def test_never_more_than_a_few_run_at_once_and_a_store_only_once() -> None:
    checks = [replace(SEEN, username=f"c{number}") for number in range(9)]
    sweeps = [replace(SEEN, username=f"s{number}", is_mirrored=False) for number in range(9)]
    found = choose([*checks, *sweeps], PACE, NOW, {"c0": Work.CHECK, "s0": Work.SWEEP})
    assert Counter(each.work for each in found) == {Work.CHECK: CHECKS_AT_ONCE - 1, Work.SWEEP: SWEEPS_AT_ONCE - 1}
    assert not {"c0", "s0"} & {each.username for each in found}


def test_who_is_latest_by_its_own_measure_is_checked_first() -> None:
    quiet = {"requested_at": ago(hours=9)}
    stores = [
        replace(SEEN, username="a minute of one", checked_at=ago(minutes=2)),
        replace(SEEN, username="an hour of one", checked_at=ago(minutes=150), **quiet),  # type: ignore[arg-type]
        replace(SEEN, username="five of one", checked_at=ago(minutes=6)),
    ]
    order = [each.username for each in choose(stores, PACE, NOW, {})]
    assert order == ["five of one", "an hour of one", "a minute of one"]


def test_rows_that_would_vanish_are_swept_first_then_short_stores() -> None:
    stores = [
        replace(SEEN, username="long", is_mirrored=False),
        replace(SEEN, username="short", is_mirrored=False, items=200),
        replace(SEEN, username="old rows", oldest_at=ago(hours=5.5)),
    ]
    assert [each.username for each in choose(stores, PACE, NOW, {})] == ["old rows", "short"]


# --- estimates ------------------------------------------------------------------------------------------------------


def test_more_stores_than_the_budget_can_check_make_all_intervals_longer() -> None:
    few, many = ([replace(SEEN, username=str(number)) for number in range(count)] for count in (10, 96))
    assert forecast(few, PACE, NOW, 60).stretch == 1
    expected = forecast(many, PACE, NOW, 60)
    assert effective_interval_s(many[0], PACE, NOW, expected) == pytest.approx(240)
    assert forecast(many, PACE, NOW, 0).stretch == 1


def test_a_sweep_waits_for_the_shorter_ones_alone() -> None:
    long, short = (
        replace(SEEN, username=str(items), is_mirrored=False, is_tracked=True, items=items) for items in (3000, 200)
    )
    expected = forecast([long, short], PACE, NOW, 60)
    assert expected.pages_left == 32
    assert 8 <= expected.sweep_pages_a_minute <= 40
    short_s, long_s = (sweep_left_s(each, [long, short], expected) for each in (short, long))
    assert short_s == pytest.approx(2 / expected.sweep_pages_a_minute * 60)
    assert long_s == pytest.approx(expected.sweeps_s)
    assert sweep_left_s(replace(long, items=None), [long], expected) is None
    assert sweep_left_s(SEEN, [long], expected) == 0


# --- a day on a virtual clock ---------------------------------------------------------------------------------------

MINUTE = timedelta(minutes=1)


@dataclass
class Simulated:
    """A store whose pages are read again in turn, and the calls that were made for it."""

    store: Store
    asks_each: int
    """Minutes between requests; 0: nobody asks."""
    finds: int
    """Calls that its checks take beyond those planned."""
    asks: int = 1
    """At each time."""
    pages_at: list[datetime] = field(default_factory=list)
    audit_page: int = 0
    replaced: list[datetime] = field(default_factory=list)
    replaced_by_hour: Counter[datetime] = field(default_factory=Counter)
    calls_by_hour: Counter[datetime] = field(default_factory=Counter)
    checks: list[tuple[datetime, int]] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    def known(self, now: datetime) -> Store:
        hour = now.replace(minute=0)
        return replace(
            self.store,
            oldest_at=min(self.pages_at, default=None),
            replaced_calls=sum(self.replaced_by_hour[hour - timedelta(hours=back)] for back in range(24)),
            check_calls=sum(self.calls_by_hour[hour - timedelta(hours=back)] for back in range(25)),
        )

    def ask(self, now: datetime) -> None:
        self.replaced += [now] * self.asks
        self.replaced_by_hour[now.replace(minute=0)] += self.asks
        self.store = replace(self.store, requested_at=now)
        if self.store.is_mirrored:
            self.ages.append((now - min(self.pages_at)).total_seconds())

    def work(self, what: Task, now: datetime) -> None:
        pages = self.store.pages
        if what.work is not Work.CHECK:
            if what.work is Work.RENEW:
                self._spend(pages, now)
            self.pages_at = [now] * pages
            self.store = replace(self.store, is_mirrored=True, checked_at=now, reconciled_at=now)
            return
        read = {0, *((self.audit_page + number) % pages for number in range(what.audits))}
        for page in read:
            self.pages_at[page] = now
        self.audit_page = (self.audit_page + what.audits) % pages
        self._spend(len(read) + self.finds, now)
        self.store = replace(self.store, checked_at=now, reconciled_at=now if what.audits else self.store.reconciled_at)

    def _spend(self, calls: int, now: datetime) -> None:
        self.checks.append((now, calls))
        self.calls_by_hour[now.replace(minute=0)] += calls


def a_day(stores: Sequence[Simulated], hours: int) -> None:
    """What was started in each minute; everything takes less than one."""
    for minute in range(hours * 60):
        now = NOW + minute * MINUTE
        for each in stores:
            if each.asks_each and minute % each.asks_each == 0:
                each.ask(now)
        tasks = choose([each.known(now) for each in stores], PACE, now, {})
        for what in tasks:
            next(each for each in stores if each.store.username == what.username).work(what, now)


def simulated(name: str, pages: int, asks_each: int, finds: int = 0) -> Simulated:
    return Simulated(Store(name, NOW - timedelta(days=1), items=pages * 100), asks_each, finds)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 300), st.integers(0, 6)), min_size=1, max_size=2))
def test_over_any_day_checks_take_no_more_calls_than_they_replaced_plus_24(found: list[tuple[int, int, int]]) -> None:
    """But for what the last one found beyond the pages that it was told to read."""
    stores = [simulated(str(number), *each) for number, each in enumerate(found)]
    a_day(stores, hours=28)
    for each in stores:
        for at, _ in each.checks[::7] + each.checks[-1:]:
            since = at - timedelta(days=1)
            checks = sum(calls for when, calls in each.checks if since < when <= at)
            assert checks <= sum(since < when <= at for when in each.replaced) + FREE_CHECKS_A_DAY + each.finds


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 100))
def test_what_is_looked_at_all_day_is_checked_at_the_interval_and_read_again_in_time(pages: int) -> None:
    one = simulated("one", pages, 1)
    one.asks = 5
    a_day([one, simulated("other", 7, 0)], hours=12)
    assert max(one.ages) <= PACE.content_max_age_s * 0.6
    assert {after - before for (before, _), (after, _) in pairwise(one.checks)} == {MINUTE}
    assert sum(calls > 1 for _, calls in one.checks) <= 12 * 60 / 5


def test_a_store_that_nobody_asks_for_is_checked_now_and_then_and_never_read_again() -> None:
    quiet = simulated("quiet", 40, 0)
    a_day([quiet], hours=30)
    assert [calls for _, calls in quiet.checks] == [1] * len(quiet.checks)
    assert len({at for at, _ in quiet.checks if at < NOW + timedelta(days=1)}) in (3, 4)


@pytest.mark.parametrize(("ago_hours", "pays"), [([1.0] * 29, False), ([1.0] * 30, True), ([1.0] * 29 + [6.1], False)])
def test_rows_too_old_are_swept_once_as_many_pages_were_read_past_the_mirror(
    ago_hours: list[float], pays: bool
) -> None:
    assert renewal_pays((each * 3600 for each in ago_hours), 30, PACE.content_max_age_s) is pays


@pytest.mark.parametrize(("items", "pages"), [(0, 1), (100, 1), (101, 2), (20_000, 200), (50_000, 200)])
def test_a_sweep_reads_no_more_pages_than_upstream_shows(items: int, pages: int) -> None:
    assert pages_of(items) == pages


@settings(max_examples=5, deadline=None)
@given(st.integers(10, 30))
def test_with_more_stores_than_can_be_checked_none_waits_longer_than_its_turn(count: int) -> None:
    stores = [simulated(str(number), 1, 1) for number in range(count)]
    a_day(stores, hours=1)
    turn = -(-count // CHECKS_AT_ONCE)
    for each in stores:
        times = [at for at, _ in each.checks]
        assert max((after - before) / MINUTE for before, after in pairwise(times)) <= turn + 1
