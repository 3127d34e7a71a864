"""Jobs whose matches come from several providers, some of which cannot answer now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from matcher import decisions, queue_store, store
from matcher.database import Connection, Database
from matcher.domain.retry import WITHOUT_AFTER_S
from matcher.domain.verdict import Thresholds
from matcher.errors import Broken, DatabaseUnavailable, Unavailable, Unreachable
from matcher.gathering import Told
from matcher.models import Candidate, ProcessingStatus, Release, Track
from matcher.pool import FetchedRelease, Matcher, Outcome
from matcher.queue_store import Priority
from tests.matcher.bodies import encoded, release_body

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TITLES = ("Morning Signal", "Harbour Lights")


def candidate(provider: str, title: str, duration_s: float = 362) -> Candidate:
    return Candidate(
        provider,
        "youtube",
        f"https://{provider}.example/{title.replace(' ', '-')}/{duration_s:g}",
        f"The Tidal Club - {title}",
        duration_s,
        artist="The Tidal Club",
        attached=True,
    )


@dataclass
class Source:
    """A provider that gives what it is told to, for all tracks by their titles, whatever is wanted."""

    name: str
    titles: Sequence[str] = ()
    error: Exception | None = None
    only_in_demand: bool = False
    uses: str | None = None
    duration_s: float = 362
    asked: list[list[str]] = field(default_factory=list)

    async def candidates(
        self, release: Release, body: Mapping[str, object], wanted: Sequence[Track]
    ) -> Sequence[Candidate]:
        self.asked.append([track.title for track in wanted])
        if self.error:
            raise self.error
        return [candidate(self.name, title, self.duration_s) for title in self.titles]


@dataclass
class Stage:
    """Jobs on a real queue, one at a time."""

    database: Database
    outcomes: list[Outcome] = field(default_factory=list)
    body: Mapping[str, object] = field(default_factory=lambda: release_body(1, videos=0))
    matcher: Matcher | None = None

    async def run(self, *sources: Source, later_s: float = 0, anew: bool = False) -> Outcome | None:
        """The next job, `later_s` seconds after the last one; None: there is none. `anew`: by a new process."""
        await self.sql(
            "UPDATE match_queue SET not_before = not_before - $1 * interval '1 second',"
            " parked_since = parked_since - $1 * interval '1 second',"
            " decided_at = decided_at - $1 * interval '1 second'",
            later_s,
        )
        if self.matcher is None or anew:
            self.matcher = self.made(*sources)
        before = len(self.outcomes)
        await self.matcher.drain(1, 30)
        return self.outcomes[-1] if len(self.outcomes) > before else None

    def made(self, *sources: Source) -> Matcher:
        async def fetch(release_id: int) -> FetchedRelease:
            return FetchedRelease(encoded(dict(self.body)), NOW)

        return Matcher(self.database, fetch, sources, Thresholds(50, 85), 1, self.outcomes.append)

    async def enqueue(self, priority: Priority = Priority.SEEN, fingerprint: str | None = None) -> None:
        async with self.database.transaction() as connection:
            await queue_store.enqueue(connection, [1], priority=priority, fingerprint=fingerprint)

    async def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(statement, *values)]

    async def shown(self) -> ProcessingStatus:
        async with self.database.connection() as connection:
            return (await store.audio(connection, [1]))[1].status

    async def queued(self) -> str:
        return str((await self.sql("SELECT status FROM match_queue"))[0][0])

    async def stored(self) -> list[tuple[object, ...]]:
        """Track and provider of each match."""
        return await self.sql("SELECT track_index, provider FROM track_matches ORDER BY track_index")


@pytest.fixture
async def stage(database: Database) -> Stage:
    found = Stage(database)
    await found.enqueue()
    return found


async def test_only_what_has_no_sure_match_is_asked_on(stage: Stage) -> None:
    one, two, three = Source("one", TITLES[:1]), Source("two", TITLES[1:]), Source("three", TITLES)
    outcome = await stage.run(one, two, three)
    assert (one.asked, two.asked, three.asked) == ([list(TITLES)], [[TITLES[1]]], [])
    assert outcome
    assert outcome.result == "cached"
    assert outcome.providers == (("one", Told.FOUND), ("two", Told.FOUND), ("three", Told.SKIPPED))
    assert await stage.stored() == [(0, "one"), (1, "two")]


async def test_an_unsure_match_is_asked_on(stage: Stage) -> None:
    """Its duration is off, so that it waits for a person; the next provider has a better one."""
    one, two = Source("one", TITLES[:1], duration_s=400), Source("two", TITLES)
    await stage.run(one, two)
    assert two.asked == [list(TITLES)]
    assert await stage.stored() == [(0, "two"), (1, "two")]


FAILURES: list[tuple[Exception, Told]] = [
    (Unavailable("two: refused", 600), Told.THROTTLED),
    (Broken("two: answered 500", 600), Told.BROKEN),
    (KeyError("title"), Told.BROKEN),
    (TimeoutError(), Told.BROKEN),
]


@pytest.mark.parametrize(("error", "told"), FAILURES)
async def test_what_is_known_is_stored_at_once_and_the_job_comes_back(
    stage: Stage, error: Exception, told: Told
) -> None:
    one, two, three = Source("one", TITLES[:1]), Source("two", error=error), Source("three")
    outcome = await stage.run(one, two, three)
    assert outcome
    assert (outcome.result, outcome.matches) == ("parked", 1)
    assert outcome.providers == (("one", Told.FOUND), ("two", told), ("three", Told.NOTHING))
    assert (await stage.shown(), await stage.queued()) == (ProcessingStatus.MATCHED, "queued")
    assert await stage.stored() == [(0, "one")]
    assert await stage.sql("SELECT attempts, not_before > now() + interval '50 seconds' FROM match_queue") == [
        (0, True)
    ]
    assert await stage.run() is None, "it is parked"


@pytest.mark.parametrize(("error", "told"), FAILURES)
async def test_a_release_of_which_nothing_is_known_yet_is_not_decided(
    stage: Stage, error: Exception, told: Told
) -> None:
    await stage.run(Source("one"), Source("two", error=error))
    assert (await stage.shown(), await stage.queued()) == (ProcessingStatus.QUEUED, "queued")
    assert await stage.sql("SELECT decided_at, fingerprint FROM match_queue") == [(None, None)]
    assert await stage.sql("SELECT FROM releases") == []


async def test_who_has_answered_is_not_asked_again(stage: Stage) -> None:
    one, two = Source("one", TITLES[:1]), Source("two", TITLES[1:], error=Unavailable("two: refused", 60))
    none = Source("none")
    await stage.run(one, none, two)
    two.error = None
    outcome = await stage.run(one, none, two, later_s=61, anew=True)
    assert outcome
    assert (outcome.result, outcome.providers) == ("cached", (("two", Told.FOUND),))
    assert (len(one.asked), len(none.asked), two.asked) == (1, 1, [[TITLES[1]]] * 2)
    assert await stage.stored() == [(0, "one"), (1, "two")]
    assert await stage.sql("SELECT status, attempts, parked_since, answers FROM match_queue") == [
        ("matched", 1, None, None)
    ]


@pytest.mark.parametrize("error", [None, Unavailable("two: refused", 60)])
async def test_who_uses_what_another_knows_is_asked_again_once_that_has_answered(
    stage: Stage, error: Exception | None
) -> None:
    one, two = Source("one", error=Unavailable("one: refused", 60)), Source("two", TITLES[:1], uses="one")
    await stage.run(one, two)
    await stage.run(one, two, later_s=61, anew=True)
    assert len(two.asked) == 1, "the first is still silent"
    one.error, two.error = None, error
    outcome = await stage.run(one, two, later_s=3601, anew=True)
    assert outcome
    assert len(two.asked) == 2
    assert await stage.stored() == [(0, "two")], "what it answered before is known in any case"
    two.error = None
    await stage.run(one, two, later_s=3601, anew=True)
    assert len(two.asked) == (3 if error else 2)
    assert await stage.queued() == "matched"
    assert await stage.stored() == [(0, "two")]


async def test_nobody_is_told_again_of_what_is_stored_already(stage: Stage) -> None:
    one, two = Source("one", TITLES[:1]), Source("two", error=Broken("two: answered 500", 60))
    stored: list[int] = []

    async def on_stored(_: Connection, release_id: int) -> None:
        stored.append(release_id)

    stage.matcher = stage.made(one, two)
    stage.matcher.on_stored = on_stored
    for later_s in (0, 61, 121, 301):
        await stage.run(later_s=later_s)
    assert (len(two.asked), stored) == (4, [1])
    two.error, two.titles = None, TITLES[1:]
    await stage.run(later_s=601)
    assert stored == [1, 1]


async def test_a_release_that_changed_meanwhile_is_asked_for_anew(stage: Stage) -> None:
    one, two = Source("one", TITLES[:1]), Source("two", error=Unavailable("two: refused", 60))
    await stage.run(one, two)
    stage.body = release_body(1)
    await stage.run(one, two, later_s=61, anew=True)
    assert len(one.asked) == 2


async def test_matches_of_a_provider_that_is_silent_now_are_kept(stage: Stage) -> None:
    one, two = Source("one", TITLES[:1]), Source("two", TITLES[1:])
    await stage.run(one, two)
    await stage.sql("UPDATE match_queue SET status = 'queued'")
    one.titles, two.error = (), Unavailable("two: refused", 60)
    outcome = await stage.run()
    assert outcome
    assert outcome.result == "parked"
    assert await stage.stored() == [(1, "two")], "the first has answered, and has nothing now"
    assert await stage.shown() is ProcessingStatus.MATCHED


async def test_a_better_match_takes_the_place_of_one_whose_provider_is_silent(stage: Stage) -> None:
    two = Source("two", TITLES, duration_s=372)
    await stage.run(Source("one"), two)
    await stage.sql("UPDATE match_queue SET status = 'queued'")
    two.error = Unavailable("two: refused", 60)
    await stage.run(Source("one", TITLES[:1]), two, anew=True)
    assert await stage.stored() == [(0, "one"), (1, "two")]


async def test_a_worse_match_does_not(stage: Stage) -> None:
    two = Source("two", TITLES)
    await stage.run(Source("one"), two)
    await stage.sql("UPDATE match_queue SET status = 'queued'")
    two.error = Unavailable("two: refused", 60)
    await stage.run(Source("one", TITLES[:1], duration_s=400), two, anew=True)
    assert await stage.stored() == [(0, "two"), (1, "two")]


async def test_a_provider_that_is_throttled_is_left_alone_for_every_release(database: Database) -> None:
    stage, two = Stage(database), Source("two", error=Unavailable("two: refused", 600))
    async with database.transaction() as connection:
        await queue_store.enqueue(connection, [1, 2, 3], priority=Priority.SEEN)
    stage.matcher = matcher = stage.made(two)
    stage.body = {}

    async def fetch(release_id: int) -> FetchedRelease:
        return FetchedRelease(encoded(release_body(release_id, videos=0)), NOW)

    matcher.fetch_release = fetch
    await matcher.drain(3, 30)
    assert len(two.asked) == 1
    assert [outcome.providers for outcome in stage.outcomes] == [(("two", Told.THROTTLED),)] * 3
    assert await stage.sql("SELECT DISTINCT status, not_before > now() + interval '9 minutes' FROM match_queue") == [
        ("queued", True)
    ]


@pytest.mark.parametrize(("titles", "status"), [(TITLES[:1], "matched"), ((), "unmatched")])
async def test_a_provider_that_stays_broken_does_not_keep_a_release_undecided_for_ever(
    stage: Stage, titles: Sequence[str], status: str
) -> None:
    one, two = Source("one", titles), Source("two", error=Broken("two: answered 500", 30))
    results: list[Outcome] = []
    waited_s = 0.0
    while len(results) < 100:
        later_s = 30 if waited_s < 3600 else 1801
        waited_s += later_s
        if outcome := await stage.run(one, two, later_s=later_s):
            results.append(outcome)
            if outcome.result != "parked":
                break
    assert results[-1].providers == (("two", Told.BROKEN), ("two", Told.GIVEN_UP))
    assert results[-1].error == "two: answered 500"
    assert await stage.sql("SELECT status, decided_without, parked_since FROM match_queue") == [(status, ["two"], None)]
    assert WITHOUT_AFTER_S <= waited_s <= WITHOUT_AFTER_S + 3602
    assert len(results) < 30, "the longer it takes, the less often it is looked at"


@pytest.mark.parametrize(("titles", "status"), [(TITLES[:1], "matched"), ((), "unmatched")])
async def test_a_release_is_decided_at_once_without_a_provider_that_was_never_heard(
    stage: Stage, titles: Sequence[str], status: str
) -> None:
    outcome = await stage.run(Source("one", titles), Source("two", error=Unreachable("two: cannot be reached", 30)))
    assert outcome is not None
    assert outcome.result != "parked"
    assert await stage.sql("SELECT status, decided_without, parked_since FROM match_queue") == [(status, ["two"], None)]


async def test_what_was_decided_without_a_provider_is_asked_for_again_when_a_shopper_looks(stage: Stage) -> None:
    two = Source("two", error=Broken("two: answered 500", 30))
    await stage.run(two)
    await stage.run(two, later_s=WITHOUT_AFTER_S + 1)
    await stage.enqueue()
    assert await stage.queued() == "unmatched"
    two.error, two.titles = None, TITLES
    assert await stage.run(later_s=25 * 3600) is None
    await stage.enqueue(Priority.NEW)
    assert await stage.queued() == "unmatched", "nobody looks at it"
    await stage.enqueue()
    assert await stage.queued() == "queued"
    outcome = await stage.run()
    assert outcome
    assert outcome.result == "cached"
    await stage.run(later_s=25 * 3600)
    await stage.enqueue()
    assert await stage.queued() == "matched"


async def test_a_scarce_provider_is_asked_for_what_shoppers_look_at(database: Database) -> None:
    stage, scarce = Stage(database), Source("scarce", TITLES, only_in_demand=True)
    await stage.enqueue(Priority.NEW)
    outcome = await stage.run(Source("one", TITLES[:1]), scarce)
    assert outcome
    assert (outcome.result, outcome.providers[1]) == ("cached", ("scarce", Told.SKIPPED))
    assert scarce.asked == []
    await stage.run(later_s=25 * 3600)
    await stage.enqueue()
    await stage.run()
    assert scarce.asked == [[TITLES[1]]]


async def test_a_scarce_provider_is_not_asked_while_another_may_answer_soon(stage: Stage) -> None:
    one, scarce = Source("one", error=Unavailable("one: refused", 5)), Source("scarce", TITLES, only_in_demand=True)
    await stage.run(one, scarce)
    assert scarce.asked == []
    one.error = Broken("one: answered 500", 30)
    await stage.run(one, scarce, later_s=6, anew=True)
    assert scarce.asked == [list(TITLES)]


async def test_without_the_database_the_job_is_given_back(stage: Stage) -> None:
    outcome = await stage.run(Source("one", TITLES[:1]), Source("two", error=DatabaseUnavailable("away")))
    assert outcome
    assert outcome.result == "lost"
    assert await stage.sql("SELECT status, attempts FROM match_queue") == [("queued", 0)]


async def test_a_provider_that_takes_too_long_costs_nobody_elses_matches(stage: Stage) -> None:
    class Slow(Source):
        async def candidates(
            self, release: Release, body: Mapping[str, object], wanted: Sequence[Track]
        ) -> Sequence[Candidate]:
            await asyncio.sleep(60)
            return []

    slow, two = Slow("slow"), Source("two", TITLES)
    stage.matcher = stage.made(slow, two)
    stage.matcher._asked.provider_s = 0.05
    outcome = await stage.run()
    assert outcome
    assert (outcome.matches, outcome.error) == (2, "slow: took too long")


@pytest.mark.parametrize(
    "titles", [["Untitled"] * 100 + [f"Track {n}" for n in range(100)], ["A1", "?", "🎧", "x" * 2000, ""]]
)
async def test_odd_and_long_tracklists_are_decided(stage: Stage, titles: list[str]) -> None:
    stage.body = release_body(
        1, videos=0, tracklist=[{"position": str(n), "type_": "track", "title": t} for n, t in enumerate(titles)]
    )
    many = Source("many", [f"{titles[n % len(titles)]} {n}" for n in range(500)])
    outcome = await stage.run(Source("one", error=Unavailable("one: refused", 5)), many)
    assert outcome
    assert outcome.result == "parked"
    outcome = await stage.run(Source("one"), many, later_s=6, anew=True)
    assert outcome
    assert outcome.result in ("cached", "unmatched")


async def test_the_next_best_takes_the_place_of_what_a_person_rejects_while_a_provider_is_awaited(stage: Stage) -> None:
    one, two = (
        Source("one", (TITLES[0], f"{TITLES[0]} (Again)")),
        Source("two", error=Unavailable("two: refused", 3600)),
    )
    await stage.run(one, two)
    ((match_id, url),) = await stage.sql("SELECT id, match_url FROM track_matches")
    async with stage.database.transaction() as connection:
        await decisions.reject(connection, int(str(match_id)), "anna")
    outcome = await stage.run(one, two)
    assert outcome, "nobody waits for the other provider before that"
    live = await stage.sql("SELECT match_url FROM track_matches WHERE NOT rejected")
    assert len(live) == 1
    assert live != [(url,)]
    assert (outcome.result, len(one.asked)) == ("parked", 1), "what has been answered is kept"
