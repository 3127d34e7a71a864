"""The database that a command works on: DATABASE_URL, or the embedded PostgreSQL of DATA_DIR."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from matcher.database import Database
from proxy.adapters.backup import copy_before
from proxy.adapters.database import CONNECTIONS, BeforeMigration, connected
from proxy.adapters.embedded_postgres import EmbeddedPostgres, running_server_dsn
from proxy.background import Health, running
from proxy.settings import Settings

MIGRATE_ANYWAY = (
    "Make room there, or write a copy elsewhere (./run backup FILE) and start once with ./run --no-dump, "
    "which changes the schema without a copy."
)

CONNECTIONS_BESIDE = 88
"""Of commands, of whoever looks, and of those that PostgreSQL keeps for itself."""

log = structlog.get_logger()


def copies_folder(settings: Settings) -> Path:
    """Where a database is copied to before something changes it as a whole."""
    return settings.data_dir / "backups"


def copied_first(settings: Settings, dsn: str) -> BeforeMigration:
    def tell(file: Path) -> None:
        log.info("the schema changes: data is copied first", file=str(file))

    async def copy() -> None:
        await copy_before("migration", dsn, copies_folder(settings), way_on=MIGRATE_ANYWAY, on_begin=tell)

    return copy


@asynccontextmanager
async def serving_database(settings: Settings, health: Health, *, dump: bool = True) -> AsyncIterator[Database]:
    """For the proxy itself: the embedded server, where it is used, is ours alone and is restarted when it dies.

    `dump`: the database is copied before its schema changes. Raises DatabaseUnusable, or the embedded server's errors.
    """
    async with serving_dsn(settings, health) as dsn:
        before = copied_first(settings, dsn) if dump else None
        async with connected(dsn, before_migration=before) as database:
            yield database


@asynccontextmanager
async def serving_dsn(settings: Settings, health: Health) -> AsyncIterator[str]:
    if settings.database_url:
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.data_dir, connections=settings.workers * CONNECTIONS + CONNECTIONS_BESIDE)
    dsn = await server.start()
    try:
        async with running("postgres", server.supervise, health):
            yield dsn
    finally:
        await server.stop()


@asynccontextmanager
async def command_dsn(settings: Settings) -> AsyncIterator[str]:
    """For a command: beside a running proxy it is that one's embedded server. Its schema may be of another version."""
    dsn = settings.database_url or running_server_dsn(settings.data_dir)
    if dsn:
        yield dsn
        return
    async with serving_dsn(settings, Health()) as own:
        yield own


@asynccontextmanager
async def command_database(settings: Settings) -> AsyncIterator[Database]:
    async with (
        command_dsn(settings) as dsn,
        connected(dsn, connections=2, before_migration=copied_first(settings, dsn)) as database,
    ):
        yield database
