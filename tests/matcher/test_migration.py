from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg

from matcher import decisions
from matcher.database import Database
from matcher.domain.retry import MAX_ATTEMPTS
from matcher.domain.verdict import Thresholds
from matcher.errors import ReleaseGone
from matcher.migration import migrate
from matcher.pool import FetchedRelease, Matcher
from matcher.providers.discogs_videos import DiscogsVideos
from proxy.adapters.database import SCHEMA_FILE, connected
from tests.matcher.bodies import encoded, release_body
from tests.matcher.test_decisions import DecideRelease
from tests.matcher.test_store import audio_of, execute, row

OLD_SYSTEM = """
CREATE TABLE releases (
  id serial PRIMARY KEY, discogs_id integer NOT NULL UNIQUE, title text, artist text,
  has_audio_matches boolean DEFAULT false, created_at timestamp DEFAULT now()
);
CREATE TABLE track_matches (
  id serial PRIMARY KEY, release_id integer NOT NULL, track_index integer NOT NULL, platform text, match_url text,
  confidence real, approved boolean DEFAULT false, verified_by text, verified_at timestamp,
  created_at timestamp DEFAULT now()
);
INSERT INTO releases (id, discogs_id, title) VALUES (101, 7, 'stored by the old system');
INSERT INTO track_matches (release_id, track_index, platform, match_url, confidence, approved, verified_by, verified_at)
SELECT 100 + n, 0, 'youtube', 'https://www.youtube.com/watch?v=old', 88, n % 2 = 0, 'anna', '2024-05-06 07:08:09'
FROM generate_series(0, 9) n;
INSERT INTO track_matches (release_id, track_index, match_url) VALUES (7, 0, 'https://www.youtube.com/watch?v=old');
"""


async def old_system(dsn: str, sql: str = OLD_SYSTEM) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(sql)
    await connection.close()


async def snapshot(database: Database) -> list[asyncpg.Record]:
    async with database.connection() as connection:
        return await connection.fetch(
            "SELECT id, release_id, match_url, approved, verified_by, verified_at FROM track_matches ORDER BY id"
        )


async def fetch(release_id: int) -> FetchedRelease:
    if release_id == 105:
        raise ReleaseGone("gone")
    return FetchedRelease(encoded(release_body(release_id, videos=0)), datetime.now(UTC))


async def test_a_new_database_has_nothing_to_migrate(database: Database) -> None:
    report = await migrate(database)
    assert report.done
    assert (report.matches, report.orphaned_releases, report.newly_queued) == (0, 0, 0)


async def test_the_old_systems_matches_are_adopted_without_losing_one(empty_database_dsn: str) -> None:
    await old_system(empty_database_dsn)
    async with connected(empty_database_dsn, connections=5) as database:
        before = await snapshot(database)
        report = await migrate(database)
        assert (report.matches, report.orphaned_releases, report.newly_queued) == (11, 10, 10)
        assert not report.done
        assert (await migrate(database)).newly_queued == 0  # twice gives the same

        worker = Matcher(database, fetch, [DiscogsVideos()], Thresholds(50, 85), 3)
        drained = await worker.drain(100, 20)
        assert (drained.cached, drained.failed) == (9, 1)

        report = await migrate(database)
        assert report.done
        assert report.orphaned_releases == 0
        assert await snapshot(database) == before
        assert await migrate(database) == report


async def test_an_adopted_release_keeps_apart_from_an_old_rows_primary_key(empty_database_dsn: str) -> None:
    await old_system(empty_database_dsn)
    async with connected(empty_database_dsn, connections=5) as database:
        await migrate(database)
        await Matcher(database, fetch, [DiscogsVideos()], Thresholds(50, 85), 3).drain(100, 20)
        async with database.connection() as connection:
            rows = await connection.fetch("SELECT discogs_id, id FROM releases")
        keys = {row["discogs_id"]: row["id"] for row in rows}
        assert keys[7] == 101
        assert keys[101] == -101
        assert keys[102] == 102


async def test_what_a_person_said_has_no_audio_is_adopted_without_being_matched(empty_database_dsn: str) -> None:
    async with connected(empty_database_dsn, connections=5) as database:
        await no_audio(database, decisions.no_audio)
        await execute(database, "ALTER TABLE track_matches DROP CONSTRAINT track_matches_release_fk")
        await execute(database, "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (7, 0, 'u')")
        await execute(database, SCHEMA_FILE.read_text())
        report = await migrate(database)
        assert (report.newly_queued, report.orphaned_releases, report.done) == (0, 0, True)
        assert (await row(database, 7))["status"] == "unmatched"
        assert (await audio_of(database, 7)).matches == ()
        await no_audio(database, decisions.undo_no_audio)
        assert [match["match_url"] for match in (await audio_of(database, 7)).matches] == ["u"]


async def no_audio(database: Database, how: DecideRelease) -> None:
    async with database.transaction() as connection:
        assert (await how(connection, 7, "anna")).changed


async def test_ids_kept_as_text_become_numbers(empty_database_dsn: str) -> None:
    await old_system(
        empty_database_dsn,
        "CREATE TABLE track_matches (id serial PRIMARY KEY, release_id text, match_url text);"
        "INSERT INTO track_matches (release_id, match_url) VALUES ('12', 'u')",
    )
    async with connected(empty_database_dsn) as database:
        assert (await migrate(database)).newly_queued == 1
        assert [row["release_id"] for row in await snapshot(database)] == [12]


async def test_the_old_system_writes_on_while_its_tables_are_adopted(empty_database_dsn: str) -> None:
    await old_system(empty_database_dsn)
    old = await asyncpg.connect(empty_database_dsn)
    written = 0

    async def traffic() -> None:
        nonlocal written
        while True:
            await old.execute("INSERT INTO track_matches (release_id, track_index, match_url) VALUES (7, 1, 'u')")
            written += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(traffic())
    async with connected(empty_database_dsn, connections=5) as database:
        await migrate(database)
        await Matcher(database, fetch, [DiscogsVideos()], Thresholds(50, 85), 3).drain(100, 20)
        assert (await migrate(database)).done
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await old.close()
        async with database.connection() as connection:
            kept = await connection.fetchval("SELECT count(*) FROM track_matches")
    assert written > 0
    assert kept in (11 + written, 12 + written)  # the last one was perhaps cancelled after it was stored


async def test_an_orphan_that_had_failed_before_is_tried_again_and_holds_up_nothing(database: Database) -> None:
    """Its matches are kept even if it can never be read: else the key would wait for it for ever."""
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE track_matches DISABLE TRIGGER ALL")
        await connection.execute("INSERT INTO track_matches (release_id, track_index, match_url) VALUES (8, 0, 'u')")
        await connection.execute("ALTER TABLE track_matches ENABLE TRIGGER ALL")
        await connection.execute("UPDATE pg_constraint SET convalidated = false WHERE conname LIKE 'track_matches_r%'")
        await connection.execute(
            "INSERT INTO match_queue (release_id, status, priority, attempts) VALUES (8, 'failed', 0, 5)"
        )
    assert (await migrate(database)).newly_queued == 1

    async def unreadable(_: int) -> FetchedRelease:
        return FetchedRelease(b"<html>", datetime.now(UTC))

    matcher = Matcher(database, unreadable, [DiscogsVideos()], Thresholds(50, 85), 1)
    for _ in range(MAX_ATTEMPTS):
        async with database.connection() as connection:
            await connection.execute("UPDATE match_queue SET not_before = now()")
        await matcher.drain(1, 10)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT status FROM match_queue") == "failed"
    report = await migrate(database)
    assert report.done
    assert report.matches == 1
