"""All SQL of the links: those that are due for a look, what it told, and the matches that follow.

A link's row is never locked by who waits for a release's: jobs hold the release's rows first, then those of links.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from asyncpg import Record

from matcher import hidden_store, store
from matcher.database import Connection
from matcher.domain.links import CLOCKS_DIFFER, SCHEDULED_MOST, Link, LinkState, Seen
from matcher.domain.urls import spelling
from matcher.hidden_store import HIDDEN_SINCE, IS_TOLD
from matcher.queue_store import match_again

LEASE = timedelta(minutes=10)
"""A link whose looker died is due again after this; a batch ends well before it."""

EXPIRED_AT_ONCE = 500
OVERDUE_AFTER = timedelta(days=1)

HELD = """
  WITH held AS (
    SELECT url FROM match_links WHERE url = ANY($2::text[]) AND lease_token = $1 ORDER BY url FOR NO KEY UPDATE
  )
"""
"""Links that are still leased by this token."""

WITHOUT_DETAILS = """
  (SELECT jsonb_agg(reason || '{"detail": ""}' ORDER BY nth)
   FROM jsonb_array_elements(m.reasons) WITH ORDINALITY AS of_m (reason, nth))
"""
"""The details of reasons quote title and duration; names and weights do not."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Links to look at. A `wanted` one has a match that nobody rejected, or is hidden."""

    token: UUID
    links: Mapping[str, Link]
    wanted: frozenset[str]


class Looked(NamedTuple):
    """What came of a look at a URL: the link now, and when it is due again."""

    url: str
    seen: Seen
    link: Link
    next_at: datetime


async def claim(connection: Connection, platform: str, limit: int, now: datetime) -> Leased | None:
    """Lease up to `limit` links that are due, those that wait longest first; None: there are none.

    What is due, or leased, further ahead than may be was written by a clock that was wrong: it is due now. One that no
    match leads to any more is forgotten, but for what is dead: that it is not to be suggested again.
    """
    token = uuid4()
    rows = await connection.fetch(
        """
        UPDATE match_links l SET lease_token = $3, lease_until = $4::timestamptz + $5::interval
        WHERE url IN (
          SELECT url FROM match_links
          WHERE platform = $1 AND (next_at <= $4 OR next_at > $6)
            AND (lease_until IS NULL OR lease_until < $4 OR lease_until > $7)
          ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        RETURNING url, state, hidden_since, doubts, doubted_since, silences,
                  hidden_since IS NOT NULL
                    OR EXISTS (SELECT FROM track_matches m WHERE m.match_url = l.url AND NOT m.rejected) AS is_wanted,
                  hidden_since IS NULL
                    AND NOT EXISTS (SELECT FROM track_matches m WHERE m.match_url = l.url) AS is_unused
        """,
        platform,
        limit,
        token,
        now,
        LEASE,
        now + SCHEDULED_MOST + CLOCKS_DIFFER,
        now + LEASE + CLOCKS_DIFFER,
    )
    unused = {row["url"] for row in rows if row["is_unused"]}
    await _forget_unused(connection, unused)
    if not rows:
        return None
    return Leased(
        token,
        {row["url"]: _link(row) for row in rows if row["url"] not in unused},
        frozenset(row["url"] for row in rows if row["is_wanted"]),
    )


def _link(row: Record) -> Link:
    return Link(LinkState(row["state"]), row["hidden_since"], row["doubts"], row["doubted_since"], row["silences"])


async def _forget_unused(connection: Connection, urls: Collection[str]) -> None:
    """They were claimed: whoever writes a match with such a link has done so, or waits until it is forgotten."""
    await connection.execute(
        """
        DELETE FROM match_links l
        WHERE url = ANY($1::text[]) AND NOT EXISTS (SELECT FROM track_matches m WHERE m.match_url = l.url)
        """,
        urls,
    )


async def note(connection: Connection, token: UUID, looked: Sequence[Looked]) -> None:
    """First of all what the links are now, while they stay leased. Jobs that store matches see it from then on.

    If we die before `settle` they are looked at again, and their matches follow then.
    """
    await connection.execute(
        f"""
        {HELD}
        UPDATE match_links l
        SET spelling = told.spelling, state = told.state, hidden_since = told.hidden_since
        FROM held JOIN unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[])
          AS told (url, spelling, state, hidden_since) USING (url)
        WHERE l.url = held.url
        """,  # noqa: S608 - a constant of ours
        token,
        [each.url for each in looked],
        [spelling(each.url) for each in looked],
        [each.link.state.value for each in looked],
        [each.link.hidden_since for each in looked],
    )


