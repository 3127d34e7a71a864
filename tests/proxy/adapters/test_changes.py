from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from proxy.adapters.changes import PATH_MAX, Changes, Dropped
from proxy.adapters.database import connected
from tests.relay import relayed


@dataclass
class Told:
    releases: list[int] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    gaps: int = 0

    def gap(self) -> None:
        self.gaps += 1


@asynccontextmanager
async def listening(database: Database) -> AsyncIterator[tuple[Changes, Told]]:
    told = Told()
    changes = Changes(database, told.releases.append, told.dropped.append, told.gap)
    task = asyncio.create_task(changes.run())
    await until(lambda: changes.are_heard)
    try:
        yield changes, told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE releases SET body_purged = true WHERE discogs_id = 7",
        "INSERT INTO track_matches (release_id, track_index) VALUES (7, 0)",
        "UPDATE match_queue SET status = 'processing' WHERE release_id = 7",
        "DELETE FROM match_queue WHERE release_id = 7",
        "DELETE FROM releases WHERE discogs_id = 7",
    ],
)
async def test_whoever_changes_what_is_shown_of_a_release_it_is_told(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO releases (id, discogs_id) VALUES (7, 7);"
            "INSERT INTO match_queue (release_id, priority) VALUES (7, 0)"
        )
    async with listening(database) as (_, told):
        async with database.connection() as connection:
            await connection.execute(statement)
        await until(lambda: set(told.releases) == {7})


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO releases (id, discogs_id) SELECT id, id FROM generate_series(1, 101) AS id",
        "TRUNCATE track_matches",
    ],
)
async def test_a_change_of_many_is_one_message(database: Database, statement: str) -> None:
    async with listening(database) as (_, told):
        gaps = told.gaps
        async with database.connection() as connection:
            await connection.execute(statement)
        await until(lambda: told.gaps > gaps)
        assert told.releases == []


async def test_queueing_changes_nothing_that_is_shown(database: Database) -> None:
    async with listening(database) as (_, told):
        async with database.connection() as connection:
            await connection.execute("INSERT INTO match_queue (release_id, priority) VALUES (7, 10)")
            await connection.execute("UPDATE match_queue SET priority = 0")
            await connection.execute("SELECT pg_notify('discogs_proxy_changes', 'release 8')")
        await until(lambda: bool(told.releases))
        assert told.releases == [8]


@pytest.mark.parametrize("path", ["/users/caf\u00e9", "/odd/\x00", "/users/a%20b"])
async def test_a_purged_path_reaches_the_other_processes(database: Database, path: str) -> None:
    async with listening(database) as (one, own), listening(database) as (_, told):
        sent = [Dropped(path.replace("%20", " "), below, soft) for below in (True, False) for soft in (True, False)]
        for each in sent:
            await one.tell_dropped(replace(each, path=path))
        await until(lambda: told.dropped == sent)
        assert own.dropped == []


async def test_a_path_too_long_to_be_told_means_all_paths(database: Database) -> None:
    async with listening(database) as (one, _), listening(database) as (_, told):
        await one.tell_dropped(Dropped("/" + "x" * PATH_MAX, below=False, soft=True))
        await until(lambda: told.dropped == [Dropped("/", below=True, soft=True)])


async def test_while_the_database_is_away_nothing_is_trusted_and_afterwards_all_may_have_changed(
    database_dsn: str,
) -> None:
    async with relayed(database_dsn) as wire, connected(wire.dsn) as database, listening(database) as (changes, told):
        gaps = told.gaps
        await wire.cut()
        await until(lambda: not changes.are_heard)
        with pytest.raises(DatabaseUnavailable):
            await changes.tell_dropped(Dropped("/x", below=True, soft=True))
        await wire.restore()
        await until(lambda: changes.are_heard)
        assert told.gaps > gaps


async def test_a_message_that_does_not_come_back_means_that_nothing_is_trusted(database: Database) -> None:
    """As behind a pooler that hands the listening connection to somebody else."""
    now = [0.0]
    async with listening(database) as (changes, told):
        changes.clock = lambda: now[0]
        async with database.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%' AND datname = current_database()"
            )
        gaps = told.gaps
        await until(lambda: told.gaps > gaps)
        await until(lambda: changes.are_heard)
        now[0] = 60.0
        assert not changes.are_heard
