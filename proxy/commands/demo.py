"""`./run demo`: the proxy against a simulated Discogs with two shops and their shoppers, offline, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from proxy.commands.processes import (
    HOST,
    Process,
    ServerEnded,
    check_running,
    free_port,
    is_free,
    server,
    until_listening,
    until_up,
)
from proxy.commands.prometheus import prometheus
from proxy.settings import Settings

STORES = {"vinyl_den": 600, "small_shop": 60}
LATENCY_MS = 150
CHURN_PER_HOUR = 0.2
"""The share of all listings that is sold, added or edited within an hour: far more than in a real shop."""
FAILURES = 0.02
"""The share of answers in place of which Discogs fails, and providers are throttled."""
CHECK_INTERVAL_MS = 15_000
SYNC_INTERVAL_MS = 60_000
RELEASE_MAX_AGE_MS = 20_000
"""What takes hours in a shop is to be seen within a minute."""
START_TIMEOUT_S = 120.0
PAGE_SIZE = 50
SHOPPERS = 3
BETWEEN_VIEWS_S = 3.0
"""Mean pause of each shopper between two views."""
POPULAR = 12.0
"""So many records of a page, from its top, are looked at most."""
WHOLE_STORE = 0.1
"""The share of views that are of a whole store."""
REPORT_S = 15.0
BETWEEN_REVIEWS_S = 4.0
REVIEWS = ("reject", "approve", "approve")
"""What the simulated reviewer decides, once; the other pending matches are left for who tries the demo."""
KEPT_FROM_THE_SHELL = ("LOG_LEVEL", "LOG_FORMAT", "AUDIO_MATCHING_BATCH_SIZE")


async def demo(settings: Settings) -> int:
    """The exit code: 1 when one of the servers cannot start; it says why on standard error."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    data_dir = settings.data_dir / "demo"
    shown_host = HOST if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104 - compared only
    port = settings.port or free_port()
    if not is_free(shown_host, port):
        print(f"demo: PORT={port} is in use: stop what uses it, or set another PORT.", file=sys.stderr)
        return 1
    address = f"{f'[{shown_host}]' if ':' in shown_host else shown_host}:{port}"
    url = f"http://{address}"
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    print("demo: starting a simulated Discogs, a PostgreSQL and the proxy...", file=sys.stderr)
    try:
        with (
            server(*simulator(ports)) as discogs,
            server("-m", "proxy", environment=proxy_environment(settings, port, ports, data_dir)) as proxy,
            prometheus(prometheus_port := free_port(), address) as watching,
        ):
            await until_listening(discogs, ports.discogs, START_TIMEOUT_S)  # a call of ours would be one of its sixty
            await until_up(proxy, f"{url}/healthz", START_TIMEOUT_S)
            watched = f"http://{HOST}:{prometheus_port}" if watching else None
            await introduce(url, f"http://{HOST}:{ports.discogs}", data_dir, watched)
            return await shop_until(stop, url, data_dir, *filter(None, (discogs, proxy, watching)))
    except (ServerEnded, TimeoutError) as error:
        print(f"demo: {error or 'the servers did not come up in time'}; its lines above say why.", file=sys.stderr)
        return 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Of what is simulated."""

    discogs: int
    musicbrainz: int
    deezer: int
    youtube: int


def simulator(ports: Ports) -> tuple[str, ...]:
    stores = ",".join(f"{name}={size}" for name, size in STORES.items())
    options: dict[str, object] = {
        "port": ports.discogs,
        "musicbrainz-port": ports.musicbrainz,
        "deezer-port": ports.deezer,
        "youtube-port": ports.youtube,
    }
    options |= {"stores": stores, "latency-ms": LATENCY_MS, "churn-per-hour": CHURN_PER_HOUR}
    options |= {"failures": FAILURES}
    return (
        "-m",
        "tests.simulated_providers",
        *(word for name, value in options.items() for word in (f"--{name}", f"{value}")),
    )


def proxy_environment(settings: Settings, port: int, ports: Ports, data_dir: Path) -> dict[str, str]:
    """The demo's own settings; of the user's, where to listen and how to log."""
    kept = {name: os.environ[name] for name in KEPT_FROM_THE_SHELL if name in os.environ}
    return (
        {"LOG_LEVEL": "warning"}
        | kept
        | {
            "HOST": settings.host,
            "PORT": str(port),
            "DATA_DIR": str(data_dir),
            "DISCOGS_API_URL": f"http://{HOST}:{ports.discogs}",
            "DISCOGS_CONSUMER_KEY": "demo-key",
            "DISCOGS_CONSUMER_SECRET": "demo-secret",
            "MUSICBRAINZ_API_URL": f"http://{HOST}:{ports.musicbrainz}/ws/2",
            "DEEZER_API_URL": f"http://{HOST}:{ports.deezer}",
            "YOUTUBE_API_URL": f"http://{HOST}:{ports.youtube}/youtube/v3",
            "YOUTUBE_API_KEY": "demo-key",
            "STORES": ",".join(STORES),
            "NEW_LISTING_CHECK_INTERVAL": str(CHECK_INTERVAL_MS),
            "INVENTORY_SYNC_INTERVAL": str(SYNC_INTERVAL_MS),
            "RELEASE_MAX_AGE": str(RELEASE_MAX_AGE_MS),
        }
    )


async def introduce(url: str, upstream_url: str, data_dir: Path, prometheus_url: str | None) -> None:
    """What there is to look at."""
    release_id = await some_release(url)
    token = f"$(cat {data_dir / 'admin-token'})"
    watched = prometheus_url or "not installed (apt install prometheus)"
    print(
        f"""
