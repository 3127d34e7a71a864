"""`./run bench`: what a hit and a miss cost, as ratios against a bare aiohttp server and against going direct.

All servers are processes of their own on this machine, measured one after the other in the same run: machines are
noisy, ratios less so. The upstream is the simulated Discogs without latency, the worst case for what we add.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import orjson

from proxy.commands.bench_mirror import mirror_table
from proxy.commands.bench_rules import rules
from proxy.commands.load import Measured, UnexpectedAnswer, measure
from proxy.commands.processes import HOST, ServerEnded, free_port, server, until_up

STORE = "vinyl_den"
LISTINGS = 300
CONNECTIONS = 16
SEARCH_ANEW = "/database/search?q={n}"
START_TIMEOUT_S = 60.0


async def bench(measurements: Awaitable[None]) -> int:
    """They print tables; the exit code is 0 when everything could be measured."""
    try:
        await measurements
    except (ServerEnded, TimeoutError, UnexpectedAnswer) as error:
        print(f"bench: {error or 'a server did not answer in time'}", file=sys.stderr)
        return 1
    return 0


async def benchmarks(seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="discogs-proxy-bench-") as folder, ExitStack() as stack:
        discogs, proxy, bare = free_port(), free_port(), free_port()
        process = stack.enter_context(server(*simulator(discogs)))
        await until_up(process, f"http://{HOST}:{discogs}/", START_TIMEOUT_S)
        environment = {
            "PORT": str(proxy),
            "DISCOGS_API_URL": f"http://{HOST}:{discogs}",
            "DISCOGS_RATE_LIMIT": "0",
            "MATCH_PROVIDERS": "discogs_videos",
            "DATA_DIR": folder,
            "LOG_LEVEL": "warning",
        }
        process = stack.enter_context(server("-m", "proxy", environment=environment))
        await until_up(process, f"http://{HOST}:{proxy}/healthz", START_TIMEOUT_S)
        release_path, listing_path, body = await persisted_release(proxy)
        body_file = Path(folder, "body.json")
        await asyncio.to_thread(body_file.write_bytes, body)
        process = stack.enter_context(server("-m", "proxy.commands.bare_server", str(body_file), str(bare)))
        await until_up(process, f"http://{HOST}:{bare}/", START_TIMEOUT_S)

        print(f"{'measurement':<46}{'p50 ms':>9}{'p99 ms':>9}{'per s':>9}{'ratio':>9}")
        reference = await timed("bare aiohttp, the same bytes", bare, release_path, seconds)
        await timed("release from Postgres (hit)", proxy, release_path, seconds, reference)
        direct = await timed("listing, direct", discogs, listing_path, seconds)
        await timed("listing, passed through (never kept)", proxy, listing_path, seconds, direct)
        search = "/database/search?q=love"
        await miss_cost("  added to one at a time", discogs, proxy, listing_path, seconds)
        direct = await timed("search, direct", discogs, search, seconds)
        await timed("search from the response cache (hit)", proxy, search, seconds, direct)
        await miss_cost("  added to one not asked before, one at a time", discogs, proxy, SEARCH_ANEW, seconds)
        page = f"/users/{STORE}/inventory?per_page=100"
        direct = await timed("inventory page of 100, direct", discogs, page, seconds)
        await timed("inventory page of 100, kept and enriched (hit)", proxy, page, seconds, direct)
    print("ratio: requests per second against the line above it that has none; added: ms, and time against direct")
    rules(seconds, reference.per_second)
    mirror_table()


def simulator(port: int) -> tuple[str, ...]:
    return (
        *("-m", "tests.simulated_discogs", "--port", str(port), "--stores", f"{STORE}={LISTINGS}"),
        *("--rate-limit", "0", "--latency-ms", "0"),
    )


async def miss_cost(name: str, discogs: int, proxy: int, path: str, seconds: float) -> None:
    """What the proxy adds to a call that it must make, on a single connection so that nothing queues."""
    await measure(HOST, proxy, path, seconds=min(0.5, seconds), connections=1)
    direct = await measure(HOST, discogs, path, seconds=seconds, connections=1)
    through = await measure(HOST, proxy, path, seconds=seconds, connections=1)
    added = "".join(f"{through.quantile_ms(share) - direct.quantile_ms(share):>+9.2f}" for share in (0.5, 0.99))
    ratio = through.quantile_ms(0.5) / direct.quantile_ms(0.5)
    print(f"{name:<46}{added}{'':>9}{ratio:>9.2f}", flush=True)


async def timed(name: str, port: int, path: str, seconds: float, reference: Measured | None = None) -> Measured:
    """One line of the table. A short run before it warms the caches."""
    await measure(HOST, port, path, seconds=min(0.5, seconds), connections=CONNECTIONS)
    found = await measure(HOST, port, path, seconds=seconds, connections=CONNECTIONS)
    ratio = f"{found.per_second / reference.per_second:.2f}" if reference else ""
    print(
        f"{name:<46}{found.quantile_ms(0.5):>9.2f}{found.quantile_ms(0.99):>9.2f}{found.per_second:>9.0f}{ratio:>9}",
        flush=True,
    )
    return found


async def persisted_release(port: int) -> tuple[str, str, bytes]:
    """Path of a release that the pool has matched, path of a listing of it, and the release's body."""
    async with asyncio.timeout(START_TIMEOUT_S), aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
        while True:
            async with session.get(f"/users/{STORE}/inventory?per_page=100") as response:
                listings = orjson.loads(await response.read())["listings"]
            for row in listings:
                if row["processing_status"] == "matched":
                    path = f"/releases/{row['release']['id']}"
                    async with session.get(path) as response:
                        return path, f"/marketplace/listings/{row['id']}", await response.read()
            await asyncio.sleep(0.2)
