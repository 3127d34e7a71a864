"""A small HTTP/1.1 load generator: keep-alive connections that ask for one path again and again.

`{n}` in the path stands for a number that was not used before.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TIMEOUT_S = 30.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measurement found."""

    requests: int
    seconds: float
    latencies_s: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def quantile_ms(self, share: float) -> float:
        """`share` is 0.5 for the median."""
        cuts = statistics.quantiles(self.latencies_s, n=100, method="inclusive")
        return cuts[min(98, max(0, round(share * 100) - 1))] * 1000


class UnexpectedAnswer(Exception):
    """Not 200, or not told how long: the measurement would mean nothing."""


async def measure(host: str, port: int, path: str, *, seconds: float, connections: int) -> Measured:
    """Raises UnexpectedAnswer."""
    until = time.perf_counter() + seconds
    started = time.perf_counter()
    async with asyncio.timeout(seconds + TIMEOUT_S):
        found = await asyncio.gather(*(_ask(host, port, _again(path, until)) for _ in range(connections)))
    latencies = tuple(latency for each in found for latency in each)
    return Measured(len(latencies), time.perf_counter() - started, latencies)


async def measure_each(host: str, port: int, paths: Sequence[str], fields: str = "") -> Measured:
    """Each once, one after the other; `fields` are further lines of each head. Raises UnexpectedAnswer."""
    started = time.perf_counter()
    async with asyncio.timeout(len(paths) + TIMEOUT_S):
        latencies = await _ask(host, port, paths, fields)
    return Measured(len(latencies), time.perf_counter() - started, tuple(latencies))


def _again(path: str, until: float) -> Iterator[str]:
    while time.perf_counter() < until:
        yield path.replace("{n}", str(next(_numbers)))


async def _ask(host: str, port: int, paths: Iterable[str], fields: str = "") -> list[float]:
    reader, writer = await asyncio.open_connection(host, port, limit=4 * 1024 * 1024)
    latencies = []
    try:
        for path in paths:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: bench\r\n{fields}\r\n".encode()
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = CONTENT_LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise UnexpectedAnswer(head.split(b"\r\n", 1)[0].decode())
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - begun)
    finally:
        writer.close()
    return latencies
