from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from matcher import queue_store, store
from matcher.database import Database
from matcher.domain.metadata import metadata
from matcher.domain.verdict import JudgedMatch
from matcher.models import Audio, Candidate, Match, ProcessingStatus, Reason, RunnerUp, Score, Track
from matcher.queue_store import Job, Priority
from matcher.store import StoredBody
from proxy.adapters.database import connected
from tests.matcher.bodies import encoded, release_body

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


async def enqueue(
    database: Database, *release_ids: int, priority: Priority = Priority.SEEN, fingerprint: str | None = None
) -> int:
    async with database.transaction() as connection:
        return await queue_store.enqueue(connection, release_ids, priority=priority, fingerprint=fingerprint)


async def claim(database: Database, limit: int = 1) -> list[Job]:
    async with database.transaction() as connection:
        return await queue_store.claim(connection, limit)


async def claim_one(database: Database) -> Job:
    (job,) = await claim(database)
    return job


async def decide(database: Database, job: Job, status: ProcessingStatus, fingerprint: str | None = "f") -> None:
    async with database.transaction() as connection:
        await queue_store.decide(connection, job, status, fingerprint)


async def execute(database: Database, sql: str, *values: object) -> None:
    async with database.connection() as connection:
        await connection.execute(sql, *values)


async def row(database: Database, release_id: int) -> dict[str, object]:
    async with database.connection() as connection:
        found = await connection.fetchrow("SELECT * FROM match_queue WHERE release_id = $1", release_id)
    assert found
    return dict(found)


async def audio_of(database: Database, release_id: int) -> Audio:
    async with database.connection() as connection:
        return (await store.audio(connection, [release_id]))[release_id]


def judged(
    title: str,
    index: int,
    *,
    url: str = "https://www.youtube.com/watch?v=aaaaaaaaaaa",
    confidence: float = 90,
    approved: bool = False,
) -> JudgedMatch:
    track = Track(index, None, "A", title, (), 362)
    candidate = Candidate("discogs_videos", "youtube", url, title)
    return JudgedMatch(Match(track, candidate, Score(confidence, (Reason("title", 2.0),))), approved)


async def persist(database: Database, release_id: int, *matches: JudgedMatch) -> None:
    """As a job does it."""
    await enqueue(database, release_id)
    await execute(database, "UPDATE match_queue SET status = 'queued' WHERE release_id = $1", release_id)
    job = await claim_one(database)
    assert job.release_id == release_id
    body = release_body(release_id)
    async with database.transaction() as connection:
        await queue_store.decide(connection, job, ProcessingStatus.MATCHED, "f")
        await store.persist(connection, job, metadata(body), StoredBody(encoded(body), NOW), matches)


# --- what is known ------------------------------------------------------------------------------------------------


async def test_a_release_never_seen_counts_as_queued(database: Database) -> None:
    assert await audio_of(database, 1) == Audio(ProcessingStatus.QUEUED, persisted=False)


async def test_a_persisted_release_shows_its_matches_with_the_tracks_names(database: Database) -> None:
    await persist(database, 1, judged("Harbour Lights", 1, approved=True))
    audio = await audio_of(database, 1)
    assert (audio.status, audio.persisted) == (ProcessingStatus.MATCHED, True)
    (match,) = audio.matches
    assert (match["track_index"], match["position"], match["title"], match["approved"]) == (
        1,
        "B",
        "Harbour Lights",
        True,
    )
    async with database.connection() as connection:
        kept = await connection.fetchrow("SELECT * FROM releases")
    assert kept
    assert (kept["id"], kept["discogs_id"], kept["artist"], kept["catno"]) == (1, 1, "The Tidal Club", "QR 7")
    assert kept["has_audio_matches"] is True


async def test_a_sub_track_is_named_by_its_own_entry(database: Database) -> None:
    await persist(database, 1, judged("x", 0))
    tracklist = '[{"title": "Suite", "sub_tracks": [{"position": "1a", "title": "Part"}]}]'
    await execute(database, "UPDATE releases SET tracklist = $1", tracklist)
    await execute(database, "UPDATE track_matches SET sub_index = 0")
    (match,) = (await audio_of(database, 1)).matches
    assert (match.get("sub_index"), match["position"], match["title"]) == (0, "1a", "Part")


