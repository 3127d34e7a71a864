"""A database for each test: as new, but emptied and used again, as making one takes longer than most tests do."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from proxy.adapters.database import connected

TEMPLATE = "with_our_schema"
ROWS_MAX = 5_000
"""So many rows may be deleted from a database before it is done with: they stay in its files."""

SHAPE = """
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
      SELECT format('%s %s %s', oid::regclass, reloptions, relacl) AS line FROM pg_class
      WHERE relnamespace = 'public'::regnamespace
      UNION ALL
      SELECT format('%s %s %s %s %s', attrelid::regclass, attnum, attname, atttypid::regtype, attnotnull)
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0
      UNION ALL
      SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
      UNION ALL
      SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
      UNION ALL
      SELECT format('%s %s', oid::regprocedure, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
      UNION ALL
      SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%'
      UNION ALL
      SELECT setconfig::text FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
      WHERE datname = current_database()
      UNION ALL
      SELECT format('%s %s', digest, number) FROM schema_state
    ) AS lines
"""
"""Differs where anything but rows does."""

TABLES = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'schema_state'
"""
ALONE = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SEQUENCES_ANEW = """
    SELECT setval(format('%I', sequencename)::regclass, start_value, false) FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL
"""


@dataclass(slots=True)
class FreshDatabases:
    """Those of the server that `dsn` leads to."""

    dsn: str
    shape: str = ""
    free: dict[str, int] = field(default_factory=dict)
    """How many rows were deleted from each."""
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def make_template(self) -> None:
        """Copying a database that has our schema takes half the work of applying it to an empty one."""
        async with connected_to(self.dsn) as server:
            await server.execute(f"CREATE DATABASE {TEMPLATE}")
        async with connected(with_database(self.dsn, TEMPLATE)):
            pass
        async with connected_to(with_database(self.dsn, TEMPLATE)) as connection:
            self.shape = await connection.fetchval(SHAPE)

    @asynccontextmanager
    async def new(self) -> AsyncIterator[str]:
        """One with our schema and no rows."""
        name, deleted = self.free.popitem() if self.free else (await self._make(TEMPLATE), 0)
        try:
            yield with_database(self.dsn, name)
        finally:
            deleted += await self._emptied(name)
            if deleted < ROWS_MAX:
                self.free[name] = deleted
            else:
                await self._drop(name)

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """One without our schema."""
        name = await self._make("template0")
        try:
            yield with_database(self.dsn, name)
        finally:
            await self._drop(name)

    async def _make(self, template: str) -> str:
        name = f"test_{next(self.numbers)}"
        async with connected_to(self.dsn) as server:
            await server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    async def _drop(self, name: str) -> None:
        async with connected_to(self.dsn) as server:
            await server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _emptied(self, name: str) -> int:
        """How many rows it had; ROWS_MAX where it is not as new without them."""
        try:
            async with connected_to(with_database(self.dsn, name)) as connection:
                await connection.execute(ALONE)
                if await connection.fetchval(SHAPE) != self.shape:
                    return ROWS_MAX
                return await _delete_all(connection)
        except asyncpg.PostgresError:  # it is gone, or a table that its shape is told by
            return ROWS_MAX


async def _delete_all(connection: asyncpg.Connection) -> int:
    tables = await connection.fetch(TABLES)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # no triggers, no foreign keys
        done = [await connection.execute(f"DELETE FROM {table}") for (table,) in tables]  # noqa: S608 - quoted by regclass
        await connection.execute(SEQUENCES_ANEW)
    return sum(int(tag.split()[1]) for tag in done)


@asynccontextmanager
async def connected_to(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def with_database(dsn: str, name: str) -> str:
    head, _, tail = dsn.rpartition("/discogs_proxy")
    assert head
    return f"{head}/{name}{tail}"
