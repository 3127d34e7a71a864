from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from matcher.database import Connection, Database
from proxy import keys
from proxy.adapters import mirror, tracking
from proxy.domain.budget import WINDOW_S, Budget, Errand, Lane
from proxy.domain.hold_down import HOLD_DOWN_S
from proxy.domain.visibility import is_poor
from proxy.errors import BudgetExhausted, NotFound, UpstreamBroken
from proxy.services import checks
from proxy.services.checks import GONE_AFTER_S, CheckService
from tests.conftest import StartProxy
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs
from tests.simulated_discogs.churn import Churn

STORE = "deep_store"
LISTINGS = 730


@dataclass
class Mirrored:
    """A store of eight pages whose mirror is true, and what may happen to it."""

    discogs: SimulatedDiscogs
    checks: CheckService
    database: Database
    churn: Churn

    async def check(self, audits: int = 0) -> int:
        """Returns the calls that it took."""
        before = len(self.discogs.calls)
        running = self.checks.check(STORE, Lane.CHECK, "test", audits=audits)
        assert running.task is not None
        await running.task
        if running.error:
            raise running.error
        return len(self.discogs.calls) - before

    async def shown(self) -> list[int]:
        async with self.database.connection() as connection:
            found = await mirror.order(connection, STORE)
        assert found is not None
        return list(found[1])

    async def oldest(self) -> datetime:
        async with self.database.connection() as connection:
            rows = await mirror.rows(connection, STORE, await self.shown())
        return min(row.fetched_at for row in rows.values())

    def pages_asked(self, since: int) -> list[int]:
        return [int(dict(call.query)["page"]) for call in self.discogs.calls[since:]]

    def truth(self) -> list[int]:
        rows = self.discogs.catalogue.store(STORE).for_sale("listed", descending=True)
        return [row.id for row in rows]


@dataclass
class Told:
    """What a shop would be told of a store's listings."""

    added: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)

    async def __call__(
        self,
        connection: Connection,
        username: str,
        *,
        added: Collection[int] = (),
        removed: Collection[int] = (),
        changed: Collection[int] = (),
    ) -> None:
        self.added += added
        self.removed += removed
        self.changed += changed


@pytest.fixture
async def unread(start_proxy: StartProxy, database: Database) -> AsyncIterator[Mirrored]:
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: LISTINGS})) as discogs:
        proxy = await start_proxy(DISCOGS_API_URL=discogs.url)
        upstream = proxy.app[keys.UPSTREAM]
        yield Mirrored(discogs, CheckService(database, upstream, lambda: None), database, Churn(discogs.catalogue))


@pytest.fixture
async def mirrored(unread: Mirrored) -> Mirrored:
    await unread.check()
    return unread


async def test_at_first_sight_the_whole_store_is_read_and_then_checked(unread: Mirrored) -> None:
    assert await unread.check() == 8 + 1
    assert await unread.shown() == unread.truth()
    async with unread.database.connection() as connection:
        rows = await mirror.rows(connection, STORE, await unread.shown())
        assert len(rows) == LISTINGS
        queued = await connection.fetchval("SELECT count(*) FROM match_queue WHERE store_username = $1", STORE)
        assert queued == len({row.release_id for row in rows.values()})
        assert await connection.fetchval("SELECT count(*) FROM store_sync_log WHERE store_username = $1", STORE) == 2
        assert b'"seller":null' in next(iter(rows.values())).body
        assert await mirror.seller(connection, STORE)


async def test_where_nothing_happened_a_check_is_one_call(mirrored: Mirrored) -> None:
    assert await mirrored.check() == 1


@pytest.mark.parametrize("kind", ["sale", "addition", "edit_moving", "relisting"])
async def test_what_happens_is_found_with_few_calls(mirrored: Mirrored, kind: str) -> None:
    for _ in range(5):
        mirrored.churn.happen(STORE, kind)  # type: ignore[arg-type]
        assert await mirrored.check() <= 1 + 3 + 2
        assert await mirrored.shown() == mirrored.truth()


