"""All SQL of the mirror: a store's listings in upstream's order, its checks and sweeps, and who may change it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from asyncpg import Range, Record

from matcher import queue_store, store
from matcher.database import Connection
from matcher.models import Audio
from matcher.store import Details
from proxy.domain.lifetimes import Window
from proxy.domain.merge import flat_members

TOMBSTONES_KEPT = timedelta(days=30)
FORGETTING_TIMEOUT_S = 60.0
"""Of a store with all its rows: nobody waits for that."""

CLOCK_SET_BACK = timedelta(minutes=10)
"""No page is written so long after it was asked for: a row newer by more was written while the clock was wrong."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """What is known of a store. `items` is upstream's count at the last look, None before the first."""

    username: str
    is_mirrored: bool
    """Its first sweep has ended, and was made true."""
    version: int
    items: int | None
    checked_at: datetime | None
    reconciled_at: datetime | None
    requested_at: datetime
    audit_page: int
    purged: bool
    """An operator wants it swept again, however true it is."""
    sweep_page: int
    """Pages that an unfinished sweep has read; 0: none is under way."""


class Ages(NamedTuple):
    """When the oldest and the newest of some rows were fetched."""

    oldest: datetime
    newest: datetime


class MirrorRow(NamedTuple):
    """One listing as the public sees it; `body` is its JSON with the seller left null.

    `posted` is None where it is not told, and in rows that are read to be shown.
    """

    listing_id: int
    release_id: int
    body: bytes
    fetched_at: datetime
    posted: datetime | None = None


class ToldRow(NamedTuple):
    """A row with what is known of its release, as a store-shaped result has it.

    `flat` are the members that it adds of itself, as JSON without braces; None where they must be made.
    """

    row: MirrorRow
    flat: bytes | None
    audio: Audio
    details: Details | None


@dataclass(frozen=True, slots=True)
class FeedRow:
    """A listing of some store, when it was posted."""

    store_username: str
    posted: datetime
    told: ToldRow


class LeaseLost(Exception):
    """Another process took the store over: what was read must not be written."""


# --- reading ------------------------------------------------------------------------------------------------------


async def touch(connection: Connection, username: str) -> StoreState:
    """The state of a store that somebody asks for; it is made known at first sight. `username` is lower case."""
    return await _made_known(
        connection,
        username,
        "INSERT INTO stores (username) VALUES ($1) ON CONFLICT (username) DO UPDATE SET requested_at = now()",
    )


async def _made_known(connection: Connection, username: str, statement: str) -> StoreState:
    """`statement` holds the row until it is read: a check that ends in that very moment may forget it."""
    async with connection.transaction():
        await connection.execute(statement, username)
        row = await connection.fetchrow("SELECT * FROM store_states WHERE username = $1", username)
    assert row is not None  # noqa: S101 - it was inserted
    return StoreState(**row)


async def note(connection: Connection, username: str) -> None:
    """That there is such a store. Nobody asked: one new by this was requested in 1970."""
    await connection.execute(
        "INSERT INTO stores (username, requested_at) VALUES ($1, 'epoch') ON CONFLICT (username) DO NOTHING", username
    )


async def make_known(connection: Connection, username: str) -> StoreState:
    """As `touch`, but nobody asked."""
    return await _made_known(
        connection,
        username,
        """
        INSERT INTO stores AS s (username, requested_at) VALUES ($1, 'epoch')
        ON CONFLICT (username) DO UPDATE SET requested_at = s.requested_at
        """,
    )


async def state(connection: Connection, username: str) -> StoreState | None:
    """Of a store, if it is known; that somebody asks leaves no trace."""
    row = await connection.fetchrow("SELECT * FROM store_states WHERE username = $1", username)
    return StoreState(**row) if row else None


