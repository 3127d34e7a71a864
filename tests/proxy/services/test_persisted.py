from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from matcher.database import Database
from proxy.adapters import mirror
from proxy.adapters.mirror import MirrorRow
from proxy.services.persisted import COUNTED_AT_ONCE, COUNTED_EACH_S, PersistedCounts

STORE = "long_store"
LONG = COUNTED_AT_ONCE + 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(database: Database, clock: Clock) -> PersistedCounts:
    return PersistedCounts(database, lambda: True, clock)


async def fill(database: Database, count: int) -> range:
    """A mirrored store; each listing sells the release of its number."""
    ids = range(1, count + 1)
    rows = [MirrorRow(each, each, json.dumps({"id": each}).encode(), datetime.now(UTC)) for each in ids]
    async with database.transaction() as connection:
        await mirror.touch(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.write_rows(connection, STORE, rows)
        await mirror.change(connection, STORE, token, list(ids))
    return ids


async def persist(database: Database, *releases: int) -> None:
    async with database.connection() as connection:
        await connection.executemany("INSERT INTO releases (id, discogs_id) VALUES ($1, $1)", [(r,) for r in releases])


async def test_of_a_short_store_the_count_is_of_the_moment(counts: PersistedCounts, database: Database) -> None:
    ids = await fill(database, 3)
    assert await counts.of(STORE, 1, ids) == 0
    await persist(database, 1, 2, 99)
    assert await counts.of(STORE, 1, ids) == 2


async def test_of_a_long_store_it_is_counted_again_behind_when_something_changed(
    counts: PersistedCounts, database: Database, clock: Clock
) -> None:
    ids = await fill(database, LONG)
    await persist(database, 1)
    assert await counts.of(STORE, 1, ids) == 1
    await persist(database, 2)
    clock.now += COUNTED_EACH_S
    assert await counts.of(STORE, 1, ids) == 1
    await counts.settled()
    assert await counts.of(STORE, 1, ids) == 1, "nobody said that anything changed"
    counts.changed()
    assert await counts.of(STORE, 1, ids) == 1
    await counts.settled()
    assert await counts.of(STORE, 1, ids) == 2


async def test_a_matcher_at_work_does_not_let_a_long_store_be_counted_all_the_time(
    counts: PersistedCounts, database: Database, clock: Clock
) -> None:
    ids = await fill(database, LONG)
    assert await counts.of(STORE, 1, ids) == 0
    await persist(database, 1)
    counts.changed()
    clock.now += COUNTED_EACH_S - 1
    await counts.of(STORE, 1, ids)
    await counts.settled()
    assert await counts.of(STORE, 1, ids) == 0
    clock.now += 1
    await counts.of(STORE, 1, ids)
    await counts.settled()
    assert await counts.of(STORE, 1, ids) == 1


async def test_a_new_version_is_counted_and_no_more_is_told_than_there_is(
    counts: PersistedCounts, database: Database, clock: Clock
) -> None:
    ids = await fill(database, LONG + 5)
    await persist(database, *ids)
    assert await counts.of(STORE, 1, ids) == LONG + 5
    clock.now += COUNTED_EACH_S
    assert await counts.of(STORE, 2, ids[:LONG]) == LONG
    await counts.settled()


async def test_while_changes_are_not_heard_nothing_counted_is_trusted(
    counts: PersistedCounts, database: Database, clock: Clock
) -> None:
    counts.changes_are_heard = lambda: False
    ids = await fill(database, LONG)
    assert await counts.of(STORE, 1, ids) == 0
    await persist(database, 1)
    clock.now += COUNTED_EACH_S
    await counts.of(STORE, 1, ids)
    await counts.settled()
    assert await counts.of(STORE, 1, ids) == 1
