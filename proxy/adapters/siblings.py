"""The processes behind the same port, as they ask each other: each has a socket of its own beside the port.

Whoever is asked for the metrics, or for what is degraded, is one of them, by chance; he asks the others.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

PARENT = 0
"""The number of the process that started the others, and that no client reaches."""

TIMEOUT_S = 2.0
METRICS, DEGRADED = "/metrics", "/degraded"
"""What they ask for."""


def socket_of(folder: Path, number: int) -> Path:
    return folder / str(number)


@dataclass(frozen=True, slots=True)
class Siblings:
    """`own` is our number among those of 1 to `count`; their sockets are in `folder`."""

    folder: Path
    own: int
    count: int

    async def ask(self, path: str) -> dict[int, bytes | None]:
        """What each of the others, the parent among them, answers; None: he does not."""
        others = [number for number in range(PARENT, self.count + 1) if number != self.own]
        answers = await asyncio.gather(*(self._ask(number, path) for number in others))
        return dict(zip(others, answers, strict=True))

    async def _ask(self, number: int, path: str) -> bytes | None:
        connector = aiohttp.UnixConnector(str(socket_of(self.folder, number)))
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://sibling{path}") as response,
            ):
                return await response.read() if response.status == web.HTTPOk.status_code else None
        except (aiohttp.ClientError, TimeoutError):
            return None
