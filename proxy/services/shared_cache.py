"""A shared cache (RFC 9111) for paths that we do not know: upstream's directives decide, and nothing of our policy.

What is stored is what upstream gave, packed as it packed it; origins are rewritten for each client on its way out, so
that what one client calls us never reaches another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final
from urllib.parse import urljoin

import aiohttp
import structlog
from multidict import CIMultiDict

from proxy.adapters.upstream import (
    MAX_BODY_BYTES,
    Call,
    Trace,
    Upstream,
    pieces_of,
    read_packed,
)
from proxy.adapters.variants import Copy, Other, Variants
from proxy.domain.budget import Lane
from proxy.domain.credentials import masked
from proxy.domain.hold_down import HoldDown
from proxy.domain.http_cache import (
    WHILE_REVALIDATED,
    Show,
    Stored,
    Why,
    agrees,
    bears_credentials,
    born,
    conditions,
    freshened,
    has_validator,
    is_shareable,
    is_steered,
    is_storable,
    kept_fields,
    passed_fields,
    reuse,
    stands_in,
)
from proxy.domain.http_fields import Directives, wanted_of
from proxy.domain.policy import Decision, Source
from proxy.domain.request import ShopRequest, Streamed
from proxy.domain.visibility import SAFE_METHODS, Using
from proxy.errors import BudgetExhausted, NotCached, UpstreamBroken, UpstreamDropped, UpstreamTimeout
from proxy.services.answers import RETRY_AFTER_429_S
from proxy.services.behind import Behind
from proxy.services.copies import REFRESH_PATIENCE_S
from proxy.services.presented import BODILESS, Client, check, is_rewritten, streamed, whole
from proxy.settings import OFFICIAL_API_URL

LONGEST_STORED: Final = 4 * 1024 * 1024
"""Bytes. A longer answer is passed on as it comes."""

OWN_CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})
ORIGINS_CONDITIONS: Final = ("If-Match", "If-Unmodified-Since")
FAILURES = (UpstreamBroken, UpstreamTimeout, BudgetExhausted)

log = structlog.get_logger()


class Led(Enum):
    """How the one call ended that equal requests wait for."""

    ANSWERED = auto()
    GONE = auto()
    """Its client went away."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, how upstream is asked, and what of the request it sees. `key` is None where nothing is stored."""

    request: ShopRequest
    call: Call
    client: Client
    wanted: Directives
    credentials: bool
    key: str | None

    @property
    def sent(self) -> CIMultiDict[str]:
        return self.client.sent

    @property
    def flight(self) -> Hashable:
        """None for a request that asks for itself."""
        alone = self.key is None or self.credentials or self.call.method != "GET"
        return None if alone else (self.key, self.call.headers)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is stored for a request, and whether it will do: `show`, or `why` upstream is asked."""

    copy: Copy | None
    why: Why
    show: Show | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """The head of upstream's answer: what goes to the client, when it was born, how it is told."""

    response: aiohttp.ClientResponse
    passed: CIMultiDict[str]
    born: float
    decision: Decision


