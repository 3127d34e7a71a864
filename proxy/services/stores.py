"""`GET /api/stores/{storeId}/inventory`: a store's whole For Sale inventory from Postgres, with audio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from matcher import store
from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from matcher.models import Audio
from proxy.adapters import listings
from proxy.adapters.listings import ListingRow, StoreState
from proxy.adapters.upstream import Trace
from proxy.domain.lifetimes import Use, may_leave
from proxy.domain.merge import NOTHING_KNOWN, Audience, cache_stats, store_result
from proxy.domain.paging import Page
from proxy.domain.policy import Decision, Source
from proxy.domain.wire import decode_json, encode_json, rewrite_origins
from proxy.errors import Degraded, NotFound, ProxyError
from proxy.services.copies import too_old
from proxy.services.sync import Sweep, SyncService
from proxy.settings import OFFICIAL_API_URL

AGAIN_S = 30.0
NOTICES = {
    "source": "Data provided by Discogs.",
    "source_url": "https://www.discogs.com/",
    "affiliation": "This application uses Discogs' API but is not affiliated with, sponsored or endorsed by Discogs. "
    "'Discogs' is a trademark of Zink Media, LLC.",
}
"""To be shown beside the data (Discogs API terms of use)."""

DATABASE_AWAY = "The database is away: store inventories cannot be answered now."


@dataclass(frozen=True, slots=True)
class StoreInventory:
    """The answer's body and how it came about; `complete` is false until the first sweep has ended."""

    body: bytes
    complete: bool
    decision: Decision


@dataclass(slots=True)
class StoreService:
    """Answers from the last finished sweep and starts the next one behind; at first sight it waits for one page."""

    database: Database
    sync: SyncService
    upstream_origin: str
    fresh_for_s: float
    content_max_age_s: float
    deadline_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def inventory(
        self, username: str, page: Page | None, audience: Audience, public_origin: str, trace: Trace
    ) -> StoreInventory:
        """`username` is lower case, `page` None for the whole store. Raises ProxyError."""
        try:
            return await self._inventory(username, page, audience, public_origin, trace)
        except DatabaseUnavailable as error:
            raise Degraded(DATABASE_AWAY, 5) from error

    async def _inventory(
        self, username: str, page: Page | None, audience: Audience, public_origin: str, trace: Trace
    ) -> StoreInventory:
        state = await self._state(username)
        waited = self._is_expired(state)
        if waited:
            sweep = self.sync.sweep(username, trace.request_id)
            await self._wait_for_something(username, sweep, seen_before=state.swept_at is not None)
            state = await self._state(username)
        elif self._is_due(state) and not self.sync.is_held(username):
            self.sync.sweep(username, trace.request_id)
        body = await self._read(username, state, page, audience)
        text = rewrite_origins(encode_json(body), (self.upstream_origin, OFFICIAL_API_URL), public_origin)
        return StoreInventory(text, "coverage" not in body, self._decision(username, state, waited=waited))

    async def _state(self, username: str) -> StoreState:
        async with self.database.connection() as connection:
            return await listings.touch_store(connection, username)

    def _age_s(self, state: StoreState) -> float:
        return self._since_s(state.swept_at) if state.swept_at else float("inf")

    def _since_s(self, moment: datetime) -> float:
        return (self.now() - moment).total_seconds()

    def _is_due(self, state: StoreState) -> bool:
        return state.purged or self._age_s(state) >= self.fresh_for_s

    def _is_expired(self, state: StoreState) -> bool:
        return not may_leave(self._age_s(state), self.content_max_age_s)

    async def _wait_for_something(self, username: str, sweep: Sweep, *, seen_before: bool) -> None:
        """Raises ProxyError, DatabaseUnavailable."""
        try:
            await asyncio.wait_for(sweep.first_page.wait(), self.deadline_s)
        except TimeoutError:
            raise Degraded("Discogs has not answered yet; what is stored is too old to be shown.", AGAIN_S) from None
        if sweep.error is not None:
            if isinstance(sweep.error, NotFound):
                async with self.database.connection() as connection:
                    await listings.forget_store(connection, username)
            elif seen_before and isinstance(sweep.error, ProxyError):
                raise too_old(sweep.error)
            raise sweep.error

    def _decision(self, username: str, state: StoreState, *, waited: bool) -> Decision:
        if waited:
            return Decision(Source.MISS)
        age_s = self._age_s(state)
        stale = self._is_due(state)
        detail = "mirror"
        if stale:
            detail = Use.IF_UPSTREAM_FAILS if self.sync.is_held(username) else Use.WHILE_RENEWED
        return Decision(
            Source.STALE if stale else Source.HIT,
            age_s=max(0.0, age_s),
            ttl_s=self.fresh_for_s - age_s,
            detail=detail,
        )

    async def _read(self, username: str, state: StoreState, page: Page | None, audience: Audience) -> dict[str, object]:
        first_sweep = self._is_expired(state)
        generation = state.generation + 1 if first_sweep else state.generation
        async with self.database.connection() as connection:
            stored = await listings.read_listings(connection, username, generation)
            rows = [row for row in stored if self._may_leave(row.fetched_at)]
            if not rows and state.total:
                raise Degraded("What is stored of the store is too old to be shown.", AGAIN_S)
            release_ids = [row.release_id for row in rows]
            known = await store.audio(connection, release_ids)
            shown = page.cut(rows) if page else rows
            details = await store.metadata_of(connection, [row.release_id for row in shown])
        body: dict[str, object] = {
            "results": _results(shown, username, known, self._that_may_leave(details), audience),
            "cacheStats": cache_stats(known.get(release_id, NOTHING_KNOWN) for release_id in release_ids),
        }
        body["notices"] = NOTICES
        if page:
            body["pagination"] = page.as_json(len(rows))
        if first_sweep or len(rows) < len(stored):
            body["coverage"] = {"known": len(rows), "total": state.total}
        return body

    def _may_leave(self, fetched_at: datetime) -> bool:
        return may_leave(self._since_s(fetched_at), self.content_max_age_s)

    def _that_may_leave(self, details: Mapping[int, Mapping[str, object]]) -> dict[int, Mapping[str, object]]:
        """Without images of more than six hours or of unknown age; the other facts are CC0."""
        return {
            release_id: facts if isinstance(at := facts["body_fetched_at"], datetime) and self._may_leave(at) else free
            for release_id, facts in details.items()
            for free in [{name: value for name, value in facts.items() if name != "images"}]
        }


def _results(
    rows: Sequence[ListingRow],
    username: str,
    known: Mapping[int, Audio],
    details: Mapping[int, Mapping[str, object]],
    audience: Audience,
) -> list[dict[str, object]]:
    return [
        store_result(
            listing,
            username,
            known.get(row.release_id, NOTHING_KNOWN),
            details.get(row.release_id),
            audience,
            row.fetched_at,
        )
        for row in rows
        if isinstance(listing := decode_json(row.body), dict)
    ]
