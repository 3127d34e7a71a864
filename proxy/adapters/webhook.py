"""The door to the webhooks' receiver: one POST, whose status is all that is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from proxy.domain.webhook import Answered, Unanswered

TIMEOUT_S = 15.0
"""The specification recommends 15 to 30 seconds."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """`url` may hold a password: it is told to nobody, nor are errors that could name it."""

    session: aiohttp.ClientSession
    url: str = field(repr=False)
    user_agent: str
    timeout_s: float = TIMEOUT_S

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answered | Unanswered:
        """No redirect is followed, and no body is read: a connection that has one is closed."""
        sent = {"Content-Type": "application/json", "User-Agent": self.user_agent, **headers}
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.post(self.url, data=body, headers=sent, allow_redirects=False) as response,
            ):
                return Answered(response.status, response.headers.get("Retry-After"))
        except TimeoutError:
            return Unanswered("no answer in time")
        except aiohttp.ClientConnectorError:
            return Unanswered("no connection")
        except (aiohttp.ClientError, OSError, ValueError):
            return Unanswered("no answer")
