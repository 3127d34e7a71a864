from __future__ import annotations

import asyncio

import pytest

from matcher.database import Database
from matcher.errors import DatabaseUnavailable


async def test_a_command_that_takes_too_long_costs_nobody_else_the_database(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(10)", timeout=0.1)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_of_many_who_ask_a_database_in_doubt_one_lets_it_prove_that_it_answers(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(10)", timeout=0.1)

    async def ask() -> bool:
        try:
            async with database.connection():
                return True
        except DatabaseUnavailable:
            return False

    assert (await asyncio.gather(*(ask() for _ in range(5)))).count(True) >= 1
    assert await ask()


async def test_who_is_cancelled_while_his_connection_breaks_is_cancelled_all_the_same(database: Database) -> None:
    """Else a task that asks again after an outage would outlive the process' end, which waits for it."""
    begun = asyncio.Event()

    async def work() -> None:
        async with database.connection() as connection:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                async with database.connection() as other:
                    mine = await connection.fetchval("SELECT pg_backend_pid()")
                    await other.execute("SELECT pg_terminate_backend($1, 5000)", mine)
                await connection.execute("SELECT 1")

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
