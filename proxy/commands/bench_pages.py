"""`./run bench --pages`: pages of a mirror of 50,000 listings, none asked for before, beside one of 1,000.

What a page costs at the start and at the end of the store, what the whole store costs in memory, and how long the
longest transaction lives while a store of that size is swept.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import orjson

from matcher.database import Connection, Database
from proxy.adapters import mirror
from proxy.adapters.database import connected
from proxy.adapters.embedded_postgres import EmbeddedPostgres
from proxy.adapters.mirror import MirrorRow
from proxy.commands.bench import START_TIMEOUT_S
from proxy.commands.bench_memory import peak_mb
from proxy.commands.load import Measured, measure_each
from proxy.commands.processes import HOST, Process, free_port, server, until_up
from proxy.domain.merge import listings_of
from proxy.domain.paging import PER_PAGE_MAX
from proxy.services.inventory_pages import seller_apart

MANY, FEW = 50_000, 1_000
STORES = {"long_store": MANY, "short_store": FEW}
SWEPT = "swept_store"
FIRST_LISTING, FIRST_RELEASE = 1_000_000, 10_000_000
TRACKS = 4
IMAGES = 4
IMAGE_URL = "https://i.discogs.com/" + "x" * 130 + "/"
BODY_LENGTH = 8_000
"""Bytes of a stored release."""
HASH_LENGTH = 32
DECILES = 10
DECIDED_AT_ONCE = 5_000
PAGE_WALL = 100
LOOK_S = 0.02
SWEEP_TIMEOUT_S = 900.0
WARM_PAGES = 20
REQUESTS = 60
"""Per decile."""

GZIP = "Accept-Encoding: gzip\r\n"
_numbers = iter(range(10**9))

SERVER_TIME = re.compile(r'discogs_proxy_request_seconds_sum\{kind="(?:inventory|store)".*\} (\S+)')


async def pages() -> None:
    """Prints tables. Raises ServerEnded, TimeoutError, UnexpectedAnswer."""
    with tempfile.TemporaryDirectory(prefix="discogs-proxy-bench-") as folder, ExitStack() as stack:
        discogs = free_port()
        process = stack.enter_context(server(*simulator(discogs)))
        await until_up(process, f"http://{HOST}:{discogs}/", SWEEP_TIMEOUT_S)
        async with database_of(Path(folder)) as (database, dsn):
            template = await listings_like_discogs(discogs)
            for store, count in STORES.items():
                await fill(database, store, count, template)
            for store, count in STORES.items():
                await one_store(store, count, discogs, dsn, Path(folder))
            await sweep(database, discogs, dsn, Path(folder))


def simulator(port: int) -> tuple[str, ...]:
    return (
        *("-m", "tests.simulated_discogs", "--port", str(port), "--stores", f"{SWEPT}={MANY}"),
        *("--rate-limit", "0", "--latency-ms", "0"),
    )


@asynccontextmanager
async def database_of(folder: Path) -> AsyncIterator[tuple[Database, str]]:
    postgres = EmbeddedPostgres(folder)
    dsn = await postgres.start()
    try:
        async with connected(dsn, connections=2) as database:
            yield database, dsn
    finally:
        await postgres.stop()


# --- the stores ---------------------------------------------------------------------------------------------------


async def listings_like_discogs(port: int) -> list[dict[str, object]]:
    url = f"http://{HOST}:{port}/users/{SWEPT}/inventory?per_page={PER_PAGE_MAX}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return listings_of(orjson.loads(await response.read()))


async def fill(database: Database, store: str, count: int, template: Sequence[dict[str, object]]) -> None:
    """A mirror found true a moment ago. Of two thirds of its releases there is audio, of the others there is none."""
    now = datetime.now(UTC)
    parted = [seller_apart(listing) for listing in template]
    seller = orjson.dumps(parted[0][1])

    def row(number: int) -> MirrorRow:
        listing = parted[number % len(parted)][0]
        release = listing["release"]
        assert isinstance(release, dict)  # noqa: S101 - as Discogs has it
        body = listing | {"id": FIRST_LISTING + number, "release": release | {"id": FIRST_RELEASE + number}}
        posted = now - timedelta(minutes=count - number)
        return MirrorRow(FIRST_LISTING + number, FIRST_RELEASE + number, orjson.dumps(body), now, posted)

    async with database.transaction() as connection:
        await mirror.touch(connection, store)
        token = await mirror.lease(connection, store, START_TIMEOUT_S)
        assert token is not None  # noqa: S101 - nobody else is there
        for first in range(0, count, 1000):
            await mirror.write_rows(connection, store, map(row, range(first, min(first + 1000, count))))
        await mirror.write_seller(connection, store, seller)
        ids = range(FIRST_LISTING + count - 1, FIRST_LISTING - 1, -1)
        await mirror.change(connection, store, token, list(ids))
        await mirror.confirm(connection, store, token, items=count, at=now, audited=1)
        await mirror.give_back(connection, store, token)
        for first in range(0, count, DECIDED_AT_ONCE):
            await decide(connection, first, min(first + DECIDED_AT_ONCE, count))
    async with database.connection() as connection:
        await connection.execute("ANALYZE")


async def decide(connection: Connection, first: int, end: int) -> None:
    """Releases from one number to before another, unless they are known."""
    await connection.execute(
        """
        INSERT INTO match_queue (release_id, status, priority, decided_at)
        SELECT $1 + n, CASE WHEN n % 3 > 0 THEN 'matched' ELSE 'unmatched' END, 0, now()
        FROM generate_series($2::integer, $3::integer - 1) AS n ON CONFLICT DO NOTHING
        """,
        FIRST_RELEASE,
        first,
        end,
    )
    await connection.execute(
        """
        INSERT INTO releases (id, discogs_id, title, has_audio_matches, body_fetched_at, genres, styles, images,
                              tracklist, body)
        SELECT $1 + n, $1 + n, 'Title ' || n, true, now(), '["Electronic"]', '["House"]',
               (SELECT jsonb_agg(jsonb_build_object('type', 'secondary', 'uri', $6 || md5(n || '-' || i), 'uri150',
                                                    $6 || md5(i || '-' || n), 'width', 600, 'height', 600))
                FROM generate_series(1, $5) AS i),
               (SELECT jsonb_agg(jsonb_build_object('position', 'A' || t, 'type_', 'track', 'title', 'Track ' || t,
                                                    'duration', '4:33')) FROM generate_series(1, $4) AS t),
               (SELECT string_agg(md5(n || '-' || piece), '')::bytea FROM generate_series(1, $7) AS piece)
        FROM generate_series($2::integer, $3::integer - 1) AS n WHERE n % 3 > 0 ON CONFLICT DO NOTHING
        """,
        FIRST_RELEASE,
        first,
        end,
        TRACKS,
        IMAGES,
        IMAGE_URL,
        BODY_LENGTH // HASH_LENGTH,
    )
    await connection.execute(
        """
        INSERT INTO track_matches (release_id, track_index, platform, match_url, confidence, approved, provider)
        SELECT $1 + n, t, 'youtube', 'https://www.youtube.com/watch?v=' || substr(md5(n || '-' || t), 1, 11), 93.5,
               true, 'discogs_videos'
        FROM generate_series($2::integer, $3::integer - 1) AS n, generate_series(0, $4 - 1) AS t
        WHERE n % 3 > 0 AND NOT EXISTS (SELECT FROM track_matches WHERE release_id = $1 + n)
        """,
        FIRST_RELEASE,
        first,
        end,
        TRACKS,
    )


# --- what is measured ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def proxy(discogs: int, dsn: str, folder: Path, store: str) -> AsyncIterator[tuple[Process, int]]:
    """Whose mirrors stay true for an hour."""
    port = free_port()
    environment = {
        "PORT": str(port),
        "DISCOGS_API_URL": f"http://{HOST}:{discogs}",
        "DISCOGS_RATE_LIMIT": "0",
        "DATABASE_URL": dsn,
        "DATA_DIR": str(folder),
        "STORES": store,
        "NEW_LISTING_CHECK_INTERVAL": "3600000",
        "BACKGROUND_PROCESSING_ENABLED": "false",
        "MATCH_PROVIDERS": "discogs_videos",
        "LOG_LEVEL": "warning",
    }
    with server("-m", "proxy", environment=environment) as process:
        await until_up(process, f"http://{HOST}:{port}/healthz", START_TIMEOUT_S)
        yield process, port


async def one_store(store: str, count: int, discogs: int, dsn: str, folder: Path) -> None:
    draw = random.Random(count)  # noqa: S311 - not for secrets
    async with proxy(discogs, dsn, folder, store) as (process, port):
        names = "".join(f"{name:>9}" for name in ("p50 ms", "p95 ms", "p99 ms", "server", "cpu ms", "ratio"))
        print(f"\n{f'a store of {count:,}, gzip':<46}{names}")
        for name, path, last in (
            ("/users/{u}/inventory", f"/users/{store}/inventory", min(count // PER_PAGE_MAX, PAGE_WALL)),
            ("/api/stores/{s}/inventory", f"/api/stores/{store}/inventory", count // PER_PAGE_MAX),
        ):
            await timed(port, path, [draw.randint(1, last) for _ in range(WARM_PAGES)])
            bare = await bare_of(port, f"{path}?page=1&per_page={PER_PAGE_MAX}", folder)
            line(f"bare aiohttp, a body as long as {name}", bare)
            for tenth in range(DECILES):
                first, end = 1 + last * tenth // DECILES, last * (tenth + 1) // DECILES
                numbers = [draw.randint(first, max(first, end)) for _ in range(REQUESTS)]
                before = await server_time(port), cpu_s(process)
                found = await timed(port, path, numbers)
                own, cpu = await server_time(port) - before[0], cpu_s(process) - before[1]
                line(f"  pages {first} to {end}", found, bare, own / REQUESTS, cpu / REQUESTS)
        paged = peak_mb(process)
        length = await streamed(port, f"/api/stores/{store}/inventory")
        print(f"peak memory (RSS): {paged:.0f} MB, {peak_mb(process):.0f} MB after {length >> 20} MB streamed")


async def timed(port: int, path: str, numbers: Sequence[int]) -> Measured:
    """Each request is one not made before: `min_confidence` hides nothing, but makes another answer."""
    asked = [f"{path}?page={number}&per_page={PER_PAGE_MAX}&min_confidence=0.{next(_numbers):09}" for number in numbers]
    return await measure_each(HOST, port, asked, GZIP)


async def bare_of(port: int, path: str, folder: Path) -> Measured:
    """What bare aiohttp takes for as many bytes as the proxy writes."""
    packed = aiohttp.ClientSession(headers={"Accept-Encoding": "gzip"}, auto_decompress=False)
    async with packed as session, session.get(f"http://{HOST}:{port}{path}") as response:
        body = await response.read()
    file, bare = folder / "body", free_port()
    await asyncio.to_thread(file.write_bytes, body)
    with server("-m", "proxy.commands.bare_server", str(file), str(bare)) as process:
        await until_up(process, f"http://{HOST}:{bare}/", START_TIMEOUT_S)
        await measure_each(HOST, bare, ["/"] * WARM_PAGES)
        return await measure_each(HOST, bare, ["/"] * 10 * REQUESTS)


def line(name: str, found: Measured, reference: Measured | None = None, *own_s: float) -> None:
    times = "".join(f"{found.quantile_ms(share):>9.2f}" for share in (0.5, 0.95, 0.99))
    own = "".join(f"{each * 1000:>9.2f}" for each in own_s)
    ratio = f"{found.quantile_ms(0.5) / reference.quantile_ms(0.5):.1f}" if reference else ""
    print(f"{name:<46}{times}{own:>18}{ratio:>9}", flush=True)


async def server_time(port: int) -> float:
    """Seconds that the proxy took for inventories by its own clock."""
    async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session, session.get("/metrics") as response:
        return sum(map(float, SERVER_TIME.findall(await response.text())))


def cpu_s(process: Process) -> float:
    """Seconds on a processor: on a machine with other work to do, what a clock cannot tell. Told in hundredths.

    Not a number where the system does not tell.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def streamed(port: int, path: str) -> int:
    """Bytes of the whole store, read piece by piece."""
    length = 0
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}{path}") as response:
        async for piece in response.content.iter_any():
            length += len(piece)
    return length


