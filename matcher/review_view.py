"""What reviewers see: matches by their status or release, and who decided what of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from matcher.database import Connection
from matcher.models import MatchCursor, MatchStatus
from matcher.queue_store import TURN


class ReviewedMatch(NamedTuple):
    """A match with what a reviewer needs to decide it; `reasons` and `runner_up` are JSON."""

    id: int
    release_id: int
    artist: str | None
    release_title: str | None
    track_index: int | None
    sub_index: int | None
    position: str | None
    title: str | None
    duration: str | None
    platform: str | None
    match_url: str | None
    candidate_title: str | None
    candidate_duration_s: int | None
    provider: str | None
    confidence: float | None
    status: str
    verified_by: str | None
    verified_at: datetime | None
    created_at: datetime | None
    dead_since: datetime | None
    link_state: str
    """As a LinkState; `expired`: what YouTube's API told of it may no longer be shown."""
    reasons: str
    runner_up: str | None


STATUS = "CASE WHEN m.rejected THEN 'rejected' WHEN m.approved THEN 'approved' ELSE 'pending' END"

MATCHES = f"""
  SELECT m.id, m.release_id, r.artist, r.title, m.track_index, m.sub_index, track ->> 'position', track ->> 'title',
         track ->> 'duration', m.platform, m.match_url, m.candidate_title, m.candidate_duration_s, m.provider,
         m.confidence::float8, {STATUS}, m.verified_by, m.verified_at::timestamptz, m.created_at::timestamptz,
         m.dead_since,
         CASE WHEN m.provider = 'youtube' AND m.expired_at IS NOT NULL AND l.hidden_since IS NULL THEN 'expired'
              ELSE coalesce(l.state, 'unknown') END,
         coalesce(m.reasons, '[]')::text, m.runner_up::text
  FROM track_matches m
  LEFT JOIN match_links l ON l.url = m.match_url
  LEFT JOIN releases r ON r.discogs_id = m.release_id
  LEFT JOIN match_queue q ON q.release_id = m.release_id
  LEFT JOIN LATERAL (
    SELECT CASE WHEN m.sub_index IS NULL THEN r.tracklist -> m.track_index
                ELSE r.tracklist -> m.track_index -> 'sub_tracks' -> m.sub_index END AS track
  ) AS entry ON true
"""  # noqa: S608 - a constant of ours

DEMAND_FIRST = f"-coalesce(d.asked, 0)::float8, {TURN}, -coalesce(m.confidence, 0)::float8"
"""What shoppers open most, then what they saw first in a list, and what is surest of that."""

NEWEST_FIRST = """
  -extract(epoch FROM coalesce(m.verified_at::timestamptz, m.created_at::timestamptz, 'epoch'))::float8, 0, 0
"""


async def matches(
    connection: Connection,
    status: MatchStatus,
    limit: int,
    after: MatchCursor | None,
    among: Collection[int] | None = None,
) -> tuple[list[ReviewedMatch], MatchCursor | None]:
    """The next `limit` after a place in the list, and the place of the last of them if more may follow.

    Pending ones as shoppers look at them, others newest first. What is opened meanwhile moves towards the front: who
    reads on sees nothing twice. What is dead is no longer pending. `among`: only those
    of these releases.
    """
    pending = status is MatchStatus.PENDING
    key = f"{DEMAND_FIRST}, m.id" if pending else f"{NEWEST_FIRST}, -m.id"
    place = await connection.fetch(
        f"""
        SELECT m.id, ARRAY[{key}]::float8[] AS place
        FROM track_matches m LEFT JOIN match_queue q ON q.release_id = m.release_id
        LEFT JOIN release_demand d ON d.release_id = m.release_id
        WHERE {STATUS} = $1 AND ($1 <> 'pending' OR m.dead_since IS NULL)
          AND m.track_index IS NOT NULL AND m.match_url IS NOT NULL
          AND ($4::bigint[] IS NULL OR m.release_id = ANY($4::bigint[]))
          AND ($3::float8[] IS NULL OR ARRAY[{key}]::float8[] > $3::float8[])
        ORDER BY 2 LIMIT $2
        """,  # noqa: S608 - constants of ours
        status.value,
        limit,
        None if after is None else list(after),
        among,
    )
    found = {each.id: each for each in await _reviewed(connection, [row["id"] for row in place])}
    shown = [found[row["id"]] for row in place if row["id"] in found]
    first, second, third, last = place[-1]["place"] if len(place) == limit else (0.0, 0.0, 0.0, 0)
    return shown, (first, second, third, int(last)) if len(place) == limit else None


async def match(connection: Connection, match_id: int) -> ReviewedMatch | None:
    return next(iter(await _reviewed(connection, [match_id])), None)


async def matches_of(connection: Connection, release_id: int) -> list[ReviewedMatch]:
    """All of a release, in the order of its tracks: also what was rejected, or is dead."""
    rows = await connection.fetch(
        f"""
        {MATCHES} WHERE m.release_id = $1 AND m.track_index IS NOT NULL AND m.match_url IS NOT NULL
        ORDER BY m.track_index, m.sub_index NULLS FIRST, m.id
        """,
        release_id,
    )
    return [ReviewedMatch(*row) for row in rows]


async def _reviewed(connection: Connection, match_ids: Sequence[int]) -> list[ReviewedMatch]:
    rows = await connection.fetch(f"{MATCHES} WHERE m.id = ANY($1::bigint[])", match_ids)
    return [ReviewedMatch(*row) for row in rows]


class PastDecision(NamedTuple):
    """A line of a release's history. `match_id`: None where it is about the release as a whole."""

    id: int
    track_index: int | None
    sub_index: int | None
    match_id: int | None
    match_url: str | None
    action: str
    decided_by: str
    decided_at: datetime


HISTORY_MAX = 500


async def history(
    connection: Connection, release_id: int, limit: int = HISTORY_MAX, before: int | None = None
) -> list[PastDecision]:
    """Of a release, newest first, from the one `before` that."""
    rows = await connection.fetch(
        """
        SELECT id, track_index, sub_index, match_id, match_url, action, decided_by, decided_at
        FROM match_decisions WHERE release_id = $1 AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $2
        """,
        release_id,
        limit,
        before,
    )
    return [PastDecision(*row) for row in rows]


async def decided_since(
    connection: Connection,
    release_id: int,
    seen: int,
    own: int,
    track: tuple[int | None, int | None] | None = None,
    but_by: str | None = None,
) -> PastDecision | None:
    """What was decided last after decision `seen`, before the `own` decisions made just now.

    Of a release as a whole, or of a `track` (its index and that of its sub-track), what concerns it. Those that
    `but_by` made do not count.
    """
    row = await connection.fetchrow(
        """
        SELECT id, track_index, sub_index, match_id, match_url, action, decided_by, decided_at
        FROM match_decisions
        WHERE release_id = $1 AND id > $2
          AND ($3 OR match_id IS NULL OR (track_index IS NOT DISTINCT FROM $4 AND sub_index IS NOT DISTINCT FROM $5))
          AND decided_by IS DISTINCT FROM $7
        ORDER BY id DESC OFFSET $6 LIMIT 1
        """,
        release_id,
        seen,
        track is None,
        *(track or (None, None)),
        own,
        but_by,
    )
    return PastDecision(*row) if row else None
