"""An upstream that lies about a store: the mirror shows nothing of it, few calls are made, the log tells why."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from matcher.database import Database
from proxy import keys
from proxy.adapters import mirror
from tests.conftest import Proxy, StartProxy
from tests.origin import Origin, running_origin
from tests.simulated_discogs import Catalogue, SimulatedDiscogs

pytestmark = pytest.mark.slow

STORE, OTHER = "deep_store", "other_store"
LISTINGS = 330
PAGES = 4
INVENTORY = f"/users/{STORE}/inventory"
RESULTS = f"/api/stores/{STORE}/inventory"
NEWEST_FIRST = "sort=listed&sort_order=desc&per_page=100"
TEN_MINUTES = timedelta(minutes=10)
"""Longer than anything that fails is held down."""

PAGE = re.compile(r"[?&]page=(\d+)")

Page = dict[str, Any]
Lie = Callable[[Page, int, "Liar"], object]
"""Gets a page as it should be, and its number. What it returns is sent: an object as JSON, bytes as they are."""


@dataclass
class Liar:
    """Stands before the simulated Discogs. `lie` None: it is honest."""

    discogs: SimulatedDiscogs
    origin: Origin
    session: aiohttp.ClientSession
    lie: Lie | None = None

    async def answer(self, request: web.Request) -> web.Response:
        target = request.raw_path
        if self.lie is None or not request.path.endswith("/inventory"):
            return await self.passed_on(target)
        found = PAGE.search(target)
        page, number = await self.page(target), int(found[1]) if found else 1
        told = self.lie(page, number, self)
        if isinstance(told, Awaitable):
            told = await told
        if isinstance(told, web.Response):
            return told
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        return web.Response(body=body, content_type="application/json")

    async def page(self, target: str) -> Page:
        async with self.session.get(self.discogs.url + target) as response:
            found: Page = await response.json()
            return found

    async def passed_on(self, target: str) -> web.Response:
        async with self.session.get(self.discogs.url + target) as response:
            return web.Response(status=response.status, body=await response.read(), content_type=response.content_type)


@dataclass
class Shop:
    liar: Liar
    proxy: Proxy
    database: Database
    passed: timedelta = timedelta()

    async def get(self, path: str) -> tuple[aiohttp.ClientResponse, Any]:
        response, body = await self.proxy.get(path)
        await self.proxy.app[keys.CHECKS].settled()
        if running := self.proxy.app[keys.CHECKS].running(STORE):
            await running.ended()
        return response, json.loads(body) if response.content_type == "application/json" else None

    def wait(self, passed: timedelta) -> None:
        """Time passes for the proxy."""
        self.passed += passed
        moved = self.passed

        def now() -> datetime:
            return datetime.now(UTC) + moved

        self.proxy.app[keys.PASSTHROUGH].copies.now = now
        self.proxy.app[keys.STORES].now = self.proxy.app[keys.CHECKS].now = now

    async def shown(self) -> list[int] | None:
        async with self.database.connection() as connection:
            found = await mirror.order(connection, STORE)
        return list(found[1]) if found else None

    def truth(self) -> list[int]:
        return [row.id for row in self.liar.discogs.catalogue.store(STORE).for_sale("listed", descending=True)]

    async def forget(self) -> None:
        async with self.database.connection() as connection:
            await mirror.forget(connection, STORE)

    async def check_true(self) -> None:
        """Once upstream is honest again, and what failed is no longer held down."""
        self.liar.lie = None
        for _ in range(2):
            self.wait(TEN_MINUTES)
            await self.get(f"{INVENTORY}?page=2")
        response, page = await self.get(f"{INVENTORY}?{NEWEST_FIRST}&page=4")
        assert "detail=mirror" in response.headers["Cache-Status"]
        assert [row["id"] for row in page["listings"]] == self.truth()[300:]
        assert await self.shown() == self.truth()
        _, whole = await self.get(RESULTS)
        assert [row["id"] for row in whole["results"]] == self.truth()[::-1]
        assert "coverage" not in whole


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    catalogue = Catalogue.generate(seed=3, stores={STORE: LISTINGS, OTHER: LISTINGS}, releases=200)
    async with (
        SimulatedDiscogs(catalogue) as discogs,
        running_origin() as origin,
        aiohttp.ClientSession() as session,
    ):
        found = Liar(discogs, origin, session)
        origin.answer = found.answer
        yield found


@pytest.fixture
async def shop(start_proxy: StartProxy, liar: Liar, database: Database) -> Shop:
    return Shop(liar, await start_proxy(DISCOGS_API_URL=liar.origin.url, STORES=STORE), database)


# --- lies ---------------------------------------------------------------------------------------------------------


def with_items(items: object) -> Lie:
    def lie(page: Page, number: int, liar: Liar) -> object:
        return page | {"pagination": page["pagination"] | {"items": items}}

    return lie


def with_rows(change: Callable[[list[Any]], object]) -> Lie:
    def lie(page: Page, number: int, liar: Liar) -> object:
        return page | {"listings": change(page["listings"])}

    return lie


def one_page_only(page: Page, number: int, liar: Liar) -> object:
    if number > 1:
        return web.json_response({"message": "Page 2 is outside of valid range [1, 1]."}, status=404)
    return page | {"pagination": page["pagination"] | {"pages": 1}}


async def first_page_for_ever(page: Page, number: int, liar: Liar) -> object:
    return await liar.page(f"{INVENTORY}?{NEWEST_FIRST}")


async def first_page_of_many(page: Page, number: int, liar: Liar) -> object:
    page = await liar.page(f"{INVENTORY}?{NEWEST_FIRST}")
    return page | {"pagination": page["pagination"] | {"items": 20_000}}


def of_another_store(rows: list[Any]) -> list[Any]:
    return [row | {"seller": row["seller"] | {"username": OTHER, "id": 1}} for row in rows]


def nested(depth: int) -> Lie:
    def lie(page: Page, number: int, liar: Liar) -> object:
        whole = json.dumps(page).encode()
        return whole.replace(b'"comments": "', b'"deep": ' + b"[" * depth + b"]" * depth + b', "comments": "', 1)

    return lie


LIES: dict[str, Lie] = {
    "empty pages": with_rows(lambda _: []),
    "every page short": with_rows(lambda rows: rows[:-1]),
    "50 rows a page": with_rows(lambda rows: rows[:50]),
    "a listing twice": with_rows(lambda rows: [rows[0], *rows[:-1]]),
    "rows of another seller": with_rows(of_another_store),
    "one row of another seller": with_rows(lambda rows: [*rows[:-1], *of_another_store(rows[-1:])]),
    "no release": with_rows(lambda rows: [row | {"release": {}} for row in rows]),
    "no id": with_rows(lambda rows: [{k: v for k, v in row.items() if k != "id"} for row in rows]),
    "an id of text": with_rows(lambda rows: [row | {"id": str(row["id"])} for row in rows]),
    "an id too large": with_rows(lambda rows: [row | {"id": row["id"] + 2**63} for row in rows]),
    "rows of text": with_rows(lambda rows: ["row" for _ in rows]),
    "rows null": with_rows(lambda rows: [None, *rows[1:]]),
    "no rows": with_rows(lambda _: None),
    "an object of rows": with_rows(lambda rows: {"0": rows[0]}),
    "a count of text": with_items("330"),
    "a negative count": with_items(-1),
    "a count of billions": with_items(10**9),
    "a count beyond all numbers": with_items(10**30),
    "a count that is no whole number": with_items(330.5),
    "a count of more": with_items(LISTINGS + 100),
    "a count of less": with_items(LISTINGS - 100),
    "one page only": one_page_only,
    "page 1 for ever": first_page_for_ever,
    "page 1 for ever, of 200 pages": first_page_of_many,
    "deep": nested(5_000),
    "not UTF-8": lambda page, *_: json.dumps(page).encode().replace(b'"comments": "', b'"comments": "\xff'),
    "a list": lambda page, *_: [page],
    "null": lambda *_: None,
    "no pagination": lambda page, *_: {"listings": page["listings"]},
}

CALLS_AT_MOST = 12
"""Of one look at a store of four pages: a few comparisons and a sweep."""


def check_told(logs: list[structlog.types.EventDict], lie: str) -> None:
    """Why, and that no code of ours broke."""
    told = [each["error"] for each in logs if each["event"] == "check ended early" and each["store"] == STORE]
    assert told, lie
    broken = [each for each in logs if each["event"] == "check died" or each["log_level"] in ("error", "critical")]
    assert not broken, lie
    logs.clear()


async def test_of_a_liar_no_mirror_is_made(shop: Shop, logs: list[structlog.types.EventDict]) -> None:
    for name, lie in LIES.items():
        shop.liar.lie = lie
        for _ in range(2):
            before = shop.liar.origin.calls
            response, _ = await shop.get(f"{INVENTORY}?page=2")
            assert "mirror" not in response.headers.get("Cache-Status", ""), name
            response, body = await shop.get(RESULTS)
            if response.status == 200:
                assert body["coverage"]["known"] < body["coverage"]["total"], name
            assert shop.liar.origin.calls - before <= CALLS_AT_MOST, name
            assert await shop.shown() is None, name
            shop.wait(TEN_MINUTES)
        check_told(logs, name)
        await shop.check_true()
        await shop.forget()
        shop.wait(TEN_MINUTES)


async def test_lies_do_not_get_into_a_mirror(shop: Shop, logs: list[structlog.types.EventDict]) -> None:
    for name, lie in LIES.items():
        await shop.forget()
        await shop.check_true()
        old = shop.truth()
        shop.liar.lie = lie
        for kind in ("sale", "addition", "sale"):
            shop.liar.discogs.churn(STORE, 1, kind)
        for number in (1, PAGES):
            shop.wait(TEN_MINUTES)
            before = shop.liar.origin.calls
            response, page = await shop.get(f"{INVENTORY}?{NEWEST_FIRST}&page={number}")
            assert "detail=stale-if-error" in response.headers["Cache-Status"], name
            assert [row["id"] for row in page["listings"]] == old[number * 100 - 100 : number * 100], name
            assert {row["seller"]["username"] for row in page["listings"]} == {STORE}, name
            _, whole = await shop.get(RESULTS)
            assert [row["id"] for row in whole["results"]] == old[::-1], name
            assert shop.liar.origin.calls - before <= CALLS_AT_MOST, name
            assert await shop.shown() == old, name
        check_told(logs, name)
