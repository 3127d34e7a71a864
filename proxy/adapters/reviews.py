"""All SQL of the review page: releases to be reviewed, in the order of what shoppers look at, and what each is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from asyncpg import Record

from matcher.database import Connection
from matcher.queue_store import TURN
from proxy.domain.review_pages import Place, Tab

LIVE = """
  SELECT release_id,
         count(*) FILTER (WHERE NOT coalesce(approved, false)) AS pending,
         count(*) FILTER (WHERE approved) AS approved,
         max(confidence) FILTER (WHERE NOT coalesce(approved, false)) AS best,
         max(coalesce(verified_at::timestamptz, created_at::timestamptz)) AS changed_at
  FROM track_matches
  WHERE NOT rejected AND dead_since IS NULL AND track_index IS NOT NULL AND match_url IS NOT NULL
    AND ($1::bigint[] IS NULL OR release_id = ANY($1::bigint[]))
  GROUP BY release_id
"""
"""By release what shoppers may see: neither rejected nor dead."""

DEMAND_FIRST = f"""ARRAY[
  (NOT EXISTS (SELECT FROM mirror_listings l WHERE l.release_id = q.release_id AND l.gone_at IS NULL))::int,
  -coalesce((SELECT asked FROM release_demand d WHERE d.release_id = q.release_id), 0), {TURN}, q.release_id
]::float8[]"""  # noqa: S608 - a constant of ours
"""What is for sale before what was sold; of that what shoppers open most, then what they saw first in a list."""

NEWEST_FIRST = "ARRAY[-extract(epoch FROM coalesce(q.changed_at, 'epoch')), 0, 0, -q.release_id]::float8[]"

FROM = {
    Tab.PENDING: "live LEFT JOIN match_queue USING (release_id)",
    Tab.APPROVED: "live LEFT JOIN match_queue USING (release_id)",
    Tab.UNMATCHED: "match_queue LEFT JOIN live USING (release_id)",
}
WHERE = {
    Tab.PENDING: "pending > 0",
    Tab.APPROVED: "pending = 0 AND approved > 0",
    Tab.UNMATCHED: "status IN ('matched', 'unmatched', 'failed') AND pending IS NULL",
}
KEY = {
    Tab.PENDING: DEMAND_FIRST,
    Tab.APPROVED: NEWEST_FIRST,
    # What a person said to have none, ever, comes last.
    Tab.UNMATCHED: f"array_prepend((q.status = 'no_audio')::int::float8, ({DEMAND_FIRST})[2:])",
}

# What is there may hold texts that no jsonb can: such a listing is not found by its words.
SAID = r"""
  concat_ws(' ', r.artist, r.title, r.catno, regexp_replace(r.catno, '[^[:alnum:]]+', '', 'g')) || ' ' || coalesce((
    SELECT concat_ws(' ', sold ->> 'artist', sold ->> 'title', sold ->> 'catalog_number',
                     regexp_replace(sold ->> 'catalog_number', '[^[:alnum:]]+', '', 'g'))
    FROM mirror_listings l
    CROSS JOIN LATERAL convert_from(l.body, 'UTF8') AS text
    CROSS JOIN LATERAL (SELECT CASE WHEN text !~* '\\u(0000|d[89a-f])' THEN text::jsonb -> 'release' END AS sold) s
    WHERE r.title IS NULL AND l.release_id = q.release_id LIMIT 1
  ), '')
