"""A plain client of a simulated provider: no quota, no breaker, one call at a time as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import orjson

from matcher.errors import Unavailable
from matcher.providers.client import Reply

MAX_BYTES = 2_000_000
AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class PlainClient:
    session: aiohttp.ClientSession
    base_url: str
    timeout_s: float

    async def get(self, path: str, params: Mapping[str, str | Sequence[str]]) -> Reply:
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.get(self.base_url + path, params=params) as response,
            ):
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise Unavailable("too much", AGAIN_S)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Unavailable(repr(error), AGAIN_S) from error
        if response.status in (429, 503):
            raise Unavailable(f"refused with {response.status}", AGAIN_S)
        return Reply(response.status, response.headers, parsed(body))


def parsed(body: bytearray) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


@asynccontextmanager
async def client_of(base_url: str, *, timeout_s: float = 20.0) -> AsyncIterator[PlainClient]:
    async with aiohttp.ClientSession() as session:
        yield PlainClient(session, base_url, timeout_s)
