"""All SQL of the matcher: the queue, the persisted releases and their matches.

Each function runs on a connection that the caller opened; those that change several rows belong in a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

import orjson
from asyncpg import Record

from matcher.database import Connection
from matcher.domain.metadata import Metadata, storable
from matcher.domain.retry import MAX_ATTEMPTS
from matcher.domain.urls import pair_of, spelling
from matcher.domain.verdict import JudgedMatch
from matcher.errors import LeaseLost
from matcher.models import Audio, Due, Pair, ProcessingStatus, RunnerUp, Said

UNMATCHED_REST = timedelta(days=30)
"""An unmatched release is not asked for again for so long, unless its tracklist or videos change."""

WITHOUT_REST = timedelta(days=1)
"""A release that was decided without a provider that could not answer rests so long, whatever was found."""

LEASE_S = 90.0
"""A job whose worker died is free again after this; every job ends well before it."""

AHEAD_MOST = timedelta(days=2)
"""Nothing waits or is leased for so long: a time further ahead was written by a clock that was wrong, and is now."""

MIGRATION_TIMEOUT_S = 3600.0
"""For what reads a whole table of the old system; nobody waits for it."""


class Priority(IntEnum):
    """Order of the queue; lower is sooner."""

    SEEN = 0
    """A shopper looks at it."""
    NEW = 10
    HISTORY = 20
    ORPHAN = 30
    """The old system holds matches of it; nobody asked for it yet."""


TURN = f"(coalesce(q.priority, {int(Priority.ORPHAN)}) * 2147483648.0 + coalesce(q.place, 0))::float8"
"""Priority, then place, as one number: a place is less than 2³¹. `q` is a row of match_queue, or nothing."""

SOONER = (int(Priority.SEEN), UNMATCHED_REST, WITHOUT_REST)
"""What `release_told` takes beside the release, to tell which jobs come sooner once somebody looks."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed queue row. `attempts` counts this one."""

    release_id: int
    store_username: str | None
    attempts: int
    persist_always: bool
    lease_token: UUID
    priority: int
    waited_s: float
    """How long it has been parked for providers that could not answer."""
    answers: bytes | None
    """What other providers have answered meanwhile."""
    request_id: str | None = None
    """Of what queued it last."""


@dataclass(frozen=True, slots=True)
class StoredBody:
    """The public answer of GET /releases/{id}, byte for byte, and when upstream gave it."""

    body: bytes
    fetched_at: datetime
    purged: bool = False
    """An operator wants it fetched anew: good only while upstream fails."""


# --- the queue ----------------------------------------------------------------------------------------------------


