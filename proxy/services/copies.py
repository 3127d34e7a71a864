"""Answers of Discogs that may be shared: from the response cache while they are good, else from upstream and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote

import structlog
from multidict import CIMultiDict

from proxy.adapters.responses import ResponseStore, StoredAnswer
from proxy.adapters.single_flight import SingleFlight
from proxy.adapters.upstream import Answer, Call, Trace, Upstream
from proxy.domain.budget import Lane
from proxy.domain.hold_down import HoldDown
from proxy.domain.lifetimes import Lifetime, Use, lifetime
from proxy.domain.policy import Decision, Source
from proxy.domain.request import Reuse, ShopRequest
from proxy.domain.resources import Kind
from proxy.domain.visibility import Using, is_poor
from proxy.domain.wire import headers_for_client, is_jsonp
from proxy.errors import BudgetExhausted, Degraded, ProxyError, UpstreamBroken, UpstreamTimeout
from proxy.services.answers import Change, document
from proxy.services.behind import Behind

REFRESH_PATIENCE_S = 600.0
"""How long a refresh behind a copy waits for budget."""

TOO_OLD_AGAIN_S = 60.0


class TooPoor(Exception):
    """The shared answer has no pictures, and the caller's own credential would show him some: to be forwarded."""


FAILURES = (UpstreamBroken, UpstreamTimeout, BudgetExhausted, Degraded)
FAILED_FROM = 500

log = structlog.get_logger()


