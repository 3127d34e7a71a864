"""How many listings of a store sell a persisted release: counted behind the answers, as that looks at each of them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import mirror
from proxy.services.behind import Behind

COUNTED_AT_ONCE = 500
"""So many listings are counted for each answer; a longer store at first sight, and then behind."""

COUNTED_EACH_S = 5.0
STORES_MAX = 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Count:
    """`changes` happened to releases before it was begun `at`."""

    persisted: int
    version: int
    changes: int
    at: float


@dataclass(slots=True)
class PersistedCounts:
    """Of a long store whose releases or listings change the number is some seconds old at most."""

    database: Database
    changes_are_heard: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _changes: int = 0
    _counts: OrderedDict[str, _Count] = field(default_factory=OrderedDict)
    _behind: Behind = field(default_factory=lambda: Behind("count"))

    def changed(self) -> None:
        """A release did, or anything may have."""
        self._changes += 1

    async def of(self, username: str, version: int, listing_ids: Sequence[int]) -> int:
        """Among all that is shown of a mirrored store. Raises DatabaseUnavailable."""
        if len(listing_ids) <= COUNTED_AT_ONCE:
            return await self.exactly(username, listing_ids)
        known = self._counts.get(username)
        if known is None:
            known = await self._count(username, version)
        elif self.clock() - known.at >= COUNTED_EACH_S and not self._is_true(known, version):
            self._behind.begin(username, lambda: self._count_behind(username, version))
        return min(known.persisted, len(listing_ids))

    async def exactly(self, username: str, listing_ids: Sequence[int]) -> int:
        """Raises DatabaseUnavailable."""
        async with self.database.connection() as connection:
            return await mirror.count_persisted(connection, username, list(listing_ids))

    def _is_true(self, known: _Count, version: int) -> bool:
        return (known.version, known.changes) == (version, self._changes) and self.changes_are_heard()

    async def _count(self, username: str, version: int) -> _Count:
        changes, at = self._changes, self.clock()
        async with self.database.connection() as connection:
            found = await mirror.count_persisted(connection, username)
        count = self._counts[username] = _Count(found, version, changes, at)
        self._counts.move_to_end(username)
        if len(self._counts) > STORES_MAX:
            self._counts.popitem(last=False)
        return count

    async def _count_behind(self, username: str, version: int) -> None:
        try:
            await self._count(username, version)
        except DatabaseUnavailable as error:
            log.debug("persisted releases are not counted", store=username, error=str(error))

    async def settled(self) -> None:
        """What is counted behind answers has been."""
        await self._behind.settled()

    async def stop(self) -> None:
        await self._behind.stop()