async def enqueue(
    connection: Connection,
    release_ids: Collection[int],
    *,
    priority: Priority,
    store_username: str | None = None,
    fingerprint: str | None = None,
    request_id: str | None = None,
) -> int:
    """Queue releases in the order given; returns how many were queued that were not before.

    Asking twice is asking once, the higher priority wins, and its `request_id` (of the log) with it. A decided release
    is queued again when its fingerprint is known to have changed; an unmatched one after its rest as well, and after a
    shorter one what a shopper looks at and was decided without a provider. A failed one waits for a person.

    Of what shoppers see, the first of each page comes first: a long page does not keep a later one without audio.

    Rows that stay as they are are not locked, the others in the order of their ids: requests that see the same
    releases in different orders would deadlock otherwise.
    """
    rows = await connection.fetch(
        """
        WITH wanted AS (
          SELECT release_id, nth FROM unnest($1::bigint[]) WITH ORDINALITY AS given (release_id, nth)
          LEFT JOIN match_queue q USING (release_id)
          WHERE q.release_id IS NULL
             OR (q.status = 'queued' AND q.priority > $2)
             OR (q.status IN ('matched', 'unmatched') AND q.fingerprint <> $4)
             OR (q.status = 'unmatched' AND q.decided_at < now() - $5::interval)
             OR ($2 = $6 AND q.status IN ('matched', 'unmatched') AND q.decided_without <> '{}'
                 AND q.decided_at < now() - $7::interval)
        ), numbered AS (
          SELECT release_id, nth, nextval(pg_get_serial_sequence('match_queue', 'sequence')) AS sequence
          FROM (SELECT release_id, nth FROM wanted ORDER BY nth) AS in_order
        )
        INSERT INTO match_queue AS q (release_id, priority, store_username, place, sequence, request_id)
          OVERRIDING SYSTEM VALUE
        SELECT release_id, $2, $3, CASE WHEN $2 = $6 THEN nth ELSE 0 END, sequence, $8
        FROM numbered ORDER BY release_id
        ON CONFLICT (release_id) DO UPDATE SET
          priority = least(q.priority, excluded.priority),
          request_id = excluded.request_id,
          place = CASE WHEN excluded.priority <= q.priority THEN excluded.place ELSE q.place END,
          status = 'queued',
          attempts = CASE WHEN q.status = 'queued' THEN q.attempts ELSE 0 END,
          not_before = CASE WHEN q.status = 'queued' THEN q.not_before ELSE now() END,
          parked_since = CASE WHEN q.status = 'queued' THEN q.parked_since END,
          answers = CASE WHEN q.status = 'queued' THEN q.answers END,
          enqueued_at = CASE WHEN q.status = 'queued' THEN q.enqueued_at ELSE now() END
        WHERE (q.status = 'queued' AND q.priority > excluded.priority)
           OR (q.status IN ('matched', 'unmatched') AND q.fingerprint <> $4)
           OR (q.status = 'unmatched' AND q.decided_at < now() - $5::interval)
           OR ($2 = $6 AND q.status IN ('matched', 'unmatched') AND q.decided_without <> '{}'
               AND q.decided_at < now() - $7::interval)
        RETURNING (xmax = 0 OR enqueued_at = now()) AS is_new
        """,
        list(dict.fromkeys(release_ids)),
        int(priority),
        store_username,
        fingerprint,
        UNMATCHED_REST,
        int(Priority.SEEN),
        WITHOUT_REST,
        request_id,
    )
    return sum(row["is_new"] for row in rows)


async def claim(connection: Connection, limit: int) -> list[Job]:
    """Lease up to `limit` jobs, soonest first. Jobs whose worker died are freed first."""
    await _free_expired(connection)
    rows = await connection.fetch(
        """
        WITH next AS (
          SELECT release_id FROM match_queue
          WHERE status = 'queued' AND (not_before <= now() OR not_before > now() + $3::interval)
          ORDER BY priority, place, sequence LIMIT $1
          FOR UPDATE SKIP LOCKED
        )
        UPDATE match_queue q
        SET status = 'processing', attempts = attempts + 1,
            lease_token = gen_random_uuid(), lease_until = now() + make_interval(secs => $2)
        FROM next WHERE q.release_id = next.release_id
        RETURNING q.release_id, store_username, attempts, persist_always, lease_token, priority, place, sequence,
                  coalesce(extract(epoch FROM now() - parked_since), 0)::float8 AS waited_s, answers, request_id
        """,
        limit,
        LEASE_S,
        AHEAD_MOST,
    )
    rows.sort(key=lambda row: (row["priority"], row["place"], row["sequence"]))
    return [
        Job(
            row["release_id"],
            row["store_username"],
            row["attempts"],
            row["persist_always"],
            row["lease_token"],
            row["priority"],
            row["waited_s"],
            row["answers"],
            row["request_id"],
        )
        for row in rows
    ]


async def _free_expired(connection: Connection) -> None:
    await connection.execute(
        """
        UPDATE match_queue
        SET status = CASE WHEN attempts >= $1 THEN 'failed' ELSE 'queued' END,
            decided_at = CASE WHEN attempts >= $1 THEN now() END,
            last_error = 'the worker ended in the middle of the job', lease_token = NULL, lease_until = NULL
        WHERE release_id IN (
          SELECT release_id FROM match_queue
          WHERE status = 'processing' AND (lease_until < now() OR lease_until > now() + $2::interval)
          FOR UPDATE SKIP LOCKED
        )
        """,
        MAX_ATTEMPTS,
        AHEAD_MOST,
    )


