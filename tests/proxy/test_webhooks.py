"""Stories of webhooks: a shop hears of what happens, whatever fails on the way."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from matcher.database import Database
from matcher.domain.breaker import Breaker
from proxy import keys
from proxy.adapters import webhook_outbox as outbox
from proxy.adapters.database import connected
from proxy.adapters.metrics import Metrics
from proxy.adapters.webhook import Receiver
from proxy.background import Health
from proxy.domain import webhook
from proxy.domain.budget import Lane
from proxy.domain.webhook import listing_events, signing_key
from proxy.services.checks import GONE_AFTER_S
from proxy.services.webhooks import WebhookService, record_match_rejected
from tests.conftest import STORE, Proxy, StartProxy
from tests.process import proxy_process
from tests.relay import relayed
from tests.simulated_discogs import SimulatedDiscogs
from tests.simulated_discogs.churn import Churn
from tests.webhook_receiver import SECRET, Delivery, Shop, status


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as running:
        yield running


# --- what is told -------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A store whose mirror is true, a shop that listens, and a proxy between them."""

    proxy: Proxy
    shop: Shop
    churn: Churn
    discogs: SimulatedDiscogs

    async def check(self, *, renew: bool = False, audits: int = 0) -> None:
        check = self.proxy.app[keys.CHECKS].check(STORE, Lane.CHECK, "test", renew=renew, audits=audits)
        await check.ended()
        assert check.error is None

    async def told(self, count: int) -> list[dict[str, Any]]:
        """The next events, in the order in which they came."""
        await self.shop.until(lambda: len(self.shop.events) >= count)
        events = self.shop.events[:count]
        assert len(self.shop.events) == count
        self.shop.got.clear()
        return events


@pytest.fixture
async def watched(start_proxy: StartProxy, discogs: SimulatedDiscogs, shop: Shop) -> Watched:
    proxy = await start_proxy(WEBHOOK_URL=shop.url, WEBHOOK_SECRET=SECRET)
    found = Watched(proxy, shop, Churn(discogs.catalogue), discogs)
    await found.check()
    return found


async def test_additions_sales_and_edits_are_told_and_first_sight_is_not(watched: Watched) -> None:
    sold = watched.churn.happen(STORE, "sale").gone[0]
    added = watched.churn.happen(STORE, "addition").came[0]
    await watched.check()
    events = await watched.told(2)
    assert [(each["type"], each["data"]["listing_id"]) for each in events] == [
        ("listing.removed", sold),
        ("listing.added", added),
    ]
    releases = {each.id: each.release_id for each in watched.discogs.catalogue.for_sale(STORE)}
    assert events[1]["data"] == {"store": STORE, "listing_id": added, "release_id": releases[added]}
    edited = watched.churn.happen(STORE, "edit_silent").changed[0]
    await watched.check(audits=2)
    [event] = await watched.told(1)
    assert event["type"] == "listing.changed"
    assert event["data"] == {"store": STORE, "listing_id": edited, "release_id": releases[edited]}


async def test_what_a_sweep_finds_is_told(watched: Watched) -> None:
    sold = watched.churn.happen(STORE, "sale").gone[0]
    edited = watched.churn.happen(STORE, "edit_silent").changed[0]
    added = watched.churn.happen(STORE, "addition").came[0]
    await watched.check(renew=True)
    events = await watched.told(3)
    assert [(each["type"], each["data"]["listing_id"]) for each in events] == [
        ("listing.changed", edited),
        ("listing.removed", sold),
        ("listing.added", added),
    ]


async def test_a_listing_that_is_hidden_is_told_and_so_is_that_it_came_back(watched: Watched) -> None:
    listing_id = watched.discogs.catalogue.store(STORE).for_sale("listed", descending=True)[40].id
    response, _ = await watched.proxy.admin("POST", f"/api/admin/stores/{STORE}/listings/{listing_id}/hide")
    assert response.status == 200
    (gone,) = await watched.told(1)
    assert (gone["type"], gone["data"]["listing_id"]) == ("listing.removed", listing_id)
    await watched.check()
    (back,) = await watched.told(1)
    assert (back["type"], back["data"]["listing_id"]) == ("listing.added", listing_id)


async def test_of_a_store_that_is_gone_all_listings_are_told_as_removed_once_that_is_sure(watched: Watched) -> None:
    checks, listed = watched.proxy.app[keys.CHECKS], watched.discogs.catalogue.for_sale(STORE)
    watched.discogs.delete_user(STORE)
    for now in (datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=GONE_AFTER_S + 60)):
        assert watched.shop.events == []
        checks.now = partial(datetime.fromtimestamp, now.timestamp(), UTC)
        await checks.check(STORE, Lane.CHECK, "test").ended()
    events = await watched.told(len(listed))
    assert {each["type"] for each in events} == {"listing.removed"}
    told = {each["data"]["listing_id"]: each["data"]["release_id"] for each in events}
    assert told == {each.id: each.release_id for each in listed}


