"""`./run bench --budget`: far more shoppers than a minute allows, without and with background work beside them.

Discogs is simulated: 60 calls in any 60 seconds, 300 ms each. Who is refused comes again when he was told to.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson

from proxy.commands.processes import HOST, free_port, server, until_listening, until_up

STORE = "vinyl_den"
LISTINGS = 1200
SHOPPERS = 200
LIMIT = 60
LATENCY_MS = 300
WINDOW_S = 60.0
TRIES = 5
APART_S = 15.0
"""Both runs go side by side; the crowd of one has been answered or refused before that of the other comes."""

START_TIMEOUT_S = 60.0
CALLS = re.compile(r'^discogs_proxy_upstream_calls_total\{lane="\w+",outcome="(\w+)"\} ([0-9.]+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was answered, in seconds from the first, how long that took, and what came."""

    at_s: float
    took_s: float
    status: int
    retry_after_s: int | None


@dataclass(slots=True)
class Story:
    """What one crowd saw; each shopper's requests in their order."""

    shoppers: list[list[Asked]] = field(default_factory=list)
    calls_in_first_window: int = 0
    refused_by_discogs: int = 0

    def first(self, status: int) -> list[Asked]:
        return [tries[0] for tries in self.shoppers if tries[0].status == status]

    def answered_within(self, tries: int) -> int:
        return sum(any(each.status == 200 for each in asked[:tries]) for asked in self.shoppers)

    def quantile_s(self, share: float) -> float:
        """Of the time that those answered at once waited."""
        cuts = statistics.quantiles([each.took_s for each in self.first(200)], n=100, method="inclusive")
        return cuts[round(share * 100) - 1]


async def budget_story() -> None:
    """Prints how both runs went. Raises ServerEnded, TimeoutError."""
    alone, beside = await asyncio.gather(run(0.0, background=False), run(APART_S, background=True))
    print(f"\n{SHOPPERS} shoppers at once, {LIMIT} calls a minute{'':<13}{'alone':>12}{'with queue':>12}")
    for name, left, right in zip(NAMES, figures(alone), figures(beside), strict=True):
        print(f"{name:<46}{left:>12}{right:>12}")
    print(f"p95 with a full queue against alone: {beside.quantile_s(0.95) / alone.quantile_s(0.95):.2f}")


NAMES = (
    "calls to Discogs in the first 60 s",
    "calls that Discogs refused, in all",
    "answered at the first try",
    "  p50 s",
    "  p95 s",
    "refused at the first try",
    "  after s, soonest",
    "  after s, latest",
    "  Retry-After s, longest",
    "answered at the second try, when told to come",
    "never answered",
    "the last answer after s",
)


def figures(story: Story) -> Sequence[str]:
    """One for each of NAMES."""
    refused, answered = story.first(429), story.answered_within(TRIES)
    return (
        str(story.calls_in_first_window),
        str(story.refused_by_discogs),
        str(story.answered_within(1)),
        f"{story.quantile_s(0.5):.2f}",
        f"{story.quantile_s(0.95):.2f}",
        str(len(refused)),
        f"{min((each.took_s for each in refused), default=0):.2f}",
        f"{max((each.took_s for each in refused), default=0):.2f}",
        str(max((each.retry_after_s or 0 for each in refused), default=0)),
        str(story.answered_within(2) - story.answered_within(1)),
        str(SHOPPERS - answered),
        f"{max(tries[-1].at_s for tries in story.shoppers):.0f}",
    )


async def run(wait_s: float, *, background: bool) -> Story:
    await asyncio.sleep(wait_s)
    name = "with queue" if background else "alone"
    with tempfile.TemporaryDirectory(prefix="discogs-proxy-bench-") as folder:
        settings = {"DATA_DIR": folder, "LOG_LEVEL": "error"}
        async with simulator(limit=0, latency_ms=0) as url:
            releases = await queued_releases(settings | {"DISCOGS_API_URL": url})
        async with simulator(limit=LIMIT, latency_ms=LATENCY_MS) as url:
            print(f"{name}: {SHOPPERS} shoppers ask", flush=True)
            return await crowd(settings | {"DISCOGS_API_URL": url}, releases, name, background=background)


@asynccontextmanager
async def simulator(limit: int, latency_ms: int) -> AsyncIterator[str]:
    """Its URL. The data is the same each time."""
    port = free_port()
    arguments = ("--stores", f"{STORE}={LISTINGS}", "--rate-limit", str(limit), "--latency-ms", str(latency_ms))
    with server("-m", "tests.simulated_discogs", "--port", str(port), *arguments) as process:
        await until_listening(process, port, START_TIMEOUT_S)  # a request would count
        yield f"http://{HOST}:{port}"


async def queued_releases(settings: dict[str, str]) -> list[int]:
    """What the shoppers will ask for; all that the store sells waits to be matched afterwards."""
    port, found = free_port(), dict[int, None]()
    environment = settings | {"PORT": str(port), "DISCOGS_RATE_LIMIT": "0", "BACKGROUND_PROCESSING_ENABLED": "false"}
    with server("-m", "proxy", environment=environment) as process:
        await until_up(process, f"http://{HOST}:{port}/healthz", START_TIMEOUT_S)
        async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
            for page in range(1, LISTINGS // 100 + 1):
                async with session.get(f"/users/{STORE}/inventory?per_page=100&page={page}") as response:
                    listings = orjson.loads(await response.read())["listings"]
                found |= dict.fromkeys(row["release"]["id"] for row in listings)
    return list(found)[:SHOPPERS]


async def crowd(settings: dict[str, str], releases: Sequence[int], name: str, *, background: bool) -> Story:
    port, story = free_port(), Story()
    environment = settings | {
        "PORT": str(port),
        "DISCOGS_CONSUMER_KEY": "demo-key",
        "DISCOGS_CONSUMER_SECRET": "demo-secret",
        "MATCH_PROVIDERS": "discogs_videos",
        "BACKGROUND_PROCESSING_ENABLED": str(background).lower(),
    }
    with server("-m", "proxy", environment=environment) as process:
        await until_up(process, f"http://{HOST}:{port}/healthz", START_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(f"http://{HOST}:{port}", connector=connector) as session:
            began = time.perf_counter()
            window = asyncio.create_task(count_first_window(session, story))
            story.shoppers = await asyncio.gather(
                *(shopper(session, f"/releases/{each}", began, name) for each in releases)
            )
            await window
            story.refused_by_discogs = (await calls(session)).get("4xx", 0)
    return story


async def shopper(session: aiohttp.ClientSession, path: str, began: float, name: str) -> list[Asked]:
    asked: list[Asked] = []
    while len(asked) < TRIES:
        at = time.perf_counter()
        async with session.get(path) as response:
            await response.read()
            now, told = time.perf_counter(), response.headers.get("Retry-After")
        asked.append(Asked(now - began, now - at, response.status, int(told) if told else None))
        if told is None:
            break
        if len(asked) > 1:
            print(f"{name}: refused again after {now - began:.0f} s", flush=True)
        await asyncio.sleep(int(told))
    return asked


async def count_first_window(session: aiohttp.ClientSession, story: Story) -> None:
    await asyncio.sleep(WINDOW_S - 1)
    story.calls_in_first_window = sum((await calls(session)).values())


async def calls(session: aiohttp.ClientSession) -> dict[str, int]:
    """By the class of the answer's status."""
    found: dict[str, int] = {}
    async with session.get("/metrics") as response:
        for outcome, count in CALLS.findall(await response.text()):
            found[outcome] = found.get(outcome, 0) + int(float(count))
    return found
