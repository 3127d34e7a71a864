"""Which releases the stores of a reviewer sell, or have sold lately: what he may see and decide."""

from __future__ import annotations

from collections.abc import Collection

from matcher.database import Connection


async def releases_of(connection: Connection, stores: Collection[str]) -> list[int]:
    """All of them; `stores` are lower-case usernames."""
    rows = await connection.fetch(
        "SELECT DISTINCT release_id FROM mirror_listings WHERE store_username = ANY($1::text[])", list(stores)
    )
    return [row["release_id"] for row in rows]


async def is_sold_by(connection: Connection, stores: Collection[str], release_id: int) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM mirror_listings WHERE release_id = $2 AND store_username = ANY($1::text[]))",
            list(stores),
            release_id,
        )
    )
