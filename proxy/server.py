"""Runs the application on aiohttp's server, with `{"message": ...}` also for what is not HTTP at all.

aiohttp answers a request that it cannot parse by itself, in plain text, and logs the raw bytes, which may hold a
credential. It has no hook for that, so this is the one place that reaches into it; aiohttp is pinned for that reason.
"""

from __future__ import annotations

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.domain.wire import encode_json
from proxy.handlers.hits import short_way

log = structlog.get_logger()


class Handler(RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what the client sent
    ) -> web.StreamResponse:
        log.warning("request not understood", status=status, error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        text = "This is not an HTTP request that can be understood." if status < 500 else "An error of the proxy's own."
        response = web.Response(
            status=status, body=b'{"message": ' + encode_json(text) + b"}", content_type="application/json"
        )
        response.force_close()
        return response


class Server(web.Server):
    """Makes a handler of ours for each connection."""

    def __call__(self) -> RequestHandler:
        return Handler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """As web.AppRunner, with our server, and the short way of hits before the application."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = Server  # made deep inside the application; ours differs in one method
        server.request_handler = short_way(self.app, server.request_handler)
        return server
