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
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

import asyncpg
import structlog

from matcher.database import Connection, Database
from matcher.errors import DatabaseUnavailable

CHANNEL = "discogs_proxy_changes"
BEAT_S = 2.0
BEAT_AT_MOST_S = 1.5
"""A database that hangs is found out while the memory is still trusted, so that nobody who asks for a hit waits."""

TRUSTED_S = 5.0
"""After the last proof. A change is then known at most so much later, if the connection died unseen."""

RETRY_S = 1.0
PATH_MAX = 7000
"""Postgres takes payloads below 8000 bytes; for a longer path all paths are named."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Copies of `path` were dropped, and, if `below`, of what lies below it; `soft`: they may stand in for failures."""

    path: str
    below: bool
    soft: bool


@dataclass(slots=True)
class Changes:
    """`on_release` and `on_store` are told what changed (a store by its username, when its mirror has a new version),
    `on_dropped` what another process dropped, `on_gap` that anything may have.
    """

    database: Database
    on_release: Callable[[int], None]
    on_dropped: Callable[[Dropped], None]
    on_gap: Callable[[], None]
    on_store: Callable[[str], None] = lambda _: None
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

    async def tell_dropped(self, what: Dropped) -> None:
        """Tell the other processes. Raises DatabaseUnavailable."""
        path = quote(unquote(what.path))  # it may hold what Postgres' text cannot
        what = replace(what, path=path) if len(path) <= PATH_MAX else Dropped("/", below=True, soft=what.soft)
        message = f"dropped {self._name} {what.below:d} {what.soft:d} {what.path}"
        async with self.database.connection() as connection:
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, message)

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
                        async with asyncio.timeout(BEAT_S):
                            await self._ended.wait()
            finally:
                with suppress(asyncpg.InterfaceError):  # it was lost, and is given back to the pool already
                    connection.remove_termination_listener(self._lost)
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
        await other.execute("SELECT pg_notify($1, $2)", CHANNEL, f"beat {self._name}", timeout=BEAT_AT_MOST_S)
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
            case "store":
                self.on_store(what)
            case "all":
                self.on_gap()
            case "dropped":
                self._heard_dropped(what)

    def _heard_dropped(self, message: str) -> None:
        match message.split(" ", 3):
            case [name, below, soft, path] if name != self._name:
                self.on_dropped(Dropped(unquote(path), below == "1", soft == "1"))
