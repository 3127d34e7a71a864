"""What tests of the operator's page share: a proxy whose releases are matched, and a form sent as a browser does."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.conftest import ADMIN_TOKEN, STORE, Proxy

REVIEWERS = "anna:the-token-of-anna,boris:the-token-of-boris,carl:the-token-of-carl:small_shop"
TOKENS = {"admin": ADMIN_TOKEN, "anna": "the-token-of-anna", "boris": "the-token-of-boris", "carl": "the-token-of-carl"}


async def ask(proxy: Proxy, method: str, path: str, asked: object = None) -> tuple[int, Any]:
    data = None if asked is None else json.dumps(asked)
    response, body = await proxy.request(method, path, data=data, Authorization=f"Bearer {ADMIN_TOKEN}")
    return response.status, json.loads(body)


async def matched(proxy: Proxy) -> None:
    """All of the store's releases are matched."""
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    await proxy.get(f"/users/{STORE}/inventory?per_page=100&page=2")
    await proxy.get(f"/api/stores/{STORE}/inventory")
    status, report = await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")
    assert status == 200
    assert report["cached"] > 5


async def matches(proxy: Proxy, status: str = "pending") -> list[dict[str, Any]]:
    _, body = await ask(proxy, "GET", f"/api/admin/matches?limit=200&status={status}")
    found: list[dict[str, Any]] = body["matches"]
    return found


async def send(
    proxy: Proxy, path: str, form: dict[str, object], who: str = "anna", **headers: str
) -> tuple[aiohttp.ClientResponse, str]:
    """A form, as who is logged in by a token."""
    response, body = await proxy.request(
        "POST",
        path,
        data=urlencode(form),
        Authorization=f"Bearer {TOKENS[who]}",
        Content_Type="application/x-www-form-urlencoded",
        **headers,
    )
    return response, body.decode()


async def seen(proxy: Proxy, path: str, who: str = "anna", accept: str = "*/*") -> tuple[aiohttp.ClientResponse, str]:
    """A page."""
    response, body = await proxy.get(path, Authorization=f"Bearer {TOKENS[who]}", Accept=accept)
    return response, body.decode()