async def decide(
    connection: Connection,
    job: Job,
    status: ProcessingStatus,
    fingerprint: str | None,
    without: Collection[str] = (),
) -> None:
    """End the job, `without` the word of these providers.

    Raises LeaseLost when somebody else owns it by now: roll back what was done under it.
    """
    await _write_outcome(
        connection,
        job,
        "status = $3, decided_at = now(), fingerprint = $4, last_error = NULL, parked_since = NULL, answers = NULL,"
        " decided_without = $5",
        status.value,
        fingerprint,
        list(without),
    )


async def fail(connection: Connection, job: Job, error: str) -> None:
    await _write_outcome(
        connection,
        job,
        "status = 'failed', decided_at = now(), last_error = $3, parked_since = NULL, answers = NULL",
        error,
    )


async def retry(connection: Connection, job: Job, after_s: float, error: str) -> None:
    await _write_outcome(
        connection,
        job,
        "status = 'queued', not_before = now() + make_interval(secs => $3), last_error = $4",
        after_s,
        error,
    )


async def park(connection: Connection, job: Job, after_s: float, why: str) -> None:
    """Back into the queue for later; the attempt is given back."""
    await _write_outcome(
        connection,
        job,
        "status = 'queued', not_before = now() + make_interval(secs => $3), last_error = $4, attempts = attempts - 1",
        after_s,
        why,
    )


async def park_for_providers(connection: Connection, job: Job, after_s: float, why: str, answers: bytes | None) -> None:
    """The same, with what is known from those that have answered."""
    await _write_outcome(
        connection,
        job,
        "status = 'queued', not_before = now() + make_interval(secs => $3), last_error = $4, attempts = attempts - 1,"
        " parked_since = coalesce(parked_since, now()), answers = $5",
        after_s,
        why,
        answers,
    )


async def hand_back(connection: Connection, job: Job) -> None:
    """Back to the front of the queue as if it had not been claimed: we are shutting down."""
    await _write_outcome(connection, job, "status = 'queued', attempts = attempts - 1")


async def _write_outcome(connection: Connection, job: Job, assignments: str, *values: object) -> None:
    # `assignments` is one of the literals above, never a value.
    changed = await connection.execute(
        f"UPDATE match_queue SET {assignments}, lease_token = NULL, lease_until = NULL"  # noqa: S608
        " WHERE release_id = $1 AND lease_token = $2",
        job.release_id,
        job.lease_token,
        *values,
    )
    if changed != "UPDATE 1":
        raise LeaseLost(f"the lease of release {job.release_id} was lost")


async def counts(connection: Connection) -> dict[ProcessingStatus, int]:
    rows = await connection.fetch("SELECT status, count(*) AS n FROM match_queue GROUP BY status")
    found = {row["status"]: row["n"] for row in rows}
    return {status: found.get(status.value, 0) for status in ProcessingStatus}


@dataclass(frozen=True, slots=True)
class Ages:
    """Of the queue. `oldest_s`: the longest that a release has been in each state; a queued one since it is due."""

    oldest_s: Mapping[ProcessingStatus, float]
    parked: int
    """Queued, but not due yet."""


async def ages(connection: Connection) -> Ages:
    rows = await connection.fetch(
        """
        SELECT status, count(*) FILTER (WHERE status = 'queued' AND not_before > now()) AS parked,
               coalesce(extract(epoch FROM max(now() - CASE status
                 WHEN 'queued' THEN greatest(enqueued_at, not_before)
                 WHEN 'processing' THEN lease_until - make_interval(secs => $1)
                 ELSE decided_at
               END)), 0)::float8 AS oldest_s
        FROM match_queue GROUP BY status
        """,
        LEASE_S,
    )
    oldest_s = {row["status"]: max(0.0, row["oldest_s"]) for row in rows}
    return Ages(
        {status: oldest_s.get(status.value, 0.0) for status in ProcessingStatus}, sum(row["parked"] for row in rows)
    )