async def state_and_ages(connection: Connection, username: str) -> tuple[StoreState, Ages | None] | None:
    """The same with the ages of the rows of what is for sale; those are None where nothing is."""
    row = await connection.fetchrow(
        """
        SELECT s.*, (SELECT min(fetched_at) FROM mirror_listings WHERE store_username = $1 AND gone_at IS NULL),
               (SELECT max(fetched_at) FROM mirror_listings WHERE store_username = $1 AND gone_at IS NULL)
        FROM store_states s WHERE username = $1
        """,
        username,
    )
    if row is None:
        return None
    *columns, oldest, newest = row
    return StoreState(*columns), Ages(oldest, newest) if oldest else None


async def states(connection: Connection) -> list[StoreState]:
    """Of all stores known, the one asked for last first."""
    rows = await connection.fetch("SELECT * FROM store_states ORDER BY requested_at DESC, username")
    return [StoreState(**row) for row in rows]


async def order(connection: Connection, username: str) -> tuple[int, Sequence[int]] | None:
    """Version of the mirror and the ids that are shown, newest first; None before the first sweep has ended."""
    row = await connection.fetchrow(
        """
        SELECT version, listing_ids, ARRAY(SELECT listing_id FROM doubted_listings
                                           WHERE store_username = $1 AND hidden) AS hidden
        FROM stores WHERE username = $1 AND listing_ids IS NOT NULL
        """,
        username,
    )
    return (row["version"], _without(row["listing_ids"], row["hidden"])) if row else None


def _without(listing_ids: Sequence[int], hidden: Sequence[int]) -> Sequence[int]:
    left_out = frozenset(hidden)
    return [each for each in listing_ids if each not in left_out] if left_out else listing_ids


async def whole_order(connection: Connection, username: str) -> Sequence[int]:
    """With what is hidden, as upstream has it: what a check compares; none before the first sweep has ended."""
    ids: Sequence[int] | None = await connection.fetchval(
        "SELECT listing_ids FROM stores WHERE username = $1", username
    )
    return ids or ()


async def rows(connection: Connection, username: str, listing_ids: Collection[int]) -> dict[int, MirrorRow]:
    """Those of `listing_ids` that are known, by id."""
    found = await connection.fetch(
        """
        SELECT listing_id, release_id, body, fetched_at, posted FROM mirror_listings
        WHERE store_username = $1 AND listing_id = ANY($2::bigint[])
        """,
        username,
        listing_ids,
    )
    return {row[0]: MirrorRow._make(row) for row in found}


async def rows_with_audio(
    connection: Connection, username: str, listing_ids: Collection[int]
) -> tuple[dict[int, MirrorRow], dict[int, Audio]]:
    """Rows by their ids, and the audio of their releases."""
    found = await connection.fetch(
        """
        SELECT listing_id, release_id, body, fetched_at, told.status, persisted, has_audio, sooner, matches,
               told.all_shown_from
        FROM mirror_listings CROSS JOIN LATERAL release_told(release_id, $1, $2, $3) AS told
        WHERE store_username = $4 AND listing_id = ANY($5::bigint[])
        """,
        *queue_store.SOONER,
        username,
        listing_ids,
    )
    return {each[0]: MirrorRow(*each[:4]) for each in found}, {each[1]: store.audio_of(*each[4:]) for each in found}


async def told_rows(connection: Connection, username: str, listing_ids: Collection[int]) -> dict[int, ToldRow]:
    """Those of `listing_ids` that are known, by id, as store-shaped results need them."""
    found = await connection.fetch(
        """
        SELECT listing_id, release_id, body, fetched_at, flat, told.status, persisted, has_audio, sooner, matches,
               told.all_shown_from, facts, images, images_at
        FROM mirror_listings CROSS JOIN LATERAL release_told(release_id, $1, $2, $3) AS told
        WHERE store_username = $4 AND listing_id = ANY($5::bigint[])
        """,
        *queue_store.SOONER,
        username,
        listing_ids,
    )
    return {each[0]: _told_row(each) for each in found}


def _told_row(columns: Record) -> ToldRow:
    """Four of the row, `flat`, six of the audio, three of the details."""
    audio, details = store.audio_of(*columns[5:11]), columns[11:14]
    return ToldRow(MirrorRow(*columns[:4]), columns[4], audio, store.details_of(*details) if audio.persisted else None)


