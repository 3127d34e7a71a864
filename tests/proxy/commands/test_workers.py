"""Several processes behind one port: they share the work, replace each other, and end together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy.adapters.siblings import Siblings
from proxy.commands.workers import as_argument, environment_of_workers, seat
from tests.conftest import STORE
from tests.origin import Origin, running_origin
from tests.process import ProxyProcess, proxy_process, run_command
from tests.simulated_discogs import SimulatedDiscogs

WORKERS = {"1", "2", "3"}
TOKEN, NEW_TOKEN = "the-old-admin-token", "the-new-admin-token"


@asynccontextmanager
async def sharing(folder: Path, upstream: str, **environment: str) -> AsyncIterator[ProxyProcess]:
    """Three processes, each of which answers."""
    given = {"WORKERS": "3", "DATA_DIR": str(folder / "data"), "DISCOGS_API_URL": upstream, "DISCOGS_RATE_LIMIT": "0"}
    async with proxy_process(folder / "log", **given, **environment) as proxy:
        await eventually(lambda: all_answer(proxy))
        yield proxy


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():
            await asyncio.sleep(0.05)


async def get(proxy: ProxyProcess, path: str, token: str | None = None) -> tuple[int, str]:
    """By a connection of its own, which any of them may take."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(proxy.url + path, headers=headers) as response:
        return response.status, await response.text()


async def metrics(proxy: ProxyProcess) -> str:
    return (await get(proxy, "/metrics"))[1]


async def all_answer(proxy: ProxyProcess) -> bool:
    return set(re.findall(r'discogs_proxy_build_info{worker="(\d)"', await metrics(proxy))) == WORKERS


async def total(proxy: ProxyProcess, series: str) -> dict[str, float]:
    """By worker."""
    found = re.findall(rf'^{series}{{worker="(\d)"[^\n]*}} (\S+)$', await metrics(proxy), re.MULTILINE)
    return {worker: sum(float(value) for each, value in found if each == worker) for worker, _ in found}


def pids(proxy: ProxyProcess) -> dict[int, int]:
    """The latest of each worker."""
    events = [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]
    return {event["worker"]: event["pid"] for event in events if event["event"] == "worker started"}