discogs-proxy, in front of a simulated Discogs ({upstream_url})

  an inventory page     {url}/users/vinyl_den/inventory?per_page=10
  a release             {url}/releases/{release_id}
  a whole store         {url}/api/stores/small_shop/inventory
  the newest of two     {url}/api/feed?stores=small_shop,vinyl_den
  the review page       {url}/admin (the token: cat {data_dir / "admin-token"})
  metrics               {url}/metrics
  Prometheus            {watched}
  what is degraded      {url}/readyz

  match the queue now   curl -X POST -H "Authorization: Bearer {token}" {url}/api/admin/process-queue

Shoppers are looking around; listings are sold and added. Ctrl-C ends it; {data_dir} keeps what was learned.
""",
        flush=True,
    )


async def some_release(url: str) -> int:
    """For sale in the small shop; Discogs may fail at first, as it does now and then."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/users/small_shop/inventory?per_page=1") as response:
                found = orjson.loads(await response.read())
            if response.status == 200:
                release_id: int = found["listings"][0]["release"]["id"]
                return release_id
            await asyncio.sleep(1)


@dataclass(slots=True)
class Tally:
    """What the simulated shoppers have seen since the last report."""

    answers: int = 0
    failures: int = 0
    hits: int = 0
    seconds: float = 0.0
    listings: int = 0
    with_audio: int = 0

    def begin_again(self) -> None:
        self.answers = self.failures = self.hits = self.listings = self.with_audio = 0
        self.seconds = 0.0

    def __str__(self) -> str:
        if not self.answers:
            return f"no answers, {self.failures} failures"
        return (
            f"{self.answers} answers, {self.failures} failures, {self.hits} hits, "
            f"{self.seconds / self.answers * 1000:.0f} ms on average; "
            f"{self.with_audio} of {self.listings} listings seen had audio"
        )


async def shop_until(stop: asyncio.Event, url: str, data_dir: Path, *servers: Process) -> int:
    """Views, reviews and reports until told to stop (0) or a server has ended (ServerEnded)."""
    tally = Tally()
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        ended_with(*(shop(session, url, tally) for _ in range(SHOPPERS)), review(session, url, data_dir)),
    ):
        loop = asyncio.get_running_loop()
        next_report = loop.time() + REPORT_S
        while not stop.is_set():
            for each in servers:
                check_running(each)
            if loop.time() >= next_report:
                print(f"demo: {tally}", flush=True)
                tally.begin_again()
                next_report = loop.time() + REPORT_S
            await pause(stop, 1.0)
    return 0


@asynccontextmanager
async def ended_with(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """They run beside what is done here, and no longer."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def shop(session: aiohttp.ClientSession, url: str, tally: Tally) -> None:
    draw = random.Random()  # noqa: S311 - not for secrets
    while True:
        await view(session, url, draw, tally)
        await asyncio.sleep(draw.expovariate(1 / BETWEEN_VIEWS_S))


async def view(session: aiohttp.ClientSession, url: str, draw: random.Random, tally: Tally) -> None:
    """A page, mostly one of the first, and a record on it; or a whole store."""
    store = draw.choices(list(STORES), [4, 1])[0]
    if draw.random() < WHOLE_STORE:
        await ask(session, f"{url}/api/stores/{store}/inventory?fields=id,audioMatches", tally)
        return
    pages = -(-STORES[store] // PAGE_SIZE)
    page = min(pages, int(draw.expovariate(1.0)) + 1)
    path = f"/users/{store}/inventory?sort=listed&sort_order=desc&per_page={PAGE_SIZE}&page={page}"
    found = await ask(session, url + path, tally)
    rows = found.get("listings", [])
    tally.listings += len(rows)
    tally.with_audio += sum(1 for row in rows if row["audio_matches"])
    if rows:
        row = rows[int(draw.expovariate(1 / POPULAR)) % len(rows)]
        await ask(session, f"{url}/releases/{row['release']['id']}", tally)


async def review(session: aiohttp.ClientSession, url: str, data_dir: Path) -> None:
    """Decides a few pending matches, as soon as there are some."""
    bearer = {"Authorization": f"Bearer {(data_dir / 'admin-token').read_text(encoding='utf-8').strip()}"}
    left = list(REVIEWS)
    while left:
        await asyncio.sleep(BETWEEN_REVIEWS_S)
        if pending := await pending_matches(session, url, bearer):
            decided = f"{url}/api/admin/matches/{pending[0]}/{left.pop(0)}"
            async with session.post(decided, headers=bearer, json={"by": "demo"}) as response:
                await response.read()


async def pending_matches(session: aiohttp.ClientSession, url: str, bearer: Mapping[str, str]) -> list[int]:
    async with session.get(f"{url}/api/admin/matches?status=pending", headers=bearer) as response:
        found = orjson.loads(await response.read())
    return [each["id"] for each in found.get("matches", [])]


async def ask(session: aiohttp.ClientSession, url: str, tally: Tally) -> dict[str, list[dict[str, dict[str, int]]]]:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with session.get(url) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError):
        tally.failures += 1
        return {}
    if response.status != 200:
        tally.failures += 1
        return {}
    tally.answers += 1
    tally.hits += "; hit" in response.headers.get("Cache-Status", "")
    tally.seconds += loop.time() - begun
    answer: dict[str, list[dict[str, dict[str, int]]]] = orjson.loads(body)
    return answer


async def pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
