"""A world on a virtual clock, for `./run bench --day`: stores that change, shoppers, Discogs, and the rules that serve.

What is decided is decided by the rules of the proxy itself: the budget, the schedule, delta checks, lifetimes, the way
of a request to the mirror. What is simulated is time, the network and the world: listings are sold, added, relisted,
inserted and edited; pages and releases are asked for by Zipf's law, which of them is popular does not change; each
listing is of a release of its own. All stores are pinned; releases of old listings have been matched before the day.

Requests come by Poisson processes. Only those are drawn one by one from which a call may follow; of the others as many
are counted as are expected, so that a thousand requests a second take no longer than one.
"""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate

from proxy.domain.budget import WINDOW_S, Budget, Lane, Queue
from proxy.domain.delta import NEWEST, Changes, Contradiction, Observed, PageOf, Shown, next_step
from proxy.domain.hold_down import HOLD_DOWN_S
from proxy.domain.lifetimes import Lifetime, Use, lifetime, may_leave, refresh_pays
from proxy.domain.mirror import Way, way_of
from proxy.domain.rotation import audit_pages, page_of_rotation
from proxy.domain.schedule import LEAD, Pace, Task, Work, choose, renewal_pays
from proxy.domain.schedule import Store as Scheduled
from proxy.services.behind import BEHIND_MOST

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_S, DAY_S = 3600.0, 86_400.0
LATENCY_S = 0.5
TICK_S = 1.0
LIMIT = 60
PATIENCE_S = {Lane.SHOPPER: 10.0, Lane.CHECK: 120.0, Lane.SWEEP: 120.0, Lane.MATCHING: 40.0, Lane.REFRESH: 600.0}
PARKED_S = 60.0
SHARE_OF_PAGES = 0.3
"""Of the client calls; the others look at a release."""

MATCHED = 0.7
"""Share of the releases that have audio: they are kept in Postgres, the others as copies, for a little less long."""

PAGE_CACHE_S = 60.0
RELEASE_MAX_AGE_S = 10_800.0
PACE = Pace(check_s=60.0, audit_s=300.0, content_max_age_s=21_600.0, tracked_max=50)
PERSISTED = Lifetime(RELEASE_MAX_AGE_S, PACE.content_max_age_s, PACE.content_max_age_s)
SHOWN = Shown()
ATTEMPTS = 3
OLDEST_LOOK_S = 600.0
"""How old the oldest row is is looked up so often: it takes long."""

CHURN = ("sale", "sale", "sale", "sale", "addition", "addition", "addition", "relisting", "insertion", "edit")
ROOM = 1.5
"""So many times its first size a store may grow to."""

Happen = Callable[[], None]


@dataclass(slots=True)
class Told:
    """What is counted. Requests are expected numbers where they are not drawn one by one.

    Times are seconds from a sale to the last answer that may have shown it: of those that counts can show, and of those
    that an insertion hides from them, which wait for a page to be read again. `late` are those of the first kind that
    were shown later than one interval and the check's own duration.
    """

    client: float = 0.0
    stale: float = 0.0
    misses: float = 0.0
    refused: float = 0.0
    page_cache: float = 0.0
    upstream: Counter[Lane] = field(default_factory=Counter)
    sales: int = 0
    staleness_s: list[float] = field(default_factory=list)
    hidden_s: list[float] = field(default_factory=list)
    late: int = 0
    most_in_a_minute: int = 0

    @property
    def calls(self) -> int:
        return self.upstream.total()

    @property
    def reduction(self) -> float:
        return 1 - self.calls / self.client

    @property
    def hits(self) -> float:
        return self.client - self.stale - self.misses - self.refused


class Crowd:
    """Members with weights, drawn by weight: a binary indexed tree."""

    def __init__(self, size: int) -> None:
        self._weights = [0.0] * size
        self._tree = [0.0] * (size + 1)
        self._top = 1 << size.bit_length() >> 1
        self.total = 0.0

    def put(self, member: int, weight: float) -> None:
        """0 takes it out."""
        if added := weight - self._weights[member]:
            self._weights[member] = weight
            self.total = max(0.0, self.total + added)
            place = member + 1
            while place < len(self._tree):
                self._tree[place] += added
                place += place & -place

    def draw(self, share: float) -> int | None:
        """The member at that share of the total; None where rounding errors lead to none."""
        left, place, step = share * self.total, 0, self._top
        while step:
            if place + step < len(self._tree) and self._tree[place + step] <= left:
                place += step
                left -= self._tree[place]
            step >>= 1
        return place if place < len(self._weights) and self._weights[place] else None


