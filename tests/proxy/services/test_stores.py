"""A store of some thousands of listings: what its answers cost in memory and queries, and what may happen meanwhile."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from matcher.database import Connection, Database
from proxy import keys
from proxy.adapters import mirror
from proxy.adapters.mirror import MirrorRow
from proxy.adapters.upstream import Trace
from proxy.domain.merge import Audience
from proxy.domain.paging import Page
from proxy.domain.store_query import requested
from proxy.errors import Degraded
from proxy.services.store_results import CHUNK
from proxy.services.stores import Asked, StoreAnswer, StoreService
from tests.conftest import Proxy, StartProxy

STORE = "long_store"
FEW, MANY = 1000, 6000
PATH = f"/api/stores/{STORE}/inventory"
MEGABYTE = 1024 * 1024


class Watched(Database):
    """Counts queries, and connections that are held at the moment."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._pool)
        self.queries: list[str] = []
        self.held = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with super().connection() as connection:
            self.held += 1
            try:
                with connection.query_logger(lambda record: self.queries.append(record.query)):
                    yield connection
            finally:
                self.held -= 1


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    return await start_proxy()


@pytest.fixture
def watched(proxy: Proxy, database: Database) -> Watched:
    """What the service of the proxy works with."""
    proxy.app[keys.STORES].database = watched = Watched(database)
    return watched


@pytest.fixture
def service(proxy: Proxy, watched: Watched) -> StoreService:
    return proxy.app[keys.STORES]


def listing(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "status": "For Sale",
        "condition": "Mint (M)",
        "comments": "x" * 1500,
        "price": {"value": number % 50 + 0.5, "currency": "EUR"},
        "seller": None,
        "release": {"id": number + 10_000, "title": f"Title {number}", "artist": f"Artist {number % 7}", "year": 1990},
    }


