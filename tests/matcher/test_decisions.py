from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matcher import decision_store, decisions, pressings_store, queue_store, review_view, store
from matcher.database import Connection, Database
from matcher.decisions import Decided, DecidedRelease
from matcher.domain.metadata import metadata
from matcher.domain.urls import spelling
from matcher.errors import LeaseLost, NoSuchMatch, Undecidable
from matcher.models import Action, ProcessingStatus
from matcher.queue_store import Priority
from matcher.store import StoredBody
from proxy.adapters.database import connected
from tests.matcher.bodies import encoded, release_body
from tests.matcher.test_store import NOW, audio_of, claim_one, enqueue, execute, judged, persist, row

A, B, C = (f"https://www.youtube.com/watch?v={letter * 11}" for letter in "abc")
A_AGAIN = "https://youtu.be/" + "a" * 11
OWN = ("soundcloud", "https://soundcloud.com/tidal-club/morning-signal")

Rows = list[dict[str, object]]


async def rows(database: Database, release_id: int = 1) -> Rows:
    async with database.connection() as connection:
        found = await connection.fetch("SELECT * FROM track_matches WHERE release_id = $1 ORDER BY id", release_id)
    return [dict(each) for each in found]


async def id_of(database: Database, url: str, release_id: int = 1) -> int:
    async with database.connection() as connection:
        found = await connection.fetchval(
            "SELECT id FROM track_matches WHERE match_url = $1 AND release_id = $2", url, release_id
        )
    assert isinstance(found, int)
    return found


async def live_urls(database: Database) -> list[str]:
    return [match["match_url"] for match in (await audio_of(database, 1)).matches]


Decide = Callable[[Connection, int, str], Awaitable[Decided]]


async def decide(database: Database, how: Decide, match_id: int, by: str = "anna") -> Decided:
    async with database.transaction() as connection:
        return await how(connection, match_id, by)


async def set_url(
    database: Database, playable: tuple[str, str] = OWN, *, track: int = 0, sub: int | None = None, release_id: int = 1
) -> Decided:
    async with database.transaction() as connection:
        return await decisions.set_url(connection, release_id, track, sub, playable, "anna")


async def history(database: Database, release_id: int = 1) -> list[tuple[str, str]]:
    async with database.connection() as connection:
        return [(each.action, each.decided_by) for each in await review_view.history(connection, release_id)]


# --- approve and reject -------------------------------------------------------------------------------------------


async def test_an_approved_match_says_who_and_when_and_outlives_a_rescan(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A, confidence=60))
    decided = await decide(database, decisions.approve, await id_of(database, A))
    assert decided.changed
    await persist(database, 1, judged("a", 0, url=B, confidence=99, approved=True))
    (match,) = (await audio_of(database, 1)).matches
    assert (match["match_url"], match["approved"], match["verified_by"]) == (A, True, "anna")
    assert match["verified_at"]
    assert match["confidence"] == 60


async def test_a_rejected_match_is_gone_and_another_may_come(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await decide(database, decisions.reject, await id_of(database, A))
    audio = await audio_of(database, 1)
    assert (audio.matches, audio.status) == ((), ProcessingStatus.QUEUED)
    await persist(database, 1, judged("a", 0, url=A, confidence=99))
    assert await live_urls(database) == []
    await persist(database, 1, judged("a", 0, url=B))
    assert await live_urls(database) == [B]


async def test_a_rejected_video_does_not_come_back_written_otherwise(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A_AGAIN), judged("b", 1, url=B))
    await decide(database, decisions.reject, await id_of(database, A_AGAIN))
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    assert await live_urls(database) == [B]