@dataclass(eq=False, slots=True)
class Release:
    """Of one listing. `rate` is how often it is asked for a second; 0: it is not for sale."""

    number: int
    weight: float
    life: Lifetime
    rate: float = 0.0
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")
    use: Use = Use.NOTHING
    is_refreshing: bool = False
    is_awaited: bool = False
    """By a shopper."""


@dataclass(eq=False, slots=True)
class Store:
    """`truth` and `mirror` are ids newest first. `rate` is how many pages are asked for a second."""

    name: str
    rate: float
    popular: Sequence[float]
    """Of its pages, cumulated."""
    releases: dict[int, Release]
    free: list[Release]
    truth: list[int]
    version: int = 0
    mirror: Sequence[int] | None = None
    rows_at: dict[int, float] = field(default_factory=dict)
    oldest_at: float = float("-inf")
    oldest_looked_at: float = float("-inf")
    sold_at: dict[int, float] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    checked_at: float = float("-inf")
    reconciled_at: float | None = None
    audit: int = 1
    busy_since: float | None = None
    held_until: float = 0.0
    look_again_at: float = 0.0
    past_the_mirror: deque[float] = field(default_factory=lambda: deque(maxlen=2 * SHOWN.last_page))
    asked_at: float = float("-inf")
    known_until: float = 0.0
    """Up to when it is known which request was the last."""
    shown_at: float = float("-inf")
    counted_until: float = 0.0
    waiting: float = 0.0
    loads: int = 0
    """Draws of the next request: only the last one counts."""
    replaced: Counter[int] = field(default_factory=Counter)
    spent: Counter[int] = field(default_factory=Counter)
    steps: dict[object, object] = field(default_factory=dict)

    def page(self, wanted: PageOf) -> Observed:
        rows = self.truth[::-1] if wanted.ascending else self.truth
        first = (wanted.number - 1) * SHOWN.per_page
        return Observed(wanted, tuple(rows[first : first + SHOWN.per_page]), len(rows))

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.truth) // SHOWN.per_page))

    def is_fresh_until(self) -> float:
        """Up to when every request is answered from the mirror without a thought."""
        if self.mirror is None:
            return float("-inf")
        return min(self.checked_at + PACE.check_s, self.oldest_at + PACE.content_max_age_s)

    def scheduled(self, now: float) -> Scheduled:
        """Calls are counted by the hour, as in the database."""
        return Scheduled(
            self.name,
            _moment(self.asked_at),
            is_mirrored=self.mirror is not None,
            items=len(self.truth),
            checked_at=_moment(self.checked_at) if self.mirror is not None else None,
            reconciled_at=None if self.reconciled_at is None else _moment(self.reconciled_at),
            oldest_at=_moment(self.oldest_at) if self.mirror is not None else None,
            is_pinned=True,
            is_tracked=True,
            replaced_calls=_since(self.replaced, now - DAY_S),
            check_calls=_since(self.spent, now - DAY_S - HOUR_S),
        )


def _moment(at: float) -> datetime:
    return START + timedelta(seconds=max(at, -1e6))


def _since(by_hour: Counter[int], since: float) -> int:
    for hour in [each for each in by_hour if each * HOUR_S <= since]:
        del by_hour[hour]
    return by_hour.total()


