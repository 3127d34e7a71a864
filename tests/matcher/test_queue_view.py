from __future__ import annotations

import pytest

from matcher import decisions, migration_store, queue_store, queue_view
from matcher.database import Database
from matcher.domain.queue_words import QueueState
from matcher.errors import LeaseLost, NoSuchRelease, Undecidable
from matcher.models import ProcessingStatus
from matcher.queue_store import Priority
from matcher.queue_view import QueueJob
from tests.matcher.test_store import claim_one, decide, enqueue, execute, judged, persist, row


async def ids(database: Database, state: QueueState) -> list[int]:
    return [each.release_id for each in await jobs(database, state)]


async def jobs(database: Database, state: QueueState, limit: int = 50) -> list[QueueJob]:
    found: list[QueueJob] = []
    after = None
    async with database.connection() as connection:
        while True:
            some, after = await queue_view.jobs(connection, state, limit, after)
            assert len(some) <= limit
            found += some
            if after is None:
                return found


async def requeue(database: Database, release_id: int) -> tuple[QueueState, bool]:
    async with database.transaction() as connection:
        return await queue_view.requeue(connection, release_id)


async def counts(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        found = await queue_view.counts(connection)
        assert await queue_view.claimable(connection) == found[QueueState.QUEUED]
    return {state.value: count for state, count in found.items() if count}


async def each_state(database: Database) -> None:
    """Releases 1 to 6 are failed, unmatched, matched, parked, being matched and queued."""
    for release_id in range(1, 6):
        await enqueue(database, release_id)
        job = await claim_one(database)
        async with database.transaction() as connection:
            match release_id:
                case 1:
                    await queue_store.fail(connection, job, "Discogs has no such release")
                case 4:
                    await queue_store.park(connection, job, 600, "Discogs is throttling")
        if release_id == 2:
            await decide(database, job, ProcessingStatus.UNMATCHED)
    await persist(database, 3, judged("a", 0))
    await execute(database, "UPDATE match_queue SET status = 'matched', decided_at = now() WHERE release_id = 3")
    await enqueue(database, 6, priority=Priority.HISTORY)


async def test_each_release_is_in_one_state_and_says_why(database: Database) -> None:
    await each_state(database)
    assert await counts(database) == dict.fromkeys(QueueState, 1)
    of = {state: (await jobs(database, state))[0] for state in QueueState}
    assert {state.value: each.release_id for state, each in of.items()} == {
        "failed": 1,
        "unmatched": 2,
        "matched": 3,
        "parked": 4,
        "processing": 5,
        "queued": 6,
    }
    assert of[QueueState.MATCHED].title
    assert of[QueueState.QUEUED].priority == "history"
    assert "Discogs has no such release" in of[QueueState.FAILED].why
    assert "Discogs is throttling" in of[QueueState.PARKED].why


async def test_jobs_come_page_by_page_in_the_order_of_their_turn(database: Database) -> None:
    await enqueue(database, 5, 4, 3, priority=Priority.NEW)
    await enqueue(database, 9, 2, 7)
    assert [each.release_id for each in await jobs(database, QueueState.QUEUED, limit=2)] == [9, 2, 7, 5, 4, 3]
    assert await jobs(database, QueueState.FAILED) == []


@pytest.mark.parametrize("release_id", [1, 2, 3, 4, 6])
async def test_a_release_put_back_is_next_with_all_its_attempts(database: Database, release_id: int) -> None:
    await each_state(database)
    assert await requeue(database, release_id) == (QueueState.QUEUED, True)
    kept = await row(database, release_id)
    assert (kept["status"], kept["attempts"], kept["last_error"]) == ("queued", 0, None)
    assert await requeue(database, release_id) == (QueueState.QUEUED, False)
    assert await row(database, release_id) == kept
    assert (await claim_one(database)).release_id == release_id


async def test_what_is_being_matched_goes_on(database: Database) -> None:
    await each_state(database)
    before = await row(database, 5)
    assert await requeue(database, 5) == (QueueState.PROCESSING, False)
    assert await row(database, 5) == before


async def test_what_was_never_queued_cannot_be_put_back(database: Database) -> None:
    with pytest.raises(NoSuchRelease):
        await requeue(database, 7)


async def test_without_audio_for_ever_it_is_never_queued_again_by_whatever(database: Database) -> None:
    await each_state(database)
    for release_id in range(1, 8):
        async with database.transaction() as connection:
            assert (await decisions.no_audio(connection, release_id, "anna")).changed
        with pytest.raises(Undecidable):
            await requeue(database, release_id)
    await execute(database, "UPDATE match_queue SET enqueued_at = now() - interval '1 year'")
    for priority in Priority:
        assert await enqueue(database, *range(1, 8), priority=priority, fingerprint="new") == 0
    async with database.transaction() as connection:
        assert await migration_store.queue_orphans(connection) == 0
    assert await counts(database) == {"unmatched": 7}
    assert {"no audio" in each.why for each in await jobs(database, QueueState.UNMATCHED)} == {True}


async def test_a_job_under_way_finds_that_its_word_is_not_wanted(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await decisions.no_audio(connection, 1, "anna")
    with pytest.raises(LeaseLost):
        await decide(database, job, ProcessingStatus.MATCHED)
    assert (await row(database, 1))["status"] == "unmatched"
