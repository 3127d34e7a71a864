"""What other processes changed, as Postgres tells it: NOTIFY on a channel that every process listens on.

Who keeps something by heart may trust it only as long as he would hear of a change. A message of our own, sent through
another connection every few seconds, proves that: where it does not come back (the database is away, the connection is
dead, a pooler such as PgBouncer stands between and drops notifications) nothing is trusted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, unquote

import structlog

from matcher.database import Connection, Database
from matcher.errors import DatabaseUnavailable

CHANNEL = "discogs_proxy_changes"
BEAT_S = 2.0
TRUSTED_S = 5.0
"""After the last proof. A change is then known at most so much later, if the connection died unseen."""

RETRY_S = 1.0
PATH_MAX = 7000
"""Postgres takes payloads below 8000 bytes; for a longer path all paths are named."""

log = structlog.get_logger()


class OnPath(Protocol):
    def __call__(self, path: str, /, *, below: bool) -> None: ...


@dataclass(slots=True)
class Changes:
    """`on_release` and `on_path` are told what changed, `on_gap` that anything may have.

    The keyword of `on_path` says whether what lies below the path changed as well.
    """

    database: Database
    on_release: Callable[[int], None]
    on_path: OnPath
    on_gap: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    _name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _trusted_until: float = float("-inf")
    _told: str | None = None
    """What was logged last of why nothing is heard."""
    _beat_at: float = float("-inf")
    _beat_heard: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def are_heard(self) -> bool:
        """Every change up to a few seconds ago at most has been told; one of our own database, up to now."""
        return self.clock() < self._trusted_until

    async def run(self) -> None:
        """Listens for ever; a lost connection is made anew."""
        while True:
            try:
                await self._listen()
            except DatabaseUnavailable as error:
                self._tell_once(str(error))
            finally:
                self._forget()
            await asyncio.sleep(RETRY_S)

    def _tell_once(self, error: str) -> None:
        """Behind a pooler it stays as it is: it is not said again and again."""
        if self._told != error:
            log.warning("changes are not heard: hits are not answered from memory", error=error)
        self._told = error

    async def tell_path(self, path: str, *, below: bool) -> None:
        """Tell the other processes that copies of `path` were dropped, and whether also of what lies below it.

        Raises DatabaseUnavailable.
        """
        encoded = quote(unquote(path))  # a path may hold what Postgres' text cannot
        what = f"{'path' if below else 'page'} {encoded}" if len(encoded) <= PATH_MAX else "path /"
        async with self.database.connection() as connection:
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, what)

    async def _listen(self) -> None:
        """Until the connection ends or falls silent. Raises DatabaseUnavailable.

        The other connection is kept as well: where all are in use, waiting for one must not look like a gap.
        """
        async with self.database.connection() as connection, self.database.connection() as other:
            await connection.add_listener(CHANNEL, self._heard)
            connection.add_termination_listener(self._lost)
            try:
                self._forget()  # what was told before we listened
                self._ended.clear()
                while await self._beat(other):
                    self._told = None
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._ended.wait(), BEAT_S)
            finally:
                connection.remove_termination_listener(self._lost)
                if not connection.is_closed():
                    await connection.remove_listener(CHANNEL, self._heard)

    def _lost(self, _connection: object) -> None:
        self._trusted_until = float("-inf")
        self._ended.set()

    def _forget(self) -> None:
        self._trusted_until = float("-inf")
        self.on_gap()

    async def _beat(self, other: Connection) -> bool:
        """Send ourselves a message; False when it does not come back. Raises DatabaseUnavailable."""
        if self._ended.is_set():
            return False
        self._beat_heard.clear()
        self._beat_at = self.clock()
        await other.execute("SELECT pg_notify($1, $2)", CHANNEL, f"beat {self._name}")
        try:
            async with asyncio.timeout(BEAT_S):
                await self._beat_heard.wait()
        except TimeoutError:
            self._tell_once("a message of our own did not come back")
            return False
        return True

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        kind, _, what = str(payload).partition(" ")
        match kind:
            case "beat" if what == self._name:
                self._trusted_until = self._beat_at + TRUSTED_S
                self._beat_heard.set()
            case "release" if what.isdecimal():
                self.on_release(int(what))
            case "all":
                self.on_gap()
            case "path" | "page":
                self.on_path(unquote(what), below=kind == "path")