async def test_it_may_still_be_another_track(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await decide(database, decisions.reject, await id_of(database, A))
    await persist(database, 1, judged("b", 1, url=A))
    assert [match["track_index"] for match in (await audio_of(database, 1)).matches] == [1]


async def test_the_same_video_in_two_rows_of_the_old_system_is_rejected_at_once(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=B))
    for url in (A, A_AGAIN):
        await execute(database, "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (1, 0, $1)", url)
    await decide(database, decisions.reject, await id_of(database, A))
    assert await live_urls(database) == [B]
    await decide(database, decisions.undo, await id_of(database, A))
    assert len(await live_urls(database)) == 2  # what a rescan would find anew makes room for what was there


@pytest.mark.parametrize("how", [decisions.approve, decisions.reject])
async def test_a_decision_repeated_changes_nothing(database: Database, how: Decide) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    match_id = await id_of(database, A)
    await decide(database, how, match_id)
    before = await rows(database)
    assert not (await decide(database, how, match_id, by="boris")).changed
    assert await rows(database) == before
    assert len(await history(database)) == 1


async def test_the_last_of_two_decisions_holds(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    match_id = await id_of(database, A)
    await decide(database, decisions.reject, match_id, "anna")
    await decide(database, decisions.approve, match_id, "boris")
    (match,) = (await audio_of(database, 1)).matches
    assert (match["approved"], match["verified_by"]) == (True, "boris")
    assert await history(database) == [("approve", "boris"), ("reject", "anna")]


async def test_of_many_who_decide_at_once_the_last_holds_and_all_are_told(database_dsn: str) -> None:
    async with connected(database_dsn, connections=8) as database:
        await persist(database, 1, judged("a", 0, url=A))
        match_id = await id_of(database, A)
        hows = [decisions.approve, decisions.reject, decisions.undo] * 8
        await decide(database, decisions.approve, match_id)
        await asyncio.gather(*(decide(database, how, match_id, f"p{n}") for n, how in enumerate(hows)))
        told = await history(database)
        (kept,) = await rows(database)
        action, by = told[0]
        assert action == Action.UNDO or (kept["rejected"], kept["verified_by"]) == (action == Action.REJECT, by)
        assert all(one[0] != other[0] for one, other in itertools.pairwise(told))


async def test_decisions_and_jobs_on_one_release_do_not_deadlock(database_dsn: str) -> None:
    async with connected(database_dsn, connections=8) as database:
        for release_id in range(1, 5):
            await persist(database, release_id, judged("a", 0, url=A), judged("b", 1, url=B))

        async def scan() -> None:
            await execute(database, "UPDATE match_queue SET status = 'queued' WHERE status = 'matched'")
            async with database.transaction() as connection:
                jobs = await queue_store.claim(connection, 1)
            for job in jobs:
                body = release_body(job.release_id)
                facts, stored = metadata(body), StoredBody(encoded(body), NOW)
                with contextlib.suppress(LeaseLost):  # a match was rejected meanwhile
                    async with database.transaction() as connection:
                        await queue_store.decide(connection, job, ProcessingStatus.MATCHED, "f")
                        await store.persist(connection, job, facts, stored, [judged("a", 0, url=C)])

        async def flip(release_id: int) -> None:
            for playable in (("youtube", A), ("youtube", B), ("youtube", C)):
                decided = await set_url(database, playable, release_id=release_id)
                with contextlib.suppress(NoSuchMatch):  # another URL was set meanwhile
                    await decide(database, decisions.reject, decided.match_id)

        flips = [flip(release_id) for release_id in range(1, 5) for _ in range(4)]
        await asyncio.gather(*flips, *(scan() for _ in range(16)))
        for release_id in range(1, 5):
            await flip(release_id)
            assert len([each for each in await rows(database, release_id) if each["rejected"]]) == 3


async def approved_beside_a_rejected_one(database: Database) -> tuple[int, int]:
    """Ids of A, which anna approved, and of B, which she rejected before."""
    await persist(database, 1, judged("a", 0, url=B))
    second = await id_of(database, B)
    await decide(database, decisions.reject, second)
    await persist(database, 1, judged("a", 0, url=A))
    first = await id_of(database, A)
    await decide(database, decisions.approve, first)
    return first, second


async def test_a_track_has_one_approved_match_and_the_last_decision_holds(database: Database) -> None:
    _, rejected = await approved_beside_a_rejected_one(database)
    before = await rows(database)
    await decide(database, decisions.approve, rejected, "boris")
    (match,) = (await audio_of(database, 1)).matches
    assert (match["match_url"], match["verified_by"]) == (B, "boris")
    assert await history(database) == [("approve", "boris"), ("approve", "anna"), ("reject", "anna")]
    await decide(database, decisions.undo, rejected, "boris")
    assert await rows(database) == before


@pytest.mark.parametrize("dead", [A, B])
async def test_it_has_one_also_when_a_dead_link_comes_alive(database: Database, dead: str) -> None:
    _, rejected = await approved_beside_a_rejected_one(database)
    await execute(database, "UPDATE track_matches SET dead_since = now() WHERE match_url = $1", dead)
    await decide(database, decisions.approve, rejected, "boris")
    await execute(database, "UPDATE track_matches SET dead_since = NULL")
    assert await live_urls(database) == [B]


async def test_a_row_of_the_old_system_that_was_approved_gives_way_and_is_never_deleted(database: Database) -> None:
    await persist(database, 1)
    for url, approved in ((A, True), (B, False)):
        await execute(
            database,
            "INSERT INTO track_matches (release_id, track_index, match_url, approved) VALUES (1, 0, $1, $2)",
            url,
            approved,
        )
    before = await rows(database)
    await decide(database, decisions.approve, await id_of(database, B))
    assert await verdicts(database) == {A: "rejected", B: "approved"}
    await decide(database, decisions.undo, await id_of(database, B))
    assert await rows(database) == before


async def test_an_approval_does_not_come_back_beside_a_later_one(database: Database) -> None:
    first, second = await approved_beside_a_rejected_one(database)
    await decide(database, decisions.reject, first)
    await decide(database, decisions.approve, second, "boris")
    with pytest.raises(Undecidable, match=f"Match {second} of the same track was approved since"):
        await decide(database, decisions.undo, first)
    await decide(database, decisions.undo, second)
    await decide(database, decisions.undo, first)
    assert await verdicts(database) == {A: "approved", B: "rejected"}


@pytest.mark.parametrize("how", [decisions.approve, decisions.reject, decisions.undo])
async def test_a_match_that_is_gone_is_told_so(database: Database, how: Decide) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    gone = await id_of(database, A)
    await persist(database, 1, judged("a", 0, url=B))
    with pytest.raises(NoSuchMatch, match=f"Match {gone} is not there"):
        await decide(database, how, gone)
    assert await history(database) == []


async def test_a_match_found_again_is_still_known_by_its_id(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A_AGAIN, confidence=60), judged("b", 1, url=B))
    match_id = await id_of(database, A_AGAIN)
    await persist(database, 1, judged("a", 0, url=A, confidence=70), judged("b", 1, url=C))
    assert await id_of(database, A) == match_id
    assert (await decide(database, decisions.approve, match_id)).changed
    (first, _) = (await audio_of(database, 1)).matches
    assert (first["approved"], first["confidence"]) == (True, 70)


