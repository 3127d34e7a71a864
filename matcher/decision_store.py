"""All SQL of what people decide: the rows that are held, changed, and kept for undo and for the history.

Each function runs in a transaction of the caller's. Who decides holds the release's row in the queue, then the release,
then the track's matches; a job that stores matches takes them in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asyncpg import Record

from matcher import hidden_store, store
from matcher.database import Connection
from matcher.domain.urls import spelling
from matcher.errors import NoSuchMatch, Undecidable
from matcher.models import Action
from matcher.queue_store import Priority

PERSON = "person"
"""The provider of a URL that a person set."""

PRESSINGS_MAX = 50
"""So many other pressings of a master are matched again after a decision."""


@dataclass(frozen=True, slots=True)
class HeldTrack:
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
        raise no_such(match_id)

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


def no_such(match_id: int) -> NoSuchMatch:
    return NoSuchMatch(f"Match {match_id} is not there (any more): another match or decision took its place.")


def is_spelt(row: Record, url: str) -> bool:
    return row["match_url"] is not None and spelling(row["match_url"]) == spelling(url)


AUTOMATIC = "verified_at IS NULL AND NOT rejected AND dead_since IS NULL AND provider IS NOT NULL"
"""What a rescan may replace."""


async def place_of(connection: Connection, match_id: int) -> tuple[int, int | None, int | None] | None:
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
    place = await place_of(connection, match_id)
    if place is None:
        raise no_such(match_id)
    return place[0]


async def lock_release(connection: Connection, release_id: int) -> list[int]:
    """And what is said of its other pressings, which are returned. Raises Undecidable where it is to have no audio."""
    pressings = await _other_pressings(connection, release_id)
    await lock_queue(connection, [release_id, *pressings])
    await connection.execute("SELECT FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id)
    if await is_without_audio(connection, release_id):
        raise Undecidable(f"A person said that release {release_id} has no audio, ever: take that back first.")
    return pressings


async def lock_release_alone(connection: Connection, release_id: int) -> None:
    await lock_queue(connection, [release_id])
    await connection.execute("SELECT FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id)


async def lock_queue(connection: Connection, release_ids: Sequence[int]) -> None:
    await connection.execute(
        "SELECT FROM match_queue WHERE release_id = ANY($1::bigint[]) ORDER BY release_id FOR UPDATE", release_ids
    )


async def lock_track_of(connection: Connection, match_id: int) -> HeldTrack:
    place = await place_of(connection, match_id)
    if place is None:
        raise no_such(match_id)
    return await lock_track(connection, *place)


async def lock_track(
    connection: Connection, release_id: int, track_index: int | None, sub_index: int | None
) -> HeldTrack:
    pressings = await lock_release(connection, release_id)
    return await track_of(connection, release_id, track_index, sub_index, pressings)


async def track_of(
    connection: Connection, release_id: int, track_index: int | None, sub_index: int | None, pressings: Sequence[int]
) -> HeldTrack:
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
    return HeldTrack(release_id, track_index, sub_index, rows, pressings)


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


async def check_track(connection: Connection, release_id: int, track_index: int, sub_index: int | None) -> None:
    """Raises NoSuchMatch where the tracklist is known and has no such track, or a heading in its place."""
    found = await connection.fetchrow(
        """
        SELECT tracklist IS NULL OR entry IS NOT NULL AS is_there,
               entry ->> 'type_' = 'heading' AND NOT entry ? 'sub_tracks' AS is_heading
        FROM releases, LATERAL (
          SELECT CASE WHEN $3::int IS NULL THEN tracklist -> $2::int
                      ELSE tracklist -> $2::int -> 'sub_tracks' -> $3::int END AS entry
        ) AS named
        WHERE discogs_id = $1
        """,
        release_id,
        track_index,
        sub_index,
    )
    named = f"track {track_index}" if sub_index is None else f"track {track_index}.{sub_index}"
    if found is None or not found["is_there"]:
        raise NoSuchMatch(f"Release {release_id} has no {named}.")
    if found["is_heading"]:
        raise NoSuchMatch(f"Release {release_id} has no {named}: that is a heading.")


async def is_without_audio(connection: Connection, release_id: int) -> bool:
    """A person said that there is none for it, ever."""
    return bool(
        await connection.fetchval(
            "SELECT no_audio_since IS NOT NULL FROM match_queue WHERE release_id = $1", release_id
        )
    )


# --- which matches a release has -----------------------------------------------------------------------------------


async def best_pending(connection: Connection, release_id: int) -> list[Record]:
    """Of each track that has none approved the best match that is pending."""
    return await connection.fetch(
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


async def undecided(connection: Connection, release_id: int) -> list[Record]:
    """What is shown, and no person has decided."""
    return await connection.fetch(
        """
        SELECT id, track_index, sub_index FROM track_matches
        WHERE release_id = $1 AND NOT rejected AND dead_since IS NULL AND verified_at IS NULL
          AND track_index IS NOT NULL AND match_url IS NOT NULL
        ORDER BY track_index, sub_index NULLS FIRST, id
        """,
        release_id,
    )


async def standing_matches(connection: Connection, release_id: int) -> list[Record]:
    """All that are not rejected; they are locked."""
    return await connection.fetch(
        """
        SELECT id, track_index, sub_index, match_url FROM track_matches
        WHERE release_id = $1 AND NOT rejected ORDER BY id FOR UPDATE
        """,
        release_id,
    )


# --- changing them -------------------------------------------------------------------------------------------------


async def insert_own(connection: Connection, track: HeldTrack, platform: str, url: str, by: str) -> Record:
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

AS_APPROVED = "approved = true, rejected = false"
AS_REJECTED = "approved = false, rejected = true"
AS_OWN = f"{AS_APPROVED}, dead_since = NULL, confidence = 100, provider = '{PERSON}', {UNTOLD}"


async def verify(connection: Connection, match_ids: Sequence[int], by: str, assignments: str) -> None:
    """`assignments` is one of those above, never a value."""
    await connection.execute(
        f"UPDATE track_matches SET {assignments}, verified_by = $2, verified_at = clock_timestamp()"  # noqa: S608
        " WHERE id = ANY($1::bigint[])",
        match_ids,
        by,
    )


async def look_anew(connection: Connection, url: str) -> None:
    """Who sets a URL that was found dead has seen it play: that is looked into, and believed meanwhile."""
    await connection.execute(
        """
        UPDATE match_links SET state = 'unknown', hidden_since = NULL, doubts = 0, doubted_since = NULL, next_at = now()
        WHERE url = $1 AND hidden_since IS NOT NULL
        """,
        url,
    )


async def give_way(connection: Connection, outdone: Sequence[Record], by: str) -> None:
    """Rows of the old system are never removed."""
    await _remove(connection, [row["id"] for row in outdone if row["provider"] is not None])
    refused = [row["id"] for row in outdone if row["provider"] is None]
    await verify(connection, refused, by, AS_REJECTED)


def ids_of(rows: Sequence[Record]) -> list[int]:
    return [row["id"] for row in rows]


async def _remove(connection: Connection, match_ids: Sequence[int]) -> None:
    await connection.execute("DELETE FROM track_matches WHERE id = ANY($1::bigint[])", match_ids)


# --- history, and back ----------------------------------------------------------------------------------------------

RECORD = """
  INSERT INTO match_decisions
    (release_id, track_index, sub_index, match_id, match_url, action, decided_by, before)
  SELECT $1, $2, $3, $4, $5, $6, $7, coalesce(jsonb_agg(
    CASE WHEN provider = 'youtube' THEN to_jsonb(m) - '{candidate_title,candidate_duration_s,reasons,told_at}'::text[]
         ELSE to_jsonb(m) END
  ), '[]') FROM track_matches m WHERE id = ANY($8::bigint[])
