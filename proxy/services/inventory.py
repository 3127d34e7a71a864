"""`GET /users/{username}/inventory`: a page from the mirror or from upstream, enriched, its releases queued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from matcher import queue_store, store
from matcher.database import Connection, Database
from matcher.errors import DatabaseUnavailable
from matcher.models import Audio, Due
from matcher.queue_store import Priority
from proxy.adapters import doubts, mirror
from proxy.adapters.upstream import Call, Trace, Upstream
from proxy.domain.budget import Lane
from proxy.domain.merge import (
    NOTHING_KNOWN,
    Audience,
    enrich_inventory,
    enriched_row,
    for_sale_release_ids,
    joined,
    listing_ids,
    listings_of,
    release_ids,
)
from proxy.domain.mirror import without
from proxy.domain.request import Reuse, Served, ShopRequest
from proxy.domain.visibility import as_the_client_asked, public_inventory
from proxy.domain.wire import encode_json, rewrite_own_json
from proxy.services.answers import document, error_served, made_public, served, unchanged
from proxy.services.behind import Behind
from proxy.services.copies import FAILURES, Copies, failure, is_failure, too_old
from proxy.services.mirror import FromMirror, MirrorService
from proxy.settings import OFFICIAL_API_URL

ADVISED_MAX = 1000

log = structlog.get_logger()


@dataclass(slots=True)
class InventoryService:
    """Serves inventory pages. Of a page from upstream the ids of the releases that are For Sale are kept."""

    database: Database
    upstream: Upstream
    copies: Copies
    mirror: MirrorService
    on_enqueued: Callable[[], None]
    on_forwarded: Callable[[str, str], None]
    """Told a store and what the operator can change, so that copies of it serve."""
    _advised: set[str] = field(default_factory=set)
    _sooner: Behind = field(default_factory=lambda: Behind("queue sooner"))
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def serve(self, request: ShopRequest, username: str, audience: Audience, trace: Trace) -> Served:
        """Raises ProxyError."""
        self._advise(request, username)
        found = await self.mirror.find(request, username, trace.request_id)
        if isinstance(found, FromMirror):
            return await self._from_mirror(request, username, audience, found, trace)
        try:
            answer = await self._from_upstream(request, username, audience, trace)
        except FAILURES as error:
            if (instead := await self._instead(request, username, audience, trace)) is None:
                raise (too_old(error) if found.renew else error) from error
            return instead
        if is_failure(answer.status):
            if (instead := await self._instead(request, username, audience, trace)) is None and found.renew:
                raise too_old(failure(answer.status))
            return instead or answer
        has_cost_a_call = answer.decision.upstream_status is not None and not answer.decision.collapsed
        if answer.status == 200 and has_cost_a_call:  # what cost none shows nothing to be lacking
            self.mirror.begin_behind(username, found, trace.request_id)
        return answer

    async def _instead(self, request: ShopRequest, username: str, audience: Audience, trace: Trace) -> Served | None:
        """What the mirror has, where upstream fails."""
        found = await self.mirror.instead(request, username)
        return await self._from_mirror(request, username, audience, found, trace) if found else None

    async def _from_mirror(
        self, request: ShopRequest, username: str, audience: Audience, found: FromMirror, trace: Trace
    ) -> Served:
        known, decision, reuse = None, found.decision, None
        if found.status == 200:
            try:
                known = await self._queued(found, username, trace.request_id)
            except DatabaseUnavailable:
                decision = replace(decision, detail="no-database")
            else:
                if found.fresh_until:
                    reuse = Reuse(found.checked_at, found.fresh_until, frozenset(known), found.decision.detail)

        def rewrite(body: bytes) -> bytes:
            return rewrite_own_json(body, (self.upstream.origin, OFFICIAL_API_URL), request.public_origin)

        body = _body(found, known, audience, rewrite)
        return Served(found.status, (("Content-Type", "application/json"),), body, decision, reuse)

    async def _from_upstream(self, request: ShopRequest, username: str, audience: Audience, trace: Trace) -> Served:
        call = Call(
            "GET",
            request.target,
            Lane.SHOPPER,
            request.ask.using,
            request.upstream_headers(),
            request.caller.authorization,
        )
        change = made_public(public_inventory) if request.ask.strip else unchanged
        fetched = await self.copies.fetch(request, call, trace, change)
        answer, decision = fetched.answer, fetched.decision
        if answer.status != 200:
            return error_served(request, answer, self.upstream.origin, decision)
        found = document(answer)
        page, reuse = _as_asked(request, found.content), None
        try:
            if request.ask.shared:
                page = await self._without_hidden(request, page, username.lower(), fetched.at)
            for_sale, shown = for_sale_release_ids(page), release_ids(listings_of(page))
            known = await self._queue_and_look_up(
                for_sale, shown, username, trace.request_id, make_known=request.ask.shared
            )
        except DatabaseUnavailable:
            decision = replace(decision, detail="no-database")
        else:
            page, reuse = enrich_inventory(page, known, audience), fetched.reuse(known)
        return served(request, answer, found.seal(encode_json(page)), decision, self.upstream.origin, reuse)

    async def _without_hidden(
        self, request: ShopRequest, page: dict[str, object], username: str, fetched_at: datetime
    ) -> dict[str, object]:
        """A copy may be older than what the mirror knows. Raises DatabaseUnavailable."""
        async with self.database.connection() as connection:
            hidden = await doubts.not_to_be_shown(connection, username, listing_ids(page), fetched_at)
        return without(page, hidden, f"{OFFICIAL_API_URL}{request.raw_path}", request.raw_query)

    def _advise(self, request: ShopRequest, username: str) -> None:
        """A store that is forwarded saves no calls: logged once per store, with what the operator can change."""
        advice, store_name = request.ask.advice, username.lower()
        if advice:
            self.on_forwarded(store_name, advice)
        if advice and store_name not in self._advised and len(self._advised) < ADVISED_MAX:
            self._advised.add(store_name)
            log.warning("store is forwarded, not kept", store=username, change=advice)

    async def _queued(self, found: FromMirror, username: str, request_id: str) -> Mapping[int, Audio]:
        """What is known of a page that the mirror has. Checks have queued its releases; what is seen comes sooner,
        behind the answer.

        Should that fail nothing is lost: whoever looks next asks for it again. Raises DatabaseUnavailable.
        """
        releases, due = [row.release_id for row in found.rows], {audio.due for audio in found.known.values()}
        if Due.A_PLACE in due:
            return await self._queue_and_look_up(releases, releases, username, request_id, make_known=False)
        if Due.SOONER in due:
            self._sooner.begin(tuple(releases), lambda: self._queue_sooner(releases, username, request_id))
        return found.known

    async def _queue_sooner(self, releases: Sequence[int], username: str, request_id: str) -> None:
        """One page after the other: it must not take connections from who waits for an answer."""
        try:
            async with self._one_at_a_time, self.database.connection() as connection:
                queued = await self._enqueue(connection, releases, username, request_id)
        except DatabaseUnavailable as error:
            log.warning("releases that are looked at are not queued sooner", store=username, error=str(error))
        else:
            if queued:
                self.on_enqueued()

    async def _queue_and_look_up(
        self, for_sale: Sequence[int], shown: Sequence[int], username: str, request_id: str, *, make_known: bool
    ) -> dict[int, Audio]:
        """In one transaction, so that what is shown as queued is queued.

        A store that upstream showed to the public is known from now on: who asks for it counts.
        """
        async with self.database.transaction() as connection:
            if make_known:
                await mirror.note(connection, username.lower())
            queued = await self._enqueue(connection, for_sale, username, request_id)
            known = await store.audio(connection, shown)
        if queued:
            self.on_enqueued()
        return known

    async def _enqueue(self, connection: Connection, releases: Sequence[int], username: str, request_id: str) -> int:
        return await queue_store.enqueue(
            connection, releases, priority=Priority.SEEN, store_username=username.lower(), request_id=request_id
        )

    async def settled(self) -> None:
        """What is under way behind answers has ended."""
        await self._sooner.settled()

    async def stop(self) -> None:
        await self._sooner.stop()


def _body(
    found: FromMirror, known: Mapping[int, Audio] | None, audience: Audience, rewrite: Callable[[bytes], bytes]
) -> bytes:
    """Without additions where nothing is `known`, as the database is away."""
    head = rewrite(encode_json(found.head))
    if found.status != 200:
        return head
    rows = [
        row.body if known is None else enriched_row(row.body, known.get(row.release_id, NOTHING_KNOWN), audience)
        for row in found.rows
    ]
    return b"".join((head[:-1], b',"listings":[', joined(rows, found.seller, rewrite), b"]}"))


def _as_asked(request: ShopRequest, page: dict[str, object]) -> dict[str, object]:
    """Pagination URLs as Discogs would have given them to the client, where we asked in other words than he did."""
    pagination = page.get("pagination")
    urls = pagination.get("urls") if isinstance(pagination, dict) else None
    if request.upstream_query == request.raw_query or not isinstance(pagination, dict) or not isinstance(urls, dict):
        return page
    asked = {
        name: as_the_client_asked(url, request.raw_query) if isinstance(url, str) else url for name, url in urls.items()
    }
    return page | {"pagination": pagination | {"urls": asked}}