async def test_a_matched_release_is_told_for_each_store_that_sells_it(watched: Watched) -> None:
    for _ in range(5):
        _, body = await watched.proxy.admin("POST", "/api/admin/process-queue?limit=10")
        if json.loads(body)["cached"]:
            break
    await watched.shop.until(lambda: bool(watched.shop.events))
    event = watched.shop.events[0]
    sold = {each.release_id for each in watched.discogs.catalogue.for_sale(STORE)}
    assert (event["type"], event["data"]["store"]) == ("release.matched", STORE)
    assert event["data"]["release_id"] in sold


async def test_a_rejected_match_is_told_to_who_sells_the_release(watched: Watched) -> None:
    release_id = watched.discogs.catalogue.for_sale(STORE)[0].release_id
    match = {"track_index": 0, "sub_index": None, "match_url": "https://www.youtube.com/watch?v=1"}
    async with watched.proxy.app[keys.DATABASE].transaction() as connection:
        await record_match_rejected(connection, release_id, match)
    [event] = await watched.told(1)
    assert event["type"] == "match.rejected"
    assert event["data"] == {"store": STORE, "release_id": release_id, **match}


async def test_what_is_told_is_true_by_then(watched: Watched) -> None:
    """A shop that asks when it is told gets the answer of after the change."""
    seen = []

    async def look(delivery: Delivery, _request: web.Request) -> web.StreamResponse:
        _, body = await watched.proxy.get(f"/api/stores/{STORE}/inventory")
        seen.append({each["id"] for each in json.loads(body)["results"]})
        return web.Response(status=204)

    await watched.proxy.get(f"/api/stores/{STORE}/inventory")
    watched.shop.once.append(look)
    sold = watched.churn.happen(STORE, "sale").gone[0]
    await watched.check()
    await watched.told(1)
    assert sold not in seen[0]


async def test_two_proxies_on_one_database_tell_a_store_in_order(watched: Watched, start_proxy: StartProxy) -> None:
    other = await start_proxy(WEBHOOK_URL=watched.shop.url, WEBHOOK_SECRET=SECRET)
    both = [watched, replace(watched, proxy=other)]
    happened: list[int] = []
    for turn in range(12):
        happened += watched.churn.happen(STORE, "addition").came
        await both[turn % 2].check()
        await asyncio.sleep(0.2)
    events = await watched.told(12)
    assert [each["data"]["listing_id"] for each in events] == happened
    assert len({delivery.message_id for delivery in watched.shop.tried}) == len(watched.shop.tried)


async def test_without_a_receiver_nothing_is_recorded(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    watched = Watched(proxy, Shop(), Churn(discogs.catalogue), discogs)
    await watched.check()
    watched.churn.happen(STORE, "sale")
    await watched.check()
    async with proxy.app[keys.DATABASE].connection() as connection:
        assert (await outbox.backlog(connection)).events == 0


# --- how it is delivered ------------------------------------------------------------------------------------------

Deliver = Callable[..., WebhookService]


@pytest.fixture
async def deliver(database: Database, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deliver]:
    """Starts what delivers, as in a process of its own, in a hurry."""
    monkeypatch.setattr(outbox, "GATHER", timedelta(0))
    monkeypatch.setattr(webhook, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr("proxy.services.webhooks.LOOK_S", 0.02)
    monkeypatch.setattr("proxy.services.webhooks.HOUSEKEEPING_S", 0.0)
    tasks: list[asyncio.Task[None]] = []
    async with aiohttp.ClientSession() as session:

        def start(
            url: str = shop.url, timeout_s: float = 5.0, events_max: int = 1000, database: Database = database
        ) -> WebhookService:
            service = WebhookService(
                database,
                Receiver(session, url, "test/1", timeout_s),
                signing_key(SECRET),
                Metrics(),
                Health(),
                breaker=Breaker(threshold=3, first_s=0.1, longest_s=0.2),
                events_max=events_max,
            )
            tasks.append(asyncio.create_task(service.run()))
            return service

        yield start
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def happen(database: Database, store: str, *listing_ids: int) -> None:
    async with database.transaction() as connection:
        await outbox.record(connection, listing_events(store, {}, added=listing_ids))


def listing_ids(shop: Shop, store: str) -> list[int]:
    """In the order in which they were taken."""
    taken = [event for delivery in shop.got if delivery.store == store for event in delivery.events]
    return [event["data"]["listing_id"] for event in taken]


def measured(service: WebhookService, name: str, **labels: str) -> float | None:
    return service.metrics.registry.get_sample_value(f"discogs_proxy_webhook_{name}", labels)


async def test_a_batch_is_sent_once_where_all_goes_well(database: Database, shop: Shop, deliver: Deliver) -> None:
    await happen(database, "a", 1, 2)
    service = deliver()
    await shop.until(lambda: listing_ids(shop, "a") == [1, 2])
    await shop.until(lambda: measured(service, "backlog_events") == 0)
    assert len(shop.tried) == 1
    assert measured(service, "deliveries_total", outcome="delivered") == 1
    assert service.health.degraded == {}


async def dropped(_delivery: Delivery, request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response(status=500)


async def slow(_delivery: Delivery, _request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1)
    return web.Response(status=500)


async def endless(_delivery: Delivery, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=500)
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65536)
    except ConnectionError:
        return response


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (status(500), "refused"),
        (status(307, Location="/hooks/discogs/"), "refused"),
        (status(404), "refused"),
        (status(503, Retry_After="1"), "refused"),
        (dropped, "unanswered"),
        (slow, "unanswered"),
        (endless, "refused"),
    ],
    ids=["500", "redirect", "404", "retry-after", "dropped", "slow", "endless"],
)
async def test_what_failed_is_sent_again_the_same(
    database: Database, shop: Shop, deliver: Deliver, answer: object, outcome: str
) -> None:
    shop.once.append(answer)  # type: ignore[arg-type]
    await happen(database, "a", 1)
    service = deliver(timeout_s=0.5)
    await shop.until(lambda: len(shop.tried) == 1)
    await happen(database, "a", 2)
    await shop.until(lambda: listing_ids(shop, "a") == [1, 2])
    first, again, following = shop.tried
    assert (again.message_id, again.raw) == (first.message_id, first.raw)
    assert following.message_id != first.message_id
    assert measured(service, "deliveries_total", outcome=outcome) == 1