def is_alive(pid: int) -> bool:
    """One that has ended, but that nobody has asked how, is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def none_is_alive(numbers: list[int]) -> bool:
    return not any(is_alive(each) for each in numbers)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with running_origin() as running:
        running.body, running.headers = b'{"id": 1}', {"Content-Type": "application/json"}
        yield running


async def test_they_share_the_port_and_one_scrape_tells_of_all(
    tmp_path: Path, database_dsn: str, origin: Origin
) -> None:
    async with sharing(tmp_path, origin.url, DATABASE_URL=database_dsn) as proxy:
        before = sum((await total(proxy, "discogs_proxy_requests_total")).values())
        answers = await asyncio.gather(*(get(proxy, f"/artists/{number}") for number in range(60)))
        assert {status for status, _ in answers} == {200}
        counted = await total(proxy, "discogs_proxy_requests_total")
        assert sum(counted.values()) - before >= 60
        assert all(counted.values())  # by chance none of 60 connections comes to one: 1 in 10^10
        assert set(await total(proxy, "process_start_time_seconds")) == WORKERS | {"0"}
        assert json.loads((await get(proxy, "/readyz"))[1]) == {"status": "ready", "degraded": {}}
        assert await proxy.stop() == 0
        assert await none_is_alive(list(pids(proxy).values()))


async def test_one_of_them_matches_for_all(tmp_path: Path, database_dsn: str, discogs: SimulatedDiscogs) -> None:
    async with sharing(tmp_path, discogs.url, DATABASE_URL=database_dsn) as proxy:
        await get(proxy, f"/users/{STORE}/inventory?per_page=10")

        async def is_matched() -> bool:
            queued = re.findall(
                r'queue_releases{worker="1",status="(?:queued|processing)"} (\S+)', await metrics(proxy)
            )
            return [float(each) for each in queued] == [0, 0]

        await eventually(is_matched)
        jobs = await total(proxy, "discogs_proxy_match_jobs_total")
        assert (jobs["1"] > 0, jobs["2"], jobs["3"]) == (True, 0, 0)


async def test_one_that_dies_is_replaced_while_the_others_answer(
    tmp_path: Path, database_dsn: str, origin: Origin
) -> None:
    async with sharing(tmp_path, origin.url, DATABASE_URL=database_dsn) as proxy:
        killed = pids(proxy)[2]
        os.kill(killed, signal.SIGKILL)

        async def is_gone() -> bool:
            return "worker 2" in (await get(proxy, "/readyz"))[1]

        await eventually(is_gone)
        assert {(await get(proxy, f"/artists/{number}"))[0] for number in range(30)} == {200}
        await eventually(lambda: all_answer(proxy))
        assert pids(proxy)[2] != killed
        assert 'discogs_proxy_background_restarts{worker="0",task="worker 2"} 1.0' in await metrics(proxy)
        assert json.loads((await get(proxy, "/readyz"))[1])["status"] == "ready"


async def test_none_outlives_the_one_that_began_them(tmp_path: Path, database_dsn: str, origin: Origin) -> None:
    async with sharing(tmp_path, origin.url, DATABASE_URL=database_dsn) as proxy:
        begun = list(pids(proxy).values())
        proxy.process.kill()
        await eventually(lambda: none_is_alive(begun))


async def test_they_drain_at_the_end(tmp_path: Path, database_dsn: str, origin: Origin) -> None:
    async with sharing(tmp_path, origin.url, DATABASE_URL=database_dsn) as proxy:
        origin.latency_s = 1.0
        under_way = [asyncio.create_task(get(proxy, f"/artists/{number}")) for number in range(20)]

        async def are_sent() -> bool:
            return len(origin.requests) == len(under_way)

        await eventually(are_sent)
        assert await proxy.stop() == 0
        assert [status for status, _ in await asyncio.gather(*under_way)] == [200] * len(under_way)


async def test_a_hang_up_reaches_all(tmp_path: Path, database_dsn: str, origin: Origin) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    async with sharing(tmp_path, origin.url, DATABASE_URL=database_dsn, ADMIN_TOKEN_FILE=str(token)) as proxy:

        async def statuses(asked: str) -> set[int]:
            return {status for status, _ in [await get(proxy, "/api/admin/stores", asked) for _ in range(20)]}

        assert await statuses(TOKEN) == {200}
        token.write_text(NEW_TOKEN)
        proxy.process.send_signal(signal.SIGHUP)

        async def have_read() -> bool:
            return proxy.log.count('"credentials read again"') == len(WORKERS)

        await eventually(have_read)
        assert (await statuses(NEW_TOKEN), await statuses(TOKEN) <= {401, 429}) == ({200}, True)


@pytest.mark.slow
async def test_they_share_the_embedded_server_of_the_one_that_began_them(tmp_path: Path, origin: Origin) -> None:
    async with sharing(tmp_path, origin.url) as proxy:
        assert {(await get(proxy, f"/artists/{number}"))[0] for number in range(10)} == {200}
        assert "database" not in (await get(proxy, "/readyz"))[1]
        assert await proxy.stop() == 0


@pytest.mark.parametrize("is_shared", [False, True])
async def test_a_port_in_use_is_told_once(tmp_path: Path, database_dsn: str, is_shared: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=is_shared) as used:
        port = str(used.getsockname()[1])
        done = await run_command(WORKERS="2", PORT=port, DATABASE_URL=database_dsn, DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("cannot be listened on") == 1


# --- what each is given -------------------------------------------------------------------------------------------


def test_a_place_is_told_by_an_argument(tmp_path: Path) -> None:
    place = Siblings(tmp_path, 2, 4)
    assert seat(as_argument(place)) == place


def test_settings_are_those_of_the_start_and_credentials_those_of_now() -> None:
    """Else a process that is begun again would be another proxy than the rest."""
    given = environment_of_workers(
        {"PORT": "1", "WEBHOOK_URL_FILE": "/w", "ADMIN_TOKEN": TOKEN}, "postgresql://x", 8081
    )
    assert (given["PORT"], given["WEBHOOK_URL_FILE"], given["STORES"]) == ("8081", "/w", "")
    assert (given["DATABASE_URL"], given["DATABASE_URL_FILE"]) == ("postgresql://x", "")
    assert "ADMIN_TOKEN" not in given or given["ADMIN_TOKEN"] == os.environ.get("ADMIN_TOKEN")
