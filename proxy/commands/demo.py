"""`./run demo`: the proxy against a simulated Discogs with two shops and their shoppers, offline, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from proxy.commands.processes import HOST, Process, ServerEnded, check_running, free_port, is_free, server, until_up
from proxy.settings import Settings

STORES = {"vinyl_den": 600, "small_shop": 60}
LATENCY_MS = 150
CHURN_PER_HOUR = 0.2
"""The share of all listings that is sold, added or edited within an hour: far more than in a real shop."""
SYNC_INTERVAL_MS = 60_000
START_TIMEOUT_S = 120.0
PAGE_SIZE = 50
BETWEEN_VIEWS_S = 6.0
"""Mean pause between two shoppers: a page and a record each, so the 20 calls a minute kept for shoppers at worst."""
REPORT_S = 15.0
KEPT_FROM_THE_SHELL = ("LOG_LEVEL", "LOG_FORMAT", "AUDIO_MATCHING_BATCH_SIZE")


async def demo(settings: Settings) -> int:
    """The exit code: 1 when one of the two servers cannot start; it says why on standard error."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    data_dir = settings.data_dir / "demo"
    shown_host = HOST if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104 - compared only
    port = settings.port or free_port()
    if not is_free(shown_host, port):
        print(f"demo: PORT={port} is in use: stop what uses it, or set another PORT.", file=sys.stderr)
        return 1
    url = f"http://{f'[{shown_host}]' if ':' in shown_host else shown_host}:{port}"
    ports = Ports(free_port(), free_port(), free_port())
    print("demo: starting a simulated Discogs, a PostgreSQL and the proxy...", file=sys.stderr)
    try:
        with (
            server(*simulator(ports)) as discogs,
            server("-m", "proxy", environment=proxy_environment(settings, port, ports, data_dir)) as proxy,
        ):
            await until_up(discogs, f"http://{HOST}:{ports.discogs}/", START_TIMEOUT_S)
            await until_up(proxy, f"{url}/healthz", START_TIMEOUT_S)
            await introduce(url, f"http://{HOST}:{ports.discogs}", data_dir)
            return await shop_until(stop, url, discogs, proxy)
    except (ServerEnded, TimeoutError) as error:
        print(f"demo: {error or 'the servers did not come up in time'}; its lines above say why.", file=sys.stderr)
        return 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Of what is simulated."""

    discogs: int
    musicbrainz: int
    deezer: int


def simulator(ports: Ports) -> tuple[str, ...]:
    stores = ",".join(f"{name}={size}" for name, size in STORES.items())
    options: dict[str, object] = {
        "port": ports.discogs,
        "musicbrainz-port": ports.musicbrainz,
        "deezer-port": ports.deezer,
    }
    options |= {"stores": stores, "latency-ms": LATENCY_MS, "churn-per-hour": CHURN_PER_HOUR}
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
            "STORES": ",".join(STORES),
            "INVENTORY_SYNC_INTERVAL": str(SYNC_INTERVAL_MS),
        }
    )


async def introduce(url: str, upstream_url: str, data_dir: Path) -> None:
    """What there is to look at."""
    newest = f"{upstream_url}/users/small_shop/inventory?per_page=1"
    async with aiohttp.ClientSession() as session, session.get(newest) as response:
        release_id = orjson.loads(await response.read())["listings"][0]["release"]["id"]
    token = f"$(cat {data_dir / 'admin-token'})"
    print(
        f"""
discogs-proxy, in front of a simulated Discogs ({upstream_url})

  an inventory page     {url}/users/vinyl_den/inventory?per_page=10
  a release             {url}/releases/{release_id}
  a whole store         {url}/api/stores/small_shop/inventory
  the newest of two     {url}/api/feed?stores=small_shop,vinyl_den
  metrics               {url}/metrics
  what is degraded      {url}/readyz

  match the queue now   curl -X POST -H "Authorization: Bearer {token}" {url}/api/admin/process-queue

Shoppers are looking around; listings are sold and added. Ctrl-C ends it; {data_dir} keeps what was learned.
""",
        flush=True,
    )


@dataclass(slots=True)
class Tally:
    """What the simulated shoppers have seen since the last report."""

    answers: int = 0
    failures: int = 0
    hits: int = 0
    seconds: float = 0.0
    listings: int = 0
    with_audio: int = 0

    def __str__(self) -> str:
        if not self.answers:
            return f"no answers, {self.failures} failures"
        return (
            f"{self.answers} answers, {self.failures} failures, {self.hits} hits, "
            f"{self.seconds / self.answers * 1000:.0f} ms on average; "
            f"{self.with_audio} of {self.listings} listings seen had audio"
        )


async def shop_until(stop: asyncio.Event, url: str, *servers: Process) -> int:
    """Views pages and releases, and reports, until told to stop (0) or a server has ended (ServerEnded)."""
    draw, tally = random.Random(), Tally()  # noqa: S311 - not for secrets
    loop = asyncio.get_running_loop()
    next_report = loop.time() + REPORT_S
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while not stop.is_set():
            for each in servers:
                check_running(each)
            await view(session, url, draw, tally)
            if loop.time() >= next_report:
                print(f"demo: {tally}", flush=True)
                tally, next_report = Tally(), loop.time() + REPORT_S
            await pause(stop, draw.expovariate(1 / BETWEEN_VIEWS_S))
    return 0


async def view(session: aiohttp.ClientSession, url: str, draw: random.Random, tally: Tally) -> None:
    """One shopper: a page, mostly one of the first, and a record on it."""
    store = draw.choices(list(STORES), [4, 1])[0]
    pages = -(-STORES[store] // PAGE_SIZE)
    page = min(pages, int(draw.expovariate(1.0)) + 1)
    found = await ask(session, f"{url}/users/{store}/inventory?per_page={PAGE_SIZE}&page={page}", tally)
    rows = found.get("listings", [])
    tally.listings += len(rows)
    tally.with_audio += sum(1 for row in rows if row["audio_matches"])
    if rows:
        await ask(session, f"{url}/releases/{draw.choice(rows)['release']['id']}", tally)


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