@dataclass(slots=True)
class Copies:
    """`lifetimes` are the kinds that are kept, with the seconds that they are fresh.

    `origin` is whose answers are kept: the file outlives a change of the upstream. `public` makes of an answer what
    everybody may see; it is applied before anything is stored.
    """

    store: ResponseStore
    upstream: Upstream
    origin: str
    lifetimes: Mapping[Kind, float]
    content_max_age_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _refreshing: Behind = field(default_factory=lambda: Behind("refresh"))
    _held: HoldDown = field(default_factory=HoldDown)
    _flights: SingleFlight[Fetched] = field(default_factory=SingleFlight)

    async def fetch(
        self, request: ShopRequest, call: Call, trace: Trace, public: Change, *, refreshes: bool = True
    ) -> Fetched:
        """Raises TooPoor, and ProxyError where upstream does not answer and there is no copy that may be shown.

        `refreshes`: a copy that ages is renewed behind the answer.
        """
        fetched = await self._fetch(request, call, trace, public, refreshes)
        if request.ask.rich_only and is_poor(fetched.answer.body):
            raise TooPoor
        if self._is_refused(request.ask.using):  # what may be poorer is not shown again once it no longer is
            return replace(fetched, fresh_until=None)
        return fetched

    async def _fetch(self, request: ShopRequest, call: Call, trace: Trace, public: Change, refreshes: bool) -> Fetched:
        key = self._key(request)
        if key is None:
            began = self.now()
            answer = public(await self.upstream.fetch(call, trace))
            return Fetched(answer, began, Decision(Source.BYPASS, upstream_status=answer.status))
        asked = _Asked(request, key, call, public)
        stored = await self.store.read(key)
        copy = self._copy(asked, stored)
        if self._is_refused(call.using) and (copy is None or copy.use is not Use.FRESH):
            asked = asked.anonymously(self.origin)
            poorer = await self.store.read(asked.key)
            if (anonymous := self._copy(asked, poorer)) is not None:
                stored, copy = poorer, anonymous
        asked = replace(asked, known=stored.fetched_at if stored else None)
        if copy is not None and copy.use is not Use.FRESH and self._is_held(asked.key):
            return copy.shown(Source.STALE, Use.IF_UPSTREAM_FAILS)
        match copy:
            case _Copy(use=Use.FRESH):
                return copy.shown(Source.HIT)
            case _Copy(use=Use.WHILE_RENEWED):
                if refreshes:
                    self._refresh_behind(asked, trace.request_id)
                return copy.shown(Source.STALE, Use.WHILE_RENEWED)
        return await self._renewed(asked, stored, trace)

    async def _renewed(self, asked: _Asked, stored: StoredAnswer | None, trace: Trace) -> Fetched:
        """From upstream, else from what is stored. Raises ProxyError."""
        try:
            found = await self._renew(asked, trace)
        except FAILURES as error:
            if (copy := self._copy(asked, stored)) is not None:  # looked at again: the attempt took its time
                return copy.shown(Source.STALE, Use.IF_UPSTREAM_FAILS)
            raise (too_old(error) if stored else error) from error
        if not is_failure(found.answer.status) or stored is None:
            return replace(found, decision=replace(found.decision, forwarded="stale" if stored else "uri-miss"))
        if (copy := self._copy(asked, stored)) is not None:
            return copy.shown(Source.STALE, Use.IF_UPSTREAM_FAILS)
        raise too_old(failure(found.answer.status))

    async def fresh(self, call: Call, kind: Kind) -> StoredAnswer | None:
        """The copy, if it is a good answer and fresh, of what `call` asks for everybody's sake."""
        key = _key(self.origin, call.using, call.target)
        stored = await self.store.read(key)
        if stored is None or stored.answer.status != 200:
            return None
        life, age_s = self._lifetime(kind, key, stored.answer), (self.now() - stored.fetched_at).total_seconds()
        return stored if life is not None and life.use(age_s, purged=stored.purged) is Use.FRESH else None

    async def stop(self) -> None:
        await self._refreshing.stop()

    # --- the key ---

    def _key(self, request: ShopRequest) -> str | None:
        """None: not to be kept. Neither credentials nor anything else of the caller is in it."""
        kept = request.wants_json and request.ask.shared and request.resource.kind in self.lifetimes
        query = request.upstream_query
        # A semicolon may part parameters for upstream, and hide a credential from us.
        if not kept or ";" in unquote(query) or any(name.lower() == "callback" for name, _ in parse_qsl(query)):
            return None
        return _key(self.origin, request.ask.using, request.target, request.media_types)

    # --- copies ---

    def _copy(self, asked: _Asked, stored: StoredAnswer | None) -> _Copy | None:
        """None where there is none that may leave the proxy."""
        life = self._lifetime(asked.kind, asked.key, stored.answer) if stored else None
        if stored is None or life is None:
            return None
        age_s = (self.now() - stored.fetched_at).total_seconds()
        use = life.use(age_s, purged=stored.purged)
        return None if use is Use.NOTHING else _Copy(stored, age_s, life, use)

    def _lifetime(self, kind: Kind, key: str, answer: Answer) -> Lifetime | None:
        said = answer.headers.get("Cache-Control", "")
        return lifetime(answer.status, said, self.lifetimes[kind], key, self.content_max_age_s)

    def _is_held(self, key: str) -> bool:
        return self._held.holds(key, self.now().timestamp())

    def _hold(self, key: str) -> None:
        self._held.failed(key, self.now().timestamp())

    async def _renew(self, asked: _Asked, trace: Trace) -> Fetched:
        """Ask upstream, once for all who ask at the same time, and keep the answer.

        A failure holds down the next attempts for a while.
        """
        flight = (asked.key, asked.call.lane)
        trace.joined = self._flights.began_by(flight)
        found = await self._flights.join(flight, lambda: self._ask(asked, trace), trace.request_id)
        return replace(found, decision=replace(found.decision, collapsed=True)) if trace.joined else found

    async def _ask(self, asked: _Asked, trace: Trace) -> Fetched:
        copy = self._copy(asked, await self.store.read(asked.key))
        if copy is not None and copy.use is Use.FRESH and copy.stored.fetched_at != asked.known:
            return copy.shown(Source.HIT)  # another flight ended between our look at the store and this one
        began, drops = self.now(), self.store.drops  # the answer is no younger than its request
        try:
            answer = asked.public(await self.upstream.fetch(asked.call, trace))
            if is_failure(answer.status):
                self._hold(asked.key)
            elif answer.status == 200:
                document(answer)
        except FAILURES:
            self._hold(asked.key)
            raise
        decision = Decision(Source.MISS, upstream_status=answer.status)
        life = self._lifetime_if_kept(asked, answer)
        if life is None:
            return Fetched(answer, began, decision)
        kept = Answer(answer.status, CIMultiDict(headers_for_client(answer.headers.items())), answer.body)
        stored = await self.store.write(asked.key, asked.request.raw_path, StoredAnswer(kept, began), drops)
        fresh_until = began + timedelta(seconds=life.fresh_s)
        return Fetched(answer, began, replace(decision, stored=stored), fresh_until)

    def _lifetime_if_kept(self, asked: _Asked, answer: Answer) -> Lifetime | None:
        """None for what was asked for anonymously because the credential is refused: copies made with it are richer."""
        poorer = asked.call.using is Using.OPERATOR and answer.using is Using.NOBODY
        return None if poorer or is_jsonp(answer.content_type) else self._lifetime(asked.kind, asked.key, answer)

    def _is_refused(self, using: Using) -> bool:
        return using is Using.OPERATOR and self.upstream.operator_refused

    def _refresh_behind(self, asked: _Asked, request_id: str) -> None:
        call = replace(asked.call, lane=Lane.REFRESH, patience_s=REFRESH_PATIENCE_S)
        self._refreshing.begin(asked.key, lambda: self._refresh(replace(asked, call=call), request_id))

    async def _refresh(self, asked: _Asked, request_id: str) -> None:
        path = asked.request.raw_path
        try:
            await self._renew(asked, Trace(request_id))
        except FAILURES as error:
            log.warning("copy not refreshed", path=path, request_id=request_id, error=str(error))
        except Exception:
            log.exception("copy not refreshed", path=path, request_id=request_id)


