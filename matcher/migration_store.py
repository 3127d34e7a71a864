"""All SQL by which the rows of the old system are adopted in place."""

from __future__ import annotations

from matcher.database import Connection
from matcher.queue_store import Priority
from matcher.store import persist_bare

MIGRATION_TIMEOUT_S = 3600.0
"""For what reads a whole table of the old system; nobody waits for it."""

ORPHANS = """
  SELECT DISTINCT release_id FROM track_matches m
  WHERE release_id IS NOT NULL AND NOT EXISTS (SELECT FROM releases r WHERE r.discogs_id = m.release_id)
"""
"""Releases that have matches but no row of their own: the old system never stored them."""


async def queue_orphans(connection: Connection) -> int:
    """Queue them lowest, to be persisted whatever their new score; returns how many were not waiting already.

    But for those of which a person said that there is no audio for them, ever.
    """
    rows = await connection.fetch(
        f"""
        INSERT INTO match_queue AS q (release_id, priority, persist_always)
        SELECT release_id, $1, true FROM ({ORPHANS}) AS orphan ORDER BY release_id
        ON CONFLICT (release_id) DO UPDATE SET
          persist_always = true,
          status = CASE WHEN q.status = 'processing' THEN q.status ELSE 'queued' END,
          attempts = CASE WHEN q.status = 'failed' THEN 0 ELSE q.attempts END
        WHERE NOT q.persist_always AND q.no_audio_since IS NULL
        RETURNING 1
        """,  # noqa: S608 (a constant of ours)
        int(Priority.ORPHAN),
        timeout=MIGRATION_TIMEOUT_S,
    )
    return len(rows)


async def store_orphans_without_audio(connection: Connection) -> None:
    """Those are not matched: their matches are rejected, though by nobody, until a person takes that back."""
    rows = await connection.fetch(
        f"""
        SELECT release_id FROM ({ORPHANS}) AS orphan JOIN match_queue q USING (release_id)
        WHERE q.no_audio_since IS NOT NULL ORDER BY release_id
        """,  # noqa: S608 (a constant of ours)
        timeout=MIGRATION_TIMEOUT_S,
    )
    for row in rows:
        await connection.execute("UPDATE track_matches SET rejected = true WHERE release_id = $1", row["release_id"])
        await persist_bare(connection, row["release_id"])


async def count_orphans(connection: Connection) -> int:
    found = await connection.fetchval(
        f"SELECT count(*) FROM ({ORPHANS}) AS orphan",  # noqa: S608 (a constant of ours)
        timeout=MIGRATION_TIMEOUT_S,
    )
    return int(found)


async def count_matches(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM track_matches", timeout=MIGRATION_TIMEOUT_S))


async def foreign_key_is_valid(connection: Connection) -> bool:
    return bool(
        await connection.fetchval(
            """
            SELECT convalidated FROM pg_constraint
            WHERE conrelid = 'track_matches'::regclass AND conname = 'track_matches_release_fk'
            """
        )
    )


async def validate_foreign_key(connection: Connection) -> None:
    """Reads the table once under a lock that blocks neither readers nor writers."""
    await connection.execute(
        "ALTER TABLE track_matches VALIDATE CONSTRAINT track_matches_release_fk", timeout=MIGRATION_TIMEOUT_S
    )


async def refresh_all_has_audio(connection: Connection) -> int:
    """Set `has_audio_matches` of rows of the old system that do not say it right; returns how many."""
    changed = await connection.execute(
        """
        UPDATE releases r SET has_audio_matches = found.any_live
        FROM (
          SELECT discogs_id, EXISTS (
            SELECT FROM track_matches m
            WHERE m.release_id = releases.discogs_id AND NOT m.rejected AND m.dead_since IS NULL
          ) AS any_live FROM releases
        ) AS found
        WHERE found.discogs_id = r.discogs_id AND r.has_audio_matches IS DISTINCT FROM found.any_live
        """,
        timeout=MIGRATION_TIMEOUT_S,
    )
    return int(changed.removeprefix("UPDATE "))
