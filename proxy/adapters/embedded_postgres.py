"""The embedded PostgreSQL server: started, watched and stopped by the one proxy that owns DATA_DIR."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from proxy.adapters.postgres_cluster import choose_programs, make_cluster, refuse_foreign
from proxy.adapters.postgres_errors import (
    ClusterNotOurs,
    DataDirectoryInUse,
    EmbeddedPostgresError,
    PostgresFailed,
    PostgresNotFound,
    PostgresVersionMismatch,
)
from proxy.adapters.postgres_folder import (
    PostgresFolder,
    failures_explained,
    make_folder,
    make_socket_folder,
    release_lock,
    remove_half_made,
    remove_socket_folder,
    rotate_log,
    running_server_dsn,
    take_lock,
)
from proxy.adapters.postgres_server import MAX_CONNECTIONS, Server, end_orphan

__all__ = [
    "ClusterNotOurs",
    "DataDirectoryInUse",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "PostgresFailed",
    "PostgresNotFound",
    "PostgresVersionMismatch",
    "running_server_dsn",
]

WATCH = 0.1
FIRST_DELAY, LONGEST_DELAY = 0.2, 30.0
STEADY = 60.0
"""A server that lived this long is restarted at once when it dies."""


class OnEvent(Protocol):
    """A structlog logger's `info` is one."""

    def __call__(self, event: str, /, **details: object) -> object: ...


def ignore(event: str, /, **details: object) -> None:
    """For callers who do not want to know."""


def restart_delay(failures: int) -> float:
    """Seconds before the next try, after so many servers in a row that did not last."""
    return min(FIRST_DELAY * 2.0 ** (failures - 1), LONGEST_DELAY) if failures else 0.0


class EmbeddedPostgres:
    """The server of DATA_DIR/postgres. Cancel `supervise` before `stop`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        on_event: OnEvent = ignore,
        bin_dir: Path | None = None,
        allow_namespace: bool = True,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.restarts = 0
        self._folder = PostgresFolder(data_dir.absolute())
        self._report = on_event
        self._bin_dirs = None if bin_dir is None else [bin_dir]
        self._allow_namespace = allow_namespace
        self._connections = connections
        self._server: Server | None = None
        self._cleanup = AsyncExitStack()

    async def start(self) -> str:
        """The DSN, good until `stop`. From the main thread only: the server dies with the thread that started it.

        Raises EmbeddedPostgresError.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded PostgreSQL must be started from the main thread")
        began = time.monotonic()
        async with AsyncExitStack() as cleanup:
            with failures_explained(self._folder):
                server = await self._start(cleanup)
            self._cleanup = cleanup.pop_all()
        self._server = server
        seconds = round(time.monotonic() - began, 3)
        self._report("postgres started", version=server.programs.binaries.version, seconds=seconds)
        return self._folder.dsn()

    async def _start(self, cleanup: AsyncExitStack) -> Server:
        """The order matters: nothing is touched before DATA_DIR is ours and what an earlier owner left has ended."""
        folder = self._folder
        refuse_foreign(folder)
        make_folder(folder)
        cleanup.callback(release_lock, take_lock(folder))
        await end_orphan(folder)
        remove_half_made(folder)
        rotate_log(folder)
        programs = choose_programs(folder, self._bin_dirs, allow_namespace=self._allow_namespace)
        server = Server(folder, programs, self._connections)
        await make_cluster(folder, server.programs)
        cleanup.callback(remove_socket_folder, folder)
        make_socket_folder(folder, server.programs.launch.identity.outside)
        cleanup.push_async_callback(server.halt)
        await server.bring_up()
        return server

    async def stop(self) -> None:
        """Ends the server and sets DATA_DIR free; nothing where nothing runs."""
        self._server = None
        await self._cleanup.aclose()

    async def supervise(self) -> None:
        """Starts the server again whenever it died, until cancelled; `restarts` counts."""
        failures = 0
        while True:
            server, lived = await self._death()
            self._report("postgres died", exit_code=server.exit_code())
            failures = 0 if lived >= STEADY else failures
            await asyncio.sleep(restart_delay(failures))
            failures += 1
            await self._restart(server)

    async def _death(self) -> tuple[Server, float]:
        """Waits for it, and says for how many seconds the server lived meanwhile."""
        began = time.monotonic()
        while True:
            if self._server is not None and not self._server.is_alive():
                return self._server, time.monotonic() - began
            await asyncio.sleep(WATCH)

    async def _restart(self, server: Server) -> None:
        try:
            with failures_explained(self._folder):
                await server.bring_up()
        except EmbeddedPostgresError as error:
            self._report("postgres restart failed", error=str(error))
        else:
            self.restarts += 1
            self._report("postgres restarted", restarts=self.restarts)