async def fill(database: Database, count: int) -> None:
    """A mirror that was found true a moment ago; ids rise with time."""
    now = datetime.now(UTC)
    rows = [
        MirrorRow(number, number + 10_000, json.dumps(listing(number)).encode(), now, now - timedelta(days=9))
        for number in range(1, count + 1)
    ]
    async with database.transaction() as connection:
        await mirror.touch(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.write_rows(connection, STORE, rows)
        await mirror.write_seller(connection, STORE, json.dumps({"id": 1, "shipping": "y" * 1500}).encode())
        await mirror.change(connection, STORE, token, list(range(count, 0, -1)))
        await mirror.confirm(connection, STORE, token, items=count, at=now, audited=1)
        await mirror.give_back(connection, STORE, token)


async def ask(service: StoreService, page: Page | None = None, **query: str) -> StoreAnswer:
    asked = Asked(STORE, requested(query), page, Audience(50), "http://shop.example")
    return await service.inventory(asked, Trace("test"))


async def pieces(answer: StoreAnswer) -> AsyncIterator[bytes]:
    assert not isinstance(answer.body, bytes)
    async for piece in answer.body:
        yield piece


async def peak_of(service: StoreService, **query: str) -> tuple[int, int]:
    """Bytes that a whole answer needed at most, and its length."""
    tracemalloc.start()
    length = 0
    async for piece in pieces(await ask(service, None, **query)):
        length += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, length


@pytest.mark.parametrize("query", [{}, {"sort": "price"}, {"q": "title"}], ids=["all", "sorted", "filtered"])
async def test_memory_does_not_grow_with_the_answer(
    service: StoreService, database: Database, query: dict[str, str]
) -> None:
    await fill(database, FEW)
    await peak_of(service, **query)  # what is loaded at first use
    few, _ = await peak_of(service, **query)
    await fill(database, MANY)
    many, length = await peak_of(service, **query)
    assert length > 20 * MEGABYTE
    assert many - few < 4 * MEGABYTE


async def test_queries_are_a_few_per_chunk_and_no_connection_is_held_between(
    service: StoreService, watched: Watched, database: Database
) -> None:
    await fill(database, MANY)
    counts, chunks = [], 0
    async for _ in pieces(await ask(service)):
        assert watched.held == 0
        counts.append(len(watched.queries))
        chunks += 1
    assert chunks == MANY // CHUNK + 2
    assert counts[0] <= 6
    assert counts[-1] - counts[0] <= 5 * MANY // CHUNK


async def test_the_last_page_costs_what_the_first_one_does(
    service: StoreService, watched: Watched, database: Database
) -> None:
    await fill(database, MANY)
    await ask(service, Page(2, 50))  # what is kept in memory from now on
    counts, bodies = [], []
    for number in (1, MANY // 50):
        before = len(watched.queries)
        answer = await ask(service, Page(number, 50))
        counts.append(len(watched.queries) - before)
        assert isinstance(answer.body, bytes)
        bodies.append(json.loads(answer.body))
    assert counts[0] == counts[1] <= 6
    assert [row["id"] for row in bodies[0]["results"]] == list(range(1, 51))
    assert [row["id"] for row in bodies[1]["results"]] == list(range(MANY - 49, MANY + 1))
    assert bodies[1]["cacheStats"] == {"cached": 0, "fresh": MANY, "total": MANY}


async def test_what_changes_meanwhile_does_not_mix_two_versions_but_statuses_are_of_the_moment(
    service: StoreService, database: Database
) -> None:
    await fill(database, FEW)
    found = pieces(await ask(service))
    body = await anext(found) + await anext(found)
    async with database.transaction() as connection:
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.change(connection, STORE, token, [FEW + 1, 1])
        await connection.execute(
            "INSERT INTO match_queue (release_id, status, priority) VALUES ($1, 'processing', 0)", FEW + 10_000
        )
    body += b"".join([piece async for piece in found])
    results = json.loads(body)["results"]
    assert [row["id"] for row in results] == list(range(1, FEW + 1))
    assert [row["processingStatus"] for row in results[-2:]] == ["queued", "processing"]
    assert results[0]["seller"]["id"] == 1


async def test_a_store_that_is_dropped_meanwhile_breaks_the_answer_off(
    service: StoreService, database: Database
) -> None:
    await fill(database, FEW)
    found = pieces(await ask(service))
    await anext(found)
    async with database.connection() as connection:
        await mirror.forget(connection, STORE)
    with pytest.raises(Degraded):
        async for _ in found:
            pass


async def test_a_client_sees_that_an_answer_was_broken_off(proxy: Proxy, database: Database) -> None:
    await fill(database, MANY)
    async with proxy.session.get(proxy.url + PATH, headers={"Accept-Encoding": "identity"}) as response:
        assert response.status == 200
        await response.content.readany()
        async with database.connection() as connection:
            await mirror.forget(connection, STORE)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_long_answer_is_packed_on_the_fly(proxy: Proxy, database: Database) -> None:
    await fill(database, FEW)
    response, packed = await proxy.get(PATH, Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Transfer-Encoding"] == "chunked"
    response, plain = await proxy.get(PATH, Accept_Encoding="identity")
    assert "Content-Encoding" not in response.headers
    assert packed == plain
    assert len(json.loads(plain)["results"]) == FEW
    response, nothing = await proxy.request("HEAD", PATH)
    assert (response.status, response.content_type, nothing) == (200, "application/json", b"")
    assert "mirror" in response.headers["Cache-Status"]


async def test_of_a_store_longer_than_upstream_shows_the_rest_is_counted(
    service: StoreService, database: Database
) -> None:
    await fill(database, FEW)
    async with database.connection() as connection:
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.change(connection, STORE, token, [*range(FEW, 500, -1), -1, -2, *range(500, 0, -1)])
    answer = await ask(service, Page(2, 100))
    assert isinstance(answer.body, bytes)
    body = json.loads(answer.body)
    assert not answer.complete
    assert body["coverage"] == {"known": FEW, "total": FEW + 2}
    assert body["pagination"]["items"] == FEW
