"""Hides a listing, or has it looked at again: because an operator says so, or because it was written through us."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import structlog

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters import doubts, mirror
from proxy.domain.budget import Lane
from proxy.domain.credentials import UserCredential
from proxy.domain.request import ShopRequest
from proxy.domain.written import Effect, Written, is_of_listing, written
from proxy.services.behind import Behind
from proxy.services.checks import CheckService
from proxy.services.identity import IdentityService
from proxy.services.webhooks import RecordListings, record_nothing

SEEN_AFTER_S = 30.0
"""A write may take so long until all of Discogs' pages show it: a check that begins sooner does not contradict it."""

BODY_MAX = 64 * 1024

log = structlog.get_logger()


@dataclass(slots=True)
class DoubtService:
    """Usernames are lower case."""

    database: Database
    checks: CheckService
    is_tracked: Callable[[str], bool]
    identities: IdentityService
    record: RecordListings = record_nothing
    _behind: Behind = field(default_factory=lambda: Behind("check of a write"))

    async def doubt(self, username: str, listing_id: int, *, hide: bool, for_s: float = 0.0) -> None:
        """At once, and in all processes, until a check settles it. Raises DatabaseUnavailable."""
        async with self.database.transaction() as connection:
            await doubts.doubt(connection, username, listing_id, hide=hide, for_s=for_s)
            if hide:
                await self.record(connection, username, removed=[listing_id])

    async def wrote(self, request: ShopRequest, body: bytes, request_id: str) -> None:
        """Upstream has accepted a write: what is gone is hidden before the answer, all else is checked behind it."""
        what, credential = written(request.method, request.raw_path, body), request.caller.credential
        if what is None:
            return
        store = await self._known_store_of(what.listing_id) if what.listing_id else None
        if store is None and credential is not None:
            store = self.identities.username_of(credential, request_id)
        if store is not None:
            await self._written(store.lower(), what, request_id)
        elif credential is not None:
            self._behind.begin(object(), lambda: self._find_out_and_check(credential, what, request_id))

    async def settled(self) -> None:
        """What is under way behind answers has ended."""
        await self._behind.settled()

    async def stop(self) -> None:
        await self._behind.stop()

    async def _find_out_and_check(self, credential: UserCredential, what: Written, request_id: str) -> None:
        if username := await self.identities.look_up(credential, request_id):
            await self._written(username.lower(), what, request_id)

    async def _written(self, store: str, what: Written, request_id: str) -> None:
        if what.listing_id is not None:
            try:
                await self.doubt(store, what.listing_id, hide=what.effect is Effect.GONE, for_s=SEEN_AFTER_S)
            except DatabaseUnavailable as error:
                log.warning("a write is not shown yet", store=store, listing_id=what.listing_id, error=str(error))
        if self.is_tracked(store):
            self._behind.begin(object(), lambda: self._check(store, request_id))

    async def _check(self, username: str, request_id: str) -> None:
        if under_way := self.checks.running(username):  # it may have looked before the write
            await under_way.ended()
        await self.checks.check(username, Lane.CHECK, request_id).ended()

    async def _known_store_of(self, listing_id: int) -> str | None:
        try:
            async with self.database.connection() as connection:
                return await mirror.store_of(connection, listing_id)
        except DatabaseUnavailable as error:
            log.warning("not known whose listing was written", listing_id=listing_id, error=str(error))
            return None


@dataclass(slots=True)
class Noted:
    """The body of a request as it passes; of a write to a listing its beginning is kept, which is all of it."""

    request: ShopRequest
    kept: bytes = b""

    def pieces(self) -> AsyncIterator[bytes] | None:
        body = self.request.body
        if body is None or not is_of_listing(self.request.method, self.request.raw_path):
            return body
        return self._passing(body)

    async def _passing(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            self.kept += piece[: BODY_MAX - len(self.kept)]
            yield piece
