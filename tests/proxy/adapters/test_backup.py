"""Backups of real databases: from any to any, live, whole or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from matcher.database import Database
from proxy.adapters import backup
from proxy.adapters.archive import ArchiveError, ArchiveWriter, Footer, Header, Progress, TableHead, verify
from proxy.adapters.backup import BackupFailed, back_up, copy_before, load, our_tables, plain_connection
from proxy.adapters.database import SCHEMA_FILE, DatabaseUnusable, apply_schema, our_schema
from tests.fresh_databases import FreshDatabases, connected_to
from tests.proxy.adapters.databases import contents, files, fill, needs_15, postgres_15, with_schema

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def other_dsn(databases: FreshDatabases) -> AsyncIterator[str]:
    """A second database with our schema."""
    async with databases.new() as dsn:
        yield dsn


async def restore(
    dsn: str, path: Path, *, replace: bool = False, progress: Progress = lambda _: None
) -> backup.Restored:
    with path.open("rb") as file:
        async with plain_connection(dsn) as connection:
            return await load(connection, file, replace=replace, progress=progress)


async def contents_of(dsn: str) -> dict[str, list[str]]:
    async with connected_to(dsn) as connection:
        return await contents(connection)


async def filled(dsn: str, *numbers: int) -> dict[str, list[str]]:
    async with connected_to(dsn) as connection:
        await fill(connection, *numbers)
        return await contents(connection)


async def run(dsn: str, *statements: str) -> None:
    async with connected_to(dsn) as connection:
        for statement in statements:
            await connection.execute(statement)


async def ask(dsn: str, question: str) -> object:
    async with connected_to(dsn) as connection:
        return await connection.fetchval(question)


async def test_every_row_of_every_table_comes_back(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    was = await filled(database_dsn, 0, 1, 2)
    assert all(len(rows) == 3 for rows in was.values()), {name: len(rows) for name, rows in was.items()}
    written = await back_up(database_dsn, tmp_path / "b")
    restored = await restore(other_dsn, tmp_path / "b")
    assert await contents_of(other_dsn) == was
    assert restored == backup.Restored(written.rows, ())
    assert await contents_of(database_dsn) == was
    await back_up(other_dsn, tmp_path / "again")
    with (tmp_path / "b").open("rb") as first, (tmp_path / "again").open("rb") as second:
        assert verify(first)[1].rows == verify(second)[1].rows


@needs_15
async def test_it_goes_from_15_to_the_newest_and_back(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    was = await filled(database_dsn, 0, 1, 2)
    await back_up(database_dsn, tmp_path / "newest")
    async with postgres_15(tmp_path / "pg") as dsn_15:
        await with_schema(dsn_15)
        await restore(dsn_15, tmp_path / "newest")
        assert await contents_of(dsn_15) == was
        await back_up(dsn_15, tmp_path / "15")
    with (tmp_path / "15").open("rb") as file:
        assert verify(file)[0].server.startswith("15")
    await restore(other_dsn, tmp_path / "15")
    assert await contents_of(other_dsn) == was


async def test_the_budget_of_this_minute_stays_where_it_is(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    call = "INSERT INTO budget_calls VALUES (gen_random_uuid(), 'g', gen_random_uuid(), 'shopper', now(), NULL)"
    quota = "INSERT INTO provider_quotas VALUES ('deezer', 'day', now(), {}), ('{}', 'day', now(), 5)"
    await filled(database_dsn, 0)
    await run(database_dsn, call, quota.format(1, "there"))
    await run(other_dsn, call, call, quota.format(9, "here"))
    await back_up(database_dsn, tmp_path / "b")
    await restore(other_dsn, tmp_path / "b")
    assert await ask(other_dsn, "SELECT count(*) FROM budget_calls") == 2
    used = "SELECT string_agg(provider || used, ' ' ORDER BY provider) FROM provider_quotas WHERE limit_name = 'day'"
    assert await ask(other_dsn, used) == "deezer9 here5 there5"


# --- the target -----------------------------------------------------------------------------------------------------


async def test_what_is_there_is_replaced_only_when_asked(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    was = await filled(database_dsn, 0)
    before = await filled(other_dsn, 1, 2)
    await back_up(database_dsn, tmp_path / "b")
    with pytest.raises(BackupFailed, match="--replace"):
        await restore(other_dsn, tmp_path / "b")
    assert await contents_of(other_dsn) == before
    await restore(other_dsn, tmp_path / "b", replace=True)
    now = await contents_of(other_dsn)
    assert {name: rows for name, rows in now.items() if name not in backup.OWN_WINS} == {
        name: rows for name, rows in was.items() if name not in backup.OWN_WINS
    }
    assert [len(now[name]) for name in backup.OWN_WINS] == [3, 3]


async def test_no_number_and_no_version_is_given_twice(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    await filled(database_dsn, 0)
    match = "INSERT INTO track_matches (release_id) VALUES (1) RETURNING id"
    decision = """
      INSERT INTO match_decisions (release_id, match_id, action, decided_by, before) VALUES (1, 1, 'set', 'a', '[]')
      RETURNING id
    """
    await run(database_dsn, "SELECT setval('track_matches_id_seq', 500)", "SELECT setval('match_decisions_id_seq', 3)")
    await run(database_dsn, "UPDATE stores SET version = 5")
    await back_up(database_dsn, tmp_path / "b")
    await run(other_dsn, "SELECT setval('match_decisions_id_seq', 900)")
    await restore(other_dsn, tmp_path / "b")
    assert await ask(other_dsn, match) == 501  # as at the source, though the rows are gone there
    assert await ask(other_dsn, decision) == 901  # and what was given here is not given again
    assert int(str(await ask(other_dsn, "SELECT version FROM stores"))) > 1_700_000_000_000


async def without_release(dsn: str, release_id: int) -> None:
    """A match, as the old system may have left one."""
    drop = "ALTER TABLE track_matches DROP CONSTRAINT track_matches_release_fk"
    add = f"{drop.replace('DROP', 'ADD')} FOREIGN KEY (release_id) REFERENCES releases (discogs_id) NOT VALID"
    await run(dsn, drop, f"INSERT INTO track_matches (release_id) VALUES ({release_id})", add)  # noqa: S608


async def test_matches_of_the_old_system_without_a_release_come_back(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    """Their key is not checked at the source, nor is it then in the target; elsewhere it still is."""
    for dsn in (database_dsn, other_dsn):
        await run(dsn, """ALTER TABLE track_matches ADD COLUMN "order" text, ADD COLUMN "trackTitle" text""")
    await without_release(database_dsn, 77)
    await run(other_dsn, "ALTER TABLE track_matches VALIDATE CONSTRAINT track_matches_release_fk")
    await back_up(database_dsn, tmp_path / "b")
    await restore(other_dsn, tmp_path / "b")
    assert await ask(other_dsn, "SELECT count(*) FROM track_matches WHERE release_id = 77") == 1
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await run(other_dsn, "INSERT INTO track_matches (release_id) VALUES (78)")
    kept = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'track_matches_release_fk'"
    assert await ask(other_dsn, kept) == "FOREIGN KEY (release_id) REFERENCES releases(discogs_id) NOT VALID"


async def test_what_this_schema_has_no_place_for_is_left_out_and_named(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    await run(database_dsn, "ALTER TABLE releases ADD COLUMN mood text, DROP COLUMN year")
    await filled(database_dsn, 0, 1)
    await back_up(database_dsn, tmp_path / "b")
    restored = await restore(other_dsn, tmp_path / "b")
    assert restored.left_out == ("releases.mood",)
    assert await ask(other_dsn, "SELECT count(*) FROM releases WHERE label LIKE 'row%' AND year IS NULL") == 2


async def test_who_listens_is_told_once_for_all(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    await filled(database_dsn, *range(3))
    await back_up(database_dsn, tmp_path / "b")
    told: asyncio.Queue[object] = asyncio.Queue()
    async with connected_to(other_dsn) as listener:
        await listener.add_listener("discogs_proxy_changes", lambda *about: told.put_nowait(about[3]))
        await restore(other_dsn, tmp_path / "b")
        assert await asyncio.wait_for(told.get(), 10) == "all"
        await listener.execute("SELECT 1")
        assert told.empty()
    await run(other_dsn, "UPDATE releases SET title = 'x'")
    state = "SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O' AND NOT tgisinternal"
    assert await ask(other_dsn, state) == 0


async def until_it_waits(connection: asyncpg.Connection, sessions: int = 1) -> None:
    """Other sessions of this database wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while await connection.fetchval(waiting) < sessions:
            await asyncio.sleep(0.01)


