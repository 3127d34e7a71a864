"""All SQL of listings that may not be as the mirror has them: hidden ones, and ones that were written through us."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from matcher.database import Connection


@dataclass(frozen=True, slots=True)
class Doubts:
    """Listings of a store in doubt, longest first, as a check finds them that begins `at` (the database's clock)."""

    at: datetime
    listing_ids: tuple[int, ...]


async def doubt(connection: Connection, username: str, listing_id: int, *, hide: bool, for_s: float = 0.0) -> bool:
    """Until a check settles it that begins `for_s` from now at the earliest; what is hidden stays so.

    False for a store that is not known. The store's row comes first here and in a check: they must not deadlock.
    """
    known = await connection.execute(
        "UPDATE stores SET version = version + $2::integer WHERE username = $1", username, int(hide)
    )
    if known != "UPDATE 1":
        return False
    await connection.execute(
        """
        INSERT INTO doubted_listings AS d (store_username, listing_id, hidden, doubted_at)
        VALUES ($1, $2, $3, now() + make_interval(secs => $4))
        ON CONFLICT (store_username, listing_id) DO UPDATE SET
          hidden = d.hidden OR excluded.hidden, doubted_at = greatest(d.doubted_at, excluded.doubted_at)
        """,
        username,
        listing_id,
        hide,
        for_s,
    )
    return True


async def doubts(connection: Connection, username: str) -> Doubts:
    at = await connection.fetchval("SELECT clock_timestamp()")
    rows = await connection.fetch(
        "SELECT listing_id FROM doubted_listings WHERE store_username = $1 ORDER BY doubted_at, listing_id", username
    )
    return Doubts(at, tuple(row["listing_id"] for row in rows))


async def settle(connection: Connection, username: str, listing_ids: Collection[int], at: datetime) -> set[int]:
    """A check that began `at` saw for itself how these are; returns those of them that were hidden."""
    rows = await connection.fetch(
        """
        DELETE FROM doubted_listings WHERE store_username = $1 AND listing_id = ANY($2::bigint[]) AND doubted_at <= $3
        RETURNING listing_id, hidden
        """,
        username,
        listing_ids,
        at,
    )
    return {row["listing_id"] for row in rows if row["hidden"]}


async def hidden(connection: Connection, username: str) -> list[int]:
    rows = await connection.fetch(
        "SELECT listing_id FROM doubted_listings WHERE store_username = $1 AND hidden ORDER BY listing_id", username
    )
    return [row["listing_id"] for row in rows]


async def not_to_be_shown(
    connection: Connection, username: str, listing_ids: Collection[int], fetched_at: datetime
) -> set[int]:
    """Of the rows of a page that was asked for at `fetched_at`: those hidden, and those known to have gone since."""
    rows = await connection.fetch(
        """
        SELECT listing_id FROM doubted_listings
        WHERE store_username = $1 AND listing_id = ANY($2::bigint[]) AND hidden
        UNION
        SELECT listing_id FROM mirror_listings
        WHERE store_username = $1 AND listing_id = ANY($2::bigint[]) AND gone_at > $3
        """,
        username,
        listing_ids,
        fetched_at,
    )
    return {row["listing_id"] for row in rows}
