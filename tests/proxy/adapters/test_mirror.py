from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from matcher.database import Connection, Database
from proxy.adapters import mirror, tracking
from proxy.adapters.mirror import LeaseLost, MirrorRow
from proxy.domain.lifetimes import CLOCK_SKEW_S, may_leave, window

STORE = "a_store"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(listing_id: int, body: bytes = b"{}", at: datetime = NOW) -> MirrorRow:
    return MirrorRow(listing_id, listing_id + 1000, body, at)


async def shown(connection: Connection) -> list[int]:
    found = await mirror.order(connection, STORE)
    assert found is not None
    return list(found[1])


async def test_a_store_is_made_known_at_first_sight(database: Database) -> None:
    async with database.connection() as connection:
        state = await mirror.touch(connection, STORE)
        assert (state.is_mirrored, state.items, state.checked_at, state.sweep_page) == (False, None, None, 0)
        assert await mirror.order(connection, STORE) is None
        assert [each.username for each in await mirror.states(connection)] == [STORE]


async def test_a_store_is_made_known_though_it_is_forgotten_in_that_moment(database: Database) -> None:
    async def make_known() -> None:
        async with database.connection() as connection:
            for _ in range(300):
                assert (await mirror.make_known(connection, STORE)).username == STORE

    async def forget() -> None:
        async with database.connection() as connection:
            for _ in range(300):
                await mirror.forget(connection, STORE)

    await asyncio.gather(make_known(), forget())


async def test_a_store_that_an_operator_wants_is_still_wanted_when_its_listings_are_dropped(database: Database) -> None:
    async with database.connection() as connection:
        for username in ("wanted", "other"):
            await mirror.touch(connection, username)
        await tracking.pin(connection, "wanted")
        for username in ("wanted", "other"):
            await mirror.purge(connection, username, soft=False)
        assert [each.username for each in await mirror.states(connection)] == ["wanted"]
        assert [each.is_pinned for each in await tracking.stores(connection, [])] == [True]
        assert await tracking.gone(connection, []) == {}


async def test_stores_that_nobody_asked_for_in_a_day_are_forgotten_one_by_one_unless_they_are_wanted(
    database: Database,
) -> None:
    names = ("asked", "named", "pinned", "tracked", "leased", "old", "older")
    async with database.connection() as connection:
        for name in names:
            await mirror.touch(connection, name)
        await connection.execute(
            """
            UPDATE stores SET pinned = username = 'pinned', tracked = username = 'tracked', listing_ids = '{1}',
              lease_until = CASE WHEN username = 'leased' THEN now() + interval '1 minute' END,
              created_at = now() - interval '2 days',
              requested_at = CASE WHEN username = 'asked' THEN now() ELSE 'epoch' END
            """
        )
        await mirror.note(connection, "shown")
        forgotten = [await mirror.forget_one_unasked(connection, ["named"]) for _ in range(3)]
        assert forgotten == [True, True, False]
        assert {each.username for each in await mirror.states(connection)} == {*names, "shown"} - {"old", "older"}


async def test_a_store_that_is_read_anew_repeats_no_version(database: Database) -> None:
    async with database.connection() as connection:
        seen = set()
        for _ in range(3):
            state = await mirror.touch(connection, STORE)
            for _ in range(3):
                seen.add(state.version)
                await mirror.touch_rows(connection, STORE)
                state = await mirror.touch(connection, STORE)
            await asyncio.sleep(0.01)  # what nine changes take at least, when they are written by checks
            await mirror.forget(connection, STORE)
        assert len(seen) == 9


