"""Shoppers who load pages of stores: from the mirror as the proxy's own rules have it, or past it.

Only those loads are drawn one by one from which a call may follow; of the others as many are counted as are expected.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from functools import partial

from proxy.commands.simulated_day.calls import Calls
from proxy.commands.simulated_day.stores import Store
from proxy.commands.simulated_day.world import HOUR_S, PACE, SHOWN, TICK_S, World
from proxy.domain.budget import Lane
from proxy.domain.lifetimes import may_leave
from proxy.domain.mirror import Way, way_of
from proxy.domain.schedule import Task, Work, renewal_pays


class Loads:
    """`start` begins a check, or a sweep."""

    def __init__(self, world: World, calls: Calls) -> None:
        self.world = world
        self.calls = calls
        self.start: Callable[[Store, Task, Lane], None] = lambda *_: None
        self._page_copies: dict[tuple[str, int], float] = {}

    def expect(self, store: Store) -> None:
        """Of those after which something may happen; while a store is not known one a second tells enough."""
        store.loads += 1
        wait_s = max(0.0, store.is_fresh_until() - self.world.now) + self.world.draw.expovariate(store.rate)
        if store.mirror is None:
            wait_s = max(wait_s, TICK_S)
        self.world.after(wait_s, partial(self._load, store, store.loads))

    def count(self, store: Store) -> None:
        """Those since the last time that were not drawn: while the mirror is fresh, and while a check runs."""
        since, store.counted_until = store.counted_until, self.world.now
        if store.mirror is None:
            return
        fresh_until = min(self.world.now, max(since, store.is_fresh_until()))
        self._count_answered(store, since, fresh_until)
        if store.busy_since is None or self.world.now >= store.oldest_at + PACE.content_max_age_s:
            return
        stale_until = min(self.world.now, max(fresh_until, store.checked_at + 2 * PACE.check_s))
        self.world.told.stale += self._count_answered(store, fresh_until, stale_until)
        waiting = store.rate * (self.world.now - stale_until)
        store.waiting += waiting
        self._replaced(store, waiting)

    def find_last_request(self, store: Store) -> None:
        """While the mirror is not fresh and no check runs each request is drawn: none that is not known has been."""
        until = self.world.now if store.busy_since is not None else min(self.world.now, store.is_fresh_until())
        if (last := until - self.world.draw.expovariate(store.rate)) > store.known_until:
            store.asked_at = last
        store.known_until = self.world.now

    def _load(self, store: Store, number: int) -> None:
        if number != store.loads:
            return
        self.count(store)
        store.asked_at = store.known_until = self.world.now
        place = min(bisect(store.popular, self.world.draw.random() * store.popular[-1]), store.pages - 1)
        if store.mirror is None or not self._has_rows(store, place):
            self._load_past_the_mirror(store, place)
        else:
            self._load_from_mirror(store, place)
        if (
            store.busy_since is None
            or store.mirror is None
            or self.world.now >= store.oldest_at + PACE.content_max_age_s
        ):
            self.expect(store)

    def _has_rows(self, store: Store, place: int) -> bool:
        first = place * SHOWN.per_page
        rows = (store.mirror or ())[first : first + SHOWN.per_page]
        return all(may_leave(self.world.now - store.rows_at[row], PACE.content_max_age_s) for row in rows if row > 0)

    def _load_past_the_mirror(self, store: Store, place: int) -> None:
        key = store.name, place
        if self.world.now < self._page_copies.get(key, 0.0):
            return
        self._page_copies[key] = self.world.now + PACE.check_s
        self.calls.make(Lane.SHOPPER, self._waited)
        if store.mirror is None or self._has_rows(store, place):
            return
        store.past_the_mirror.append(self.world.now)
        if renewal_pays((self.world.now - at for at in store.past_the_mirror), store.pages, PACE.content_max_age_s):
            store.past_the_mirror.clear()
            self.start(store, Task(store.name, Work.RENEW), Lane.SWEEP)

    def _load_from_mirror(self, store: Store, place: int) -> None:
        held, may_check = self.world.now < store.held_until, store.scheduled(self.world.now).may_check
        store.replaced[int(self.world.now // HOUR_S)] += 1
        ago_s = self.world.now - store.checked_at
        match way_of(ago_s, PACE.check_s, PACE.content_max_age_s, held=held, may_check=may_check):
            case Way.FRESH:
                store.shown_at = self.world.now
            case Way.WHILE_CHECKED:
                self.world.told.stale += 1
                store.shown_at = self.world.now
                self.start(store, Task(store.name, Work.CHECK), Lane.CHECK)
            case Way.AFTER_CHECK:
                store.waiting += 1
                self.start(store, Task(store.name, Work.CHECK), Lane.SHOPPER)
            case Way.IF_CHECK_FAILS:
                self.world.told.stale += 1
                store.shown_at = self.world.now
            case Way.UPSTREAM | Way.UNPAID:
                store.replaced[int(self.world.now // HOUR_S)] -= 1
                self._load_past_the_mirror(store, place)

    def _count_answered(self, store: Store, since: float, until: float) -> float:
        if until <= since:
            return 0.0
        if (last := until - self.world.draw.expovariate(store.rate)) > since:
            store.shown_at = last
        self._replaced(store, answered := store.rate * (until - since))
        return answered

    def _replaced(self, store: Store, requests: float) -> None:
        """Whole ones: the rest by chance."""
        whole = int(requests)
        store.replaced[int(self.world.now // HOUR_S)] += whole + (self.world.draw.random() < requests - whole)

    def _waited(self, answered: bool) -> None:
        if answered:
            self.world.told.misses += 1
        else:
            self.world.told.refused += 1