@dataclass(slots=True)
class SharedCache:
    """`most_s` bounds the age of what is shown, whatever upstream says."""

    variants: Variants
    upstream: Upstream
    most_s: float
    now: Callable[[], float] = time.time
    _leaders: dict[Hashable, asyncio.Future[Led]] = field(default_factory=dict)
    _refreshing: Behind = field(default_factory=lambda: Behind("refresh"))
    _held: HoldDown = field(default_factory=HoldDown)

    @asynccontextmanager
    async def serve(self, request: ShopRequest, call: Call, trace: Trace) -> AsyncIterator[Streamed]:
        """Raises ProxyError."""
        async with AsyncExitStack() as open_calls:
            yield await self._answer(self._read(request, call), trace, open_calls)

    async def stop(self) -> None:
        await self._refreshing.stop()

    # --- the request ---

    def _read(self, request: ShopRequest, call: Call) -> _Asked:
        sent = CIMultiDict(call.headers)
        credentials = bool(call.authorization) or request.caller.has_credential or bears_credentials(sent)
        wanted = wanted_of(sent)
        own = (
            call.method not in SAFE_METHODS
            or call.body is not None
            or call.using is Using.OPERATOR
            or request.caller.query_credentials
            or (credentials and self.upstream.origin == OFFICIAL_API_URL)  # Discogs calls everything public
            or is_steered(sent)
            or "no-store" in wanted
            or any(name in sent for name in ORIGINS_CONDITIONS)
        )
        key = None if own else f"http{'+gzip' if call.accept_gzip else ''} {self.upstream.origin}{call.target}"
        origins = (self.upstream.origin, OFFICIAL_API_URL)
        client = Client(call.method, sent, request.public_origin, origins)
        return _Asked(request, call, client, wanted, credentials, key)

    # --- the answer ---

    async def _answer(self, asked: _Asked, trace: Trace, open_calls: AsyncExitStack) -> Streamed:
        found = await self._find(asked)
        if found.copy and found.show:
            if found.show.detail == WHILE_REVALIDATED:
                self._refresh_behind(asked, found.copy, trace.request_id)
            return await self._shown(asked, found.copy, found.show)
        if "only-if-cached" in asked.wanted:
            raise NotCached("This is not stored, and the request wants nothing else.")
        held = self._stand_in(found.copy)
        if found.copy and held and self._held.holds(found.copy.key, self.now()):
            return await self._shown(asked, found.copy, held)
        try:
            return await self._collapsed(asked, found, trace, open_calls)
        except FAILURES:
            show = self._stand_in(found.copy)
            if found.copy is None or show is None:
                raise
            self._held.failed(found.copy.key, self.now())
            return await self._shown(asked, found.copy, show)

    async def _find(self, asked: _Asked) -> _Found:
        if asked.key is None:
            unsafe = asked.call.method not in SAFE_METHODS
            return _Found(None, Why.METHOD if unsafe else Why.REQUEST if "no-store" in asked.wanted else Why.BYPASS)
        match await self.variants.find(asked.key, asked.sent):
            case Copy() as copy if asked.credentials and not is_shareable(copy.head.fields):
                return _Found(None, Why.BYPASS)
            case Copy() as copy:
                verdict = reuse(copy.head, asked.wanted, self.now(), self.most_s)
                return _Found(copy, Why.STALE, verdict) if isinstance(verdict, Show) else _Found(copy, verdict)
            case Other():
                return _Found(None, Why.VARY)
            case None:
                return _Found(None, Why.MISS)

    def _stand_in(self, copy: Copy | None, status: int | None = None) -> Show | None:
        return stands_in(copy.head, self.now(), self.most_s, status) if copy else None

    async def _collapsed(self, asked: _Asked, found: _Found, trace: Trace, open_calls: AsyncExitStack) -> Streamed:
        """Of equal requests one asks; the others look again once its answer is stored, else ask for themselves."""
        if asked.flight is None:
            return await self._ask(asked, found, trace, open_calls)
        while (leader := self._leaders.get(asked.flight)) is not None:
            if await asyncio.shield(leader) is Led.GONE:
                continue
            found = await self._find(asked)
            if found.copy and found.show:
                return await self._shown(asked, found.copy, found.show)
            return await self._ask(asked, found, trace, open_calls)
        return await self._lead(asked, found, trace, open_calls)

    async def _lead(self, asked: _Asked, found: _Found, trace: Trace, open_calls: AsyncExitStack) -> Streamed:
        leader: asyncio.Future[Led] = asyncio.get_running_loop().create_future()
        self._leaders[asked.flight] = leader
        led = Led.GONE
        try:
            answer = await self._ask(asked, found, trace, open_calls)
            led = Led.ANSWERED
        except FAILURES as error:
            leader.set_exception(error)
            leader.exception()  # there may be nobody who waits for it
            raise
        finally:
            del self._leaders[asked.flight]
            if not leader.done():
                leader.set_result(led)
        return answer

    async def _ask(self, asked: _Asked, found: _Found, trace: Trace, open_calls: AsyncExitStack) -> Streamed:
        call, validating = self._call(asked, found.copy)
        requested_at = self.now()
        response = await self._opened(call, trace, open_calls)
        if response.status == 429:
            raise BudgetExhausted("You are making requests too quickly.", retry_after_s=RETRY_AFTER_429_S)
        if self._stand_in(found.copy, response.status) is not None:
            raise UpstreamBroken(f"Upstream answered {response.status}.")
        told = self._told(asked, found.why, response, requested_at)
        if found.copy is not None and validating and response.status == 304:
            return await self._validated(asked, found.copy, told)
        await self._learn(asked, found.copy, told)
        return await self._passed(asked, told, open_calls)

    async def _opened(self, call: Call, trace: Trace, open_calls: AsyncExitStack) -> aiohttp.ClientResponse:
        """A read whose connection was dropped, perhaps before it arrived, is sent once more."""
        try:
            return await open_calls.enter_async_context(self.upstream.open(call, trace))
        except UpstreamDropped:
            if call.method not in SAFE_METHODS or call.body is not None:
                raise
            return await open_calls.enter_async_context(self.upstream.open(call, trace))

    def _told(self, asked: _Asked, why: Why, response: aiohttp.ClientResponse, requested_at: float) -> _Told:
        received_at = self.now()
        born_at = born(response.headers, requested_at, received_at)
        decision = Decision(
            Source.BYPASS if asked.key is None else Source.MISS,
            age_s=received_at - born_at if "Age" in response.headers else None,
            upstream_status=response.status,
            forwarded=why,
        )
        return _Told(response, passed_fields(response.headers, received_at), born_at, decision)

    def _call(self, asked: _Asked, copy: Copy | None) -> tuple[Call, bool]:
        """With our own conditions where there is a copy that they can be about, else with the client's."""
        if copy is None or asked.call.method != "GET" or not has_validator(copy.head):
            return asked.call, False
        others = _without(asked.call.headers, OWN_CONDITIONS)
        return replace(asked.call, headers=(*others, *conditions(copy.head))), True

    async def _validated(self, asked: _Asked, copy: Copy, told: _Told) -> Streamed:
        head = freshened(copy.head, told.passed, told.born)
        stored = await self._keep(asked, head, copy.body)
        if not stored:
            await self.variants.drop(copy)
        decision = replace(told.decision, source=Source.REVALIDATED, age_s=head.age_s(self.now()), stored=stored)
        return await whole(asked.client, head.status, head.fields, copy.body, decision, shared=stored)

    async def _learn(self, asked: _Asked, copy: Copy | None, told: _Told) -> None:
        """What the answer says of what is stored: a write, a newer answer, or a HEAD that no longer fits."""
        response = told.response
        if asked.call.method not in SAFE_METHODS:
            if response.status < 400 and asked.call.method != "OPTIONS":
                await self.variants.store.drop_paths(self._written(asked, response))
            return
        if copy is None or asked.credentials or not is_newer(response.status):
            return
        fits = response.status == 200 and agrees(copy.head, response.headers, len(copy.body))
        if asked.call.method == "HEAD" and fits:
            await self._keep(asked, freshened(copy.head, told.passed, told.born), copy.body)
        else:
            await self.variants.drop(copy)

    def _written(self, asked: _Asked, response: aiohttp.ClientResponse) -> list[str]:
        """The paths that a successful write may have changed (RFC 9111 section 4.4), of the same origin only."""
        origin = self.upstream.origin
        named = [response.headers[name] for name in ("Location", "Content-Location") if name in response.headers]
        urls = (_joined(origin + asked.call.target, each) for each in named)
        others = [url.removeprefix(origin).partition("?")[0] for url in urls if url.startswith(origin + "/")]
        return [asked.request.raw_path, *others]

    async def _passed(self, asked: _Asked, told: _Told, open_calls: AsyncExitStack) -> Streamed:
        """Short answers that may be kept are read whole, so is JSON, whose URLs are rewritten; all else is streamed."""
        response = told.response
        raw = Stored(response.status, CIMultiDict(response.headers), told.born)
        head = Stored(response.status, kept_fields(told.passed), told.born)
        has_body = asked.call.method != "HEAD" and response.status not in BODILESS
        shared = asked.key is not None and self._may_keep(asked, raw)
        keep = shared and asked.call.method == "GET" and (comes_complete(response) or not has_body)
        if has_body and (is_rewritten(response.status, told.passed) or (keep and is_short(response))):
            body = await read_packed(response, self.upstream.deadline_s, MAX_BODY_BYTES)
            await open_calls.aclose()
            check(response.status, told.passed, body)
        elif keep and not has_body:
            body = b""
        else:
            kept = (lambda body: self._keep(asked, head, body)) if keep else None
            return streamed(asked.client, response, told.passed, _pieces(response, kept), told.decision, shared=shared)
        stored = keep and len(body) <= LONGEST_STORED and await self._keep(asked, head, body)
        decision = replace(told.decision, stored=stored)
        return await whole(asked.client, response.status, told.passed, body, decision, shared=shared)

    async def _shown(self, asked: _Asked, copy: Copy, show: Show) -> Streamed:
        source = Source.HIT if show.detail is None else Source.STALE
        decision = Decision(source, age_s=show.age_s, ttl_s=show.ttl_s, detail=show.detail)
        return await whole(asked.client, copy.head.status, copy.head.fields, copy.body, decision, shared=True)

    # --- the store ---

    async def _keep(self, asked: _Asked, head: Stored, body: bytes) -> bool:
        """Whether it was kept."""
        if asked.key is None or not self._may_keep(asked, head):
            return False
        return await self.variants.keep(asked.key, asked.request.raw_path, asked.sent, head, body)

    def _may_keep(self, asked: _Asked, head: Stored) -> bool:
        return is_storable(head, credentials=asked.credentials, most_s=self.most_s)

    # --- behind a stale answer ---

    def _refresh_behind(self, asked: _Asked, copy: Copy, request_id: str) -> None:
        if self._held.holds(copy.key, self.now()):
            return
        headers = _without(asked.call.headers, OWN_CONDITIONS | {"range", "if-range"})
        call = replace(asked.call, headers=headers, lane=Lane.REFRESH, patience_s=REFRESH_PATIENCE_S)
        self._refreshing.begin(copy.key, lambda: self._refresh(replace(asked, call=call), copy, request_id))

    async def _refresh(self, asked: _Asked, copy: Copy, request_id: str) -> None:
        path = masked(asked.request.raw_path)
        try:
            async with AsyncExitStack() as open_calls:
                answer = await self._ask(asked, _Found(copy, Why.STALE), Trace(request_id), open_calls)
                async for _ in answer.pieces:
                    pass
        except FAILURES as error:
            self._held.failed(copy.key, self.now())
            log.warning("copy not refreshed", path=path, request_id=request_id, error=str(error))
        except Exception:
            log.exception("copy not refreshed", path=path, request_id=request_id)