async def test_a_rejection_queues_the_release_behind_all_others(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await decide(database, decisions.reject, await id_of(database, A))
    found = await row(database, 1)
    assert (found["status"], found["priority"]) == ("queued", int(Priority.HISTORY))


async def test_a_job_that_is_under_way_while_a_match_is_rejected_is_done_again(database: Database) -> None:
    """It may have looked before, and would store nothing for the track."""
    await persist(database, 1, judged("a", 0, url=A))
    await enqueue(database, 1, fingerprint="changed")
    job = await claim_one(database)
    await decide(database, decisions.reject, await id_of(database, A))
    with pytest.raises(LeaseLost):
        async with database.transaction() as connection:
            await queue_store.decide(connection, job, ProcessingStatus.MATCHED, "f")
    assert (await row(database, 1))["status"] == "queued"


# --- a whole release ----------------------------------------------------------------------------------------------

DecideRelease = Callable[[Connection, int, str], Awaitable[DecidedRelease]]


async def decide_release(database: Database, how: DecideRelease, release_id: int = 1) -> DecidedRelease:
    async with database.transaction() as connection:
        return await how(connection, release_id, "anna")


async def verdicts(database: Database) -> dict[object, str]:
    return {
        each["match_url"]: "rejected" if each["rejected"] else "approved" if each["approved"] else "pending"
        for each in await rows(database)
    }


async def test_a_release_is_approved_at_once_by_the_best_of_each_pending_track(database: Database) -> None:
    await persist(
        database,
        1,
        judged("a", 0, url=A, confidence=60),
        judged("b", 1, url=B, confidence=95, approved=True),
        judged("c", 2, url=C, confidence=70),
    )
    better, worse = ("https://soundcloud.com/x/better", 80), ("https://soundcloud.com/x/worse", 50)
    for url, confidence in (better, worse):
        await execute(
            database,
            "INSERT INTO track_matches (release_id, track_index, match_url, confidence) VALUES (1, 2, $1, $2)",
            url,
            confidence,
        )
    decided = await decide_release(database, decisions.approve_release)
    assert [each.match_url for each in decided.matches] == [A, better[0]]
    assert await verdicts(database) == {A: "approved", B: "approved", better[0]: "approved", worse[0]: "pending"}
    assert not (await decide_release(database, decisions.approve_release)).changed
    assert await history(database) == [("approve", "anna")] * 2
    await decide(database, decisions.undo, decided.matches[0].match_id)
    assert (await verdicts(database))[A] == "pending"


@pytest.mark.parametrize("how", [decisions.approve_release, decisions.reject_release])
async def test_a_release_decided_at_once_has_no_more_pressings_matched_again_than_one_match(
    database: Database, how: Callable[[Connection, int, str], Awaitable[DecidedRelease]]
) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B), judged("c", 2, url=C))
    others = "generate_series(1001, 1000 + 4 * $1::integer) AS other"
    await execute(database, "UPDATE releases SET master_id = 7")
    await execute(
        database,
        f"INSERT INTO releases (id, discogs_id, master_id) SELECT other, other, 7 FROM {others}",  # noqa: S608 - a constant of ours
        decision_store.PRESSINGS_MAX,
    )
    await execute(
        database,
        f"INSERT INTO match_queue (release_id, priority, status) SELECT other, 20, 'matched' FROM {others}",  # noqa: S608 - a constant of ours
        decision_store.PRESSINGS_MAX,
    )
    async with database.transaction() as connection:
        assert len((await how(connection, 1, "anna")).matches) == 3
        again = await connection.fetchval("SELECT count(*) FROM match_queue WHERE status = 'queued' AND release_id > 1")
    assert again == decision_store.PRESSINGS_MAX


