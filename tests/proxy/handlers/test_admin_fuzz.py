"""Ten thousand admin requests of all kinds: none ends in an error of ours; without the token none changes anything."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import pytest
from yarl import URL

from proxy import keys
from proxy.handlers.openapi import PATHS
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.proxy.handlers.test_openapi import without_limits

REQUESTS = 10_000
AT_ONCE = 8
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW")
SEGMENTS = (
    "1",
    "7",
    "0",
    "-1",
    STORE,
    "small_shop",
    "nobody",
    "%00",
    "%ff",
    "..%2f",
    "é",
    "x" * 300,
    "9" * 30,
    "\U0001f3b5",
)
VALUES: tuple[object, ...] = (
    None,
    True,
    0,
    1,
    -1,
    5,
    2**70,
    1.5,
    "",
    "x",
    STORE,
    "é\ud800",
    "\0",
    [],
    {},
    [[]],
    "https://youtu.be/" + "a" * 11,
)
NAMES = ("limit", "by", "url", "sub_index", "release", "store", "path", "soft", "status", "cursor", "hours")
BODIES = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 2000, b"0" * 5000)
FOREIGN: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Basic YWRtaW46eA=="},
    {"Authorization": f"bearer {ADMIN_TOKEN}x"},
    {"Cookie": "discogs_proxy_session=admin.99999999999.00"},
    {"Authorization": f"Bearer {ADMIN_TOKEN}", "Origin": "https://evil.example"},
)
ODD_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Content-Type": "text/plain"},
    {"X-Request-Id": "\x80"},
    {"Accept-Encoding": "gzip;q=x"},
    {"If-None-Match": "*"},
    {"Range": "bytes=5-"},
    {"X-Forwarded-For": "::1, x"},
    {"Cookie": "discogs_proxy_session=%7f; a=b"},
)


def asked(chance: random.Random) -> tuple[str, str, bytes | None]:
    template = chance.choice([path for path in PATHS if path.startswith("/api/admin/")])
    parts = [chance.choice(SEGMENTS) if part.startswith("{") else part for part in template.split("/")]
    if chance.random() < 0.1:
        parts.insert(chance.randrange(3, len(parts) + 1), chance.choice(SEGMENTS))
    path = "/".join(parts)
    names = chance.sample(NAMES, chance.randrange(3))
    path += "?" + "&".join(f"{name}={chance.choice(SEGMENTS)}" for name in names) if names else ""
    method = chance.choice((*(each.upper() for each in PATHS[template]), *METHODS))
    return method, path, None if method in ("GET", "HEAD") else body(chance)


def body(chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return chance.choice(BODIES)
    return json.dumps({name: chance.choice(VALUES) for name in chance.sample(NAMES, chance.randrange(4))}).encode()


async def send(proxy: Proxy, chance: random.Random, headers: dict[str, str]) -> int:
    method, path, data = asked(chance)
    headers = chance.choice(ODD_HEADERS) | headers
    url = URL(proxy.url + path, encoded=path.isascii())
    async with proxy.session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
        text = await answer.read()
        assert answer.status < 500 or answer.status in (502, 504), (method, path, data, headers, text)
        assert method == "HEAD" or answer.status < 400 or json.loads(text)["message"]
        return answer.status


async def kept(proxy: Proxy) -> dict[str, str]:
    """Of each table all that is in it."""
    async with proxy.app[keys.DATABASE].connection() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return {
            name: await connection.fetchval(
                f"SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {name} t"  # noqa: S608
            )
            for (name,) in tables
        }


@pytest.mark.slow
async def test_ten_thousand_requests_end_well_and_change_nothing_without_the_token(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES=STORE)
    without_limits(proxy)
    await proxy.admin("PUT", f"/api/admin/stores/{STORE}")
    await proxy.admin("POST", f"/api/admin/stores/{STORE}/sync")
    await proxy.admin("POST", "/api/admin/process-queue?limit=20")
    await proxy.app[keys.DEMAND].flush()
    statuses: Counter[int] = Counter()

    async def some(number: int, requests: int, *, with_token: bool) -> None:
        chance = random.Random(f"{number} {with_token}")
        for _ in range(requests):
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"} if with_token else chance.choice(FOREIGN)
            status = await send(proxy, chance, headers)
            statuses[status] += 1

    async def half(*, with_token: bool) -> None:
        each = REQUESTS // 2 // AT_ONCE
        await asyncio.gather(*(some(number, each, with_token=with_token) for number in range(AT_ONCE)))

    before = await kept(proxy)
    await half(with_token=False)
    assert set(statuses) <= {200, 400, 401, 403, 404, 405}
    assert await kept(proxy) == before
    await half(with_token=True)
    assert await kept(proxy) != before
    assert statuses.total() == REQUESTS
    assert {200, 400, 401, 403, 404, 405} <= set(statuses)
