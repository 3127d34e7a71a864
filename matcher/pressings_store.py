"""All SQL of what other pressings of a master have."""

from __future__ import annotations

from typing import NamedTuple

from matcher.database import Connection


class PressingMatch(NamedTuple):
    """A match of another pressing; `title` is its track's, a sub-track's with that of its whole."""

    match_url: str
    platform: str | None
    candidate_title: str | None
    candidate_duration_s: int | None
    told_at: float | None
    """When YouTube's API told that, in Unix time; None: it did not."""
    is_rejected: bool
    is_decided: bool
    title: str
    duration: str | None


PRESSING_MATCHES_MAX = 500


async def on_other_pressings(connection: Connection, release_id: int, master_id: int) -> list[PressingMatch]:
    """What other pressings of the master have: decided by people first, then approved, or attached to them.

    What a search found for another pressing, and nobody approved, is no evidence for this one; nor is what that has
    from others, as two would keep each other's matches alive for ever.
    """
    rows = await connection.fetch(
        """
        SELECT m.match_url, m.platform, m.candidate_title, m.candidate_duration_s,
               extract(epoch FROM m.told_at)::float8, m.rejected,
               m.verified_at IS NOT NULL, concat_ws(' ', whole ->> 'title', track ->> 'title'), track ->> 'duration'
        FROM releases r
        JOIN track_matches m ON m.release_id = r.discogs_id
        LEFT JOIN match_queue q ON q.release_id = r.discogs_id
        CROSS JOIN LATERAL (
          SELECT CASE WHEN m.sub_index IS NOT NULL THEN r.tracklist -> m.track_index END AS whole,
                 CASE WHEN m.sub_index IS NULL THEN r.tracklist -> m.track_index
                      ELSE r.tracklist -> m.track_index -> 'sub_tracks' -> m.sub_index END AS track
        ) AS entry
        WHERE r.master_id = $1 AND r.discogs_id <> $2
          AND m.match_url IS NOT NULL AND m.dead_since IS NULL
          AND q.no_audio_since IS NULL  -- what was rejected with all of its release tells nothing of others
          AND (
            m.verified_at IS NOT NULL
            OR (NOT m.rejected AND m.provider = 'discogs_videos')
            OR (NOT m.rejected AND m.approved AND m.provider IS DISTINCT FROM 'pressings')
          )
        ORDER BY m.verified_at IS NOT NULL DESC, m.approved DESC, m.confidence DESC, m.id LIMIT $3
        """,
        master_id,
        release_id,
        PRESSING_MATCHES_MAX,
    )
    return [PressingMatch(*row) for row in rows]
