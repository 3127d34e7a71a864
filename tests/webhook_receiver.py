"""A shop that receives webhooks, on a real port: it checks each signature with the library that shops use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Answer = Callable[["Delivery", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Delivery:
    """`message` is the parsed body, once its signature was found good."""

    message_id: str
    raw: bytes
    message: dict[str, Any]
    at: float

    @property
    def store(self) -> str | None:
        store: str | None = self.message["data"]["store"]
        return store

    @property
    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.message["data"]["events"]
        return events


def status(code: int, **headers: str) -> Answer:
    """Header names are written with underscores."""

    async def answer(_delivery: Delivery, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


@dataclass
class Shop:
    """Answers 204, or what `once` and `always` say. `tried` has all deliveries, `got` those that it took (2xx)."""

    secret: str = SECRET
    once: deque[Answer] = field(default_factory=deque)
    always: Answer = field(default_factory=lambda: status(204))
    tried: list[Delivery] = field(default_factory=list)
    got: list[Delivery] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/discogs/"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those taken, in the order in which they came."""
        return [event for delivery in self.got for event in delivery.events]

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hooks/discogs/", self._receive)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """It can be started again, on the same port."""
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        assert request.content_type == "application/json"
        message = Webhook(self.secret).verify(raw, dict(request.headers))
        delivery = Delivery(request.headers["webhook-id"], raw, message, asyncio.get_running_loop().time())
        self.tried.append(delivery)
        answer = self.once.popleft() if self.once else self.always
        response = await answer(delivery, request)
        if 200 <= response.status < 300:
            self.got.append(delivery)
        return response
