"""Writes the rows of a database into an archive, and back, by COPY over the proxy's own connection.

Not by pg_dump: that refuses servers newer than itself, an external server is often newer than what is installed, and a
dump of 18 does not load into 15. COPY's text format is the same in all versions; columns are named, so that what an
older version of the schema wrote loads into a newer one; and the schema itself is never in the file, for it comes from
schema.sql. Rows are read in one REPEATABLE READ snapshot, so the proxy goes on writing meanwhile, and are written in
one transaction: kill -9 or an error leaves the target as it was.

What a proxy serves goes on: who reads sees the old rows until the commit, who writes waits. Only what is left to do at
the end in some cases, with all rows written, keeps readers out too. At the commit every process forgets what it holds
in memory. A job or check that was under way loses its lease with its row and stores nothing.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import asyncpg

from matcher.database import Connection
from proxy import __version__
from proxy.adapters.archive import (
    ArchiveError,
    ArchiveReader,
    ArchiveWriter,
    Footer,
    Header,
    Progress,
    TableHead,
    written_whole,
)
from proxy.adapters.changes import CHANNEL
from proxy.adapters.database import (
    CONNECT_TIMEOUT_S,
    LOCK_TIMEOUT,
    SCHEMA_ATTEMPTS,
    SCHEMA_LOCK,
    DatabaseUnusable,
    applied_schema,
    execute_schema,
    our_schema,
)

NOT_KEPT = frozenset({"schema_state", "budget_calls"})
"""Of the database or of this minute, not of what it knows: forgotten calls under way would be calls too many."""
OWN_WINS = frozenset({"provider_quotas", "ended_sessions"})
"""What has been used of the day's quota, or who has logged out, is known better here."""
AGAINST_WRITERS, AGAINST_READERS = "EXCLUSIVE", "ACCESS EXCLUSIVE"
KEPT_COPIES = 3
SPACE_LEFT = 64 << 20
"""Bytes of the disk that a copy leaves free."""


class BackupFailed(Exception):
    """No backup was written, or none was restored; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a backup."""

    path: Path
    bytes: int
    rows: int