async def shown_bodies(connection: Connection, username: str, listing_ids: Collection[int]) -> dict[int, bytes]:
    """Those of `listing_ids` that are shown, by id; none before the first sweep has ended."""
    found = await connection.fetch(
        """
        SELECT listing_id, body FROM mirror_listings m
        WHERE store_username = $1 AND listing_id = ANY($2::bigint[]) AND m.gone_at IS NULL
          AND EXISTS (SELECT FROM stores WHERE username = $1 AND listing_ids IS NOT NULL)
        """,
        username,
        listing_ids,
    )
    return {row["listing_id"]: row["body"] for row in found}


async def known_row(connection: Connection, username: str, listing_id: int) -> MirrorRow | None:
    """Of a listing that is there, as far as we know, hidden or not."""
    row = await connection.fetchrow(
        """
        SELECT listing_id, release_id, body, fetched_at, posted FROM mirror_listings
        WHERE store_username = $1 AND listing_id = $2 AND gone_at IS NULL
        """,
        username,
        listing_id,
    )
    return MirrorRow(**row) if row else None


async def too_old(connection: Connection, username: str, listing_ids: Collection[int], shown: Window) -> set[int]:
    """Those of `listing_ids` whose rows may not leave, or are not there."""
    found = await connection.fetch(
        """
        SELECT wanted.listing_id FROM unnest($2::bigint[]) AS wanted (listing_id)
        LEFT JOIN mirror_listings l
          ON l.store_username = $1 AND l.listing_id = wanted.listing_id AND l.fetched_at <@ $3::tstzrange
        WHERE l.listing_id IS NULL
        """,
        username,
        listing_ids,
        _range(shown),
    )
    return {row["listing_id"] for row in found}


async def count_persisted(connection: Connection, username: str, listing_ids: Collection[int] | None = None) -> int:
    """How many of `listing_ids`, or of all in the mirror, sell a release that is persisted."""
    found = await connection.fetchval(
        """
        SELECT count(*)
        FROM unnest(coalesce($2::bigint[], (SELECT listing_ids FROM stores WHERE username = $1))) AS shown (listing_id)
        JOIN mirror_listings l ON l.store_username = $1 AND l.listing_id = shown.listing_id
        JOIN releases r ON r.discogs_id = l.release_id
        """,
        username,
        listing_ids,
    )
    return int(found)


async def newest(
    connection: Connection,
    usernames: Collection[str],
    limit: int,
    after: tuple[datetime, int] | None,
    shown: Window,
) -> list[FeedRow]:
    """Of all these stores together what may leave, newest first: older than `after`."""
    found = await connection.fetch(
        """
        SELECT listing_id, release_id, body, fetched_at, flat, told.status, persisted, has_audio, sooner, matches,
               told.all_shown_from, facts, images, images_at, store_username, posted
        FROM (
          SELECT l.* FROM unnest($1::text[]) AS wanted (username)
          CROSS JOIN LATERAL (
            SELECT * FROM mirror_listings m
            WHERE store_username = wanted.username AND gone_at IS NULL AND fetched_at <@ $5::tstzrange
              AND NOT EXISTS (SELECT FROM doubted_listings d
                              WHERE d.store_username = wanted.username AND d.listing_id = m.listing_id AND d.hidden)
              AND posted <= coalesce($3::timestamptz, 'infinity')
              AND ($3::timestamptz IS NULL OR (posted, listing_id) < ($3::timestamptz, $4::bigint))
            ORDER BY posted DESC, listing_id DESC LIMIT $2
          ) AS l
          ORDER BY l.posted DESC, l.listing_id DESC LIMIT $2
        ) AS newest
        CROSS JOIN LATERAL release_told(release_id, $6, $7, $8) AS told
        ORDER BY posted DESC, listing_id DESC
        """,
        usernames,
        limit,
        after[0] if after else None,
        after[1] if after else None,
        _range(shown),
        *queue_store.SOONER,
    )
    return [FeedRow(each["store_username"], each["posted"], _told_row(each)) for each in found]


