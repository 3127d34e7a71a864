"""The response cache: answers of Discogs that everybody may see, in a bounded SQLite file.

On the storage of aiohttp-client-cache, which has no bound, no write-ahead log and never shrinks: those are added here.
Values are bytes of our own form, never pickles. Whatever is wrong with the file is a miss, never an error.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import aiosqlite
import structlog
from aiohttp_client_cache.backends.sqlite import SQLiteCache
from multidict import CIMultiDict

from proxy.adapters.upstream import Answer
from proxy.domain.purge import plain_path
from proxy.domain.wire import decode_json, encode_json

FILE_NAME = "responses.sqlite"
BYTES_MAX = 256 * 1024 * 1024
"""Of all bodies together; the least recently used go first."""

EVICT_TO = 0.9
"""Of the bound, so that not every answer evicts one."""

LARGEST = 0.1
"""Of the bound: a longer answer would drive out too many others."""

USES_NOTED_EVERY_S = 60.0
"""Of one answer: a write for each read would cost more than it tells."""

TOTAL_AGAIN = 0.01
"""Of the bound: after so many bytes of our own it is looked what other processes have added."""

BUSY_TIMEOUT_S = 0.5
BUSY_ATTEMPTS = 10
"""While another process writes; in between others of ours may read."""
RETRY_S = 30.0
"""How long a file that cannot be used is left alone."""

FORMAT = b"1 "
"""First bytes of a value: another version of us may write another form."""

T = TypeVar("T")
Connect = aiosqlite.Connection
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer and when upstream gave it. `purged`: no longer fresh, good only while upstream fails."""

    answer: Answer
    fetched_at: datetime
    purged: bool = False


class ResponseFile(SQLiteCache):
    """The library's table with a path to purge by, the size and the last use of each row."""

    def __init__(self, file: Path, bytes_max: int) -> None:
        super().__init__(str(file), "responses", timeout=BUSY_TIMEOUT_S)
        self.bytes_max = bytes_max
        self._bytes = 0
        self._written = 0
        """Since the bytes of all processes were summed."""

    async def _init_db(self) -> None:
        db = self._connection
        await db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        await db.execute("PRAGMA journal_mode = WAL")
        await db.execute("PRAGMA synchronous = NORMAL")
        await db.execute(
            "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, value BLOB NOT NULL, path TEXT NOT NULL,"
            " purged INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL, used_at REAL NOT NULL) WITHOUT ROWID"
        )
        await db.execute("CREATE INDEX IF NOT EXISTS responses_used_at ON responses (used_at)")
        await db.execute("CREATE INDEX IF NOT EXISTS responses_path ON responses (path)")
        await db.execute("CREATE INDEX IF NOT EXISTS responses_size ON responses (size)")  # sums without the values
        self._bytes = await self._total()
        await db.commit()
        self._initialized = True

    async def begin(self) -> None:
        """Open the file and look at it."""
        async with self.get_connection():
            pass

    async def end(self) -> None:
        await self.close()  # type: ignore[no-untyped-call]

    async def rollback(self) -> None:
        """After a statement that got no lock: nobody on this connection has written anything then."""
        await self._connection.rollback()

    async def _total(self) -> int:
        self._written = 0
        async with self._connection.execute("SELECT coalesce(sum(size), 0) FROM responses") as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def look_up(self, key: str, now: float) -> tuple[bytes, bool] | None:
        """Value and whether it was purged; the look counts as a use, of which one in a while is noted."""
        async with self.get_connection() as db:
            async with db.execute("SELECT value, purged, used_at FROM responses WHERE key = ?", (key,)) as cursor:
                row = await cursor.fetchone()
            if row is None:
                return None
            if not 0 <= now - row[2] < USES_NOTED_EVERY_S:
                await db.execute("UPDATE responses SET used_at = ? WHERE key = ?", (now, key))
                await db.commit()
            return bytes(row[0]), bool(row[1])

    async def put(self, key: str, path: str, value: bytes, now: float) -> bool:
        """Whether it was kept."""
        if len(value) > self.bytes_max * LARGEST:
            return False
        async with self.get_connection(commit=True) as db:
            await db.execute(
                "INSERT OR REPLACE INTO responses (key, value, path, size, used_at) VALUES (?, ?, ?, ?, ?)",
                (key, value, path, len(value), now),
            )
            self._bytes += len(value)
            self._written += len(value)
            if self._written > self.bytes_max * TOTAL_AGAIN:
                self._bytes = await self._total()
            if self._bytes > self.bytes_max:
                await self._evict(db)
        return True

    async def _evict(self, db: Connect) -> None:
        """The least recently used beyond the bound; the file gives their pages back."""
        await db.execute(
            """
            DELETE FROM responses WHERE key IN (
              SELECT key FROM (
                SELECT key, sum(size) OVER (ORDER BY used_at DESC, key) AS kept FROM responses
              ) WHERE kept > ?)
            """,
            (int(self.bytes_max * EVICT_TO),),
        )
        await db.executescript("PRAGMA incremental_vacuum")  # execute() would free one page alone
        self._bytes = await self._total()

    async def drop(self, keys: Sequence[str]) -> None:
        async with self.get_connection(commit=True) as db:
            for key in keys:
                await db.execute("DELETE FROM responses WHERE key = ?", (key,))

    async def drop_paths(self, paths: Sequence[str]) -> None:
        async with self.get_connection(commit=True) as db:
            for path in paths:
                await db.execute("DELETE FROM responses WHERE path = ?", (path,))

    async def purge(self, paths: Sequence[str], *, soft: bool) -> int:
        """Mark or drop the answers of these paths and of what lies below them; returns how many."""
        found = 0
        async with self.get_connection(commit=True) as db:
            for path in paths:
                statement = "UPDATE responses SET purged = 1" if soft else "DELETE FROM responses"
                below = path.rstrip("/") + "/"
                cursor = await db.execute(
                    f"{statement} WHERE path = ? OR substr(path, 1, ?) = ?",
                    (path.rstrip("/") or "/", len(below), below),
                )
                found += cursor.rowcount
            self._bytes = await self._total()
        return found


