"""All SQL by which jobs go through the queue: asked for, claimed, decided, parked, failed.

Each function runs on a connection that the caller opened; those that change several rows belong in a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from uuid import UUID

from matcher.database import Connection
from matcher.domain.retry import MAX_ATTEMPTS
from matcher.errors import LeaseLost
from matcher.models import ProcessingStatus

UNMATCHED_REST = timedelta(days=30)
"""An unmatched release is not asked for again for so long, unless its tracklist or videos change."""

WITHOUT_REST = timedelta(days=1)
"""A release that was decided without a provider that could not answer rests so long, whatever was found."""

LEASE_S = 90.0
"""A job whose worker died is free again after this; every job ends well before it."""

IS_DUE = "status = 'queued' AND (not_before <= now() OR not_before > now() + interval '2 days')"
IS_LOST = "status = 'processing' AND (lease_until < now() OR lease_until > now() + interval '2 days')"
"""Nothing waits or is leased for so long: a time further ahead was written by a clock that was wrong, and is now."""


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


async def match_again(connection: Connection, release_id: int) -> None:
    """Behind everything that is asked for, as what it has, or may have, is another now.

    A job that is under way may have looked before: it has lost its lease, and is done again. One that waits for a
    provider is done at once with what is known, as what is stored has to change; it waits again after that.
    """
    await connection.execute(
        """
        UPDATE match_queue SET
          status = 'queued', not_before = now(), parked_since = NULL, lease_token = NULL, lease_until = NULL,
          answers = CASE status WHEN 'queued' THEN answers END,
          enqueued_at = CASE status WHEN 'queued' THEN enqueued_at ELSE now() END,
          priority = CASE WHEN status IN ('queued', 'processing') THEN priority ELSE $2 END,
          place = CASE WHEN status IN ('queued', 'processing') THEN place ELSE 0 END,
          request_id = CASE WHEN status IN ('queued', 'processing') THEN request_id END,
          attempts = CASE status WHEN 'queued' THEN attempts WHEN 'processing' THEN greatest(attempts - 1, 0) ELSE 0 END
        WHERE release_id = $1 AND no_audio_since IS NULL
          AND (status IN ('matched', 'unmatched', 'processing') OR (status = 'queued' AND parked_since IS NOT NULL))
        """,
        release_id,
        int(Priority.HISTORY),
    )


async def claim(connection: Connection, limit: int) -> list[Job]:
    """Lease up to `limit` jobs, soonest first. Jobs whose worker died are freed first."""
    await _free_expired(connection)
    rows = await connection.fetch(
        f"""
        WITH next AS (
          SELECT release_id FROM match_queue WHERE {IS_DUE}
          ORDER BY priority, place, sequence LIMIT $1
          FOR UPDATE SKIP LOCKED
        )
        UPDATE match_queue q
        SET status = 'processing', attempts = attempts + 1,
            lease_token = gen_random_uuid(), lease_until = now() + make_interval(secs => $2)
        FROM next WHERE q.release_id = next.release_id
        RETURNING q.release_id, store_username, attempts, persist_always, lease_token, priority, place, sequence,
                  coalesce(extract(epoch FROM now() - parked_since), 0)::float8 AS waited_s, answers, request_id
        """,  # noqa: S608 - a constant of ours
        limit,
        LEASE_S,
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
        f"""
        UPDATE match_queue
        SET status = CASE WHEN attempts >= $1 THEN 'failed' ELSE 'queued' END,
            decided_at = CASE WHEN attempts >= $1 THEN now() END,
            last_error = 'the worker ended in the middle of the job', lease_token = NULL, lease_until = NULL
        WHERE release_id IN (
          SELECT release_id FROM match_queue WHERE {IS_LOST} FOR UPDATE SKIP LOCKED
        )
        """,  # noqa: S608 - a constant of ours
        MAX_ATTEMPTS,
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