"""
"""What YouTube's API told may be kept for 30 days only: it is not copied for ever."""


async def record(
    connection: Connection, track: HeldTrack, action: Action, row: Record, by: str, changed: Sequence[int]
) -> None:
    """Before the change."""
    about = track.release_id, track.track_index, track.sub_index, row["id"], row["match_url"]
    await connection.execute(RECORD, *about, action.value, by, changed)


async def record_of_release(
    connection: Connection, release_id: int, action: Action, by: str, changed: Sequence[int]
) -> None:
    """Before the change."""
    await connection.execute(RECORD, release_id, None, None, None, None, action.value, by, changed)


async def last_decision(connection: Connection, match_id: int) -> Record | None:
    return await connection.fetchrow(
        "SELECT id, action, match_url FROM match_decisions WHERE match_id = $1 ORDER BY id DESC LIMIT 1", match_id
    )


async def last_no_audio(connection: Connection, release_id: int) -> int:
    """The decision that there is none for it, ever."""
    return int(
        await connection.fetchval(
            "SELECT max(id) FROM match_decisions WHERE release_id = $1 AND action = 'no_audio'", release_id
        )
    )


async def restore(connection: Connection, track: HeldTrack, decision_id: int, match_id: int) -> None:
    """Rows that are there get their old verdict, unless they were decided since; those that were removed come back.

    What was found of links meanwhile stays true: a dead one stays dead. What a rescan found since goes.
    """
    had_it = await connection.fetchval(
        f"SELECT true FROM {BEFORE} WHERE id = $2",  # noqa: S608 - a constant of ours
        decision_id,
        match_id,
    )
    await _remove(connection, [*track.automatic(but=match_id), *([] if had_it else [match_id])])
    await bring_back(connection, decision_id, track.release_id, match_id)


