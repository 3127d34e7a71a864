"""The short way of a hit: recognised by its request line and host, written in one piece.

It goes before routing and middlewares, which would cost more than the answer. Whatever is in any way special (a
credential, a condition, a body, another version of HTTP) goes the long way, and gets the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from proxy import keys
from proxy.domain.origins import cors_headers
from proxy.domain.request import special_media_types
from proxy.domain.wire import accepts_gzip, header_lines
from proxy.handlers.middleware import answer_headers, new_trace, observed
from proxy.settings import Settings

LONG_WAY = frozenset({"Authorization", "If-None-Match", "If-Modified-Since", "Range", "Expect", "Upgrade"})

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class WrittenResponse(web.StreamResponse):
    """Head and body as they are, in one write; `on_end` is told the status, or that the client had gone."""

    def __init__(self, written: bytes, on_end: Callable[[int | str], None]) -> None:
        super().__init__()
        self._written = written
        self._on_end = on_end
        self._writer: AbstractStreamWriter | None = None

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._writer = request.writer
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:
        if self._writer is None:
            return
        try:
            await self._writer.write(self._written + data)
        except BaseException:
            self._on_end("aborted")
            raise
        self._on_end(200)


def short_way(app: web.Application, long_way: Handler) -> Handler:
    """Answers what it can and gives the rest to `long_way`."""
    settings = app[keys.SETTINGS]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        hit = app[keys.FINISHED].find_by(shortcut) if (shortcut := shortcut_of(request, settings)) else None
        if hit is None:
            return await long_way(request)
        trace = new_trace(request)
        packed = hit.answer.packed if accepts_gzip(request.headers.getall("Accept-Encoding", ())) else None
        body = b"" if request.method == "HEAD" else packed or hit.answer.body
        own = answer_headers(app[keys.UPSTREAM], hit.decision, trace)
        cors = cors_headers(request.headers.get("Origin"), settings.cors_origins)
        lines = header_lines((("Date", _date(int(time.time()))), *own.items(), *cors.items()))

        def on_end(status: int | str) -> None:
            observed(app, request, hit.what, hit.decision, trace, status, time.perf_counter() - started)

        return WrittenResponse(b"".join((hit.heads[packed is not None], lines, b"\r\n", body)), on_end)

    return answer


def shortcut_of(request: web.BaseRequest, settings: Settings) -> Hashable | None:
    """All of a plain request that its answer depends on; None for one that must go the long way."""
    headers = request.headers
    if (
        request.method not in ("GET", "HEAD")
        or request.version != HttpVersion11
        or not request.keep_alive
        or request.body_exists
        or not LONG_WAY.isdisjoint(headers)
    ):
        return None
    forwarded = (request.remote, headers.get("X-Forwarded-Host"), headers.get("X-Forwarded-Proto"))
    return (
        request.raw_path,
        None if settings.public_url else headers.get("Host"),
        forwarded if settings.trusted_proxies else None,
        request.secure,
        special_media_types(headers.getall("Accept", ())),
    )


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
