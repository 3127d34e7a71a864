"""What people decide of matches, and all of its SQL: approve, reject, set a URL of one's own, undo, and the history.

Each function runs in a transaction of the caller's. Of two people who decide at once the later wins: who decides holds
the release's row in the queue, then the release, then the track's matches; a job that stores matches takes them in the
same order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from asyncpg import Record

from matcher import hidden_store, queue_store, store
from matcher.database import Connection
from matcher.domain.urls import spelling
from matcher.errors import NoSuchMatch, Undecidable
from matcher.models import MatchCursor, MatchStatus
from matcher.queue_store import Priority

PERSON = "person"
"""The provider of a URL that a person set."""

PRESSINGS_MAX = 50
"""So many other pressings of a master are matched again after a decision."""


class Action(StrEnum):
    """What a person did."""

    APPROVE = "approve"
    REJECT = "reject"
    SET = "set"
    UNDO = "undo"
    NO_AUDIO = "no_audio"
    """Of a release as a whole: there is none for it, ever."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Which match a decision is about. `changed`: False where it had been decided just so."""

    match_id: int
    release_id: int
    track_index: int | None
    sub_index: int | None
    match_url: str | None
    changed: bool


@dataclass(frozen=True, slots=True)
class _Track:
    """A track whose matches are locked, all of them by id."""

    release_id: int
    track_index: int | None
    sub_index: int | None
    rows: Sequence[Record]
    pressings: Sequence[int]
    """Of the same master: their rows in the queue are locked as well."""

    def row(self, match_id: int) -> Record:
        """Raises NoSuchMatch."""
        for row in self.rows:
            if row["id"] == match_id:
                return row
        raise _no_such(match_id)

    def automatic(self, but: int) -> list[int]:
        return [row["id"] for row in self.rows if row["id"] != but and row["is_automatic"]]

    def others(self, row: Record | None) -> list[Record]:
        """All but the row that are not rejected."""
        return [other for other in self.rows if other["is_standing"] and (row is None or other["id"] != row["id"])]

    def outdone_by(self, row: Record) -> list[Record]:
        """What goes when it is approved; a dead link too, lest it come alive beside it.

        Beside one that is dead itself a match may be shown, but for one that a person approved before.
        """
        return [
            other
            for other in self.others(row)
            if other["is_approved_by_person"]
            or (not row["is_dead"] and (other["provider"] is not None or other["is_approved"]))
        ]

    def decided(self, row: Record, *, changed: bool) -> Decided:
        return Decided(row["id"], self.release_id, self.track_index, self.sub_index, row["match_url"], changed)


# --- deciding -----------------------------------------------------------------------------------------------------


async def approve(connection: Connection, match_id: int, by: str) -> Decided:
    """It is right: the track's one approved match, whatever was found or approved before. Raises NoSuchMatch."""
    return await _approve(connection, await _locked(connection, match_id), match_id, by)


async def _approve(connection: Connection, track: _Track, match_id: int, by: str) -> Decided:
    row = track.row(match_id)
    if row["is_approved_by_person"]:
        return track.decided(row, changed=False)
    outdone = track.outdone_by(row)
    await _record(connection, track, Action.APPROVE, row, by, [match_id, *_ids(outdone)])
    await _verify(connection, [match_id], by, "approved = true, rejected = false")
    await _give_way(connection, outdone, by)
    await _settled(connection, track, row)
    return track.decided(row, changed=True)


async def reject(connection: Connection, match_id: int, by: str) -> Decided:
    """It is wrong, and so is the same video written otherwise; another may be found. Raises NoSuchMatch."""
    return await _reject(connection, await _locked(connection, match_id), match_id, by)


async def _reject(connection: Connection, track: _Track, match_id: int, by: str) -> Decided:
    row = track.row(match_id)
    if row["is_rejected_by_person"]:
        return track.decided(row, changed=False)
    same = [each["id"] for each in track.rows if each["id"] == match_id or (each["is_live"] and _are_same(each, row))]
    await _record(connection, track, Action.REJECT, row, by, same)
    await _verify(connection, same, by, "approved = false, rejected = true")
    await _settled(connection, track, row)
    await _queue_again(connection, [track.release_id])
    return track.decided(row, changed=True)


