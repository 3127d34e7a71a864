"""Stories over the whole system: real processes, killed for real; real clients."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import discogs_client
import pytest

from tests.conftest import STORE, Proxy, StartProxy
from tests.process import proxy_process
from tests.simulated_discogs import SimulatedDiscogs


async def test_a_release_comes_back_with_audio(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    """The whole way, once: an inventory page, the queue, the match, the release with its audio."""
    proxy = await start_proxy(BACKGROUND_PROCESSING_ENABLED="true")
    _, body = await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    listings = json.loads(body)["listings"]
    assert {row["processing_status"] for row in listings} == {"queued"}
    matched = await matched_listing(proxy)
    response, body = await proxy.get(f"/releases/{matched['release']['id']}")
    assert "hit" in response.headers["Cache-Status"]
    release = json.loads(body)
    assert release["processing_status"] == "matched"
    assert release["audio_matches"] == matched["audio_matches"]
    assert release["audio_matches"][0]["match_url"].startswith("https://www.youtube.com/watch?v=")


async def matched_listing(proxy: Proxy) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            _, body = await proxy.get(f"/users/{STORE}/inventory?per_page=100")
            for listing in json.loads(body)["listings"]:
                if listing["audio_matches"]:
                    assert isinstance(listing, dict)
                    return listing
            await asyncio.sleep(0.1)


async def test_the_python_discogs_client_walks_a_store_and_never_leaves_the_proxy(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    def walk() -> list[int]:
        client = discogs_client.Client("shop/1.0", user_token=None)
        client._base_url = proxy.url
        seen = []
        inventory = client.user(STORE).inventory
        inventory.per_page = 40
        for listing in inventory:
            assert listing.data["resource_url"].startswith(proxy.url)
            seen.append(listing.id)
            if len(seen) % 25 == 0:
                release = client.release(listing.release.id)
                assert release.title
                assert [artist.name for artist in release.artists]
        return seen

    seen = await asyncio.to_thread(walk)
    assert sorted(seen) == sorted(listing.id for listing in discogs.catalogue.for_sale(STORE))


@pytest.mark.slow
async def test_a_killed_proxy_loses_no_job_and_decides_none_twice(
    tmp_path: Path, database_dsn: str, discogs: SimulatedDiscogs
) -> None:
    release_ids = [heading.id for heading in discogs.catalogue.headings()][:200]
    environment = {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_dsn,
        "DISCOGS_API_URL": discogs.url,
        "DISCOGS_RATE_LIMIT": "0",
    }
    async with proxy_process(tmp_path / "log", **environment | {"BACKGROUND_PROCESSING_ENABLED": "false"}) as proxy:
        await ask_for_all(proxy.url, release_ids)
        assert await proxy.stop() == 0

    for lived_until in (20, 90):
        async with proxy_process(tmp_path / "log", **environment) as proxy:
            await until_decided(database_dsn, lived_until)
            await proxy.stop(signal.SIGKILL)
    await expire_leases(database_dsn)
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        await until_decided(database_dsn, len(release_ids))
        assert await proxy.stop() == 0

    connection = await asyncpg.connect(database_dsn)
    rows = await connection.fetch("SELECT status, count(*) AS n FROM match_queue GROUP BY status")
    by_status = {row["status"]: row["n"] for row in rows}
    matched = await connection.fetchval("SELECT count(*) FROM releases WHERE has_audio_matches")
    doubled = await connection.fetch(
        "SELECT release_id FROM track_matches GROUP BY release_id, track_index, sub_index HAVING count(*) > 1"
    )
    await connection.close()
    assert by_status.keys() <= {"matched", "unmatched"}
    assert sum(by_status.values()) == len(release_ids)
    assert by_status["matched"] == matched
    assert doubled == []
    ended = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if '"match job"' in line]
    decided = [line["release_id"] for line in ended if line["result"] in ("cached", "unmatched")]
    assert len(decided) == len(set(decided))


async def ask_for_all(url: str, release_ids: list[int]) -> None:
    async with aiohttp.ClientSession() as session:
        for release_id in release_ids:
            async with session.get(f"{url}/releases/{release_id}") as response:
                assert response.status == 200


async def until_decided(dsn: str, count: int) -> None:
    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(240):
        while await connection.fetchval("SELECT count(*) FROM match_queue WHERE decided_at IS NOT NULL") < count:
            await asyncio.sleep(0.02)
    await connection.close()


async def expire_leases(dsn: str) -> None:
    """Time passes: the leases of killed workers run out."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE match_queue SET lease_until = now() WHERE status = 'processing'")
    await connection.close()
