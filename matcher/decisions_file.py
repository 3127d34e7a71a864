"""What people decided as JSON lines, by Discogs' ids, and its way back into any database, also one that never saw the
release: that is then queued and holds the decision meanwhile.

Of each URL of a track the last word is kept. Merging is idempotent and never puts an older word over a newer one: what
holds for a URL, or as the approved one of a track, is what was said last in either place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from asyncpg import Record

from matcher import decision_store, decisions, store
from matcher.database import Connection
from matcher.decision_store import PERSON
from matcher.domain.urls import URL_MAX, playable_url, spelling
from matcher.errors import Undecidable
from matcher.models import Action
from matcher.queue_store import Priority

ID_MAX = 2**63 - 1
INDEX_MAX = 2**31 - 1
BY_MAX = 200
LINE_MAX = 10_000
OF_RELEASES = (Action.NO_AUDIO, Action.UNDO)
"""Actions without a URL: there is no audio for the release, ever, or that is taken back."""
UNKNOWN = "unknown"
"""Who verified a match of the old system, where it did not say."""


class BadDecision(Exception):
    """A line is no decision; the message names it. None was merged."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`track_index` as in the tracklist; None: a match of the old system that belongs to no track.

    `url` is None where the release as a whole is without audio, or is so no longer.
    """

    release_id: int
    track_index: int | None
    sub_index: int | None
    url: str | None
    action: Action
    by: str
    at: datetime

    def as_line(self) -> bytes:
        content = {
            "release_id": self.release_id,
            "track_index": self.track_index,
            "sub_index": self.sub_index,
            "url": self.url,
            "action": self.action.value,
            "by": self.by,
            "at": self.at.isoformat(),
        }
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"


class Outcome(StrEnum):
    """What merging a decision did."""

    MERGED = "merged"
    KNOWN = "known already, or decided anew since"
    NOT_APPLICABLE = "of no use here: no such track, its URL cannot be shown, or there is no audio for the release"


@dataclass(slots=True)
class Merged:
    """How many of each."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    def __str__(self) -> str:
        return "\n".join(f"{self.outcomes[each]} decisions {each.value}" for each in Outcome)


# --- writing --------------------------------------------------------------------------------------------------------


async def decisions_of_people(connection: Connection) -> AsyncIterator[Decision]:
    """Oldest first, the old system's verdicts included; within a transaction of the caller's."""
    rows = connection.cursor(
        """
        SELECT * FROM (
          SELECT DISTINCT ON (release_id, track_index, sub_index, match_url)
                 release_id, track_index, sub_index, match_url, action, decided_by, decided_at
          FROM match_decisions WHERE match_url IS NOT NULL
          ORDER BY release_id, track_index, sub_index, match_url, id DESC
        ) AS said
        UNION ALL
        SELECT release_id, track_index, sub_index, match_url, CASE WHEN rejected THEN 'reject' ELSE 'approve' END,
               coalesce(nullif(verified_by, ''), $1), verified_at::timestamptz
        FROM track_matches m
        WHERE verified_at IS NOT NULL AND match_url IS NOT NULL AND (rejected OR approved)
          AND NOT EXISTS (SELECT FROM match_decisions d WHERE d.match_id = m.id)
          AND NOT EXISTS (SELECT FROM match_queue q WHERE q.release_id = m.release_id AND q.no_audio_since IS NOT NULL)
        UNION ALL
        SELECT * FROM (
          SELECT DISTINCT ON (release_id)
                 release_id, NULL::integer, NULL::integer, NULL::text, action, decided_by, decided_at
          FROM match_decisions WHERE match_id IS NULL AND action IN ('no_audio', 'undo') ORDER BY release_id, id DESC
        ) AS of_releases
        ORDER BY decided_at, release_id, track_index, sub_index, match_url
        """,
        UNKNOWN,
    )
    async for row in rows:
        release_id, track_index, sub_index, url, action, by, at = row
        yield Decision(release_id, track_index, sub_index, url, Action(action), by, at)


