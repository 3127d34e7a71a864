"""A database that dies, hangs, is full or takes no writes: shoppers are served, and all is well again by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from proxy.adapters.embedded_postgres import EmbeddedPostgres
from proxy.background import Health, running
from tests.conftest import STORE, Proxy, StartProxy
from tests.proxy.adapters.test_embedded_postgres import server_pids
from tests.simulated_discogs import SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory"
Ail = Callable[[asyncpg.Connection], Awaitable[object]]


async def full(connection: asyncpg.Connection) -> None:
    """As a full disk: nothing more can be written."""
    await connection.execute(
        """
        CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END$$
        """
    )
    for table in ("match_queue", "releases", "track_matches", "stores", "mirror_listings", "budget_calls"):
        await connection.execute(
            f"CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION no_space()"
        )


async def roomy(connection: asyncpg.Connection) -> None:
    await connection.execute("DROP FUNCTION no_space CASCADE")


async def read_only(connection: asyncpg.Connection) -> None:
    await set_read_only(connection, "on")


async def writable(connection: asyncpg.Connection) -> None:
    await connection.execute("SET default_transaction_read_only = off")
    await set_read_only(connection, "off")


async def set_read_only(connection: asyncpg.Connection, value: str) -> None:
    """As after a failover to a standby: who is connected is thrown out, and gone when this returns."""
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
    await connection.execute(
        """
        SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
    )


async def persisted_release(proxy: Proxy) -> str:
    await proxy.get(f"{INVENTORY}?per_page=100")
    await proxy.admin("POST", "/api/admin/process-queue?limit=5")
    _, body = await proxy.get(f"{INVENTORY}?per_page=100")
    return f"/releases/{next(row['release']['id'] for row in json.loads(body)['listings'] if row['audio_matches'])}"


def cold(discogs: SimulatedDiscogs, place: int) -> list[str]:
    return [f"{INVENTORY}?per_page=7&page={place}", f"/releases/{discogs.catalogue.for_sale(STORE)[-place].release_id}"]


async def check_served_without_enrichment(proxy: Proxy, paths: list[str]) -> None:
    for path in paths:
        response, body = await proxy.get(path)
        assert (path, response.status) == (path, 200)
        assert response.headers["Cache-Status"].endswith("; detail=no-database")
        assert b"processing_status" not in body


async def check_enriched(proxy: Proxy, paths: list[str]) -> None:
    for path in paths:
        response, body = await proxy.get(path)
        assert response.status == 200
        assert b'"processing_status"' in body
        assert "no-database" not in response.headers["Cache-Status"]


@pytest.mark.parametrize(("ail", "heal"), [(full, roomy), (read_only, writable)], ids=["full", "read-only"])
async def test_where_nothing_can_be_written_reads_go_on(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database_dsn: str, ail: Ail, heal: Ail
) -> None:
    proxy = await start_proxy(DISCOGS_RATE_LIMIT="600")
    known = await persisted_release(proxy)
    connection = await asyncpg.connect(database_dsn)
    await ail(connection)
    await check_served_without_enrichment(proxy, cold(discogs, 1))
    await check_served_without_enrichment(proxy, cold(discogs, 1)[:1])
    await check_enriched(proxy, [known])
    response, body = await proxy.get(f"/api/stores/{STORE}/inventory")
    assert response.status == 503
    assert list(json.loads(body)) == ["message"]
    response, body = await proxy.get("/readyz")
    assert response.status == 200
    assert "database" in json.loads(body)["degraded"]
    assert b'discogs_proxy_degraded{reason="database"} 1.0' in (await proxy.get("/metrics"))[1]
    await heal(connection)
    await connection.close()
    await check_enriched(proxy, [*cold(discogs, 1), *cold(discogs, 2), known])
    assert (await proxy.get(f"/api/stores/{STORE}/inventory"))[0].status == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's processes in /proc")
async def test_a_server_that_is_killed_or_hangs_holds_up_nobody_for_long(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    server = EmbeddedPostgres(folder)
    dsn = await server.start()
    async with running("postgres", server.supervise, Health()):
        proxy = await start_proxy(DATABASE_URL=dsn, DISCOGS_RATE_LIMIT="600")
        await check_enriched(proxy, cold(discogs, 1))
        to_all(folder, signal.SIGKILL)
        await check_served_without_enrichment(proxy, cold(discogs, 2))
        await until_well(proxy)
        await check_enriched(proxy, cold(discogs, 3))
        to_all(folder, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):  # the first who meets it waits for some seconds, the others do not
                for place in range(4, 10):
                    await check_served_without_enrichment(proxy, cold(discogs, place))
        finally:
            to_all(folder, signal.SIGCONT)
        await until_well(proxy)
        await check_enriched(proxy, cold(discogs, 10))
    await server.stop()


def to_all(folder: Path, number: signal.Signals) -> None:
    for pid in server_pids(folder):
        with suppress(ProcessLookupError):  # it went with its postmaster
            os.kill(pid, number)


async def until_well(proxy: Proxy) -> None:
    async with asyncio.timeout(20):
        while b'"database"' in (await proxy.get("/readyz"))[1]:
            await asyncio.sleep(0.05)
