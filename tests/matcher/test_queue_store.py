from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from matcher import queue_store, queue_view
from matcher.database import Database
from matcher.domain.retry import MAX_ATTEMPTS
from matcher.errors import LeaseLost
from matcher.models import Due, ProcessingStatus
from matcher.queue_store import Priority
from tests.matcher.test_store import audio_of, claim, claim_one, decide, enqueue, execute, row


async def test_asking_twice_is_asking_once(database: Database) -> None:
    assert await enqueue(database, 1, 2, 2) == 2
    assert await enqueue(database, 1, 2, 3) == 1
    assert len(await claim(database, 10)) == 3


async def test_jobs_come_by_priority_and_then_in_the_order_they_were_asked(database: Database) -> None:
    await enqueue(database, 30, 31, priority=Priority.HISTORY)
    await enqueue(database, 9, 7, 8)
    assert [job.release_id for job in await claim(database, 10)] == [9, 7, 8, 30, 31]


async def test_a_higher_priority_wins_and_a_lower_one_does_not(database: Database) -> None:
    await enqueue(database, 1, 2, priority=Priority.NEW)
    await enqueue(database, 2, priority=Priority.SEEN)
    await enqueue(database, 2, priority=Priority.HISTORY)
    assert [job.release_id for job in await claim(database, 2)] == [2, 1]


async def test_no_job_is_claimed_twice(database: Database) -> None:
    await enqueue(database, *range(1, 41))
    claimed = await asyncio.gather(*(claim(database, 5) for _ in range(12)))
    ids = [job.release_id for jobs in claimed for job in jobs]
    assert sorted(ids) == list(range(1, 41))


async def test_a_job_whose_worker_died_is_free_again(database: Database) -> None:
    await enqueue(database, 1)
    first = await claim_one(database)
    assert await claim(database) == []
    await execute(database, "UPDATE match_queue SET lease_until = now() - interval '1 second'")
    second = await claim_one(database)
    assert (second.release_id, second.attempts) == (1, 2)
    with pytest.raises(LeaseLost):
        await decide(database, first, ProcessingStatus.MATCHED)
    await decide(database, second, ProcessingStatus.UNMATCHED)
    assert (await row(database, 1))["status"] == "unmatched"