# --- reading --------------------------------------------------------------------------------------------------------


def parsed(lines: Iterable[bytes]) -> Iterator[Decision]:
    """Empty lines are passed over. Raises BadDecision."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield parse(line, number)


def parse(line: bytes, number: int) -> Decision:
    try:
        content: object = json.loads(line) if len(line) <= LINE_MAX else None
    except (ValueError, RecursionError) as error:
        raise BadDecision(f"line {number} is not JSON") from error
    match content:
        case {
            "release_id": int(release_id),
            "track_index": track,
            "sub_index": sub,
            "url": str() | None as url,
            "action": str(action),
            "by": str(by),
            "at": str(at),
        }:
            said = action_of(action, number)
            fits = track is sub is None and said in OF_RELEASES if url is None else is_text(url, URL_MAX)
            if 0 < release_id <= ID_MAX and is_index(track) and is_index(sub) and fits:
                return Decision(release_id, track, sub, url, said, said_by(by), moment(at, number))
    raise BadDecision(
        f"line {number} is no decision: it needs release_id, track_index, sub_index, url, action, by and at"
    )


def is_index(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= INDEX_MAX)


def is_text(value: str, longest: int) -> bool:
    return 0 < len(value) <= longest and "\0" not in value and value.isprintable()


def said_by(name: str) -> str:
    return name if is_text(name, BY_MAX) else UNKNOWN


def action_of(name: str, number: int) -> Action:
    try:
        return Action(name)
    except ValueError as error:
        known = ", ".join(each.value for each in Action)
        raise BadDecision(f"line {number}: {name[:40]!r} is no action of this version ({known})") from error


def moment(text: str, number: int) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadDecision(f"line {number}: {text[:40]!r} is no time") from error
    if found.tzinfo is None:
        raise BadDecision(f"line {number}: {text[:40]!r} does not say its time zone")
    return found


# --- merging --------------------------------------------------------------------------------------------------------


async def merge(connection: Connection, decision: Decision) -> Outcome:
    """In a transaction of the caller's, which is to be rolled back where Undecidable is raised."""
    if decision.url is None:
        return await _merge_of_release(connection, decision)
    if not await store.is_persisted(connection, decision.release_id):
        if decision.action is Action.UNDO:
            return Outcome.NOT_APPLICABLE
        await decision_store.persist_for_facts(connection, decision.release_id, Priority.HISTORY)
    await decision_store.lock_track(connection, decision.release_id, decision.track_index, decision.sub_index)
    if is_outdated(decision, await _said(connection, decision)):
        return Outcome.KNOWN
    changed = await _apply(connection, decision, await _row_of(connection, decision))
    if changed is None:
        return Outcome.NOT_APPLICABLE
    await _backdate(connection, decision, changed)
    return Outcome.MERGED


async def _merge_of_release(connection: Connection, decision: Decision) -> Outcome:
    """What was said later, of the release or by approving a match of it, holds."""
    since = await connection.fetchval(
        """
        SELECT true FROM match_decisions
        WHERE release_id = $1 AND decided_at >= $2 AND (match_id IS NULL OR action IN ('approve', 'set')) LIMIT 1
        """,
        decision.release_id,
        decision.at,
    )
    decide = decisions.no_audio if decision.action is Action.NO_AUDIO else decisions.undo_no_audio
    if since or not (await decide(connection, decision.release_id, decision.by)).changed:
        return Outcome.KNOWN
    await connection.execute(
        "UPDATE match_decisions SET decided_at = $2 WHERE release_id = $1 AND match_id IS NULL AND decided_at >= now()",
        decision.release_id,
        decision.at,
    )
    return Outcome.MERGED


def is_outdated(decision: Decision, said: Sequence[tuple[str, str, datetime]]) -> bool:
    """By the words (URL, action, time) that are known of its track: one of the same URL from then or later, or, where
    it approves, a later one that approves another.
    """
    own = spelling(decision.url or "")
    approves = decision.action in (Action.APPROVE, Action.SET)
    return any(
        at >= decision.at if spelling(url) == own else approves and action in ("approve", "set") and at > decision.at
        for url, action, at in said
    )


