"""An origin server that is no Discogs: it answers as a test tells it, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Origin:
    """Each answer bears the number of its request in `N`."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"body"
    latency_s: float = 0.0
    answer: Answer | None = None
    """In place of the above."""
    requests: list[web.Request] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return len(self.requests)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        await request.read()
        number = str(self.calls)
        await asyncio.sleep(self.latency_s)
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(status=self.status, headers=self.headers | {"N": number}, body=self.body)


@asynccontextmanager
async def running_origin() -> AsyncIterator[Origin]:
    origin = Origin()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", origin.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield origin
    await runner.cleanup()