def _range(shown: Window) -> Range[datetime]:
    """As in SQL: `fetched_at <@` it is `shown.holds(fetched_at)`."""
    return Range(shown.since, shown.until, lower_inc=False, upper_inc=True)


async def seller(connection: Connection, username: str) -> bytes | None:
    """The seller object as JSON."""
    found: bytes | None = await connection.fetchval("SELECT seller FROM stores WHERE username = $1", username)
    return found


async def store_of(connection: Connection, listing_id: int) -> str | None:
    """The username of the store that has, or had, this listing; looked for store by store, as the index has it."""
    found: str | None = await connection.fetchval(
        """
        SELECT s.username FROM stores s
        CROSS JOIN LATERAL (
          SELECT FROM mirror_listings m WHERE m.store_username = s.username AND m.listing_id = $1 LIMIT 1
        ) AS found
        LIMIT 1
        """,
        listing_id,
    )
    return found


# --- the lease: one process checks a store at a time --------------------------------------------------------------


async def lease(connection: Connection, username: str, seconds: float) -> uuid.UUID | None:
    """A token for changing the mirror; None while another process holds one."""
    token: uuid.UUID | None = await connection.fetchval(
        """
        UPDATE stores SET lease_token = gen_random_uuid(), lease_until = now() + make_interval(secs => $2)
        WHERE username = $1 AND (lease_until IS NULL OR lease_until < now())
        RETURNING lease_token
        """,
        username,
        seconds,
    )
    return token


async def prolong(connection: Connection, username: str, token: uuid.UUID, seconds: float) -> None:
    """Raises LeaseLost."""
    await held(
        connection,
        "UPDATE stores SET lease_until = now() + make_interval(secs => $3) WHERE username = $1 AND lease_token = $2",
        username,
        token,
        seconds,
    )


async def give_back(connection: Connection, username: str, token: uuid.UUID) -> None:
    await connection.execute(
        "UPDATE stores SET lease_token = NULL, lease_until = NULL WHERE username = $1 AND lease_token = $2",
        username,
        token,
    )


# --- changing -----------------------------------------------------------------------------------------------------


async def write_rows(connection: Connection, username: str, found: Iterable[MirrorRow]) -> None:
    """Newest wins; a row that came back loses its tombstone. In the order of ids: two writers must not deadlock."""
    await connection.executemany(
        """
        INSERT INTO mirror_listings AS m (store_username, listing_id, release_id, body, fetched_at, posted, flat)
        VALUES ($1, $2, $3, $4, $5, $6, $8)
        ON CONFLICT (store_username, listing_id) DO UPDATE SET
          release_id = excluded.release_id, body = excluded.body, fetched_at = excluded.fetched_at,
          posted = excluded.posted, flat = excluded.flat, gone_at = NULL
        WHERE m.fetched_at <= excluded.fetched_at OR m.fetched_at > excluded.fetched_at + $7::interval
        """,
        [
            (username, *each, CLOCK_SET_BACK, flat_members(each.body, username))
            for each in sorted(found, key=lambda row: row.listing_id)
        ],
    )


async def write_seller(connection: Connection, username: str, body: bytes) -> bool:
    """Whether it differs from the one known before."""
    status = await connection.execute(
        "UPDATE stores SET seller = $2, version = version + 1 WHERE username = $1 AND seller IS DISTINCT FROM $2",
        username,
        body,
    )
    return status == "UPDATE 1"


async def confirm(
    connection: Connection, username: str, token: uuid.UUID, *, items: int, at: datetime, audited: int | None
) -> None:
    """The mirror was true at `at`; `audited` is the page after which the audits go on. Raises LeaseLost."""
    await held(
        connection,
        """
        UPDATE stores SET checked_at = $4, listings_total = $3, audit_page = coalesce($5 + 1, audit_page),
          reconciled_at = CASE WHEN $5::integer IS NULL THEN reconciled_at ELSE $4 END
        WHERE username = $1 AND lease_token = $2
        """,
        username,
        token,
        items,
        at,
        audited,
    )


