"""`GET /releases/{id}`: from Postgres when persisted and young enough, else from upstream; enriched either way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from matcher import queue_store, store
from matcher.database import Connection, Database
from matcher.domain.metadata import fingerprint, metadata
from matcher.errors import DatabaseUnavailable, MalformedRelease, ReleaseGone, Unavailable
from matcher.models import Audio
from matcher.pool import FetchedRelease
from matcher.queue_store import Priority
from matcher.store import StoredBody
from proxy.adapters.upstream import Answer, Call, Trace, Upstream
from proxy.domain.budget import Lane
from proxy.domain.credentials import without_credentials
from proxy.domain.hold_down import HoldDown
from proxy.domain.lifetimes import LastAsked, Lifetime, Use, refresh_pays
from proxy.domain.merge import Audience, additions
from proxy.domain.policy import Decision, Source
from proxy.domain.request import Reuse, Served, ShopRequest
from proxy.domain.resources import Kind
from proxy.domain.visibility import Using, is_poor
from proxy.domain.wire import append_members, decode_json, rewrite_origins
from proxy.errors import ProxyError, UpstreamBroken
from proxy.services.answers import Change, Document, document, error_served, served
from proxy.services.behind import Behind
from proxy.services.copies import FAILURES, REFRESH_PATIENCE_S, Copies, Fetched, failure, is_failure, too_old
from proxy.settings import OFFICIAL_API_URL

MATCH_PATIENCE_S = 40.0
"""How long a match job waits for budget before it is parked."""

ASK_AGAIN_S = 60.0

log = structlog.get_logger()


@dataclass(slots=True)
class ReleaseService:
    """Serves releases, and gives their bodies to the matcher."""

    database: Database
    upstream: Upstream
    copies: Copies
    fresh_for_s: float
    content_max_age_s: float
    on_enqueued: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _refreshing: Behind = field(default_factory=lambda: Behind("refresh"))
    _asked: LastAsked = field(default_factory=LastAsked)
    _held: HoldDown = field(default_factory=HoldDown)

    async def serve(self, request: ShopRequest, release_id: int, audience: Audience, trace: Trace) -> Served:
        """Raises ProxyError."""
        refreshes = refresh_pays(self._asked.ago_s(request.raw_path, self.clock()))
        copy = await self._copy(request, release_id)
        match copy:
            case _Copy(use=Use.FRESH):
                return self._from_copy(request, copy, audience, Source.HIT)
            case _Copy(use=Use.WHILE_RENEWED | Use.IF_UPSTREAM_FAILS) if self._is_held(release_id):
                return self._from_copy(request, copy, audience, Source.STALE, Use.IF_UPSTREAM_FAILS)
            case _Copy(use=Use.WHILE_RENEWED):
                if refreshes:
                    self._refresh_behind(release_id, trace.request_id)
                return self._from_copy(request, copy, audience, Source.STALE, Use.WHILE_RENEWED)
            case _Copy(use=Use.IF_UPSTREAM_FAILS):
                return await self._renewed(request, release_id, audience, trace)
            case _:
                expired = copy is not None
                return await self._from_upstream(
                    request, release_id, audience, trace, expired=expired, refreshes=refreshes
                )

    def asked_for(self, path: str) -> None:
        """Told of each request for a release, from wherever it was answered."""
        self._asked.note(path, self.clock())

    async def _renewed(self, request: ShopRequest, release_id: int, audience: Audience, trace: Trace) -> Served:
        """From upstream, else from the copy: looked at again, as the attempt took its time. Raises ProxyError."""
        try:
            answer = await self._from_upstream(request, release_id, audience, trace, expired=False, refreshes=True)
        except FAILURES:
            copy = await self._copy(request, release_id)
            if copy is None or copy.use is Use.NOTHING:
                raise
        else:
            copy = await self._copy(request, release_id) if is_failure(answer.status) else None
            if copy is None or copy.use is Use.NOTHING:
                return answer
        self._hold(release_id)
        return self._from_copy(request, copy, audience, Source.STALE, Use.IF_UPSTREAM_FAILS)

    async def fetch_for_matching(self, release_id: int) -> FetchedRelease:
        """The public body: a fresh copy of what a shopper got, else from upstream in the matching lane.

        Raises ReleaseGone, MalformedRelease, or Unavailable when upstream cannot answer now.
        """
        call = self._public_call(release_id, Lane.MATCHING, MATCH_PATIENCE_S)
        if copy := await self.copies.fresh(call, Kind.RELEASE):
            return FetchedRelease(copy.answer.body, copy.fetched_at)
        # The pool says for which request it works.
        request_id = structlog.contextvars.get_contextvars().get("request_id", f"match-{release_id}")
        trace, began = Trace(request_id), self.copies.now()
        try:
            answer = await self.upstream.fetch(call, trace)
            if is_failure(answer.status):
                raise UpstreamBroken(f"Discogs answered {answer.status}.", ASK_AGAIN_S)
        except ProxyError as error:
            raise Unavailable(error.message, error.retry_after_s or ASK_AGAIN_S) from error
        try:
            fetched = _fetched(answer, release_id, began)
        except UpstreamBroken as error:
            raise MalformedRelease(error.message) from error
        if self.upstream.operator_refused and is_poor(fetched.body) and await self._has_richer(release_id):
            raise Unavailable("what is stored is richer, and Discogs refuses the operator's credential", ASK_AGAIN_S)
        return fetched

    async def _has_richer(self, release_id: int) -> bool:
        async with self.database.connection() as connection:
            stored = await store.stored_body(connection, release_id)
        return stored is not None and not is_poor(stored.body)

    async def stop(self) -> None:
        await self._refreshing.stop()

    # --- from Postgres ---

    async def _copy(self, request: ShopRequest, release_id: int) -> _Copy | None:
        """The stored copy and what is known of its audio; None where there is none, or none that fits the request."""
        if without_credentials(request.upstream_query) or request.media_types:
            return None
        try:
            async with self.database.connection() as connection:
                stored = await store.stored_body(connection, release_id)
                if stored is None or (is_poor(stored.body) and not request.ask.poor_will_do):
                    return None
                audio = (await store.audio(connection, [release_id]))[release_id]
        except DatabaseUnavailable:
            return None
        age_s = (self.copies.now() - stored.fetched_at).total_seconds()
        life = Lifetime(self.fresh_for_s, self.content_max_age_s, self.content_max_age_s)
        return _Copy(release_id, stored.body, stored.fetched_at, audio, age_s, life.use(age_s, purged=stored.purged))

    def _from_copy(
        self, request: ShopRequest, copy: _Copy, audience: Audience, source: Source, detail: str | None = None
    ) -> Served:
        decision = Decision(source, age_s=copy.age_s, ttl_s=self.fresh_for_s - copy.age_s, detail=detail)
        body = append_members(copy.body, additions(copy.audio, audience))
        origins = (self.upstream.origin, OFFICIAL_API_URL)
        fresh_until = copy.fetched_at + timedelta(seconds=min(self.fresh_for_s, self.content_max_age_s))
        return Served(
            200,
            (("Content-Type", "application/json"),),
            rewrite_origins(body, origins, request.public_origin),
            decision,
            Reuse(copy.fetched_at, fresh_until, frozenset([copy.release_id])) if source is Source.HIT else None,
        )

    def _is_held(self, release_id: int) -> bool:
        return self._held.holds(release_id, self.copies.now().timestamp())

    def _hold(self, release_id: int) -> None:
        """Whatever is wrong, the copy is shown for a while without asking again."""
        self._held.failed(release_id, self.copies.now().timestamp())

    def _refresh_behind(self, release_id: int, request_id: str) -> None:
        self._refreshing.begin(release_id, lambda: self._refresh(release_id, request_id))

    async def _refresh(self, release_id: int, request_id: str) -> None:
        try:
            call = self._public_call(release_id, Lane.REFRESH, REFRESH_PATIENCE_S)
            began = self.copies.now()
            answer = await self.upstream.fetch(call, Trace(request_id))
            fetched = _fetched(answer, release_id, began)
            async with self.database.transaction() as connection:
                await self._record(connection, release_id, _parsed(fetched.body), fetched, request_id)
        except (ProxyError, ReleaseGone, DatabaseUnavailable) as error:
            self._hold(release_id)
            log.warning("release not refreshed", release_id=release_id, request_id=request_id, error=str(error))

    # --- from upstream ---

    async def _from_upstream(
        self,
        request: ShopRequest,
        release_id: int,
        audience: Audience,
        trace: Trace,
        *,
        expired: bool,
        refreshes: bool,
    ) -> Served:
        call = Call(
            "GET",
            request.target,
            Lane.SHOPPER,
            request.ask.using,
            request.upstream_headers(),
            request.caller.authorization,
        )
        try:
            fetched = await self.copies.fetch(request, call, trace, release_of(release_id), refreshes=refreshes)
            if expired and is_failure(fetched.answer.status):
                raise failure(fetched.answer.status)
            if fetched.answer.status != 200:
                return error_served(request, fetched.answer, self.upstream.origin, fetched.decision)
            found = document(fetched.answer)
        except FAILURES as error:
            raise (too_old(error) if expired else error) from error
        return await self._enriched(request, release_id, audience, fetched, found, trace.request_id)

    async def _enriched(
        self,
        request: ShopRequest,
        release_id: int,
        audience: Audience,
        answered: Fetched,
        found: Document,
        request_id: str,
    ) -> Served:
        answer, decision = answered.answer, answered.decision
        fetched = FetchedRelease(answer.body, answered.at) if self._is_public_body(request, answer) else None
        try:
            async with self.database.transaction() as connection:
                await self._record(connection, release_id, found.content, fetched, request_id)
                audio = (await store.audio(connection, [release_id]))[release_id]
        except DatabaseUnavailable:
            decision = replace(decision, detail="no-database")
            return served(request, answer, answer.body, decision, self.upstream.origin)
        self.on_enqueued()
        body = found.seal(append_members(found.raw, additions(audio, audience)))
        return served(request, answer, body, decision, self.upstream.origin, answered.reuse([release_id]))

    async def _record(
        self,
        connection: Connection,
        release_id: int,
        content: dict[str, object],
        fetched: FetchedRelease | None,
        request_id: str,
    ) -> None:
        """Queue the release; renew a persisted one when the body is what the public sees, and no poorer."""
        mark = fingerprint(content)
        await queue_store.enqueue(
            connection, [release_id], priority=Priority.SEEN, fingerprint=mark, request_id=request_id
        )
        if fetched and not (self.upstream.operator_refused and is_poor(fetched.body)):
            stored = StoredBody(fetched.body, fetched.fetched_at)
            await store.refresh_release(connection, release_id, metadata(content), stored)

    def _is_public_body(self, request: ShopRequest, answer: Answer) -> bool:
        plain = not without_credentials(request.upstream_query) and not request.media_types
        return plain and request.ask.shared and answer.status == 200

    def _public_call(self, release_id: int, lane: Lane, patience_s: float | None = None) -> Call:
        using = Using.OPERATOR if self.upstream.operator else Using.NOBODY
        return Call("GET", f"/releases/{release_id}", lane, using, patience_s=patience_s)


def _fetched(answer: Answer, release_id: int, began: datetime) -> FetchedRelease:
    """Raises ReleaseGone, or UpstreamBroken for anything that is not the release."""
    if answer.status == 404:
        raise ReleaseGone("Discogs has no such release")
    if answer.status != 200:
        raise UpstreamBroken(f"Discogs answered {answer.status}.", ASK_AGAIN_S)
    return FetchedRelease(release_of(release_id)(answer).body, began)


def release_of(release_id: int) -> Change:
    """Changes nothing, but raises UpstreamBroken where a good answer is not this release."""

    def check(answer: Answer) -> Answer:
        if answer.status == 200 and document(answer).content.get("id") != release_id:
            raise UpstreamBroken("Discogs answered with something that is not this release.", ASK_AGAIN_S)
        return answer

    return check


@dataclass(frozen=True, slots=True)
class _Copy:
    release_id: int
    body: bytes
    fetched_at: datetime
    audio: Audio
    age_s: float
    use: Use


def _parsed(body: bytes) -> dict[str, object]:
    parsed = decode_json(body)
    return parsed if isinstance(parsed, dict) else {}
