"""All SQL of the persisted releases and their matches.

Each function runs on a connection that the caller opened; those that change several rows belong in a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from matcher.database import Connection
from matcher.domain.metadata import Metadata, storable
from matcher.domain.urls import pair_of, spelling
from matcher.domain.verdict import JudgedMatch
from matcher.hidden_store import hidden_from_now_on
from matcher.models import Audio, Due, Pair, ProcessingStatus, RunnerUp, Said
from matcher.queue_store import SOONER, Job


@dataclass(frozen=True, slots=True)
class StoredBody:
    """The public answer of GET /releases/{id}, byte for byte, and when upstream gave it."""

    body: bytes
    fetched_at: datetime
    purged: bool = False
    """An operator wants it fetched anew: good only while upstream fails."""


# --- what is known of releases ------------------------------------------------------------------------------------


async def audio(connection: Connection, release_ids: Collection[int]) -> dict[int, Audio]:
    """State and live matches of each release asked for. One that was never queued counts as queued."""
    rows = await connection.fetch(
        """
        SELECT wanted.release_id, told.status, persisted, has_audio, sooner, matches, all_shown_from
        FROM unnest($4::bigint[]) AS wanted (release_id)
        CROSS JOIN LATERAL release_told(wanted.release_id, $1, $2, $3) AS told
        """,
        *SOONER,
        list(set(release_ids)),
    )
    return {release_id: audio_of(*told) for release_id, *told in rows}


def audio_of(
    status: str | None,
    persisted: bool,
    has_audio: bool,
    sooner: bool | None,
    matches: str | None,
    all_shown_from: float | None,
) -> Audio:
    """Of these columns of `release_told`."""
    return Audio(
        status=_status(status, has_audio=has_audio),
        persisted=persisted,
        matches_json=matches.encode() if matches else b"[]",
        all_shown_from=all_shown_from,
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
    hidden = await hidden_from_now_on(connection, [each.match.candidate.url for each in matches])
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
