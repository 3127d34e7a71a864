"""All SQL of which stores are watched, of what is counted by the hour (calls made, calls spared), and of demand."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from matcher.database import Connection
from proxy.domain.counting import Calls
from proxy.domain.schedule import REQUESTS_TO_TRACK, Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOURS_KEPT = 7 * 24
"""Operators may look back so far."""
DEMAND_KEPT = timedelta(days=30)
"""What nobody has asked for in so long is in demand no more."""
GONE_TRIED_AFTER = timedelta(hours=1)
"""A store that is wanted though upstream says that there is none is asked for again so often."""


@dataclass(slots=True)
class Counted:
    """What happened to a store since it was last written; counted in place, as each request does so.

    `asked_at` are the latest requests. `replaced_calls` and `check_calls` are what the schedule goes by, the rest what
    operators see: `loads` of its inventory by the bucket of how long each took; `decided` match jobs and the `matched`
    of them, of no store.
    """

    requests: int = 0
    hits: int = 0
    client_calls: int = 0
    upstream_calls: int = 0
    replaced_calls: int = 0
    check_calls: int = 0
    decided: int = 0
    matched: int = 0
    loads: Counter[int] = field(default_factory=Counter)
    asked_at: deque[datetime] = field(default_factory=lambda: deque(maxlen=REQUESTS_TO_TRACK))

    def add(self, later: Counted) -> None:
        self.requests += later.requests
        self.hits += later.hits
        self.client_calls += later.client_calls
        self.upstream_calls += later.upstream_calls
        self.replaced_calls += later.replaced_calls
        self.check_calls += later.check_calls
        self.decided += later.decided
        self.matched += later.matched
        self.loads += later.loads
        self.asked_at.extend(later.asked_at)


async def count(connection: Connection, found: Mapping[str, Counted], together: Counted) -> None:
    """Of stores that are known, and of all answers and calls `together`.

    In the order of their names, as two writers must not deadlock.
    """
    await connection.executemany(
        """
        WITH known AS (
          UPDATE stores SET
            asked_at = ARRAY(SELECT at FROM unnest(asked_at || $2::timestamptz[]) AS at ORDER BY at DESC LIMIT 3),
            requested_at = greatest(requested_at, (SELECT max(at) FROM unnest($2::timestamptz[]) AS at))
          WHERE username = $1
          RETURNING username
        )
        INSERT INTO store_hours AS h
          (store_username, hour, requests, hits, client_calls, upstream_calls, replaced_calls, check_calls)
        SELECT username, date_trunc('hour', now()), $3, $4, $5, $6, $7, $8 FROM known
        ON CONFLICT (store_username, hour) DO UPDATE SET
          requests = h.requests + excluded.requests,
          hits = h.hits + excluded.hits,
          client_calls = h.client_calls + excluded.client_calls,
          upstream_calls = h.upstream_calls + excluded.upstream_calls,
          replaced_calls = h.replaced_calls + excluded.replaced_calls,
          check_calls = h.check_calls + excluded.check_calls
        """,
        [
            (name, list(each.asked_at), *_shown(each), each.replaced_calls, each.check_calls)
            for name, each in sorted(found.items())
        ],
    )
    await connection.executemany(
        """
        INSERT INTO store_load_hours AS h (store_username, hour, bucket, loads)
        SELECT username, date_trunc('hour', now()), $2, $3 FROM stores WHERE username = $1
        ON CONFLICT (store_username, hour, bucket) DO UPDATE SET loads = h.loads + excluded.loads
        """,
        [(name, *load) for name, each in sorted(found.items()) for load in sorted(each.loads.items())],
    )
    await connection.execute(
        """
        INSERT INTO call_hours AS h (hour, requests, hits, client_calls, upstream_calls, decided, matched)
        VALUES (date_trunc('hour', now()), $1, $2, $3, $4, $5, $6)
        ON CONFLICT (hour) DO UPDATE SET
          requests = h.requests + excluded.requests,
          hits = h.hits + excluded.hits,
          client_calls = h.client_calls + excluded.client_calls,
          upstream_calls = h.upstream_calls + excluded.upstream_calls,
          decided = h.decided + excluded.decided,
          matched = h.matched + excluded.matched
        """,
        *_shown(together),
        together.decided,
        together.matched,
    )


async def count_releases(connection: Connection, asked: Mapping[int, int]) -> None:
    """How often each was asked for since the last time; of releases that nobody queued nothing is kept.

    In the order of their ids, as two writers must not deadlock.
    """
    await connection.execute(
        """
        INSERT INTO release_demand AS d (release_id, asked, asked_at)
        SELECT release_id, asked, now() FROM unnest($1::bigint[], $2::bigint[]) AS counted (release_id, asked)
        WHERE EXISTS (SELECT FROM match_queue q WHERE q.release_id = counted.release_id)
        ORDER BY release_id
        ON CONFLICT (release_id) DO UPDATE SET asked = d.asked + excluded.asked, asked_at = excluded.asked_at
        """,
        list(asked),
        list(asked.values()),
    )


FORWARDED_TOLD = timedelta(days=1)
FORWARDED_MAX = 100
"""So many are told: whoever asks for them all needs one change only."""


class Forwarded(NamedTuple):
    """A store that was asked for past the proxy, and what an operator can change."""

    username: str
    change: str
    asked_at: datetime


async def forwarded(connection: Connection, changes: Mapping[str, str]) -> None:
    """That stores were asked for past the proxy, with what an operator can change; in the order of their names.

    Whoever asks for names that there are not fills no disk.
    """
    await connection.executemany(
        """
        INSERT INTO forwarded_stores (username, change, asked_at)
        SELECT $1, $2, now()
        WHERE (SELECT count(*) FROM forwarded_stores) < $3 OR EXISTS (SELECT FROM stores WHERE username = $1)
        ON CONFLICT (username) DO UPDATE SET change = excluded.change, asked_at = excluded.asked_at
        """,
        [(username, change, FORWARDED_MAX) for username, change in sorted(changes.items())],
    )


async def told_forwarded(connection: Connection) -> list[Forwarded]:
    """The last one first."""
    rows = await connection.fetch(
        """
        SELECT username, change, asked_at FROM forwarded_stores
        WHERE asked_at > now() - $1::interval ORDER BY asked_at DESC, username LIMIT $2
        """,
        FORWARDED_TOLD,
        FORWARDED_MAX,
    )
    return [Forwarded(*row) for row in rows]


async def forget_forwarded(connection: Connection) -> None:
    await connection.execute("DELETE FROM forwarded_stores WHERE asked_at < now() - $1::interval", FORWARDED_TOLD)


async def forget_demand(connection: Connection) -> None:
    await connection.execute("DELETE FROM release_demand WHERE asked_at < now() - $1::interval", DEMAND_KEPT)


def _shown(counted: Counted) -> tuple[int, int, int, int]:
    return counted.requests, counted.hits, counted.client_calls, counted.upstream_calls


async def calls_of_a_day(connection: Connection) -> tuple[dict[str, Calls], Calls]:
    """Of the last 23 to 24 hours: by store, and of everything together."""
    sums = "sum(requests)::bigint, sum(hits)::bigint, sum(client_calls)::bigint, sum(upstream_calls)::bigint"
    of_stores = await connection.fetch(
        f"SELECT store_username, {sums} FROM store_hours WHERE hour > now() - interval '24 hours' GROUP BY 1"  # noqa: S608 - no value is put in
    )
    together = await connection.fetchrow(f"SELECT {sums} FROM call_hours WHERE hour > now() - interval '24 hours'")  # noqa: S608 - no value is put in
    return {name: Calls(*sums) for name, *sums in of_stores}, Calls(*(each or 0 for each in together or ()))


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the beginning of an hour: of each store that was asked for, and of everything."""

    since: datetime
    stores: Mapping[str, tuple[Calls, Mapping[int, int]]]
    """With its loads by bucket."""
    together: Calls
    decided: int
    matched: int


