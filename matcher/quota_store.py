"""Quotas as all processes share them: one row per provider and limit, by the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matcher.database import Connection, Database
from matcher.domain.quota import Daily, Limit, Now, Refused, State, Taken, counting, left, take
from matcher.errors import Unavailable

PATIENCE_S = 10.0
"""A call waits so long for its turn: a little more than the jobs of a pool need that all ask at once, one a second."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Of one provider."""

    database: Database
    provider: str
    limits: Sequence[Limit]
    patience_s: float = PATIENCE_S

    async def take(self, path: str) -> None:
        """Returns when the call may start. Raises Unavailable, with when to ask again; DatabaseUnavailable."""
        limits = counting(self.limits, path)
        if not limits:
            return
        async with self.database.transaction() as connection:
            taken = await _take(connection, self.provider, limits, self.patience_s)
        if isinstance(taken, Refused):
            raise Unavailable(f"{self.provider}: the quota of {taken.limit} is used up", taken.wait_s)
        await asyncio.sleep(taken.wait_s)


async def _take(connection: Connection, provider: str, limits: Sequence[Limit], patience_s: float) -> Taken | Refused:
    """Whoever comes meanwhile waits for the rows' lock, so that no place is given twice."""
    names = [limit.name for limit in limits]
    await connection.execute(
        "INSERT INTO provider_quotas (provider, limit_name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
        provider,
        names,
    )
    rows = await connection.fetch(
        """
        SELECT limit_name, extract(epoch FROM at)::float8 AS at, used FROM provider_quotas
        WHERE provider = $1 AND limit_name = ANY($2::text[]) ORDER BY limit_name FOR UPDATE
        """,
        provider,
        names,
    )
    states = {row["limit_name"]: State(row["at"], row["used"]) for row in rows}
    taken = take(limits, states, await _now(connection, limits), patience_s)
    if isinstance(taken, Taken):
        await connection.executemany(
            "UPDATE provider_quotas SET at = to_timestamp($3), used = $4 WHERE provider = $1 AND limit_name = $2",
            [(provider, name, state.at, state.used) for name, state in taken.states.items()],
        )
    return taken


async def _now(connection: Connection, limits: Iterable[Limit]) -> Now:
    """Not the transaction's time, which is that before it waited for the lock."""
    zones = sorted({limit.zone for limit in limits if isinstance(limit, Daily)})
    rows = await connection.fetch(
        """
        SELECT extract(epoch FROM now_)::float8 AS now, zone,
               extract(epoch FROM (date_trunc('day', now_ AT TIME ZONE zone) + interval '1 day')
                                  AT TIME ZONE zone)::float8 AS day_ends
        FROM (SELECT clock_timestamp() AS now_) AS clock LEFT JOIN unnest($1::text[]) AS zone ON true
        """,
        zones,
    )
    return Now(rows[0]["now"], {row["zone"]: row["day_ends"] for row in rows if row["zone"]})


async def left_today(connection: Connection, limits: Mapping[str, Sequence[Limit]]) -> dict[tuple[str, str], int]:
    """Calls left by provider and limit, of those limits that are for a day."""
    daily = [(provider, limit) for provider, of in limits.items() for limit in of if isinstance(limit, Daily)]
    if not daily:
        return {}
    rows = await connection.fetch(
        "SELECT provider, limit_name, extract(epoch FROM at)::float8 AS at, used FROM provider_quotas"
    )
    states = {(row["provider"], row["limit_name"]): State(row["at"], row["used"]) for row in rows}
    now = await _now(connection, [limit for _, limit in daily])
    return {
        (provider, limit.name): left(limit, states.get((provider, limit.name), State()), now)
        for provider, limit in daily
    }