# --- what is known of releases ------------------------------------------------------------------------------------


async def audio(connection: Connection, release_ids: Collection[int]) -> dict[int, Audio]:
    """State and live matches of each release asked for. One that was never queued counts as queued."""
    rows = await connection.fetch(
        """
        SELECT wanted.release_id, told.status, persisted, has_audio, sooner, matches
        FROM unnest($4::bigint[]) AS wanted (release_id)
        CROSS JOIN LATERAL release_told(wanted.release_id, $1, $2, $3) AS told
        """,
        *SOONER,
        list(set(release_ids)),
    )
    return {release_id: audio_of(*told) for release_id, *told in rows}


def audio_of(status: str | None, persisted: bool, has_audio: bool, sooner: bool | None, matches: str | None) -> Audio:
    """Of these columns of `release_told`."""
    return Audio(
        status=_status(status, has_audio=has_audio),
        persisted=persisted,
        matches=tuple(orjson.loads(matches)) if matches else (),
        due=Due.A_PLACE if status is None else Due.SOONER if sooner else Due.NOTHING,
    )


def _status(queue_status: str | None, *, has_audio: bool) -> ProcessingStatus:
    """A persisted release stays matched while it is looked at again, and is unmatched once its last match is gone."""
    if has_audio:
        return ProcessingStatus.MATCHED
    if queue_status == ProcessingStatus.MATCHED:
        return ProcessingStatus.UNMATCHED
    return ProcessingStatus(queue_status or ProcessingStatus.QUEUED)


async def stored_body(connection: Connection, release_id: int) -> StoredBody | None:
    row = await connection.fetchrow(
        "SELECT body, body_fetched_at, body_purged FROM releases WHERE discogs_id = $1 AND body IS NOT NULL", release_id
    )
    return StoredBody(row["body"], row["body_fetched_at"], row["body_purged"]) if row else None


async def purge_body(connection: Connection, release_id: int, *, soft: bool) -> int:
    """Softly: the body counts as too old to be shown first. Else it goes; facts and matches stay. Returns how many."""
    change = "body_purged = true" if soft else "body = NULL, body_fetched_at = NULL, body_purged = false"
    changed = await connection.execute(
        f"UPDATE releases SET {change} WHERE discogs_id = $1 AND body IS NOT NULL",  # noqa: S608 - two literals of ours
        release_id,
    )
    return int(changed.removeprefix("UPDATE "))


class Details(NamedTuple):
    """A release: its CC0 facts (genres, styles, tracklist) as members of a JSON object, its images as an array.

    `images_at` is when upstream gave the images, None where that is not known.
    """

    facts: bytes
    images: bytes
    images_at: datetime | None


def details_of(facts: str, images: str, images_at: datetime | None) -> Details:
    """Of these columns of `release_told`."""
    return Details(facts.encode(), images.encode(), images_at)


# --- persisting ---------------------------------------------------------------------------------------------------


async def persist(
    connection: Connection,
    job: Job,
    facts: Metadata,
    body: StoredBody,
    matches: Sequence[JudgedMatch],
    silent: Collection[str] = (),
) -> None:
    """Store the release and all its matches. What a person decided, and rows of the old system, stay as they are.

    So does what a `silent` provider gave earlier, unless a match as good takes its place.
    """
    await _upsert_release(connection, job.release_id, job.store_username, facts, body)
    ids = await _ids(connection, job.release_id)
    await connection.execute(
        """
        DELETE FROM track_matches m
        WHERE release_id = $1 AND verified_at IS NULL AND NOT rejected AND dead_since IS NULL AND provider IS NOT NULL
          AND (provider <> ALL($2::text[]) OR EXISTS (
            SELECT FROM unnest($3::integer[], $4::integer[], $5::real[], $6::boolean[])
              AS found (track_index, sub_index, confidence, approved)
            WHERE found.track_index = m.track_index AND found.sub_index IS NOT DISTINCT FROM m.sub_index
              AND (found.approved, found.confidence) >= (coalesce(m.approved, false), m.confidence)
          ))
        """,
        job.release_id,
        list(silent),
        [each.match.track.track_index for each in matches],
        [each.match.track.sub_index for each in matches],
        [each.match.score.confidence for each in matches],
        [each.approved for each in matches],
    )
    await _insert_matches(connection, job.release_id, matches, ids)
    await refresh_has_audio(connection, job.release_id)


