"""How stores change: listings are sold, added, relisted, inserted and edited."""

from __future__ import annotations

import itertools
from functools import partial

from proxy.commands.simulated_day.releases import Releases
from proxy.commands.simulated_day.stores import Store
from proxy.commands.simulated_day.world import HOUR_S, World

CHURN = ("sale", "sale", "sale", "sale", "addition", "addition", "addition", "relisting", "insertion", "edit")


class Churn:
    """`an_hour` is the part of a store that changes; `ids` are those of new listings."""

    def __init__(self, world: World, releases: Releases, ids: itertools.count[int], an_hour: float) -> None:
        self.world = world
        self.releases = releases
        self._ids = ids
        self._an_hour = an_hour

    def begin(self, store: Store) -> None:
        self.world.after(self._next_change(store), partial(self._change, store))

    def _next_change(self, store: Store) -> float:
        return self.world.draw.expovariate(max(1, len(store.truth)) * self._an_hour / HOUR_S)

    def _change(self, store: Store) -> None:
        kind = self.world.draw.choice(CHURN)
        if kind in ("sale", "relisting") and store.truth:
            gone = store.truth.pop(self.world.draw.randrange(len(store.truth)))
            if kind == "relisting":
                store.truth.insert(0, gone)
            else:
                self._sell(store, gone)
        elif kind in ("addition", "insertion") and store.free:
            place = 0 if kind == "addition" else self.world.draw.randrange(len(store.truth) + 1)
            added = next(self._ids)
            store.truth.insert(place, added)
            store.releases[added] = release = store.free.pop()
            self.releases.asked_for(release, release.weight)
        store.version += 1
        self.begin(store)

    def _sell(self, store: Store, gone: int) -> None:
        self.world.told.sales += 1
        store.sold_at[gone] = self.world.now
        release = store.releases.pop(gone)
        self.releases.sold(release)
        store.free.append(release)
