from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from matcher import queue_store, store
from matcher.database import Database
from matcher.domain.verdict import Thresholds
from matcher.errors import DatabaseUnavailable, ReleaseGone, Unavailable
from matcher.models import Candidate, ProcessingStatus, Release, Track
from matcher.pool import FetchedRelease, Matcher, Outcome
from matcher.providers.discogs_videos import DiscogsVideos
from matcher.queue_store import Priority
from proxy.adapters.database import connected
from tests.matcher.bodies import encoded, release_body
from tests.relay import relayed

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Discogs:
    """A source of releases: what `fetch_release` would get. `gate` holds answers back while it is not set."""

    bodies: dict[int, bytes] = field(default_factory=dict)
    error: Exception | None = None
    gate: asyncio.Event | None = None
    asked: list[int] = field(default_factory=list)

    async def fetch(self, release_id: int) -> FetchedRelease:
        self.asked.append(release_id)
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        body = self.bodies.get(release_id) or encoded(release_body(release_id))
        return FetchedRelease(body, NOW)


MakeMatcher = Callable[..., Matcher]


@pytest.fixture
def outcomes() -> list[Outcome]:
    return []


@pytest.fixture
def matcher(database: Database, outcomes: list[Outcome]) -> MakeMatcher:
    def make(discogs: Discogs, batch_size: int = 3) -> Matcher:
        return Matcher(database, discogs.fetch, [DiscogsVideos()], Thresholds(50, 85), batch_size, outcomes.append)

    return make


async def enqueue(database: Database, *release_ids: int) -> None:
    async with database.transaction() as connection:
        await queue_store.enqueue(connection, release_ids, priority=Priority.SEEN)


async def statuses(database: Database) -> dict[int, str]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT release_id, status FROM match_queue")
    return {row["release_id"]: row["status"] for row in rows}


