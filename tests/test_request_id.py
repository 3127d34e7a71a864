"""A request is followed by one id: from the shop's call to the calls of Discogs and the jobs that it caused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from tests.conftest import STORE, StartProxy
from tests.origin import running_origin
from tests.process import ProxyProcess, proxy_process
from tests.simulated_discogs import SimulatedDiscogs

PER_PAGE = 5


def events_of(proxy: ProxyProcess, request_id: str) -> dict[str, list[dict[str, Any]]]:
    """By their name, as `grep` finds them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in proxy.log.splitlines():
        if f'"request_id":"{request_id}"' in line:
            event = json.loads(line)
            found.setdefault(event["event"], []).append(event)
    return found


async def ask(proxy: ProxyProcess, path: str, request_id: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(proxy.url + path, headers={"X-Request-Id": request_id}) as response,
    ):
        assert response.headers["X-Request-Id"] == request_id
        await response.read()
        return response.status


async def test_a_request_leads_to_its_upstream_calls_and_its_jobs(
    tmp_path: Path, database_dsn: str, discogs: SimulatedDiscogs
) -> None:
    environment = {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_dsn,
        "DISCOGS_API_URL": discogs.url,
        "DISCOGS_RATE_LIMIT": "0",
        "TRACKED_STORES_MAX": "0",  # no check of its own queues the releases
    }
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        assert await ask(proxy, f"/users/{STORE}/inventory?per_page={PER_PAGE}", "shop-42") == 200
        assert await ask(proxy, f"/users/{STORE}/inventory?per_page=7&token=hunter2", "shop-43") == 401
        async with asyncio.timeout(30):
            while len(events_of(proxy, "shop-42").get("match job", [])) < PER_PAGE:
                await asyncio.sleep(0.05)
        caused, forwarded = events_of(proxy, "shop-42"), events_of(proxy, "shop-43")
        log = proxy.log
    assert [(each["path"], each["status"]) for each in caused["request"]] == [(f"/users/{STORE}/inventory", 200)]
    calls = [(each["lane"], each["path"]) for each in caused["upstream call"]]
    releases = {each["release_id"] for each in caused["match job"]}
    assert calls[0] == ("shopper", f"/users/{STORE}/inventory")
    assert sorted(calls[1:]) == sorted(("matching", f"/releases/{each}") for each in releases)
    assert [each["ended"] for each in forwarded["upstream call"]] == [401]
    assert "hunter2" not in log


async def test_a_request_that_shares_a_call_names_the_one_that_made_it(
    start_proxy: StartProxy, logs: list[structlog.types.EventDict]
) -> None:
    async with running_origin() as origin:
        origin.body, origin.headers, origin.latency_s = b'{"id": 1}', {"Content-Type": "application/json"}, 0.2
        proxy = await start_proxy(DISCOGS_API_URL=origin.url)
        await asyncio.gather(*(proxy.get("/artists/1", X_Request_Id=f"shop-{number}") for number in (1, 2)))
        (call,) = [event for event in logs if event["event"] == "upstream call"]
        requests = {event["request_id"]: event.get("joined") for event in logs if event["event"] == "request"}
        assert "X-Request-Id" not in origin.requests[0].headers
    made = call["request_id"]
    assert requests == {made: None, ({"shop-1", "shop-2"} - {made}).pop(): made}
