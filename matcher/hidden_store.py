"""All SQL by which matches are hidden, and shown again, as their links are: for jobs, people's decisions, and looks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asyncpg import Record

from matcher.database import Connection
from matcher.domain.urls import spelling

HIDDEN_SINCE = "coalesce(l.hidden_since, CASE WHEN m.provider = 'youtube' THEN m.expired_at END)"
"""Of a match `m` with its link `l`: what `dead_since` is to be. What YouTube's API told too long ago is hidden too."""

IS_TOLD = "(l.state <> 'unknown' OR l.hidden_since IS NOT NULL OR m.expired_at IS NOT NULL)"
"""Something is known of the link `l`, or of the match."""


async def hidden_links(connection: Connection, urls: Collection[str]) -> frozenset[str]:
    """The spellings of those that no shopper can play now."""
    rows = await connection.fetch(
        "SELECT DISTINCT spelling FROM match_links WHERE hidden_since IS NOT NULL AND spelling = ANY($1::text[])",
        list({spelling(url) for url in urls}),
    )
    return frozenset(row["spelling"] for row in rows)


async def hidden_from_now_on(connection: Connection, urls: Collection[str]) -> frozenset[str]:
    """The same. Whoever finds one of the others dead waits until this transaction ends, and then sees its rows.

    In the order of the URLs, as two writers must not deadlock; also of those that are not known yet.
    """
    await connection.execute(
        """
        INSERT INTO match_links (url, platform, next_at)
        SELECT url, link_platform(url), CASE link_platform(url) WHEN 'other' THEN 'infinity' ELSE now() END
        FROM unnest($1::text[]) AS url WHERE length(url) <= 500 ORDER BY url
        ON CONFLICT (url) DO NOTHING
        """,
        list(set(urls)),
    )
    await connection.execute("SELECT FROM match_links WHERE url = ANY($1::text[]) ORDER BY url FOR SHARE", list(urls))
    return await hidden_links(connection, urls)


async def follow_links(connection: Connection, release_id: int) -> list[Record]:
    """Matches of the release are hidden, or shown again, as their links are; those that changed, by id."""
    return await connection.fetch(
        f"""
        WITH changed AS (
          UPDATE track_matches m SET dead_since = {HIDDEN_SINCE}
          FROM match_links l
          WHERE m.release_id = $1 AND l.url = m.match_url AND {IS_TOLD} AND m.dead_since IS DISTINCT FROM {HIDDEN_SINCE}
          RETURNING m.id, m.dead_since IS NOT NULL AS is_hidden, m.rejected
        )
        SELECT * FROM changed ORDER BY id
        """,  # noqa: S608 - constants of ours
        release_id,
    )


AUTOMATIC = """
  NOT {0}.rejected AND {0}.dead_since IS NULL AND {0}.verified_at IS NULL AND {0}.provider IS NOT NULL
"""
BESIDE = """
  other.release_id = m.release_id AND other.track_index IS NOT DISTINCT FROM m.track_index
  AND other.sub_index IS NOT DISTINCT FROM m.sub_index AND other.id <> m.id
  AND NOT other.rejected AND other.dead_since IS NULL
"""


async def make_room(connection: Connection, revived: Sequence[int], kept: int | None = None) -> int:
    """A track shows one match. Returns how many of the revived ones went; `kept`, of these, not for an automatic one.

    Of two that come alive at once one stays.
    """
    await connection.execute(
        f"""
        DELETE FROM track_matches m USING track_matches other
        WHERE {BESIDE} AND {AUTOMATIC.format("m")} AND other.id = ANY($1::bigint[])
          AND (other.verified_at IS NOT NULL OR other.provider IS NULL OR other.id = $2)
        """,  # noqa: S608 - constants of ours
        revived,
        kept,
    )
    gone = await connection.execute(
        f"""
        DELETE FROM track_matches m USING track_matches other
        WHERE {BESIDE} AND {AUTOMATIC.format("m")} AND m.id = ANY($1::bigint[])
          AND NOT (other.id = ANY($1::bigint[]) AND other.id > m.id AND {AUTOMATIC.format("other")})
        """,  # noqa: S608 - constants of ours
        revived,
    )
    return int(gone.removeprefix("DELETE "))
