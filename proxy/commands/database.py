"""The database that a command works on: DATABASE_URL, or the embedded PostgreSQL of DATA_DIR."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from matcher.database import Database
from proxy.adapters.database import connected
from proxy.adapters.embedded_postgres import EmbeddedPostgres, running_server_dsn
from proxy.background import Health, running
from proxy.settings import Settings


@asynccontextmanager
async def serving_database(settings: Settings, health: Health) -> AsyncIterator[Database]:
    """For the proxy itself: the embedded server, where it is used, is ours alone and is restarted when it dies.

    Raises DatabaseUnusable, or the embedded server's own errors.
    """
    if settings.database_url:
        async with connected(settings.database_url) as database:
            yield database
        return
    server = EmbeddedPostgres(settings.data_dir)
    dsn = await server.start()
    try:
        async with running("postgres", server.supervise, health), connected(dsn) as database:
            yield database
    finally:
        await server.stop()


@asynccontextmanager
async def command_database(settings: Settings) -> AsyncIterator[Database]:
    """For a command: beside a running proxy it uses that one's embedded server."""
    dsn = settings.database_url or running_server_dsn(settings.data_dir)
    if dsn:
        async with connected(dsn, connections=2) as database:
            yield database
        return
    async with serving_database(settings, Health()) as database:
        yield database