async def test_audits_find_what_counts_cannot_show(mirrored: Mirrored) -> None:
    for kind in ("edit_silent", "insertion", "sale"):
        mirrored.churn.happen(STORE, kind)
    for _ in range(8):
        await mirrored.check(audits=1)
    assert await mirrored.shown() == mirrored.truth()
    async with mirrored.database.connection() as connection:
        rows = await mirror.rows(connection, STORE, await mirrored.shown())
    prices = {row.id: row.price for row in mirrored.discogs.catalogue.for_sale(STORE)}
    assert all(f'"value":{price}'.encode() in rows[each].body.replace(b" ", b"") for each, price in prices.items())


async def test_a_sweep_goes_on_after_a_restart(unread: Mirrored) -> None:
    running = unread.checks.check(STORE, Lane.SWEEP, "test")
    async with asyncio.timeout(10):
        while len(unread.discogs.calls) < 4:
            await asyncio.sleep(0.005)
    await unread.checks.stop()
    assert running.task is not None
    assert running.task.done()
    read = len(unread.discogs.calls)
    assert await unread.check() <= 8 - read + 1 + 2
    assert await unread.shown() == unread.truth()


async def test_a_store_that_changes_while_it_is_swept_is_right_after_the_check(unread: Mirrored) -> None:
    unread.discogs.latency_ms = 20
    running = unread.checks.check(STORE, Lane.SWEEP, "test")
    assert running.task is not None
    for _ in range(6):
        await asyncio.sleep(0.02)
        unread.churn.happen(STORE, "sale")
        unread.churn.happen(STORE, "addition")
    await running.task
    for _ in range(2):
        await unread.check()
    assert sorted(await unread.shown()) == sorted(unread.truth())


async def test_what_a_sweep_missed_is_shown_all_the_while_and_not_told_as_gone(mirrored: Mirrored) -> None:
    """The first row of a page goes to the one before, which has been read, where something above it is sold."""
    told = Told()
    sweeping = CheckService(mirrored.database, mirrored.checks.upstream, lambda: None, record=told)
    mirrored.discogs.latency_ms = 20
    before, sold = await mirrored.shown(), mirrored.truth()[5]
    running = sweeping.check(STORE, Lane.SWEEP, "test", renew=True)
    while running.found.pages < 3:
        await asyncio.sleep(0.002)
    mirrored.discogs.sell(STORE, sold)
    while not await running.ended(0.002):
        assert set(before) - set(await mirrored.shown()) <= {sold}
    assert running.error is None
    assert await mirrored.shown() == mirrored.truth()
    assert (told.added, told.removed) == ([], [sold])


async def test_two_processes_share_one_check(mirrored: Mirrored) -> None:
    other = CheckService(mirrored.database, mirrored.checks.upstream, lambda: None)
    mirrored.discogs.latency_ms = 100
    before = len(mirrored.discogs.calls)
    both: Sequence[CheckService] = (mirrored.checks, other)
    tasks = [each.check(STORE, Lane.CHECK, "test").task for each in both]
    await asyncio.gather(*(task for task in tasks if task))
    assert len(mirrored.discogs.calls) - before == 1


async def test_a_check_that_waits_for_budget_goes_at_once_when_a_shopper_joins(mirrored: Mirrored) -> None:
    lanes = mirrored.checks.upstream.lanes
    lanes.budget = Budget.starting(3)  # a call of a check each half minute, of shoppers when they come
    assert await mirrored.check() == 1
    waiting = mirrored.checks.check(STORE, Lane.CHECK, "test")
    async with asyncio.timeout(10):
        while not lanes.is_awaited:
            await asyncio.sleep(0.005)
    assert mirrored.checks.check(STORE, Lane.SHOPPER, "shop") is waiting
    assert await waiting.ended(10)
    assert waiting.result == "unchanged"


async def test_what_makes_a_sweep_true_goes_as_the_check_that_it_is(unread: Mirrored) -> None:
    lanes = list[Lane]()
    unread.checks.upstream.on_call = lambda call, *_: lanes.append(call.lane)
    assert await unread.checks.check(STORE, Lane.SWEEP, "test").ended(30)
    assert lanes == [Lane.SWEEP] * 8 + [Lane.CHECK]


