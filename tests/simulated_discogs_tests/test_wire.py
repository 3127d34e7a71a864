"""Bytes and headers of the two stacks."""

import gzip
import json
import re

import aiohttp
import orjson
import pytest

from tests.simulated_discogs import Catalogue, SimulatedDiscogs
from tests.simulated_discogs.wire import Stack, accepts_gzip, asked_callback, media_type, written

from .conftest import ALICE, Api

OLD_HEADERS = {
    "Content-Type": "application/json",
    "Access-Control-Allow-Headers": "Content-Type, authorization, User-Agent, Private-Auth-Secret, Discogs-UID",
    "Access-Control-Allow-Methods": "HEAD,OPTIONS,GET,OPTIONS",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location",
    "Cache-Control": "public, must-revalidate",
    "Content-Language": "en",
    "Strict-Transport-Security": "max-age=15552000",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Discogs-Media-Type": "discogs.v2",
    "X-Frame-Options": "SAMEORIGIN",
    "X-XSS-Protection": "1; mode=block",
}
CLOUDFLARE = {"Server": "cloudflare", "cf-cache-status": "DYNAMIC"}
OLD_ONLY = sorted(set(OLD_HEADERS) - {"Content-Type", "Strict-Transport-Security", "Vary"})


def a_release(catalogue: Catalogue) -> str:
    return f"/releases/{catalogue.for_sale('vinyl_den')[0].release_id}"


def test_the_old_stack_writes_spaces_and_escapes_the_new_neither() -> None:
    body = {"id": 1, "title": "Ça 🔥", "list": [1.0, None]}

    assert written(body, Stack.OLD) == rb'{"id": 1, "title": "\u00c7a \ud83d\udd25", "list": [1.0, null]}'
    assert written(body, Stack.NEW) == '{"id":1,"title":"Ça 🔥","list":[1.0,null]}'.encode()


@pytest.mark.parametrize("path", ["/users/vinyl_den/inventory", "/users/alice", "/database/search?q=a", "/"])
async def test_old_endpoints_answer_with_the_old_stacks_bytes_and_headers(api: Api, path: str) -> None:
    seen = await api.get(path)

    assert seen.body == json.dumps(seen.json).encode()
    assert {name: seen.headers.get(name) for name in OLD_HEADERS} == OLD_HEADERS
    assert {name: seen.headers[name] for name in CLOUDFLARE} == CLOUDFLARE
    assert re.fullmatch(r"[0-9a-f]{16}-FRA", seen.headers["CF-RAY"])
    assert seen.headers["Set-Cookie"].startswith("__cf_bm=")


async def test_new_endpoints_answer_with_the_new_stacks_bytes_and_few_headers(api: Api, catalogue: Catalogue) -> None:
    for path in (a_release(catalogue), "/users/alice/wants"):
        seen = await api.get(path)

        assert seen.body == orjson.dumps(seen.json)
        assert not [name for name in OLD_ONLY if name in seen.headers]
        assert {name: seen.headers[name] for name in CLOUDFLARE} == CLOUDFLARE


async def test_the_new_stack_allows_an_origin_only_when_told_one_and_not_on_errors(
    api: Api, catalogue: Catalogue
) -> None:
    told = await api.get(a_release(catalogue), Origin="https://shop.example")
    failed = await api.get("/releases/1", Origin="https://shop.example")

    assert told.headers["Access-Control-Allow-Origin"] == "*"
    assert failed.status == 404
    assert "Access-Control-Allow-Origin" not in failed.headers


@pytest.mark.parametrize("path", ["/users/vinyl_den/inventory", "/releases/{}"])
async def test_answers_are_packed_on_request_and_then_chunked(api: Api, catalogue: Catalogue, path: str) -> None:
    path = path.format(catalogue.for_sale("vinyl_den")[0].release_id)
    plain, packed = await api.get(path), await api.get(path, Accept_Encoding="br, gzip;q=0.8")

    assert gzip.decompress(packed.body) == plain.body
    assert (packed.headers["Content-Encoding"], packed.headers["Transfer-Encoding"]) == ("gzip", "chunked")
    assert plain.headers["Content-Length"] == str(len(plain.body))
    assert "Content-Encoding" not in plain.headers