async def test_a_clock_that_was_ahead_keeps_no_job_waiting_once_it_is_right(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    await execute(database, "UPDATE match_queue SET lease_until = lease_until + interval '1 year'")
    assert await claimable(database) == 1
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.park(connection, job, 10, "throttled")
    assert await claim(database) == []
    await execute(database, "UPDATE match_queue SET not_before = not_before + interval '1 year'")
    assert await claimable(database) == 1
    assert await claim_one(database)


async def claimable(database: Database) -> int:
    async with database.connection() as connection:
        return await queue_view.claimable(connection)


async def test_a_job_that_kills_its_worker_each_time_fails_in_the_end(database: Database) -> None:
    await enqueue(database, 1)
    for _ in range(MAX_ATTEMPTS):
        assert await claim(database)
        await execute(database, "UPDATE match_queue SET lease_until = now() - interval '1 second'")
    assert await claim(database) == []
    assert (await row(database, 1))["status"] == "failed"


async def test_a_parked_job_waits_and_gets_its_attempt_back(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.park(connection, job, 3600, "throttled")
    assert await claim(database) == []
    found = await row(database, 1)
    assert (found["status"], found["attempts"], found["last_error"]) == ("queued", 0, "throttled")


async def test_a_job_parked_for_providers_keeps_what_others_answered_until_it_is_decided(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    assert (job.priority, job.waited_s, job.answers) == (Priority.SEEN, 0, None)
    async with database.transaction() as connection:
        await queue_store.park_for_providers(connection, job, 0, "deezer: refused", b"kept")
    assert await enqueue(database, 1, fingerprint="new") == 0
    await execute(database, "UPDATE match_queue SET parked_since = parked_since - interval '1 hour'")
    job = await claim_one(database)
    assert (job.attempts, round(job.waited_s / 60), job.answers) == (1, 60, b"kept")
    with pytest.raises(LeaseLost):
        async with database.transaction() as connection:
            await queue_store.park_for_providers(connection, replace(job, lease_token=uuid4()), 0, "", None)
    async with database.transaction() as connection:
        await queue_store.decide(connection, job, ProcessingStatus.MATCHED, "f", ["deezer"])
    found = await row(database, 1)
    assert (found["parked_since"], found["answers"], found["decided_without"]) == (None, None, ["deezer"])


async def test_a_release_queued_anew_has_waited_for_nobody(database: Database) -> None:
    """Even if the version before, which knows nothing of it, has decided it."""
    await enqueue(database, 1)
    await decide(database, await claim_one(database), ProcessingStatus.MATCHED, "before")
    await execute(database, "UPDATE match_queue SET parked_since = now() - interval '1 year', answers = 'x'")
    await enqueue(database, 1, fingerprint="after")
    job = await claim_one(database)
    assert (job.waited_s, job.answers) == (0, None)


async def test_what_shoppers_see_that_was_decided_without_a_provider_is_due_after_a_day(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.decide(connection, job, ProcessingStatus.MATCHED, "f", ["deezer"])
    assert (await audio_of(database, 1)).due is Due.NOTHING
    await execute(database, "UPDATE match_queue SET decided_at = now() - interval '25 hours'")
    assert (await audio_of(database, 1)).due is Due.SOONER


async def test_a_retried_job_waits_and_keeps_its_attempt(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.retry(connection, job, 0, "odd")
    assert (await claim_one(database)).attempts == 2


async def test_a_job_handed_back_is_as_if_never_claimed(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.hand_back(connection, job)
    assert (await claim_one(database)).attempts == 1


async def test_an_unmatched_release_rests_for_thirty_days(database: Database) -> None:
    await enqueue(database, 1)
    await decide(database, await claim_one(database), ProcessingStatus.UNMATCHED)
    assert await enqueue(database, 1) == 0
    await execute(database, "UPDATE match_queue SET decided_at = now() - interval '31 days'")
    assert await enqueue(database, 1) == 1
    assert (await claim_one(database)).attempts == 1


@pytest.mark.parametrize("status", [ProcessingStatus.UNMATCHED, ProcessingStatus.MATCHED])
async def test_a_changed_tracklist_asks_for_a_new_match(database: Database, status: ProcessingStatus) -> None:
    await enqueue(database, 1)
    await decide(database, await claim_one(database), status, "before")
    assert await enqueue(database, 1, fingerprint="before") == 0
    assert await enqueue(database, 1, fingerprint="after") == 1


async def test_a_failed_release_waits_for_a_person(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.fail(connection, job, "gone")
    assert await enqueue(database, 1, fingerprint="new") == 0


async def test_the_queue_is_counted_by_state(database: Database) -> None:
    await enqueue(database, 1, 2, 3)
    await decide(database, await claim_one(database), ProcessingStatus.MATCHED)
    await claim_one(database)
    async with database.connection() as connection:
        assert await queue_store.counts(connection) == {
            ProcessingStatus.QUEUED: 1,
            ProcessingStatus.PROCESSING: 1,
            ProcessingStatus.MATCHED: 1,
            ProcessingStatus.UNMATCHED: 0,
            ProcessingStatus.FAILED: 0,
        }


async def test_the_store_that_first_brought_a_release_stays_named(database: Database) -> None:
    async with database.transaction() as connection:
        for store_username in ("first", "second"):
            await queue_store.enqueue(connection, [1], priority=Priority.SEEN, store_username=store_username)
    assert (await claim_one(database)).store_username == "first"


async def test_requests_that_see_the_same_releases_in_other_orders_do_not_deadlock(database: Database) -> None:
    release_ids = list(range(1, 400))

    async def see(order: list[int]) -> None:
        for priority in (Priority.HISTORY, Priority.NEW, Priority.SEEN):
            async with database.transaction() as connection:
                await queue_store.enqueue(connection, order, priority=priority)

    await asyncio.gather(see(release_ids), see(release_ids[::-1]), see(release_ids[200:] + release_ids[:200]))


async def test_what_is_queued_together_is_claimed_in_the_order_given(database: Database) -> None:
    async with database.transaction() as connection:
        await queue_store.enqueue(connection, [5, 3, 9, 1], priority=Priority.SEEN)
    async with database.transaction() as connection:
        assert [job.release_id for job in await queue_store.claim(connection, 10)] == [5, 3, 9, 1]


async def test_seeing_what_is_known_locks_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        await queue_store.enqueue(connection, [1], priority=Priority.SEEN)
    async with database.transaction() as holding, database.transaction() as connection:
        await holding.execute("SELECT FROM match_queue WHERE release_id = 1 FOR UPDATE")
        await connection.execute("SET LOCAL lock_timeout = '100ms'")
        assert await queue_store.enqueue(connection, [1], priority=Priority.SEEN) == 0


async def test_a_long_page_does_not_keep_a_later_one_without_audio(database: Database) -> None:
    async with database.transaction() as connection:
        await queue_store.enqueue(connection, [50, 51], priority=Priority.HISTORY)
        await queue_store.enqueue(connection, range(1, 40), priority=Priority.SEEN)
        await queue_store.enqueue(connection, [60, 61, 50], priority=Priority.SEEN)
    async with database.transaction() as connection:
        assert [job.release_id for job in await queue_store.claim(connection, 6)] == [1, 60, 2, 61, 50, 3]