async def change(
    connection: Connection,
    username: str,
    token: uuid.UUID,
    listing_ids: Sequence[int],
    *,
    swept: bool = True,
    removed: Collection[int] = (),
    seen_since: datetime | None = None,
) -> None:
    """Show these ids, whose rows are written, from now on; what is no longer among them vanished. Raises LeaseLost.

    `swept`: they come of a sweep, which has then ended; else one that is under way or wanted goes on.

    Where upstream shows not all of a store it may only have gone out of reach: unless it is one of `removed`, or was
    not `seen_since`.
    """
    await held(
        connection,
        """
        UPDATE stores SET listing_ids = $3, version = version + 1,
          sweep_ids = CASE WHEN $4 THEN NULL ELSE sweep_ids END, sweep_page = CASE WHEN $4 THEN 0 ELSE sweep_page END,
          purged = purged AND NOT $4
        WHERE username = $1 AND lease_token = $2
        """,
        username,
        token,
        listing_ids,
        swept,
    )
    await connection.execute(
        """
        UPDATE mirror_listings SET gone_at = now()
        WHERE store_username = $1 AND gone_at IS NULL AND listing_id <> ALL($2::bigint[])
          AND ($4::timestamptz IS NULL OR fetched_at < $4 OR listing_id = ANY($3::bigint[]))
        """,
        username,
        listing_ids,
        removed,
        seen_since,
    )
    await connection.execute(
        "DELETE FROM mirror_listings WHERE store_username = $1 AND gone_at < now() - $2::interval",
        username,
        TOMBSTONES_KEPT,
    )


async def touch_rows(connection: Connection, username: str) -> None:
    """Rows changed in place: what is made of them must be made anew."""
    await connection.execute("UPDATE stores SET version = version + 1 WHERE username = $1", username)


async def log_sync(connection: Connection, username: str, *, listings: int, new_releases: int) -> None:
    await connection.execute(
        """
        INSERT INTO store_sync_log
          (store_username, last_sync, listings_processed, new_releases_found, audio_matches_created)
        SELECT $1, now(), $2, $3,
               (SELECT count(*) FROM track_matches m
                WHERE m.created_at
                      > coalesce((SELECT max(last_sync) FROM store_sync_log WHERE store_username = $1), now())
                  AND EXISTS (SELECT FROM mirror_listings l
                              WHERE l.store_username = $1 AND l.release_id = m.release_id AND l.gone_at IS NULL))
        """,
        username,
        listings,
        new_releases,
    )


async def forget(connection: Connection, username: str) -> None:
    """The store and its listings; releases and matches stay."""
    await connection.execute("DELETE FROM stores WHERE username = $1", username)


async def to_be_forgotten(connection: Connection, username: str) -> list[int]:
    """The listings of a store that this transaction is about to forget: nobody changes it from now on."""
    ids = await connection.fetchval(
        "SELECT listing_ids || middle_ids FROM stores WHERE username = $1 AND listing_ids IS NOT NULL FOR UPDATE",
        username,
    )
    return [each for each in ids or () if each > 0]


async def not_there(connection: Connection, username: str, wanted: Collection[str]) -> None:
    """Upstream says that there is no such user. One of those `wanted`, or pinned, stays known as gone.

    To be called in a transaction.
    """
    await _begin_anew(connection, username, is_named=username in wanted, is_gone=True)


async def _begin_anew(connection: Connection, username: str, *, is_named: bool = False, is_gone: bool = False) -> None:
    """Drop all that is known of a store but that an operator, or the settings, want it."""
    is_pinned = bool(await connection.fetchval("DELETE FROM stores WHERE username = $1 RETURNING pinned", username))
    if is_pinned or is_named:
        await connection.execute(
            """
            INSERT INTO stores (username, requested_at, pinned, gone_at)
            VALUES ($1, 'epoch', $2, CASE WHEN $3 THEN now() END)
            """,
            username,
            is_pinned,
            is_gone,
        )


NEVER_SEEN = "listing_ids IS NULL AND sweep_ids IS NULL AND asked_at = '{}' AND NOT pinned AND NOT tracked"
"""Somebody asked for this name, and upstream has not said whether there is such a user."""