async def test_who_joins_a_check_does_not_wait_for_all_of_its_audits_which_come_later(mirrored: Mirrored) -> None:
    mirrored.discogs.latency_ms = 50
    before = len(mirrored.discogs.calls)
    check = mirrored.checks.check(STORE, Lane.CHECK, "test", audits=7)
    async with asyncio.timeout(10):
        while len(mirrored.discogs.calls) < before + 3:
            await asyncio.sleep(0.002)
    assert mirrored.checks.check(STORE, Lane.SHOPPER, "shop") is check
    assert await check.ended(10)
    assert len(mirrored.pages_asked(before)) <= 1 + 3
    assert mirrored.checks.check(STORE, Lane.CHECK, "test", audits=7) is not check
    await mirrored.checks.settled()
    assert set(mirrored.pages_asked(before)) == set(range(1, 9))


async def test_a_check_that_a_shopper_begins_has_the_share_of_checks_among_many_shoppers(mirrored: Mirrored) -> None:
    upstream, passed_s = mirrored.checks.upstream, 0.0
    lanes = upstream.lanes
    lanes.budget = Budget.starting(15)
    upstream.clock = lanes.clock = lambda: time.monotonic() + passed_s

    async def call() -> None:
        lanes.release(await lanes.reserve(Errand(Lane.SHOPPER), identified=False, until=lanes.clock() + 30))

    await asyncio.gather(*(call() for _ in range(15)))
    crowd = [asyncio.create_task(call()) for _ in range(20)]
    check = mirrored.checks.check(STORE, Lane.SHOPPER, "shop")
    async with asyncio.timeout(10):
        while lanes.by_lane()[Lane.SHOPPER] != (15, 21):
            await asyncio.sleep(0.005)
    passed_s = WINDOW_S
    lanes.hurry(check.errand)
    assert await check.ended(5)
    assert check.result == "unchanged"
    for each in crowd:
        each.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_a_check_that_gets_no_budget_is_tried_again_soon_however_late_shoppers_are_told_to_come(
    mirrored: Mirrored,
) -> None:
    upstream = mirrored.checks.upstream
    budget = upstream.lanes.budget = Budget.starting(1)
    upstream.deadline_s = 0.05
    await upstream.lanes.reserve(Errand(Lane.SHOPPER), identified=False, until=upstream.clock() + 5)
    while budget.promise(False, upstream.clock()) < 5 * HOLD_DOWN_S:
        pass
    check = mirrored.checks.check(STORE, Lane.SHOPPER, "shop")
    assert await check.ended(10)
    assert isinstance(check.error, BudgetExhausted)
    assert mirrored.checks.is_held(STORE)
    later = datetime.now(UTC) + timedelta(seconds=HOLD_DOWN_S)
    mirrored.checks.now = lambda: later
    assert not mirrored.checks.is_held(STORE)


async def test_a_store_whose_process_died_is_taken_over(mirrored: Mirrored) -> None:
    async with mirrored.database.connection() as connection:
        assert await mirror.lease(connection, STORE, 0.6)
    mirrored.churn.happen(STORE, "sale")
    await mirrored.check()
    assert await mirrored.shown() == mirrored.truth()


async def test_a_store_is_renewed_while_it_is_shown(mirrored: Mirrored) -> None:
    before = await mirrored.oldest()
    running = mirrored.checks.check(STORE, Lane.SWEEP, "test", renew=True)
    assert running.task is not None
    await running.task
    assert (running.result, running.found.pages, running.found.is_first) == ("swept", 8, False)
    assert await mirrored.oldest() > before
    assert await mirrored.shown() == mirrored.truth()


async def test_a_store_that_upstream_does_not_know_is_forgotten(unread: Mirrored) -> None:
    running = unread.checks.check("nobody_at_all", Lane.SHOPPER, "test")
    assert running.task is not None
    await running.task
    assert running.error is not None
    async with unread.database.connection() as connection:
        assert await mirror.states(connection) == []


async def test_during_an_outage_nothing_changes(mirrored: Mirrored) -> None:
    shown = await mirrored.shown()
    mirrored.churn.happen(STORE, "sale")
    mirrored.discogs.add_fault(Fault(kind="html", status=503))
    with pytest.raises(UpstreamBroken):
        await mirrored.check()
    assert await mirrored.shown() == shown
    mirrored.discogs.clear_faults()
    await mirrored.check()
    assert await mirrored.shown() == mirrored.truth()


