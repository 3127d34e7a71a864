"""Stories of paths that are not Discogs': what is stored by upstream's word, who gets it, and who never does."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy import keys
from proxy.adapters.responses import FILE_NAME
from proxy.adapters.upstream import Call, Trace
from proxy.adapters.variants import VARIANTS_MAX
from proxy.domain.budget import Lane
from proxy.domain.credentials import caller_of
from proxy.domain.http_fields import as_http_date
from proxy.domain.request import ShopRequest
from proxy.domain.resources import UNKNOWN
from proxy.domain.visibility import Ask, Using
from proxy.services.shared_cache import LONGEST_STORED, SharedCache
from tests.conftest import ADMIN_TOKEN, Proxy, StartProxy
from tests.origin import Origin, running_origin

PATH = "/gateway/thing"
FRESH = {"Cache-Control": "max-age=60"}
STALE = r"discogs-proxy; hit; ttl=-4\d; detail="
"""100 s after it was fetched, and what the test takes."""
TAGGED = FRESH | {"ETag": '"a"'}


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with running_origin() as running:
        running.headers = FRESH
        yield running


@pytest.fixture
async def proxy(start_proxy: StartProxy, origin: Origin) -> Proxy:
    return await start_proxy(DISCOGS_API_URL=origin.url)


def shared(proxy: Proxy) -> SharedCache:
    return proxy.app[keys.PASSTHROUGH].shared


def later(proxy: Proxy, seconds: float) -> None:
    """Time passes for the cache."""
    now = time.time() + seconds
    shared(proxy).now = lambda: now


async def until(done: object) -> None:
    async with asyncio.timeout(10):
        while not done():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def rows(tmp_path: Path) -> list[tuple[str, bytes]]:
    """What is stored; before anything was looked for there is no file."""
    if not (tmp_path / FILE_NAME).exists():
        return []
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        return list(db.execute("SELECT key, value FROM responses"))


async def numbers(proxy: Proxy, *headers: dict[str, str], path: str = PATH) -> list[str]:
    """Which of the origin's answers each request got."""
    return [(await proxy.get(path, **each))[0].headers["N"] for each in headers]


# --- what is shown ------------------------------------------------------------------------------------------------


async def test_a_fresh_answer_costs_no_call_and_bears_upstreams_own_headers(proxy: Proxy, origin: Origin) -> None:
    origin.headers = TAGGED | {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "Age": "5", "X": "1"}
    first, _ = await proxy.get(PATH)
    assert first.headers["Cache-Status"] == "discogs-proxy; fwd=uri-miss; fwd-status=200; stored"
    assert first.headers["Age"] == "5"
    later(proxy, 10)
    second, body = await proxy.get(PATH)
    assert (origin.calls, body) == (1, b"body")
    assert second.headers["Cache-Status"].startswith("discogs-proxy; hit; ttl=4")
    assert int(second.headers["Age"]) >= 14
    assert (await proxy.request("HEAD", PATH))[0].headers["Content-Length"] == "4"
    for name in ("Date", "ETag", "Last-Modified", "Cache-Control", "X", "N"):
        assert second.headers[name] == first.headers[name]
    assert origin.calls == 1