async def test_a_receiver_that_asks_for_time_is_given_it(database: Database, shop: Shop, deliver: Deliver) -> None:
    shop.once.append(status(429, Retry_After="1"))
    await happen(database, "a", 1)
    deliver()
    await shop.until(lambda: len(shop.tried) == 1)
    await happen(database, "b", 2)
    await shop.until(lambda: len(shop.got) == 2)
    assert all(each.at - shop.tried[0].at >= 0.95 for each in shop.tried[1:])


async def test_a_large_good_answer_is_not_read(database: Database, shop: Shop, deliver: Deliver) -> None:
    async def large(_delivery: Delivery, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 10_000_000)

    shop.once.append(large)
    await happen(database, "a", 1)
    deliver()
    await shop.until(lambda: listing_ids(shop, "a") == [1])
    await happen(database, "a", 2)
    await shop.until(lambda: listing_ids(shop, "a") == [1, 2])
    assert len(shop.tried) == 2


async def test_a_store_whose_events_are_refused_holds_no_other_up(
    database: Database, shop: Shop, deliver: Deliver
) -> None:
    async def picky(delivery: Delivery, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=400 if delivery.store == "bad" else 204)

    shop.always = picky
    await happen(database, "bad", 1)
    deliver()
    for each in range(1, 6):
        await happen(database, "good", each)
        await shop.until(lambda each=each: listing_ids(shop, "good") == [*range(1, each + 1)])  # type: ignore[misc]
    await shop.until(lambda: sum(delivery.store == "bad" for delivery in shop.tried) >= 3)
    shop.always = status(204)
    await shop.until(lambda: listing_ids(shop, "bad") == [1])


async def test_a_dead_receiver_is_not_hammered_and_gets_all_once_it_lives(
    database: Database, shop: Shop, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "FIRST_RETRY_S", 3600.0)  # what was put off is not waited for
    monkeypatch.setattr(webhook, "LONGEST_RETRY_S", 3600.0)
    await shop.stop()
    stores = [f"store_{number}" for number in range(50)]
    for store in stores:
        await happen(database, store, 1)
    now = 0.0
    service = deliver()
    service.clock = lambda: now
    await shop.until(lambda: "webhooks" in service.health.degraded)
    await asyncio.sleep(0.2)  # many turns, in which no time passes
    assert measured(service, "deliveries_total", outcome="unanswered") == 3
    await shop.start()
    now = 1.0
    await shop.until(lambda: len(shop.got) == 50)
    assert {delivery.store for delivery in shop.got} == set(stores)
    assert service.health.degraded == {}


async def test_a_receiver_that_is_gone_is_left_alone(
    database: Database, shop: Shop, deliver: Deliver, logs: list[structlog.types.EventDict]
) -> None:
    shop.always = status(410)
    await happen(database, "a", 1)
    service = deliver()
    await shop.until(lambda: "webhooks" in service.health.degraded)
    await happen(database, "b", 1)
    await shop.until(lambda: measured(service, "backlog_events") == 2)
    assert len(shop.tried) == 1
    assert "410" in service.health.degraded["webhooks"]


