"""A simulated day: stores, those who ask for them and what serves them, put together and run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import accumulate

from proxy.commands.simulated_day.calls import Calls
from proxy.commands.simulated_day.checks import Checks
from proxy.commands.simulated_day.churn import Churn
from proxy.commands.simulated_day.loads import Loads
from proxy.commands.simulated_day.releases import Releases
from proxy.commands.simulated_day.stores import Store, moment
from proxy.commands.simulated_day.told import Told
from proxy.commands.simulated_day.world import PACE, SHOWN, TICK_S, World
from proxy.domain.schedule import LEAD, choose

SHARE_OF_PAGES = 0.3
"""Of the client calls; the others look at a release."""

PAGE_CACHE_S = 60.0
ROOM = 1.5
"""So many times its first size a store may grow to."""

UNWATCHED_LOOK_S = 60.0
"""How often it is looked whether a store is due that nobody looks at."""


class Day:
    """One world. `calls_a_second` are the client calls of all shoppers."""

    def __init__(self, sizes: Sequence[int], churn_an_hour: float, calls_a_second: float, seed: int = 1) -> None:
        self.world = World(seed)
        calls = Calls(self.world)
        room = sum(round(size * ROOM) + SHOWN.per_page for size in sizes)
        self._releases = Releases(self.world, calls, room)
        self._loads = Loads(self.world, calls)
        self._checks = Checks(self.world, calls, self._loads, self._releases)
        self._ids = itertools.count(1)
        self._churn = Churn(self.world, self._releases, self._ids, churn_an_hour)
        popular = sum(1 / (place + 1) for place in range(len(sizes)))
        self.stores = [self._store(size, calls_a_second / (place + 1) / popular) for place, size in enumerate(sizes)]
        self._calls_a_second = calls_a_second
        self._page_cache_a_second = self._page_cache()

    def _store(self, size: int, calls_a_second: float) -> Store:
        room, pages = round(size * ROOM) + SHOWN.per_page, -(-size // SHOWN.per_page)
        scale = calls_a_second * (1 - SHARE_OF_PAGES) / sum(1 / (place + 1) for place in range(size))
        slots = [self._releases.new(scale / (place + 1)) for place in range(room)]
        truth = [next(self._ids) for _ in range(size)][::-1]
        taken = slots[:size]
        self.world.draw.shuffle(taken)
        for release in taken:
            self._releases.asked_for(release, release.weight)
        return Store(
            f"store_{size}_{len(self._releases.all)}",
            calls_a_second * SHARE_OF_PAGES,
            list(accumulate(1 / (place + 1) for place in range(pages))),
            dict(zip(truth, taken, strict=True)),
            slots[size:][::-1],
            truth,
        )

    def _page_cache(self) -> float:
        """Calls a second of a cache that keeps each answer for a minute."""
        pages = [
            store.rate * (last - before) / store.popular[-1]
            for store in self.stores
            for before, last in itertools.pairwise([0.0, *store.popular])
        ]
        rates = [*pages, *(each.rate for each in self._releases.all)]
        return sum(rate / (1 + rate * PAGE_CACHE_S) for rate in rates)

    def run(self, told_s: float, warm_s: float) -> Told:
        """What is counted in `told_s`, after the first `warm_s`, in which stores are read and copies made."""
        self.world.after(0.0, self._tick)
        for store in self.stores:
            self._churn.begin(store)
            self._loads.expect(store)
        self.world.run(warm_s)
        self._releases.count_refused()
        self.world.told = Told()
        self.world.run(warm_s + told_s)
        return self.world.told

    def _tick(self) -> None:
        self.world.told.client += self._calls_a_second * TICK_S
        self.world.told.page_cache += self._page_cache_a_second * TICK_S
        self.world.told.stale += self._releases.stale_a_second * TICK_S
        due = {each.name: each for each in self.stores if self._may_be_due(each)}
        stores, now = [each.scheduled(self.world.now) for each in due.values()], moment(self.world.now)
        for task in choose(stores, PACE, now, self._checks.running):
            self._checks.start(due[task.username], task)
        self.world.after(TICK_S, self._tick)

    def _may_be_due(self, store: Store) -> bool:
        """Nothing is due before the shortest interval has passed; then who is not due is looked at now and then."""
        if store.busy_since is not None or self.world.now < max(store.held_until, store.look_again_at):
            return False
        if store.mirror is not None and self.world.now < store.checked_at + PACE.check_s * (1 - LEAD):
            return False
        self._loads.find_last_request(store)
        self._checks.find_oldest_row(store)
        is_watched = store.scheduled(self.world.now).is_watched(moment(self.world.now))
        store.look_again_at = self.world.now + (0.0 if is_watched else UNWATCHED_LOOK_S)
        return True