async def check_one_is_approved(connection: Connection, track: HeldTrack, undone: int) -> None:
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


async def bring_back(connection: Connection, decision_id: int, release_id: int, match_id: int | None = None) -> None:
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


async def bring_back_what_came_since(connection: Connection, release_id: int) -> None:
    """What the old system wrote while there was to be no audio: nobody rejected that."""
    await connection.execute(
        "UPDATE track_matches SET rejected = false WHERE release_id = $1 AND rejected AND verified_at IS NULL",
        release_id,
    )


async def settle(connection: Connection, track: HeldTrack, row: Record) -> None:
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
    await queue_again(connection, await _silent_pressings(connection, track.pressings, row["match_url"]))


# --- the queue ------------------------------------------------------------------------------------------------------


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


async def is_on_another_track(connection: Connection, track: HeldTrack, url: str | None) -> bool:
    """Found there automatically: one video is one track at most."""
    rows = await connection.fetch(
        f"""
        SELECT match_url FROM track_matches
        WHERE release_id = $1 AND match_url IS NOT NULL AND {AUTOMATIC}
          AND (track_index IS DISTINCT FROM $2 OR sub_index IS DISTINCT FROM $3)
        """,  # noqa: S608 - a constant of ours
        track.release_id,
        track.track_index,
        track.sub_index,
    )
    return url is not None and any(is_spelt(row, url) for row in rows)


async def _silent_pressings(connection: Connection, release_ids: Sequence[int], url: str | None) -> list[int]:
    """Those of which no person has said anything about this video."""
    rows = await connection.fetch(
        """
        SELECT release_id, match_url FROM track_matches
        WHERE release_id = ANY($1::bigint[]) AND verified_at IS NOT NULL AND match_url IS NOT NULL
        """,
        release_ids,
    )
    known = {row["release_id"] for row in rows if url is not None and is_spelt(row, url)}
    return [each for each in release_ids if each not in known]


async def queue_again(connection: Connection, release_ids: Collection[int]) -> None:
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


async def be_in_queue(connection: Connection, release_id: int) -> None:
    """It has a row there, from now on if not before."""
    await connection.execute(
        "INSERT INTO match_queue (release_id, priority, status) VALUES ($1, $2, 'unmatched') ON CONFLICT DO NOTHING",
        release_id,
        int(Priority.HISTORY),
    )


async def rest_for_ever(connection: Connection, release_id: int) -> None:
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


async def rest_no_more(connection: Connection, release_id: int) -> None:
    await connection.execute("UPDATE match_queue SET no_audio_since = NULL WHERE release_id = $1", release_id)