async def _said(connection: Connection, decision: Decision) -> list[tuple[str, str, datetime]]:
    rows = await connection.fetch(
        """
        SELECT match_url, action, decided_at FROM match_decisions
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
          AND match_url IS NOT NULL
        UNION ALL
        SELECT match_url, CASE WHEN rejected THEN 'reject' ELSE 'approve' END, verified_at::timestamptz
        FROM track_matches
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
          AND match_url IS NOT NULL AND verified_at IS NOT NULL
        """,
        decision.release_id,
        decision.track_index,
        decision.sub_index,
    )
    return [(url, action, at) for url, action, at in rows]


async def _row_of(connection: Connection, decision: Decision) -> Record | None:
    rows = await connection.fetch(
        """
        SELECT id, match_url FROM track_matches
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
          AND match_url IS NOT NULL
        ORDER BY rejected, id
        """,
        decision.release_id,
        decision.track_index,
        decision.sub_index,
    )
    return next((row for row in rows if spelling(row["match_url"]) == spelling(decision.url or "")), None)


async def _apply(connection: Connection, decision: Decision, row: Record | None) -> int | None:
    """The match that it is about; None: it cannot be applied here. Raises NoSuchMatch."""
    playable = playable_url(decision.url or "")
    match decision.action:
        case Action.UNDO:
            if row is not None and await _is_decided(connection, row["id"]):
                return (await decisions.undo(connection, row["id"], decision.by)).match_id
            return None
        case Action.SET if playable is not None and decision.track_index is not None:
            track = decision.release_id, decision.track_index, decision.sub_index
            return (await decisions.set_url(connection, *track, playable, decision.by)).match_id
        case Action.APPROVE | Action.REJECT:
            match_id = row["id"] if row is not None else await _suggest(connection, decision, playable)
            decide = decisions.approve if decision.action is Action.APPROVE else decisions.reject
            return None if match_id is None else (await decide(connection, match_id, decision.by)).match_id
    return None


async def _is_decided(connection: Connection, match_id: int) -> bool:
    last = "SELECT action FROM match_decisions WHERE match_id = $1 ORDER BY id DESC LIMIT 1"
    return await connection.fetchval(last, match_id) not in (None, Action.UNDO.value)


async def _suggest(connection: Connection, decision: Decision, playable: tuple[str, str] | None) -> int | None:
    """The URL as a match that waits for the word which follows. None: not of a track, or cannot be shown."""
    if playable is None or decision.track_index is None:
        return None
    await decision_store.check_track(connection, decision.release_id, decision.track_index, decision.sub_index)
    platform, url = playable
    match_id: int = await connection.fetchval(
        """
        INSERT INTO track_matches (release_id, track_index, sub_index, platform, match_url, provider, confidence)
        VALUES ($1, $2, $3, $4, $5, $6, 100) RETURNING id
        """,
        decision.release_id,
        decision.track_index,
        decision.sub_index,
        platform,
        url,
        PERSON,
    )
    return match_id


async def _backdate(connection: Connection, decision: Decision, match_id: int) -> None:
    """It was said then, not now."""
    await connection.execute(
        "UPDATE match_decisions SET decided_at = $2 WHERE match_id = $1 AND decided_at >= now()", match_id, decision.at
    )
    await connection.execute(
        """
        UPDATE track_matches SET verified_at = $4
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
          AND verified_at >= now()
        """,
        decision.release_id,
        decision.track_index,
        decision.sub_index,
        decision.at,
    )


async def merged_one(connection: Connection, decision: Decision) -> Outcome:
    """`merge` in a transaction of its own."""
    try:
        async with connection.transaction():
            return await merge(connection, decision)
    except Undecidable:  # no such track, or a person said here that there is no audio for it
        return Outcome.NOT_APPLICABLE