async def settle(connection: Connection, token: UUID, looked: Sequence[Looked], now: datetime) -> None:
    """Last of all: when they are looked at again."""
    await connection.execute(
        f"""
        {HELD}
        UPDATE match_links l
        SET doubts = told.doubts, doubted_since = told.doubted_since, silences = told.silences, next_at = told.next_at,
            checked_at = CASE WHEN told.is_news THEN $8 ELSE l.checked_at END,
            lease_token = NULL, lease_until = NULL
        FROM held JOIN unnest($2::text[], $3::integer[], $4::timestamptz[], $5::integer[], $6::timestamptz[],
                              $7::boolean[])
          AS told (url, doubts, doubted_since, silences, next_at, is_news) USING (url)
        WHERE l.url = held.url
        """,  # noqa: S608 - a constant of ours
        token,
        [each.url for each in looked],
        [each.link.doubts for each in looked],
        [each.link.doubted_since for each in looked],
        [each.link.silences for each in looked],
        [each.next_at for each in looked],
        [each.seen.state is not LinkState.UNKNOWN for each in looked],
        now,
    )


async def put_back(connection: Connection, token: UUID, urls: Collection[str], next_at: datetime | None) -> None:
    """Unasked: due as before, or at `next_at`."""
    await connection.execute(
        f"""
        {HELD}
        UPDATE match_links l SET next_at = coalesce($3, l.next_at), lease_token = NULL, lease_until = NULL
        FROM held WHERE l.url = held.url
        """,  # noqa: S608 - a constant of ours
        token,
        list(urls),
        next_at,
    )


# --- matches follow -----------------------------------------------------------------------------------------------


async def that_disagree(connection: Connection, looked: Sequence[Looked]) -> list[int]:
    """Releases of which a match is not as these links are, or of which YouTube's API has told a match anew."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT m.release_id
        FROM unnest($1::text[], $2::boolean[]) AS t (url, is_told)
        JOIN match_links l ON l.url = t.url JOIN track_matches m ON m.match_url = t.url
        WHERE ({IS_TOLD} AND m.dead_since IS DISTINCT FROM {HIDDEN_SINCE}) OR (m.provider = 'youtube' AND t.is_told)
        ORDER BY 1
        """,  # noqa: S608 - constants of ours
        [each.url for each in looked],
        [each.seen.title is not None for each in looked],
    )
    return [row["release_id"] for row in rows]


async def follow(
    connection: Connection, release_id: int, looked: Sequence[Looked], told_at: datetime
) -> tuple[int, int]:
    """In a transaction of its own: the release's matches are hidden or shown as their links are, and told anew.

    It is matched again, behind everything that is asked for, where a match was hidden, or may no longer be what it
    was. Returns how many were hidden, and shown again. What is not rejected and comes alive again gives way to what
    a person or the old system put beside it meanwhile, and to what a rescan has found; but a person's own comes back.
    """
    await _hold(connection, release_id)
    is_another = await _retell(connection, release_id, looked, told_at)
    return await _follow(connection, release_id, is_another=is_another)