class ResponseStore:
    """Reads and writes answers. A file that is broken is begun anew."""

    def __init__(self, folder: Path, bytes_max: int = BYTES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / FILE_NAME
        self._bytes_max = bytes_max
        self._clock = clock
        self._file: ResponseFile | None = None
        self._closed_until = float("-inf")
        self._opening = asyncio.Lock()
        self.drops = 0

    def drop_noted(self) -> None:
        """Something was dropped, here or by another process: an answer that was asked for before must not be kept."""
        self.drops += 1

    async def read(self, key: str) -> StoredAnswer | None:
        """None: a miss."""
        found = await self._use(lambda file: file.look_up(key, time.time()), None)
        return unpacked(*found) if found else None

    async def write(self, key: str, path: str, stored: StoredAnswer, drops: int | None = None) -> bool:
        """Whether it was kept. `path` is that of the request, without its query: what a purge names.

        `drops` is the count at the time when the answer was asked for.
        """
        if drops is not None and drops != self.drops:
            return False
        return await self._use(lambda file: file.put(key, plain_path(path), packed(stored), time.time()), False)

    async def purge(self, paths: Sequence[str], *, soft: bool) -> int:
        self.drop_noted()
        return await self._use(lambda file: file.purge([plain_path(path) for path in paths], soft=soft), 0)

    async def drop(self, keys: Sequence[str]) -> None:
        await self._use(lambda file: file.drop(keys), None)

    async def drop_paths(self, paths: Sequence[str]) -> None:
        """Every answer of these paths, whatever its query; not what lies below them."""
        self.drop_noted()
        await self._use(lambda file: file.drop_paths([plain_path(path) for path in paths]), None)

    async def close(self) -> None:
        file, self._file = self._file, None
        if file:
            await file.end()

    async def _use(self, work: Callable[[ResponseFile], Awaitable[T]], otherwise: T) -> T:
        """Troubles with the file end here: then it is `otherwise`, and the file is left alone for a while.

        A client that goes away leaves what it began with the file undisturbed.
        """
        if self._clock() < self._closed_until:
            return otherwise
        return await asyncio.shield(asyncio.ensure_future(self._try(work, otherwise)))

    async def _try(self, work: Callable[[ResponseFile], Awaitable[T]], otherwise: T) -> T:
        file: ResponseFile | None = None
        try:
            for _ in range(BUSY_ATTEMPTS):
                file = await self._open()
                try:
                    return await work(file)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                        raise
                    await file.rollback()
            log.warning("response cache is written by others for too long", file=str(self._path))
        except Exception as error:  # noqa: BLE001 - whatever ails the file is a miss
            await self._give_up(file, error)
        return otherwise

    async def _open(self) -> ResponseFile:
        async with self._opening:
            if self._file is None:
                await asyncio.to_thread(_make_private, self._path)
                file = ResponseFile(self._path, self._bytes_max)
                try:
                    await file.begin()
                except BaseException:
                    await file.end()
                    raise
                self._file = file
            return self._file

    async def _give_up(self, file: ResponseFile | None, error: Exception) -> None:
        """Of many who met the same trouble the first one closes the file."""
        if file is not None and file is not self._file:
            return
        log.warning("response cache cannot be used", file=str(self._path), error=f"{type(error).__name__}: {error}")
        self._closed_until = self._clock() + RETRY_S
        await self.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            await asyncio.to_thread(_remove, self._path)
            self._closed_until = float("-inf")


def _make_private(file: Path) -> None:
    """Readable by its owner alone: what people searched for is in it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)


def _remove(file: Path) -> None:
    """A cache that is broken holds nothing of worth."""
    for each in (file, file.with_name(file.name + "-wal"), file.with_name(file.name + "-shm")):
        each.unlink(missing_ok=True)


def packed(stored: StoredAnswer) -> bytes:
    head = {
        "status": stored.answer.status,
        "headers": list(stored.answer.headers.items()),
        "fetched_at": stored.fetched_at.timestamp(),
    }
    return FORMAT + encode_json(head) + b"\n" + stored.answer.body


def unpacked(value: bytes, purged: bool) -> StoredAnswer | None:
    """None for what is not of our making."""
    head, newline, body = value.removeprefix(FORMAT).partition(b"\n")
    try:
        if not value.startswith(FORMAT) or not newline:
            return None
        told = decode_json(head)
        if not isinstance(told, dict):
            return None
        return StoredAnswer(
            Answer(int(told["status"]), CIMultiDict((str(name), str(text)) for name, text in told["headers"]), body),
            datetime.fromtimestamp(float(told["fetched_at"]), UTC),
            purged,
        )
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