async def set_url(
    connection: Connection,
    release_id: int,
    track_index: int,
    sub_index: int | None,
    playable: tuple[str, str],
    by: str,
) -> Decided:
    """A person's own URL (with its platform) for a track, in the place of what it had.

    A release that is API-only is persisted for it and queued, so that its facts come. Raises NoSuchMatch where the
    tracklist is known and has no such track.
    """
    if not await store.is_persisted(connection, release_id):
        await persist_for_facts(connection, release_id, Priority.SEEN)
    track = await _lock_track(connection, release_id, track_index, sub_index)
    await check_track(connection, release_id, track_index, sub_index)
    platform, url = playable
    chosen = next((row for row in track.rows if _is_spelt(row, url)), None)
    if chosen and chosen["is_approved_by_person"] and chosen["provider"] == PERSON and not chosen["is_dead"]:
        return track.decided(chosen, changed=False)
    outdone = track.others(chosen)
    row = chosen or await _insert(connection, track, platform, url, by)
    await _record(connection, track, Action.SET, row, by, _ids([*([chosen] if chosen else []), *outdone]))
    await _give_way(connection, outdone, by)
    await _verify(
        connection,
        [row["id"]],
        by,
        f"approved = true, rejected = false, dead_since = NULL, confidence = 100, provider = '{PERSON}', {UNTOLD}",
    )
    await _look_anew(connection, row["match_url"])
    await _settled(connection, track, row)
    return track.decided(row, changed=True)


async def undo(connection: Connection, match_id: int, by: str) -> Decided:
    """Take the last decision of a match back: all is as it was before it. Done twice it is done once.

    Raises NoSuchMatch where the match is gone, Undecidable where nobody has decided it, or where an approval would come
    back beside a later one.
    """
    release_id = await release_of(connection, match_id)
    return await _undo(connection, match_id, by, await _lock_release(connection, release_id))


async def undo_all(connection: Connection, match_ids: Sequence[int], by: str) -> list[Decided]:
    """`undo` of each, or of none; all are of one release. Raises Undecidable."""
    releases = {await release_of(connection, match_id) for match_id in match_ids}
    if len(releases) != 1:
        raise Undecidable("Only decisions about one release can be taken back together.")
    pressings = await _lock_release(connection, releases.pop())
    return [await _undo(connection, match_id, by, pressings) for match_id in match_ids]


async def _undo(connection: Connection, match_id: int, by: str, pressings: Sequence[int]) -> Decided:
    """Its release and the `pressings` are locked."""
    place = await _place(connection, match_id)
    if place is None:
        raise _no_such(match_id)
    track = await _track(connection, *place, pressings)
    last = await connection.fetchrow(
        "SELECT id, action, match_url FROM match_decisions WHERE match_id = $1 ORDER BY id DESC LIMIT 1", match_id
    )
    if last is None:
        track.row(match_id)
        raise Undecidable(f"Nobody has decided match {match_id}: there is nothing to undo.")
    if last["action"] == Action.UNDO:
        return Decided(match_id, *place, last["match_url"], changed=False)
    row = track.row(match_id)
    await _record(connection, track, Action.UNDO, row, by, [])
    await _restore(connection, track, last["id"], match_id)
    await _check_one_is_approved(connection, track, last["id"])
    await _settled(connection, track, row)
    return track.decided(row, changed=True)


# --- deciding a whole release -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DecidedRelease:
    """`matches` are those that the decision changed. `changed`: False where all had been decided just so."""

    release_id: int
    changed: bool
    matches: Sequence[Decided]


