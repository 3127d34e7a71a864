"""What tests share: a real PostgreSQL, a real simulated Discogs, the real proxy on a port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import hypothesis
import pytest
import structlog
from aiohttp import web

from matcher.database import Database
from proxy import keys
from proxy.adapters.database import connected
from proxy.adapters.embedded_postgres import EmbeddedPostgres
from proxy.adapters.postgres_server import SETTINGS
from proxy.app import make_app
from proxy.commands.processes import NOBODY
from proxy.server import Runner
from proxy.settings import OFFICIAL_YOUTUBE_API_URL, Settings
from tests.fresh_databases import FreshDatabases
from tests.simulated_discogs import Catalogue, SimulatedDiscogs

hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

ADMIN_TOKEN = "admin-token-of-the-tests"
STORE = "vinyl_den"


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One embedded server for the whole run; see `databases`."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("pg"))
    with pytest.MonkeyPatch.context() as settings:
        settings.setitem(SETTINGS, "fsync", "off")  # what the tests write need not outlive the machine's power
        dsn = asyncio.run(server.start())
    yield dsn
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def databases(postgres_dsn: str) -> FreshDatabases:
    found = FreshDatabases(postgres_dsn)
    asyncio.run(found.make_template())
    return found


@pytest.fixture
async def database_dsn(databases: FreshDatabases) -> AsyncIterator[str]:
    async with databases.new() as dsn:
        yield dsn


@pytest.fixture
async def empty_database_dsn(databases: FreshDatabases) -> AsyncIterator[str]:
    """One without our schema."""
    async with databases.empty() as dsn:
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with connected(database_dsn, connections=5) as found:
        yield found


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.generate(seed=7, stores={STORE: 120, "small_shop": 12})


@pytest.fixture
async def discogs() -> AsyncIterator[SimulatedDiscogs]:
    """A simulated Discogs without latency or limit; its bodies name https://api.discogs.com, as the real one's do."""
    async with SimulatedDiscogs(Catalogue.generate(seed=7, stores={STORE: 120, "small_shop": 12})) as running:
        yield running


class Proxy:
    """A running proxy and a client for it."""

    def __init__(self, app: web.Application, port: int, session: aiohttp.ClientSession) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.session = session

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        """Header names are written with underscores."""
        return await self.request("GET", path, **headers)

    async def request(
        self, method: str, path: str, *, data: bytes | str | None = None, **headers: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.url + path, headers=named, data=data, allow_redirects=False
        ) as response:
            return response, await response.read()

    async def admin(self, method: str, path: str) -> tuple[aiohttp.ClientResponse, bytes]:
        return await self.request(method, path, Authorization=f"Bearer {ADMIN_TOKEN}")


StartProxy = Callable[..., Awaitable[Proxy]]


@pytest.fixture
async def start_proxy(database_dsn: str, discogs: SimulatedDiscogs, tmp_path: Path) -> AsyncIterator[StartProxy]:
    """Starts proxies in front of `discogs`; settings by their environment names. The pool is off unless asked for."""
    async with AsyncExitStack() as stack:

        async def start(**environment: str) -> Proxy:
            settings = Settings.from_environment(
                {
                    "DISCOGS_API_URL": discogs.url,
                    "DISCOGS_RATE_LIMIT": "0",
                    "DATA_DIR": str(tmp_path),
                    "BACKGROUND_PROCESSING_ENABLED": "false",
                    "MATCH_PROVIDERS": "discogs_videos",  # the others would be asked where they really are
                }
                | environment
            )
            return await stack.enter_async_context(running_proxy(settings, settings.database_url or database_dsn))

        yield start


@asynccontextmanager
async def running_proxy(settings: Settings, dsn: str) -> AsyncIterator[Proxy]:
    async with connected(dsn, connections=5) as database:
        if settings.youtube_api_url == OFFICIAL_YOUTUBE_API_URL:  # simulated videos are not looked for there
            settings = replace(settings, youtube_api_url=NOBODY)
        app = make_app(settings, database, ADMIN_TOKEN)
        runner = Runner(app, access_log=None, shutdown_timeout=1, auto_decompress=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with asyncio.timeout(10):
                while not app[keys.CHANGES].are_heard:
                    await asyncio.sleep(0.002)
            async with aiohttp.ClientSession() as session:
                yield Proxy(app, runner.addresses[0][1], session)
        finally:
            await runner.cleanup()


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    return await start_proxy()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[structlog.types.EventDict]]:
    """What was logged, as events."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def samples(variable: str) -> Path:
    """The folder that an environment variable names; the test is skipped where it is unset."""
    if not os.environ.get(variable):
        pytest.skip(f"set {variable} to the folder of the real samples")
    return Path(os.environ[variable])