async def test_no_endpoint_sends_validators(api: Api, catalogue: Catalogue) -> None:
    for path in (a_release(catalogue), "/users/vinyl_den/inventory"):
        seen = await api.get(path, If_None_Match="*", If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT")
        assert seen.status == 200
        assert not {"ETag", "Last-Modified", "Expires", "Link"} & set(seen.headers)


async def test_head_is_answered_like_get_without_a_body(api: Api, catalogue: Catalogue) -> None:
    for path in (a_release(catalogue), "/users/vinyl_den/inventory"):
        got, head = await api.get(path), await api.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(got.body))
        assert set(head.headers) == set(got.headers)


async def test_options_is_a_preflight(api: Api) -> None:
    allowed = await api.ask("OPTIONS", "/releases/1", Access_Control_Request_Headers="authorization")
    assert (allowed.status, allowed.body) == (204, b"")
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert (await api.ask("OPTIONS", "/oauth/access_token")).status == 500
    assert (await api.ask("OPTIONS", "/nothing/here")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("PUT", "/releases/1", "Method PUT is not allowed for this resource."),
        ("DELETE", "/users/vinyl_den/inventory", "Method DELETE is not allowed for this resource."),
        ("GET", "/marketplace/listings", "Method GET is not allowed for this resource."),
    ],
)
async def test_other_methods_are_not_allowed(api: Api, method: str, path: str, message: str) -> None:
    seen = await api.ask(method, path)

    assert (seen.status, seen.message) == (405, message)


@pytest.mark.parametrize("path", ["/marketplace/cart", "/users/alice/", "/users/alice/cart", "/nothing"])
async def test_other_paths_are_not_found(api: Api, path: str) -> None:
    assert (await api.get(path)).body == b'{"message": "The requested resource was not found."}'


async def test_a_callback_makes_a_script_of_the_answer(api: Api) -> None:
    seen = await api.get("/users/alice?callback=shop.show")
    refused = await api.get("/users/nobody?callback=show")

    assert seen.headers["Content-Type"] == "text/javascript"
    assert seen.body.startswith(b'shop.show({"meta": {"status": 200}, "data": {"id": ')
    assert seen.body.endswith(b"})")
    assert refused.body.startswith(b'show({"meta": {"status": 404}, "data": {"message": ')


@pytest.mark.parametrize("name", ["alert(1)", "", "a b", "<x>"])
def test_what_is_no_function_name_is_no_callback(name: str) -> None:
    assert asked_callback(name) is None


async def test_a_media_type_adds_the_text_rendered(api: Api) -> None:
    plain = await api.get("/users/small_shop")
    html = await api.get("/users/small_shop", Accept="application/vnd.discogs.v2.html+json")
    text = await api.get("/users/small_shop", Accept="application/vnd.discogs.v2.plaintext+json")
    other = await api.get("/users/small_shop", Accept="image/png")

    assert set(html.json) - set(plain.json) == {"profile_html"}
    assert set(text.json) - set(plain.json) == {"profile_plaintext"}
    assert other.body == plain.body
    assert "[b]" in str(plain.json["profile"])
    assert "[b]" not in str(text.json["profile_plaintext"])


async def test_without_a_user_agent_cloudflare_refuses(discogs: SimulatedDiscogs) -> None:
    headers = {"Authorization": ALICE}
    async with (
        aiohttp.ClientSession(skip_auto_headers=["User-Agent"]) as session,
        session.get(f"{discogs.url}/", headers=headers) as answer,
    ):
        body = await answer.text()

    assert (answer.status, answer.content_type) == (403, "text/html")
    assert body.startswith("<!DOCTYPE html>")


def test_accept_headers_are_read() -> None:
    assert [accepts_gzip(text) for text in ("gzip", "br, gzip;q=0.5", "*", "gzip;q=0", "identity", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert media_type("application/vnd.discogs.v2.html+json") == "html"
    assert media_type("text/html") == "discogs"