async def scalar(database: Database, sql: str) -> object:
    async with database.connection() as connection:
        return await connection.fetchval(sql)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(matcher: Matcher) -> AsyncIterator[None]:
    task = asyncio.create_task(matcher.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_confident_release_is_persisted_with_all_its_matches(
    database: Database, matcher: MakeMatcher, outcomes: list[Outcome]
) -> None:
    await enqueue(database, 1)
    report = await matcher(Discogs()).drain(5, 10)
    assert (report.processed, report.cached) == (1, 1)
    assert await statuses(database) == {1: "matched"}
    assert await scalar(database, "SELECT count(*) FROM track_matches") == 2
    assert (outcomes[0].result, outcomes[0].matches) == ("cached", 2)


async def test_a_release_without_a_confident_match_leaves_no_trace_but_the_outcome(
    database: Database, matcher: MakeMatcher
) -> None:
    await enqueue(database, 1)
    report = await matcher(Discogs({1: encoded(release_body(1, videos=0))})).drain(5, 10)
    assert report.unmatched == 1
    assert await statuses(database) == {1: "unmatched"}
    assert await scalar(database, "SELECT count(*) FROM releases") == 0
    assert await scalar(database, "SELECT count(*) FROM track_matches") == 0


async def test_drain_stops_at_its_limit(database: Database, matcher: MakeMatcher) -> None:
    await enqueue(database, *range(1, 8))
    assert (await matcher(Discogs()).drain(4, 10)).processed == 4
    assert sorted((await statuses(database)).values()) == ["matched"] * 4 + ["queued"] * 3


CLAIMABLE = "SELECT count(*) FROM match_queue WHERE status = 'queued' AND not_before <= now() AND attempts = 0"


async def test_drain_stops_at_its_time_and_hands_back_what_still_waits_for_its_release(
    database: Database, matcher: MakeMatcher, outcomes: list[Outcome]
) -> None:
    await enqueue(database, 1, 2)
    report = await matcher(Discogs(gate=asyncio.Event())).drain(2, 0.2)
    assert (report.processed, report.parked, outcomes) == (0, 0, [])
    assert await scalar(database, CLAIMABLE) == 2


@dataclass
class Slow:
    """A provider that takes more than half of a drain's time for release `ended`, and never ends for another."""

    ended: int
    drain_s: float
    name: str = "slow"

    async def candidates(
        self, release: Release, body: Mapping[str, object], wanted: Sequence[Track]
    ) -> Sequence[Candidate]:
        if release.release_id != self.ended:
            await asyncio.Event().wait()
        await asyncio.sleep(0.55 * self.drain_s)
        return ()


async def test_what_needs_more_than_all_the_time_of_a_drain_is_put_off_and_what_came_late_is_handed_back(
    database: Database, outcomes: list[Outcome]
) -> None:
    """Else a release that no drain can end would be claimed first by each, and one that came late would be put off."""
    await enqueue(database, 1, 2, 3)
    worker = Matcher(database, Discogs().fetch, [Slow(2, drain_s=4)], Thresholds(50, 85), 2, outcomes.append)
    report = await worker.drain(3, 4)
    assert (report.processed, report.parked, report.unmatched) == (2, 1, 1)
    assert {outcome.release_id: outcome.result for outcome in outcomes} == {1: "parked", 2: "unmatched"}
    assert await scalar(database, f"{CLAIMABLE} AND release_id = 3") == 1
    assert await scalar(database, f"{CLAIMABLE} AND release_id = 1") == 0


async def test_an_unavailable_upstream_parks_the_job(database: Database, matcher: MakeMatcher) -> None:
    await enqueue(database, 1)
    report = await matcher(Discogs(error=Unavailable("429", 600))).drain(5, 10)
    assert (report.processed, report.parked) == (1, 1)
    assert await scalar(database, "SELECT attempts FROM match_queue") == 0
    assert await scalar(database, "SELECT not_before > now() + interval '9 minutes' FROM match_queue")


async def test_a_release_that_is_gone_fails_at_once(database: Database, matcher: MakeMatcher) -> None:
    await enqueue(database, 1)
    assert (await matcher(Discogs(error=ReleaseGone("no such release"))).drain(5, 10)).failed == 1
    assert await scalar(database, "SELECT last_error FROM match_queue") == "no such release"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": 1, "tracklist": "none"}', b"\0"])
async def test_a_release_that_cannot_be_read_is_tried_again_and_fails_in_the_end(
    database: Database, matcher: MakeMatcher, body: bytes
) -> None:
    await enqueue(database, 1)
    worker = matcher(Discogs({1: body}))
    for _ in range(10):
        await worker.drain(1, 10)
        await scalar(database, "UPDATE match_queue SET not_before = now() RETURNING 1")
    assert await statuses(database) == {1: "failed"}
    assert await scalar(database, "SELECT attempts FROM match_queue") == 5


async def test_a_release_that_breaks_a_provider_of_ours_does_not_stop_the_pool(
    database: Database, outcomes: list[Outcome]
) -> None:
    class Broken:
        name = "broken"

        async def candidates(
            self, release: Release, body: Mapping[str, object], wanted: Sequence[Track]
        ) -> Sequence[Candidate]:
            if release.release_id == 1:
                raise ZeroDivisionError("nul \0 in the message")
            return await DiscogsVideos().candidates(release, body, wanted)

    await enqueue(database, 1, 2)
    worker = Matcher(database, Discogs().fetch, [Broken()], Thresholds(50, 85), 1, outcomes.append)
    await worker.drain(2, 10)
    assert await statuses(database) == {1: "queued", 2: "matched"}
    assert outcomes[0].error == "ZeroDivisionError: nul  in the message"


async def test_the_pool_drains_and_is_woken_by_new_work(database: Database, matcher: MakeMatcher) -> None:
    worker = matcher(Discogs())
    async with running(worker):
        for release_id in (1, 2, 3):
            await enqueue(database, release_id)
            worker.wake()
        await eventually(lambda: decided(database, 3))


async def decided(database: Database, count: int) -> bool:
    return list((await statuses(database)).values()).count("matched") == count


async def test_no_more_releases_than_the_batch_size_are_matched_at_once(
    database: Database, matcher: MakeMatcher
) -> None:
    await enqueue(database, *range(1, 10))
    discogs = Discogs(gate=asyncio.Event())

    async def processing() -> bool:
        return list((await statuses(database)).values()).count("processing") == 3 and len(discogs.asked) == 3

    async with running(matcher(discogs)):
        await eventually(processing)


async def test_shutdown_hands_running_jobs_back(database: Database, matcher: MakeMatcher) -> None:
    await enqueue(database, *range(1, 10))
    discogs = Discogs(gate=asyncio.Event())

    async def begun() -> bool:
        return len(discogs.asked) == 3

    async with running(matcher(discogs)):
        await eventually(begun)
    assert set((await statuses(database)).values()) == {"queued"}
    assert await scalar(database, "SELECT max(attempts) FROM match_queue") == 0


async def test_two_pools_never_decide_a_release_twice(database: Database, matcher: MakeMatcher) -> None:
    await enqueue(database, *range(1, 61))
    one, other = Discogs(), Discogs()
    await asyncio.gather(matcher(one).drain(60, 30), matcher(other).drain(60, 30))
    assert sorted(one.asked + other.asked) == list(range(1, 61))
    assert await decided(database, 60)


async def test_a_worker_that_lost_its_lease_stores_nothing(
    database: Database, matcher: MakeMatcher, outcomes: list[Outcome]
) -> None:
    await enqueue(database, 1)
    discogs = Discogs(gate=asyncio.Event())
    slow = asyncio.create_task(matcher(discogs).drain(1, 20))

    async def begun() -> bool:
        return bool(discogs.asked)

    await eventually(begun)
    await scalar(database, "UPDATE match_queue SET lease_until = now() - interval '1 second' RETURNING 1")
    await matcher(Discogs({1: encoded(release_body(1, videos=0))})).drain(1, 10)
    assert discogs.gate
    discogs.gate.set()
    await slow
    assert [outcome.result for outcome in outcomes] == ["unmatched", "lost"]
    assert await statuses(database) == {1: "unmatched"}
    assert await scalar(database, "SELECT count(*) FROM releases") == 0


async def test_the_pool_outlives_a_database_that_is_away(database_dsn: str) -> None:
    async with relayed(database_dsn) as wire, connected(wire.dsn, connections=5) as database:
        worker = Matcher(database, Discogs().fetch, [DiscogsVideos()], Thresholds(50, 85), 3)
        async with running(worker):
            await wire.cut()
            with pytest.raises(DatabaseUnavailable):
                await enqueue(database, 1)
            await wire.restore()
            await enqueue(database, 1)
            await eventually(lambda: decided(database, 1))


async def test_a_release_of_the_old_system_is_persisted_whatever_its_score(
    database: Database, matcher: MakeMatcher
) -> None:
    await enqueue(database, 1)
    await scalar(database, "UPDATE match_queue SET persist_always = true RETURNING 1")
    await matcher(Discogs({1: encoded(release_body(1, videos=0))})).drain(1, 10)
    assert await scalar(database, "SELECT title FROM releases") == "Morning Signal / Harbour Lights"


async def test_a_deleted_release_of_the_old_system_keeps_its_matches(database: Database, matcher: MakeMatcher) -> None:
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE track_matches DROP CONSTRAINT track_matches_release_fk")
        await connection.execute("INSERT INTO track_matches (release_id, track_index, match_url) VALUES (1, 0, 'u')")
    await enqueue(database, 1)
    await scalar(database, "UPDATE match_queue SET persist_always = true RETURNING 1")
    await matcher(Discogs(error=ReleaseGone("gone"))).drain(1, 10)
    assert await scalar(database, "SELECT has_audio_matches FROM releases") is True
    async with database.connection() as connection:
        assert (await store.audio(connection, [1]))[1].status is ProcessingStatus.MATCHED