async def _upsert_release(
    connection: Connection, release_id: int, store_username: str | None, facts: Metadata, body: StoredBody
) -> None:
    await connection.execute(
        """
        INSERT INTO releases (id, discogs_id, store_username, title, artist, year, label, catno, thumb, discogs_uri,
                              genres, styles, tracklist, images, body, body_fetched_at, master_id, last_updated,
                              has_audio_matches)
        SELECT CASE WHEN EXISTS (SELECT FROM releases WHERE id = $1) THEN -$1 ELSE $1 END,  -- taken by an old row
               $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, now(), false
        ON CONFLICT (discogs_id) DO UPDATE SET
          title = excluded.title, artist = excluded.artist, year = excluded.year, label = excluded.label,
          catno = excluded.catno, thumb = excluded.thumb, discogs_uri = excluded.discogs_uri, genres = excluded.genres,
          styles = excluded.styles, tracklist = excluded.tracklist, images = excluded.images, body = excluded.body,
          body_fetched_at = excluded.body_fetched_at, body_purged = false, last_updated = excluded.last_updated,
          master_id = excluded.master_id,
          store_username = coalesce(releases.store_username, excluded.store_username)
        """,
        release_id,
        store_username,
        facts.title,
        facts.artist,
        facts.year,
        facts.label,
        facts.catno,
        facts.thumb,
        facts.discogs_uri,
        *(orjson.dumps(value).decode() for value in (facts.genres, facts.styles, facts.tracklist, facts.images)),
        body.body,
        body.fetched_at,
        facts.master_id,
    )


async def _ids(connection: Connection, release_id: int) -> dict[Pair, int]:
    rows = await connection.fetch(
        """
        SELECT track_index, sub_index, match_url, id FROM track_matches
        WHERE release_id = $1 AND match_url IS NOT NULL ORDER BY id
        """,
        release_id,
    )
    return {(row["track_index"], row["sub_index"], spelling(row["match_url"])): row["id"] for row in rows}


INSERT_MATCH = """
  INSERT INTO track_matches ({id}release_id, track_index, sub_index, platform, match_url, confidence, approved,
                             provider, candidate_title, candidate_duration_s, reasons, runner_up, told_at)
  SELECT {last}$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, to_timestamp($13::float8)
  WHERE NOT EXISTS (
    SELECT FROM track_matches
    WHERE release_id = $1 AND track_index = $2 AND sub_index IS NOT DISTINCT FROM $3
      AND NOT rejected AND dead_since IS NULL
  )
"""


async def _insert_matches(
    connection: Connection, release_id: int, matches: Sequence[JudgedMatch], ids: Mapping[Pair, int]
) -> None:
    """A track with a row of a person or of the old system gets no second one; rejected and dead URLs stay away.

    A match that was known keeps its id, by which a reviewer names it.
    """
    refused = (await said(connection, release_id)).refused
    hidden = await _hidden_from_now_on(connection, [each.match.candidate.url for each in matches])
    rows = {pair_of(each.match.track, each.match.candidate): _match_row(release_id, each) for each in matches}
    wanted = {pair: row for pair, row in rows.items() if pair not in refused and pair[2] not in hidden}
    await connection.executemany(
        INSERT_MATCH.format(id="id, ", last="$14::bigint, "),
        [(*row, ids[pair]) for pair, row in wanted.items() if pair in ids],
    )
    await connection.executemany(
        INSERT_MATCH.format(id="", last=""), [row for pair, row in wanted.items() if pair not in ids]
    )