async def test_a_match_whose_track_is_gone_does_no_harm(database: Database) -> None:
    await persist(database, 1, judged("x", 17))
    (match,) = (await audio_of(database, 1)).matches
    assert (match["position"], match["title"]) == ("", "")


async def test_rejected_and_dead_matches_are_never_shown(database: Database) -> None:
    await persist(database, 1, judged("a", 0), judged("b", 1, url="https://www.youtube.com/watch?v=bbbbbbbbbbb"))
    await execute(database, "UPDATE track_matches SET rejected = true WHERE track_index = 0")
    await execute(database, "UPDATE track_matches SET dead_since = now() WHERE track_index = 1")
    async with database.transaction() as connection:
        await store.refresh_has_audio(connection, 1)
    assert await audio_of(database, 1) == Audio(ProcessingStatus.UNMATCHED, persisted=True)


# --- persisting again ---------------------------------------------------------------------------------------------


async def test_matching_again_replaces_what_no_person_decided(database: Database) -> None:
    await persist(database, 1, judged("a", 0, confidence=55))
    await persist(database, 1, judged("a", 0, url="https://www.youtube.com/watch?v=bbbbbbbbbbb", confidence=95))
    (match,) = (await audio_of(database, 1)).matches
    assert match["match_url"].endswith("bbbbbbbbbbb")


async def test_a_persons_decision_outlives_every_rescan(database: Database) -> None:
    await persist(database, 1, judged("a", 0), judged("b", 1, url="https://www.youtube.com/watch?v=bbbbbbbbbbb"))
    await execute(
        database,
        "UPDATE track_matches SET approved = true, verified_by = 'anna', verified_at = now() WHERE track_index = 0",
    )
    await execute(
        database,
        "UPDATE track_matches SET rejected = true, verified_by = 'anna', verified_at = now() WHERE track_index = 1",
    )
    await persist(
        database,
        1,
        judged("a", 0, url="https://www.youtube.com/watch?v=ccccccccccc"),
        judged("b", 1, url="https://www.youtube.com/watch?v=bbbbbbbbbbb"),
    )
    (match,) = (await audio_of(database, 1)).matches
    assert (match["track_index"], match["verified_by"], match["match_url"][-1]) == (0, "anna", "a")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM track_matches") == 2


async def test_another_candidate_may_take_the_place_of_a_rejected_one(database: Database) -> None:
    await persist(database, 1, judged("a", 0))
    await execute(database, "UPDATE track_matches SET rejected = true, verified_at = now()")
    await persist(database, 1, judged("a", 0, url="https://www.youtube.com/watch?v=ccccccccccc"))
    (match,) = (await audio_of(database, 1)).matches
    assert match["match_url"].endswith("ccccccccccc")


async def test_only_a_persisted_release_is_refreshed(database: Database) -> None:
    body = release_body(1, title="New title")
    stored = StoredBody(encoded(body), NOW)
    async with database.transaction() as connection:
        assert not await store.refresh_release(connection, 1, metadata(body), stored)
        assert await store.stored_body(connection, 1) is None
    await persist(database, 1, judged("a", 0))
    async with database.transaction() as connection:
        assert await store.refresh_release(connection, 1, metadata(body), stored)
        assert await store.stored_body(connection, 1) == stored
    assert len((await audio_of(database, 1)).matches) == 1


