"""Which stores are asked for, and what their checks cost and replace: counted in memory, written every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import tracking
from proxy.adapters.tracking import Counted
from proxy.domain.policy import Decision, Source
from proxy.domain.resources import resource_of
from proxy.domain.schedule import REQUESTS_TO_TRACK

FLUSH_S = 5.0
PATHS_MAX = 10_000
"""Counted between two writes: a crawler of store names costs no memory beyond that."""

STORE_PREFIX, STORE_SUFFIX = "/api/stores/", "/inventory"

log = structlog.get_logger()


@dataclass(slots=True)
class Demand:
    """`aliases` leads from names in lower case to the usernames that they stand for.

    Only stores that are known are counted: somebody who asks for what Discogs does not have leaves no trace.
    """

    database: Database
    aliases: Mapping[str, str] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _by_path: dict[str, Counted] = field(default_factory=dict)
    _by_store: dict[str, Counted] = field(default_factory=dict)

    def asked(self, path: str, decision: Decision, client_calls: int) -> None:
        """A page of a store was answered; `client_calls` is how many calls a direct client would have needed for it.

        What was only passed on tells nothing, and what cost a call of its own replaced none.
        """
        if decision.source in (Source.BYPASS, Source.OWN) or len(self._by_path) >= PATHS_MAX:
            return
        before = self._by_path.get(path, Counted())
        replaced = client_calls if decision.upstream_status is None else 0
        self._by_path[path] = replace(
            before,
            asked_at=(self.now(), *before.asked_at)[:REQUESTS_TO_TRACK],
            replaced_calls=before.replaced_calls + replaced,
        )

    def spent(self, username: str, calls: int) -> None:
        """Calls that a check took."""
        before = self._by_store.get(username, Counted())
        self._by_store[username] = replace(before, check_calls=before.check_calls + calls)

    async def run(self) -> None:
        """Writes for ever; while the database is away it counts on."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except DatabaseUnavailable as error:
                log.debug("demand waits for the database", error=str(error))

    async def flush(self) -> None:
        """Raises DatabaseUnavailable; then nothing is lost."""
        by_path, by_store = self._by_path, self._by_store
        if not by_path and not by_store:
            return
        self._by_path, self._by_store = {}, {}
        named = [(username, each) for path, each in by_path.items() if (username := self._username(path))]
        found = _summed([*named, *by_store.items()])
        try:
            async with self.database.transaction() as connection:
                await tracking.count(connection, found)
        except DatabaseUnavailable:
            self._by_store = _summed([*found.items(), *self._by_store.items()])
            raise

    def _username(self, path: str) -> str | None:
        """In lower case."""
        if path.startswith(STORE_PREFIX):
            name = path.removeprefix(STORE_PREFIX).removesuffix(STORE_SUFFIX)
            found = resource_of(f"/users/{name}").username
            return self.aliases.get(found.lower(), found).lower() if found else None
        username = resource_of(path).username
        return username.lower() if username else None


def _summed(found: Iterable[tuple[str, Counted]]) -> dict[str, Counted]:
    summed: dict[str, Counted] = {}
    for username, each in found:
        before = summed.get(username, Counted())
        asked_at = sorted((*before.asked_at, *each.asked_at), reverse=True)[:REQUESTS_TO_TRACK]
        summed[username] = Counted(
            tuple(asked_at),
            before.replaced_calls + each.replaced_calls,
            before.check_calls + each.check_calls,
        )
    return summed
