"""Connects to Postgres and brings its schema up to date."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import asyncpg

from matcher.database import Connection, Database

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "schema.sql"
SCHEMA_LOCK = 5_214_001
"""Key of the advisory lock that a process holds while it applies the schema."""

LEAST_VERSION = 15
LOCK_TIMEOUT = "3s"
"""A busy old system is not blocked behind our ALTER TABLE for longer; we try again."""

SCHEMA_ATTEMPTS = 20
CONNECTIONS = 12
"""Two of them listen for changes."""
CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 4.0
"""Shoppers wait for most commands: a database that hangs counts as away. What may take longer says so."""

SCHEMA_TIMEOUT_S = 3600.0


SCHEMA_NUMBER = re.compile(r"^-- Schema number (\d+)\b", re.MULTILINE)


class DatabaseUnusable(Exception):
    """The database cannot be used as it is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Schema:
    """schema.sql. `digest` is of its statements; `tables` has parents before children."""

    sql: str
    number: int
    digest: str
    tables: tuple[str, ...]


@cache
def our_schema() -> Schema:
    sql = SCHEMA_FILE.read_text(encoding="utf-8")
    number = SCHEMA_NUMBER.search(sql)
    assert number  # noqa: S101 - a file of ours; a test holds it true
    tables = tuple(re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+)", sql, re.MULTILINE))
    return Schema(sql, int(number[1]), statements_digest(sql), tables)


def statements_digest(sql: str) -> str:
    """Neither a comment nor an indent is a change for which a database is copied and its schema applied again."""
    lines = (line.strip() for line in sql.splitlines())
    statements = "\n".join(line for line in lines if line and not line.startswith("--"))
    return hashlib.sha256(statements.encode()).hexdigest()


BeforeMigration = Callable[[], Awaitable[object]]
"""Called before schema.sql is applied, while no other process applies it; what it raises leaves all as it is."""


@asynccontextmanager
async def connected(
    dsn: str, *, connections: int = CONNECTIONS, before_migration: BeforeMigration | None = None
) -> AsyncIterator[Database]:
    """A pool on a database whose schema is up to date. Raises DatabaseUnusable."""
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=connections,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            reset=_nothing_to_reset,
            server_settings={"timezone": "UTC", "application_name": "discogs-proxy"},
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseUnusable(
            f"DATABASE_URL: the database cannot be reached ({type(error).__name__}: {error}). "
            "Start it, or correct DATABASE_URL, or unset it to use the embedded PostgreSQL."
        ) from error
    async with pool:
        async with pool.acquire() as connection:
            await apply_schema(connection, before_migration)
        yield Database(pool)


async def _nothing_to_reset(_connection: object) -> None:
    """Spares a question to the server each time a connection is given back, where an open transaction ends anyway.

    What we set is set LOCAL, advisory locks are a transaction's, and who listens stops listening himself.
    """


async def is_read_only(connection: Connection) -> bool:
    """A standby, or a server that was set so, as some hosts do when a disk is full."""
    return bool(
        await connection.fetchval("SELECT current_setting('transaction_read_only')::boolean OR pg_is_in_recovery()")
    )


async def apply_schema(connection: Connection, before: BeforeMigration | None = None) -> bool:
    """Apply schema.sql unless these very statements were applied last. True: done. Raises DatabaseUnusable."""
    if connection.get_server_version().major < LEAST_VERSION:
        raise DatabaseUnusable(
            f"PostgreSQL {LEAST_VERSION} or later is needed; this is {connection.get_server_version()}."
        )
    schema = await asyncio.to_thread(our_schema)
    if await _is_applied(connection, schema):
        return False
    try:
        return await _apply(connection, schema, before)
    except asyncpg.PostgresError as error:
        raise DatabaseUnusable(f"schema.sql cannot be applied: {error}") from error


@dataclass(frozen=True, slots=True)
class AppliedSchema:
    """`number` is 0 of those that had none."""

    digest: str
    number: int


async def applied_schema(connection: Connection) -> AppliedSchema | None:
    """What was applied last; None: nothing ever."""
    if await connection.fetchval("SELECT to_regclass('schema_state')") is None:
        return None
    row = await connection.fetchrow(
        "SELECT digest, coalesce((to_jsonb(s) ->> 'number')::int, 0) AS number FROM schema_state s"
    )
    return AppliedSchema(row["digest"], row["number"]) if row else None


async def _is_applied(connection: Connection, schema: Schema) -> bool:
    """Raises DatabaseUnusable where a newer version has been here: it knows what ours does not."""
    applied = await applied_schema(connection)
    if applied is not None and applied.number > schema.number:
        raise DatabaseUnusable(
            f"this database was changed by a newer discogs-proxy (schema {applied.number}, this version knows "
            f"{schema.number}). Nothing was changed now. Go on with the newer one (git pull, then ./run); or go back "
            "with the copy made before the change: set DATA_DIR or DATABASE_URL to a new place, then "
            "./run restore FILE (docs/backup.md)"
        )
    return applied == AppliedSchema(schema.digest, schema.number)


async def _apply(connection: Connection, schema: Schema, before: BeforeMigration | None) -> bool:
    """False: another process has done it meanwhile."""
    for attempt in range(1, SCHEMA_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK, timeout=SCHEMA_TIMEOUT_S)
                if await _is_applied(connection, schema):
                    return False
                if before is not None:
                    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                    await before()
                    before = None
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await execute_schema(connection, schema)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if attempt == SCHEMA_ATTEMPTS:
                raise
        else:
            break
    return True


async def execute_schema(connection: Connection, schema: Schema) -> None:
    """In a transaction of the caller's, who holds SCHEMA_LOCK."""
    await connection.execute(schema.sql, timeout=SCHEMA_TIMEOUT_S)
    await connection.execute(
        """
        INSERT INTO schema_state (digest, number) VALUES ($1, $2)
        ON CONFLICT (only_row) DO UPDATE SET digest = excluded.digest, number = excluded.number, applied_at = now()
        """,
        schema.digest,
        schema.number,
    )
