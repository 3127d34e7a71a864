"""What is asked for, what that would have cost and did: counted in memory, written every few seconds and at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import tracking
from proxy.adapters.tracking import FORWARDED_MAX, Counted
from proxy.domain.loads import bucket_of
from proxy.domain.policy import Decision, Source
from proxy.domain.resources import resource_of

FLUSH_S = 5.0
STORES_MAX = RELEASES_MAX = 10_000
"""Counted between two writes: a crawler of names or ids costs no more."""

log = structlog.get_logger()


@dataclass(slots=True)
class Demand:
    """Usernames are lower case. Of stores that are not known nothing is written: a crawler of names leaves no trace."""

    database: Database
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _stores: dict[str, Counted] = field(default_factory=dict)
    _releases: Counter[str] = field(default_factory=Counter)
    """By path: whose it is, is found when it is written."""
    _forwarded: dict[str, str] = field(default_factory=dict)
    """By username what an operator can change."""
    _together: Counted = field(default_factory=Counted)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def answered(
        self,
        stores: Mapping[str, int],
        client_calls: int,
        decision: Decision,
        *,
        good: bool,
        load_s: float | None = None,
    ) -> None:
        """What would have taken `client_calls` was answered, of them so many of each of `stores`.

        `load_s`: it was an inventory, and that took so many seconds.
        """
        hit = decision.source is Source.HIT
        _count(self._together, hit, client_calls)
        for username, calls in stores.items():
            if (counted := self._counted(username)) is None:
                continue
            _count(counted, hit, calls)
            if load_s is not None:
                counted.loads[bucket_of(load_s)] += 1
            # What was only passed on tells not that a store is looked at; what cost a call of its own replaced none.
            if good and decision.source is not Source.BYPASS:
                counted.asked_at.append(self.now())
                counted.replaced_calls += calls if decision.upstream_status is None else 0

    def release_answered(self, path: str) -> None:
        """Somebody got the release that has this path."""
        if path in self._releases or len(self._releases) < RELEASES_MAX:
            self._releases[path] += 1

    def forwarded(self, username: str, change: str) -> None:
        """A store was asked for in a way that spares no call."""
        if len(self._forwarded) < FORWARDED_MAX:
            self._forwarded[username] = change

    def called(self, username: str | None) -> None:
        """Discogs was asked, for the inventory of this store or for something else."""
        self._together.upstream_calls += 1
        if username and (counted := self._counted(username)):
            counted.upstream_calls += 1

    def spent(self, username: str, calls: int) -> None:
        """Calls that a check took."""
        if counted := self._counted(username):
            counted.check_calls += calls

    def decided(self, *, matched: bool) -> None:
        """A match job ended with a word on its release."""
        self._together.decided += 1
        self._together.matched += matched

    async def run(self) -> None:
        """Writes for ever; while the database is away it counts on."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._try_to_flush()

    async def stop(self) -> None:
        """What was counted last is written, if the database is there."""
        await self._try_to_flush()

    async def flush(self) -> None:
        """All that was counted before is in the database then. Raises DatabaseUnavailable; then nothing is lost."""
        async with self._flushing:
            if not self._stores and self._together == Counted():
                return
            stores, releases, together = self._stores, self._releases, self._together
            self._stores, self._releases, self._together = {}, Counter(), Counted()
            forwarded, self._forwarded = self._forwarded, {}
            try:
                async with self.database.transaction() as connection:
                    await tracking.count(connection, stores, together)
                    await tracking.count_releases(connection, _by_id(releases))
                    await tracking.forwarded(connection, forwarded)
            except DatabaseUnavailable:
                self._put_back(stores, releases, together)
                self._forwarded = forwarded | self._forwarded
                raise

    async def _try_to_flush(self) -> None:
        try:
            await self.flush()
        except DatabaseUnavailable as error:
            log.debug("what is counted waits for the database", error=str(error))

    def _counted(self, username: str) -> Counted | None:
        counted = self._stores.get(username)
        if counted is None and len(self._stores) < STORES_MAX:
            counted = self._stores[username] = Counted()
        return counted

    def _put_back(self, stores: dict[str, Counted], releases: Counter[str], together: Counted) -> None:
        """Before what was counted meanwhile."""
        later, self._stores = self._stores, stores
        for username, counted in later.items():
            self._stores.setdefault(username, Counted()).add(counted)
        self._releases.update(releases)
        together.add(self._together)
        self._together = together


def _count(counted: Counted, hit: bool, client_calls: int) -> None:
    counted.requests += 1
    counted.hits += hit
    counted.client_calls += client_calls


def _by_id(paths: Mapping[str, int]) -> dict[int, int]:
    counted: Counter[int] = Counter()
    for path, times in paths.items():
        if (release_id := resource_of(path).release_id) is not None:
            counted[release_id] += times
    return dict(sorted(counted.items()))
