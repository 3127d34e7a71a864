from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from matcher.database import Database
from matcher.domain.quota import LIMITS, PACIFIC, Daily, Limit, Pace
from matcher.errors import DatabaseUnavailable, Unavailable
from matcher.quota_store import Quota, left_today
from proxy.adapters.database import connected
from tests.relay import relayed


@pytest.fixture
async def other_database(database_dsn: str) -> AsyncIterator[Database]:
    """What another process has."""
    async with connected(database_dsn, connections=5) as found:
        yield found


async def taken(quotas: list[Quota], path: str, times: int) -> list[float]:
    """When those calls started that were not refused; all are asked for at once."""
    starts: list[float] = []

    async def take(quota: Quota) -> None:
        try:
            await quota.take(path)
        except Unavailable:
            return
        starts.append(time.monotonic())

    await asyncio.gather(*(take(quotas[each % len(quotas)]) for each in range(times)))
    return sorted(starts)


async def test_two_processes_share_a_pace(database: Database, other_database: Database) -> None:
    limits = (Pace("calls", 5, 1.0),)
    both = [Quota(each, "a", limits) for each in (database, other_database)]
    starts = await taken(both, "/x", 12)
    assert len(starts) == 12
    assert starts[-1] - starts[0] >= 11 * 0.2 - 0.1, "twelve calls at one each fifth of a second"


async def test_two_processes_share_a_day(database: Database, other_database: Database) -> None:
    both = [Quota(each, "a", (Daily("searches", 7, PACIFIC),)) for each in (database, other_database)]
    assert len(await taken(both, "/x", 30)) == 7


async def test_a_used_up_day_names_midnight_where_the_provider_is(database: Database) -> None:
    quota = Quota(database, "a", (Daily("searches", 1, PACIFIC),))
    await quota.take("/x")
    with pytest.raises(Unavailable, match="a: the quota of searches is used up") as refused:
        await quota.take("/x")
    there = datetime.now(ZoneInfo(PACIFIC)) + timedelta(seconds=refused.value.retry_after_s)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs((there - midnight).total_seconds()) < 60 or (midnight + timedelta(days=1) - there).total_seconds() < 60


async def test_a_wait_beyond_patience_is_refused_and_costs_nothing(database: Database) -> None:
    quota = Quota(database, "a", (Pace("calls", 1, 30.0), Daily("searches", 5, PACIFIC)), patience_s=1.0)
    await quota.take("/x")
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            await quota.take("/x")
        assert 20 < refused.value.retry_after_s <= 30
    async with database.connection() as connection:
        assert (await left_today(connection, {"a": quota.limits}))["a", "searches"] == 4


async def test_providers_and_paths_count_apart(database: Database) -> None:
    limits: tuple[Limit, ...] = (Daily("searches", 1, PACIFIC, path="/search"), Daily("units", 3, PACIFIC))
    for provider in ("a", "b"):
        quota = Quota(database, provider, limits)
        assert len(await taken([quota], "/search", 3)) == 1
        assert len(await taken([quota], "/videos", 3)) == 2


async def test_nothing_is_counted_where_there_is_no_limit(database: Database) -> None:
    await Quota(database, "a", ()).take("/x")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM provider_quotas") == 0


async def test_what_is_left_is_told_before_the_first_call(database: Database) -> None:
    async with database.connection() as connection:
        assert await left_today(connection, {"youtube": LIMITS["youtube"], "deezer": LIMITS["deezer"]}) == {
            ("youtube", "searches"): 100,
            ("youtube", "units"): 10_000,
        }


async def test_without_the_database_no_call_is_made(database_dsn: str) -> None:
    async with relayed(database_dsn) as wire, connected(wire.dsn, connections=2) as database:
        await wire.cut()
        with pytest.raises(DatabaseUnavailable):
            await Quota(database, "a", (Pace("calls", 1, 1.0),)).take("/x")