@dataclass(frozen=True, slots=True)
class Fetched:
    """`at` is when the request for it began: the answer's age counts from then.

    `fresh_until` is None where an equal request must not be answered with it unseen.
    """

    answer: Answer
    at: datetime
    decision: Decision
    fresh_until: datetime | None = None

    def reuse(self, release_ids: Iterable[int] = ()) -> Reuse | None:
        """For an answer that is made of this and of what is known of `release_ids`."""
        return Reuse(self.at, self.fresh_until, frozenset(release_ids)) if self.fresh_until else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that a copy can answer; `call` is how upstream is asked, `public` what is made of its answer.

    `known` is of when the copy is that was found for it.
    """

    request: ShopRequest
    key: str
    call: Call
    public: Change
    known: datetime | None = None

    @property
    def kind(self) -> Kind:
        return self.request.resource.kind

    def anonymously(self, origin: str) -> _Asked:
        """With a copy of its own, as richer ones must not be replaced."""
        call = replace(self.call, using=Using.NOBODY)
        return replace(self, call=call, key=_key(origin, Using.NOBODY, call.target, self.request.media_types))


@dataclass(frozen=True, slots=True)
class _Copy:
    stored: StoredAnswer
    age_s: float
    life: Lifetime
    use: Use

    def shown(self, source: Source, detail: str | None = None) -> Fetched:
        decision = Decision(source, age_s=self.age_s, ttl_s=self.life.fresh_s - self.age_s, detail=detail)
        at = self.stored.fetched_at
        fresh_until = at + timedelta(seconds=self.life.fresh_s) if source is Source.HIT else None
        return Fetched(self.stored.answer, at, decision, fresh_until)


def _key(origin: str, using: Using, target: str, media_types: Iterable[tuple[str, str]] = ()) -> str:
    return f"{using} {origin}{target} {''.join(value for _, value in media_types)}"


def is_failure(status: int) -> bool:
    """A copy is better than that."""
    return status == 429 or status >= FAILED_FROM


def failure(status: int) -> ProxyError:
    if status == 429:
        return BudgetExhausted("You are making requests too quickly.", TOO_OLD_AGAIN_S)
    return UpstreamBroken(f"Discogs answered {status}.")


def too_old(error: ProxyError) -> ProxyError:
    """What is told where upstream fails and what is stored has passed its age; 429 stays what it is."""
    if isinstance(error, BudgetExhausted | Degraded):
        return error
    message = f"{error.message} What is stored is too old to be shown."
    return Degraded(message, error.retry_after_s or TOO_OLD_AGAIN_S)
