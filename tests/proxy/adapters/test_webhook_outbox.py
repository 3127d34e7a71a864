from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from matcher.database import Database
from proxy.adapters import webhook_outbox as outbox
from proxy.adapters.webhook_outbox import Batch
from proxy.domain.webhook import BATCH_MAX, listing_events, release_matched


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "GATHER", timedelta(0))


async def happen(database: Database, store: str, *listing_ids: int) -> None:
    async with database.transaction() as connection:
        await outbox.record(connection, listing_events(store, {}, added=listing_ids))


async def claim(database: Database) -> Batch | None:
    async with database.transaction() as connection:
        return await outbox.claim(connection)


async def claimed(database: Database) -> Batch:
    batch = await claim(database)
    assert batch is not None
    return batch


async def done(database: Database, batch: Batch) -> None:
    async with database.transaction() as connection:
        await outbox.done(connection, batch)


async def put_off(database: Database, batch: Batch, seconds: float = 0) -> None:
    async with database.connection() as connection:
        await outbox.put_off(connection, batch, seconds)


async def execute(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement)


async def waiting(database: Database) -> int:
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM webhook_queues") == await connection.fetchval(
            "SELECT count(DISTINCT store_username) FROM webhook_events"
        )
        return (await outbox.backlog(connection)).events


def ids(batch: Batch) -> list[str]:
    return [event.data.partition('"listing_id":')[2].partition(",")[0] for event in batch.events]


async def test_what_is_delivered_is_gone_and_nothing_else(database: Database) -> None:
    await happen(database, "a", 1, 2)
    batch = await claimed(database)
    assert (batch.store, ids(batch), batch.attempts) == ("a", ["1", "2"], 0)
    await happen(database, "a", 3)
    await done(database, batch)
    assert ids(await claimed(database)) == ["3"]
    assert await waiting(database) == 1


async def test_a_store_is_sent_by_one_at_a_time(database: Database) -> None:
    await happen(database, "a", 1)
    await happen(database, "b", 1)
    assert {(await claimed(database)).store, (await claimed(database)).store} == {"a", "b"}
    assert await claim(database) is None


async def test_a_batch_is_the_same_until_it_is_delivered(database: Database) -> None:
    await happen(database, "a", 1)
    first = await claimed(database)
    await happen(database, "a", 2)
    await put_off(database, first)
    again = await claimed(database)
    assert (again.batch_id, again.events, again.attempts) == (first.batch_id, first.events, 1)
    await done(database, again)
    following = await claimed(database)
    assert (ids(following), following.attempts) == (["2"], 0)
    assert following.batch_id != first.batch_id


async def test_whose_process_died_is_sent_again_by_another_who_alone_may_say_what_became_of_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happen(database, "a", 1)
    monkeypatch.setattr(outbox, "LEASE", timedelta(0))
    dead = await claimed(database)
    alive = await claimed(database)
    assert alive.batch_id == dead.batch_id
    await done(database, dead)
    await put_off(database, dead, 60)
    assert await waiting(database) == 1
    await done(database, alive)
    assert await waiting(database) == 0


async def test_a_long_backlog_leaves_in_batches(database: Database) -> None:
    await happen(database, "a", *range(1, 2 * BATCH_MAX + 2))
    sizes = []
    while batch := await claim(database):
        sizes.append(len(batch.events))
        await done(database, batch)
    assert sizes == [BATCH_MAX, BATCH_MAX, 1]
    assert await waiting(database) == 0


async def test_what_happens_within_a_moment_goes_together(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "GATHER", timedelta(hours=1))
    await happen(database, "a", 1)
    await happen(database, "a", 2)
    assert await claim(database) is None
    await execute(database, "UPDATE webhook_queues SET next_at = next_at - interval '1 hour'")
    assert ids(await claimed(database)) == ["1", "2"]


async def test_what_was_put_off_waits_unless_the_receiver_is_well_again(database: Database) -> None:
    await happen(database, "a", 1)
    await put_off(database, await claimed(database), 3600)
    assert await claim(database) is None
    async with database.transaction() as connection:
        await outbox.hurry(connection)
    assert ids(await claimed(database)) == ["1"]


@pytest.mark.parametrize("before", [[], [0]])
async def test_what_is_not_committed_is_not_overtaken(database: Database, before: list[int]) -> None:
    """Two who record for one store do so one after the other, so that the later one's events are later."""
    await happen(database, "a", *before)
    async with database.transaction() as connection:
        await outbox.record(connection, listing_events("a", {}, added=[1]))
        second = asyncio.create_task(happen(database, "a", 2))
        await happen(database, "b", 3)  # another store does not wait
        assert ids(await claimed(database)) == ["3"]
        assert not second.done()
    await second
    assert ids(await claimed(database)) == [str(each) for each in (*before, 1, 2)]


async def test_what_was_rolled_back_never_happened(database: Database) -> None:
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.record(connection, listing_events("a", {}, added=[1]))
        await transaction.rollback()
    assert await waiting(database) == 0


async def test_what_failed_for_days_is_dropped_and_what_follows_is_another_batch(database: Database) -> None:
    await happen(database, "a", 1)
    await happen(database, "b", 3)
    await execute(database, "UPDATE webhook_events SET created_at = created_at - interval '73 hours'")
    await happen(database, "a", 2)
    first = await claimed(database)
    assert ids(first) == ["1", "2"]
    async with database.transaction() as connection:
        await outbox.put_off(connection, first, 0)
        assert await outbox.drop_undeliverable(connection, first) == 1
    assert await waiting(database) == 2  # b has not been tried
    batches = [await claimed(database), await claimed(database)]
    [following] = [batch for batch in batches if batch.store == "a"]
    assert ids(following) == ["2"]
    assert following.batch_id != first.batch_id


@pytest.mark.parametrize(
    ("most", "left"), [(0, []), (1, ["3"]), (2, ["2", "3"]), (3, ["1", "2", "3"]), (9, ["1", "2", "3"])]
)
async def test_of_too_many_the_oldest_are_dropped(database: Database, most: int, left: list[str]) -> None:
    await happen(database, "a", 1, 2, 3)
    async with database.transaction() as connection:
        assert await outbox.drop_overflow(connection, most) == 3 - len(left)
    assert await waiting(database) == len(left)
    batch = await claim(database)
    assert (ids(batch) if batch else []) == left


@pytest.mark.parametrize(
    ("most", "of_a", "of_b"), [(2, ["2"], ["9"]), (4, ["1", "2"], ["8", "9"]), (6, ["1", "2"], ["6", "7", "8", "9"])]
)
async def test_a_store_with_too_many_drops_its_own(
    database: Database, most: int, of_a: list[str], of_b: list[str]
) -> None:
    await happen(database, "a", 1, 2)
    await happen(database, "b", *range(3, 10))
    async with database.transaction() as connection:
        assert await outbox.drop_overflow(connection, most) == 9 - most
    left = {batch.store: ids(batch) for batch in (await claimed(database), await claimed(database))}
    assert left == {"a": of_a, "b": of_b}


async def test_events_of_no_store_have_a_queue_too(database: Database) -> None:
    async with database.transaction() as connection:
        await outbox.record(connection, release_matched(7, []))
    batch = await claimed(database)
    assert batch.store is None
    await done(database, batch)
    assert await waiting(database) == 0
