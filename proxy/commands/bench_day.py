"""A simulated day, for `./run bench --day`: what the mirror, the budget and the schedule make of a shop's traffic.

The clock is virtual; the rules are those that serve (budget, schedule, delta checks). Stores change by themselves,
shoppers load pages and look at releases, both by Zipf's law. A first day warms everything up, the second is told.
Beside it, of the same requests: a client that goes to Discogs directly, and a cache that keeps answers for a minute.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate

from proxy.domain.budget import WINDOW_S, Budget, Lane, Queue
from proxy.domain.delta import Changes, Contradiction, Observed, PageOf, Shown, next_step
from proxy.domain.schedule import Pace, Task, Work, choose
from proxy.domain.schedule import Store as Scheduled

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0
LATENCY_S = 0.5
DEADLINE_S = 10.0
RELEASE_FRESH_S, RELEASE_MOST_S = 10_800.0, 21_600.0
PAGE_CACHE_S = 60.0
SHARE_OF_PAGES = 0.3
"""Of the client calls; the others look at a release."""

PACE = Pace(check_s=60.0, audit_s=300.0, content_max_age_s=21_600.0, tracked_max=50)
SHOWN = Shown()
CHURN = ("sale", "sale", "sale", "sale", "addition", "addition", "addition", "relisting", "insertion", "edit")


@dataclass(slots=True)
class Told:
    """What is counted on the second day. Staleness: seconds from a sale to the answer that no longer shows it."""

    client: int = 0
    hits: int = 0
    stale: int = 0
    misses: int = 0
    refused: int = 0
    upstream: int = 0
    checks: int = 0
    page_cache: int = 0
    staleness_s: list[float] = field(default_factory=list)
    most_in_a_minute: int = 0

    @property
    def reduction(self) -> float:
        return 1 - self.upstream / self.client


@dataclass(eq=False, slots=True)
class _Store:
    """Ids newest first: the truth and the mirror; an id is also that of its release."""

    name: str
    truth: list[int]
    mirror: Sequence[int] | None = None
    sold_at: dict[int, float] = field(default_factory=dict)
    checked_at: float = float("-inf")
    reconciled_at: float | None = None
    requested_at: float = float("-inf")
    audit: int = 1
    busy: bool = False
    waiting: list[Callable[[bool], None]] = field(default_factory=list)
    replaced: deque[float] = field(default_factory=deque)
    costs: deque[float] = field(default_factory=deque)

    def page(self, wanted: PageOf) -> Observed:
        rows = self.truth[::-1] if wanted.ascending else self.truth
        first = (wanted.number - 1) * SHOWN.per_page
        return Observed(wanted, tuple(rows[first : first + SHOWN.per_page]), len(rows))

    def scheduled(self, now: float) -> Scheduled:
        for calls in (self.replaced, self.costs):
            while calls and calls[0] < now - DAY_S:
                calls.popleft()
        return Scheduled(
            self.name,
            _moment(self.requested_at),
            is_mirrored=self.mirror is not None,
            items=len(self.truth),
            checked_at=_moment(self.checked_at) if self.mirror is not None else None,
            reconciled_at=None if self.reconciled_at is None else _moment(self.reconciled_at),
            oldest_at=None if self.reconciled_at is None else _moment(now - PACE.content_max_age_s / 3),
            is_pinned=True,
            is_tracked=True,
            replaced_calls=len(self.replaced),
            check_calls=len(self.costs),
        )


def _moment(at: float) -> datetime:
    return START + timedelta(seconds=max(at, -1e6))


class Day:
    """Two days of one world. `calls_a_second` are the client calls of all shoppers."""

    def __init__(self, sizes: Sequence[int], churn_an_hour: float, calls_a_second: float, seed: int = 1) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - not for secrets
        self.now = 0.0
        self.told = Told()
        self._ids = itertools.count(1)
        self.stores = [_Store(f"store_{size}_{n}", self._stock(size)) for n, size in enumerate(sizes)]
        self._churn, self._rate = churn_an_hour, calls_a_second
        self._popular = list(accumulate(1 / (place + 1) for place in range(len(sizes))))
        self._budget = Budget.starting(60)
        self._lanes: dict[Lane, deque[tuple[float, Callable[[bool], None]]]] = {lane: deque() for lane in Lane}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._wake_at = float("inf")
        self._sent: deque[float] = deque()
        self._releases: dict[int, float] = {}
        self._fetching: set[int] = set()
        self._running: dict[str, Work] = {}
        self._page_cache: dict[object, float] = {}

    def _stock(self, size: int) -> list[int]:
        return [next(self._ids) for _ in range(size)][::-1]

    # --- time ---

    def run(self, days: float = 2.0) -> Told:
        self._after(0.0, self._second)
        for store in self.stores:
            self._after(self._next_change(store), partial(self._change, store))
        told_from = (days - 1) * DAY_S
        while self._events and self._events[0][0] < days * DAY_S:
            at, _, happen = heapq.heappop(self._events)
            if self.now < told_from <= at:
                self.told = Told()
            self.now = at
            happen()
        return self.told

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happen))

    def _second(self) -> None:
        for _ in range(self._arrivals()):
            self._shop()
        for chosen in choose(
            (each.scheduled(self.now) for each in self.stores), PACE, _moment(self.now), self._running
        ):
            self._start(chosen)
        self._after(1.0, self._second)

    def _arrivals(self) -> int:
        whole = int(self._rate)
        return whole + (self.draw.random() < self._rate - whole)

    # --- the stores ---

    def _next_change(self, store: _Store) -> float:
        return self.draw.expovariate(max(1, len(store.truth)) * self._churn / 3600)

    def _change(self, store: _Store) -> None:
        kind = self.draw.choice(CHURN)
        if kind in ("sale", "relisting") and store.truth:
            gone = store.truth.pop(self.draw.randrange(len(store.truth)))
            if kind == "relisting":
                store.truth.insert(0, gone)
            else:
                store.sold_at[gone] = self.now
        elif kind in ("addition", "insertion"):
            place = 0 if kind == "addition" else self.draw.randrange(len(store.truth) + 1)
            store.truth.insert(place, next(self._ids))
        self._after(self._next_change(store), partial(self._change, store))

    # --- the shoppers ---

    def _shop(self) -> None:
        store = self.stores[self._zipf(self._popular)]
        store.requested_at = self.now
        self.told.client += 1
        pages = max(1, -(-len(store.truth) // SHOWN.per_page))
        place = min(len(store.truth) - 1, int(len(store.truth) ** self.draw.random()) - 1) if store.truth else 0
        if self.draw.random() < SHARE_OF_PAGES or not store.truth:
            self._cached_for_a_minute((store.name, place * pages // max(1, len(store.truth))))
            store.replaced.append(self.now)
            self._load_page(store)
        else:
            release_id = store.truth[place]
            self._cached_for_a_minute(release_id)
            self._look_at(release_id)

    def _zipf(self, cumulative: Sequence[float]) -> int:
        return bisect(cumulative, self.draw.random() * cumulative[-1])

    def _cached_for_a_minute(self, what: object) -> None:
        if self._page_cache.get(what, 0.0) <= self.now:
            self._page_cache[what] = self.now + PAGE_CACHE_S
            self.told.page_cache += 1

    def _load_page(self, store: _Store) -> None:
        age_s = self.now - store.checked_at
        if store.mirror is None:
            self._call(Lane.SHOPPER, self._waited)
        elif age_s < PACE.check_s:
            self.told.hits += 1
        elif age_s < 2 * PACE.check_s:
            self.told.stale += 1
            self._start(Task(store.name, Work.CHECK))
        else:
            store.waiting.append(self._waited)
            self._start(Task(store.name, Work.CHECK), Lane.SHOPPER)

    def _look_at(self, release_id: int) -> None:
        age_s = self.now - self._releases.get(release_id, float("-inf"))
        if age_s < RELEASE_FRESH_S:
            self.told.hits += 1
        elif age_s < RELEASE_MOST_S:
            self.told.stale += 1
            self._fetch(release_id, Lane.REFRESH, lambda _: None)
        else:
            self._fetch(release_id, Lane.SHOPPER, self._waited)

    def _waited(self, answered: bool) -> None:
        if answered:
            self.told.misses += 1
        else:
            self.told.refused += 1

    def _fetch(self, release_id: int, lane: Lane, done: Callable[[bool], None]) -> None:
        """Equal requests at once are one call; the others count as having waited for it."""
        if release_id in self._fetching:
            done(True) if lane is Lane.SHOPPER else None
            return
        self._fetching.add(release_id)

        def ended(answered: bool) -> None:
            self._fetching.discard(release_id)
            if answered:
                self._releases[release_id] = self.now
            done(answered)

        self._call(lane, ended)

    # --- checks ---

    def _start(self, task: Task, lane: Lane | None = None) -> None:
        store = next(each for each in self.stores if each.name == task.username)
        if store.busy:
            return
        store.busy = True
        self._running[store.name] = task.work
        steps = self._sweep(store) if store.mirror is None else self._check(store, task.audits)
        self._go_on(store, steps, lane or (Lane.SWEEP if store.mirror is None else Lane.CHECK))

    def _go_on(self, store: _Store, steps: Iterator[None], lane: Lane) -> None:
        """Each step is a page that is read."""
        if next(steps, False) is False:
            store.busy = False
            del self._running[store.name]
            for waiting in store.waiting:
                waiting(True)
            store.waiting.clear()
            return
        self.told.checks += 1
        store.costs.append(self.now)
        self._call(lane, lambda _: self._go_on(store, steps, lane))

    def _sweep(self, store: _Store) -> Iterator[None]:
        ids: dict[int, None] = {}
        number = 1
        while (number - 1) * SHOWN.per_page < len(store.truth):
            yield
            ids |= dict.fromkeys(store.page(PageOf(number)).ids)
            number += 1
        store.mirror = tuple(ids)
        yield from self._check(store, 0)

    def _check(self, store: _Store, audits: int) -> Iterator[None]:
        for _ in range(3):
            seen: list[Observed] = []
            began = self.now
            pages = max(1, -(-len(store.truth) // SHOWN.per_page))
            wanted = [PageOf((store.audit - 1 + each) % pages + 1) for each in range(audits)]
            while True:
                step = wanted.pop() if wanted else next_step(store.mirror or (), seen, SHOWN)
                if isinstance(step, PageOf):
                    yield
                    if step not in [each.page for each in seen]:
                        seen.append(store.page(step))
                elif isinstance(step, Changes):
                    self._apply(store, step, began, audits, pages)
                    return
                elif isinstance(step, Contradiction):
                    break
        store.mirror = None

    def _apply(self, store: _Store, changes: Changes, began: float, audits: int, pages: int) -> None:
        store.mirror, store.checked_at = changes.order, began
        for gone in changes.removed:
            if (sold_at := store.sold_at.pop(gone, None)) is not None:
                self.told.staleness_s.append(self.now - sold_at)
        if audits:
            store.reconciled_at, store.audit = began, (store.audit - 1 + audits) % pages + 1
        for added in changes.added:
            if added not in self._releases and added not in self._fetching:
                self._fetch(added, Lane.MATCHING, lambda _: None)

    # --- the budget ---

    def _call(self, lane: Lane, done: Callable[[bool], None]) -> None:
        until = self.now + (DEADLINE_S if lane is Lane.SHOPPER else 600.0)
        self._lanes[lane].append((until, done))
        self._dispatch()

    def _dispatch(self) -> None:
        while waiting := {Queue(lane, True) for lane, calls in self._lanes.items() if self._in_time(calls)}:
            chosen = self._budget.admit(waiting, self.now)
            if not isinstance(chosen, Queue):
                self._wake(chosen)
                return
            self._send(chosen)

    def _in_time(self, calls: deque[tuple[float, Callable[[bool], None]]]) -> bool:
        while calls and calls[0][0] <= self.now:
            calls.popleft()[1](False)
        return bool(calls)

    def _wake(self, seconds: float) -> None:
        at = self.now + max(0.01, seconds)
        if at < self._wake_at or self._wake_at <= self.now:
            self._wake_at = at
            self._after(at - self.now, self._dispatch)

    def _send(self, queue: Queue) -> None:
        _, done = self._lanes[queue.lane].popleft()
        reservation = self._budget.take(queue, self.now)
        self.told.upstream += 1
        self._sent.append(self.now)
        while self._sent[0] <= self.now - WINDOW_S:
            self._sent.popleft()
        self.told.most_in_a_minute = max(self.told.most_in_a_minute, len(self._sent))

        def answered() -> None:
            self._budget.release(reservation, self.now)
            done(True)
            self._dispatch()

        self._after(LATENCY_S, answered)


# --- the table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scenario:
    """`churn` is the part of a store that changes in an hour."""

    name: str
    sizes: tuple[int, ...]
    churn: float
    calls_a_second: float


FIVE = (200, 500, 1000, 2000, 3000)
TWENTY = tuple(round(200 * 100 ** (place / 19)) for place in range(20))
SCENARIOS = (
    Scenario("5 stores of 200-3,000, 15 calls a second", FIVE, 0.002, 15.0),
    Scenario("the same, 50 page loads a day", FIVE, 0.002, 50 / DAY_S / SHARE_OF_PAGES),
    Scenario("20 stores of 200-20,000, 15 calls a second", TWENTY, 0.001, 15.0),
)


def day_table(scenarios: Sequence[Scenario] = SCENARIOS) -> None:
    """Takes minutes: each scenario is two days of every single request."""
    titles = ("calls saved", "page cache", "hits", "stale", "refused", "p50 s", "p95 s", "max s", "in 60 s")
    print(f"{'a simulated day':<46}" + "".join(f"{title:>13}" for title in titles))
    for each in scenarios:
        told = Day(each.sizes, each.churn, each.calls_a_second).run()
        shares = (told.reduction, 1 - told.page_cache / told.client, told.hits / told.client, told.stale / told.client)
        late = sorted(told.staleness_s) or [0.0]
        times = (late[len(late) // 2], late[int(len(late) * 0.95)], late[-1])
        print(
            f"{each.name:<46}"
            + "".join(f"{share:>13.1%}" for share in shares)
            + f"{told.refused:>13}"
            + "".join(f"{seconds:>13.0f}" for seconds in times)
            + f"{told.most_in_a_minute:>13}",
            flush=True,
        )
    print(
        "calls saved: against a client that goes to Discogs directly; page cache: what one saves that keeps answers\n"
        "for a minute; hits are fresh and waited for nothing; seconds: from a sale to the first answer without it\n"
        "(where an insertion above hides it from the counts, it waits for the audit of its page)"
    )


async def simulated_days() -> None:
    await asyncio.to_thread(day_table)