async def test_without_a_word_of_upstream_nothing_is_stored(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.headers = {}
    assert await numbers(proxy, {}, {}) == ["1", "2"]
    assert rows(tmp_path) == []


async def test_a_stale_answer_is_validated_and_its_headers_renewed(proxy: Proxy, origin: Origin) -> None:
    origin.headers = TAGGED
    await proxy.get(PATH)
    later(proxy, 100)
    origin.status, origin.headers = 304, TAGGED | {"X": "new", "Date": as_http_date(time.time() + 100)}
    response, body = await proxy.get(PATH)
    assert (response.status, body, response.headers["X"]) == (200, b"body", "new")
    assert origin.requests[-1].headers["If-None-Match"] == '"a"'
    assert response.headers["Cache-Status"] == "discogs-proxy; fwd=stale; fwd-status=304; stored"
    response, _ = await proxy.get(PATH)
    assert "hit" in response.headers["Cache-Status"]
    assert origin.calls == 2


async def test_conditions_and_ranges_are_answered_from_the_store(proxy: Proxy, origin: Origin) -> None:
    origin.headers = TAGGED
    await proxy.get(PATH)
    response, body = await proxy.get(PATH, If_None_Match='"b", "a"')
    assert (response.status, body, response.headers["ETag"]) == (304, b"", '"a"')
    assert "Content-Type" not in response.headers
    response, body = await proxy.get(PATH, Range="bytes=1-2")
    assert (response.status, body, response.headers["Content-Range"]) == (206, b"od", "bytes 1-2/4")
    response, body = await proxy.get(PATH, Range="bytes=9-")
    assert (response.status, body, response.headers["Content-Range"]) == (416, b"", "bytes */4")
    assert origin.calls == 1


async def test_a_client_may_ask_for_nothing_but_the_store(proxy: Proxy, origin: Origin) -> None:
    response, body = await proxy.get(PATH, Cache_Control="only-if-cached")
    assert (response.status, origin.calls) == (504, 0)
    assert b'{"message": ' in body
    await proxy.get(PATH)
    assert (await proxy.get(PATH, Cache_Control="only-if-cached"))[0].status == 200


async def test_a_client_that_wants_nothing_stored_gets_its_way(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    response, _ = await proxy.get(PATH, Cache_Control="no-store")
    assert response.headers["Cache-Status"] == "discogs-proxy; fwd=request; fwd-status=200"
    assert rows(tmp_path) == []


# --- stale --------------------------------------------------------------------------------------------------------


async def test_stale_while_revalidate_shows_it_and_asks_once_behind(proxy: Proxy, origin: Origin) -> None:
    origin.headers = {"Cache-Control": "max-age=60, stale-while-revalidate=60"}
    await proxy.get(PATH)
    later(proxy, 100)
    origin.latency_s = 0.1
    answers = await asyncio.gather(*(proxy.get(PATH) for _ in range(10)))
    for response, _ in answers:
        assert re.fullmatch(STALE + "stale-while-revalidate", response.headers["Cache-Status"])
    await shared(proxy)._refreshing.settled()
    assert origin.calls == 2
    assert await numbers(proxy, {}) == ["2"]


async def test_stale_if_error_hides_an_error_and_upstream_is_left_alone(proxy: Proxy, origin: Origin) -> None:
    origin.headers = {"Cache-Control": "max-age=60, stale-if-error=60"}
    await proxy.get(PATH)
    later(proxy, 100)
    origin.status = 503
    for _ in range(3):
        response, body = await proxy.get(PATH)
        assert (response.status, body) == (200, b"body")
        assert re.fullmatch(STALE + "stale-if-error", response.headers["Cache-Status"])
    assert origin.calls == 2
    later(proxy, 121)
    assert (await proxy.get(PATH))[0].status == 503


async def test_an_error_that_upstream_does_not_hide_is_shown(proxy: Proxy, origin: Origin) -> None:
    await proxy.get(PATH)
    later(proxy, 100)
    origin.status = 503
    assert (await proxy.get(PATH))[0].status == 503


async def test_failures_of_paths_that_we_do_not_know_are_no_outage(proxy: Proxy, origin: Origin) -> None:
    origin.status, origin.headers = 503, {}
    for _ in range(20):
        await proxy.get(PATH)
    assert origin.calls == 20
    assert not proxy.app[keys.UPSTREAM].outage.is_open


# --- who gets what ------------------------------------------------------------------------------------------------

SECRETS: list[dict[str, str]] = [
    {"Authorization": "Discogs token=s3cret"},
    {"Authorization": "Bearer s3cret"},
    {"X_Api_Key": "s3cret"},
]


@pytest.mark.parametrize("secret", SECRETS)
async def test_what_somebody_gets_for_a_credential_nobody_else_gets(
    proxy: Proxy, origin: Origin, secret: dict[str, str], tmp_path: Path
) -> None:
    other = {name: value + "2" for name, value in secret.items()}
    assert await numbers(proxy, secret, {}, secret, other, {}) == ["1", "2", "3", "4", "2"]
    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("leave", ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"])
async def test_unless_upstream_gives_it_to_everybody(
    proxy: Proxy, origin: Origin, secret: dict[str, str], leave: str, tmp_path: Path
) -> None:
    origin.headers = {"Cache-Control": leave}
    other = {name: value + "2" for name, value in secret.items()}
    assert await numbers(proxy, secret, {}, secret, other) == ["1"] * 4
    assert b"s3cret" not in b"".join(key.encode() + value for key, value in rows(tmp_path))


@pytest.mark.parametrize(
    "query", ["?token=s3cret", "?a=1&KEY=s3cret&secret=x", "?oauth_token=s3cret", "?a=1;token=s3cret"]
)
async def test_a_credential_in_the_query_is_never_stored(
    proxy: Proxy, origin: Origin, query: str, tmp_path: Path
) -> None:
    origin.headers = {"Cache-Control": "public, max-age=60"}
    assert await numbers(proxy, {}, {}, path=PATH + query) == ["1", "2"]
    assert rows(tmp_path) == []


async def test_nothing_of_it_is_stored_where_discogs_calls_everything_public(
    proxy: Proxy, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.services.shared_cache.OFFICIAL_API_URL", origin.url)
    origin.headers = {"Cache-Control": "public, max-age=60"}
    assert await numbers(proxy, SECRETS[0], {}, SECRETS[0]) == ["1", "2", "3"]


async def test_what_one_client_calls_us_never_reaches_another(proxy: Proxy, origin: Origin) -> None:
    origin.headers = FRESH | {"Content-Type": "application/json", "Link": f"<{origin.url}/next>"}
    origin.body = b'{"next": "%s/next"}' % origin.url.encode()
    _, body = await proxy.get(PATH, Host="evil.example", X_Forwarded_Host="evil.example")
    assert b"http://evil.example/next" in body
    other, body = await proxy.get(PATH)
    assert origin.calls == 1
    assert body == b'{"next": "%s/next"}' % proxy.url.encode()
    assert "evil" not in str(other.headers)


@pytest.mark.parametrize("name", ["X_Original_URL", "X_HTTP_Method_Override", "X_Rewrite_Url"])
async def test_what_a_steered_server_answers_is_nobodys(proxy: Proxy, origin: Origin, name: str) -> None:
    assert await numbers(proxy, {name: "/admin"}, {}, {}) == ["1", "2", "2"]


async def test_cookies_pass_in_neither_direction(proxy: Proxy, origin: Origin) -> None:
    origin.headers = FRESH | {"Set-Cookie": "session=1"}
    for _ in range(2):
        response, _ = await proxy.get(PATH, Cookie="a=b")
        assert "Set-Cookie" not in response.headers
        assert "Cookie" not in origin.requests[-1].headers
    assert origin.calls == 2


LEAVES = ["max-age=60", "max-age=60, public", "s-maxage=60", "private, max-age=60", "no-store", "no-cache", ""]
CALLERS: list[dict[str, str]] = [
    {},
    {"Authorization": "Discogs token=anna"},
    {"Authorization": "Discogs token=bert"},
    {"Authorization": "Discogs key=carl, secret=x"},
    {"X_Api_Key": "dora"},
]
WISHES: list[dict[str, str]] = [
    {},
    {"Cache_Control": "no-cache"},
    {"Cache_Control": "max-stale"},
    {"If_None_Match": "*"},
]


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_asks_in_whatever_order_nobody_sees_what_is_not_his(
    proxy: Proxy, origin: Origin, seed: int, tmp_path: Path
) -> None:
    """The origin tells each caller who he is; the path says what it lets caches do."""

    async def you_are(request: web.Request) -> web.Response:
        who = request.headers.get("Authorization", request.headers.get("X-Api-Key", ""))
        leave = LEAVES[int(request.path.rpartition("/")[2])]
        return web.Response(text=who, headers={"Cache-Control": leave, "ETag": f'"{who}"', "You": who or "nobody"})

    async def probe() -> None:
        number, caller = draw.randrange(len(LEAVES)), draw.choice(CALLERS)
        who = next(iter(caller.values()), "")
        query = "?token=emil" if draw.random() < 0.2 else ""
        response, body = await proxy.get(f"{PATH}/{number}{query}", **caller, **draw.choice(WISHES))
        given_to_all = "public" in LEAVES[number] or "s-maxage" in LEAVES[number]
        if not given_to_all or query:
            assert response.headers["You"] == (who or "nobody")
            assert body.decode() in ("", who)

    origin.answer, draw = you_are, random.Random(seed)
    for _ in range(10):
        await asyncio.gather(*(probe() for _ in range(30)))
    told = "".join(key for key, _ in rows(tmp_path))
    assert not any(name in told for name in ("anna", "bert", "carl", "dora", "emil"))


@pytest.mark.parametrize(
    ("leave", "told"),
    [("public, max-age=60", "public, max-age=60"), ("public", "private, no-cache"), ("", "private, no-cache")],
)
async def test_other_caches_may_share_what_we_share(proxy: Proxy, origin: Origin, leave: str, told: str) -> None:
    origin.headers = {"Cache-Control": leave} if leave else {}
    for _ in range(2):
        assert (await proxy.get(PATH, **SECRETS[0]))[0].headers["Cache-Control"] == told


# --- variants -----------------------------------------------------------------------------------------------------


async def test_variants_are_kept_beside_each_other(proxy: Proxy, origin: Origin) -> None:
    origin.headers = FRESH | {"Vary": "Foo"}
    asked = [{"Foo": "1"}, {"Foo": "2"}, {}]
    assert await numbers(proxy, *asked, *asked) == ["1", "2", "3"] * 2
    response, _ = await proxy.get(PATH, Foo="4")
    assert response.headers["Cache-Status"] == "discogs-proxy; fwd=vary-miss; fwd-status=200; stored"


async def test_a_uri_has_so_many_variants_and_no_more(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.headers = FRESH | {"Vary": "Foo"}
    await numbers(proxy, *({"Foo": str(number)} for number in range(VARIANTS_MAX * 3)))
    assert len(rows(tmp_path)) == VARIANTS_MAX + 1
    assert await numbers(proxy, {"Foo": str(VARIANTS_MAX * 3 - 1)}, {"Foo": "0"}) == ["48", "49"]


@pytest.mark.parametrize("vary", [", ".join(f"F{number}" for number in range(500)), "*", "Authorization"])
async def test_what_depends_on_too_much_is_not_stored(proxy: Proxy, origin: Origin, vary: str, tmp_path: Path) -> None:
    origin.headers = FRESH | {"Vary": vary}
    assert await numbers(proxy, {}, {}) == ["1", "2"]
    assert rows(tmp_path) == []


async def test_a_client_that_cannot_unpack_never_gets_what_is_packed(proxy: Proxy, origin: Origin) -> None:
    async def packed_if_wanted(request: web.Request) -> web.Response:
        wants = "gzip" in request.headers["Accept-Encoding"]
        body = gzip.compress(b"body") if wants else b"body"
        return web.Response(body=body, headers=FRESH | ({"Content-Encoding": "gzip"} if wants else {}))

    origin.answer = packed_if_wanted
    for _ in range(2):
        response, body = await proxy.get(PATH, Accept_Encoding="gzip")
        assert (response.headers["Content-Encoding"], body) == ("gzip", b"body")
        response, body = await proxy.get(PATH, Accept_Encoding="identity")
        assert ("Content-Encoding" in response.headers, body) == (False, b"body")
    assert origin.calls == 2


# --- writes and purges --------------------------------------------------------------------------------------------


async def test_a_write_drops_what_it_changes_and_nothing_else(proxy: Proxy, origin: Origin) -> None:
    paths = [PATH, f"{PATH}?a=1", "/gateway/made", "/gateway/told", "/gateway/other", "/"]
    for path in paths:
        await proxy.get(path)
    calls = origin.calls
    origin.headers = FRESH | {"Location": "/gateway/made", "Content-Location": f"{origin.url}/gateway/told?x=1"}
    await proxy.request("POST", PATH, data=b"new")
    statuses = [(await proxy.get(path))[0].headers["Cache-Status"] for path in paths]
    assert ["hit" in status for status in statuses[:5]] == [False, False, False, False, True]
    assert origin.calls >= calls + 5


@pytest.mark.parametrize(
    "location", ["/", "http://elsewhere.example/gateway/thing", "//elsewhere.example/gateway/thing"]
)
async def test_a_hostile_location_drops_nothing(proxy: Proxy, origin: Origin, location: str) -> None:
    await proxy.get(PATH)
    origin.headers = {"Location": location}
    origin.status = 303
    await proxy.request("POST", "/gateway/form", data=b"new")
    assert "hit" in (await proxy.get(PATH))[0].headers["Cache-Status"]


@pytest.mark.parametrize(("method", "status"), [("DELETE", 500), ("PUT", 404), ("OPTIONS", 200)])
async def test_what_changes_nothing_drops_nothing(proxy: Proxy, origin: Origin, method: str, status: int) -> None:
    await proxy.get(PATH)
    origin.status = status
    await proxy.request(method, PATH)
    assert "hit" in (await proxy.get(PATH))[0].headers["Cache-Status"]


@pytest.mark.parametrize("soft", [True, False])
async def test_an_operator_can_drop_it(proxy: Proxy, origin: Origin, *, soft: bool) -> None:
    origin.headers = TAGGED
    await proxy.get(f"{PATH}?a=1")
    async with proxy.session.post(
        f"{proxy.url}/api/admin/purge",
        json={"path": PATH, "soft": soft},
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
    ) as response:
        assert (await response.json())["dropped"]["answers"] == 1
    await proxy.get(f"{PATH}?a=1")
    assert origin.calls == 2
    assert ("If-None-Match" in origin.requests[-1].headers) is soft


# --- equal requests, long bodies, trouble -------------------------------------------------------------------------


async def test_a_hundred_equal_requests_at_once_are_one_call(proxy: Proxy, origin: Origin) -> None:
    origin.latency_s = 0.1
    answers = await asyncio.gather(*(proxy.get(PATH) for _ in range(100)))
    assert {(response.status, body) for response, body in answers} == {(200, b"body")}
    assert origin.calls == 1


@pytest.mark.parametrize("headers", [{}, {"Cache-Control": "private"}, {"Cache-Control": "no-store"}])
async def test_but_what_is_one_clients_alone_is_never_shared(
    proxy: Proxy, origin: Origin, headers: dict[str, str]
) -> None:
    origin.latency_s, origin.headers = 0.05, headers
    answers = await asyncio.gather(*(proxy.get(PATH) for _ in range(10)))
    assert len({response.headers["N"] for response, _ in answers}) == 10


async def test_the_others_outlive_the_client_whose_request_is_under_way(proxy: Proxy, origin: Origin) -> None:
    """One of them asks in its place."""
    cache = shared(proxy)
    request = ShopRequest("GET", PATH, "", UNKNOWN, caller_of([], ""), Ask(Using.NOBODY), (), proxy.url)

    async def served() -> bytes:
        async with cache.serve(request, Call("GET", PATH, Lane.SHOPPER), Trace("test")) as answer:
            return b"".join([piece async for piece in answer.pieces])

    origin.latency_s = 0.1
    first = asyncio.create_task(served())
    await until(lambda: origin.calls)
    others = [asyncio.create_task(served()) for _ in range(20)]
    await until(lambda: [len(leader._callbacks or ()) for leader in cache._leaders.values()] == [20])
    first.cancel()
    assert await asyncio.gather(*others) == [b"body"] * 20
    assert origin.calls == 2


async def test_a_failure_is_shared_by_all_who_wait_for_it(proxy: Proxy, origin: Origin) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    origin.latency_s, origin.answer = 0.1, hang_up
    answers = await asyncio.gather(*(proxy.get(PATH) for _ in range(20)))
    assert {response.status for response, _ in answers} == {502}
    assert origin.calls <= 2  # a request that meets a closed connection is sent once more


async def test_a_body_of_unknown_length_is_streamed_and_stored_at_its_end(proxy: Proxy, origin: Origin) -> None:
    more = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=FRESH)
        await response.prepare(request)
        await response.write(b"first ")
        await more.wait()
        await response.write(b"second")
        return response

    origin.answer = slow
    async with proxy.session.get(proxy.url + PATH) as response:
        assert await response.content.readany() == b"first "
        more.set()
        assert await response.read() == b"second"
    response, body = await proxy.get(PATH)
    assert body == b"first second"
    assert "hit" in response.headers["Cache-Status"]


async def test_a_body_that_breaks_off_is_never_stored(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    async def breaking(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=FRESH)
        if "length" in request.path:
            response.content_length = 100
        await response.prepare(request)
        await response.write(b"first ")
        assert request.transport is not None
        request.transport.abort()
        return response

    origin.answer = breaking
    with pytest.raises(aiohttp.ClientPayloadError):
        await proxy.get(PATH)
    assert (await proxy.get(f"{PATH}/length"))[0].status == 502
    assert rows(tmp_path) == []


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_long_body_passes_and_is_not_stored(
    proxy: Proxy, origin: Origin, tmp_path: Path, *, chunked: bool
) -> None:
    async def long(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=bytes(LONGEST_STORED + 1), headers=FRESH)
        if chunked:
            response.enable_chunked_encoding()
        return response

    origin.answer = long
    assert len((await proxy.get(PATH))[1]) == LONGEST_STORED + 1
    assert rows(tmp_path) == []


async def test_a_broken_row_is_a_miss(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.headers = FRESH | {"Vary": "Foo"}
    await proxy.get(PATH)
    for broken in (b"", b"1 {", b'1 {"status": 7, "headers": [], "fetched_at": 0}\n', b'1 {"status": 0}\n\xff'):
        with sqlite3.connect(tmp_path / FILE_NAME) as db:
            db.execute("UPDATE responses SET value = ?", (broken,))
        assert (await proxy.get(PATH))[0].status == 200
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        head = b'1 {"status": 200, "headers": [["A", "b\\r\\nc: d"]], "fetched_at": 9e9}\n'
        db.execute("UPDATE responses SET value = ?", (head,))
    response, body = await proxy.get(PATH)
    assert (response.status, body) == (200, b"body")


async def test_json_that_is_none_is_an_error_and_not_stored(proxy: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.headers, origin.body = FRESH | {"Content-Type": "application/json"}, b"{"
    assert (await proxy.get(PATH))[0].status == 502
    assert rows(tmp_path) == []