async def test_a_backlog_is_bounded(
    database: Database, shop: Shop, deliver: Deliver, logs: list[structlog.types.EventDict]
) -> None:
    shop.always = status(500)
    service = deliver(events_max=5)
    await happen(database, "a", *range(1, 8))
    await happen(database, "b", 8, 9)
    await shop.until(lambda: measured(service, "events_dropped_total", reason="overflow") == 4)
    shop.always = status(204)
    await shop.until(lambda: len(shop.events) == 5)
    assert (listing_ids(shop, "a"), listing_ids(shop, "b")) == ([5, 6, 7], [8, 9])
    assert any(line["event"] == "webhook events dropped" and line["events"] == 4 for line in logs)


async def test_many_processes_on_one_database_keep_each_stores_order(
    database: Database, shop: Shop, deliver: Deliver
) -> None:
    """While the shop fails now and then, and events are recorded all the time."""
    count = 0

    async def moody(_delivery: Delivery, _request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        await asyncio.sleep(0.01 * (count % 3))
        return web.Response(status=500 if count % 4 == 0 else 204)

    shop.always = moody
    for _ in range(3):
        deliver()
    stores = ["a", "b", "c"]
    for number in range(1, 31):
        await asyncio.gather(*(happen(database, store, number) for store in stores))
    await shop.until(lambda: all(len(listing_ids(shop, store)) >= 30 for store in stores))
    for store in stores:
        assert listing_ids(shop, store) == [*range(1, 31)]


async def test_neither_secret_nor_password_is_logged(
    database: Database, shop: Shop, deliver: Deliver, logs: list[structlog.types.EventDict]
) -> None:
    await happen(database, "a", 1)
    await shop.stop()
    service = deliver(url=shop.url.replace("//", "//user:hunter2@"))
    await shop.until(lambda: "webhooks" in service.health.degraded)
    await shop.start()
    await shop.until(lambda: bool(shop.got))
    said = repr(logs) + repr(service)
    assert "webhook not delivered" in said
    for secret in ("hunter2", SECRET.removeprefix("whsec_"), repr(service.key)):
        assert secret not in said


# --- what may happen to the proxy ---------------------------------------------------------------------------------


async def test_a_database_that_goes_away_while_a_batch_is_sent_only_repeats_it(
    database_dsn: str, database: Database, shop: Shop, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=0.5))
    async with relayed(database_dsn) as wire, connected(wire.dsn, connections=2) as shaky:

        async def cut(_delivery: Delivery, _request: web.Request) -> web.StreamResponse:
            await wire.cut()
            return web.Response(status=204)

        shop.once.append(cut)
        await happen(database, "a", 1)
        service = deliver(database=shaky)
        await shop.until(lambda: len(shop.got) == 1)
        await happen(database, "a", 2)
        await wire.restore()
        await shop.until(lambda: listing_ids(shop, "a") == [1, 1, 2])
        first, again, _ = shop.got
        assert (again.message_id, again.raw) == (first.message_id, first.raw)
        await shop.until(lambda: measured(service, "backlog_events") == 0)


@pytest.mark.slow
async def test_a_batch_is_repeated_by_another_process_where_the_first_was_killed_before_it_knew(
    database_dsn: str, database: Database, shop: Shop, discogs: SimulatedDiscogs, tmp_path: Path
) -> None:
    await happen(database, "a", 1)
    environment = {
        "DISCOGS_API_URL": discogs.url,
        "DATABASE_URL": database_dsn,
        "DATA_DIR": str(tmp_path),
        "WEBHOOK_URL": shop.url.replace("//", "//user:hunter2@"),
        "WEBHOOK_SECRET": SECRET,
    }
    killed = asyncio.Event()

    async def held(_delivery: Delivery, _request: web.Request) -> web.StreamResponse:
        await killed.wait()
        return web.Response(status=204)

    shop.once.append(held)
    async with proxy_process(tmp_path / "log", **environment) as process:
        await shop.until(lambda: len(shop.tried) == 1)
        await process.stop(signal.SIGKILL)
    killed.set()
    await happen(database, "a", 2)
    async with database.connection() as connection:  # a minute passes
        await connection.execute("UPDATE webhook_queues SET lease_until = now()")
    async with proxy_process(tmp_path / "log", **environment) as process:
        await shop.until(lambda: len(shop.tried) == 3)
        assert await process.stop() == 0
        assert "webhook delivered" in process.log
        assert "hunter2" not in process.log
        assert SECRET not in process.log
    first, again, following = shop.tried
    assert (again.message_id, again.raw) == (first.message_id, first.raw)
    assert [event["data"]["listing_id"] for event in following.events] == [2]
