"""Becomes a PostgreSQL program: changes the user, ties its life to the proxy's, then executes it.

Run as a script of its own (`python -I -S postgres_launcher.py …`), standard library only: work between fork and
exec in a process that has threads may deadlock, and os.unshare only exists from Python 3.12.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

REFUSED = 96
"""Exit code: the system does not let us become that user."""
CLOSED = 97
"""Exit code: that user may not enter the folder."""
UNREADABLE = 98
"""Exit code: that user may not execute the program."""
ORPHANED = 99
"""Exit code: the proxy died while we were starting."""

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Arguments: parent's pid, death signal (0: none), self|namespace|user, uid, gid, folder, program, its own…"""
    parent, death_signal, kind, uid, gid, folder, *command = arguments
    steps: list[tuple[int, Callable[[], None]]] = [
        (REFUSED, lambda: become(kind, int(uid), int(gid))),
        (REFUSED, lambda: die_with_parent(int(death_signal))),
        (CLOSED, lambda: os.chdir(folder)),
        (ORPHANED, lambda: check_parent(int(parent))),
        (UNREADABLE, lambda: execute(command)),
    ]
    for code, step in steps:
        try:
            step()
        except OSError as error:
            sys.stderr.write(f"launcher: {error}\n")
            return code
    return 0


def become(kind: str, uid: int, gid: int) -> None:
    if kind == "namespace":
        enter_namespace(uid, gid)
    elif kind == "user":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def enter_namespace(uid: int, gid: int) -> None:
    """A user namespace in which we are `uid`: PostgreSQL sees no root, files stay those of who started us."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    call_libc("unshare", CLONE_NEWUSER)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{uid} {outside_uid} 1")
    write("/proc/self/gid_map", f"{gid} {outside_gid} 1")


def die_with_parent(death_signal: int) -> None:
    """After any change of user, which would clear the wish."""
    if death_signal and sys.platform == "linux":
        call_libc("prctl", PR_SET_PDEATHSIG, death_signal, 0, 0, 0)


def check_parent(parent: int) -> None:
    """A parent that died before the death signal was asked for would never be noticed."""
    if os.getppid() != parent:
        raise ProcessLookupError(f"the proxy (pid {parent}) is gone")


def execute(command: list[str]) -> None:
    os.umask(0o077)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606


def call_libc(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        raise OSError(ctypes.get_errno(), f"{function}: {os.strerror(ctypes.get_errno())}")


def write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