async def _hold(connection: Connection, release_id: int) -> None:
    await connection.execute("SELECT FROM match_queue WHERE release_id = $1 FOR UPDATE", release_id)
    await connection.execute("SELECT FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id)


async def _follow(connection: Connection, release_id: int, *, is_another: bool = False) -> tuple[int, int]:
    changed = [row for row in await hidden_store.follow_links(connection, release_id) if not row["rejected"]]
    hidden = [row for row in changed if row["is_hidden"]]
    revived = [row["id"] for row in changed if not row["is_hidden"]]
    gave_way = await hidden_store.make_room(connection, revived)
    await store.refresh_has_audio(connection, release_id)
    if hidden or gave_way or is_another:
        await match_again(connection, release_id)
    return len(hidden), len(revived) - gave_way


async def _retell(connection: Connection, release_id: int, looked: Sequence[Looked], told_at: datetime) -> bool:
    """Whether a match that no person decided was found by a title that is another one now."""
    rows = await connection.fetch(
        f"""
        WITH told AS (
          SELECT m.id, t.title, t.duration,
                 (t.title, t.duration) IS DISTINCT FROM (m.candidate_title, m.candidate_duration_s) AS is_news,
                 m.candidate_title IS NOT NULL AND m.verified_at IS NULL AS is_judged_by_it
          FROM unnest($2::text[], $3::text[], $4::integer[]) AS t (url, title, duration)
          JOIN track_matches m ON m.match_url = t.url
          WHERE m.release_id = $1 AND m.provider = 'youtube' AND t.title IS NOT NULL
        )
        UPDATE track_matches m
        SET candidate_title = told.title, candidate_duration_s = told.duration, told_at = $5, expired_at = NULL,
            reasons = CASE WHEN told.is_news THEN {WITHOUT_DETAILS} ELSE m.reasons END
        FROM told WHERE m.id = told.id RETURNING told.is_news AND told.is_judged_by_it AS is_to_be_judged_again
        """,  # noqa: S608 - constants of ours
        release_id,
        [each.url for each in looked],
        [each.seen.title for each in looked],
        [each.seen.duration_s for each in looked],
        told_at,
    )
    return any(row["is_to_be_judged_again"] for row in rows)


# --- what YouTube's API told --------------------------------------------------------------------------------------


TOO_OLD = "(told_at < $1 OR told_at > $2)"
"""Of a match: YouTube's API told it before $1. Nobody knows how long ago it was where that is later than $2, as a clock
was wrong.
"""


async def releases_told(connection: Connection, told_before: datetime, now: datetime) -> list[int]:
    """Some of the releases of which a match holds what YouTube's API told that long ago."""
    rows = await connection.fetch(
        f"SELECT DISTINCT release_id FROM track_matches WHERE {TOO_OLD} ORDER BY 1 LIMIT $3",  # noqa: S608 - a constant
        told_before,
        now + CLOCKS_DIFFER,
        EXPIRED_AT_ONCE,
    )
    return [row["release_id"] for row in rows]


async def expire(connection: Connection, release_id: int, told_before: datetime, now: datetime) -> None:
    """In a transaction of its own: what was told that long ago goes, the row, its id and any decision stay.

    Each match says itself when it was told, so nobody else who writes of the same video meanwhile changes that. It is
    hidden until it is told anew.
    """
    await _hold(connection, release_id)
    await connection.execute(
        f"""
        UPDATE track_matches m
        SET candidate_title = NULL, candidate_duration_s = NULL, reasons = {WITHOUT_DETAILS}, told_at = NULL,
            expired_at = $4
        WHERE release_id = $3 AND {TOO_OLD}
        """,  # noqa: S608 - constants of ours
        told_before,
        now + CLOCKS_DIFFER,
        release_id,
        now,
    )
    await _follow(connection, release_id)


async def forget_old_answers(connection: Connection, kept_before: datetime) -> None:
    """What providers said to jobs that have waited for others ever since; of one that somebody holds, next time."""
    await connection.execute(
        """
        UPDATE match_queue SET answers = NULL WHERE release_id IN (
          SELECT release_id FROM match_queue WHERE answers IS NOT NULL AND parked_since < $1 FOR UPDATE SKIP LOCKED
        )
        """,
        kept_before,
    )


# --- numbers ------------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """Of one platform's links."""

    hidden: int
    overdue: int
    """For more than a day."""


async def counts(connection: Connection, now: datetime) -> dict[str, Counts]:
    """By platform, of those that are looked at."""
    rows = await connection.fetch(
        """
        SELECT platform,
               (SELECT count(*) FROM match_links l WHERE l.platform = of.platform AND l.hidden_since IS NOT NULL),
               (SELECT count(*) FROM match_links l WHERE l.platform = of.platform AND l.next_at < $2)
        FROM unnest($1::text[]) AS of (platform)
        """,
        ["youtube", "deezer"],
        now - OVERDUE_AFTER,
    )
    return {platform: Counts(hidden, overdue) for platform, hidden, overdue in rows}
