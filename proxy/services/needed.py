"""What an answer cannot do without: where it is away, the client is told so, and when to try again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from matcher.database import Connection, Database
from matcher.errors import DatabaseUnavailable
from proxy.errors import Degraded

TRY_AGAIN = "The database is away: try again in a moment."
TRY_AGAIN_S = 5.0


@contextmanager
def needs_the_database(message: str = "The database is away.") -> Iterator[None]:
    """Raises Degraded with this message where what is done meanwhile raises DatabaseUnavailable."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise Degraded(message, TRY_AGAIN_S) from error


@asynccontextmanager
async def needed_connection(database: Database) -> AsyncIterator[Connection]:
    """Raises Degraded."""
    with needs_the_database(TRY_AGAIN):
        async with database.connection() as connection:
            yield connection