async def backup_of_an_older_schema(dsn: str, path: Path) -> None:
    """Whoever restores it ends with schema.sql, which waits for readers: all its rows are then written."""
    await run(dsn, "UPDATE schema_state SET digest = 'of an older one', number = 0")
    await back_up(dsn, path)


async def test_readers_go_on_and_writers_wait_and_all_see_it_at_once(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    await filled(database_dsn, 0)
    await filled(other_dsn, 1)
    await backup_of_an_older_schema(database_dsn, tmp_path / "b")
    async with connected_to(other_dsn) as reader, connected_to(other_dsn) as writer:
        async with reader.transaction():
            assert await reader.fetchval("SELECT array_agg(discogs_id) FROM releases") == [2]
            restoring = asyncio.create_task(restore(other_dsn, tmp_path / "b", replace=True))
            await until_it_waits(writer)
            assert await reader.fetchval("SELECT array_agg(discogs_id) FROM releases") == [2]
            assert await writer.fetchval("SELECT array_agg(release_id) FROM match_queue") == [2]
            await writer.execute("SET lock_timeout = '50ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await writer.execute("UPDATE match_queue SET attempts = 1")
        await restoring
        assert await reader.fetchval("SELECT array_agg(discogs_id) FROM releases") == [1]


@pytest.mark.parametrize("older", [False, True])
async def test_readers_wait_only_once_all_rows_have_been_read(
    database_dsn: str, other_dsn: str, tmp_path: Path, older: bool
) -> None:
    """Also where matches of the old system come in whose releases do not, for which a key goes for a moment."""
    await without_release(database_dsn, 77)
    long = "SELECT 1, 1, string_agg(md5(n::text), '') FROM generate_series(1, 20000) AS n"
    await run(database_dsn, f"INSERT INTO releases (id, discogs_id, label) {long}")  # more than is read at once
    if older:
        await backup_of_an_older_schema(database_dsn, tmp_path / "b")
    else:
        await back_up(database_dsn, tmp_path / "b")
    read = 0

    def progress(more: int) -> None:
        nonlocal read
        read += more

    async with connected_to(other_dsn) as reader, connected_to(other_dsn) as watcher:
        async with reader.transaction():
            await reader.execute("SELECT FROM track_matches")
            restoring = asyncio.create_task(restore(other_dsn, tmp_path / "b", progress=progress))
            await until_it_waits(watcher)
            assert read == (tmp_path / "b").stat().st_size
        await restoring


async def test_who_has_read_and_waits_to_write_does_not_end_a_restore(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    """It waits for that session's reading at the end: a deadlock until the session gives up, as each of ours does."""
    await filled(database_dsn, 0)
    await backup_of_an_older_schema(database_dsn, tmp_path / "b")
    async with connected_to(other_dsn) as reader, connected_to(other_dsn) as writer, connected_to(other_dsn) as last:
        await writer.execute("SET lock_timeout = '3s'")
        await writer.execute("SET deadlock_timeout = '1h'")  # it is the restore that notices
        reading, reading_first = reader.transaction(), writer.transaction()
        await reading.start()
        await reader.execute("SELECT FROM releases")
        restoring = asyncio.create_task(restore(other_dsn, tmp_path / "b"))
        await until_it_waits(last)
        await reading_first.start()
        await writer.execute("SELECT FROM stores")
        writing = asyncio.create_task(writer.execute("UPDATE match_queue SET attempts = 1"))
        await until_it_waits(last, 2)
        await reading.rollback()
        with pytest.raises(asyncpg.LockNotAvailableError):
            await writing
        await reading_first.rollback()
        await restoring
    assert await ask(other_dsn, "SELECT discogs_id FROM releases") == 1


# --- the source -----------------------------------------------------------------------------------------------------


async def test_a_backup_amid_writes_shows_one_moment(database_dsn: str, other_dsn: str, tmp_path: Path) -> None:
    """A writer adds a release, its job and its match in one transaction, again and again."""
    stop = asyncio.Event()

    async def write() -> int:
        number = 100
        async with connected_to(database_dsn) as connection:
            while not stop.is_set():
                number += 1
                async with connection.transaction():
                    await connection.execute("INSERT INTO match_queue (release_id, priority) VALUES ($1, 1)", number)
                    await connection.execute("INSERT INTO releases (id, discogs_id) VALUES ($1, $1)", number)
                    await connection.execute("INSERT INTO track_matches (release_id) VALUES ($1)", number)
        return number

    writer = asyncio.create_task(write())
    try:
        for copy in range(5):
            await back_up(database_dsn, tmp_path / str(copy))
    finally:
        stop.set()
        assert await writer > 110
    for copy in range(5):
        with (tmp_path / str(copy)).open("rb") as file:
            rows = verify(file)[1].rows
        assert rows["releases"] == rows["match_queue"] == rows["track_matches"]
    await restore(other_dsn, tmp_path / "4")


async def test_a_database_that_is_not_ours_is_no_backup(empty_database_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="nothing of discogs-proxy"):
        await back_up(empty_database_dsn, tmp_path / "b")
    assert files(tmp_path) == []


async def test_a_database_that_cannot_be_reached_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="cannot be reached"):
        await back_up("postgresql://nobody@127.0.0.1:1/x", tmp_path / "b")


async def test_a_backup_leaves_an_older_schema_as_it_is(
    empty_database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    await run(
        empty_database_dsn,
        "CREATE TABLE releases (id bigint PRIMARY KEY, discogs_id text NOT NULL, title varchar(20))",
        "INSERT INTO releases VALUES (5, '500', 'Old')",
    )
    await back_up(empty_database_dsn, tmp_path / "b")
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'releases'"
    assert await ask(empty_database_dsn, columns) == 3
    await restore(other_dsn, tmp_path / "b")
    assert await ask(other_dsn, "SELECT discogs_id || title FROM releases WHERE id = 5") == "500Old"


# --- what is refused ------------------------------------------------------------------------------------------------


def forged(path: Path, *tables: TableHead, rows: bytes = b"", number: int | None = None) -> Path:
    """Well-formed and with a true checksum."""
    version = our_schema().number if number is None else number
    header = Header("2026-01-01", "9.9", "18", version, our_schema().digest, tables, ())
    with path.open("wb") as file:
        writer = ArchiveWriter(file, header)
        for _ in tables:
            writer.rows(rows)
            writer.end_table()
        writer.finish(Footer({table.name: rows.count(b"\n") for table in tables}, {"releases.id; DROP TABLE x": 3}))
    return path


QUEUE = TableHead("match_queue", ("release_id", "priority"))


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (QUEUE, b"1\n"),  # a field too few
        (QUEUE, b"1\t2\t3\n"),
        (QUEUE, b"one\ttwo\n"),
        (QUEUE, b"1\t2\n1\t2\n"),  # the same key twice
        (QUEUE, b"1\t2\n\\.\n3\t4\n"),  # COPY's end amid the rows
        (QUEUE, b"1\t\xff\xfe\n"),
        (TableHead("match_queue", ("release_id",)), b"1\n"),  # what must be there is not
        (TableHead("match_queue", ("nonsense",)), b"1\n"),
        (TableHead("match_queue", ("release_id", "x", "priority")), b"1\t2\n"),
        (TableHead("match_queue", ("release_id", "priority", "x")), b"1\n"),
        (TableHead("match_queue", ("release_id\") FROM PROGRAM 'x' --", "release_id", "priority")), b"1\n"),
        (TableHead("track_matches", ("release_id",)), b"404\n"),  # of a release that is not there
    ],
)
async def test_rows_that_do_not_fit_change_nothing(
    other_dsn: str, tmp_path: Path, table: TableHead, rows: bytes
) -> None:
    before = await filled(other_dsn, 0, 1)
    with pytest.raises((BackupFailed, ArchiveError)):
        await restore(other_dsn, forged(tmp_path / "b", table, rows=rows), replace=True)
    assert await contents_of(other_dsn) == before


@pytest.mark.parametrize(
    "name", ["pg_authid", "schema_state", "budget_calls", "../../etc/passwd", 'x"; DROP TABLE y', "é"]
)
async def test_tables_that_are_not_ours_are_never_written(other_dsn: str, tmp_path: Path, name: str) -> None:
    restored = await restore(other_dsn, forged(tmp_path / "b", TableHead(name, ("x",)), rows=b"1\n"))
    assert restored.left_out == (name,)


async def test_a_backup_of_a_newer_version_is_refused(other_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"newer discogs-proxy \(9.9"):
        await restore(other_dsn, forged(tmp_path / "b", QUEUE, rows=b"1\t2\n", number=our_schema().number + 1))


async def test_a_file_that_is_cut_off_while_it_is_restored_changes_nothing(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    await filled(database_dsn, *range(20))
    before = await filled(other_dsn, 30)
    await back_up(database_dsn, tmp_path / "b")
    whole = (tmp_path / "b").read_bytes()
    for share in (30, 60, 95):
        (tmp_path / "b").write_bytes(whole[: len(whole) * share // 100])
        with pytest.raises(ArchiveError):
            await restore(other_dsn, tmp_path / "b", replace=True)
        assert await contents_of(other_dsn) == before


RESTORING = """
import asyncio, sys
from pathlib import Path
from proxy.adapters import backup

async def main():
    with Path(sys.argv[2]).open("rb") as file:
        async with backup.plain_connection(sys.argv[1]) as connection:
            await backup.load(connection, file, replace=True)

asyncio.run(main())
"""


async def test_kill_9_amid_a_restore_leaves_the_target_as_it_was(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    await filled(database_dsn, 0, 1)
    before = await filled(other_dsn, 2)
    await backup_of_an_older_schema(database_dsn, tmp_path / "b")
    async with connected_to(other_dsn) as reader, connected_to(other_dsn) as watcher:
        async with reader.transaction():
            await reader.execute("SELECT FROM releases")
            command = [sys.executable, "-c", RESTORING, other_dsn, str(tmp_path / "b")]
            process = await asyncio.create_subprocess_exec(*command, env=os.environ | {"PYTHONPATH": str(ROOT)})
            await until_it_waits(watcher)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        assert await contents(reader) == before
    await restore(other_dsn, tmp_path / "b", replace=True)


# --- before a migration ---------------------------------------------------------------------------------------------


async def migrate(dsn: str, folder: Path) -> bool:
    async def before() -> None:
        await copy_before("migration", dsn, folder, way_on="Way on.")

    async with connected_to(dsn) as connection:
        return await apply_schema(connection, before)


async def test_a_database_with_data_is_copied_before_its_schema_changes_and_only_then(
    database_dsn: str, other_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    was = await filled(database_dsn, 0, 1)
    assert not await migrate(database_dsn, folder)
    assert files(folder) == []
    await run(database_dsn, "UPDATE schema_state SET digest = 'of an older one', number = 0")
    assert await migrate(database_dsn, folder)
    (copy,) = files(folder)
    assert (copy.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    await restore(other_dsn, copy)
    assert await contents_of(other_dsn) == was
    assert await ask(database_dsn, "SELECT number FROM schema_state") == our_schema().number
    assert not await migrate(database_dsn, folder)
    for _ in range(4):
        await run(database_dsn, "UPDATE schema_state SET digest = 'of an older one'")
        await migrate(database_dsn, folder)
    assert len(files(folder)) == 3
    assert copy not in files(folder)


async def test_the_old_systems_database_is_copied_as_well_and_an_empty_one_is_not(
    empty_database_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    await run(
        empty_database_dsn,
        "CREATE TABLE track_matches (id bigint PRIMARY KEY, release_id text NOT NULL, match_url text)",
        "INSERT INTO track_matches VALUES (1, '10', 'https://x.example/y')",
    )
    assert await migrate(empty_database_dsn, folder)
    assert len(files(folder)) == 1


async def test_a_new_database_needs_no_copy(empty_database_dsn: str, tmp_path: Path) -> None:
    assert await migrate(empty_database_dsn, tmp_path / "backups")
    assert files(tmp_path / "backups") == []


async def test_where_no_copy_can_be_written_the_schema_stays_as_it_is(database_dsn: str, tmp_path: Path) -> None:
    await filled(database_dsn, 0)
    await run(database_dsn, "UPDATE schema_state SET digest = 'of an older one'")
    (tmp_path / "backups").write_text("in the way")
    with pytest.raises(DatabaseUnusable, match=r"could not be copied to .*nothing was changed\. Way on\."):
        await migrate(database_dsn, tmp_path / "backups")
    assert await ask(database_dsn, "SELECT digest FROM schema_state") == "of an older one"


async def test_a_disk_without_room_is_noticed_before_anything_is_written(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(database_dsn, 0)
    monkeypatch.setattr(backup, "SPACE_LEFT", 1 << 60)
    with pytest.raises(DatabaseUnusable, match="MB are free"):
        await copy_before("migration", database_dsn, tmp_path / "backups", way_on="")
    assert files(tmp_path / "backups") == []


async def test_processes_that_start_at_once_migrate_and_copy_once(database_dsn: str, tmp_path: Path) -> None:
    await filled(database_dsn, 0)
    await run(database_dsn, "UPDATE schema_state SET digest = 'of an older one'")
    done = await asyncio.gather(*(migrate(database_dsn, tmp_path / "backups") for _ in range(4)))
    assert sorted(done) == [False, False, False, True]
    assert len(files(tmp_path / "backups")) == 1


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(database_dsn: str, tmp_path: Path) -> None:
    await filled(database_dsn, 0)
    await run(database_dsn, "UPDATE schema_state SET digest = 'newer', number = 9999")
    before = await contents_of(database_dsn)
    with pytest.raises(DatabaseUnusable, match=r"newer discogs-proxy \(schema 9999.*git pull.*\./run restore FILE"):
        await migrate(database_dsn, tmp_path / "backups")
    assert files(tmp_path / "backups") == []
    assert await ask(database_dsn, "SELECT digest FROM schema_state") == "newer"
    assert await contents_of(database_dsn) == before


async def test_a_schema_from_before_numbers_is_older(database_dsn: str, tmp_path: Path) -> None:
    await run(
        database_dsn,
        "ALTER TABLE schema_state DROP COLUMN number",
        "UPDATE schema_state SET digest = 'of an older one'",
    )
    assert await migrate(database_dsn, tmp_path / "backups")
    assert await ask(database_dsn, "SELECT number FROM schema_state") == our_schema().number


def test_all_tables_of_the_schema_are_known() -> None:
    assert {"schema_state", "releases", "track_matches", "stores", "mirror_listings"} <= set(our_schema().tables)
    assert SCHEMA_FILE.read_text().count("CREATE TABLE") == len(our_schema().tables)


async def test_a_copy_takes_what_the_tables_are(database: Database, database_dsn: str) -> None:
    async with database.connection() as connection:
        names = [table.name for table in await our_tables(connection)]
    assert names == [name for name in our_schema().tables if name not in backup.NOT_KEPT]
