"""Gets a cluster ready to be started: which programs run it, as which user, and initdb where there is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.adapters import postgres_launcher as launcher
from proxy.adapters.postgres_binaries import Binaries, copy_binaries, find_binaries
from proxy.adapters.postgres_errors import ClusterNotOurs, PostgresFailed
from proxy.adapters.postgres_folder import (
    NAME,
    PostgresFolder,
    appended_log,
    log_since,
    log_size,
    sync_folder,
    tail,
)
from proxy.adapters.postgres_identity import (
    Identity,
    Launch,
    Myself,
    give,
    let_in,
    me,
    owner_of,
    possible_identities,
    refuse_closed,
    refuse_owner,
    spare_user,
)

POLL = 0.01
INITDB_PATIENCE = 180.0
LOCALES = (
    ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ("--locale=C.UTF-8",),
    ("--locale=C",),
)
"""Best first: PostgreSQL's own from 17 on, the system's, and the one that always is."""
BUILTIN_LOCALE_FROM = 17
BAD_LOCALE = "invalid locale"


@dataclass(frozen=True, slots=True)
class Programs:
    """What runs the cluster."""

    launch: Launch
    binaries: Binaries

    def spawn(self, name: str, *arguments: str, folder: PostgresFolder, death_signal: int) -> subprocess.Popen[bytes]:
        with appended_log(folder) as log:
            program = self.binaries.program(name)
            return self.launch.spawn(program, *arguments, output=log, death_signal=death_signal)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an identity cannot be had."""

    said: str


def choose_programs(folder: PostgresFolder, bin_dirs: Iterable[Path] | None, *, allow_namespace: bool) -> Programs:
    """The first identity that the system allows, and binaries that it can read. Raises EmbeddedPostgresError."""
    binaries = find_binaries(folder.cluster_major(), bin_dirs)
    owner = owner_of(folder.cluster)
    refusals = []
    for identity in possible_identities(me(), owner, spare_user(), allow_namespace=allow_namespace):
        found = try_identity(identity, folder, binaries)
        if isinstance(found, Programs):
            return found
        refusals.append(found.said)
    raise ClusterNotOurs(
        "PostgreSQL must not run as root, and the system allows neither a user namespace nor another user "
        f"({'; '.join(refusals)}): start the proxy as an ordinary user, or set DATABASE_URL"
    )


def try_identity(identity: Identity, folder: PostgresFolder, binaries: Binaries) -> Programs | Refusal:
    programs = Programs(Launch(identity, folder.root), binaries)
    if isinstance(identity, Myself):
        return programs
    for own in (folder.data_dir, folder.root):
        let_in(own, identity.outside)
    code, said = programs.launch.check(binaries.program("postgres"))
    match code:
        case 0:
            return programs
        case launcher.REFUSED:
            return Refusal(said)
        case launcher.CLOSED:
            raise refuse_closed(folder.root, identity.outside)
        case launcher.UNREADABLE:
            return replace(programs, binaries=copy_binaries(binaries, folder.root))
        case _:
            raise PostgresFailed(f"{binaries.program('postgres')} does not run: {said}")


def refuse_foreign(folder: PostgresFolder) -> None:
    """An ordinary user has no business with another's cluster. Raises ClusterNotOurs."""
    for path in (folder.root, folder.cluster):
        owner = owner_of(path)
        if owner is not None and me().uid not in (0, owner.uid):
            raise refuse_owner(path, owner)


async def make_cluster(folder: PostgresFolder, programs: Programs) -> None:
    """Made apart and then renamed: a cluster is whole or not there. One that is there becomes the identity's own."""
    if folder.cluster_major() is None:
        with new_cluster_folder(folder) as made:
            give(made, programs.launch.identity.outside)
            await initdb(folder, programs, made)
            move_into_place(made, folder)
    give(folder.cluster, programs.launch.identity.outside)


@contextmanager
def new_cluster_folder(folder: PostgresFolder) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="data.new-", dir=folder.root))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def move_into_place(made: Path, folder: PostgresFolder) -> None:
    made.rename(folder.cluster)
    sync_folder(folder.root)


async def initdb(folder: PostgresFolder, programs: Programs, made: Path) -> None:
    """With the best locale that this system knows. Raises PostgresFailed."""
    choices = LOCALES if programs.binaries.major >= BUILTIN_LOCALE_FROM else LOCALES[1:]
    for locale in choices:
        failure = await initdb_with(locale, folder, programs, made)
        if failure is None:
            return
        if BAD_LOCALE not in failure:
            break
    raise PostgresFailed(f"PostgreSQL's initdb failed in {folder.root}:\n{tail(failure or '')}")


async def initdb_with(locale: tuple[str, ...], folder: PostgresFolder, programs: Programs, made: Path) -> str | None:
    """What it said when it failed, None when all is well."""
    said_before = log_size(folder)
    options = (f"--username={NAME}", "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", *locale)
    process = programs.spawn("initdb", "-D", str(made), *options, folder=folder, death_signal=signal.SIGKILL)
    try:
        exit_code = await ended(process, INITDB_PATIENCE)
    finally:
        kill_session(process)
    return None if exit_code == 0 else log_since(folder, said_before)


async def ended(process: subprocess.Popen[bytes], patience: float) -> int | None:
    """The exit code; None when it still runs after that many seconds. Polled, so that no event loop owns it."""
    deadline = time.monotonic() + patience
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            return process.returncode
        await asyncio.sleep(POLL)


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """initdb with the programs it started; nothing where all have ended."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
