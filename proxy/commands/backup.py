"""`./run backup FILE`, `./run restore FILE`: all that the database knows, or with --decisions what people decided."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from matcher.decisions_file import BadDecision, Merged, decisions_of_people, merged_one, parsed
from matcher.errors import DatabaseUnavailable
from proxy.adapters.archive import ArchiveError, FileThere, Header, refuse_overwriting, verify, written_whole
from proxy.adapters.backup import (
    BackupFailed,
    Restored,
    back_up,
    copy_before,
    explained,
    holds_data,
    load,
    plain_connection,
    refuse_newer,
)
from proxy.adapters.database import DatabaseUnusable, apply_schema
from proxy.adapters.embedded_postgres import EmbeddedPostgresError
from proxy.commands.database import command_database, command_dsn, copies_folder
from proxy.settings import Settings

TELL_EVERY_S = 0.2
RESTORE_ANYWAY = "Make room there, or restore with --no-dump, which keeps no copy of what is replaced."
FAILURES = (ArchiveError, BackupFailed, FileThere, BadDecision, DatabaseUnusable, DatabaseUnavailable, OSError)


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """`force`: an existing file is overwritten."""

    file: Path
    decisions: bool
    force: bool


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """`replace`: what the database holds goes; `dump`: a copy of it is kept first."""

    file: Path
    decisions: bool
    replace: bool
    dump: bool


class Bar:
    """Megabytes so far, on a terminal only; of `total`, where that is known."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._told_at = 0.0

    def __call__(self, more: int) -> None:
        self._done += more
        if sys.stderr.isatty() and time.monotonic() > self._told_at + TELL_EVERY_S:
            self._told_at = time.monotonic()
            share = f" ({min(100, 100 * self._done // self._total)} %)" if self._total else ""
            print(f"\r{self._what}: {self._done / 1e6:.0f} MB{share}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._told_at:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def shown(what: str, total: int | None = None) -> Iterator[Bar]:
    bar = Bar(what, total)
    try:
        yield bar
    finally:
        bar.end()


# --- backup ---------------------------------------------------------------------------------------------------------


async def backup(settings: Settings, options: BackupOptions) -> int:
    """The exit code: 1 when no backup was written."""
    try:
        refuse_overwriting(options.file, force=options.force)
        print(await (write_decisions if options.decisions else write_all)(settings, options))
    except FileThere as error:
        return failed(f"no backup was written: {error}; --force overwrites it")
    except (*FAILURES, EmbeddedPostgresError) as error:
        return failed(f"no backup was written: {error}")
    return 0


async def write_all(settings: Settings, options: BackupOptions) -> str:
    async with command_dsn(settings) as dsn:
        with shown("read from the database") as bar:
            written = await back_up(dsn, options.file, force=options.force, progress=bar)
    return f"{written.path}: {written.rows} rows, {written.bytes / 1e6:.1f} MB"


async def write_decisions(settings: Settings, options: BackupOptions) -> str:
    count = 0
    async with command_database(settings) as database, database.transaction() as connection:
        with written_whole(options.file, force=options.force) as file:
            async for decision in decisions_of_people(connection):
                file.write(decision.as_line())
                count += 1
    return f"{options.file}: {count} decisions"


# --- restore --------------------------------------------------------------------------------------------------------


async def restore(settings: Settings, options: RestoreOptions) -> int:
    """The exit code: 1 when nothing was restored."""
    try:
        with options.file.open("rb") as file:
            print(await (read_decisions if options.decisions else read_all)(settings, options, file))
    except (*FAILURES, EmbeddedPostgresError) as error:
        if options.decisions and not isinstance(error, BadDecision):
            return failed(f"not all was merged: {error}. Merging it again does no harm")
        return failed(f"nothing was restored, and nothing changed: {error}")
    return 0


async def read_all(settings: Settings, options: RestoreOptions, file: IO[bytes]) -> str:
    """The file is read twice: once to see that it is whole, before the database is even asked."""
    size = options.file.stat().st_size
    with shown("checked", size) as bar:
        header, footer = await asyncio.to_thread(verify, file, bar)
    refuse_newer(header)
    print(f"{options.file}: {sum(footer.rows.values())} rows of {header.made_at}, discogs-proxy {header.made_by}")
    async with command_dsn(settings) as dsn:
        replace = await may_replace(dsn, header, options)
        copy = await prepare(settings, dsn, options)
        with explained():
            async with plain_connection(dsn) as connection:
                with shown("restored", size) as bar:
                    restored = await load(connection, file, replace=replace, progress=bar)
    return told(restored, copy)


async def may_replace(dsn: str, header: Header, options: RestoreOptions) -> bool:
    """False: there is nothing to replace. Raises BackupFailed where it is not wanted."""
    with explained():
        async with plain_connection(dsn) as connection:
            if not await holds_data(connection):
                return False
    if options.replace or (sys.stdin.isatty() and agreed(header)):
        return True
    raise BackupFailed("the database holds data already: --replace puts the backup in its place, and keeps a copy")


def agreed(header: Header) -> bool:
    question = f"The database holds data. Replace all of it by the backup of {header.made_at}? Type yes: "
    try:
        return input(question).strip() == "yes"
    except EOFError:
        return False


async def prepare(settings: Settings, dsn: str, options: RestoreOptions) -> Path | None:
    """Our schema, and a copy of what is there. Raises DatabaseUnusable."""
    copy = None
    if options.dump:
        copy = await copy_before("restore", dsn, copies_folder(settings), way_on=RESTORE_ANYWAY)
    async with plain_connection(dsn) as connection:
        await apply_schema(connection)
    return copy


def told(restored: Restored, copy: Path | None) -> str:
    lines = [f"restored: {restored.rows} rows"]
    lines += [f"left out, as this version has no such place: {name}" for name in restored.left_out]
    lines += [f"what was there before: {copy}"] if copy else []
    return "\n".join(lines)


async def read_decisions(settings: Settings, options: RestoreOptions, file: IO[bytes]) -> str:
    """Every line is understood before the first is merged; each is merged in a transaction of its own."""
    for _ in parsed(file):
        pass
    file.seek(0)
    merged = Merged()
    async with command_database(settings) as database:
        with shown("merged", options.file.stat().st_size) as bar:
            for decision in parsed(file):
                async with database.connection() as connection:
                    merged.count(await merged_one(connection, decision))
                bar(len(decision.as_line()))
    return str(merged)


def failed(message: str) -> int:
    print(f"discogs-proxy: {message}", file=sys.stderr)
    return 1
