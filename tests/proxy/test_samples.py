"""Every real response at hand goes through the proxy and comes out equal but for what the README says is added."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from proxy.settings import OFFICIAL_API_URL
from tests.conftest import Proxy, StartProxy, samples

ADDED = {"audio_matches", "processing_status"}


class Recorded:
    """An upstream that answers each path with the bytes of a recorded file."""

    def __init__(self, server: BaseTestServer, bodies: dict[str, bytes]) -> None:
        self.url = str(server.make_url("")).rstrip("/")
        self.bodies = bodies


@pytest.fixture
async def recorded() -> AsyncIterator[Recorded]:
    bodies: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.raw_path], content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield Recorded(server, bodies)


def recorded_json(kind: str) -> list[tuple[Path, bytes]]:
    """Files of one kind that hold a JSON object as Discogs gave it."""
    found = []
    for file in sorted(samples("DISCOGS_SAMPLES").glob(f"*/{kind}/*.json")):
        body = file.read_bytes()
        if isinstance(parsed := json.loads(body), dict) and not {"status", "headers", "body"} <= parsed.keys():
            found.append((file, body))
    assert len(found) > 5
    return found


def expected(body: bytes, proxy: Proxy) -> object:
    return json.loads(json.dumps(json.loads(body)).replace(OFFICIAL_API_URL, proxy.url))


def difference(shown: object, wanted: object, place: str = "$") -> str | None:
    """Where two JSON values first differ; the order of members counts."""
    if isinstance(shown, dict) and isinstance(wanted, dict):
        if list(shown) != list(wanted):
            return f"{place}: members {list(shown)} for {list(wanted)}"
        return next(filter(None, (difference(shown[key], wanted[key], f"{place}.{key}") for key in wanted)), None)
    if isinstance(shown, list) and isinstance(wanted, list) and len(shown) == len(wanted):
        inner = (
            difference(one, other, f"{place}[{n}]") for n, (one, other) in enumerate(zip(shown, wanted, strict=True))
        )
        return next(filter(None, inner), None)
    return None if shown == wanted and type(shown) is type(wanted) else f"{place}: {shown!r} for {wanted!r}"


async def test_releases_come_out_equal(start_proxy: StartProxy, recorded: Recorded) -> None:
    proxy = await start_proxy(DISCOGS_API_URL=recorded.url)
    for number, (file, body) in enumerate(recorded_json("release")):
        path = f"/releases/{json.loads(body)['id']}?sample={number}"  # some releases were recorded twice
        recorded.bodies[path] = body
        response, shown = await proxy.get(path)
        assert response.status == 200, file
        content = json.loads(shown)
        assert {key: content.pop(key) for key in ADDED} == {"audio_matches": [], "processing_status": "queued"}
        assert difference(content, expected(body, proxy)) is None, file


async def test_inventories_come_out_equal(start_proxy: StartProxy, recorded: Recorded) -> None:
    proxy = await start_proxy(DISCOGS_API_URL=recorded.url)
    for number, (file, body) in enumerate(recorded_json("inventory")):
        path = f"/users/seller/inventory?page={number}"
        recorded.bodies[path] = body
        response, shown = await proxy.get(path)
        assert response.status == 200, file
        content = json.loads(shown)
        for listing in content["listings"]:
            assert {key: listing.pop(key) for key in ADDED} == {"audio_matches": [], "processing_status": "queued"}
        assert difference(content, expected(body, proxy)) is None, file


@pytest.mark.parametrize("kind", ["listing", "other"])
async def test_everything_else_comes_out_equal(start_proxy: StartProxy, recorded: Recorded, kind: str) -> None:
    proxy = await start_proxy(DISCOGS_API_URL=recorded.url)
    for number, (file, body) in enumerate(recorded_json(kind)):
        for path in (f"/marketplace/listings/{number + 1}", f"/some/gateway/{number}"):
            recorded.bodies[path] = body
            response, shown = await proxy.get(path)
            assert response.status == 200, file
            assert difference(json.loads(shown), expected(body, proxy)) is None, file