async def test_text_that_postgres_cannot_hold_is_cleaned(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    body = release_body(1, title="nul\0title", genres=["a\0b", "\ud83d"])
    async with database.transaction() as connection:
        await store.persist(connection, job, metadata(body), StoredBody(b"{}", NOW), [judged("a", 0)])
        assert await connection.fetchval("SELECT title FROM releases") == "nultitle"


async def test_a_primary_key_taken_by_an_old_row_is_stepped_around(database: Database) -> None:
    await execute(database, "INSERT INTO releases (id, discogs_id) VALUES (1, 900)")
    await persist(database, 1, judged("a", 0))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT id FROM releases WHERE discogs_id = 1") == -1


async def test_what_shoppers_are_told_of_matches_is_kept_whatever_changes_them(database: Database) -> None:
    other = "https://www.youtube.com/watch?v=bbbbbbbbbbb"
    await persist(database, 1, judged("a", 0), judged("b", 1, url=other))
    for change in (
        "UPDATE track_matches SET confidence = 'NaN' WHERE track_index = 0",
        "UPDATE track_matches SET verified_by = 'anna', verified_at = now() WHERE track_index = 1",
        'UPDATE releases SET tracklist = \'[{"title": "Another name", "position": "C"}]\'',
        "UPDATE track_matches SET sub_index = 1 WHERE track_index = 1",
        "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (1, 0, 'https://a.example/b')",
        "DELETE FROM track_matches WHERE track_index = 1",
        "TRUNCATE track_matches CASCADE",
    ):
        before = (await audio_of(database, 1)).matches
        await execute(database, change)
        kept = (await audio_of(database, 1)).matches
        assert kept != before
        await execute(database, "UPDATE releases SET audio_matches = NULL")
        assert (await audio_of(database, 1)).matches == kept
        await execute(database, "UPDATE releases SET audio_matches = audio_matches_of(discogs_id, tracklist)")


async def test_two_who_change_matches_of_one_release_at_once_both_are_told(database: Database) -> None:
    await persist(database, 1, judged("a", 0), judged("b", 1, url="https://www.youtube.com/watch?v=bbbbbbbbbbb"))
    change = "UPDATE track_matches SET approved = true, confidence = 100 WHERE track_index = $1"
    async with database.transaction() as one:
        await one.execute(change, 0)
        other = asyncio.create_task(execute(database, change, 1))
        while not await somebody_waits(database):
            await asyncio.sleep(0.01)
    await other
    assert [match["confidence"] for match in (await audio_of(database, 1)).matches] == [100, 100]


async def somebody_waits(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )


@pytest.mark.parametrize(("provider", "title"), [("discogs_videos", "The next"), ("youtube", None)])
async def test_the_next_best_is_kept_but_nothing_for_long_that_youtube_told(
    database: Database, provider: str, title: str | None
) -> None:
    first = judged("a", 0)
    following = RunnerUp(Candidate(provider, "youtube", "https://www.youtube.com/watch?v=b", "The next"), 61.27)
    await persist(database, 1, replace(first, match=replace(first.match, runner_up=following)))
    async with database.connection() as connection:
        kept = await connection.fetchval("SELECT runner_up FROM track_matches")
    assert json.loads(kept) == {"url": "https://www.youtube.com/watch?v=b", "title": title, "confidence": 61.3}


# --- writers at once ----------------------------------------------------------------------------------------------


async def test_jobs_that_find_the_same_video_by_youtube_do_not_deadlock(database_dsn: str) -> None:
    url = "https://www.youtube.com/watch?v=aaaaaaaaaaa"
    async with connected(database_dsn, connections=8) as database:
        for release_id in range(1, 9):
            await execute(database, "INSERT INTO releases (id, discogs_id) VALUES ($1, $1)", release_id)
        found = judged("a", 0, url=url)
        by_youtube = replace(
            found, match=replace(found.match, candidate=replace(found.match.candidate, provider="youtube"))
        )

        async def store_it(release_id: int) -> None:
            async with database.transaction() as connection:
                await store._insert_matches(connection, release_id, [by_youtube], {})

        for _ in range(20):
            await execute(database, "DELETE FROM track_matches")
            await execute(database, "DELETE FROM match_links")
            await execute(
                database, "INSERT INTO match_links (url, platform, next_at) VALUES ($1, 'youtube', now())", url
            )
            await asyncio.gather(*(store_it(release_id) for release_id in range(1, 9)))


async def test_writers_that_know_of_no_locks_add_matches_of_one_release_without_deadlock(database_dsn: str) -> None:
    async with connected(database_dsn, connections=8) as database:
        await execute(database, "INSERT INTO releases (id, discogs_id) VALUES (1, 1)")

        async def add(track: int) -> None:
            for _ in range(40):
                await execute(
                    database,
                    "INSERT INTO track_matches (release_id, track_index, platform, match_url)"
                    " VALUES (1, $1, 'youtube', 'https://www.youtube.com/watch?v=aaaaaaaaaaa')",
                    track,
                )

        await asyncio.gather(*(add(track) for track in range(4)))
        assert len((await audio_of(database, 1)).matches) == 160