async def test_names_that_upstream_never_spoke_of_are_forgotten_after_an_hour(database: Database) -> None:
    async with database.connection() as connection:
        for name in ("old", "young", "named", "pinned", "tracked", "asked", "read"):
            await mirror.touch(connection, name)
        await connection.execute(
            """
            UPDATE stores SET pinned = username = 'pinned', tracked = username = 'tracked',
              asked_at = CASE WHEN username = 'asked' THEN ARRAY[now()] ELSE asked_at END,
              listing_ids = CASE WHEN username = 'read' THEN '{}'::bigint[] END,
              requested_at = requested_at - interval '2 hours' * (username <> 'young')::integer
            """
        )
        await mirror.note(connection, "shown")
        await mirror.forget_never_seen(connection, ["named"])
        left = {each.username for each in await mirror.states(connection)}
        assert left == {"young", "named", "pinned", "tracked", "asked", "read", "shown"}
        for name in left:
            await mirror.forget_if_never_seen(connection, name, ["named"])
        assert {each.username for each in await mirror.states(connection)} == left - {"young", "shown"}


async def test_only_one_process_holds_a_store_and_who_lost_it_changes_nothing(database: Database) -> None:
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        assert await mirror.lease(connection, STORE, 60) is None
        await mirror.change(connection, STORE, token, [2, 1])
        await mirror.give_back(connection, STORE, token)
        other = await mirror.lease(connection, STORE, -1)
        assert other is not None
        assert await mirror.lease(connection, STORE, 60) not in (None, other)
        for late in (
            mirror.change(connection, STORE, other, [9]),
            mirror.prolong(connection, STORE, other, 60),
            mirror.confirm(connection, STORE, other, items=1, at=NOW, audited=None),
            mirror.save_sweep(connection, STORE, other, page=1, ids=[9], items=9),
        ):
            with pytest.raises(LeaseLost):
                await late
        assert await shown(connection) == [2, 1]


async def test_what_vanished_leaves_a_tombstone_until_it_comes_back(database: Database) -> None:
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.write_rows(connection, STORE, [row(1), row(2)])
        await mirror.change(connection, STORE, token, [2, 1])
        await mirror.change(connection, STORE, token, [2])
        gone = "SELECT listing_id FROM mirror_listings WHERE gone_at IS NOT NULL"
        assert [each["listing_id"] for each in await connection.fetch(gone)] == [1]
        await mirror.write_rows(connection, STORE, [row(1)])
        assert await connection.fetch(gone) == []
        await mirror.change(connection, STORE, token, [])
        await connection.execute("UPDATE mirror_listings SET gone_at = now() - interval '31 days'")
        await mirror.change(connection, STORE, token, [])
        assert await mirror.rows(connection, STORE, [1, 2]) == {}


async def test_an_older_look_does_not_replace_a_newer_one(database: Database) -> None:
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        await mirror.write_rows(connection, STORE, [row(1, b'{"price": 2}')])
        await mirror.write_rows(connection, STORE, [row(1, b'{"price": 1}', NOW - timedelta(minutes=1))])
        assert (await mirror.rows(connection, STORE, [1]))[1].body == b'{"price": 2}'


async def test_a_row_from_the_future_gives_way_once_the_clock_is_right(database: Database) -> None:
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        await mirror.write_rows(connection, STORE, [row(1, b'{"price": 2}', NOW + timedelta(hours=1))])
        await mirror.write_rows(connection, STORE, [row(1, b'{"price": 1}')])
        assert (await mirror.rows(connection, STORE, [1]))[1].body == b'{"price": 1}'


async def test_rows_that_are_shown_are_those_that_may_leave_by_the_one_rule(database: Database) -> None:
    """At the edges of it, to the microsecond as PostgreSQL counts."""
    edges = [NOW - timedelta(hours=1), NOW, NOW + timedelta(seconds=CLOCK_SKEW_S)]
    moment = timedelta(microseconds=1)
    ages = [at + step for at in edges for step in (-moment, timedelta(0), moment)]
    rows = [row(number, at=at)._replace(posted=NOW) for number, at in enumerate(ages)]
    leaving = {each.listing_id for each in rows if may_leave((NOW - each.fetched_at).total_seconds(), 3600)}
    assert 0 < len(leaving) < len(rows)
    shown, everything = window(NOW, 3600), [*range(len(rows)), 99]
    assert {each.listing_id for each in rows if shown.holds(each.fetched_at)} == leaving
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        await mirror.write_rows(connection, STORE, rows)
        assert await mirror.too_old(connection, STORE, everything, shown) == set(everything) - leaving
        feed = await mirror.newest(connection, [STORE], 99, None, shown)
        assert {each.told.row.listing_id for each in feed} == leaving