def _without(headers: tuple[tuple[str, str], ...], names: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in headers if pair[0].lower() not in names)


def _joined(base: str, url: str) -> str:
    """Nothing where upstream names what is no URL."""
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def is_newer(status: int) -> bool:
    """Tells that what is stored is out of date, and not of a failure or of what this one client asked for."""
    return (200 <= status < 400 and status not in (206, 304)) or status in (404, 410)


def is_short(response: aiohttp.ClientResponse) -> bool:
    return response.content_length is not None and response.content_length <= LONGEST_STORED


def comes_complete(response: aiohttp.ClientResponse) -> bool:
    """The end of the connection alone does not tell a whole body from a part (RFC 9111 section 3.3)."""
    return response.content_length is not None or "chunked" in response.headers.get("Transfer-Encoding", "").lower()


async def _pieces(
    response: aiohttp.ClientResponse, keep: Callable[[bytes], Awaitable[bool]] | None
) -> AsyncIterator[bytes]:
    """As they come, and kept at the end if they are not too many."""
    held, left = bytearray(), LONGEST_STORED if keep else 0
    async for piece in pieces_of(response):
        left -= len(piece)
        if left >= 0:
            held += piece
        else:
            held.clear()
        yield piece
    if keep and left >= 0:
        await keep(bytes(held))
