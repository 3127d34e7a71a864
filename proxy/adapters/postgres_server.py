"""One PostgreSQL server process: how it is configured, when it is ready, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from proxy.adapters.postgres_cluster import POLL, Programs, ended
from proxy.adapters.postgres_errors import EmbeddedPostgresError, PostgresFailed
from proxy.adapters.postgres_folder import (
    NAME,
    PORT,
    SOCKET_LOCK,
    PostgresFolder,
    is_listening,
    log_since,
    log_size,
    remove_stale_pid,
    tail,
)

RETRY_PAUSE = 0.05
CONNECT_PATIENCE = 5.0
READY_PATIENCE = 300.0
"""Replaying the write-ahead log after a crash may be slow."""
LEFTOVER_PATIENCE = 60.0
STOP_SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
"""Fast shutdown; immediate shutdown, made good by a replay at the next start; what nobody can refuse."""

MAX_CONNECTIONS = 100
MAINTENANCE_DATABASE = "postgres"
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "cluster_name": "discogs-proxy",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_checkpoints": "off",
}
"""Small, and nothing that was committed is lost; given on the command line, so a new version may change them."""
LEFTOVERS = (
    "pre-existing shared memory block",
    'lock file "postmaster.pid" already exists',
    f'{SOCKET_LOCK}" already exists',
)
"""What PostgreSQL says while an earlier server of the same cluster is still ending."""
NOT_YET = (OSError, asyncpg.OperatorInterventionError, asyncpg.PostgresConnectionError)
"""No socket yet, starting up, shutting down, hung up; TimeoutError is an OSError."""


def options(folder: PostgresFolder, connections: int = MAX_CONNECTIONS) -> list[str]:
    settings = {
        **SETTINGS,
        "max_connections": str(connections),
        "unix_socket_directories": str(folder.socket_folder()),
    }
    return ["-D", str(folder.cluster), *(f"--{name}={value}" for name, value in settings.items())]


def is_leftover(log: str) -> bool:
    return any(sign in log for sign in LEFTOVERS)


@dataclass(slots=True)
class Server:
    """At most one process at a time; `bring_up` may be called again when it has died."""

    folder: PostgresFolder
    programs: Programs
    connections: int = MAX_CONNECTIONS
    process: subprocess.Popen[bytes] | None = None
    halted: bool = False

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    async def bring_up(self) -> None:
        """Until it answers; what remains of an earlier server may hold the cluster for a while.

        Raises PostgresFailed, also when it was halted meanwhile.
        """
        deadline = time.monotonic() + LEFTOVER_PATIENCE
        while (failure := await self._try()) is not None:
            if not is_leftover(failure) or time.monotonic() > deadline:
                raise PostgresFailed(f"PostgreSQL does not start in {self.folder.cluster}:\n{tail(failure)}")
            await asyncio.sleep(RETRY_PAUSE)

    async def _try(self) -> str | None:
        """None when it is ready, otherwise what it wrote before it ended."""
        if self.halted:
            return "it was stopped"
        said_before = log_size(self.folder)
        self._spawn()
        ready = await self._ready()
        return None if ready else log_since(self.folder, said_before)

    def _spawn(self) -> None:
        remove_stale_pid(self.folder)
        arguments = options(self.folder, self.connections)
        self.process = self.programs.spawn("postgres", *arguments, folder=self.folder, death_signal=signal.SIGINT)

    async def _ready(self) -> bool:
        """False: it ended, or had to be ended, before it took a connection."""
        deadline = time.monotonic() + READY_PATIENCE
        while self.is_alive():
            if await answers(self.folder):
                return True
            if time.monotonic() > deadline:
                await self._end()
            await asyncio.sleep(POLL)
        return False

    async def halt(self) -> None:
        """For good: a `bring_up` that still runs does not start it again."""
        self.halted = True
        await self._end()

    async def _end(self) -> None:
        for number, patience in STOP_SIGNALS:
            if self.process is None or self.process.poll() is not None:
                return
            self.process.send_signal(number)
            await ended(self.process, patience)


async def answers(folder: PostgresFolder) -> bool:
    """Whether it takes a connection to our database. Raises PostgresFailed where it never will."""
    try:
        await open_database(folder)
    except PermissionError:
        raise
    except NOT_YET:
        return False
    except asyncpg.PostgresError as error:
        raise PostgresFailed(f"PostgreSQL in {folder.cluster} refuses our database: {error}") from error
    return True


async def open_database(folder: PostgresFolder) -> None:
    """Makes the one that a fresh cluster lacks."""
    try:
        async with connected(folder, NAME):
            return
    except asyncpg.InvalidCatalogNameError:
        async with connected(folder, MAINTENANCE_DATABASE) as connection:
            await connection.execute(f"CREATE DATABASE {NAME}")


@asynccontextmanager
async def connected(folder: PostgresFolder, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(folder.dsn(database), timeout=CONNECT_PATIENCE)
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_PATIENCE)


async def end_orphan(folder: PostgresFolder) -> None:
    """A server whose proxy was killed: it ends by itself where the system has death signals, elsewhere by us.

    Call it only while DATA_DIR is ours. Raises EmbeddedPostgresError.
    """
    deadline = time.monotonic() + LEFTOVER_PATIENCE
    while is_listening(folder.socket_folder()):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"a PostgreSQL server that no proxy owns runs in {folder.cluster}: stop it")
        await ask_to_end(folder)
        await asyncio.sleep(RETRY_PAUSE)


async def ask_to_end(folder: PostgresFolder) -> None:
    """By the pid that it tells over a connection: so it lives, and it is this cluster's."""
    with suppress(*NOT_YET):
        async with connected(folder, MAINTENANCE_DATABASE) as connection:
            pid_file = await connection.fetchval("SELECT pg_read_file('postmaster.pid')")
        os.kill(int(pid_file.split("\n")[0]), signal.SIGINT)