async def forget_if_never_seen(connection: Connection, username: str, wanted: Collection[str]) -> None:
    await connection.execute(
        f"DELETE FROM stores WHERE username = $1 AND {NEVER_SEEN} AND username <> ALL($2::text[])",  # noqa: S608 - ours
        username,
        list(wanted),
    )


async def forget_never_seen(connection: Connection, wanted: Collection[str]) -> None:
    """What processes that were killed, or lost the database, left behind an hour ago."""
    await connection.execute(
        f"""
        DELETE FROM stores
        WHERE {NEVER_SEEN} AND username <> ALL($1::text[])
          AND requested_at <> 'epoch' AND requested_at < now() - interval '1 hour'
        """,  # noqa: S608 - ours
        list(wanted),
    )


async def forget_one_unasked(connection: Connection, wanted: Collection[str]) -> bool:
    """Of the stores that nobody wants tracked, or asked for in a day: their rows are too old to be shown.

    One at a time, as a long one takes a while. Whether there was one.
    """
    status = await connection.execute(
        """
        DELETE FROM stores WHERE username = (
          SELECT username FROM stores
          WHERE NOT pinned AND NOT tracked AND username <> ALL($1::text[])
            AND greatest(requested_at, created_at) < now() - interval '1 day'
            AND (lease_until IS NULL OR lease_until < now())
          LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        """,
        list(wanted),
        timeout=FORGETTING_TIMEOUT_S,
    )
    return status == "DELETE 1"


async def purge(connection: Connection, username: str, *, soft: bool) -> int:
    """Softly: the next request starts a sweep. Else the listings go as well; returns how many are concerned.

    To be called in a transaction.
    """
    found = await connection.fetchval(
        "SELECT coalesce(cardinality(listing_ids), 0) FROM stores WHERE username = $1", username
    )
    if soft:
        await connection.execute("UPDATE stores SET purged = true WHERE username = $1", username)
    else:
        await _begin_anew(connection, username)
    return int(found or 0)


# --- sweeps -------------------------------------------------------------------------------------------------------


async def swept(connection: Connection, username: str) -> tuple[int, Sequence[int]]:
    """Pages that the unfinished sweep has read, and the ids on them; 0 and none where there is no sweep."""
    row = await connection.fetchrow("SELECT sweep_page, sweep_ids FROM stores WHERE username = $1", username)
    return (row["sweep_page"], row["sweep_ids"]) if row and row["sweep_page"] else (0, ())


async def shown_of_sweep(connection: Connection, username: str) -> Sequence[int]:
    """What an unfinished first sweep has read and may be shown."""
    row = await connection.fetchrow(
        """
        SELECT sweep_ids, ARRAY(SELECT listing_id FROM doubted_listings WHERE store_username = $1 AND hidden) AS hidden
        FROM stores WHERE username = $1 AND sweep_ids IS NOT NULL
        """,
        username,
    )
    return _without(row["sweep_ids"], row["hidden"]) if row else ()


async def save_sweep(
    connection: Connection, username: str, token: uuid.UUID, *, page: int, ids: Sequence[int], items: int
) -> None:
    """After each page, so that a restart goes on from there. Raises LeaseLost."""
    await held(
        connection,
        """
        UPDATE stores SET sweep_page = $3, sweep_ids = $4, sweep_items = $5, gone_at = NULL,
          listings_total = CASE WHEN listing_ids IS NULL THEN $5 ELSE listings_total END
        WHERE username = $1 AND lease_token = $2
        """,
        username,
        token,
        page,
        ids,
        items,
    )


async def discard_sweep(connection: Connection, username: str, token: uuid.UUID) -> None:
    """The next one begins anew; what this one has read is shown until then, if it is the first. Raises LeaseLost."""
    await held(connection, "UPDATE stores SET sweep_page = 0 WHERE username = $1 AND lease_token = $2", username, token)


async def held(connection: Connection, statement: str, *arguments: object) -> None:
    """Carry out a statement that changes the row of a store whose lease is held. Raises LeaseLost."""
    if await connection.execute(statement, *arguments) != "UPDATE 1":
        raise LeaseLost