@asynccontextmanager
async def plain_connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One that does not touch the schema, and whose commands may take long. Raises BackupFailed."""
    try:
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "discogs-proxy backup"}
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise BackupFailed(f"the database cannot be reached ({type(error).__name__}: {error})") from error
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


@contextmanager
def explained() -> Iterator[None]:
    """Raises BackupFailed for what the database or the disk refuses."""
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BackupFailed(f"{type(error).__name__}: {error}") from error


# --- what is ours ---------------------------------------------------------------------------------------------------


async def our_tables(connection: Connection) -> tuple[TableHead, ...]:
    """Those of schema.sql that are there, parents first, with the columns that they have there."""
    rows = await connection.fetch(
        """
        SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname = ANY($1::text[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        GROUP BY c.relname ORDER BY array_position($1::text[], c.relname::text)
        """,
        [name for name in our_schema().tables if name not in NOT_KEPT],
    )
    return tuple(TableHead(row["name"], tuple(row["columns"])) for row in rows)


async def holds_data(connection: Connection) -> bool:
    names = [table.name for table in await our_tables(connection) if table.name not in OWN_WINS]
    found = " OR ".join(f"EXISTS (SELECT FROM {name})" for name in names)
    return bool(names) and bool(await connection.fetchval(f"SELECT {found}"))


async def unchecked_keys(connection: Connection, tables: Sequence[TableHead]) -> tuple[str, ...]:
    """Foreign keys that were never validated: the old system's matches may be of releases that it never stored."""
    rows = await connection.fetch(
        """
        SELECT conname FROM pg_constraint
        WHERE contype = 'f' AND NOT convalidated AND conrelid::regclass::text = ANY($1::text[]) ORDER BY conname
        """,
        [table.name for table in tables],
    )
    return tuple(row["conname"] for row in rows)


async def sequences(connection: Connection, tables: Sequence[TableHead]) -> dict[str, str]:
    """The sequence behind each column that has one, by `table.column`."""
    rows = await connection.fetch(
        """
        SELECT t || '.' || c AS place, pg_get_serial_sequence(quote_ident(t), c) AS sequence
        FROM unnest($1::text[], $2::text[]) AS of_column (t, c)
        WHERE pg_get_serial_sequence(quote_ident(t), c) IS NOT NULL
        """,
        [table.name for table in tables for _ in table.columns],
        [column for table in tables for column in table.columns],
    )
    return {row["place"]: row["sequence"] for row in rows}


# --- writing --------------------------------------------------------------------------------------------------------


async def back_up(dsn: str, path: Path, *, force: bool = False, progress: Progress = lambda _: None) -> Written:
    """Raises FileThere, BackupFailed. `progress` is told bytes as the database gives them."""
    with explained():
        async with plain_connection(dsn) as connection:
            return await write(connection, path, force=force, progress=progress)


async def write(connection: Connection, path: Path, *, force: bool, progress: Progress) -> Written:
    with written_whole(path, force=force) as file:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await settle(connection)
            header = await describe(connection)
            writer = ArchiveWriter(file, header)
            rows = {table.name: await write_rows(connection, writer, table, progress) for table in header.tables}
            writer.finish(Footer(rows, await last_numbers(connection, header.tables)))
        size = file.tell()
    return Written(path, size, sum(rows.values()))


async def settle(connection: Connection) -> None:
    """The same text for the same value whatever the server is set to, and no time limit."""
    for name, value in {
        "timezone": "UTC",
        "datestyle": "ISO, YMD",
        "intervalstyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }.items():
        await connection.execute(f"SET LOCAL {name} = '{value}'")


async def describe(connection: Connection) -> Header:
    tables = await our_tables(connection)
    if not tables:
        raise BackupFailed("there is nothing of discogs-proxy in this database")
    applied = await applied_schema(connection)
    return Header(
        datetime.now(UTC).isoformat(timespec="seconds"),
        __version__,
        str(await connection.fetchval("SHOW server_version")),
        applied.number if applied else 0,
        applied.digest if applied else "",
        tables,
        await unchecked_keys(connection, tables),
    )


async def write_rows(connection: Connection, writer: ArchiveWriter, table: TableHead, progress: Progress) -> int:
    async def take(data: bytes) -> None:
        writer.rows(data)
        progress(len(data))

    done = await connection.copy_from_table(table.name, columns=table.columns, output=take, format="text")
    writer.end_table()
    return int(done.split()[-1])


async def last_numbers(connection: Connection, tables: Sequence[TableHead]) -> dict[str, int]:
    """Not below any number in the snapshot: sequences are read as they are now."""
    last = {}
    for place, sequence in (await sequences(connection, tables)).items():
        given = await connection.fetchval(f"SELECT last_value FROM {sequence} WHERE is_called")  # noqa: S608
        last[place] = given or 0
    return last


# --- restoring ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Restored:
    """`left_out`: tables and `table.column`s that this schema does not have."""

    rows: int
    left_out: tuple[str, ...]


def refuse_newer(header: Header) -> None:
    """Raises ArchiveError."""
    if header.schema_version > our_schema().number:
        raise ArchiveError(
            f"it was made by a newer discogs-proxy ({header.made_by}, schema {header.schema_version}; this version "
            f"knows {our_schema().number}): update this one (git pull), then restore it"
        )


async def load(
    connection: Connection, file: IO[bytes], *, replace: bool, progress: Progress = lambda _: None
) -> Restored:
    """In one transaction, into a database that has our schema. Raises ArchiveError, BackupFailed."""
    reader = ArchiveReader(file, progress)
    refuse_newer(reader.header)
    with explained():
        async with connection.transaction():
            await settle(connection)
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            tables = await our_tables(connection)
            await lock(connection, tables, AGAINST_WRITERS)
            return await load_locked(connection, reader, tables, replace=replace)


async def lock(connection: Connection, tables: Sequence[TableHead], mode: str) -> None:
    """Until the commit. Whoever holds one of them and waits for another is let through first."""
    names = ", ".join(table.name for table in tables)
    for attempt in range(1, SCHEMA_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(f"LOCK TABLE {names} IN {mode} MODE")
                await connection.execute("SET LOCAL lock_timeout = 0")
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if attempt == SCHEMA_ATTEMPTS:
                raise
        else:
            return


async def load_locked(
    connection: Connection, reader: ArchiveReader, tables: Sequence[TableHead], *, replace: bool
) -> Restored:
    if not replace and await holds_data(connection):
        raise BackupFailed("the database holds data already: --replace puts the backup in its place")
    header = reader.header
    here = {table.name: table for table in tables}
    keys = await keys_of(connection, tables, header.unchecked)
    aside = OWN_WINS | {key.table for key in keys}
    async with without_triggers(connection, tables):
        await empty(connection, tables)
        rows = {
            table.name: await load_table(connection, reader, table, here.get(table.name), aside=table.name in aside)
            for table in header.tables
        }
        footer = reader.footer()
        if rows != footer.rows:
            raise ArchiveError("it does not hold the rows that it says: the file is damaged")
        is_older = header.schema_digest != our_schema().digest
        if keys or is_older:
            await lock(connection, tables, AGAINST_READERS)
        async with without_keys(connection, keys):
            for table in header.tables:
                if table.name in aside and table.name in here:
                    await take_from_beside(connection, table, here[table.name])
        await set_sequences(connection, tables, footer)
        await renew_versions(connection)
    if is_older:
        await execute_schema(connection, our_schema())  # it also mends rows that an older version wrote
    await connection.execute("SELECT pg_notify($1, 'all')", CHANNEL)
    return Restored(sum(rows.values()), left_out(header, here))


@asynccontextmanager
async def without_triggers(connection: Connection, tables: Sequence[TableHead]) -> AsyncIterator[None]:
    """Ours, not those of keys. What fails within is rolled back by the caller's transaction."""
    for table in tables:
        await connection.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
    yield
    for table in tables:
        await connection.execute(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")


@asynccontextmanager
async def without_keys(connection: Connection, keys: Sequence[Key]) -> AsyncIterator[None]:
    """They are made again unchecked. Readers are kept out already."""
    for key in keys:
        await connection.execute(f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}")
    yield
    for key in keys:
        await connection.execute(f"ALTER TABLE {key.table} ADD CONSTRAINT {key.name} {key.definition} NOT VALID")


async def empty(connection: Connection, tables: Sequence[TableHead]) -> None:
    """Row by row: unlike TRUNCATE it lets readers go on."""
    for table in reversed(tables):
        if table.name not in OWN_WINS:
            await connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a name of schema.sql


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key. `table` and `name` are quoted where that is needed."""

    table: str
    name: str
    definition: str


async def keys_of(connection: Connection, tables: Sequence[TableHead], names: Sequence[str]) -> list[Key]:
    """Those of `names` that are here."""
    rows = await connection.fetch(
        """
        SELECT conrelid::regclass::text AS table, quote_ident(conname) AS name,
               regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', '') AS definition
        FROM pg_constraint
        WHERE contype = 'f' AND conrelid::regclass::text = ANY($1::text[]) AND conname = ANY($2::text[])
        """,
        [table.name for table in tables],
        list(names),
    )
    return [Key(row["table"], row["name"], row["definition"]) for row in rows]


async def load_table(
    connection: Connection, reader: ArchiveReader, table: TableHead, here: TableHead | None, *, aside: bool
) -> int:
    """The number of rows read. Tables and columns that are not here are passed over. `aside`: beside the table."""
    if here is None:
        return sum([data.count(b"\n") for data in reader.chunks()])
    places = [place for place, column in enumerate(table.columns) if column in here.columns]
    columns = [table.columns[place] for place in places]
    if not columns:
        raise ArchiveError(f"none of the columns of its table {table.name} is known here")
    counted = Counted(reader, None if len(places) == len(table.columns) else places)
    target = table.name
    if aside:
        target = beside(table)
        await connection.execute(f"CREATE TEMP TABLE {target} (LIKE {table.name} INCLUDING DEFAULTS) ON COMMIT DROP")
    done = await connection.copy_to_table(target, columns=columns, source=counted.rows(), format="text")
    if int(done.split()[-1]) != counted.count:
        raise ArchiveError(f"its table {table.name} ends early: the file is damaged")
    return counted.count


def beside(table: TableHead) -> str:
    """Where rows wait that are put into the table at the end."""
    return f"restored_{table.name}"


async def take_from_beside(connection: Connection, table: TableHead, here: TableHead) -> None:
    columns = ", ".join(f'"{column}"' for column in table.columns if column in here.columns)
    own_wins = "ON CONFLICT DO NOTHING" if table.name in OWN_WINS else ""
    await connection.execute(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {beside(table)} {own_wins}"  # noqa: S608
    )


class Counted:
    """The rows of the next table, only the fields at `places` (None: all); a tab or newline in COPY's text format
    always ends a field or row, as values have theirs escaped.
    """

    def __init__(self, reader: ArchiveReader, places: Sequence[int] | None) -> None:
        self._reader = reader
        self._places = places
        self.count = 0

    async def rows(self) -> AsyncIterator[bytes]:
        for data in self._reader.chunks() if self._places is None else self._narrowed(self._places):
            self.count += data.count(b"\n")
            yield data
            await asyncio.sleep(0)  # an embedded server is watched meanwhile

    def _narrowed(self, places: Sequence[int]) -> Iterator[bytes]:
        rest = b""
        for data in self._reader.chunks():
            *lines, rest = (rest + data).split(b"\n")
            yield b"".join(self._narrow(line.split(b"\t"), places) for line in lines)
        if rest:
            raise ArchiveError("a row of it has no end: the file is damaged")

    def _narrow(self, fields: Sequence[bytes], places: Sequence[int]) -> bytes:
        if len(fields) <= places[-1]:
            raise ArchiveError("a row of it has too few fields: the file is damaged")
        return b"\t".join(fields[place] for place in places) + b"\n"


async def set_sequences(connection: Connection, tables: Sequence[TableHead], footer: Footer) -> None:
    """No number is given twice, also none of a row that is gone by now. Nor does one go back."""
    for place, sequence in (await sequences(connection, tables)).items():
        table, column = place.split(".", 1)
        await connection.execute(
            f"""
            SELECT setval($1::regclass, last) FROM (
              SELECT greatest($2::bigint, (SELECT max({column}) FROM {table}),
                              (SELECT last_value FROM {sequence} WHERE is_called)) AS last
            ) AS found WHERE last > 0
            """,  # noqa: S608 - names from the catalogue
            sequence,
            footer.sequences.get(place, 0),
        )


async def renew_versions(connection: Connection) -> None:
    """A mirror's version may have been seen with another content since the backup: none comes twice."""
    await connection.execute(
        "UPDATE stores SET version = greatest(version, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
    )


def left_out(header: Header, here: dict[str, TableHead]) -> tuple[str, ...]:
    return tuple(
        name
        for table in header.tables
        for name in (
            [f"{table.name}.{column}" for column in table.columns if column not in here[table.name].columns]
            if table.name in here
            else [table.name]
        )
    )


# --- copies before something is changed ---------------------------------------------------------------------------


async def copy_before(
    what: str, dsn: str, folder: Path, *, way_on: str, on_begin: Callable[[Path], None] = lambda _: None
) -> Path | None:
    """A backup in `folder` before `what` (a word for its name); the last KEPT_COPIES of them stay. None: no data.

    `on_begin` is told of one that is written now. Raises DatabaseUnusable, which ends with `way_on`.
    """
    try:
        with explained():
            async with plain_connection(dsn) as connection:
                if not await holds_data(connection):
                    return None
                make_private(folder)
                await refuse_full_disk(connection, folder)
                path = folder / f"before-{what}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.backup"
                on_begin(path)
                await write(connection, path, force=False, progress=lambda _: None)
        prune(folder, what)
    except BackupFailed as error:
        raise DatabaseUnusable(
            f"the database could not be copied to {folder} before the {what} ({error}); nothing was changed. {way_on}"
        ) from error
    return path


def make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for unfinished in folder.glob(".before-*.unfinished"):  # of a process that was killed
        unfinished.unlink(missing_ok=True)


async def refuse_full_disk(connection: Connection, folder: Path) -> None:
    """A copy is smaller than its tables, but not by a share that is known before. Raises BackupFailed."""
    names = [table.name for table in await our_tables(connection)]
    needed = await connection.fetchval(
        "SELECT sum(pg_table_size(name::regclass)) FROM unnest($1::text[]) AS name", names
    )
    free = shutil.disk_usage(folder).free
    if free < int(needed) + SPACE_LEFT:
        raise BackupFailed(f"it may take {int(needed) >> 20} MB, and {free >> 20} MB are free")


def prune(folder: Path, what: str) -> None:
    """Names grow with time."""
    for old in sorted(folder.glob(f"before-{what}-*.backup"))[:-KEPT_COPIES]:
        old.unlink(missing_ok=True)
