"""Which user PostgreSQL runs as: it refuses to be root, so root starts it in a user namespace or as another user.

The owner of the cluster's folder is the record of the choice: the next start makes the same one.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, assert_never

from proxy.adapters import postgres_launcher as launcher
from proxy.adapters.postgres_errors import ClusterNotOurs

ROOT = 0
SPARE_USERS = ("postgres", "nobody")
NOBODY = 65534
CHECK_TIMEOUT = 30.0
SETTINGS_OF_OTHERS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class User:
    """A user and a group of the file system."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Myself:
    """An ordinary user runs PostgreSQL as itself."""

    outside: User


@dataclass(frozen=True, slots=True)
class Namespace:
    """Root outside, `inside` to PostgreSQL: the files stay root's."""

    inside: User
    outside: User


@dataclass(frozen=True, slots=True)
class OtherUser:
    """Root becomes this user for good; the files are that user's."""

    outside: User


Identity = Myself | Namespace | OtherUser


def me() -> User:
    return User(os.geteuid(), os.getegid())


def owner_of(path: Path) -> User | None:
    """None: there is nothing at that path."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return User(status.st_uid, status.st_gid)


def possible_identities(who: User, owner: User | None, spare: User, *, allow_namespace: bool) -> list[Identity]:
    """Best first; the system may still refuse one. `owner` has the cluster, `spare` is an account without rights."""
    if who.uid != ROOT:
        return [Myself(who)] if owner is None or owner.uid == who.uid else []
    namespace: list[Identity] = [Namespace(inside=spare, outside=who)] if allow_namespace else []
    if owner is None or owner.uid == ROOT:
        return [*namespace, OtherUser(spare)]
    return [OtherUser(owner), *namespace]


def spare_user() -> User:
    """An account that exists, because initdb looks up its own name."""
    for name in SPARE_USERS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(account.pw_uid, account.pw_gid)
    return User(NOBODY, NOBODY)


def user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


@dataclass(frozen=True, slots=True)
class Launch:
    """Runs programs as `identity`, beginning in `folder`, which it must be able to enter."""

    identity: Identity
    folder: Path

    def command(self, death_signal: int, program: Path, *arguments: str) -> list[str]:
        script = Path(launcher.__file__)
        start = [sys.executable, "-I", "-S", str(script), str(os.getpid()), str(int(death_signal))]
        return [*start, *as_words(self.identity), str(self.folder), str(program), *arguments]

    def spawn(self, program: Path, *arguments: str, output: IO[bytes], death_signal: int) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C in the terminal is for the proxy, which then stops PostgreSQL."""
        return subprocess.Popen(  # noqa: S603
            self.command(death_signal, program, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )

    def check(self, program: Path) -> tuple[int, str]:
        """The exit code of `program --version` (or the launcher's) and what it said."""
        result = subprocess.run(  # noqa: S603
            self.command(signal.SIGKILL, program, "--version"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=environment(),
            timeout=CHECK_TIMEOUT,
            check=False,
        )
        return result.returncode, (result.stdout + result.stderr).decode(errors="replace").strip()


def as_words(identity: Identity) -> tuple[str, str, str]:
    match identity:
        case Myself():
            return "self", "0", "0"
        case Namespace(inside=user):
            return "namespace", str(user.uid), str(user.gid)
        case OtherUser(outside=user):
            return "user", str(user.uid), str(user.gid)
        case _:
            assert_never(identity)


def environment() -> dict[str, str]:
    """None of the caller's PG… variables; messages in English, for we read some of them."""
    kept = {name: os.environ[name] for name in SETTINGS_OF_OTHERS if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def give(path: Path, user: User) -> None:
    """Root hands over a folder and all in it, itself last: a chown that was cut short is done again."""
    if os.geteuid() != ROOT or owner_of(path) in (None, user):
        return
    for inner in (*everything_in(path), path):
        os.chown(inner, user.uid, user.gid, follow_symlinks=False)


def everything_in(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, topdown=False):
        yield from (Path(place, name) for name in (*files, *folders))


def let_in(folder: Path, user: User) -> None:
    """Opens a folder of our own, and only one that was closed to every group, for that user to pass through."""
    status = folder.stat()
    if status.st_uid == os.geteuid() != user.uid and status.st_mode & 0o077 == 0:
        os.chown(folder, -1, user.gid)
        folder.chmod(status.st_mode | 0o010)


def closed_folder(path: Path, user: User) -> Path | None:
    """The first folder on the way to `path`, or itself, that the user may not pass, going by the mode."""
    for folder in (*reversed(path.parents), path):
        if not may_pass(folder.stat(), user):
            return folder
    return None


def may_pass(status: os.stat_result, user: User) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == user.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def refuse_closed(path: Path, user: User) -> ClusterNotOurs:
    folder = closed_folder(path, user) or path
    return ClusterNotOurs(
        f"PostgreSQL must not run as root, and {user_name(user.uid)}, as whom it would run here, cannot enter "
        f"{folder}: set DATA_DIR to a folder outside of it (such as /var/lib/discogs-proxy), "
        f"let that user in (chmod o+x '{folder}'), or start the proxy as an ordinary user"
    )


def refuse_owner(path: Path, owner: User) -> ClusterNotOurs:
    return ClusterNotOurs(
        f"the database in {path} belongs to {user_name(owner.uid)}, and you are {user_name(os.geteuid())}: "
        "start the proxy as that user or as root, or set another DATA_DIR"
    )
