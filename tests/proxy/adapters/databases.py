"""Databases full of awkward rows, and how they are compared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from proxy.adapters.backup import our_tables
from proxy.adapters.database import connected
from proxy.adapters.embedded_postgres import EmbeddedPostgres

SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")
needs_15 = pytest.mark.skipif(not SYSTEM_15.exists(), reason=f"no PostgreSQL in {SYSTEM_15}: apt install postgresql-15")
ALLOWED = {"status": "queued", "action": "set", "state": "unknown", "kind": "release"}
"""Values of columns that do not take every text."""

Contents = dict[str, list[str]]


@asynccontextmanager
async def postgres_15(folder: Path) -> AsyncIterator[str]:
    """The DSN of an empty database."""
    server = EmbeddedPostgres(folder, bin_dir=SYSTEM_15)
    dsn = await server.start()
    try:
        yield dsn
    finally:
        await server.stop()


async def with_schema(dsn: str) -> None:
    async with connected(dsn, connections=1):
        pass


def awkward(kind: str, column: str, number: int) -> object:
    """A value of a column, the same for the same number, so that keys between tables hold."""
    text = ALLOWED.get(column, f"row {number}\t\n\r\\.\\n \"'é\u2028😀, {{}} \\t")
    moment = datetime(2020, 1, 1, 12, 30, 15, 123456, tzinfo=UTC) + timedelta(days=number)
    values: dict[str, object] = {
        "text": text,
        "jsonb": f'{{"a": [1, "t\\tb\\\\", null], "n": {number}.50}}',
        "json": f'[{{"title": "t\\tb\\\\", "confidence": {number}.5}}]',
        "bytea": bytes(range(256)) * (number + 1),
        "int8": number + 1,
        "int4": number + 1,
        "int2": number + 1,
        "float4": 92.3 + number,
        "float8": 0.1 + number,
        "bool": number % 2 == 0,
        "timestamptz": moment,
        "uuid": UUID(int=number),
        "_int8": [2**62, number],
        "_text": [text, "", 'a,"b"'],
        "_timestamptz": [moment],
    }
    return values[kind]


async def fill(connection: asyncpg.Connection, *numbers: int) -> None:
    """A row per number in each table of ours; what may be NULL is NULL in every third."""
    for table in await our_tables(connection):
        columns = await connection.fetch(
            """
            SELECT attname AS name, typname AS kind, attnotnull AS is_needed
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
            """,
            table.name,
        )
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        names = ", ".join(column["name"] for column in columns)
        for number in numbers:
            values = [
                awkward(each["kind"], each["name"], number) if each["is_needed"] or number % 3 < 2 else None
                for each in columns
            ]
            row = f"({names}) OVERRIDING SYSTEM VALUE VALUES ({places})"
            await connection.execute(f"INSERT INTO {table.name} {row} ON CONFLICT DO NOTHING", *values)


async def contents(connection: asyncpg.Connection) -> Contents:
    """All rows of all tables; a store's version grows with a restore."""
    await connection.execute("SET timezone = 'UTC'")
    found = {}
    for table in await our_tables(connection):
        rows = await connection.fetch(f"SELECT (to_jsonb(t) - 'version')::text FROM {table.name} t ORDER BY 1")  # noqa: S608
        found[table.name] = [row[0] for row in rows]
    return found


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []
