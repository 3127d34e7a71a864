"""Connects to Postgres and brings its schema up to date."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


class DatabaseUnusable(Exception):
    """The database cannot be used as it is; the message says what to do."""


@asynccontextmanager
async def connected(dsn: str, *, connections: int = CONNECTIONS) -> AsyncIterator[Database]:
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
            await apply_schema(connection)
        yield Database(pool)


async def _nothing_to_reset(_connection: object) -> None:
    """Spares a question to the server each time a connection is given back, where an open transaction ends anyway.

    What we set is set LOCAL, advisory locks are a transaction's, and who listens stops listening himself.
    """


async def apply_schema(connection: Connection) -> bool:
    """Apply schema.sql unless this very file was applied last. True: it was applied. Raises DatabaseUnusable."""
    if connection.get_server_version().major < LEAST_VERSION:
        raise DatabaseUnusable(
            f"PostgreSQL {LEAST_VERSION} or later is needed; this is {connection.get_server_version()}."
        )
    sql = await asyncio.to_thread(SCHEMA_FILE.read_text, encoding="utf-8")
    digest = hashlib.sha256(sql.encode()).hexdigest()
    if await _applied_digest(connection) == digest:
        return False
    try:
        await _apply(connection, sql, digest)
    except asyncpg.PostgresError as error:
        raise DatabaseUnusable(f"schema.sql cannot be applied: {error}") from error
    return True


async def _applied_digest(connection: Connection) -> str | None:
    if await connection.fetchval("SELECT to_regclass('schema_state')") is None:
        return None
    digest: str | None = await connection.fetchval("SELECT digest FROM schema_state")
    return digest


async def _apply(connection: Connection, sql: str, digest: str) -> None:
    for attempt in range(1, SCHEMA_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK, timeout=SCHEMA_TIMEOUT_S)
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(sql, timeout=SCHEMA_TIMEOUT_S)
                await connection.execute(
                    """
                    INSERT INTO schema_state (digest) VALUES ($1)
                    ON CONFLICT (only_row) DO UPDATE SET digest = excluded.digest, applied_at = now()
                    """,
                    digest,
                )
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if attempt == SCHEMA_ATTEMPTS:
                raise
        else:
            return
