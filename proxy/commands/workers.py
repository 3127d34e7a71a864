"""Several processes behind one port (WORKERS): begun, begun again when one dies, told signals, ended with us.

The embedded PostgreSQL and the schema are ours; the requests are theirs. Each listens for itself (SO_REUSEPORT), so
that Linux spreads connections evenly and sends none to a dead one. On its standard input each has a pipe that ends when
we do, however that happens.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

from proxy.adapters import siblings
from proxy.adapters.metrics import restarts_gauge
from proxy.adapters.siblings import PARENT, Siblings, socket_of
from proxy.background import Health, running
from proxy.domain.wire import encode_json
from proxy.rotation import CREDENTIALS
from proxy.settings import variables

POLL_S = 0.05
PIPE = 0
"""Standard input, as a file descriptor."""

log = structlog.get_logger()


class WorkerDied(Exception):
    """A process ended that should not have."""


def as_argument(place: Siblings) -> str:
    return f"{place.own}/{place.count}:{place.folder}"


def seat(argument: str) -> Siblings:
    """Raises ValueError."""
    numbers, _, folder = argument.partition(":")
    own, _, count = numbers.partition("/")
    return Siblings(Path(folder), int(own), int(count))


@asynccontextmanager
async def reserved(host: str, port: int) -> AsyncIterator[list[tuple[str, int]]]:
    """The addresses that the name has, with the port: ours for as long as the context is open, to share as we like.

    Raises OSError where somebody has it already, even one who would share it.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as held:
        addresses: list[tuple[str, int]] = []
        for family, name in dict.fromkeys((each[0], str(each[4][0])) for each in found):
            with socket.create_server((name, port), family=family) as alone:
                port = int(alone.getsockname()[1])
            mine = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                mine.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            mine.bind((name, port))
            addresses.append((name, port))
        yield addresses


def environment_of_workers(environment: Mapping[str, str], dsn: str, port: int) -> dict[str, str]:
    """Settings as they were when we began, whatever `.env` says by then. Credentials each reads there by itself."""
    names = [
        name
        for each in variables()
        if each.name not in CREDENTIALS
        for name in (each.name, *([f"{each.name}_FILE"] if each.secret else []))
    ]
    fixed = {name: environment.get(name, "") for name in names}
    return dict(os.environ) | fixed | {"DATABASE_URL": dsn, "DATABASE_URL_FILE": "", "PORT": str(port)}


@dataclass(slots=True)
class Workers:
    folder: Path
    count: int
    environment: Mapping[str, str]
    drain_s: float
    _processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    _is_stopping: bool = False

    async def keep(self, number: int) -> None:
        """One process, until it ends. Raises WorkerDied unless all are to end."""
        if self._is_stopping:
            return
        socket_of(self.folder, number).unlink(missing_ok=True)
        place = as_argument(Siblings(self.folder, number, self.count))
        command = (sys.executable, "-m", "proxy", "serve", "--as-worker", place)
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, env=self.environment)
        self._processes[number] = process
        log.info("worker started", worker=number, pid=process.pid)
        code = await process.wait()
        if not self._is_stopping:
            raise WorkerDied(f"worker {number} (pid {process.pid}) ended with {code}")

    async def hang_up(self, asked: asyncio.Event) -> None:
        """For ever: passes each SIGHUP on. A process that still begins would be ended by it."""
        while True:
            await asked.wait()
            asked.clear()
            for number in range(1, self.count + 1):
                await self.ready(number)
                self._tell(self._processes[number], signal.SIGHUP)

    async def ready(self, number: int) -> None:
        """Its socket is there once it serves."""
        while not socket_of(self.folder, number).exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """All at once; who has not ended when his time is over is killed."""
        self._is_stopping = True
        alive = [each for each in self._processes.values() if each.returncode is None]
        for process in alive:
            self._tell(process, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.drain_s):
                await asyncio.gather(*(each.wait() for each in alive))
        for process in alive:
            self._tell(process, signal.SIGKILL)
            await process.wait()

    def _tell(self, process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)


@asynccontextmanager
async def sharing(
    count: int, environment: Mapping[str, str], health: Health, hung_up: asyncio.Event, *, drain_s: float
) -> AsyncIterator[Workers]:
    """So many processes serve while the context is open. `health` tells who is dead, and how often each died."""
    folder = Path(tempfile.mkdtemp(prefix="discogs-proxy-"))
    workers = Workers(folder, count, environment, drain_s)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(told(folder, health))
            for number in range(1, count + 1):
                work = running(f"worker {number}", lambda number=number: workers.keep(number), health)  # type: ignore[misc]
                await stack.enter_async_context(work)
            stack.push_async_callback(workers.stop)
            await stack.enter_async_context(running("hang up", lambda: workers.hang_up(hung_up), health))
            yield workers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def told(folder: Path, health: Health) -> AsyncIterator[None]:
    """What this process knows of itself and of its workers, for the one that is asked."""
    registry = CollectorRegistry()
    restarts = restarts_gauge(registry)
    ProcessCollector(registry=registry)

    async def metrics(_: web.Request) -> web.Response:
        for task, count in health.restarts.items():
            restarts.labels(task).set(count)
        return web.Response(body=generate_latest(registry))

    async def degraded(_: web.Request) -> web.Response:
        return web.Response(body=encode_json(health.degraded))

    app = web.Application()
    app.add_routes([web.get(siblings.METRICS, metrics), web.get(siblings.DEGRADED, degraded)])
    async with answering(app, socket_of(folder, PARENT)):
        yield


@asynccontextmanager
async def answering(app: web.Application, path: Path) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield
    finally:
        await runner.cleanup()
