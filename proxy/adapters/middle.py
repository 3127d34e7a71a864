"""All SQL of the middle of long stores: the listings that are known, but have no exact place in the mirror."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from matcher.database import Connection
from proxy.adapters.mirror import LeaseLost, held
from proxy.domain.middle import Middle


async def middle(connection: Connection, username: str) -> Middle:
    row = await connection.fetchrow(
        """
        SELECT middle_orders, middle_page, middle_known_before, middle_is_read, middle_gone_at
        FROM stores WHERE username = $1
        """,
        username,
    )
    if row is None:
        return Middle()
    return Middle(
        row["middle_orders"],
        row["middle_page"],
        row["middle_known_before"],
        row["middle_is_read"],
        tuple(row["middle_gone_at"]),
    )


async def ids(connection: Connection, username: str) -> Sequence[int]:
    """Newest first, with what is hidden."""
    found: Sequence[int] | None = await connection.fetchval(
        "SELECT middle_ids FROM stores WHERE username = $1", username
    )
    return found or ()


async def shown_ids(connection: Connection, username: str) -> Sequence[int]:
    """Newest first."""
    found: Sequence[int] = await connection.fetchval(
        """
        SELECT ARRAY(
          SELECT m.listing_id FROM unnest(s.middle_ids) WITH ORDINALITY AS m (listing_id, place)
          WHERE NOT EXISTS (SELECT FROM doubted_listings d
                            WHERE d.store_username = $1 AND d.listing_id = m.listing_id AND d.hidden)
          ORDER BY m.place)
        FROM stores s WHERE username = $1
        """,
        username,
    )
    return found or ()


async def save(connection: Connection, username: str, token: uuid.UUID, found: Middle) -> None:
    """Raises LeaseLost."""
    await held(
        connection,
        """
        UPDATE stores SET middle_orders = $3, middle_page = $4, middle_known_before = $5, middle_is_read = $6,
          middle_gone_at = $7
        WHERE username = $1 AND lease_token = $2
        """,
        username,
        token,
        found.orders,
        found.page,
        found.known_before,
        found.is_read,
        found.gone_at,
    )


async def keep(connection: Connection, username: str, token: uuid.UUID, since: datetime) -> int:
    """Of what has no exact place, show what was seen `since`; the rest vanished.

    Returns how many listings of the store are known in all. Raises LeaseLost.
    """
    await connection.execute(
        """
        WITH placed AS (SELECT unnest(listing_ids) AS listing_id FROM stores WHERE username = $1)
        UPDATE mirror_listings m SET gone_at = now()
        WHERE store_username = $1 AND gone_at IS NULL AND fetched_at < $2
          AND NOT EXISTS (SELECT FROM placed WHERE placed.listing_id = m.listing_id)
        """,
        username,
        since,
    )
    known: int | None = await connection.fetchval(
        """
        WITH placed AS (SELECT unnest(listing_ids) AS listing_id FROM stores WHERE username = $1),
        found AS (
          SELECT coalesce(array_agg(listing_id ORDER BY posted DESC NULLS LAST, listing_id DESC), '{}') AS ids
          FROM mirror_listings m
          WHERE store_username = $1 AND gone_at IS NULL
            AND NOT EXISTS (SELECT FROM placed WHERE placed.listing_id = m.listing_id)
        )
        UPDATE stores SET middle_ids = found.ids, version = version + (middle_ids <> found.ids)::integer
        FROM found WHERE username = $1 AND lease_token = $2
        RETURNING cardinality(found.ids) + (SELECT count(*) FROM placed WHERE listing_id > 0)::integer
        """,
        username,
        token,
    )
    if known is None:
        raise LeaseLost
    return known
