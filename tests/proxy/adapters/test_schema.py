"""The number of the schema: raised when a release has seen another schema, and applied together with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from matcher.database import Connection
from proxy.adapters.backup import copy_before
from proxy.adapters.database import apply_schema, our_schema, statements_digest
from tests.fresh_databases import connected_to
from tests.proxy.adapters.databases import files, fill

CHANGELOG = Path(__file__).parents[3] / "CHANGELOG.md"


@dataclass(frozen=True, slots=True)
class Released:
    """What databases of the last release have. `version` as CHANGELOG.md has it; None: nothing was released yet."""

    version: str | None
    number: int
    digest: str


RELEASED = Released(None, 1, "27756022e2d0644ac5041c4029b0e89bfb076e4a7efe8f7895cd40b78ea9fddc")


def test_a_schema_that_differs_from_the_last_releases_has_a_higher_number() -> None:
    schema = our_schema()
    if schema.digest == RELEASED.digest:
        assert schema.number == RELEASED.number
    else:
        assert schema.number > RELEASED.number, (
            f"schema.sql has changed since databases got it as number {RELEASED.number}: write "
            f"'-- Schema number {RELEASED.number + 1}' at its top, so that older versions refuse such a database. "
            "RELEASED stays as it is until the next release."
        )


def test_the_schema_of_the_last_release_is_recorded() -> None:
    versions = re.findall(r"^## \[?(\d[^\]\s]*)", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    newest = versions[0] if versions else None
    schema = our_schema()
    assert newest == RELEASED.version, (
        f"a release of {newest}: write RELEASED = Released({newest!r}, {schema.number}, {schema.digest!r})"
    )


@pytest.mark.parametrize(
    ("sql", "is_same"),
    [
        ("-- Another comment.\n\nCREATE TABLE a (\n    b text\n);", True),
        ("CREATE TABLE a (\n  b text NOT NULL\n);", False),
        ("CREATE TABLE a (\n  b text\n);\nCREATE TABLE b ();", False),
    ],
)
def test_comments_and_indents_are_no_change_of_the_schema(sql: str, is_same: bool) -> None:
    assert (statements_digest(sql) == statements_digest("CREATE TABLE a (\n  b text\n);\n-- A comment.")) is is_same


async def number_of(connection: Connection) -> object:
    return await connection.fetchval("SELECT number FROM schema_state")


async def test_a_higher_number_alone_is_applied_and_the_data_copied_before(database_dsn: str, tmp_path: Path) -> None:
    """Else the version before would go on using a database that it is meant to refuse."""
    lower = our_schema().number - 1
    numbers = []
    async with connected_to(database_dsn) as connection:
        await fill(connection, 0)
        await connection.execute("UPDATE schema_state SET number = $1", lower)

        async def before() -> None:
            numbers.append(await number_of(connection))
            await copy_before("migration", database_dsn, tmp_path, way_on="")

        assert await apply_schema(connection, before)
        assert (numbers, await number_of(connection)) == ([lower], our_schema().number)
        assert len(files(tmp_path)) == 1
        assert not await apply_schema(connection, before)
        assert len(files(tmp_path)) == 1


async def test_functions_that_told_other_columns_are_replaced(database_dsn: str) -> None:
    """CREATE OR REPLACE alone cannot change what a function returns."""
    async with connected_to(database_dsn) as connection:
        await fill(connection, 0)
        functions = await connection.fetch(
            """
            SELECT proname, oid::regprocedure::text AS signature, pg_get_function_identity_arguments(oid) AS arguments
            FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proretset
            """
        )
        assert functions
        for each in functions:
            await connection.execute(f"DROP FUNCTION {each['signature']}")
            await connection.execute(
                f"CREATE FUNCTION {each['proname']}({each['arguments']}) RETURNS TABLE (other integer) "
                "LANGUAGE sql AS 'SELECT 1'"
            )
        await connection.execute("UPDATE schema_state SET number = $1", our_schema().number - 1)
        assert await apply_schema(connection)
