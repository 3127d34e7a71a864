"""The short way of a hit gives the answers of the long way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import pytest
import structlog

from proxy import keys
from proxy.handlers import hits
from tests.conftest import STORE, Proxy, StartProxy
from tests.simulated_discogs import SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory"
CHANGING = {"date", "x-request-id", "age", "cache-status"}


@pytest.fixture
def went_short(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was written in the short way."""
    written: list[bytes] = []

    class Noted(hits.WrittenResponse):
        def __init__(self, whole: bytes, on_end: Callable[[int | str], None]) -> None:
            written.append(whole)
            super().__init__(whole, on_end)

    monkeypatch.setattr(hits, "WrittenResponse", Noted)
    return written


@pytest.mark.parametrize("cors", ["*", "https://shop.example", ""])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept_Encoding": "identity"},
        {"Accept": "application/json"},
        {"Accept": "application/vnd.discogs.v2.html+json"},
        {"Origin": "https://shop.example"},
        {"Origin": "https://other.example"},
        {"X_Request_Id": "mine"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_both_ways_say_the_same(
    start_proxy: StartProxy, went_short: list[bytes], cors: str, headers: dict[str, str], method: str
) -> None:
    proxy = await start_proxy(CORS_ORIGINS=cors)
    await proxy.request(method, INVENTORY, **headers)
    long, long_body = await proxy.request(method, INVENTORY, **headers)
    assert not went_short
    short, short_body = await proxy.request(method, INVENTORY, **headers)
    assert len(went_short) == 1
    assert short.status == long.status == 200
    assert short_body == long_body
    assert without_changing(short.headers.items()) == without_changing(long.headers.items())
    assert short.headers["Cache-Status"].startswith("discogs-proxy; hit; ttl=")
    assert {name.lower() for name in short.headers} >= CHANGING
    assert headers.get("X_Request_Id", short.headers["X-Request-Id"]) == short.headers["X-Request-Id"]


def without_changing(headers: object) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in headers if name.lower() not in CHANGING)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Discogs token=somebody"},
        {"If_None_Match": '"x"'},
        {"Connection": "close"},
        {"Accept": "application/vnd.discogs.v2.html+json"},
        {"Host": "elsewhere.example"},
    ],
)
async def test_what_is_special_goes_the_long_way(
    proxy: Proxy, went_short: list[bytes], headers: dict[str, str]
) -> None:
    for _ in range(3):
        await proxy.get(INVENTORY)
    assert len(went_short) == 1
    await proxy.get(INVENTORY, **headers)
    assert len(went_short) == 1


async def test_the_short_way_is_counted_and_logged(
    proxy: Proxy, went_short: list[bytes], logs: list[structlog.types.EventDict]
) -> None:
    for _ in range(4):
        await proxy.get(INVENTORY)
    assert len(went_short) == 2
    _, body = await proxy.get("/metrics")
    assert b'requests_total{kind="inventory",source="hit",status="200",store="other"} 3.0' in body
    lines = [each for each in logs if each["event"] == "request" and each["path"] == INVENTORY]
    assert [line["decision"] for line in lines] == ["miss", "hit", "hit", "hit"]
    assert set(lines[1]) == set(lines[3])


async def test_pipelined_requests_are_answered_in_their_order(proxy: Proxy, went_short: list[bytes]) -> None:
    paths = [f"{INVENTORY}?page=1", f"{INVENTORY}?page=2"]
    bodies = [[await proxy.get(path, Accept_Encoding="identity") for _ in range(2)][1][1] for path in paths]
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    order = [0, 1, 1, 0, 1]
    for each in order:
        writer.write(f"GET {paths[each]} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n\r\n".encode())
    for each in order:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        assert await reader.readexactly(int(length.split(b":")[1])) == bodies[each]
    writer.close()
    assert went_short


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(proxy: Proxy, went_short: list[bytes]) -> None:
    for _ in range(2):
        await proxy.get(INVENTORY)
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"GET {INVENTORY} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n\r\n".encode() * 50)
        await writer.drain()
        writer.transport.abort()
    response, _ = await proxy.get(INVENTORY)
    assert response.status == 200
    assert went_short


async def test_a_packed_answer_has_the_length_of_what_is_sent(proxy: Proxy, went_short: list[bytes]) -> None:
    for _ in range(3):
        await proxy.get(INVENTORY)
    head, _, body = went_short[0].partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Content-Encoding: gzip" in head
    assert gzip.decompress(body).startswith(b'{"pagination"')


async def test_behind_a_front_server_each_origin_gets_its_own_urls(
    start_proxy: StartProxy, went_short: list[bytes]
) -> None:
    proxy = await start_proxy(TRUSTED_PROXIES="127.0.0.1")
    for host in ("one.example", "two.example") * 3:
        _, body = await proxy.get(INVENTORY, X_Forwarded_Host=host, X_Forwarded_Proto="https")
        assert f"https://{host}/users/".encode() in body
    assert len(went_short) == 2


async def test_who_is_not_trusted_does_not_choose_the_origin(proxy: Proxy, went_short: list[bytes]) -> None:
    for host in ("one.example", "two.example") * 3:
        _, body = await proxy.get(INVENTORY, X_Forwarded_Host=host)
        assert b".example" not in body
    assert len(went_short) == 4


async def test_shortcuts_to_one_answer_are_bounded(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(INVENTORY)
    for number in range(50):
        await proxy.get(INVENTORY, Accept=f"application/{number}+json")
    assert len(proxy.app[keys.FINISHED]._shortcuts) <= 32


async def test_another_rendering_by_any_spelling_is_not_the_default(proxy: Proxy, went_short: list[bytes]) -> None:
    html, path = "application/vnd.discogs.v2.HTML+JSON", "/artists/194"
    for _ in range(3):
        await proxy.get(path, Accept=html)
    assert went_short
    response, _ = await proxy.get(path)
    assert "fwd=uri-miss" in response.headers["Cache-Status"]