async def test_a_release_is_rejected_at_once_but_for_what_a_person_approved(database: Database) -> None:
    await persist(
        database,
        1,
        judged("a", 0, url=A, confidence=60),
        judged("b", 1, url=B, confidence=95, approved=True),
        judged("c", 2, url=C, confidence=70),
    )
    await decide(database, decisions.approve, await id_of(database, C), "boris")
    decided = await decide_release(database, decisions.reject_release)
    assert [each.match_url for each in decided.matches] == [A, B]
    assert await verdicts(database) == {A: "rejected", B: "rejected", C: "approved"}
    assert not (await decide_release(database, decisions.reject_release)).changed


async def test_without_audio_nothing_is_shown_until_that_is_undone(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A, approved=True), judged("b", 1, url=B, confidence=60))
    await decide(database, decisions.approve, await id_of(database, B), "boris")
    before = await rows(database)
    decided = await decide_release(database, decisions.no_audio)
    assert [each.match_url for each in decided.matches] == [A, B]
    audio = await audio_of(database, 1)
    assert (audio.matches, audio.status) == ((), ProcessingStatus.UNMATCHED)
    assert not (await decide_release(database, decisions.no_audio)).changed
    for how in (decisions.approve, decisions.reject, decisions.undo):
        with pytest.raises(Undecidable, match="no audio"):
            await decide(database, how, await id_of(database, B))
    for how_release in (decisions.approve_release, decisions.reject_release):
        with pytest.raises(Undecidable, match="no audio"):
            await decide_release(database, how_release)
    with pytest.raises(Undecidable, match="no audio"):
        await set_url(database)
    assert (await decide_release(database, decisions.undo_no_audio)).changed
    assert await rows(database) == before
    assert (await row(database, 1))["status"] == "queued"
    assert not (await decide_release(database, decisions.undo_no_audio)).changed
    assert await history(database) == [("undo", "anna"), ("no_audio", "anna"), ("approve", "boris")]