async def said(connection: Connection, release_id: int) -> Said:
    """What people decided of its tracks: it holds however a URL is written. What is dead does not come back either."""
    rows = await connection.fetch(
        """
        SELECT track_index, sub_index, match_url, rejected OR dead_since IS NOT NULL AS is_refused FROM track_matches
        WHERE release_id = $1 AND match_url IS NOT NULL
          AND (rejected OR dead_since IS NOT NULL OR verified_at IS NOT NULL)
        """,
        release_id,
    )
    pairs = [(row["is_refused"], (row["track_index"], row["sub_index"], spelling(row["match_url"]))) for row in rows]
    refused = frozenset(pair for is_refused, pair in pairs if is_refused)
    return Said(frozenset(pair for is_refused, pair in pairs if not is_refused), refused)


# --- links --------------------------------------------------------------------------------------------------------

HIDDEN_SINCE = "coalesce(l.hidden_since, CASE WHEN m.provider = 'youtube' THEN m.expired_at END)"
"""Of a match `m` with its link `l`: what `dead_since` is to be. What YouTube's API told too long ago is hidden too."""

IS_TOLD = "(l.state <> 'unknown' OR l.hidden_since IS NOT NULL OR m.expired_at IS NOT NULL)"
"""Something is known of the link `l`, or of the match."""


async def hidden_links(connection: Connection, urls: Collection[str]) -> frozenset[str]:
    """The spellings of those that no shopper can play now."""
    rows = await connection.fetch(
        "SELECT DISTINCT spelling FROM match_links WHERE hidden_since IS NOT NULL AND spelling = ANY($1::text[])",
        list({spelling(url) for url in urls}),
    )
    return frozenset(row["spelling"] for row in rows)


async def _hidden_from_now_on(connection: Connection, urls: Collection[str]) -> frozenset[str]:
    """The same. Whoever finds one of the others dead waits until this transaction ends, and then sees its rows.

    In the order of the URLs, as two writers must not deadlock; also of those that are not known yet.
    """
    await connection.execute(
        """
        INSERT INTO match_links (url, platform, next_at)
        SELECT url, link_platform(url), CASE link_platform(url) WHEN 'other' THEN 'infinity' ELSE now() END
        FROM unnest($1::text[]) AS url WHERE length(url) <= 500 ORDER BY url
        ON CONFLICT (url) DO NOTHING
        """,
        list(set(urls)),
    )
    await connection.execute("SELECT FROM match_links WHERE url = ANY($1::text[]) ORDER BY url FOR SHARE", list(urls))
    return await hidden_links(connection, urls)


async def follow_links(connection: Connection, release_id: int) -> list[Record]:
    """Matches of the release are hidden, or shown again, as their links are; those that changed, by id."""
    return await connection.fetch(
        f"""
        WITH changed AS (
          UPDATE track_matches m SET dead_since = {HIDDEN_SINCE}
          FROM match_links l
          WHERE m.release_id = $1 AND l.url = m.match_url AND {IS_TOLD} AND m.dead_since IS DISTINCT FROM {HIDDEN_SINCE}
          RETURNING m.id, m.track_index, m.sub_index, m.dead_since IS NOT NULL AS is_hidden, m.rejected
        )
        SELECT * FROM changed ORDER BY id
        """,  # noqa: S608 - constants of ours
        release_id,
    )


AUTOMATIC = """
  NOT {0}.rejected AND {0}.dead_since IS NULL AND {0}.verified_at IS NULL AND {0}.provider IS NOT NULL
"""
BESIDE = """
  other.release_id = m.release_id AND other.track_index IS NOT DISTINCT FROM m.track_index
  AND other.sub_index IS NOT DISTINCT FROM m.sub_index AND other.id <> m.id
  AND NOT other.rejected AND other.dead_since IS NULL
"""