async def approve_release(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """Of each track that has none approved the best match that is pending. Raises Undecidable."""
    pressings = await _lock_release(connection, release_id)
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (track_index, sub_index) id, track_index, sub_index FROM track_matches m
        WHERE release_id = $1 AND NOT rejected AND dead_since IS NULL AND track_index IS NOT NULL
          AND match_url IS NOT NULL AND NOT EXISTS (
            SELECT FROM track_matches other
            WHERE other.release_id = m.release_id AND other.track_index = m.track_index
              AND other.sub_index IS NOT DISTINCT FROM m.sub_index
              AND other.approved AND NOT other.rejected AND other.dead_since IS NULL
          )
        ORDER BY track_index, sub_index, confidence DESC NULLS LAST, id
        """,
        release_id,
    )
    return await _decide_each(connection, _approve, release_id, pressings, rows, by)


async def reject_release(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """All its matches that no person has approved. Raises Undecidable."""
    pressings = await _lock_release(connection, release_id)
    rows = await connection.fetch(
        """
        SELECT id, track_index, sub_index FROM track_matches
        WHERE release_id = $1 AND NOT rejected AND dead_since IS NULL AND verified_at IS NULL
          AND track_index IS NOT NULL AND match_url IS NOT NULL
        ORDER BY track_index, sub_index NULLS FIRST, id
        """,
        release_id,
    )
    return await _decide_each(connection, _reject, release_id, pressings, rows, by)


async def _decide_each(
    connection: Connection,
    decide: Callable[[Connection, _Track, int, str], Awaitable[Decided]],
    release_id: int,
    pressings: Sequence[int],
    rows: Sequence[Record],
    by: str,
) -> DecidedRelease:
    """Under the locks that are held: those of further pressings would be taken out of order, and be too many."""
    found = []
    for row in rows:
        track = await _track(connection, release_id, row["track_index"], row["sub_index"], pressings)
        found.append(await decide(connection, track, row["id"], by))
    changed = [each for each in found if each.changed]
    return DecidedRelease(release_id, bool(changed), changed)


async def no_audio(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """There is none for it, ever: all its matches are rejected, and it is not queued again until that is undone."""
    await connection.execute(
        "INSERT INTO match_queue (release_id, priority, status) VALUES ($1, $2, 'unmatched') ON CONFLICT DO NOTHING",
        release_id,
        int(Priority.HISTORY),
    )
    await _lock_queue(connection, [release_id])
    await connection.execute("SELECT FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id)
    if await is_without_audio(connection, release_id):
        return DecidedRelease(release_id, False, [])
    rows = await connection.fetch(
        """
        SELECT id, track_index, sub_index, match_url FROM track_matches
        WHERE release_id = $1 AND NOT rejected ORDER BY id FOR UPDATE
        """,
        release_id,
    )
    ids = [row["id"] for row in rows]
    await _record_of_release(connection, release_id, Action.NO_AUDIO, by, ids)
    await _verify(connection, ids, by, "approved = false, rejected = true")
    if rows:
        await store.persist_bare(connection, release_id)
    await connection.execute(
        """
        UPDATE match_queue
        SET no_audio_since = clock_timestamp(), status = 'unmatched', last_error = NULL, parked_since = NULL,
            answers = NULL, lease_token = NULL, lease_until = NULL,
            decided_at = NULL, fingerprint = NULL, decided_without = '{}'  -- by these it would be queued again some day
        WHERE release_id = $1
        """,
        release_id,
    )
    matches = [
        Decided(row["id"], release_id, row["track_index"], row["sub_index"], row["match_url"], True) for row in rows
    ]
    return DecidedRelease(release_id, True, matches)


async def undo_no_audio(connection: Connection, release_id: int, by: str) -> DecidedRelease:
    """All is as it was before, and it is looked for again."""
    await _lock_queue(connection, [release_id])
    await connection.execute("SELECT FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id)
    if not await is_without_audio(connection, release_id):
        return DecidedRelease(release_id, False, [])
    said = await connection.fetchval(
        "SELECT max(id) FROM match_decisions WHERE release_id = $1 AND action = 'no_audio'", release_id
    )
    await _record_of_release(connection, release_id, Action.UNDO, by, [])
    await _bring_back(connection, said, release_id)
    await connection.execute(  # what the old system wrote meanwhile
        "UPDATE track_matches SET rejected = false WHERE release_id = $1 AND rejected AND verified_at IS NULL",
        release_id,
    )
    await store.refresh_has_audio(connection, release_id)
    await connection.execute("UPDATE match_queue SET no_audio_since = NULL WHERE release_id = $1", release_id)
    await _queue_again(connection, [release_id])
    return DecidedRelease(release_id, True, [])


async def is_without_audio(connection: Connection, release_id: int) -> bool:
    """A person said that there is none for it, ever."""
    return bool(
        await connection.fetchval(
            "SELECT no_audio_since IS NOT NULL FROM match_queue WHERE release_id = $1", release_id
        )
    )


def _no_such(match_id: int) -> NoSuchMatch:
    return NoSuchMatch(f"Match {match_id} is not there (any more): another match or decision took its place.")


def _is_spelt(row: Record, url: str) -> bool:
    return row["match_url"] is not None and spelling(row["match_url"]) == spelling(url)


def _are_same(row: Record, other: Record) -> bool:
    return other["match_url"] is not None and _is_spelt(row, other["match_url"])


# --- rows ---------------------------------------------------------------------------------------------------------

AUTOMATIC = "verified_at IS NULL AND NOT rejected AND dead_since IS NULL AND provider IS NOT NULL"
"""What a rescan may replace."""


async def _place(connection: Connection, match_id: int) -> tuple[int, int | None, int | None] | None:
    """Release, track and sub-track of a match, also of one that a decision took away."""
    row = await connection.fetchrow(
        """
        SELECT release_id, track_index, sub_index FROM track_matches WHERE id = $1
        UNION ALL
        (SELECT release_id, track_index, sub_index FROM match_decisions WHERE match_id = $1 ORDER BY id DESC LIMIT 1)
        """,
        match_id,
    )
    return (row["release_id"], row["track_index"], row["sub_index"]) if row else None


async def release_of(connection: Connection, match_id: int) -> int:
    """Raises NoSuchMatch."""
    place = await _place(connection, match_id)
    if place is None:
        raise _no_such(match_id)
    return place[0]


async def _locked(connection: Connection, match_id: int) -> _Track:
    place = await _place(connection, match_id)
    if place is None:
        raise _no_such(match_id)
    return await _lock_track(connection, *place)


async def _lock_release(connection: Connection, release_id: int) -> list[int]:
    """And what is said of its other pressings, which are returned. Raises Undecidable where it is to have no audio."""
    pressings = await _other_pressings(connection, release_id)
    await _lock_queue(connection, [release_id, *pressings])
    await connection.execute("SELECT FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id)
    if await is_without_audio(connection, release_id):
        raise Undecidable(f"A person said that release {release_id} has no audio, ever: take that back first.")
    return pressings


async def _lock_queue(connection: Connection, release_ids: Sequence[int]) -> None:
    await connection.execute(
        "SELECT FROM match_queue WHERE release_id = ANY($1::bigint[]) ORDER BY release_id FOR UPDATE", release_ids
    )


async def _lock_track(
    connection: Connection, release_id: int, track_index: int | None, sub_index: int | None
) -> _Track:
    pressings = await _lock_release(connection, release_id)
    return await _track(connection, release_id, track_index, sub_index, pressings)


async def _track(
    connection: Connection, release_id: int, track_index: int | None, sub_index: int | None, pressings: Sequence[int]
) -> _Track:
    rows = await connection.fetch(
        f"""
        SELECT id, match_url, provider, dead_since IS NOT NULL AS is_dead,
               NOT rejected AND dead_since IS NULL AS is_live, NOT rejected AS is_standing, {AUTOMATIC} AS is_automatic,
               coalesce(approved, false) AS is_approved,
               verified_at IS NOT NULL AND rejected AS is_rejected_by_person,
               verified_at IS NOT NULL AND NOT rejected AND coalesce(approved, false) AS is_approved_by_person
        FROM track_matches
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
        ORDER BY id FOR UPDATE
        """,  # noqa: S608 - a constant of ours
        release_id,
        track_index,
        sub_index,
    )
    return _Track(release_id, track_index, sub_index, rows, pressings)


async def _other_pressings(connection: Connection, release_id: int) -> list[int]:
    """Those that a decision may help: of the same master, what shoppers look at first."""
    rows = await connection.fetch(
        """
        SELECT other.discogs_id
        FROM releases r
        JOIN releases other ON other.master_id = r.master_id AND other.discogs_id <> r.discogs_id
        JOIN match_queue q ON q.release_id = other.discogs_id AND q.status IN ('matched', 'unmatched')
        WHERE r.discogs_id = $1
        ORDER BY q.priority, q.place, other.discogs_id LIMIT $2
        """,
        release_id,
        PRESSINGS_MAX,
    )
    return [row["discogs_id"] for row in rows]


async def hold_track(connection: Connection, release_id: int, track_index: int | None, sub_index: int | None) -> None:
    """Until the transaction ends nobody else decides anything of it."""
    await _lock_track(connection, release_id, track_index, sub_index)


async def check_track(connection: Connection, release_id: int, track_index: int, sub_index: int | None) -> None:
    """Raises NoSuchMatch where the tracklist is known and has no such track."""
    has_track = await connection.fetchval(
        """
        SELECT tracklist IS NULL
            OR CASE WHEN $3::int IS NULL THEN tracklist -> $2::int
                    ELSE tracklist -> $2::int -> 'sub_tracks' -> $3::int END IS NOT NULL
        FROM releases WHERE discogs_id = $1
        """,
        release_id,
        track_index,
        sub_index,
    )
    if not has_track:
        sub = "" if sub_index is None else f".{sub_index}"
        raise NoSuchMatch(f"Release {release_id} has no track {track_index}{sub}.")


async def _insert(connection: Connection, track: _Track, platform: str, url: str, by: str) -> Record:
    row = await connection.fetchrow(
        """
        INSERT INTO track_matches (release_id, track_index, sub_index, platform, match_url, provider, verified_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, match_url
        """,
        track.release_id,
        track.track_index,
        track.sub_index,
        platform,
        url,
        PERSON,
        by,
    )
    assert row  # noqa: S101 - RETURNING gives the row
    return row


UNTOLD = """
  told_at = NULL,
  candidate_title = CASE WHEN provider = 'youtube' THEN NULL ELSE candidate_title END,
  candidate_duration_s = CASE WHEN provider = 'youtube' THEN NULL ELSE candidate_duration_s END,
  reasons = CASE WHEN provider = 'youtube'
                 THEN (SELECT jsonb_agg(reason || '{"detail": ""}' ORDER BY nth)
                       FROM jsonb_array_elements(reasons) WITH ORDINALITY AS of_it (reason, nth))
                 ELSE reasons END
"""
"""What YouTube's API told may be kept for 30 days only, and nobody watches that of a person's own URL."""


async def _verify(connection: Connection, match_ids: Sequence[int], by: str, assignments: str) -> None:
    # `assignments` is one of the literals above, never a value.
    await connection.execute(
        f"UPDATE track_matches SET {assignments}, verified_by = $2, verified_at = clock_timestamp()"  # noqa: S608
        " WHERE id = ANY($1::bigint[])",
        match_ids,
        by,
    )


async def _look_anew(connection: Connection, url: str) -> None:
    """Who sets a URL that was found dead has seen it play: that is looked into, and believed meanwhile."""
    await connection.execute(
        """
        UPDATE match_links SET state = 'unknown', hidden_since = NULL, doubts = 0, doubted_since = NULL, next_at = now()
        WHERE url = $1 AND hidden_since IS NOT NULL
        """,
        url,
    )


async def _give_way(connection: Connection, outdone: Sequence[Record], by: str) -> None:
    """Rows of the old system are never removed."""
    await _remove(connection, [row["id"] for row in outdone if row["provider"] is not None])
    refused = [row["id"] for row in outdone if row["provider"] is None]
    await _verify(connection, refused, by, "approved = false, rejected = true")


def _ids(rows: Sequence[Record]) -> list[int]:
    return [row["id"] for row in rows]


async def _remove(connection: Connection, match_ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM track_matches WHERE id = ANY($1::bigint[])", match_ids)


RECORD = """
  INSERT INTO match_decisions
    (release_id, track_index, sub_index, match_id, match_url, action, decided_by, before)
  SELECT $1, $2, $3, $4, $5, $6, $7, coalesce(jsonb_agg(
    CASE WHEN provider = 'youtube' THEN to_jsonb(m) - '{candidate_title,candidate_duration_s,reasons,told_at}'::text[]
         ELSE to_jsonb(m) END
  ), '[]') FROM track_matches m WHERE id = ANY($8::bigint[])
"""
"""What YouTube's API told may be kept for 30 days only: it is not copied for ever."""


async def _record(
    connection: Connection, track: _Track, action: Action, row: Record, by: str, changed: Sequence[int]
) -> None:
    """Before the change."""
    about = track.release_id, track.track_index, track.sub_index, row["id"], row["match_url"]
    await connection.execute(RECORD, *about, action.value, by, changed)


async def _record_of_release(
    connection: Connection, release_id: int, action: Action, by: str, changed: Sequence[int]
) -> None:
    """Before the change."""
    await connection.execute(RECORD, release_id, None, None, None, None, action.value, by, changed)


async def _restore(connection: Connection, track: _Track, decision_id: int, match_id: int) -> None:
    """Rows that are there get their old verdict, unless they were decided since; those that were removed come back.

    What was found of links meanwhile stays true: a dead one stays dead. What a rescan found since goes.
    """
    had_it = await connection.fetchval(
        f"SELECT true FROM {BEFORE} WHERE id = $2",  # noqa: S608 - a constant of ours
        decision_id,
        match_id,
    )
    await _remove(connection, [*track.automatic(but=match_id), *([] if had_it else [match_id])])
    await _bring_back(connection, decision_id, track.release_id, match_id)


async def _check_one_is_approved(connection: Connection, track: _Track, undone: int) -> None:
    """Raises Undecidable where what comes back stands beside what was approved after the decision that is undone."""
    rows = await connection.fetch(
        """
        SELECT id, EXISTS (
          SELECT FROM match_decisions later
          WHERE later.match_id = m.id AND later.id > $4 AND later.action IN ('approve', 'set')
        ) AS is_since
        FROM track_matches m
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
          AND verified_at IS NOT NULL AND approved AND NOT rejected
        """,
        track.release_id,
        track.track_index,
        track.sub_index,
        undone,
    )
    since = [row["id"] for row in rows if row["is_since"]]
    if len(rows) > 1 and since:
        raise Undecidable(f"Match {since[0]} of the same track was approved since: take that back first.")


BEFORE = "jsonb_populate_recordset(NULL::track_matches, (SELECT before FROM match_decisions WHERE id = $1))"
"""The rows that a decision changed, as they were."""


async def _bring_back(connection: Connection, decision_id: int, release_id: int, match_id: int | None = None) -> None:
    """What a link checker found meanwhile stays true: a dead link stays dead, and what plays again is shown, where
    nothing took its place; `match_id`, whose decision it was, before others.
    """
    await connection.execute(
        f"""
        UPDATE track_matches m
        SET approved = was.approved, rejected = was.rejected, verified_by = was.verified_by,
            verified_at = was.verified_at, confidence = was.confidence, provider = was.provider,
            dead_since = coalesce(m.dead_since, was.dead_since)
        FROM {BEFORE} AS was
        WHERE m.id = was.id
          AND NOT EXISTS (
            SELECT FROM match_decisions later WHERE later.match_id = m.id AND later.id > $1 AND later.action <> 'undo'
          )
        """,  # noqa: S608 - a constant of ours
        decision_id,
    )
    await connection.execute(
        f"""
        INSERT INTO track_matches (id, release_id, track_index, sub_index, platform, match_url, confidence, approved,
                                   verified_by, verified_at, created_at, rejected, dead_since, provider,
                                   candidate_title, candidate_duration_s, reasons, runner_up, expired_at)
        SELECT id, release_id, track_index, sub_index, platform, match_url, confidence, approved, verified_by,
               verified_at, created_at, rejected, dead_since, provider, candidate_title, candidate_duration_s, reasons,
               runner_up, expired_at
        FROM {BEFORE} AS was
        WHERE NOT EXISTS (SELECT FROM track_matches m WHERE m.id = was.id)
        """,  # noqa: S608 - a constant of ours
        decision_id,
    )
    changed = await hidden_store.follow_links(connection, release_id)
    revived = [row["id"] for row in changed if not row["is_hidden"] and not row["rejected"]]
    await hidden_store.make_room(connection, revived, match_id)


async def _settled(connection: Connection, track: _Track, row: Record) -> None:
    """Beside a match that a person approved no automatic one is shown. Other pressings are told what he said."""
    await connection.execute(
        f"""
        DELETE FROM track_matches
        WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
          AND {AUTOMATIC} AND EXISTS (
            SELECT FROM track_matches
            WHERE release_id = $1 AND track_index IS NOT DISTINCT FROM $2 AND sub_index IS NOT DISTINCT FROM $3
              AND verified_at IS NOT NULL AND NOT rejected AND dead_since IS NULL
          )
        """,  # noqa: S608 - a constant of ours
        track.release_id,
        track.track_index,
        track.sub_index,
    )
    await store.refresh_has_audio(connection, track.release_id)
    await _queue_again(connection, await _undecided(connection, track.pressings, row["match_url"]))


# --- the queue ----------------------------------------------------------------------------------------------------


async def persist_for_facts(connection: Connection, release_id: int, priority: Priority) -> None:
    """An API-only release is persisted and queued, also where it had failed, so that its facts come."""
    await connection.execute(
        """
        INSERT INTO match_queue AS q (release_id, priority, persist_always) VALUES ($1, $2, true)
        ON CONFLICT (release_id) DO UPDATE SET
          persist_always = true, priority = least(q.priority, $2),
          place = CASE WHEN $2 <= q.priority THEN 0 ELSE q.place END,
          not_before = now(), parked_since = NULL, answers = NULL, request_id = NULL,
          status = CASE WHEN q.status = 'processing' THEN q.status ELSE 'queued' END,
          attempts = CASE WHEN q.status = 'processing' THEN q.attempts ELSE 0 END
        """,
        release_id,
        int(priority),
    )
    await store.persist_bare(connection, release_id)


async def _undecided(connection: Connection, release_ids: Sequence[int], url: str | None) -> list[int]:
    """Those of which no person has said anything about this video."""
    rows = await connection.fetch(
        """
        SELECT release_id, match_url FROM track_matches
        WHERE release_id = ANY($1::bigint[]) AND verified_at IS NOT NULL AND match_url IS NOT NULL
        """,
        release_ids,
    )
    known = {row["release_id"] for row in rows if url is not None and _is_spelt(row, url)}
    return [each for each in release_ids if each not in known]


async def _queue_again(connection: Connection, release_ids: Collection[int]) -> None:
    """Behind everything that is asked for. One that is being matched, waits or failed stays as it is."""
    await connection.execute(
        """
        UPDATE match_queue
        SET status = 'queued', priority = $2, place = 0, attempts = 0, not_before = now(), enqueued_at = now(),
            parked_since = NULL, answers = NULL, request_id = NULL
        WHERE release_id = ANY($1::bigint[]) AND status IN ('matched', 'unmatched') AND no_audio_since IS NULL
        """,
        list(release_ids),
        int(Priority.HISTORY),
    )


# --- other pressings ----------------------------------------------------------------------------------------------


class PressingMatch(NamedTuple):
    """A match of another pressing; `title` is its track's, a sub-track's with that of its whole."""

    match_url: str
    platform: str | None
    candidate_title: str | None
    candidate_duration_s: int | None
    told_at: float | None
    """When YouTube's API told that, in Unix time; None: it did not."""
    is_rejected: bool
    is_decided: bool
    title: str
    duration: str | None


PRESSING_MATCHES_MAX = 500


async def on_other_pressings(connection: Connection, release_id: int, master_id: int) -> list[PressingMatch]:
    """What other pressings of the master have: decided by people first, then approved, or attached to them.

    What a search found for another pressing, and nobody approved, is no evidence for this one; nor is what that has
    from others, as two would keep each other's matches alive for ever.
    """
    rows = await connection.fetch(
        """
        SELECT m.match_url, m.platform, m.candidate_title, m.candidate_duration_s,
               extract(epoch FROM m.told_at)::float8, m.rejected,
               m.verified_at IS NOT NULL, concat_ws(' ', whole ->> 'title', track ->> 'title'), track ->> 'duration'
        FROM releases r
        JOIN track_matches m ON m.release_id = r.discogs_id
        LEFT JOIN match_queue q ON q.release_id = r.discogs_id
        CROSS JOIN LATERAL (
          SELECT CASE WHEN m.sub_index IS NOT NULL THEN r.tracklist -> m.track_index END AS whole,
                 CASE WHEN m.sub_index IS NULL THEN r.tracklist -> m.track_index
                      ELSE r.tracklist -> m.track_index -> 'sub_tracks' -> m.sub_index END AS track
        ) AS entry
        WHERE r.master_id = $1 AND r.discogs_id <> $2
          AND m.match_url IS NOT NULL AND m.dead_since IS NULL
          AND q.no_audio_since IS NULL  -- what was rejected with all of its release tells nothing of others
          AND (
            m.verified_at IS NOT NULL
            OR (NOT m.rejected AND m.provider = 'discogs_videos')
            OR (NOT m.rejected AND m.approved AND m.provider IS DISTINCT FROM 'pressings')
          )
        ORDER BY m.verified_at IS NOT NULL DESC, m.approved DESC, m.confidence DESC, m.id LIMIT $3
        """,
        master_id,
        release_id,
        PRESSING_MATCHES_MAX,
    )
    return [PressingMatch(*row) for row in rows]


# --- what reviewers see -------------------------------------------------------------------------------------------


class ReviewedMatch(NamedTuple):
    """A match with what a reviewer needs to decide it; `reasons` and `runner_up` are JSON."""

    id: int
    release_id: int
    artist: str | None
    release_title: str | None
    track_index: int | None
    sub_index: int | None
    position: str | None
    title: str | None
    duration: str | None
    platform: str | None
    match_url: str | None
    candidate_title: str | None
    candidate_duration_s: int | None
    provider: str | None
    confidence: float | None
    status: str
    verified_by: str | None
    verified_at: datetime | None
    created_at: datetime | None
    dead_since: datetime | None
    link_state: str
    """As a LinkState; `expired`: what YouTube's API told of it may no longer be shown."""
    reasons: str
    runner_up: str | None


STATUS = "CASE WHEN m.rejected THEN 'rejected' WHEN m.approved THEN 'approved' ELSE 'pending' END"
MATCHES = f"""
  SELECT m.id, m.release_id, r.artist, r.title, m.track_index, m.sub_index, track ->> 'position', track ->> 'title',
         track ->> 'duration', m.platform, m.match_url, m.candidate_title, m.candidate_duration_s, m.provider,
         m.confidence::float8, {STATUS}, m.verified_by, m.verified_at::timestamptz, m.created_at::timestamptz,
         m.dead_since,
         CASE WHEN m.provider = 'youtube' AND m.expired_at IS NOT NULL AND l.hidden_since IS NULL THEN 'expired'
              ELSE coalesce(l.state, 'unknown') END,
         coalesce(m.reasons, '[]')::text, m.runner_up::text
  FROM track_matches m
  LEFT JOIN match_links l ON l.url = m.match_url
  LEFT JOIN releases r ON r.discogs_id = m.release_id
  LEFT JOIN match_queue q ON q.release_id = m.release_id
  LEFT JOIN LATERAL (
    SELECT CASE WHEN m.sub_index IS NULL THEN r.tracklist -> m.track_index
                ELSE r.tracklist -> m.track_index -> 'sub_tracks' -> m.sub_index END AS track
  ) AS entry ON true
"""  # noqa: S608 - a constant of ours

DEMAND_FIRST = f"-coalesce(d.asked, 0)::float8, {queue_store.TURN}, -coalesce(m.confidence, 0)::float8"
"""What shoppers open most, then what they saw first in a list, and what is surest of that."""
NEWEST_FIRST = """
  -extract(epoch FROM coalesce(m.verified_at::timestamptz, m.created_at::timestamptz, 'epoch'))::float8, 0, 0
"""


async def matches(
    connection: Connection,
    status: MatchStatus,
    limit: int,
    after: MatchCursor | None,
    among: Collection[int] | None = None,
) -> tuple[list[ReviewedMatch], MatchCursor | None]:
    """The next `limit` after a place in the list, and the place of the last of them if more may follow.

    Pending ones as shoppers look at them, others newest first. What is opened meanwhile moves towards the front: who
    reads on sees nothing twice. What is dead is no longer pending. `among`: only those
    of these releases.
    """
    pending = status is MatchStatus.PENDING
    key = f"{DEMAND_FIRST}, m.id" if pending else f"{NEWEST_FIRST}, -m.id"
    place = await connection.fetch(
        f"""
        SELECT m.id, ARRAY[{key}]::float8[] AS place
        FROM track_matches m LEFT JOIN match_queue q ON q.release_id = m.release_id
        LEFT JOIN release_demand d ON d.release_id = m.release_id
        WHERE {STATUS} = $1 AND ($1 <> 'pending' OR m.dead_since IS NULL)
          AND m.track_index IS NOT NULL AND m.match_url IS NOT NULL
          AND ($4::bigint[] IS NULL OR m.release_id = ANY($4::bigint[]))
          AND ($3::float8[] IS NULL OR ARRAY[{key}]::float8[] > $3::float8[])
        ORDER BY 2 LIMIT $2
        """,  # noqa: S608 - constants of ours
        status.value,
        limit,
        None if after is None else list(after),
        among,
    )
    found = {each.id: each for each in await _reviewed(connection, [row["id"] for row in place])}
    shown = [found[row["id"]] for row in place if row["id"] in found]
    first, second, third, last = place[-1]["place"] if len(place) == limit else (0.0, 0.0, 0.0, 0)
    return shown, (first, second, third, int(last)) if len(place) == limit else None


async def match(connection: Connection, match_id: int) -> ReviewedMatch | None:
    return next(iter(await _reviewed(connection, [match_id])), None)


async def matches_of(connection: Connection, release_id: int) -> list[ReviewedMatch]:
    """All of a release, in the order of its tracks: also what was rejected, or is dead."""
    rows = await connection.fetch(
        f"""
        {MATCHES} WHERE m.release_id = $1 AND m.track_index IS NOT NULL AND m.match_url IS NOT NULL
        ORDER BY m.track_index, m.sub_index NULLS FIRST, m.id
        """,
        release_id,
    )
    return [ReviewedMatch(*row) for row in rows]


async def _reviewed(connection: Connection, match_ids: Sequence[int]) -> list[ReviewedMatch]:
    rows = await connection.fetch(f"{MATCHES} WHERE m.id = ANY($1::bigint[])", match_ids)
    return [ReviewedMatch(*row) for row in rows]


class PastDecision(NamedTuple):
    """A line of a release's history. `match_id`: None where it is about the release as a whole."""

    id: int
    track_index: int | None
    sub_index: int | None
    match_id: int | None
    match_url: str | None
    action: str
    decided_by: str
    decided_at: datetime


HISTORY_MAX = 500


async def history(
    connection: Connection, release_id: int, limit: int = HISTORY_MAX, before: int | None = None
) -> list[PastDecision]:
    """Of a release, newest first, from the one `before` that."""
    rows = await connection.fetch(
        """
        SELECT id, track_index, sub_index, match_id, match_url, action, decided_by, decided_at
        FROM match_decisions WHERE release_id = $1 AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $2
        """,
        release_id,
        limit,
        before,
    )
    return [PastDecision(*row) for row in rows]


async def decided_since(
    connection: Connection,
    release_id: int,
    seen: int,
    own: int,
    track: tuple[int | None, int | None] | None = None,
) -> PastDecision | None:
    """What was decided last after decision `seen`, before the `own` decisions made just now.

    Of a release as a whole, or of a `track` (its index and that of its sub-track), what concerns it.
    """
    row = await connection.fetchrow(
        """
        SELECT id, track_index, sub_index, match_id, match_url, action, decided_by, decided_at
        FROM match_decisions
        WHERE release_id = $1 AND id > $2
          AND ($3 OR match_id IS NULL OR (track_index IS NOT DISTINCT FROM $4 AND sub_index IS NOT DISTINCT FROM $5))
        ORDER BY id DESC OFFSET $6 LIMIT 1
        """,
        release_id,
        seen,
        track is None,
        *(track or (None, None)),
        own,
    )
    return PastDecision(*row) if row else None
