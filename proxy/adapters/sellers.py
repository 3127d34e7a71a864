"""Who sells a release, or has sold it lately: what a reviewer of some stores may decide, and what it is called."""

from __future__ import annotations

from collections.abc import Collection

from matcher.database import Connection
from proxy.domain.merge import description_of
from proxy.domain.wire import decode_json


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


async def descriptions(connection: Connection, release_ids: Collection[int]) -> dict[int, str]:
    """What listings say of them: artist, title and format."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (release_id) release_id, body FROM mirror_listings
        WHERE release_id = ANY($1::bigint[]) ORDER BY release_id, fetched_at DESC
        """,
        list(release_ids),
    )
    found = {row["release_id"]: description_of(decode_json(row["body"])) for row in rows}
    return {release_id: description for release_id, description in found.items() if description}
