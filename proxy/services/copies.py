"""Answers of Discogs that may be shared: from the response cache while they are good, else from upstream and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import structlog

from proxy.adapters.responses import ResponseStore, StoredAnswer
from proxy.adapters.upstream import Answer, Call, Trace, Upstream, checked_json
from proxy.domain.budget import Lane
from proxy.domain.lifetimes import Lifetime, Use, lifetime
from proxy.domain.policy import Decision, Source
from proxy.domain.request import ShopRequest
from proxy.domain.resources import Kind
from proxy.domain.visibility import SAFE_METHODS
from proxy.domain.wire import headers_for_client, is_jsonp
from proxy.errors import BudgetExhausted, UpstreamBroken, UpstreamTimeout
from proxy.services.answers import Change

REFRESH_PATIENCE_S = 600.0
"""How long a refresh behind a copy waits for budget."""

HOLD_DOWN_S = 20.0
"""After a failure the copy is shown for so long without asking again."""

HELD_MAX = 10_000

FAILURES = (UpstreamBroken, UpstreamTimeout, BudgetExhausted)
FAILED_FROM = 500

log = structlog.get_logger()


@dataclass(slots=True)
class Copies:
    """`lifetimes` are the kinds that are kept, with the seconds that they are fresh.

    `public` makes of an answer what everybody may see; it is applied before anything is stored.
    """

    store: ResponseStore
    upstream: Upstream
    lifetimes: Mapping[Kind, float]
    content_max_age_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _refreshing: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _held_until: dict[str, float] = field(default_factory=dict)

    async def fetch(self, request: ShopRequest, call: Call, trace: Trace, public: Change) -> tuple[Answer, Decision]:
        """Raises ProxyError where upstream does not answer and there is no copy that may be shown."""
        key = self._key(request)
        if key is None:
            answer = public(await self.upstream.fetch(call, trace))
            return answer, Decision(Source.BYPASS, upstream_status=answer.status)
        copy = await self._copy(request, key)
        if copy is not None and copy.use is not Use.FRESH and self._is_held(key):
            return copy.answer, copy.decision(Source.STALE, Use.IF_UPSTREAM_FAILS)
        match copy:
            case _Copy(use=Use.FRESH):
                return copy.answer, copy.decision(Source.HIT)
            case _Copy(use=Use.WHILE_RENEWED):
                self._refresh_behind(request, key, call, trace.request_id, public)
                return copy.answer, copy.decision(Source.STALE, Use.WHILE_RENEWED)
        try:
            answer = await self._fetch(request, key, call, trace, public)
        except FAILURES:
            if copy is None:
                raise
            return copy.answer, copy.decision(Source.STALE, Use.IF_UPSTREAM_FAILS)
        if copy is not None and is_failure(answer.status):
            return copy.answer, copy.decision(Source.STALE, Use.IF_UPSTREAM_FAILS)
        return answer, Decision(Source.MISS, upstream_status=answer.status)

    async def changed(self, request: ShopRequest, status: int) -> None:
        """A write went through: copies of what it names are dropped (RFC 9111 section 4.4)."""
        if request.method not in SAFE_METHODS and status < 400:
            await self.store.purge([request.raw_path], soft=False)

    async def stop(self) -> None:
        """Refreshes wait long for budget: they are not waited for."""
        for task in self._refreshing.values():
            task.cancel()
        await asyncio.gather(*self._refreshing.values(), return_exceptions=True)

    # --- the key ---

    def _key(self, request: ShopRequest) -> str | None:
        """None: not to be kept. Neither credentials nor anything else of the caller is in it."""
        kept = request.wants_json and request.ask.shared and request.resource.kind in self.lifetimes
        if not kept or any(name.lower() == "callback" for name, _ in parse_qsl(request.upstream_query)):
            return None
        media_type = "".join(value for _, value in request.media_types)
        return f"{request.ask.using} {request.target} {media_type}"

    # --- copies ---

    async def _copy(self, request: ShopRequest, key: str) -> _Copy | None:
        """None where there is none that may leave the proxy."""
        stored = await self.store.read(key)
        life = self._lifetime(request, key, stored.answer) if stored else None
        if stored is None or life is None:
            return None
        age_s = (self.now() - stored.fetched_at).total_seconds()
        use = life.use(age_s, purged=stored.purged)
        return None if use is Use.NOTHING else _Copy(stored.answer, age_s, life, use)

    def _lifetime(self, request: ShopRequest, key: str, answer: Answer) -> Lifetime | None:
        kind_s = self.lifetimes[request.resource.kind]
        return lifetime(answer.status, answer.headers.get("Cache-Control", ""), kind_s, key, self.content_max_age_s)

    def _is_held(self, key: str) -> bool:
        until = self._held_until.get(key)
        if until is not None and until <= self.now().timestamp():
            del self._held_until[key]
            return False
        return until is not None

    def _hold(self, key: str) -> None:
        if len(self._held_until) >= HELD_MAX:
            self._held_until.clear()
        self._held_until[key] = self.now().timestamp() + HOLD_DOWN_S

    async def _fetch(self, request: ShopRequest, key: str, call: Call, trace: Trace, public: Change) -> Answer:
        """A failure holds down the next attempts for a while."""
        try:
            answer = public(await self.upstream.fetch(call, trace))
            if is_failure(answer.status):
                self._hold(key)
            elif not is_jsonp(answer.content_type):
                checked_json(answer)
        except FAILURES:
            self._hold(key)
            raise
        if self._lifetime(request, key, answer) and not is_jsonp(answer.content_type):
            kept = Answer(answer.status, type(answer.headers)(headers_for_client(answer.headers.items())), answer.body)
            await self.store.write(key, request.raw_path, StoredAnswer(kept, self.now()))
        return answer

    def _refresh_behind(self, request: ShopRequest, key: str, call: Call, request_id: str, public: Change) -> None:
        if key in self._refreshing:
            return
        behind = Call(call.method, call.target, Lane.REFRESH, call.using, call.headers, patience_s=REFRESH_PATIENCE_S)
        task = asyncio.create_task(self._refresh(request, key, behind, request_id, public), name="refresh")
        self._refreshing[key] = task
        task.add_done_callback(lambda _: self._refreshing.pop(key, None))

    async def _refresh(self, request: ShopRequest, key: str, call: Call, request_id: str, public: Change) -> None:
        try:
            await self._fetch(request, key, call, Trace(request_id), public)
        except FAILURES as error:
            log.warning("copy not refreshed", path=request.raw_path, request_id=request_id, error=str(error))


@dataclass(frozen=True, slots=True)
class _Copy:
    answer: Answer
    age_s: float
    life: Lifetime
    use: Use

    def decision(self, source: Source, detail: str | None = None) -> Decision:
        return Decision(source, age_s=self.age_s, ttl_s=self.life.fresh_s - self.age_s, detail=detail)


def is_failure(status: int) -> bool:
    """A copy is better than that."""
    return status == 429 or status >= FAILED_FROM
