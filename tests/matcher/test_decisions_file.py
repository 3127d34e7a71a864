"""Decisions of people that travel: merged once, never an older word over a newer one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher import decisions
from matcher.database import Database
from matcher.decisions_file import BadDecision, Decision, Outcome, decisions_of_people, merged_one, parse, parsed
from matcher.models import Action, ProcessingStatus
from proxy.adapters.database import connected
from tests.fresh_databases import FreshDatabases
from tests.matcher.test_decisions import OWN, A, B, decide, id_of, live_urls, rows, set_url
from tests.matcher.test_store import audio_of, execute, judged, persist, row

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = AT + timedelta(days=1)


def said(url: str = A, action: Action = Action.APPROVE, at: datetime = AT, **other: object) -> Decision:
    return replace(Decision(1, 0, None, url, action, "anna", at), **other)  # type: ignore[arg-type]


async def merge(database: Database, *lines: Decision) -> list[Outcome]:
    async with database.connection() as connection:
        return [await merged_one(connection, line) for line in lines]


async def written(database: Database) -> list[Decision]:
    async with database.transaction() as connection:
        return [each async for each in decisions_of_people(connection)]


async def verdicts(database: Database) -> Sequence[tuple[object, ...]]:
    names = ("match_url", "approved", "rejected", "verified_by", "verified_at")
    return [tuple(each[name] for name in names) for each in await rows(database)]


async def test_a_release_never_seen_is_queued_and_holds_the_decision_meanwhile(database: Database) -> None:
    assert await merge(database, said(A), said(B, Action.REJECT)) == [Outcome.MERGED] * 2
    assert await verdicts(database) == [(A, True, False, "anna", AT), (B, False, True, "anna", AT)]
    assert (await row(database, 1))["status"] == ProcessingStatus.QUEUED
    await persist(database, 1, judged("a", 0, url=B, confidence=99))
    assert await live_urls(database) == [A]


async def test_merging_again_changes_nothing(database: Database) -> None:
    lines = [said(A), said(B, Action.REJECT), said(OWN[1], Action.SET, track_index=1), said(A, release_id=2)]
    assert await merge(database, *lines) == [Outcome.MERGED] * 4
    before = await verdicts(database)
    assert await merge(database, *lines, *reversed(lines)) == [Outcome.KNOWN] * 8
    assert await verdicts(database) == before
    assert sorted(map(str, await written(database))) == sorted(map(str, lines))


@pytest.mark.parametrize(("older", "newer"), [(Action.APPROVE, Action.REJECT), (Action.REJECT, Action.APPROVE)])
async def test_an_older_word_is_never_put_over_a_newer_one(database: Database, older: Action, newer: Action) -> None:
    await merge(database, said(A, newer, LATER))
    assert await merge(database, said(A, older, AT, by="boris")) == [Outcome.KNOWN]
    assert await verdicts(database) == [(A, newer is Action.APPROVE, newer is Action.REJECT, "anna", LATER)]
    assert await merge(database, said(A, older, LATER + timedelta(1), by="boris")) == [Outcome.MERGED]


async def test_what_was_approved_since_is_not_joined_by_what_was_approved_before(database: Database) -> None:
    await merge(database, said(A, Action.SET, LATER))
    assert await merge(database, said(B, Action.APPROVE, AT)) == [Outcome.KNOWN]
    assert await live_urls(database) == [A]


async def test_a_word_taken_back_is_taken_back_elsewhere_too(database: Database, databases: FreshDatabases) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await decide(database, decisions.reject, await id_of(database, A))
    async with databases.new() as dsn, connected(dsn, connections=2) as other:
        await persist(other, 1, judged("a", 0, url=A))
        assert await merge(other, *await written(database)) == [Outcome.MERGED]
        assert await live_urls(other) == []
        await decide(database, decisions.undo, await id_of(database, A))
        assert await merge(other, *await written(database)) == [Outcome.MERGED]
        assert await live_urls(other) == [A]
        assert await merge(other, *await written(database)) == [Outcome.KNOWN]


async def test_that_a_release_has_no_audio_travels_and_so_does_its_undoing(
    database: Database, databases: FreshDatabases
) -> None:
    async with databases.new() as dsn, connected(dsn, connections=2) as other:
        for each in (database, other):
            await persist(each, 1, judged("a", 0, url=A))
        async with database.transaction() as connection:
            await decisions.no_audio(connection, 1, "anna")
        (line,) = await written(database)
        assert parse(line.as_line(), 1) == line
        assert await merge(other, line, line) == [Outcome.MERGED, Outcome.KNOWN]
        assert await live_urls(other) == []
        assert (await row(other, 1))["no_audio_since"]
        assert await written(other) == [line]
        assert await merge(other, said(B, at=LATER)) == [Outcome.NOT_APPLICABLE]
        async with database.transaction() as connection:
            await decisions.undo_no_audio(connection, 1, "anna")
        (undone,) = await written(database)
        assert await merge(other, undone, line, undone) == [Outcome.MERGED, Outcome.KNOWN, Outcome.KNOWN]
        assert await live_urls(other) == [A]


async def test_that_a_release_has_no_audio_is_not_put_over_a_match_approved_since(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    await decide(database, decisions.approve, await id_of(database, A))
    none = Decision(1, None, None, None, Action.NO_AUDIO, "anna", AT)
    assert await merge(database, none) == [Outcome.KNOWN]
    assert await live_urls(database) == [A]


async def test_the_verdicts_of_the_old_system_travel_as_well(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=B))
    await execute(
        database,
        "INSERT INTO track_matches (release_id, track_index, match_url, approved, verified_by, verified_at)"
        " VALUES (1, 1, $1, true, NULL, $2)",
        A,
        AT,
    )
    await set_url(database)
    first, last = await written(database)
    assert first == said(A, track_index=1, by="unknown")
    assert (last.url, last.action, last.track_index) == (OWN[1], Action.SET, 0)


async def test_a_track_that_is_not_there_gets_none(database: Database) -> None:
    await persist(database, 1, judged("a", 0, url=A))
    lines = [said(B, track_index=99), said("javascript:alert(1)"), said(B, Action.UNDO), said(B, track_index=None)]
    assert await merge(database, *lines) == [Outcome.NOT_APPLICABLE] * 4
    assert (await audio_of(database, 1)).status is ProcessingStatus.MATCHED
    assert len(await rows(database)) == 1


@given(
    st.builds(
        Decision,
        st.integers(1, 2**63 - 1),
        st.none() | st.integers(0, 2**31 - 1),
        st.none() | st.integers(0, 2**31 - 1),
        st.just(A),
        st.sampled_from(Action),
        st.sampled_from(["anna", "Ünal Ö", "x" * 200]),
        st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_line_says_it_all(decision: Decision) -> None:
    assert list(parsed([decision.as_line(), b"\n"])) == [decision]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b'"approve"', b'"adore"', "no action of this version"),
        (b'"release_id": 1', b'"release_id": 0', "is no decision"),
        (b'"release_id": 1', b'"release_id": 1e3', "is no decision"),
        (b'"track_index": 0', b'"track_index": -1', "is no decision"),
        (b'"track_index": 0', b'"track_index": true', "is no decision"),
        (b'"track_index": 0, ', b"", "is no decision"),
        (b"+00:00", b"", "time zone"),
        (b"2026-01", b"2026-13", "is no time"),
        (b"{", b"{" * 9, "is not JSON"),
        (b"https", b"\\u0000", "is no decision"),
        (b"https", b"h" * 20_000, "is no decision"),
    ],
)
def test_a_line_that_is_no_decision_is_named(old: bytes, new: bytes, named: str) -> None:
    line = said().as_line()
    assert old in line
    with pytest.raises(BadDecision, match=f"line 7.*{named}"):
        parse(line.replace(old, new, 1), 7)
