"""Releases, and shoppers who look at them: copies of some age, renewed as the proxy's own rules have it.

Of the requests those are drawn one by one from which a call may follow.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

from proxy.commands.simulated_day.calls import Calls
from proxy.commands.simulated_day.crowd import Crowd
from proxy.commands.simulated_day.world import LIMIT, PACE, World
from proxy.domain.budget import Lane
from proxy.domain.lifetimes import Lifetime, Use, lifetime, refresh_pays
from proxy.services.behind import BEHIND_MOST

PARKED_S = 60.0
MATCHED = 0.7
"""Share of the releases that have audio: they are kept in Postgres, the others as copies, for a little less long."""

RELEASE_MAX_AGE_S = 10_800.0
PERSISTED = Lifetime(RELEASE_MAX_AGE_S, PACE.content_max_age_s, PACE.content_max_age_s)


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


class Releases:
    """`most` there are."""

    def __init__(self, world: World, calls: Calls, most: int) -> None:
        self.world = world
        self.calls = calls
        self.all: list[Release] = []
        self._cold, self._ageing = Crowd(most), Crowd(most)
        """Those that shoppers must wait for, and those that are renewed behind an answer."""
        self._rates: dict[Use, float] = defaultdict(float)
        self._draws = {id(self._cold): 0, id(self._ageing): 0}
        self._shut_since: float | None = None
        calls.on_moved = self._open
        calls.on_room_to_refresh = partial(self._expect_look, self._ageing)

    def new(self, weight: float) -> Release:
        number = len(self.all)
        copied = lifetime(200, "", RELEASE_MAX_AGE_S, f"release {number}", PACE.content_max_age_s)
        life = PERSISTED if copied is None or self.world.draw.random() < MATCHED else copied
        self.all.append(Release(number, weight, life))
        return self.all[-1]

    def asked_for(self, release: Release, rate: float) -> None:
        self._rates[release.use] += rate - release.rate
        release.rate = rate
        self._place(release)

    def sold(self, release: Release) -> None:
        """Its place in the order of popularity is for the next that comes."""
        self.asked_for(release, 0.0)
        release.fetched_at = float("-inf")
        self._turn(release, Use.NOTHING)

    @property
    def stale_a_second(self) -> float:
        """Requests that are answered while a copy is renewed."""
        return self._rates[Use.WHILE_RENEWED]

    def count_refused(self) -> None:
        if self._shut_since is not None:
            self.world.told.refused += self._cold.total * (self.world.now - self._shut_since)
            self._shut_since = self.world.now

    def match(self, release: Release) -> None:
        began = self.world.now

        def done(answered: bool) -> None:
            if answered:
                self._fetched(release, began)
            else:
                self.world.after(PARKED_S, partial(self.match, release))

        self.calls.make(Lane.MATCHING, done)

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
                self.count_refused()
            crowd.put(release.number, release.rate if belongs else 0.0)
            if crowd.total != before:
                self._expect_look(crowd)

    def _expect_look(self, crowd: Crowd) -> None:
        """None while more wait than can be served in time: then what is asked for is refused, or shown as it is."""
        self._draws[id(crowd)] += 1
        if crowd is self._cold and self.calls.waiting(Lane.SHOPPER) >= LIMIT:
            self._shut_since = self.world.now
        elif crowd is self._ageing and self.calls.waiting(Lane.REFRESH) >= BEHIND_MOST:
            return
        elif crowd.total > 1e-12:
            self.world.after(
                self.world.draw.expovariate(crowd.total), partial(self._look, crowd, self._draws[id(crowd)])
            )

    def _open(self) -> None:
        """There is room again for who waits."""
        if self._shut_since is not None and self.calls.waiting(Lane.SHOPPER) < LIMIT:
            self.count_refused()
            self._shut_since = None
            self._expect_look(self._cold)

    def _look(self, crowd: Crowd, number: int) -> None:
        if number != self._draws[id(crowd)]:
            return
        found = crowd.draw(self.world.draw.random())
        if found is None:
            self._expect_look(crowd)
        elif crowd is self._cold:
            self._wait_for(self.all[found])
        else:
            self._look_at_ageing(self.all[found])

    def _wait_for(self, release: Release) -> None:
        """Who asks meanwhile waits for the same call."""
        began, release.is_awaited, release.asked_at = self.world.now, True, self.world.now
        self._place(release)

        def done(answered: bool) -> None:
            waited = 1 + release.rate * (self.world.now - began)
            release.is_awaited = False
            if answered:
                self.world.told.misses += waited
                self._fetched(release, began)
                return
            if release.life.use(self.world.now - release.fetched_at) is Use.NOTHING:
                self.world.told.refused += waited
            else:
                self.world.told.stale += waited
            self._place(release)

        self.calls.make(Lane.SHOPPER, done)

    def _look_at_ageing(self, release: Release) -> None:
        old_since = release.fetched_at + release.life.fresh_s
        if release.asked_at < old_since:  # while it was fresh nobody looked who asked
            release.asked_at = max(release.asked_at, old_since - self.world.draw.expovariate(release.rate))
        asked_ago_s, release.asked_at = self.world.now - release.asked_at, self.world.now
        if refresh_pays(asked_ago_s):
            self._refresh(release)
        else:
            self._expect_look(self._ageing)

    def _refresh(self, release: Release) -> None:
        began, release.is_refreshing = self.world.now, True
        self._place(release)

        def done(answered: bool) -> None:
            release.is_refreshing = False
            if answered:
                self._fetched(release, began)
            else:
                self._place(release)

        self.calls.make(Lane.REFRESH, done)

    def _fetched(self, release: Release, at: float) -> None:
        if at > release.fetched_at:
            release.fetched_at = at
            self._age(release, at)

    def _age(self, release: Release, fetched_at: float) -> None:
        """Turn it to what it is good for now, and again when that changes."""
        if release.fetched_at != fetched_at:
            return
        life, age_s = release.life, self.world.now - fetched_at
        self._turn(release, life.use(age_s))
        for bound in (life.fresh_s, life.renewed_s, life.most_s):
            if age_s < bound:
                self.world.after(bound - age_s + 1e-3, partial(self._age, release, fetched_at))
                return