async def test_one_404_does_not_throw_a_mirror_away(mirrored: Mirrored) -> None:
    shown, now = await mirrored.shown(), datetime.now(UTC)
    mirrored.discogs.add_fault(Fault(kind="status", status=404))
    with pytest.raises(NotFound):
        await mirrored.check()
    assert await mirrored.shown() == shown
    mirrored.checks.now = lambda: now + timedelta(seconds=GONE_AFTER_S + 60)
    with pytest.raises(NotFound):
        await mirrored.check()
    async with mirrored.database.connection() as connection:
        assert await mirror.states(connection) == []


async def test_a_lease_is_prolonged_while_the_check_lives(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEASE_S", 0.4)
    mirrored.discogs.latency_ms = 1500
    running = mirrored.checks.check(STORE, Lane.CHECK, "test")
    async with asyncio.timeout(10):
        while not mirrored.discogs.calls or mirrored.discogs.calls[-1].status is not None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.8)  # twice the lease
    async with mirrored.database.connection() as connection:
        assert await mirror.lease(connection, STORE, 60) is None
    assert running.task is not None
    await running.task
    assert running.error is None


@pytest.mark.parametrize(("named", "known"), [((), []), ((STORE,), [STORE])])
async def test_what_is_gone_for_long_is_forgotten_unless_it_is_wanted(
    mirrored: Mirrored, named: tuple[str, ...], known: list[str]
) -> None:
    mirrored.checks.named = named
    mirrored.discogs.delete_user(STORE)
    for now in (datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=GONE_AFTER_S + 60)):
        mirrored.checks.now = partial(datetime.fromtimestamp, now.timestamp(), UTC)
        with pytest.raises(NotFound):
            await mirrored.check()
    async with mirrored.database.connection() as connection:
        assert [each.username for each in await mirror.states(connection)] == known
        assert list(await tracking.gone(connection, named)) == known
        assert await mirror.order(connection, STORE) is None


async def test_while_the_credential_is_refused_rows_keep_their_pictures_until_they_are_too_old(
    start_proxy: StartProxy, database: Database
) -> None:
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: 130})) as discogs:
        discogs.register_consumer("op-key", "op-secret")
        key = {"DISCOGS_CONSUMER_KEY": "op-key", "DISCOGS_CONSUMER_SECRET": "op-secret"}
        upstream = (await start_proxy(DISCOGS_API_URL=discogs.url, **key)).app[keys.UPSTREAM]
        told = Told()
        checking = CheckService(database, upstream, lambda: None, record=told)
        shop = Mirrored(discogs, checking, database, Churn(discogs.catalogue))
        await shop.check()
        before = await shop.oldest()
        bare = sum(is_poor(body) for body in await bodies(shop))  # of releases that have none
        assert 0 < bare < 60
        listing = discogs.edit_listing(STORE, shop.truth()[5], price=77.25)
        discogs.add_fault(Fault("status", status=401, times=1))
        await shop.check(audits=2)
        assert upstream.operator_refused
        found = await bodies(shop)
        assert sum(is_poor(body) for body in found) == bare
        assert [b'"value":77.25' in body for body in found].count(True) == 1
        assert (await shop.oldest(), listing.price) == (before, 77.25)
        assert told.changed == [listing.id]
        shop.checks.now = lambda: datetime.now(UTC) + timedelta(hours=5, minutes=30)
        await shop.check(audits=2)
        assert all(is_poor(body) for body in await bodies(shop))
        discogs.clear_faults()
        upstream.use(upstream.operator)
        await shop.check(audits=2)
        assert sum(is_poor(body) for body in await bodies(shop)) == bare
        assert told.changed == [listing.id], "how Discogs shows a listing is no change of it"


async def bodies(shop: Mirrored) -> list[bytes]:
    """Of the rows, each without the seller."""
    async with shop.database.connection() as connection:
        return [row.body for row in (await mirror.rows(connection, STORE, await shop.shown())).values()]