"""
"""Artist, title and catalogue number; of a release that is not persisted as its listing has them."""
UNACCENTED = rf"regexp_replace(normalize({SAID}, NFKD), '[\u0300-\u036f]', '', 'g')"


class FoundRelease(NamedTuple):
    """A line of the list. `best`: the highest confidence 0–100 of what is pending."""

    release_id: int
    pending: int
    approved: int
    best: float | None
    status: str | None
    place: Place


async def releases(
    connection: Connection,
    tab: Tab,
    words: Sequence[str],
    among: Collection[int] | None,
    after: Place | None,
    limit: int,
) -> list[FoundRelease]:
    """The next `limit` after a place in the list; all `words`, unaccented, are in artist, title or catalogue number."""
    rows = await connection.fetch(
        f"""
        WITH live AS ({LIVE}), q AS (
          SELECT release_id, coalesce(pending, 0) AS pending, coalesce(approved, 0) AS approved, best, changed_at,
                 priority, place,
                 CASE WHEN no_audio_since IS NULL THEN status ELSE 'no_audio' END AS status
          FROM {FROM[tab]} WHERE {WHERE[tab]} AND ($1::bigint[] IS NULL OR release_id = ANY($1::bigint[]))
        )
        SELECT q.release_id, q.pending, q.approved, q.best::float8, q.status, {KEY[tab]} AS place
        FROM q LEFT JOIN releases r ON r.discogs_id = q.release_id
        WHERE ($2::text[] = '{{}}' OR {UNACCENTED} ILIKE ALL($2::text[]))
          AND ($3::float8[] IS NULL OR {KEY[tab]} > $3::float8[])
        ORDER BY place LIMIT $4
        """,  # noqa: S608 - constants of ours
        among,
        [_anywhere(word) for word in words],
        None if after is None else list(after),
        limit,
    )
    return [_found(row) for row in rows]


def _found(row: Record) -> FoundRelease:
    *others, place = row
    return FoundRelease._make((*others, _place(place)))


def _anywhere(word: str) -> str:
    escaped = word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def _place(found: Sequence[float]) -> Place:
    first, second, third, last = found
    return first, second, third, int(last)


async def place_of(connection: Connection, release_id: int) -> Place:
    """Where a release stands, or would stand, among those pending."""
    found = await connection.fetchval(
        f"""
        SELECT {DEMAND_FIRST} FROM (SELECT $1::bigint AS release_id) AS wanted
        LEFT JOIN match_queue USING (release_id) CROSS JOIN LATERAL (SELECT release_id, priority, place) AS q
        """,  # noqa: S608 - constants of ours
        release_id,
    )
    return _place(found)


async def counts(connection: Connection, among: Collection[int] | None) -> dict[Tab, int]:
    row = await connection.fetchrow(
        f"""
        WITH live AS ({LIVE})
        SELECT (SELECT count(*) FROM live WHERE pending > 0) AS pending,
               (SELECT count(*) FROM live WHERE pending = 0 AND approved > 0) AS approved,
               (SELECT count(*) FROM {FROM[Tab.UNMATCHED]}
                WHERE {WHERE[Tab.UNMATCHED]} AND ($1::bigint[] IS NULL OR release_id = ANY($1::bigint[]))) AS unmatched
        """,  # noqa: S608 - constants of ours
        among,
    )
    return {tab: row[tab.value] if row else 0 for tab in Tab}


class StoredFacts(NamedTuple):
    """What is stored of a release, JSON as text. `listing` is the body of one that sells it, or sold it last."""

    release_id: int
    artist: str | None
    title: str | None
    year: int | None
    label: str | None
    catno: str | None
    thumb: str | None
    images: str | None
    tracklist: str | None
    fetched_at: datetime | None
    listing: bytes | None
    listing_at: datetime | None


async def facts(connection: Connection, release_ids: Collection[int]) -> dict[int, StoredFacts]:
    """Of each, nothing but its id where nothing is known."""
    rows = await connection.fetch(
        """
        SELECT wanted.release_id, r.artist, r.title, r.year, r.label, r.catno, r.thumb, r.images::text,
               r.tracklist::text, r.body_fetched_at, l.body, l.fetched_at
        FROM unnest($1::bigint[]) AS wanted (release_id)
        LEFT JOIN releases r ON r.discogs_id = wanted.release_id
        LEFT JOIN LATERAL (
          SELECT body, fetched_at FROM mirror_listings WHERE release_id = wanted.release_id
          ORDER BY gone_at IS NOT NULL, fetched_at DESC LIMIT 1
        ) l ON true
        """,
        list(release_ids),
    )
    return {row["release_id"]: StoredFacts(*row) for row in rows}


class QueueState(NamedTuple):
    """Of a release, how it stands with the matcher; `stores` sell it now."""

    status: str | None
    no_audio_since: datetime | None
    last_error: str | None
    decided_at: datetime | None
    stores: list[str]


async def queue_state(connection: Connection, release_id: int) -> QueueState:
    row = await connection.fetchrow(
        """
        SELECT q.status, q.no_audio_since, q.last_error, q.decided_at, ARRAY(
          SELECT DISTINCT store_username FROM mirror_listings
          WHERE release_id = $1 AND gone_at IS NULL ORDER BY 1
        ) AS stores
        FROM (SELECT $1::bigint AS release_id) AS wanted LEFT JOIN match_queue q USING (release_id)
        """,
        release_id,
    )
    assert row  # noqa: S101 - one row for the one that is wanted
    return QueueState(*row)


class ToldDecision(NamedTuple):
    """The last decision about a match, or about a release as a whole, with the names of what it was about."""

    id: int
    release_id: int
    match_id: int | None
    action: str
    decided_by: str
    decided_at: datetime
    track: str
    release: str


async def last_decisions(
    connection: Connection, match_ids: Collection[int], release_id: int | None = None
) -> list[ToldDecision]:
    """About each of some matches, or about a release as a whole."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (d.match_id) d.id, d.release_id, d.match_id, d.action, d.decided_by, d.decided_at,
               coalesce(nullif(concat_ws(' ', track ->> 'position', track ->> 'title'), ''), 'a track'),
               coalesce(nullif(concat_ws(' – ', r.artist, r.title), ''), 'release ' || d.release_id)
        FROM match_decisions d
        LEFT JOIN releases r ON r.discogs_id = d.release_id
        LEFT JOIN LATERAL (
          SELECT CASE WHEN d.sub_index IS NULL THEN r.tracklist -> d.track_index
                      ELSE r.tracklist -> d.track_index -> 'sub_tracks' -> d.sub_index END AS track
        ) AS entry ON true
        WHERE d.match_id = ANY($1::bigint[]) OR (d.match_id IS NULL AND d.release_id = $2)
        ORDER BY d.match_id, d.id DESC
        """,
        list(match_ids),
        release_id,
    )
    return [ToldDecision(*row) for row in rows]