async def totals(connection: Connection, hours: int) -> Totals:
    """Of this hour and the `hours` before it."""
    since = await connection.fetchval("SELECT date_trunc('hour', now() - make_interval(hours => $1))", hours)
    sums = "sum(requests)::bigint, sum(hits)::bigint, sum(client_calls)::bigint, sum(upstream_calls)::bigint"
    of_stores = await connection.fetch(
        f"SELECT store_username, {sums} FROM store_hours WHERE hour >= $1 GROUP BY 1 ORDER BY 1",  # noqa: S608 - no value is put in
        since,
    )
    loads: dict[str, dict[int, int]] = {}
    for name, bucket, count in await connection.fetch(
        "SELECT store_username, bucket, sum(loads)::bigint FROM store_load_hours WHERE hour >= $1 GROUP BY 1, 2", since
    ):
        loads.setdefault(name, {})[bucket] = count
    together = await connection.fetchrow(
        f"SELECT {sums}, sum(decided)::bigint, sum(matched)::bigint FROM call_hours WHERE hour >= $1",  # noqa: S608 - no value is put in
        since,
    )
    *calls, decided, matched = (each or 0 for each in together or (0,) * 6)
    return Totals(
        since,
        {name: (Calls(*of_store), loads.get(name, {})) for name, *of_store in of_stores},
        Calls(*calls),
        decided,
        matched,
    )


