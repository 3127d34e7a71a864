"""All SQL of stores and their listings: a sweep writes a new generation, and the finished one is swapped in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from matcher.database import Connection


@dataclass(frozen=True, slots=True)
class StoreState:
    """`generation` 0: no sweep has ended yet. `total` is upstream's `pagination.items` of the latest look."""

    generation: int
    total: int | None
    swept_at: datetime | None
    purged: bool = False
    """An operator wants it swept again, however fresh it is."""


@dataclass(frozen=True, slots=True)
class ListingRow:
    """One listing as the public sees it; `body` is its JSON."""

    listing_id: int
    rank: int
    release_id: int
    body: bytes
    fetched_at: datetime


async def touch_store(connection: Connection, username: str) -> StoreState:
    """The state of a store somebody asks for; it is made known at first sight. `username` is lower case."""
    row = await connection.fetchrow(
        """
        INSERT INTO stores (username) VALUES ($1)
        ON CONFLICT (username) DO UPDATE SET requested_at = now()
        RETURNING generation, listings_total, swept_at, purged
        """,
        username,
    )
    assert row is not None  # noqa: S101 - an upsert returns its row
    return StoreState(row["generation"], row["listings_total"], row["swept_at"], row["purged"])


async def forget_store(connection: Connection, username: str) -> None:
    await connection.execute("DELETE FROM stores WHERE username = $1", username)


async def purge_store(connection: Connection, username: str, *, soft: bool) -> int:
    """Softly: the next request starts a sweep. Else the listings go as well; returns how many are concerned."""
    found = await connection.fetchval(
        """
        SELECT count(*) FROM listings l
        JOIN stores s ON s.username = l.store_username AND s.generation = l.generation
        WHERE s.username = $1
        """,
        username,
    )
    if soft:
        await connection.execute("UPDATE stores SET purged = true WHERE username = $1", username)
    else:
        await forget_store(connection, username)
    return int(found)


async def begin_sweep(connection: Connection, username: str) -> int:
    """The generation to write; what an unfinished sweep left is dropped."""
    state = await touch_store(connection, username)
    await connection.execute(
        "DELETE FROM listings WHERE store_username = $1 AND generation <> $2", username, state.generation
    )
    return state.generation + 1


async def write_page(
    connection: Connection, username: str, generation: int, total: int, rows: Sequence[ListingRow]
) -> None:
    """A listing seen on two pages, because the store changed in between, keeps its later place."""
    await connection.execute("UPDATE stores SET listings_total = $2 WHERE username = $1", username, total)
    await connection.executemany(
        """
        INSERT INTO listings (store_username, generation, listing_id, rank, release_id, body, fetched_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (store_username, generation, listing_id) DO UPDATE SET
          rank = excluded.rank, release_id = excluded.release_id, body = excluded.body, fetched_at = excluded.fetched_at
        """,
        [
            (username, generation, each.listing_id, each.rank, each.release_id, each.body, each.fetched_at)
            for each in sorted(rows, key=lambda row: row.listing_id)  # two sweeps at once must not deadlock
        ],
    )


async def swap_in(
    connection: Connection, username: str, generation: int, new_releases: int, swept_at: datetime
) -> None:
    """Show the finished generation and log the sync."""
    await connection.execute(
        "UPDATE stores SET generation = $2, swept_at = $3, purged = false WHERE username = $1",
        username,
        generation,
        swept_at,
    )
    await connection.execute(
        "DELETE FROM listings WHERE store_username = $1 AND generation <> $2", username, generation
    )
    await connection.execute(
        """
        INSERT INTO store_sync_log
          (store_username, last_sync, listings_processed, new_releases_found, audio_matches_created)
        SELECT $1, now(), (SELECT count(*) FROM listings WHERE store_username = $1), $2,
               (SELECT count(*) FROM track_matches m
                WHERE m.created_at
                      > coalesce((SELECT max(last_sync) FROM store_sync_log WHERE store_username = $1), now())
                  AND EXISTS (SELECT FROM listings l WHERE l.store_username = $1 AND l.release_id = m.release_id))
        """,
        username,
        new_releases,
    )


async def read_listings(connection: Connection, username: str, generation: int) -> list[ListingRow]:
    """In the order observed upstream, whatever their age."""
    rows = await connection.fetch(
        """
        SELECT listing_id, rank, release_id, body, fetched_at FROM listings
        WHERE store_username = $1 AND generation = $2 ORDER BY rank, listing_id
        """,
        username,
        generation,
    )
    return [
        ListingRow(row["listing_id"], row["rank"], row["release_id"], row["body"], row["fetched_at"]) for row in rows
    ]
