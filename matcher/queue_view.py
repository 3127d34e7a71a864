"""What operators see of the match queue and do with it, and all of its SQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from matcher.database import Connection
from matcher.domain.queue_words import Place, QueueState, why
from matcher.errors import NoSuchRelease, Undecidable
from matcher.queue_store import IS_DUE, IS_LOST, Priority

QueueCursor = tuple[float, float, float, int]
"""Where a job stands in the list of those of its state."""

STATE = "CASE WHEN q.status = 'queued' AND q.not_before > now() THEN 'parked' ELSE q.status END"
DECIDED_AT = "coalesce(q.no_audio_since, q.decided_at, q.enqueued_at)"
NEWEST_FIRST = f"-extract(epoch FROM {DECIDED_AT})::float8, 0, 0"
SOONEST_FIRST = {
    QueueState.QUEUED: "q.priority::float8, q.place::float8, q.sequence::float8",
    QueueState.PARKED: "extract(epoch FROM q.not_before)::float8, 0, 0",
    QueueState.PROCESSING: "extract(epoch FROM q.lease_until)::float8, 0, 0",
}


class QueueJob(NamedTuple):
    """A release in the queue. `artist` and `title` are known of persisted ones; `why` says what it waits for."""

    release_id: int
    artist: str | None
    title: str | None
    store: str | None
    state: str
    priority: str
    attempts: int
    enqueued_at: datetime
    not_before: datetime
    decided_at: datetime | None
    last_error: str | None
    why: str


async def counts(connection: Connection) -> dict[QueueState, int]:
    rows = await connection.fetch(f"SELECT {STATE} AS state, count(*) AS n FROM match_queue q GROUP BY 1")  # noqa: S608 - a constant of ours
    found = {row["state"]: row["n"] for row in rows}
    return {state: found.get(state.value, 0) for state in QueueState}


async def claimable(connection: Connection) -> int:
    """How many jobs whoever asks for work now would get."""
    found = await connection.fetchval(
        f"SELECT count(*) FROM match_queue WHERE ({IS_DUE}) OR ({IS_LOST})"  # noqa: S608 - constants of ours
    )
    return int(found)


async def jobs(
    connection: Connection, state: QueueState, limit: int, after: QueueCursor | None
) -> tuple[list[QueueJob], QueueCursor | None]:
    """The next `limit` after a place in the list, and the place of the last of them if more may follow.

    In the order in which their turn comes; what is decided newest first.
    """
    key = f"{SOONEST_FIRST.get(state, NEWEST_FIRST)}, q.release_id"
    rows = await connection.fetch(
        f"""
        SELECT q.release_id, r.artist, r.title, q.store_username, q.priority, q.attempts, q.enqueued_at, q.not_before,
               coalesce(q.no_audio_since, q.decided_at) AS decided_at, q.last_error, q.lease_until,
               q.parked_since IS NOT NULL AS waits_for_providers, q.decided_without,
               q.no_audio_since IS NOT NULL AS has_no_audio, ARRAY[{key}]::float8[] AS place
        FROM match_queue q LEFT JOIN releases r ON r.discogs_id = q.release_id
        WHERE {STATE} = $1 AND ($3::float8[] IS NULL OR ARRAY[{key}]::float8[] > $3::float8[])
        ORDER BY place LIMIT $2
        """,  # noqa: S608 - constants of ours
        state.value,
        limit,
        None if after is None else list(after),
    )
    now = datetime.now(UTC)
    found = [
        QueueJob(
            release_id=row["release_id"],
            artist=row["artist"],
            title=row["title"],
            store=row["store_username"],
            state=state.value,
            priority=_priority(row["priority"]),
            attempts=row["attempts"],
            enqueued_at=row["enqueued_at"],
            not_before=row["not_before"],
            decided_at=row["decided_at"],
            last_error=row["last_error"],
            why=why(
                Place(
                    state,
                    row["attempts"],
                    row["not_before"],
                    row["last_error"],
                    row["waits_for_providers"],
                    row["lease_until"],
                    row["decided_without"],
                    row["has_no_audio"],
                ),
                now,
            ),
        )
        for row in rows
    ]
    if len(rows) < limit:
        return found, None
    first, second, third, last = rows[-1]["place"]
    return found, (first, second, third, int(last))


def _priority(number: int) -> str:
    """The name of the lane."""
    return Priority(number).name.lower() if number in set(Priority) else str(number)


async def requeue(connection: Connection, release_id: int) -> tuple[QueueState, bool]:
    """Next, as a shopper waits for it, with all its attempts; its state, and whether that changed anything.

    One that is being matched stays so. Raises NoSuchRelease; Undecidable where a person said that it has no audio.
    """
    row = await connection.fetchrow(
        """
        SELECT status, no_audio_since IS NOT NULL AS has_no_audio,
               status = 'queued' AND priority = $2 AND place = 0 AND attempts = 0 AND not_before <= now() AS is_next
        FROM match_queue WHERE release_id = $1 FOR UPDATE
        """,
        release_id,
        int(Priority.SEEN),
    )
    if row is None:
        raise NoSuchRelease(f"Release {release_id} was never queued.")
    if row["has_no_audio"]:
        raise Undecidable(f"A person said that release {release_id} has no audio, ever: take that back first.")
    if row["is_next"] or row["status"] == QueueState.PROCESSING:
        return QueueState(row["status"]), False
    await connection.execute(
        """
        UPDATE match_queue
        SET status = 'queued', priority = $2, place = 0, attempts = 0, not_before = now(), enqueued_at = now(),
            parked_since = NULL, answers = NULL, last_error = NULL
        WHERE release_id = $1
        """,
        release_id,
        int(Priority.SEEN),
    )
    return QueueState.QUEUED, True
