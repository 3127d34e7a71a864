"""The client against a real server that behaves, refuses, lies, hangs, drops and never ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web

from matcher.database import Database
from matcher.domain.breaker import Breaker
from matcher.domain.quota import PACIFIC, Daily
from matcher.errors import Broken, Unavailable, Unreachable
from matcher.providers.http_client import MAX_BODY_BYTES, HttpClient, retry_after_s
from matcher.quota_store import Quota
from tests.origin import Answer, Origin, running_origin

SECRET = "hunter2"


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def drop(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"data": [')
    return await drop(request)


def says(status: int = 200, body: bytes = b"{}", **headers: str) -> Answer:
    """Header names are written with underscores."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return answer


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with running_origin() as found:
        found.body = b"{}"
        yield found


@pytest.fixture
async def client(origin: Origin, database: Database) -> AsyncIterator[HttpClient]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield HttpClient(
            session,
            "maker",
            f"{origin.url}/v3",
            "product/1 +contact",
            Quota(database, "maker", ()),
            {"key": SECRET},
            0.5,
        )


async def test_an_answer_is_parsed(client: HttpClient, origin: Origin) -> None:
    origin.answer = says(200, b'{"data": [1]}')
    reply = await client.get("/track/isrc:GB1", {"q": 'artist:"Ä" & more', "limit": "5"})
    assert (reply.status, reply.body) == (200, {"data": [1]})
    request = origin.requests[0]
    assert request.path == "/v3/track/isrc:GB1"
    assert dict(request.query) == {"q": 'artist:"Ä" & more', "limit": "5", "key": SECRET}
    assert request.headers["User-Agent"] == "product/1 +contact"


async def test_a_parameter_may_be_repeated(client: HttpClient, origin: Origin) -> None:
    await client.get("/url", {"resource": ["a", "b"], "fmt": "json"})
    assert origin.requests[0].query_string == f"resource=a&resource=b&fmt=json&key={SECRET}"


@pytest.mark.parametrize("path", ["/track/../../other", "/track?key=x", "/track#x", "/a b/ü"])
async def test_a_path_leads_nowhere_else(client: HttpClient, origin: Origin, path: str) -> None:
    await client.get(path, {})
    request = origin.requests[0]
    assert request.path.startswith("/v3/")
    assert dict(request.query) == {"key": SECRET}


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b'{"error": {"code": 4}}'])
async def test_what_json_means_is_for_the_adapter_to_judge(client: HttpClient, origin: Origin, body: bytes) -> None:
    origin.answer = says(200, body)
    assert (await client.get("/x", {})).status == 200


@pytest.mark.parametrize(("status", "body"), [(404, b""), (403, b"<html>"), (401, b"Unauthorized"), (400, b"\0")])
async def test_an_error_may_be_told_by_its_status_alone(
    client: HttpClient, origin: Origin, status: int, body: bytes
) -> None:
    origin.answer = says(status, body)
    reply = await client.get("/x", {})
    assert (reply.status, reply.body) == (status, None)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (says(429, b"", Retry_After="120"), 120),
        (says(429, b"<html>"), 30),
        (says(503, b"", Retry_After="7"), 7),
        (says(503, b'{"error": "exceeding the allowable rate limit"}'), 30),
    ],
)
async def test_a_refusal_says_when_to_ask_again(
    client: HttpClient, origin: Origin, answer: Answer, seconds: float
) -> None:
    origin.answer = answer
    with pytest.raises(Unavailable, match="maker: refused with") as refused:
        await client.get("/x", {})
    assert not isinstance(refused.value, Broken)
    assert refused.value.retry_after_s == seconds
    assert not client.breaker.is_open


BROKEN: list[tuple[Answer, str]] = [
    (hang, "no answer in time"),
    (drop, "broke off"),
    (break_off, "broke off"),
    (says(200, b""), "not JSON"),
    (says(200, b"<html><body>Sign in</body></html>"), "not JSON"),
    (says(200, b'{"data": ['), "not JSON"),
    (says(200, b"[" * 100_000), "not JSON"),
    (says(200, b'"' + b"x" * 10_000_000 + b'"'), "more than 2000000 bytes"),
    (says(404, b"x" * 10_000_000), "more than 2000000 bytes"),
    (says(200, b"{}", Content_Encoding="gzip"), "broke off"),
    (says(302, b"", Location="https://elsewhere.example/"), "answered 302"),
    (says(500, b"{}"), "answered 500"),
    (says(503, b"<html>"), "answered 503"),
]


