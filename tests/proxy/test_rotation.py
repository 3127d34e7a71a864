"""Stories of credentials that change while the proxy runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy import keys
from proxy.adapters.upstream import Call, Trace
from proxy.app import operator_credential
from proxy.domain.budget import Lane
from proxy.domain.visibility import Using
from proxy.domain.webhook import signing_key
from proxy.rotation import CREDENTIALS, rotate, rotation
from proxy.settings import Settings, variables
from tests.conftest import StartProxy
from tests.origin import Origin, running_origin
from tests.process import START_TIMEOUT_S, ProxyProcess, proxy_process

OLD, NEW, ANNAS, BERTS = "the-old-admin-token", "the-new-admin-token", "the-token-of-anna", "the-token-of-bert"
HOOK = {"WEBHOOK_URL": "https://shop.example", "WEBHOOK_SECRET": "a"}


def key(value: str) -> dict[str, str]:
    return {"DISCOGS_CONSUMER_KEY": value, "DISCOGS_CONSUMER_SECRET": f"secret-of-{value}"}


# --- what may change ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "read", "changed", "restart"),
    [
        ({}, {}, (), ()),
        ({}, key("a"), ("DISCOGS_CONSUMER_KEY", "DISCOGS_CONSUMER_SECRET"), ()),
        (key("a"), key("b"), ("DISCOGS_CONSUMER_KEY", "DISCOGS_CONSUMER_SECRET"), ()),
        (key("a"), {}, ("DISCOGS_CONSUMER_KEY", "DISCOGS_CONSUMER_SECRET"), ()),
        ({"DISCOGS_TOKEN": "a"}, {"DISCOGS_TOKEN": "b"}, ("DISCOGS_TOKEN",), ()),
        ({"DISCOGS_TOKEN": "a"}, {}, ("DISCOGS_TOKEN",), ()),
        ({}, {"DISCOGS_TOKEN": "a"}, (), ("DISCOGS_TOKEN",)),
        (
            key("a"),
            {"DISCOGS_TOKEN": "a"},
            (),
            ("DISCOGS_TOKEN", "DISCOGS_CONSUMER_KEY", "DISCOGS_CONSUMER_SECRET"),
        ),
        ({"ADMIN_TOKEN": OLD}, {"ADMIN_TOKEN": NEW}, ("ADMIN_TOKEN",), ()),
        ({"ADMIN_TOKEN": OLD}, {}, ("ADMIN_TOKEN",), ()),
        ({}, {"REVIEW_TOKENS": f"anna:{ANNAS}"}, ("REVIEW_TOKENS",), ()),
        ({"YOUTUBE_API_KEY": "a"}, {"YOUTUBE_API_KEY": "b"}, ("YOUTUBE_API_KEY",), ()),
        ({}, {"YOUTUBE_API_KEY": "b"}, (), ("YOUTUBE_API_KEY",)),
        (HOOK, HOOK | {"WEBHOOK_SECRET": "b"}, ("WEBHOOK_SECRET",), ()),
        ({}, HOOK, (), ("WEBHOOK_URL", "WEBHOOK_SECRET")),
        ({}, {"PORT": "1", "ADMIN_TOKEN": NEW}, ("ADMIN_TOKEN",), ("PORT",)),
        ({}, {"RELEASE_MAX_AGE": "1000"}, (), ("RELEASE_MAX_AGE",)),
    ],
)
def test_credentials_change_and_the_rest_waits(
    old: dict[str, str], read: dict[str, str], changed: tuple[str, ...], restart: tuple[str, ...]
) -> None:
    before, after = Settings.from_environment(old), Settings.from_environment(read)
    found = rotation(before, after)
    assert (found.changed, found.restart) == (changed, restart)
    for each in variables():
        source = after if each.name in changed else before
        assert getattr(found.settings, each.attribute) == getattr(source, each.attribute)


def test_only_secrets_are_credentials() -> None:
    assert set(CREDENTIALS) <= {each.name for each in variables() if each.secret}


# --- one process, from inside -------------------------------------------------------------------------------------


async def test_keys_of_providers_and_webhooks_change_in_place(start_proxy: StartProxy) -> None:
    both = HOOK | {"YOUTUBE_API_KEY": "old"}
    proxy = await start_proxy(**both)
    secrets = proxy.app[keys.PROVIDER_SECRETS]["youtube"]
    rotate(proxy.app, Settings.from_environment(both | {"WEBHOOK_SECRET": "b", "YOUTUBE_API_KEY": "new"}))
    assert secrets == {"key": "new"}
    assert proxy.app[keys.WEBHOOKS].key == signing_key("b")


async def test_a_refusal_of_the_old_credential_is_not_held_against_the_new_one(start_proxy: StartProxy) -> None:
    """The old one is withdrawn at Discogs while calls with it are under way."""
    asked = asyncio.Event()
    shown = []

    async def refuse_the_old(request: web.Request) -> web.Response:
        shown.append(request.headers["Authorization"])
        if "old" not in shown[-1]:
            return web.json_response({"id": 1})
        asked.set()
        await rotated.wait()
        return web.json_response({"message": "Invalid consumer."}, status=401)

    async with running_origin() as origin:
        origin.answer, rotated = refuse_the_old, asyncio.Event()
        proxy = await start_proxy(DISCOGS_API_URL=origin.url, **key("old"))
        upstream = proxy.app[keys.UPSTREAM]
        call = asyncio.create_task(
            upstream.fetch(Call("GET", "/releases/1", Lane.SHOPPER, Using.OPERATOR), Trace("shop"))
        )
        await asked.wait()
        upstream.use(operator_credential(Settings.from_environment(key("new"))))
        rotated.set()
        answer = await call
    assert (answer.status, answer.using) == (200, Using.OPERATOR)
    assert upstream.troubles() == {}
    assert len(shown) == 2


# --- a process that is hung up ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Running:
    """A proxy whose credentials are files, and the origin behind it."""

    proxy: ProxyProcess
    origin: Origin
    files: Path
    session: aiohttp.ClientSession
    _heard: int = field(default=0)

    def write(self, **credentials: str) -> None:
        write(self.files, credentials)

    async def hang_up(self) -> str:
        """What it says to that."""
        self.proxy.process.send_signal(signal.SIGHUP)
        self._heard += 1
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                said = [line for line in self.proxy.log.splitlines() if "read again" in line]
                if len(said) >= self._heard:
                    return said[-1]
                await asyncio.sleep(0.02)

    async def status(self, path: str, token: str | None = None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.get(self.proxy.url + path, headers=headers) as response:
            await response.read()
            return response.status


def write(files: Path, credentials: dict[str, str]) -> None:
    for name, value in credentials.items():
        (files / name).write_text(value)


@asynccontextmanager
async def running(files: Path, dsn: str, **credentials: str) -> AsyncIterator[Running]:
    write(files, credentials)
    environment = {f"{name}_FILE": str(files / name) for name in credentials}
    async with running_origin() as origin, aiohttp.ClientSession() as session:
        origin.body, origin.headers = b'{"id": 1}', {"Content-Type": "application/json"}
        environment |= {"DATA_DIR": str(files), "DATABASE_URL": dsn, "DISCOGS_API_URL": origin.url}
        async with proxy_process(files / "log", DISCOGS_RATE_LIMIT="0", **environment) as proxy:
            yield Running(proxy, origin, files, session)


ADMIN = "/api/admin/stores"
REVIEW = "/api/admin/matches"


async def test_a_hang_up_reads_credentials_again_and_drops_no_request(tmp_path: Path, database_dsn: str) -> None:
    async with running(tmp_path, database_dsn, ADMIN_TOKEN=OLD, REVIEW_TOKENS=f"anna:{ANNAS}", **key("old")) as now:
        now.origin.latency_s = 0.2
        under_way = [asyncio.create_task(now.status(f"/artists/{number}")) for number in range(50)]
        now.write(ADMIN_TOKEN=NEW, REVIEW_TOKENS=f"bert:{BERTS}", **key("new"))
        said = await now.hang_up()
        assert await asyncio.gather(*under_way) == [200] * 50
        assert await now.status("/artists/99") == 200
        assert now.origin.requests[-1].headers["Authorization"] == "Discogs key=new, secret=secret-of-new"
        assert [await now.status(ADMIN, token) for token in (OLD, NEW, BERTS)] == [401, 200, 403]
        assert [await now.status(REVIEW, token) for token in (ANNAS, BERTS)] == [401, 200]
        assert await now.proxy.stop() == 0
    for name in ("DISCOGS_CONSUMER_KEY", "DISCOGS_CONSUMER_SECRET", "ADMIN_TOKEN", "REVIEW_TOKENS"):
        assert name in said
    assert "secret-of" not in now.proxy.log


async def test_what_cannot_be_used_is_refused_and_the_old_stays(tmp_path: Path, database_dsn: str) -> None:
    async with running(tmp_path, database_dsn, ADMIN_TOKEN=OLD, REVIEW_TOKENS=f"anna:{ANNAS}") as now:
        now.write(ADMIN_TOKEN=NEW, REVIEW_TOKENS="hunter2")
        said = await now.hang_up()
        assert "the old ones stay" in said
        assert "REVIEW_TOKENS (its value is not shown): it must be" in said
        assert "hunter2" not in now.proxy.log
        assert [await now.status(ADMIN, token) for token in (OLD, NEW)] == [200, 401]
        assert await now.status(REVIEW, ANNAS) == 200
        (tmp_path / "REVIEW_TOKENS").unlink()
        assert "must be readable from REVIEW_TOKENS_FILE" in await now.hang_up()
        now.write(REVIEW_TOKENS=f"anna:{ANNAS}")
        assert "ADMIN_TOKEN" in await now.hang_up()
        assert [await now.status(ADMIN, token) for token in (OLD, NEW)] == [401, 200]


async def test_what_the_environment_holds_is_told_to_need_a_restart(tmp_path: Path, database_dsn: str) -> None:
    environment = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_dsn, "DISCOGS_API_URL": "http://127.0.0.1:9"}
    async with proxy_process(tmp_path / "log", ADMIN_TOKEN="hunter2-hunter2-hunter2", **environment) as proxy:
        proxy.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(START_TIMEOUT_S):
            while "only a restart can change" not in proxy.log:
                await asyncio.sleep(0.02)
        assert await proxy.stop() == 0
    assert "ADMIN_TOKEN" in proxy.log
    assert "hunter2" not in proxy.log
