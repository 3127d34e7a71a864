"""Everything that is neither an inventory nor a release: passed on as it is, streamed where it may be long.

A path that we do not know gets what RFC 9111 says, and none of our policy: that is SharedCache.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
from multidict import CIMultiDict

from proxy.adapters.upstream import Answer, Call, Trace, Upstream, checked_json, pieces_of, read_whole
from proxy.domain.budget import Lane
from proxy.domain.policy import Decision, Source
from proxy.domain.request import Reuse, Served, ShopRequest, Streamed
from proxy.domain.resources import Kind
from proxy.domain.visibility import public_database
from proxy.domain.wire import is_html, is_json, is_jsonp
from proxy.services.answers import client_headers, error_served, made_public, served, unchanged
from proxy.services.copies import Copies
from proxy.services.doubt import DoubtService, Noted
from proxy.services.purge import PurgeService
from proxy.services.shared_cache import SharedCache
from proxy.settings import OFFICIAL_API_URL

BODILESS = frozenset({204, 205, 304})


@dataclass(slots=True)
class PassthroughService:
    """Forwards with the credential that the plan names; what everybody may see is kept for a while."""

    upstream: Upstream
    copies: Copies
    purge: PurgeService
    shared: SharedCache
    doubt: DoubtService

    @asynccontextmanager
    async def serve(self, request: ShopRequest, trace: Trace) -> AsyncIterator[Served | Streamed]:
        """JSON is read whole, so that a broken answer becomes a clear error. Raises ProxyError."""
        sent = Noted(request)
        call = Call(
            "GET" if request.wants_json else request.method,
            request.target,
            Lane.SHOPPER,
            request.ask.using,
            request.upstream_headers(),
            request.caller.authorization,
            None if request.wants_json else sent.pieces(),
            accept_gzip=request.accepts_gzip,
            wants_json=request.wants_json,
        )
        if request.resource.kind is Kind.UNKNOWN:
            async with self.shared.serve(request, replace(call, telling=False), trace) as answer:
                yield answer
            return
        if request.wants_json:
            change = made_public(public_database) if request.ask.strip else unchanged
            found = await self.copies.fetch(request, call, trace, change)
            yield self._whole(request, found.answer, found.decision, found.reuse())
            return
        async with self.upstream.open(call, trace) as response:
            decision = Decision(Source.BYPASS, upstream_status=response.status)
            await self.purge.written(request, response.status)
            if response.status < 400:
                await self.doubt.wrote(request, sent.kept, trace.request_id)
            if _must_be_whole(request, response):
                whole = await read_whole(response, self.upstream.deadline_s)
                yield self._whole(request, whole, decision)
            else:
                yield self._stream(request, response, decision)

    def _whole(self, request: ShopRequest, answer: Answer, decision: Decision, reuse: Reuse | None = None) -> Served:
        if answer.status >= 300:
            return error_served(request, answer, self.upstream.origin, decision)
        if answer.status not in BODILESS and not is_jsonp(answer.content_type):
            checked_json(answer)
        return served(request, answer, answer.body, decision, self.upstream.origin, reuse)

    def _stream(self, request: ShopRequest, response: aiohttp.ClientResponse, decision: Decision) -> Streamed:
        answer = Answer(response.status, CIMultiDict(response.headers), b"")
        headers = client_headers(answer, (self.upstream.origin, OFFICIAL_API_URL), request.public_origin)
        kept = [
            (name, response.headers[name])
            for name in ("Content-Encoding", "Content-Length")
            if name in response.headers
        ]
        return Streamed(response.status, tuple(headers + kept), pieces_of(response), decision)


def _must_be_whole(request: ShopRequest, response: aiohttp.ClientResponse) -> bool:
    if request.method == "HEAD" or response.status in BODILESS:
        return False
    content_type = response.headers.get("Content-Type", "")
    return (
        is_json(content_type)
        or is_jsonp(content_type)
        or response.status == 429
        or _is_page_for_json(request, content_type)
    )


def _is_page_for_json(request: ShopRequest, content_type: str) -> bool:
    """HTML in place of JSON is told as an error."""
    return is_html(content_type) and request.resource.kind is not Kind.TEXT