async def make_room(connection: Connection, revived: Sequence[int], kept: int | None = None) -> int:
    """A track shows one match. Returns how many of the revived ones went; `kept`, of these, not for an automatic one.

    Of two that come alive at once one stays.
    """
    await connection.execute(
        f"""
        DELETE FROM track_matches m USING track_matches other
        WHERE {BESIDE} AND {AUTOMATIC.format("m")} AND other.id = ANY($1::bigint[])
          AND (other.verified_at IS NOT NULL OR other.provider IS NULL OR other.id = $2)
        """,  # noqa: S608 - constants of ours
        revived,
        kept,
    )
    gone = await connection.execute(
        f"""
        DELETE FROM track_matches m USING track_matches other
        WHERE {BESIDE} AND {AUTOMATIC.format("m")} AND m.id = ANY($1::bigint[])
          AND NOT (other.id = ANY($1::bigint[]) AND other.id > m.id AND {AUTOMATIC.format("other")})
        """,  # noqa: S608 - constants of ours
        revived,
    )
    return int(gone.removeprefix("DELETE "))


def _match_row(release_id: int, judged: JudgedMatch) -> tuple[object, ...]:
    track, candidate, score = judged.match.track, judged.match.candidate, judged.match.score
    reasons = [{"name": each.name, "weight": each.weight, "detail": storable(each.detail)} for each in score.reasons]
    return (
        release_id,
        track.track_index,
        track.sub_index,
        candidate.platform,
        candidate.url,
        score.confidence,
        judged.approved,
        candidate.provider,
        storable(candidate.title),
        None if candidate.duration_s is None else round(candidate.duration_s),
        orjson.dumps(reasons).decode(),
        _runner_up(judged.match.runner_up),
        candidate.told_at,
    )


def _runner_up(runner_up: RunnerUp | None) -> str | None:
    """As JSON. What YouTube's API tells may be kept for 30 days only: of such a one the title is not kept at all."""
    if runner_up is None:
        return None
    candidate = runner_up.candidate
    title = None if candidate.provider == "youtube" else storable(candidate.title)
    return orjson.dumps({"url": candidate.url, "title": title, "confidence": round(runner_up.confidence, 1)}).decode()


async def refresh_has_audio(connection: Connection, release_id: int) -> None:
    """`has_audio_matches` is true while the release has a match that is neither rejected nor dead."""
    await connection.execute(
        """
        UPDATE releases SET has_audio_matches = EXISTS (
          SELECT FROM track_matches WHERE release_id = $1 AND NOT rejected AND dead_since IS NULL
        ) WHERE discogs_id = $1
        """,
        release_id,
    )


async def refresh_release(connection: Connection, release_id: int, facts: Metadata, body: StoredBody) -> bool:
    """Renew the body and facts of a persisted release; an API-only one stays unknown. False: it is not persisted.

    A body that is older than the stored one changes nothing.
    """
    known = await connection.fetchrow(
        "SELECT body_fetched_at FROM releases WHERE discogs_id = $1 FOR UPDATE", release_id
    )
    if known and (known["body_fetched_at"] is None or known["body_fetched_at"] <= body.fetched_at):
        await _upsert_release(connection, release_id, None, facts, body)
    return known is not None


async def is_known(connection: Connection, release_id: int) -> bool:
    """It was queued once, as each release is that somebody saw, or it is persisted."""
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (SELECT FROM match_queue WHERE release_id = $1)
                OR EXISTS (SELECT FROM releases WHERE discogs_id = $1)
            """,
            release_id,
        )
    )


async def is_persisted(connection: Connection, release_id: int) -> bool:
    return bool(await connection.fetchval("SELECT true FROM releases WHERE discogs_id = $1", release_id))


async def is_kept(connection: Connection, release_id: int) -> bool:
    """It stays persisted whatever its scores: it is already, or the old system or a person wants it."""
    wanted = await connection.fetchval("SELECT persist_always FROM match_queue WHERE release_id = $1", release_id)
    return bool(wanted) or await is_persisted(connection, release_id)


async def persist_bare(connection: Connection, release_id: int) -> None:
    """A row without facts, for a release that cannot be had but that the old system holds matches of."""
    await connection.execute(
        """
        INSERT INTO releases (id, discogs_id)
        SELECT CASE WHEN EXISTS (SELECT FROM releases WHERE id = $1) THEN -$1 ELSE $1 END, $1
        ON CONFLICT (discogs_id) DO NOTHING
        """,
        release_id,
    )
    await refresh_has_audio(connection, release_id)


# --- adopting the old system's rows -------------------------------------------------------------------------------

ORPHANS = """
  SELECT DISTINCT release_id FROM track_matches m
  WHERE release_id IS NOT NULL AND NOT EXISTS (SELECT FROM releases r WHERE r.discogs_id = m.release_id)
