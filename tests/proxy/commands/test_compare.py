"""`./run compare` against the simulated Discogs, and against origins that differ."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.commands.compare import own_url, shown_target, target_of
from proxy.settings import Settings
from tests.conftest import STORE, StartProxy
from tests.fresh_databases import connected_to
from tests.origin import running_origin
from tests.process import proxy_process, run_command
from tests.proxy.adapters.databases import files, fill
from tests.simulated_discogs import SimulatedDiscogs
from tests.test_containers import certificate

KEY = {"DISCOGS_CONSUMER_KEY": "op-key", "DISCOGS_CONSUMER_SECRET": "hunter2"}


async def test_what_the_proxy_adds_is_meant_and_nothing_else_differs(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    discogs.register_consumer("op-key", "hunter2")
    proxy = await start_proxy(**KEY)
    release = f"/releases/{discogs.catalogue.for_sale(STORE)[0].release_id}"
    shown = await run_command(
        "compare",
        "--proxy",
        proxy.url,
        release,
        f"https://api.discogs.com/users/{STORE}/inventory?per_page=5",
        "/releases/2147483646",
        DISCOGS_API_URL=discogs.url,
        DATABASE_URL=database_dsn,
        **KEY,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"GET {release}\n  direct  200" in shown.stdout
    assert "asked with the operator's credential" in shown.stdout
    assert "field added processing_status: what the proxy is for" in shown.stdout
    assert "field added listings[].audio_matches ×5: what the proxy is for" in shown.stdout
    assert "field changed pagination.urls.next: leads to the proxy" in shown.stdout
    assert "header added cache-status: the proxy says that for itself" in shown.stdout
    assert "direct  404" in shown.stdout
    assert shown.stdout.count("nothing else differs") == 3
    assert "NOT EXPECTED" not in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


async def test_what_differs_otherwise_is_shown_and_ends_with_1() -> None:
    async with running_origin() as discogs, running_origin() as proxy:
        for origin, price in ((discogs, 10), (proxy, 12)):
            rows = ", ".join(f'{{"id": {number}, "price": {price}}}' for number in range(3))
            origin.body = f'{{"listings": [{rows}]}}'.encode()
            origin.headers = {"Content-Type": "application/json", "N": "1"}
        proxy.headers = proxy.headers | {"Age": "512", "X-Stray": "hunter2='token=hunter3'"}
        shown = await run_command("compare", "--proxy", proxy.url, "/x?token=hunter4", DISCOGS_API_URL=discogs.url)
    assert shown.returncode == 1
    assert "NOT EXPECTED:" in shown.stdout
    assert "field changed listings[].price ×3: at listings[id=0].price 10 -> 12" in shown.stdout
    assert "header added x-stray" in shown.stdout
    assert "a copy of 512 s ago" in shown.stdout
    assert "GET /x\n" in shown.stdout
    assert "hunter4" not in shown.stdout + shown.stderr
    assert "hunter3" not in shown.stdout + shown.stderr


async def test_a_callers_credential_goes_both_ways_and_is_not_shown() -> None:
    async with running_origin() as discogs, running_origin() as proxy:
        shown = await run_command(
            "compare",
            "--proxy",
            proxy.url,
            "oauth/identity",
            DISCOGS_API_URL=discogs.url,
            COMPARE_AUTHORIZATION="Discogs token=hunter2",
        )
        for origin in (discogs, proxy):
            (request,) = origin.requests
            assert request.path == "/oauth/identity"
            assert request.headers["Authorization"] == "Discogs token=hunter2"
    assert "asked with the caller's credential" in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


async def test_what_cannot_be_compared_ends_with_2() -> None:
    async with running_origin() as discogs:
        shown = await run_command("compare", "--proxy", "http://127.0.0.1:9", "/", DISCOGS_API_URL=discogs.url)
        assert (shown.returncode, "cannot be compared" in shown.stdout) == (2, True)
        assert "Traceback" not in shown.stderr
        discogs.status = 429
        shown = await run_command("compare", "--proxy", discogs.url, "/", DISCOGS_API_URL=discogs.url)
        assert (shown.returncode, "cannot be compared" in shown.stdout) == (2, True)


async def test_direct_calls_are_counted_with_those_of_the_proxy(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    """One budget for both: what compare takes, the proxy knows of."""
    limit = {"DISCOGS_RATE_LIMIT": "25"}
    proxy = await start_proxy(**limit)
    paths = [f"/artists/{number}" for number in range(1, 6)]
    await run_command(
        "compare", "--proxy", proxy.url, *paths, DISCOGS_API_URL=discogs.url, DATABASE_URL=database_dsn, **limit
    )
    response, _ = await proxy.get("/labels/1")
    assert int(response.headers["X-Discogs-Ratelimit-Remaining"]) <= 25 - 2 * len(paths)


async def test_a_database_is_copied_before_compare_changes_its_schema(database_dsn: str, tmp_path: Path) -> None:
    async with connected_to(database_dsn) as connection:
        await fill(connection, 0)
        await connection.execute("UPDATE schema_state SET digest = 'of an older one'")
    async with running_origin() as discogs, running_origin() as proxy:
        environment = {"DISCOGS_API_URL": discogs.url, "DATABASE_URL": database_dsn, "DATA_DIR": str(tmp_path)}
        await run_command("compare", "--proxy", proxy.url, "/x", **environment)
    assert len(files(tmp_path / "backups")) == 1


async def test_the_proxy_of_these_settings_is_asked_whoever_its_certificate_is_for(
    tmp_path: Path, database_dsn: str
) -> None:
    async with running_origin() as discogs:
        discogs.body, discogs.headers = b'{"id": 1}', {"Content-Type": "application/json"}
        settings = {"DISCOGS_API_URL": discogs.url, "DATABASE_URL": database_dsn, "DATA_DIR": str(tmp_path)}
        settings |= certificate(tmp_path)
        async with proxy_process(tmp_path / "log", **settings) as proxy:
            shown = await run_command("compare", "/artists/1", PORT=str(urlsplit(proxy.url).port), **settings)
    assert "  proxy   200" in shown.stdout, shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"HOST": "::", "PORT": "81"}, "http://127.0.0.1:81"),
        ({"HOST": "::1"}, "http://[::1]:8080"),
    ],
)
def test_the_proxy_is_the_one_that_the_settings_start(environment: dict[str, str], url: str) -> None:
    assert own_url(Settings.from_environment(environment)) == url


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/releases/1", "/releases/1"),
        ("releases/1", "/releases/1"),
        ("https://api.discogs.com/releases/1?a=b", "/releases/1?a=b"),
    ],
)
def test_a_path_may_be_a_url_of_the_api(path: str, target: str) -> None:
    assert target_of(path, Settings.from_environment({})) == target


def test_a_credential_in_a_path_is_not_shown() -> None:
    assert shown_target("/x?a=b&token=hunter2") == "/x?a=b"
    assert "hunter2" not in shown_target("/x/token=hunter2")
