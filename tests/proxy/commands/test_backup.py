"""`./run backup` and `./run restore` as people call them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.fresh_databases import connected_to
from tests.process import proxy_process, run_command
from tests.proxy.adapters.databases import contents, files, fill, needs_15, postgres_15, with_schema
from tests.simulated_discogs import SimulatedDiscogs

SECRETS = {
    "ADMIN_TOKEN": "admin-secret-0123456789",
    "DISCOGS_TOKEN": "discogs-secret-0123456789",
    "WEBHOOK_URL": "https://shop.example/hook",
    "WEBHOOK_SECRET": "whsec_c2VjcmV0LW9mLXRoZS13ZWJob29rLTAxMjM0NTY3ODk=",
}


@pytest.fixture
async def filled_dsn(database_dsn: str) -> str:
    async with connected_to(database_dsn) as connection:
        await fill(connection, 0, 1, 2)
    return database_dsn


async def contents_of(dsn: str) -> dict[str, list[str]]:
    async with connected_to(dsn) as connection:
        return await contents(connection)


async def test_from_a_server_to_an_embedded_one_and_back(filled_dsn: str, database_dsn: str, tmp_path: Path) -> None:
    """Without a proxy the embedded one is started for the command."""
    was = await contents_of(filled_dsn)
    external, embedded = (
        {"DATABASE_URL": filled_dsn, "DATA_DIR": str(tmp_path / "d")},
        {"DATA_DIR": str(tmp_path / "e")},
    )
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    done = await run_command("backup", first, **external, **SECRETS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{first}: {sum(map(len, was.values()))} rows, ")
    for environment, arguments in [
        (embedded, ["restore", first]),
        (embedded, ["backup", second]),
    ]:
        done = await run_command(*arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
    async with connected_to(database_dsn) as connection:
        await connection.execute("DELETE FROM stores; DELETE FROM match_queue; UPDATE releases SET title = 'changed'")
    done = await run_command("restore", second, **external)
    assert done.returncode == 1
    assert "holds data already: --replace" in done.stderr
    assert files(tmp_path / "d") == []
    done = await run_command("restore", second, "--replace", **external)
    assert (done.returncode, done.stderr) == (0, "")
    assert await contents_of(database_dsn) == was
    (copy,) = files(tmp_path / "d" / "backups")
    assert str(copy) in done.stdout


@needs_15
async def test_an_embedded_15_is_backed_up_by_its_own_server_and_goes_on_in_a_newer_one(tmp_path: Path) -> None:
    """The way to a new major version: the older server's programs must still be there for the backup alone."""
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    async with postgres_15(tmp_path / "old") as dsn:
        await with_schema(dsn)
        async with connected_to(dsn) as connection:
            await fill(connection, 0, 1)
        was = await contents_of(dsn)
    for command, data_dir in [("backup", old), ("restore", new), ("backup", new)]:
        file = str(tmp_path / ("b" if data_dir == old or command == "restore" else "again"))
        done = await run_command(command, file, DATA_DIR=data_dir)
        assert (done.returncode, done.stderr) == (0, "")
    assert f"{sum(map(len, was.values()))} rows" in done.stdout
    assert (tmp_path / "old/postgres/data/PG_VERSION").read_text() == "15\n"
    assert (tmp_path / "new/postgres/data/PG_VERSION").read_text() != "15\n"