async def test_without_audio_is_a_word_on_one_pressing_alone(database: Database) -> None:
    for release_id in (1, 2):
        await persist(database, release_id, judged("a", 0, url=A, approved=True))
    await execute(database, "UPDATE releases SET master_id = 9")
    await decide_release(database, decisions.no_audio)
    async with database.connection() as connection:
        assert await pressings_store.on_other_pressings(connection, 2, 9) == []


# --- a URL of one's own -------------------------------------------------------------------------------------------


async def test_a_persons_url_takes_the_place_of_what_was_found(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    await set_url(database)
    first, second = (await audio_of(database, 1)).matches
    assert (first["match_url"], first["platform"], first["confidence"], first["approved"]) == (
        OWN[1],
        OWN[0],
        100,
        True,
    )
    assert (first["verified_by"], first["title"]) == ("anna", "Morning Signal")
    assert second["match_url"] == B
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    assert await live_urls(database) == [OWN[1], B]


@pytest.mark.parametrize(("url", "status"), [(A_AGAIN, "queued"), (C, "matched")])
async def test_a_release_is_matched_again_where_a_persons_url_had_been_found_for_another_track(
    database: Database, url: str, status: str
) -> None:
    await persist(database, 1, judged("a", 0, url=B), judged("b", 1, url=A))
    await set_url(database, ("youtube", url))
    assert (await row(database, 1))["status"] == status


async def test_what_was_found_already_is_approved_when_a_person_names_it(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A_AGAIN, confidence=51))
    known = await id_of(database, A_AGAIN)
    assert (await set_url(database, ("youtube", A))).match_id == known
    (match,) = (await audio_of(database, 1)).matches
    assert (match["confidence"], match["approved"]) == (100, True)
    await decide(database, decisions.undo, known)
    (match,) = (await audio_of(database, 1)).matches
    assert (match["confidence"], match["approved"], match["verified_at"]) == (51, False, None)


