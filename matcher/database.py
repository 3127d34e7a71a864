"""The door to Postgres: a pool whose connections turn the database's own troubles into `DatabaseUnavailable`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from matcher.errors import DatabaseUnavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

OUTAGES = (
    OSError,  # refused, reset; TimeoutError is one too
    asyncpg.InterfaceError,  # the pool is closing, the connection is lost
    asyncpg.InternalClientError,  # used in the moment in which the server had ended it, but not yet closed it
    asyncpg.PostgresConnectionError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization: nothing was done
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # shutting down, starting up, terminated, statement timeout
    asyncpg.PostgresSystemError,  # I/O error of the server
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # not accepting connections
    asyncpg.InvalidCatalogNameError,  # dropped, or not restored yet
)


PROOF_S = 1.0
"""After a command that took too long the database must show that it answers before anything is asked of it."""

HUNG_S = 3.0
"""Where it does not, it is left alone for so long: nobody waits for it meanwhile."""


class Connections(NamedTuple):
    """How many there are: in use, idle, and allowed."""

    used: int
    idle: int
    most: int


class Database:
    """Hands out connections. Every method raises DatabaseUnavailable while Postgres cannot do its work.

    `on_acquired` is told the seconds that somebody waited for a connection, in vain included.
    """

    def __init__(self, pool: Pool, acquire_timeout_s: float = 5.0) -> None:
        self.on_acquired: Callable[[float], None] = lambda _: None
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self._hung_until: float | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        with outages():
            try:
                if self._hung_until is not None:
                    await self._prove()
                async with self._acquired() as connection:
                    yield connection
            except TimeoutError:  # perhaps it hangs, perhaps that command alone took long
                if self._hung_until is None:
                    self._hung_until = time.monotonic()
                raise

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        began = time.monotonic()
        try:
            connection = await self._pool.acquire(timeout=self._acquire_timeout_s)
        finally:
            self.on_acquired(time.monotonic() - began)
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    def connections(self) -> Connections:
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return Connections(size - idle, idle, self._pool.get_max_size())

    async def _prove(self) -> None:
        """That it answers again. One asks, nobody waits for him. Raises DatabaseUnavailable, or what ails it."""
        if self._hung_until is not None and time.monotonic() < self._hung_until:
            raise DatabaseUnavailable("it did not answer a moment ago")
        self._hung_until = time.monotonic() + HUNG_S
        async with asyncio.timeout(PROOF_S), self._pool.acquire() as connection:
            try:
                await connection.execute("SELECT 1")
            except asyncio.CancelledError:
                connection.terminate()  # giving it back would wait for an answer
                raise
        self._hung_until = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.connection() as connection, connection.transaction():
            yield connection


@contextmanager
def outages() -> Iterator[None]:
    """Who is cancelled stays so, also where it is the giving back that fails: somebody waits for his end."""
    try:
        yield
    except OUTAGES as error:
        if isinstance(error, ValueError):  # asyncpg's DataError is an InterfaceError too: an argument of ours is wrong
            raise
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error