async def sweep(database: Database, discogs: int, dsn: str, folder: Path) -> None:
    async with proxy(discogs, dsn, folder, SWEPT) as (process, port), aiohttp.ClientSession() as session:
        begun = datetime.now(UTC)
        async with session.get(f"http://{HOST}:{port}/users/{SWEPT}/inventory") as response:
            await response.read()
        longest, known = 0.0, 0
        async with asyncio.timeout(SWEEP_TIMEOUT_S), database.connection() as connection:
            while not known:
                longest = max(longest, await longest_transaction_s(connection))
                state = await mirror.state(connection, SWEPT)
                known = (
                    await connection.fetchval("SELECT count(*) FROM mirror_listings WHERE store_username = $1", SWEPT)
                    if state and state.is_mirrored and state.checked_at
                    else 0
                )
                await asyncio.sleep(LOOK_S)
        seconds = (datetime.now(UTC) - begun).total_seconds()
        print(f"\nsweep of a store of {MANY:,}: {known:,} listings in {seconds:.0f} s, peak {peak_mb(process):.0f} MB")
        print(f"the longest transaction seen meanwhile was {longest * 1000:.0f} ms old")


async def longest_transaction_s(connection: Connection) -> float:
    found = await connection.fetchval(
        """
        SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
        WHERE application_name = 'discogs-proxy' AND pid <> pg_backend_pid()
        """
    )
    return float(found or 0)