async def test_a_sweep_goes_on_where_it_was(database: Database) -> None:
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.save_sweep(connection, STORE, token, page=2, ids=[3, 2], items=300)
        assert await mirror.swept(connection, STORE) == (2, [3, 2])
        state = await mirror.touch(connection, STORE)
        assert (state.sweep_page, state.items, state.is_mirrored) == (2, 300, False)
        await mirror.discard_sweep(connection, STORE, token)
        assert await mirror.swept(connection, STORE) == (0, ()), "the next one begins anew"
        assert await mirror.shown_of_sweep(connection, STORE) == [3, 2]
        await mirror.change(connection, STORE, token, [3, 2, 1])
        assert await mirror.swept(connection, STORE) == (0, ())


async def test_each_change_of_what_is_shown_has_a_version_and_is_told(database: Database, database_dsn: str) -> None:
    told: list[str] = []
    listener = await asyncpg.connect(database_dsn)
    await listener.add_listener("discogs_proxy_changes", lambda *message: told.append(str(message[3])))
    async with database.connection() as connection:
        begun = (await mirror.touch(connection, STORE)).version
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.change(connection, STORE, token, [1])
        assert await mirror.write_seller(connection, STORE, b'{"id": 1}')
        assert not await mirror.write_seller(connection, STORE, b'{"id": 1}')
        await mirror.confirm(connection, STORE, token, items=1, at=NOW, audited=3)
        state = await mirror.touch(connection, STORE)
        assert (state.version, state.audit_page, state.checked_at, state.reconciled_at) == (begun + 2, 4, NOW, NOW)
        assert await mirror.seller(connection, STORE) == b'{"id": 1}'
        assert await mirror.purge(connection, STORE, soft=True) == 1
        assert (await mirror.touch(connection, STORE)).purged
        assert await mirror.purge(connection, STORE, soft=False) == 1
        assert await mirror.states(connection) == []
    await listener.fetchval("SELECT 1")
    await listener.close()
    assert told == [f"store {STORE}"] * 3


async def test_bodies_are_shown_once_the_first_sweep_has_ended_and_until_they_are_gone(database: Database) -> None:
    async with database.connection() as connection:
        await mirror.touch(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.write_rows(connection, STORE, [row(1, b"one"), row(2, b"two")])
        assert await mirror.shown_bodies(connection, STORE, [1, 2, 3]) == {}
        await mirror.change(connection, STORE, token, [2, 1])
        assert await mirror.shown_bodies(connection, STORE, [1, 2, 3]) == {1: b"one", 2: b"two"}
        await mirror.change(connection, STORE, token, [1])
        assert await mirror.shown_bodies(connection, STORE, [1, 2, 3]) == {1: b"one"}


async def test_a_check_that_finds_a_change_leaves_a_wanted_or_unfinished_sweep_alone(database: Database) -> None:
    async with database.transaction() as connection:
        await mirror.make_known(connection, STORE)
        token = await mirror.lease(connection, STORE, 60)
        assert token is not None
        await mirror.change(connection, STORE, token, [2, 1])
        await mirror.save_sweep(connection, STORE, token, page=1, ids=[2], items=2)
        await mirror.purge(connection, STORE, soft=True)
        await mirror.change(connection, STORE, token, [2], swept=False)
        state = await mirror.state(connection, STORE)
        assert state is not None
        assert (state.purged, state.sweep_page) == (True, 1)
        await mirror.change(connection, STORE, token, [2])
        state = await mirror.state(connection, STORE)
        assert state is not None
        assert (state.purged, state.sweep_page) == (False, 0)