class Day:
    """One world. `calls_a_second` are the client calls of all shoppers."""

    def __init__(self, sizes: Sequence[int], churn_an_hour: float, calls_a_second: float, seed: int = 1) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - not for secrets
        self.now = 0.0
        self.told = Told()
        self._events: list[tuple[float, int, Happen]] = []
        self._order = itertools.count()
        self._ids = itertools.count(1)
        self._churn = churn_an_hour
        self._budget = Budget.starting(LIMIT)
        self._lanes: dict[Lane, deque[tuple[float, Callable[[bool], None]]]] = {lane: deque() for lane in Lane}
        self._wake_at = float("inf")
        self._sent: deque[float] = deque()
        self._running: dict[str, Work] = {}
        self._page_copies: dict[tuple[str, int], float] = {}
        room = sum(round(size * ROOM) + SHOWN.per_page for size in sizes)
        self._cold, self._ageing = Crowd(room), Crowd(room)
        """Releases that shoppers must wait for, and those that are renewed behind an answer."""
        self._rates: dict[Use, float] = defaultdict(float)
        self._draws = {id(self._cold): 0, id(self._ageing): 0}
        self._shut_since: float | None = None
        self._releases: list[Release] = []
        popular = sum(1 / (place + 1) for place in range(len(sizes)))
        self.stores = [self._store(size, calls_a_second / (place + 1) / popular) for place, size in enumerate(sizes)]
        self._calls_a_second = calls_a_second
        self._page_cache_a_second = self._page_cache()

    def _store(self, size: int, calls_a_second: float) -> Store:
        room, pages = round(size * ROOM) + SHOWN.per_page, -(-size // SHOWN.per_page)
        scale = calls_a_second * (1 - SHARE_OF_PAGES) / sum(1 / (place + 1) for place in range(size))
        slots = [self._release(scale / (place + 1)) for place in range(room)]
        truth = [next(self._ids) for _ in range(size)][::-1]
        taken = slots[:size]
        self.draw.shuffle(taken)
        for release in taken:
            self._asked_for(release, release.weight)
        return Store(
            f"store_{size}_{len(self._releases)}",
            calls_a_second * SHARE_OF_PAGES,
            list(accumulate(1 / (place + 1) for place in range(pages))),
            dict(zip(truth, taken, strict=True)),
            slots[size:][::-1],
            truth,
        )

    def _release(self, weight: float) -> Release:
        number = len(self._releases)
        copied = lifetime(200, "", RELEASE_MAX_AGE_S, f"release {number}", PACE.content_max_age_s)
        life = PERSISTED if copied is None or self.draw.random() < MATCHED else copied
        self._releases.append(Release(number, weight, life))
        return self._releases[-1]

    def _page_cache(self) -> float:
        """Calls a second of a cache that keeps each answer for a minute."""
        pages = [
            store.rate * (last - before) / store.popular[-1]
            for store in self.stores
            for before, last in itertools.pairwise([0.0, *store.popular])
        ]
        rates = [*pages, *(each.rate for each in self._releases)]
        return sum(rate / (1 + rate * PAGE_CACHE_S) for rate in rates)

    # --- time ---

    def run(self, told_s: float, warm_s: float) -> Told:
        """What is counted in `told_s`, after the first `warm_s`, in which stores are read and copies made."""
        self._after(0.0, self._tick)
        for store in self.stores:
            self._after(self._next_change(store), partial(self._change, store))
            self._expect_load(store)
        while self._events and self._events[0][0] < warm_s + told_s:
            at, _, happen = heapq.heappop(self._events)
            if self.now < warm_s <= at:
                self._count_refused()
                self.told = Told()
            self.now = at
            happen()
        return self.told

    def _after(self, seconds: float, happen: Happen) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happen))

    def _tick(self) -> None:
        self.told.client += self._calls_a_second * TICK_S
        self.told.page_cache += self._page_cache_a_second * TICK_S
        self.told.stale += self._rates[Use.WHILE_RENEWED] * TICK_S
        due = [each for each in self.stores if self._may_be_due(each)]
        for chosen in choose((each.scheduled(self.now) for each in due), PACE, _moment(self.now), self._running):
            self._start(next(each for each in due if each.name == chosen.username), chosen)
        self._after(TICK_S, self._tick)

    def _may_be_due(self, store: Store) -> bool:
        """Nothing is due before the shortest interval has passed; then who is not due is looked at now and then."""
        if store.busy_since is not None or self.now < max(store.held_until, store.look_again_at):
            return False
        if store.mirror is not None and self.now < store.checked_at + PACE.check_s * (1 - LEAD):
            return False
        self._find_last_request(store)
        self._find_oldest_row(store)
        store.look_again_at = self.now + (0.0 if store.scheduled(self.now).is_watched(_moment(self.now)) else 60.0)
        return True

    # --- the stores ---

    def _next_change(self, store: Store) -> float:
        return self.draw.expovariate(max(1, len(store.truth)) * self._churn / HOUR_S)

    def _change(self, store: Store) -> None:
        kind = self.draw.choice(CHURN)
        if kind in ("sale", "relisting") and store.truth:
            gone = store.truth.pop(self.draw.randrange(len(store.truth)))
            if kind == "relisting":
                store.truth.insert(0, gone)
            else:
                self._sell(store, gone)
        elif kind in ("addition", "insertion") and store.free:
            place = 0 if kind == "addition" else self.draw.randrange(len(store.truth) + 1)
            added = next(self._ids)
            store.truth.insert(place, added)
            store.releases[added] = release = store.free.pop()
            self._asked_for(release, release.weight)
        store.version += 1
        self._after(self._next_change(store), partial(self._change, store))

    def _sell(self, store: Store, gone: int) -> None:
        """Its place in the order of popularity is for the next that comes."""
        self.told.sales += 1
        store.sold_at[gone] = self.now
        release = store.releases.pop(gone)
        self._asked_for(release, 0.0)
        release.fetched_at = float("-inf")
        self._turn(release, Use.NOTHING)
        store.free.append(release)

    # --- pages ---

    def _expect_load(self, store: Store) -> None:
        """Of those after which something may happen; while a store is not known one a second tells enough."""
        store.loads += 1
        wait_s = max(0.0, store.is_fresh_until() - self.now) + self.draw.expovariate(store.rate)
        if store.mirror is None:
            wait_s = max(wait_s, TICK_S)
        self._after(wait_s, partial(self._load, store, store.loads))

    def _load(self, store: Store, number: int) -> None:
        if number != store.loads:
            return
        self._count_loads(store)
        store.asked_at = store.known_until = self.now
        place = min(bisect(store.popular, self.draw.random() * store.popular[-1]), store.pages - 1)
        if store.mirror is None or not self._has_rows(store, place):
            self._load_past_the_mirror(store, place)
        else:
            self._load_from_mirror(store, place)
        if store.busy_since is None or store.mirror is None or self.now >= store.oldest_at + PACE.content_max_age_s:
            self._expect_load(store)

    def _has_rows(self, store: Store, place: int) -> bool:
        first = place * SHOWN.per_page
        rows = (store.mirror or ())[first : first + SHOWN.per_page]
        return all(may_leave(self.now - store.rows_at[row], PACE.content_max_age_s) for row in rows if row > 0)

    def _load_past_the_mirror(self, store: Store, place: int) -> None:
        key = store.name, place
        if self.now < self._page_copies.get(key, 0.0):
            return
        self._page_copies[key] = self.now + PACE.check_s
        self._call(Lane.SHOPPER, self._waited)
        if store.mirror is None or self._has_rows(store, place):
            return
        store.past_the_mirror.append(self.now)
        if renewal_pays((self.now - at for at in store.past_the_mirror), store.pages, PACE.content_max_age_s):
            store.past_the_mirror.clear()
            self._start(store, Task(store.name, Work.RENEW))

    def _load_from_mirror(self, store: Store, place: int) -> None:
        held, may_check = self.now < store.held_until, store.scheduled(self.now).may_check
        store.replaced[int(self.now // HOUR_S)] += 1
        ago_s = self.now - store.checked_at
        match way_of(ago_s, PACE.check_s, PACE.content_max_age_s, held=held, may_check=may_check):
            case Way.FRESH:
                store.shown_at = self.now
            case Way.WHILE_CHECKED:
                self.told.stale += 1
                store.shown_at = self.now
                self._start(store, Task(store.name, Work.CHECK))
            case Way.AFTER_CHECK:
                store.waiting += 1
                self._start(store, Task(store.name, Work.CHECK), Lane.SHOPPER)
            case Way.IF_CHECK_FAILS:
                self.told.stale += 1
                store.shown_at = self.now
            case Way.UPSTREAM | Way.UNPAID:
                store.replaced[int(self.now // HOUR_S)] -= 1
                self._load_past_the_mirror(store, place)

    def _count_loads(self, store: Store) -> None:
        """Those since the last time that were not drawn: while the mirror is fresh, and while a check runs."""
        since, store.counted_until = store.counted_until, self.now
        if store.mirror is None:
            return
        fresh_until = min(self.now, max(since, store.is_fresh_until()))
        self._count_answered(store, since, fresh_until)
        if store.busy_since is None or self.now >= store.oldest_at + PACE.content_max_age_s:
            return
        stale_until = min(self.now, max(fresh_until, store.checked_at + 2 * PACE.check_s))
        self.told.stale += self._count_answered(store, fresh_until, stale_until)
        waiting = store.rate * (self.now - stale_until)
        store.waiting += waiting
        self._replaced(store, waiting)

    def _count_answered(self, store: Store, since: float, until: float) -> float:
        if until <= since:
            return 0.0
        if (last := until - self.draw.expovariate(store.rate)) > since:
            store.shown_at = last
        self._replaced(store, answered := store.rate * (until - since))
        return answered

    def _replaced(self, store: Store, requests: float) -> None:
        """Whole ones: the rest by chance."""
        whole = int(requests)
        store.replaced[int(self.now // HOUR_S)] += whole + (self.draw.random() < requests - whole)

    def _find_last_request(self, store: Store) -> None:
        """While the mirror is not fresh and no check runs each request is drawn: none that is not known has been."""
        until = self.now if store.busy_since is not None else min(self.now, store.is_fresh_until())
        if (last := until - self.draw.expovariate(store.rate)) > store.known_until:
            store.asked_at = last
        store.known_until = self.now

    def _waited(self, answered: bool) -> None:
        if answered:
            self.told.misses += 1
        else:
            self.told.refused += 1

    # --- releases ---

    def _asked_for(self, release: Release, rate: float) -> None:
        self._rates[release.use] += rate - release.rate
        release.rate = rate
        self._place(release)

    def _turn(self, release: Release, use: Use) -> None:
        self._rates[release.use] -= release.rate
        self._rates[use] += release.rate
        release.use = use
        self._place(release)

    def _place(self, release: Release) -> None:
        """In the crowd whose requests are drawn, if any."""
        waits = release.use in (Use.NOTHING, Use.IF_UPSTREAM_FAILS) and not release.is_awaited
        ages = release.use is Use.WHILE_RENEWED and not release.is_refreshing
        for crowd, belongs in ((self._cold, waits), (self._ageing, ages)):
            before = crowd.total
            if crowd is self._cold:
                self._count_refused()
            crowd.put(release.number, release.rate if belongs else 0.0)
            if crowd.total != before:
                self._expect_look(crowd)

    def _expect_look(self, crowd: Crowd) -> None:
        """None while more wait than can be served in time: then what is asked for is refused, or shown as it is."""
        self._draws[id(crowd)] += 1
        if crowd is self._cold and len(self._lanes[Lane.SHOPPER]) >= LIMIT:
            self._shut_since = self.now
        elif crowd is self._ageing and len(self._lanes[Lane.REFRESH]) >= BEHIND_MOST:
            return
        elif crowd.total > 1e-12:
            self._after(self.draw.expovariate(crowd.total), partial(self._look, crowd, self._draws[id(crowd)]))

    def _count_refused(self) -> None:
        if self._shut_since is not None:
            self.told.refused += self._cold.total * (self.now - self._shut_since)
            self._shut_since = self.now

    def _look(self, crowd: Crowd, number: int) -> None:
        if number != self._draws[id(crowd)]:
            return
        found = crowd.draw(self.draw.random())
        if found is None:
            self._expect_look(crowd)
        elif crowd is self._cold:
            self._wait_for(self._releases[found])
        else:
            self._look_at_ageing(self._releases[found])

    def _wait_for(self, release: Release) -> None:
        """Who asks meanwhile waits for the same call."""
        began, release.is_awaited, release.asked_at = self.now, True, self.now
        self._place(release)

        def done(answered: bool) -> None:
            waited = 1 + release.rate * (self.now - began)
            release.is_awaited = False
            if answered:
                self.told.misses += waited
                self._fetched(release, began)
                return
            if release.life.use(self.now - release.fetched_at) is Use.NOTHING:
                self.told.refused += waited
            else:
                self.told.stale += waited
            self._place(release)

        self._call(Lane.SHOPPER, done)

    def _look_at_ageing(self, release: Release) -> None:
        old_since = release.fetched_at + release.life.fresh_s
        if release.asked_at < old_since:  # while it was fresh nobody looked who asked
            release.asked_at = max(release.asked_at, old_since - self.draw.expovariate(release.rate))
        asked_ago_s, release.asked_at = self.now - release.asked_at, self.now
        if refresh_pays(asked_ago_s):
            self._refresh(release)
        else:
            self._expect_look(self._ageing)

    def _refresh(self, release: Release) -> None:
        began, release.is_refreshing = self.now, True
        self._place(release)

        def done(answered: bool) -> None:
            release.is_refreshing = False
            if answered:
                self._fetched(release, began)
            else:
                self._place(release)

        self._call(Lane.REFRESH, done)

    def _match(self, release: Release) -> None:
        began = self.now

        def done(answered: bool) -> None:
            if answered:
                self._fetched(release, began)
            else:
                self._after(PARKED_S, partial(self._match, release))

        self._call(Lane.MATCHING, done)

    def _fetched(self, release: Release, at: float) -> None:
        if at > release.fetched_at:
            release.fetched_at = at
            self._age(release, at)

    def _age(self, release: Release, fetched_at: float) -> None:
        """Turn it to what it is good for now, and again when that changes."""
        if release.fetched_at != fetched_at:
            return
        life, age_s = release.life, self.now - fetched_at
        self._turn(release, life.use(age_s))
        for bound in (life.fresh_s, life.renewed_s, life.most_s):
            if age_s < bound:
                self._after(bound - age_s + 1e-3, partial(self._age, release, fetched_at))
                return

    # --- checks ---

    def _start(self, store: Store, task: Task, lane: Lane | None = None) -> None:
        if store.busy_since is not None or self.now < store.held_until:
            return
        self._count_loads(store)
        store.busy_since = self.now
        store.loads += 1  # while it runs loads are counted together
        self._running[store.name] = task.work
        is_first = store.mirror is None
        reads = is_first or task.work is not Work.CHECK
        steps = self._sweep_and_check(store) if reads else self._check(store, task.audits)
        if is_first or self.now >= store.oldest_at + PACE.content_max_age_s:
            self._expect_load(store)
        self._go_on(store, steps, lane or (Lane.SWEEP if reads else Lane.CHECK), counts=not is_first)

    def _go_on(self, store: Store, steps: Iterator[None], lane: Lane, *, counts: bool) -> None:
        """Each step is a page that is read. The first sweep does not count against what a store may cost."""
        if next(steps, False) is False:
            self._ended(store, failed=False)
            return

        def done(answered: bool) -> None:
            if not answered:
                self._ended(store, failed=True)
                return
            store.spent[int(self.now // HOUR_S)] += counts
            self._go_on(store, steps, lane, counts=counts)

        self._call(lane, done)

    def _ended(self, store: Store, *, failed: bool) -> None:
        self._count_loads(store)
        if failed:
            store.held_until = self.now + HOLD_DOWN_S
            self.told.stale += store.waiting
        else:
            self.told.misses += store.waiting
        store.waiting = 0.0
        store.busy_since = None
        del self._running[store.name]
        self._find_oldest_row(store)
        store.known_until = self.now
        self._expect_load(store)

    def _sweep_and_check(self, store: Store) -> Iterator[None]:
        yield from self._sweep(store)
        yield from self._check(store, 0)

    def _sweep(self, store: Store) -> Iterator[None]:
        ids: dict[int, None] = {}
        number, places = 1, 0
        while places < len(store.truth):
            page = SHOWN.page_at(places, len(store.truth)) or PageOf(number)
            asked_at = self.now
            yield
            ids |= dict.fromkeys(self._read(store, page, asked_at).ids[:: -1 if page.ascending else 1])
            number, places = number + 1, places + SHOWN.per_page
        self._count_loads(store)
        store.mirror = tuple(ids)
        store.steps.clear()

    def _read(self, store: Store, page: PageOf, asked_at: float) -> Observed:
        """Rows are no younger than the request for them."""
        observed = store.page(page)
        store.rows_at |= dict.fromkeys(observed.ids, asked_at)
        return observed

    def _check(self, store: Store, audits: int) -> Iterator[None]:
        for _ in range(ATTEMPTS):
            began = self.now
            yield
            seen, version = [self._read(store, NEWEST, began)], store.version
            audited = audit_pages(store.audit, audits, len(store.truth), SHOWN)
            wanted = [page for number in audited if (page := page_of_rotation(number, SHOWN)) != NEWEST]
            while True:
                step = wanted.pop() if wanted else self._next_step(store, seen, version)
                if isinstance(step, PageOf):
                    asked_at = self.now
                    yield
                    seen.append(self._read(store, step, asked_at))
                elif isinstance(step, Changes):
                    self._apply(store, step, began)
                    if audited:
                        store.reconciled_at, store.audit = began, audited[-1] + 1
                    return
                elif isinstance(step, Contradiction):
                    break
        yield from self._sweep(store)

    def _next_step(self, store: Store, seen: Sequence[Observed], version: int) -> object:
        """The planner is pure: of the same mirror and the same pages of the same truth it is not asked twice."""
        if store.version != version:
            return next_step(store.mirror or (), seen, SHOWN)
        key = version, tuple(each.page for each in seen)
        if key not in store.steps:
            store.steps = {each: step for each, step in store.steps.items() if each[0] == version}  # type: ignore[index]
            store.steps[key] = next_step(store.mirror or (), seen, SHOWN)
        return store.steps[key]

    def _apply(self, store: Store, changes: Changes, began: float) -> None:
        self._count_loads(store)
        if changes.order != store.mirror:
            store.mirror = changes.order
            store.steps.clear()
        store.checked_at = began
        for gone in changes.removed:
            self._tell_removed(store, gone)
        for added in changes.added:
            if release := store.releases.get(added):
                self._match(release)
        self._find_hidden(store, began)

    def _tell_removed(self, store: Store, gone: int) -> None:
        if (sold_at := store.sold_at.pop(gone, None)) is None:
            return
        shown_s = store.shown_at - sold_at
        lasted_s = self.now - (store.busy_since or self.now)
        if gone in store.hidden:
            store.hidden.discard(gone)
            self.told.hidden_s.append(max(0.0, shown_s))
        elif shown_s > 0:
            self.told.staleness_s.append(shown_s)
            self.told.late += shown_s > PACE.check_s + lasted_s + TICK_S

    def _find_hidden(self, store: Store, began: float) -> None:
        """Sold before this check, and still shown: something that it does not know of makes up for it in the counts."""
        known = set(store.mirror or ())
        over = [gone for gone, at in store.sold_at.items() if at < began and gone in known]
        if over and any(row not in known for row in store.truth):
            store.hidden.update(over)

    def _find_oldest_row(self, store: Store) -> None:
        if store.mirror is None or self.now < store.oldest_looked_at + OLDEST_LOOK_S:
            return
        store.oldest_looked_at = self.now
        store.rows_at = {row: store.rows_at[row] for row in store.mirror if row > 0}
        store.oldest_at = min(store.rows_at.values(), default=self.now)

    # --- the budget ---

    def _call(self, lane: Lane, done: Callable[[bool], None]) -> None:
        until = self.now + PATIENCE_S[lane]
        self._lanes[lane].append((until, done))
        if len(self._lanes[lane]) == 1:  # else those before it are waited for already
            self._dispatch()
        if lane is Lane.SHOPPER:
            self._after(PATIENCE_S[lane], self._refuse)

    def _refuse(self) -> None:
        self._in_time(Lane.SHOPPER)
        self._open()

    def _dispatch(self) -> None:
        while waiting := {Queue(lane, True) for lane in Lane if self._in_time(lane)}:
            chosen = self._budget.admit(waiting, self.now)
            if not isinstance(chosen, Queue):
                self._wake(chosen)
                break
            self._send(chosen)
        self._open()

    def _in_time(self, lane: Lane) -> bool:
        """Whether any call waits; who has waited too long leaves."""
        calls = self._lanes[lane]
        while calls and calls[0][0] <= self.now:
            if lane is Lane.SHOPPER:
                self._budget.promise(True, self.now)
            calls.popleft()[1](False)
        return bool(calls)

    def _open(self) -> None:
        """There is room again for who waits."""
        if self._shut_since is not None and len(self._lanes[Lane.SHOPPER]) < LIMIT:
            self._count_refused()
            self._shut_since = None
            self._expect_look(self._cold)

    def _wake(self, seconds: float) -> None:
        at = self.now + max(0.01, seconds)
        if at < self._wake_at or self._wake_at <= self.now:
            self._wake_at = at
            self._after(at - self.now, self._dispatch)

    def _send(self, queue: Queue) -> None:
        was_full = len(self._lanes[queue.lane]) >= BEHIND_MOST
        _, done = self._lanes[queue.lane].popleft()
        reservation = self._budget.take(queue, self.now)
        self.told.upstream[queue.lane] += 1
        self._sent.append(self.now)
        while self._sent[0] <= self.now - WINDOW_S:
            self._sent.popleft()
        self.told.most_in_a_minute = max(self.told.most_in_a_minute, len(self._sent))

        def answered() -> None:
            self._budget.release(reservation, self.now)
            done(True)

        self._after(LATENCY_S, answered)
        if was_full and queue.lane is Lane.REFRESH:
            self._expect_look(self._ageing)