async def test_a_second_url_replaces_the_first_and_undo_brings_it_back(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await set_url(database)
    before = await rows(database)
    second = await set_url(database, ("youtube", B))
    assert await live_urls(database) == [B]
    await decide(database, decisions.undo, second.match_id)
    assert await rows(database) == before


async def test_setting_the_same_url_again_changes_nothing(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await set_url(database)
    assert not (await set_url(database)).changed
    assert await history(database) == [("set", "anna")]


async def test_a_row_of_the_old_system_is_hidden_by_a_persons_url_and_never_deleted(database: Database) -> None:
    await persist(database, 1)
    await execute(database, "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (1, 0, $1)", A)
    decided = await set_url(database)
    assert await live_urls(database) == [OWN[1]]
    assert len(await rows(database)) == 2
    await decide(database, decisions.undo, decided.match_id)
    assert await live_urls(database) == [A]


async def test_a_release_that_is_not_kept_is_kept_for_a_persons_url_and_its_facts_come(database: Database) -> None:
    await set_url(database, track=1)
    audio = await audio_of(database, 1)
    assert (audio.status, audio.persisted) == (ProcessingStatus.MATCHED, True)
    job = await claim_one(database)
    assert (job.release_id, job.persist_always) == (1, True)
    body = release_body(1, videos=0)
    async with database.transaction() as connection:
        await queue_store.decide(connection, job, ProcessingStatus.MATCHED, "f")
        await store.persist(connection, job, metadata(body), StoredBody(encoded(body), NOW), [])
    (match,) = (await audio_of(database, 1)).matches
    assert (match["title"], match["match_url"]) == ("Harbour Lights", OWN[1])


async def test_a_release_that_had_failed_is_looked_at_again_for_it(database: Database) -> None:
    await enqueue(database, 1)
    job = await claim_one(database)
    async with database.transaction() as connection:
        await queue_store.fail(connection, job, "odd")
    await set_url(database)
    assert (await claim_one(database)).persist_always


async def test_a_sub_track_has_its_own_match(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    tracklist = '[{"title": "Suite", "sub_tracks": [{"position": "1a", "title": "Part"}]}]'
    await execute(database, "UPDATE releases SET tracklist = $1", tracklist)
    await set_url(database, sub=0)
    matches = (await audio_of(database, 1)).matches
    assert [(match.get("sub_index"), match["title"]) for match in matches] == [(None, "Suite"), (0, "Part")]


@pytest.mark.parametrize(("track", "sub"), [(2, None), (0, 0)])
async def test_a_track_that_is_not_there_is_told_so(database: Database, track: int, sub: int | None) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    with pytest.raises(NoSuchMatch, match=r"Release 1 has no track"):
        await set_url(database, track=track, sub=sub)


async def test_a_heading_is_no_track(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    tracklist = '[{"type_": "heading", "title": "Side A"}, {"type_": "track", "position": "A1", "title": "Song"}]'
    await execute(database, "UPDATE releases SET tracklist = $1", tracklist)
    with pytest.raises(NoSuchMatch, match=r"Release 1 has no track 0: that is a heading"):
        await set_url(database, track=0)
    await set_url(database, track=1)


# --- undo ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [decisions.approve, decisions.reject])
async def test_undo_restores_exactly(database: Database, how: Decide) -> None:
    await persist(database, 1, judged("a", 0, url=A, confidence=71.5))
    before = await rows(database)
    match_id = await id_of(database, A)
    await decide(database, how, match_id)
    assert await rows(database) != before
    assert (await decide(database, decisions.undo, match_id)).changed
    assert await rows(database) == before
    assert not (await decide(database, decisions.undo, match_id)).changed
    assert [action for action, _ in await history(database)] == ["undo", how.__name__]


async def test_undo_of_a_set_url_brings_back_what_it_replaced(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    before = await rows(database)
    decided = await set_url(database)
    await persist(database, 1, judged("b", 1, url=B))
    await decide(database, decisions.undo, decided.match_id)
    assert [each["match_url"] for each in await rows(database)] == [A, B]
    assert (await rows(database))[0] == before[0]
    assert not (await decide(database, decisions.undo, decided.match_id)).changed


async def test_undo_of_a_rejection_takes_its_place_back(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    match_id = await id_of(database, A)
    await decide(database, decisions.reject, match_id)
    await persist(database, 1, judged("a", 0, url=B))
    await decide(database, decisions.undo, match_id)
    assert await live_urls(database) == [A]


async def test_undo_does_not_bring_a_dead_link_back(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    match_id = await id_of(database, A)
    await decide(database, decisions.reject, match_id)
    await execute(database, "UPDATE track_matches SET dead_since = now()")
    await decide(database, decisions.undo, match_id)
    assert await live_urls(database) == []


async def test_undo_leaves_alone_what_was_decided_since(database: Database) -> None:
    await persist(database, 1)
    for url in (A, A_AGAIN):
        await execute(database, "INSERT INTO track_matches (release_id, track_index, match_url) VALUES (1, 0, $1)", url)
    await decide(database, decisions.reject, await id_of(database, A))
    await decide(database, decisions.approve, await id_of(database, A_AGAIN), "boris")
    await decide(database, decisions.undo, await id_of(database, A))
    assert await verdicts(database) == {A: "pending", A_AGAIN: "approved"}


async def test_there_is_nothing_to_undo_where_nobody_decided(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    with pytest.raises(Undecidable, match="nothing to undo"):
        await decide(database, decisions.undo, await id_of(database, A))


async def test_what_youtube_told_is_not_kept_in_the_history(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await execute(database, "UPDATE track_matches SET provider = 'youtube'")
    await set_url(database)
    async with database.connection() as connection:
        kept = await connection.fetchval("SELECT before FROM match_decisions")
    assert A in kept
    assert "candidate_title" not in kept


async def test_what_youtube_told_of_a_video_is_gone_once_it_is_a_persons_own(database: Database) -> None:
    """Nobody tells that anew within 30 days, nor blanks it."""
    await persist(database, 1, judged("a", 0, url=A))
    reasons = '[{"name": "title", "weight": 2, "detail": "a"}]'
    await execute(database, "UPDATE track_matches SET provider = 'youtube', reasons = $1::text::jsonb", reasons)
    decided = await set_url(database, ("youtube", A))
    for provider in ("person", "youtube"):
        (match,) = await rows(database)
        assert (match["provider"], match["candidate_title"], match["candidate_duration_s"]) == (provider, None, None)
        assert match["reasons"] == '[{"name": "title", "detail": "", "weight": 2}]'
        await decide(database, decisions.undo, decided.match_id)


async def test_a_whole_release_is_decided_beside_who_decides_another_pressing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release_id in (1, 2):
        await persist(database, release_id, judged("a", 0, url=A), judged("b", 1, url=B))
    await execute(database, "UPDATE releases SET master_id = 9")
    await execute(database, "UPDATE match_queue SET status = 'processing' WHERE release_id = 1")
    settle = decision_store.settle
    async with contextlib.AsyncExitStack() as other:

        async def meanwhile(*given: object) -> None:
            await settle(*given)  # type: ignore[arg-type]
            monkeypatch.setattr(decisions, "settle", settle)
            await execute(database, "UPDATE match_queue SET status = 'matched' WHERE release_id = 1")
            connection = await other.enter_async_context(database.transaction())
            await connection.execute("SELECT FROM match_queue WHERE release_id = 1 FOR UPDATE")

        monkeypatch.setattr(decisions, "settle", meanwhile)
        async with asyncio.timeout(3):
            assert len((await decide_release(database, decisions.approve_release, 2)).matches) == 2


# --- whatever happens ---------------------------------------------------------------------------------------------

TRACKS = 2
URLS = [A, A_AGAIN, B, C]

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["scan", "approve", "reject", "undo", "set", "old"]), st.integers(0, 5), st.integers(0, 3)
    ),
    max_size=14,
)


def decided_rows(found: Rows) -> Rows:
    return [each for each in found if each["verified_at"] is not None]


def is_live(each: dict[str, object]) -> bool:
    return not each["rejected"]


def same_track(each: dict[str, object], other: dict[str, object]) -> bool:
    return each["track_index"] == other["track_index"]


def same_video(each: dict[str, object], other: dict[str, object]) -> bool:
    return spelling(str(each["match_url"])) == spelling(str(other["match_url"]))


async def take(database: Database, release_id: int, step: Step) -> None:
    what, which, url = step
    if what == "scan":
        found = [judged("a", 0, url=URLS[url]), judged("b", 1, url=URLS[(url + which) % len(URLS)], approved=True)]
        await persist(database, release_id, *found[: 1 + which % 2])
        return
    if what == "set":
        await set_url(database, ("youtube", URLS[url]), track=which % TRACKS, release_id=release_id)
        return
    if what == "old":
        await execute(
            database,
            "INSERT INTO track_matches (release_id, track_index, match_url) VALUES ($1, $2, $3)",
            release_id,
            which % TRACKS,
            URLS[url],
        )
        async with database.transaction() as connection:
            await store.refresh_has_audio(connection, release_id)
        return
    matches = await rows(database, release_id)
    if matches:
        match_id = matches[which % len(matches)]["id"]
        assert isinstance(match_id, int)
        try:
            await decide(database, getattr(decisions, what), match_id)
        except Undecidable:
            assert what == "undo"


def holds(before: Rows, after: Rows, step: Step) -> None:
    if step[0] == "scan":
        assert decided_rows(before) == decided_rows(after)
        old = [each for each in before if each["provider"] is None]
        assert old == [each for each in after if each["provider"] is None]
        come = [each for each in after if each["id"] not in {was["id"] for was in before}]
        refused = [each for each in after if each["rejected"]]
        assert not [one for one in come for other in refused if same_track(one, other) and same_video(one, other)]
    sure = [each for each in after if each["verified_at"] and is_live(each)]
    loose = [each for each in after if not each["verified_at"] and is_live(each) and each["provider"]]
    assert not [one for one in loose for other in sure if same_track(one, other)]
    assert not [one for one, other in itertools.combinations(sure, 2) if same_track(one, other)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
async def test_any_sequence_of_scans_and_decisions_keeps_what_people_said(
    database: Database, steps: Sequence[Step]
) -> None:
    release_id = await next_release(database)
    for step in steps:
        before = await rows(database, release_id)
        await take(database, release_id, step)
        after = await rows(database, release_id)
        holds(before, after, step)
        async with database.connection() as connection:
            has_audio = await connection.fetchval(
                "SELECT has_audio_matches FROM releases WHERE discogs_id = $1", release_id
            )
        assert has_audio == any(map(is_live, after))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=STEPS,
    how=st.sampled_from(["approve", "reject", "set"]),
    which=st.integers(0, 5),
    url=st.integers(0, 3),
)
async def test_a_decision_undone_at_once_leaves_no_trace_in_the_matches(
    database: Database, steps: Sequence[Step], how: str, which: int, url: int
) -> None:
    release_id = await next_release(database)
    for step in [*steps, ("scan", 1, url)]:
        await take(database, release_id, step)
    before = await rows(database, release_id)
    try:
        if how == "set":
            decided = await set_url(database, ("youtube", URLS[url]), track=which % TRACKS, release_id=release_id)
        else:
            match_id = before[which % len(before)]["id"] if before else 0
            assert isinstance(match_id, int)
            decided = await decide(database, getattr(decisions, how), match_id)
    except NoSuchMatch:
        assert not before
        return
    if decided.changed:
        await decide(database, decisions.undo, decided.match_id)
        assert await rows(database, release_id) == before


async def next_release(database: Database) -> int:
    """A persisted release without matches that no example has used."""
    async with database.transaction() as connection:
        known = await connection.fetchval("SELECT coalesce(max(discogs_id), 0) FROM releases")
    release_id = int(known) + 1
    await persist(database, release_id)
    return release_id


async def test_decisions_survive_a_restart(database: Database, database_dsn: str) -> None:
    await persist(database, 1, judged("a", 0, url=A), judged("b", 1, url=B))
    await decide(database, decisions.approve, await id_of(database, A))
    await decide(database, decisions.reject, await id_of(database, B))
    async with connected(database_dsn) as restarted:
        await persist(restarted, 1, judged("a", 0, url=C), judged("b", 1, url=B))
        assert await live_urls(restarted) == [A]
