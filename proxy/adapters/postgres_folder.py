"""DATA_DIR/postgres: where everything of the embedded server lies, whose it is, and where its socket is."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from proxy.adapters.postgres_binaries import major_version
from proxy.adapters.postgres_errors import ClusterNotOurs, DataDirectoryInUse, EmbeddedPostgresError, PostgresFailed
from proxy.adapters.postgres_identity import User, give, owner_of

NAME = "discogs_proxy"
"""Of the role and of the database."""
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_LOCK = f"{SOCKET_NAME}.lock"
SOCKET_PATH_BYTES = 104
"""sun_path of macOS and the BSDs, its closing zero included; Linux has 108."""
PLAIN_PATH = re.compile(r"[\w ./@+-]+", re.ASCII)
"""Paths that need no thought in a DSN and in PostgreSQL's comma lists."""
TEMPORARY_PREFIX = "discogs-proxy-"
KNOCK_TIMEOUT = 2.0
TAIL_LINES = 20
TAIL_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class PostgresFolder:
    """The paths within DATA_DIR."""

    data_dir: Path

    @property
    def root(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def cluster(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "postgres.log"

    @property
    def lock(self) -> Path:
        return self.root / "owner"

    @property
    def socket(self) -> Path:
        """A folder, or a link to one under the system's temporary folder."""
        return self.root / "socket"

    @property
    def pid_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    def socket_folder(self) -> Path:
        return self.socket.readlink() if self.socket.is_symlink() else self.socket

    def dsn(self, database: str = NAME) -> str:
        host = quote(str(self.socket_folder()), safe="")
        return f"postgresql://{NAME}@/{database}?host={host}&port={PORT}"

    def cluster_major(self) -> int | None:
        """None: there is no cluster yet."""
        try:
            return major_version((self.cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None


def make_folder(folder: PostgresFolder) -> None:
    folder.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.root.mkdir(mode=0o700, exist_ok=True)
    stranger = folder.cluster.is_dir() and folder.cluster_major() is None and any(folder.cluster.iterdir())
    if stranger:
        raise EmbeddedPostgresError(
            f"{folder.cluster} holds something that is no PostgreSQL cluster: move it away, or set another DATA_DIR"
        )


def is_listening(path: Path) -> bool:
    """Whether a living process holds the socket in that folder; a pid file would not tell."""
    if not is_short(path / SOCKET_NAME):
        return False
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(KNOCK_TIMEOUT)
        try:
            client.connect(str(path / SOCKET_NAME))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):  # its queue is full: somebody is there
            return True
        return True


def running_server_dsn(data_dir: Path) -> str | None:
    """The DSN of the server that a living proxy runs in this DATA_DIR, found by connecting to it.

    Raises EmbeddedPostgresError where DATA_DIR is not ours to use.
    """
    folder = PostgresFolder(data_dir.absolute())
    with failures_explained(folder):
        return folder.dsn() if is_listening(folder.socket_folder()) else None


@contextmanager
def failures_explained(folder: PostgresFolder) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise ClusterNotOurs(
            f"DATA_DIR {folder.data_dir} cannot be used ({error}): "
            "start as the user to whom it belongs, or set another DATA_DIR"
        ) from error
    except OSError as error:
        raise PostgresFailed(f"DATA_DIR {folder.data_dir} cannot be used: {error}") from error


def open_owned(path: Path, flags: int) -> int:
    """A file of the folder's owner even when root makes it, so that its owner can go on without root."""
    file = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    owner = owner_of(path.parent)
    if os.geteuid() == 0 and owner is not None:
        os.fchown(file, owner.uid, owner.gid)
    return file


def take_lock(folder: PostgresFolder) -> int:
    """The file that must stay open for as long as DATA_DIR is ours. Raises DataDirectoryInUse."""
    file = open_owned(folder.lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(file, 20, 0).decode(errors="replace").strip()
        os.close(file)
        raise DataDirectoryInUse(folder.data_dir, pid) from None
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return file


def release_lock(file: int) -> None:
    """Not by closing alone: a process forked from ours would still hold it."""
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def make_socket_folder(folder: PostgresFolder, user: User) -> None:
    """In DATA_DIR where a socket can be there, otherwise under the system's temporary folder, linked from here."""
    remove_socket_folder(folder)
    folder.socket.mkdir(mode=0o700)
    if not can_hold_socket(folder.socket):
        folder.socket.rmdir()
        folder.socket.symlink_to(temporary_socket_folder())
    give(folder.socket_folder(), user)


def temporary_socket_folder() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - a folder of our own, by mkdtemp
        made = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))
        if can_hold_socket(made):
            return made
        made.rmdir()
    raise EmbeddedPostgresError(
        f"neither DATA_DIR nor {tempfile.gettempdir()} can hold PostgreSQL's socket (a path must have less than "
        f"{SOCKET_PATH_BYTES} bytes): set a shorter DATA_DIR or TMPDIR"
    )


def can_hold_socket(place: Path) -> bool:
    path = place / SOCKET_NAME
    return PLAIN_PATH.fullmatch(str(path)) is not None and is_short(path) and can_bind(path)


def is_short(path: Path) -> bool:
    return len(os.fsencode(path)) < SOCKET_PATH_BYTES


def can_bind(path: Path) -> bool:
    """Some file systems (folders shared with a virtual machine) know no sockets."""
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(path))
        except OSError:
            return False
    path.unlink()
    return True


def remove_socket_folder(folder: PostgresFolder) -> None:
    """Only when nobody listens there any more. Of a link nothing but our own kind of folder is touched."""
    place = folder.socket_folder()
    if place == folder.socket or place.name.startswith(TEMPORARY_PREFIX):
        remove_sockets(place)
    if folder.socket.is_symlink():
        folder.socket.unlink()


def remove_sockets(place: Path) -> None:
    with suppress(OSError):  # a folder that holds something else stays
        (place / SOCKET_NAME).unlink(missing_ok=True)
        (place / SOCKET_LOCK).unlink(missing_ok=True)
        place.rmdir()


def remove_half_made(folder: PostgresFolder) -> None:
    """What an initdb that was killed left behind."""
    for path in (*folder.root.glob("data.new*"), *folder.root.glob("bin.new*")):
        shutil.rmtree(path, ignore_errors=True)


def rotate_log(folder: PostgresFolder) -> None:
    """The log of this start and of the one before are kept."""
    if folder.log.exists():
        folder.log.replace(folder.log.with_suffix(".log.1"))


@contextmanager
def appended_log(folder: PostgresFolder) -> Iterator[IO[bytes]]:
    with os.fdopen(open_owned(folder.log, os.O_WRONLY | os.O_APPEND), "ab") as log:
        yield log


def log_size(folder: PostgresFolder) -> int:
    return folder.log.stat().st_size if folder.log.exists() else 0


def log_since(folder: PostgresFolder, offset: int) -> str:
    with folder.log.open("rb") as log:
        log.seek(max(offset, log_size(folder) - TAIL_BYTES))
        return log.read().decode(errors="replace")


def tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


def remove_stale_pid(folder: PostgresFolder) -> None:
    """Call it only while DATA_DIR is ours and nobody listens."""
    if pid_is_strange(folder):
        folder.pid_file.unlink()
        (folder.socket_folder() / SOCKET_LOCK).unlink(missing_ok=True)


def pid_is_strange(folder: PostgresFolder) -> bool:
    """Whether postmaster.pid names a process that has nothing to do with the cluster.

    Numbers come again, above all in containers, and PostgreSQL would refuse to start. Its processes work within
    their cluster's folder, which only Linux can tell us; elsewhere, and of strangers, PostgreSQL decides.
    """
    try:
        pid = int(folder.pid_file.read_text().split("\n")[0])
        working_folder = Path(f"/proc/{pid}/cwd").stat()
        cluster = folder.cluster.stat()
    except (OSError, ValueError):
        return False
    return not os.path.samestat(working_folder, cluster)


def sync_folder(path: Path) -> None:
    """Makes a rename within the folder last."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