"""
"""Releases that have matches but no row of their own: the old system never stored them."""


async def queue_orphans(connection: Connection) -> int:
    """Queue them lowest, to be persisted whatever their new score; returns how many were not waiting already.

    But for those of which a person said that there is no audio for them, ever.
    """
    rows = await connection.fetch(
        f"""
        INSERT INTO match_queue AS q (release_id, priority, persist_always)
        SELECT release_id, $1, true FROM ({ORPHANS}) AS orphan ORDER BY release_id
        ON CONFLICT (release_id) DO UPDATE SET
          persist_always = true,
          status = CASE WHEN q.status = 'processing' THEN q.status ELSE 'queued' END,
          attempts = CASE WHEN q.status = 'failed' THEN 0 ELSE q.attempts END
        WHERE NOT q.persist_always AND q.no_audio_since IS NULL
        RETURNING 1
        """,  # noqa: S608 (a constant of ours)
        int(Priority.ORPHAN),
        timeout=MIGRATION_TIMEOUT_S,
    )
    return len(rows)


async def store_orphans_without_audio(connection: Connection) -> None:
    """Those are not matched: their matches are rejected, though by nobody, until a person takes that back."""
    rows = await connection.fetch(
        f"""
        SELECT release_id FROM ({ORPHANS}) AS orphan JOIN match_queue q USING (release_id)
        WHERE q.no_audio_since IS NOT NULL ORDER BY release_id
        """,  # noqa: S608 (a constant of ours)
        timeout=MIGRATION_TIMEOUT_S,
    )
    for row in rows:
        await connection.execute("UPDATE track_matches SET rejected = true WHERE release_id = $1", row["release_id"])
        await persist_bare(connection, row["release_id"])


async def count_orphans(connection: Connection) -> int:
    found = await connection.fetchval(
        f"SELECT count(*) FROM ({ORPHANS}) AS orphan",  # noqa: S608 (a constant of ours)
        timeout=MIGRATION_TIMEOUT_S,
    )
    return int(found)


async def count_matches(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM track_matches", timeout=MIGRATION_TIMEOUT_S))


async def foreign_key_is_valid(connection: Connection) -> bool:
    return bool(
        await connection.fetchval(
            """
            SELECT convalidated FROM pg_constraint
            WHERE conrelid = 'track_matches'::regclass AND conname = 'track_matches_release_fk'
            """
        )
    )


async def validate_foreign_key(connection: Connection) -> None:
    """Reads the table once under a lock that blocks neither readers nor writers."""
    await connection.execute(
        "ALTER TABLE track_matches VALIDATE CONSTRAINT track_matches_release_fk", timeout=MIGRATION_TIMEOUT_S
    )


async def refresh_all_has_audio(connection: Connection) -> int:
    """Set `has_audio_matches` of rows of the old system that do not say it right; returns how many."""
    changed = await connection.execute(
        """
        UPDATE releases r SET has_audio_matches = found.any_live
        FROM (
          SELECT discogs_id, EXISTS (
            SELECT FROM track_matches m
            WHERE m.release_id = releases.discogs_id AND NOT m.rejected AND m.dead_since IS NULL
          ) AS any_live FROM releases
        ) AS found
        WHERE found.discogs_id = r.discogs_id AND r.has_audio_matches IS DISTINCT FROM found.any_live
        """,
        timeout=MIGRATION_TIMEOUT_S,
    )
    return int(changed.removeprefix("UPDATE "))
