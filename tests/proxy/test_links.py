"""Links that die, as shops and operators see it: real proxies, a simulated oEmbed, a clock that is told to go on."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from matcher.database import Database
from matcher.providers.youtube_links import YouTubeOembed, video_id
from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.matcher.test_decisions import A, live_urls
from tests.matcher.test_link_checks import AT_ONCE, CONFIRMED, Clock
from tests.matcher.test_store import execute, judged, persist, row
from tests.process import proxy_process
from tests.proxy.handlers.test_admin_matches import all_shown, listed, matched, shown, within_a_second
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs
from tests.simulated_providers import SimulatedOembed


@pytest.fixture
async def oembed(catalogue: Catalogue) -> AsyncIterator[SimulatedOembed]:
    async with SimulatedOembed(catalogue) as running:
        yield running


async def looked(proxy: Proxy, clock: Clock) -> None:
    """At everything that is due by this clock."""
    links = proxy.app[keys.LINKS]
    links.now = clock
    for checker in links.checkers:
        if isinstance(checker, YouTubeOembed):
            checker.pace = AT_ONCE
        while checked := await links.check(checker):
            links.on_checked(checked)
            assert checked.error is None


async def test_a_dead_link_is_gone_from_every_answer_of_every_process_within_a_second(
    start_proxy: StartProxy, oembed: SimulatedOembed, logs: list[structlog.types.EventDict]
) -> None:
    environment = {"STORES": STORE, "YOUTUBE_API_URL": f"{oembed.url}/youtube/v3"}
    proxy, other = await start_proxy(**environment), await start_proxy(**environment)
    await matched(proxy)
    clock = Clock()
    await looked(proxy, clock)
    sold = {each["release"]["id"] for each in next(iter((await all_shown(proxy)).values()))["listings"]}
    match = next(each for each in await listed(proxy, "&status=approved") if each["release_id"] in sold)
    url, release_id = match["match_url"], match["release_id"]
    assert match["link_state"] == "alive"
    for each in (proxy, other):
        for _ in range(2):  # the second answer is from memory
            assert url in json.dumps(await all_shown(each))
            assert url in [told["match_url"] for told in await shown(each, release_id)]

    oembed.gone.add(video_id(url) or "")
    clock.wait(CONFIRMED * 100)
    await looked(proxy, clock)
    assert url in [told["match_url"] for told in await shown(other, release_id)]  # once is not enough
    clock.wait(CONFIRMED)
    await looked(proxy, clock)

    async def is_gone() -> bool:
        found = [json.dumps([await all_shown(each), await shown(each, release_id)]) for each in (proxy, other)]
        return not any(url in answer for answer in found)

    await within_a_second(is_gone)
    (dead,) = [each for each in await listed(other, "&status=approved") if each["id"] == match["id"]]
    assert (dead["link_state"], dead["dead_since"] is not None) == ("dead", True)
    async with proxy.app[keys.DATABASE].connection() as connection:
        assert await connection.fetchval("SELECT status FROM match_queue WHERE release_id = $1", release_id) == "queued"
    _, told = await proxy.get("/metrics")
    assert b'discogs_proxy_links_hidden{platform="youtube"} 1.0' in told
    assert b'discogs_proxy_link_checks_total{outcome="dead",platform="youtube"} 2.0' in told
    assert any(event["event"] == "links checked" and event["hidden"] == 1 for event in logs)

    await proxy.admin("POST", "/api/admin/process-queue?limit=1000")  # it is matched again
    assert await is_gone()


@pytest.mark.slow
async def test_a_process_killed_in_the_middle_of_a_look_loses_nothing(
    tmp_path: Path, database_dsn: str, database: Database, discogs: SimulatedDiscogs, oembed: SimulatedOembed
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await execute(database, "UPDATE match_queue SET status = 'matched', decided_at = now()")
    oembed.gone.add("a" * 11)
    environment = {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_dsn,
        "DISCOGS_API_URL": discogs.url,
        "DISCOGS_RATE_LIMIT": "0",
        "YOUTUBE_API_URL": f"{oembed.url}/youtube/v3",
    }
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        await until(lambda: doubts(database, 1))
        await proxy.stop(signal.SIGKILL)
    oembed.add_fault(Fault("silent", times=1))
    await some_hours_later(database)
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        await until(lambda: asked(oembed, 2))
        await proxy.stop(signal.SIGKILL)
    assert await live_urls(database) == [A]
    await some_hours_later(database)
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        await until(lambda: is_hidden(database))
        assert await proxy.stop() == 0
    assert (await row(database, 1))["priority"] == 20


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.05)


async def doubts(database: Database, count: int) -> bool:
    async with database.connection() as connection:
        found = await connection.fetchval("SELECT doubts FROM match_links WHERE lease_token IS NULL")
    return bool(found == count)


async def asked(oembed: SimulatedOembed, count: int) -> bool:
    """Of the video of A."""
    return sum(call.value("url").endswith("a" * 11) for call in oembed.calls) == count


async def is_hidden(database: Database) -> bool:
    return await live_urls(database) == [] and await doubts(database, 2)


async def some_hours_later(database: Database) -> None:
    await execute(
        database,
        """
        UPDATE match_links SET doubted_since = doubted_since - interval '5 hours', next_at = now(),
                               lease_until = lease_until - interval '5 hours'
        """,
    )


async def test_nobody_looks_while_background_work_is_off(
    start_proxy: StartProxy, oembed: SimulatedOembed, database: Database
) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    environment = {"YOUTUBE_API_URL": f"{oembed.url}/youtube/v3"}
    await start_proxy(**environment)
    assert oembed.calls == []
    await start_proxy(**environment, BACKGROUND_PROCESSING_ENABLED="true")
    await until(lambda: asked(oembed, 1))