@pytest.mark.parametrize(("answer", "told"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
async def test_nonsense_is_told_from_a_refusal(client: HttpClient, origin: Origin, answer: Answer, told: str) -> None:
    origin.answer = answer
    with pytest.raises(Broken, match=told) as broken:
        await client.get("/x", {"q": "love"})
    assert broken.value.retry_after_s == 30
    assert broken.value.__cause__ is None
    assert SECRET not in str(broken.value) + repr(client)


async def test_nobody_there_is_no_answer_either(client: HttpClient) -> None:
    client.base_url = "http://127.0.0.1:9"
    with pytest.raises(Broken, match="cannot be reached"):
        await client.get("/x", {})


async def test_who_was_heard_once_is_awaited_and_who_never_was_is_not(client: HttpClient, origin: Origin) -> None:
    there, client.base_url = client.base_url, "http://127.0.0.1:9"
    with pytest.raises(Unreachable):
        await client.get("/x", {})
    client.base_url = there
    await client.get("/x", {})
    client.base_url = "http://127.0.0.1:9"
    with pytest.raises(Broken) as failure:
        await client.get("/x", {})
    assert not isinstance(failure.value, Unreachable)


async def test_reading_stops_when_there_is_more_than_anybody_needs(client: HttpClient, origin: Origin) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)
            sent += 65_536

    origin.answer = endless
    client.timeout_s = 30
    with pytest.raises(Broken, match="more than"):
        await client.get("/x", {})
    assert sent < 20 * MAX_BODY_BYTES


async def test_a_provider_that_fails_again_and_again_is_left_alone_until_one_call_finds_it_well(
    client: HttpClient, origin: Origin
) -> None:
    now = 0.0
    client.clock = lambda: now
    client.breaker = Breaker(threshold=3, first_s=30, longest_s=100)
    origin.answer = says(500)
    for _ in range(6):
        with pytest.raises(Broken):
            await client.get("/x", {})
    assert origin.calls == 3
    with pytest.raises(Broken, match="left alone") as broken:
        await client.get("/x", {})
    assert broken.value.retry_after_s == 30
    now, origin.answer = 31.0, says()
    assert (await client.get("/x", {})).status == 200
    assert (await client.get("/x", {})).status == 200


async def test_a_call_that_nobody_waits_for_any_more_tells_nothing(client: HttpClient, origin: Origin) -> None:
    client.breaker = Breaker(threshold=1, first_s=0.0, longest_s=0.0)
    origin.answer = says(500)
    with pytest.raises(Broken):
        await client.get("/x", {})
    origin.answer = hang
    client.timeout_s = 60
    probe = asyncio.create_task(client.get("/x", {}))
    while origin.calls < 2:
        await asyncio.sleep(0.01)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    origin.answer = says()
    assert (await client.get("/x", {})).status == 200


async def test_a_call_beyond_the_quota_is_not_made(client: HttpClient, origin: Origin, database: Database) -> None:
    client.quota = Quota(database, "maker", (Daily("searches", 1, PACIFIC, path="/search"),))
    await client.get("/search", {})
    with pytest.raises(Unavailable, match="used up"):
        await client.get("/search", {})
    await client.get("/videos", {})
    assert [request.path for request in origin.requests] == ["/v3/search", "/v3/videos"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("12", 12), ("99999999999", 86_400), ("", 30), ("soon", 30), ("-5", 30), ("1.5", 30)],
)
def test_when_to_ask_again(value: str, seconds: float) -> None:
    assert retry_after_s({"Retry-After": value}) == seconds


def test_when_to_ask_again_may_be_a_date() -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < retry_after_s({"Retry-After": format_datetime(at, usegmt=True)}) <= 90
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