async def stores(connection: Connection, named: Collection[str], *, everything: bool = False) -> list[Store]:
    """Those that are or may be tracked: `named` in the settings, pinned, or asked for three times; or all known.

    One that is gone is among them again after an hour.
    """
    rows = await connection.fetch(
        """
        SELECT s.username, s.requested_at, s.listing_ids IS NOT NULL AS is_mirrored, s.purged AS is_purged,
               CASE WHEN s.sweep_ids IS NULL THEN 0 ELSE s.sweep_page END AS sweep_page,
               CASE WHEN s.sweep_ids IS NULL THEN s.listings_total ELSE s.sweep_items END AS items,
               s.checked_at, s.reconciled_at, s.asked_at, s.pinned OR s.username = ANY($1::text[]) AS is_pinned,
               s.tracked AS is_tracked, s.paused_at IS NOT NULL AS is_paused,
               coalesce(s.lease_until > now(), false) AS is_leased,
               (SELECT min(fetched_at) FROM mirror_listings
                WHERE store_username = s.username AND gone_at IS NULL) AS oldest_at,
               coalesce(h.replaced_calls, 0)::bigint AS replaced_calls,
               coalesce(h.check_calls, 0)::bigint AS check_calls
        FROM stores s
        LEFT JOIN LATERAL (
          SELECT sum(replaced_calls) FILTER (WHERE hour > now() - interval '24 hours') AS replaced_calls,
                 sum(check_calls) AS check_calls
          FROM store_hours WHERE store_username = s.username AND hour > now() - interval '25 hours'
        ) h ON true
        WHERE $2 OR (
          (s.pinned OR s.tracked OR s.username = ANY($1::text[]) OR cardinality(s.asked_at) = 3)
          AND (s.gone_at IS NULL OR s.gone_at < now() - $3::interval)
        )
        ORDER BY s.username
        """,
        list(named),
        everything,
        GONE_TRIED_AFTER,
    )
    return [Store(**{**dict(row), "asked_at": tuple(row["asked_at"])}) for row in rows]


async def gone(connection: Connection, named: Collection[str]) -> dict[str, datetime]:
    """The wanted stores of which upstream says that there is no such user, and when it last said so."""
    rows = await connection.fetch(
        """
        SELECT username, gone_at FROM stores
        WHERE gone_at IS NOT NULL AND (pinned OR username = ANY($1::text[])) ORDER BY username
        """,
        list(named),
    )
    return {row["username"]: row["gone_at"] for row in rows}


async def track(connection: Connection, usernames: Collection[str]) -> None:
    """These and no others."""
    await connection.execute(
        """
        UPDATE stores SET tracked = username = ANY($1::text[])
        WHERE tracked <> (username = ANY($1::text[]))
        """,
        list(usernames),
    )


async def pin(connection: Connection, username: str) -> None:
    await connection.execute("UPDATE stores SET pinned = true WHERE username = $1", username)


async def pause(connection: Connection, username: str, *, paused: bool) -> None:
    """Doing it twice is doing it once."""
    await connection.execute(
        """
        UPDATE stores SET paused_at = CASE WHEN $2 THEN coalesce(paused_at, now()) END
        WHERE username = $1 AND (paused_at IS NOT NULL) <> $2
        """,
        username,
        paused,
    )


async def known_listings(connection: Connection) -> dict[str, int]:
    """How many listings of each store can be shown, or have been read by its first sweep."""
    rows = await connection.fetch(
        """
        SELECT username, CASE WHEN listing_ids IS NULL THEN cardinality(sweep_ids)
                              ELSE (SELECT count(*) FROM unnest(listing_ids || middle_ids) AS id WHERE id > 0)
                         END AS known
        FROM stores
        """
    )
    return {row["username"]: row["known"] or 0 for row in rows}


async def forget_hours(connection: Connection) -> None:
    """What nobody can ask for any more."""
    for table in ("store_hours", "store_load_hours", "call_hours"):
        await connection.execute(
            f"DELETE FROM {table} WHERE hour < now() - make_interval(hours => $1)",  # noqa: S608 - of the three above
            HOURS_KEPT + 1,
        )
