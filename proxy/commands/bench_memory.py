"""`./run bench --memory`: what a full response cache costs in memory and time, against an empty one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from multidict import CIMultiDict

from proxy.adapters.responses import ResponseStore, StoredAnswer
from proxy.adapters.upstream import Answer
from proxy.commands.bench import CONNECTIONS, SEARCH_ANEW, START_TIMEOUT_S, simulator
from proxy.commands.load import measure
from proxy.commands.processes import HOST, Process, free_port, server, until_up

RESPONSES = 100_000
BODY_BYTES = 2_000
"""All of them fit under the bound of the cache."""

TOGETHER = 1000
SEARCH = "/database/search?q=love"


async def memory(seconds: float) -> None:
    """Prints a table. Raises ServerEnded, TimeoutError, UnexpectedAnswer."""
    with tempfile.TemporaryDirectory(prefix="discogs-proxy-bench-") as folder, ExitStack() as stack:
        discogs = free_port()
        process = stack.enter_context(server(*simulator(discogs)))
        await until_up(process, f"http://{HOST}:{discogs}/", START_TIMEOUT_S)
        print(f"{'response cache':<46}{'hit p50':>9}{'p99 ms':>9}{'miss p50':>9}{'p99 ms':>9}{'RSS MB':>9}")
        empty = await line("empty at start", discogs, Path(folder, "empty"), seconds)
        await fill(Path(folder, "full"))
        full = await line(f"{RESPONSES:,} responses at start", discogs, Path(folder, "full"), seconds)
    print(f"{'ratio':<82}{full / empty:>9.2f}")


async def fill(folder: Path) -> None:
    responses, now = ResponseStore(folder), datetime.now(UTC)
    for start in range(0, RESPONSES, TOGETHER):
        await asyncio.gather(*(write(responses, number, now) for number in range(start, start + TOGETHER)))
    await responses.close()


async def write(responses: ResponseStore, number: int, now: datetime) -> None:
    path, body = f"/masters/{number}", (b'{"id": %d}' % number).ljust(BODY_BYTES)
    answer = Answer(200, CIMultiDict({"Content-Type": "application/json"}), body)
    await responses.write(f"filled {path}", path, StoredAnswer(answer, now))


async def line(name: str, discogs: int, folder: Path, seconds: float) -> float:
    """Prints it; returns the megabytes that the proxy holds after all that."""
    async with proxy(discogs, folder) as (process, port):
        await measure(HOST, port, SEARCH, seconds=min(0.5, seconds), connections=CONNECTIONS)
        hit = await measure(HOST, port, SEARCH, seconds=seconds, connections=CONNECTIONS)
        miss = await measure(HOST, port, SEARCH_ANEW, seconds=seconds, connections=CONNECTIONS)
        held = rss_mb(process)
    times = "".join(f"{each.quantile_ms(share):>9.2f}" for each in (hit, miss) for share in (0.5, 0.99))
    print(f"{name:<46}{times}{held:>9.0f}", flush=True)
    return held


@asynccontextmanager
async def proxy(discogs: int, folder: Path) -> AsyncIterator[tuple[Process, int]]:
    port = free_port()
    environment = {
        "PORT": str(port),
        "DISCOGS_API_URL": f"http://{HOST}:{discogs}",
        "DISCOGS_RATE_LIMIT": "0",
        "DATA_DIR": str(folder),
        "BACKGROUND_PROCESSING_ENABLED": "false",
        "MATCH_PROVIDERS": "discogs_videos",
        "LOG_LEVEL": "warning",
    }
    with server("-m", "proxy", environment=environment) as process:
        await until_up(process, f"http://{HOST}:{port}/healthz", START_TIMEOUT_S)
        yield process, port


def rss_mb(process: Process) -> float:
    """Of the process alone, without its PostgreSQL; not a number where the system does not tell."""
    return _status_mb(process, "VmRSS:")


def peak_mb(process: Process) -> float:
    """The most that it ever held."""
    return _status_mb(process, "VmHWM:")


def _status_mb(process: Process, name: str) -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024
