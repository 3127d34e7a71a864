"""The commands as a person types them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from matcher import decisions
from matcher.database import Database
from tests.process import proxy_process, run_command
from tests.simulated_discogs import SimulatedDiscogs


async def test_help_lists_commands_and_settings() -> None:
    shown = await run_command("--help")
    assert shown.returncode == 0
    assert "check" in shown.stdout
    assert "AUDIO_MATCHING_BATCH_SIZE" in shown.stdout


async def test_a_wrong_setting_ends_with_2_and_names_itself() -> None:
    shown = await run_command(PORT="x", DISCOGS_TOKNE="y")
    assert shown.returncode == 2
    assert "PORT is 'x': it must be a whole number from 0 to 65535" in shown.stderr
    assert "did you mean DISCOGS_TOKEN?" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("argument", ["0", "abc", "-1", "99999999999"])
async def test_a_wrong_release_id_ends_with_2(argument: str) -> None:
    shown = await run_command("match", "--", argument)
    assert shown.returncode == 2
    assert "a release id is a whole number" in shown.stderr


async def test_a_database_that_refuses_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        shown = await run_command(DATABASE_URL=f"postgresql://user:hunter2@127.0.0.1:{port}/shop")
    assert shown.returncode == 1
    assert "DATABASE_URL: the database cannot be reached" in shown.stderr
    assert "hunter2" not in shown.stderr
    assert "Traceback" not in shown.stderr


async def test_a_port_in_use_is_told(tmp_path: Path, database_dsn: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        shown = await run_command(PORT=port, DATA_DIR=str(tmp_path), DATABASE_URL=database_dsn)
    assert shown.returncode == 1
    assert f"PORT={port} cannot be listened on" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_drains_and_ends_with_0(
    tmp_path: Path, database_dsn: str, discogs: SimulatedDiscogs, number: signal.Signals
) -> None:
    environment = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_dsn, "DISCOGS_API_URL": discogs.url}
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        assert await proxy.stop(number) == 0
    assert '"event":"stopped"' in proxy.log.replace(" ", "")


async def test_a_hang_up_does_not_end_it(tmp_path: Path, database_dsn: str, discogs: SimulatedDiscogs) -> None:
    environment = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_dsn, "DISCOGS_API_URL": discogs.url}
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        proxy.process.send_signal(signal.SIGHUP)
        assert await proxy.stop() == 0


async def test_it_says_whose_credential_it_uses_and_what_is_missing(
    tmp_path: Path, database_dsn: str, discogs: SimulatedDiscogs
) -> None:
    environment = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_dsn, "DISCOGS_API_URL": discogs.url}
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        assert "set DISCOGS_CONSUMER_KEY" in proxy.log
        assert str(tmp_path / "admin-token") in proxy.log
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
    async with proxy_process(tmp_path / "log2", DISCOGS_TOKEN="hunter2", **environment) as proxy:
        assert "the operator's token" in proxy.log
        assert "hunter2" not in proxy.log


async def test_match_prints_tracks_and_reasons(discogs: SimulatedDiscogs, tmp_path: Path) -> None:
    release_id = next(iter(discogs.catalogue.for_sale("vinyl_den"))).release_id
    shown = await run_command("match", str(release_id), DISCOGS_API_URL=discogs.url, DATA_DIR=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    assert "persisted" in shown.stdout or "API-only" in shown.stdout
    assert "upstream call" not in shown.stdout + shown.stderr


async def test_match_knows_what_people_decided(
    discogs: SimulatedDiscogs, tmp_path: Path, database_dsn: str, database: Database
) -> None:
    environment = {
        "DISCOGS_API_URL": discogs.url,
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_dsn,
        "MATCH_PROVIDERS": "discogs_videos",
    }
    release_id = next(iter(discogs.catalogue.for_sale("vinyl_den"))).release_id
    async with database.transaction() as connection:
        own = ("soundcloud", "https://soundcloud.com/a/song")
        was_set = await decisions.set_url(connection, release_id, 0, None, own, "anna")
    shown = await run_command("match", str(release_id), **environment)
    assert shown.returncode == 0, shown.stderr
    assert "set by anna on 2" in shown.stdout
    assert ": https://soundcloud.com/a/song" in shown.stdout
    assert ", 1 decided by people" in shown.stdout

    async with database.transaction() as connection:
        await decisions.reject(connection, was_set.match_id, "ben")
        await decisions.no_audio(connection, release_id, "ben")
    shown = await run_command("match", str(release_id), **environment)
    assert "rejected by ben on 2" in shown.stdout
    assert shown.stdout.endswith("not matched: a person said that it has no audio, ever\n")


async def test_match_works_without_a_database(discogs: SimulatedDiscogs, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dsn = f"postgresql://user:hunter2@127.0.0.1:{unused.getsockname()[1]}/shop"
        release_id = next(iter(discogs.catalogue.for_sale("vinyl_den"))).release_id
        shown = await run_command(
            "match", str(release_id), DISCOGS_API_URL=discogs.url, DATA_DIR=str(tmp_path), DATABASE_URL=dsn
        )
    assert shown.returncode == 0, shown.stderr
    assert "only the videos that are attached at Discogs are looked at" in shown.stdout
    assert "persisted" in shown.stdout or "API-only" in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


async def test_match_of_a_release_that_does_not_exist_ends_with_1(discogs: SimulatedDiscogs, tmp_path: Path) -> None:
    shown = await run_command("match", "2147483646", DISCOGS_API_URL=discogs.url, DATA_DIR=str(tmp_path))
    assert shown.returncode == 1
    assert "Discogs answered 404" in shown.stderr


async def test_check_says_what_is_there_and_what_to_do(
    discogs: SimulatedDiscogs, tmp_path: Path, database_dsn: str
) -> None:
    shown = await run_command("check", DISCOGS_API_URL=discogs.url, DATA_DIR=str(tmp_path), DATABASE_URL=database_dsn)
    assert shown.returncode == 0, shown.stdout
    for subject in ("egress", "user agent", "credential", "budget", "database", "discogs_videos", "PUBLIC_URL", "TLS"):
        assert subject in shown.stdout
    assert "-> set DISCOGS_CONSUMER_KEY" in shown.stdout


async def test_check_without_egress_ends_with_1(tmp_path: Path, database_dsn: str) -> None:
    shown = await run_command(
        "check", DISCOGS_API_URL="http://127.0.0.1:9", DATA_DIR=str(tmp_path), DATABASE_URL=database_dsn
    )
    assert shown.returncode == 1
    assert "problem  egress" in shown.stdout
