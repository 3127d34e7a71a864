"""All SQL of the webhooks' outbox: events are recorded with the change they tell, and leave in order, store by store.

A batch keeps its id and its events until it is delivered: sent again after a crash it is the same, byte for byte.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import orjson

from matcher.database import Connection
from proxy.domain.webhook import BATCH_MAX, Event, RecordedEvent

GATHER = timedelta(seconds=1)
"""What happens so soon after the first event of a batch goes with it."""

LEASE = timedelta(seconds=60)
"""Of a store whose batch is being sent: longer than that takes at most."""

UNDELIVERABLE_AFTER = timedelta(days=3)
EVENTS_MAX = 100_000
NO_STORE = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The oldest events of a store, claimed. `attempts` counts the failed ones so far."""

    batch_id: uuid.UUID
    queue: str
    last: int
    attempts: int
    lease_token: uuid.UUID
    events: tuple[RecordedEvent, ...]

    @property
    def store(self) -> str | None:
        return self.queue or None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits; the age is that of the oldest event, 0 without any."""

    events: int
    age_s: float


# --- recording ----------------------------------------------------------------------------------------------------


async def record(connection: Connection, events: Sequence[Event]) -> None:
    """In the transaction that makes the change, and last in it.

    It locks the stores' queues until that commits. A store's events are therefore numbered in the order in which they
    can be seen, and none is overtaken.
    """
    stores = sorted({each.store or NO_STORE for each in events})
    await connection.executemany(
        """
        INSERT INTO webhook_queues AS q (store_username, next_at) VALUES ($1, now() + $2)
        ON CONFLICT (store_username) DO UPDATE SET next_at = q.next_at
        """,
        [(store, GATHER) for store in stores],
    )
    await connection.execute(
        """
        INSERT INTO webhook_events (store_username, type, data)
        SELECT store, type, data FROM unnest($1::text[], $2::text[], $3::text[])
          WITH ORDINALITY AS given (store, type, data, nth) ORDER BY nth
        """,
        [each.store or NO_STORE for each in events],
        [each.type.value for each in events],
        [orjson.dumps(each.data).decode() for each in events],
    )


async def releases_of(connection: Connection, store: str, listing_ids: Collection[int]) -> dict[int, int]:
    """The release of each listing that the store has or had."""
    rows = await connection.fetch(
        """
        SELECT listing_id, release_id FROM mirror_listings
        WHERE store_username = $1 AND listing_id = ANY($2::bigint[])
        """,
        store,
        listing_ids,
    )
    return {row["listing_id"]: row["release_id"] for row in rows}


async def sellers_of(connection: Connection, release_id: int) -> list[str]:
    """The stores that sell it now, as far as the mirror knows."""
    rows = await connection.fetch(
        "SELECT DISTINCT store_username FROM mirror_listings WHERE release_id = $1 AND gone_at IS NULL", release_id
    )
    return [row["store_username"] for row in rows]


# --- delivering ---------------------------------------------------------------------------------------------------


async def claim(connection: Connection) -> Batch | None:
    """Lease the oldest batch of the store that has waited longest; None while nothing is due."""
    row = await connection.fetchrow(
        """
        UPDATE webhook_queues q SET
          lease_token = gen_random_uuid(), lease_until = now() + $1,
          batch_id = coalesce(batch_id, gen_random_uuid()),
          batch_last = coalesce(batch_last, (
            SELECT max(id) FROM (
              SELECT id FROM webhook_events e WHERE e.store_username = q.store_username ORDER BY id LIMIT $2
            ) AS oldest
          ))
        WHERE store_username = (
          SELECT store_username FROM webhook_queues
          WHERE next_at <= now() AND (lease_until IS NULL OR lease_until < now())
          ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING store_username, batch_id, coalesce(batch_last, 0) AS batch_last, attempts, lease_token
        """,
        LEASE,
        BATCH_MAX,
    )
    if row is None:
        return None
    events = await connection.fetch(
        """
        SELECT event_id, type, created_at AS at, data FROM webhook_events
        WHERE store_username = $1 AND id <= $2 ORDER BY id
        """,
        row["store_username"],
        row["batch_last"],
    )
    return Batch(
        row["batch_id"],
        row["store_username"],
        row["batch_last"],
        row["attempts"],
        row["lease_token"],
        tuple(RecordedEvent(**each) for each in events),
    )


async def done(connection: Connection, batch: Batch) -> None:
    """In a transaction: the batch is delivered, the next may be sent. Where the lease was lost nothing is done."""
    if not await _is_held(connection, batch):
        return
    await _delete(connection, "store_username = $1 AND id <= $2", batch.queue, batch.last)
    await connection.execute(
        """
        UPDATE webhook_queues SET next_at = now(), attempts = 0, batch_id = NULL, batch_last = NULL,
          lease_token = NULL, lease_until = NULL
        WHERE store_username = $1
        """,
        batch.queue,
    )
    await _delete_empty(connection, [batch.queue])


async def put_off(connection: Connection, batch: Batch, seconds: float) -> None:
    """It failed: the same batch again after so long. Where the lease was lost nothing is done."""
    await connection.execute(
        """
        UPDATE webhook_queues SET next_at = now() + make_interval(secs => $3), attempts = attempts + 1,
          lease_token = NULL, lease_until = NULL
        WHERE store_username = $1 AND lease_token = $2
        """,
        batch.queue,
        batch.lease_token,
        seconds,
    )


async def hurry(connection: Connection) -> None:
    """In a transaction: the receiver is well again, whatever was put off is due."""
    await _lock(connection, None)
    await connection.execute("UPDATE webhook_queues SET next_at = now() WHERE next_at > now() AND attempts > 0")


async def drop_undeliverable(connection: Connection, failed: Batch) -> int:
    """In a transaction, after a batch failed: those events of its store that are too old. Returns how many."""
    await _lock(connection, failed.queue)
    return await _drop(
        connection, "store_username = $1 AND created_at < now() - $2::interval", failed.queue, UNDELIVERABLE_AFTER
    )


async def drop_overflow(connection: Connection, most: int) -> int:
    """In a transaction: what is beyond so many, of the stores that have most the oldest. Returns how many."""
    await _lock(connection, None)
    return await _drop(
        connection,
        """
        id IN (SELECT id FROM (
                 SELECT id, row_number() OVER (PARTITION BY store_username ORDER BY id DESC) AS from_newest
                 FROM webhook_events
               ) AS counted ORDER BY from_newest, id DESC OFFSET $1)
        """,
        most,
    )


async def backlog(connection: Connection) -> Backlog:
    row = await connection.fetchrow(
        """
        SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float AS age_s
        FROM webhook_events
        """
    )
    assert row is not None  # noqa: S101 - an aggregate has a row
    return Backlog(**row)


async def _is_held(connection: Connection, batch: Batch) -> bool:
    """Locked until the transaction ends, so that what is recorded meanwhile is seen."""
    found = await connection.fetchval(
        "SELECT true FROM webhook_queues WHERE store_username = $1 AND lease_token = $2 FOR UPDATE",
        batch.queue,
        batch.lease_token,
    )
    return bool(found)


async def _lock(connection: Connection, store: str | None) -> None:
    """The queue of a store, or all of them in the order in which everybody locks them."""
    await connection.execute(
        "SELECT FROM webhook_queues WHERE $1::text IS NULL OR store_username = $1 ORDER BY store_username FOR UPDATE",
        store,
    )


async def _drop(connection: Connection, which: str, *values: object) -> int:
    """Of queues that are locked. A batch that lost events is another one."""
    stores = await _delete(connection, which, *values)
    await connection.execute(
        "UPDATE webhook_queues SET batch_id = NULL, batch_last = NULL WHERE store_username = ANY($1::text[])",
        list(set(stores)),
    )
    await _delete_empty(connection, stores)
    return len(stores)


async def _delete(connection: Connection, which: str, *values: object) -> list[str]:
    """Returns the store of each event that is gone. `which` is one of the literals above, never a value."""
    rows = await connection.fetch(
        f"DELETE FROM webhook_events WHERE {which} RETURNING store_username",  # noqa: S608
        *values,
    )
    return [row["store_username"] for row in rows]


async def _delete_empty(connection: Connection, stores: Collection[str]) -> None:
    """Rows of `stores`, which are locked, that have no events left."""
    await connection.execute(
        """
        DELETE FROM webhook_queues q WHERE store_username = ANY($1::text[])
          AND NOT EXISTS (SELECT FROM webhook_events e WHERE e.store_username = q.store_username)
        """,
        list(set(stores)),
    )
