"""`GET /users/{username}/inventory`: a page from the mirror or from upstream, enriched, its releases queued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog
from multidict import CIMultiDict

from matcher import store
from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from matcher.models import Audio
from matcher.store import Priority
from proxy.adapters import mirror
from proxy.adapters.upstream import Answer, Call, Trace, Upstream
from proxy.domain.budget import Lane
from proxy.domain.merge import Audience, enrich_inventory, for_sale_release_ids, listings_of, release_ids
from proxy.domain.request import Reuse, Served, ShopRequest
from proxy.domain.visibility import as_the_client_asked, public_inventory
from proxy.domain.wire import encode_json
from proxy.services.answers import document, error_served, made_public, served, unchanged
from proxy.services.copies import FAILURES, Copies, failure, is_failure, too_old
from proxy.services.mirror import FromMirror, MirrorService

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
    _advised: set[str] = field(default_factory=set)

    async def serve(self, request: ShopRequest, username: str, audience: Audience, trace: Trace) -> Served:
        """Raises ProxyError."""
        self._advise(request, username)
        found = await self.mirror.find(request, username, trace.request_id)
        if isinstance(found, FromMirror):
            return await self._from_mirror(request, username, audience, found)
        try:
            answer = await self._from_upstream(request, username, audience, trace)
        except FAILURES as error:
            if (instead := await self._instead(request, username, audience)) is None:
                raise (too_old(error) if found.renew else error) from error
            return instead
        if is_failure(answer.status):
            if (instead := await self._instead(request, username, audience)) is None and found.renew:
                raise too_old(failure(answer.status))
            return instead or answer
        if answer.status == 200:
            self.mirror.begin_behind(username, found, trace.request_id)
        return answer

    async def _instead(self, request: ShopRequest, username: str, audience: Audience) -> Served | None:
        """What the mirror has, where upstream fails."""
        found = await self.mirror.instead(request, username)
        return await self._from_mirror(request, username, audience, found) if found else None

    async def _from_mirror(self, request: ShopRequest, username: str, audience: Audience, found: FromMirror) -> Served:
        page, decision, reuse = found.body, found.decision, None
        if found.status == 200:
            try:
                known = await self._queue_and_look_up(page, username, make_known=False)
            except DatabaseUnavailable:
                decision = replace(decision, detail="no-database")
            else:
                page = enrich_inventory(page, known, audience)
                if found.fresh_until:
                    reuse = Reuse(found.checked_at, found.fresh_until, frozenset(known), found.decision.detail)
        answer = Answer(found.status, CIMultiDict({"Content-Type": "application/json"}), b"")
        return served(request, answer, encode_json(page), decision, self.upstream.origin, reuse)

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
            known = await self._queue_and_look_up(page, username, make_known=request.ask.shared)
        except DatabaseUnavailable:
            decision = replace(decision, detail="no-database")
        else:
            page, reuse = enrich_inventory(page, known, audience), fetched.reuse(known)
        return served(request, answer, found.seal(encode_json(page)), decision, self.upstream.origin, reuse)

    def _advise(self, request: ShopRequest, username: str) -> None:
        """A store that is forwarded saves no calls: said once per store, with what the operator can change."""
        advice, store_name = request.ask.advice, username.lower()
        if advice and store_name not in self._advised and len(self._advised) < ADVISED_MAX:
            self._advised.add(store_name)
            log.warning("store is forwarded, not kept", store=username, change=advice)

    async def _queue_and_look_up(self, page: dict[str, object], username: str, *, make_known: bool) -> dict[int, Audio]:
        """In one transaction, so that what is shown as queued is queued.

        A store that upstream showed to the public is known from now on: who asks for it counts.
        """
        async with self.database.transaction() as connection:
            if make_known:
                await mirror.note(connection, username.lower())
            queued = await store.enqueue(
                connection, for_sale_release_ids(page), priority=Priority.SEEN, store_username=username.lower()
            )
            known = await store.audio(connection, release_ids(listings_of(page)))
        if queued:
            self.on_enqueued()
        return known


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