async def test_a_file_is_private_and_not_overwritten_unless_asked(filled_dsn: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": filled_dsn, "DATA_DIR": str(tmp_path / "d")} | SECRETS
    file = tmp_path / "b"
    assert (await run_command("backup", str(file), **environment)).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    done = await run_command("backup", str(file), **environment)
    assert done.returncode == 1
    assert "is there already; --force overwrites it" in done.stderr
    assert (await run_command("backup", str(file), "--force", **environment)).returncode == 0
    done = await run_command("backup", str(tmp_path / "no such folder" / "b"), **environment)
    assert done.returncode == 1
    assert "no such folder" in done.stderr
    assert files(tmp_path) == [file]


async def test_beside_a_running_proxy_both_work_on_its_server(discogs: SimulatedDiscogs, tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path / "d"), "DISCOGS_API_URL": discogs.url, **SECRETS}
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        done = await run_command("backup", str(tmp_path / "b"), **environment)
        assert (done.returncode, done.stderr) == (0, "")
        done = await run_command("restore", str(tmp_path / "b"), "--replace", **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert proxy.process.poll() is None
    content = (tmp_path / "b").read_bytes()
    assert all(value.encode() not in content for value in SECRETS.values())


@pytest.mark.parametrize("content", [b"", b"not a backup", b"\x1f\x8b\x08\0broken", b"PK\x03\x04"])
async def test_what_is_no_backup_is_refused_before_the_database_is_asked(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(content)
    done = await run_command("restore", str(tmp_path / "b"), DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "nothing was restored, and nothing changed: it" in done.stderr
    assert done.stdout == ""


async def test_a_start_after_an_update_copies_first_and_stops_where_it_cannot(
    filled_dsn: str, discogs: SimulatedDiscogs, tmp_path: Path
) -> None:
    async with connected_to(filled_dsn) as connection:
        await connection.execute("UPDATE schema_state SET digest = 'of an older one'")
    (tmp_path / "backups").write_text("in the way")
    environment = {"DATABASE_URL": filled_dsn, "DATA_DIR": str(tmp_path), "DISCOGS_API_URL": discogs.url, "PORT": "0"}
    done = await run_command(**environment)
    assert done.returncode == 1
    assert "cannot start: the database could not be copied" in done.stderr
    assert "./run --no-dump" in done.stderr
    (tmp_path / "backups").unlink()
    async with proxy_process(tmp_path / "log", **environment):
        (copy,) = files(tmp_path / "backups")
        told = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
        assert str(copy) in [
            line.get("file") for line in told if line["event"] == "the schema changes: data is copied first"
        ]


async def test_a_newer_schema_is_refused_at_the_start_and_by_restore(filled_dsn: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": filled_dsn, "DATA_DIR": str(tmp_path / "d")}
    async with connected_to(filled_dsn) as connection:
        await connection.execute("UPDATE schema_state SET digest = 'newer', number = 9999")
    assert (await run_command("backup", str(tmp_path / "b"), **environment)).returncode == 0
    for arguments in ([], ["restore", str(tmp_path / "b"), "--replace"]):
        done = await run_command(*arguments, **environment)
        assert done.returncode == 1
        assert "newer discogs-proxy" in done.stderr
        assert "git pull" in done.stderr


async def test_decisions_go_from_one_database_to_another(filled_dsn: str, tmp_path: Path) -> None:
    line = {"release_id": 1, "track_index": 0, "sub_index": None, "action": "approve", "by": "anna"}
    line |= {"url": "https://www.youtube.com/watch?v=aaaaaaaaaaa", "at": "2026-01-02T03:04:05.678901+00:00"}
    (tmp_path / "in").write_text(json.dumps(line) + "\n")
    embedded = {"DATA_DIR": str(tmp_path / "e")}
    done = await run_command("restore", "--decisions", str(tmp_path / "in"), **embedded)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 decisions merged\n")
    done = await run_command("backup", "--decisions", str(tmp_path / "out"), **embedded)
    assert done.stdout == f"{tmp_path / 'out'}: 1 decisions\n"
    assert json.loads((tmp_path / "out").read_text()) == line
    (tmp_path / "in").write_text(json.dumps(line) + "\nnonsense\n")
    done = await run_command("restore", "--decisions", str(tmp_path / "in"), DATABASE_URL=filled_dsn)
    assert done.returncode == 1
    assert "nothing changed: line 2 is not JSON" in done.stderr
