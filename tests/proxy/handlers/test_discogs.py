"""The Discogs-shaped paths, over real HTTP, in front of a simulated Discogs."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.relay import relayed
from tests.simulated_discogs import SECRET, Catalogue, Fault, SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory"


def first_release(discogs: SimulatedDiscogs) -> int:
    return discogs.catalogue.for_sale(STORE)[0].release_id


def message(body: bytes) -> str:
    found = json.loads(body)
    assert list(found) == ["message"]
    return str(found["message"])


# --- releases and inventories -------------------------------------------------------------------------------------


async def test_a_release_not_known_yet_comes_from_upstream_and_is_queued(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    response, body = await proxy.get(f"/releases/{first_release(discogs)}")
    assert response.status == 200
    assert response.headers["Cache-Status"] == "discogs-proxy; fwd=uri-miss; fwd-status=200; stored"
    release = json.loads(body)
    assert list(release)[-2:] == ["audio_matches", "processing_status"]
    assert (release["audio_matches"], release["processing_status"]) == ([], "queued")


async def test_a_matched_release_is_served_without_upstream(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    release_id = await match_one(proxy, discogs)
    calls = len(discogs.calls)
    response, body = await proxy.get(f"/releases/{release_id}")
    assert re.fullmatch(r"discogs-proxy; hit; ttl=107\d\d", response.headers["Cache-Status"])
    assert int(response.headers["Age"]) < 60
    assert json.loads(body)["processing_status"] == "matched"
    assert json.loads(body)["audio_matches"]
    assert len(discogs.calls) == calls


async def match_one(proxy: Proxy, discogs: SimulatedDiscogs) -> int:
    """The id of a release that is persisted, out of those on the first page of the store."""
    await proxy.get(f"{INVENTORY}?per_page=100")
    await proxy.admin("POST", "/api/admin/process-queue?limit=100")
    _, body = await proxy.get(f"{INVENTORY}?per_page=100")
    return next(int(row["release"]["id"]) for row in json.loads(body)["listings"] if row["audio_matches"])


async def test_what_is_stored_equals_what_upstream_says(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    release_id = await match_one(proxy, discogs)
    _, stored = await proxy.get(f"/releases/{release_id}")
    _, direct = await proxy.get(f"/releases/{release_id}?curr_abbr=USD")
    assert json.loads(stored) == json.loads(direct)


async def test_min_confidence_narrows_the_matches(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    release_id = await match_one(proxy, discogs)
    _, body = await proxy.get(f"/releases/{release_id}?min_confidence=100")
    assert all(match["confidence"] >= 100 for match in json.loads(body)["audio_matches"])
    response, body = await proxy.get(f"/releases/{release_id}?min_confidence=abc")
    assert (response.status, message(body)) == (400, "min_confidence must be a number from 0 to 100.")


async def test_only_approved_matches_are_shown_where_the_operator_wants_that(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(AUDIO_VISIBLE="approved", APPROVAL_THRESHOLD="100")
    await proxy.get(f"{INVENTORY}?per_page=100")
    await proxy.admin("POST", "/api/admin/process-queue?limit=100")
    _, body = await proxy.get(f"{INVENTORY}?per_page=100")
    rows = json.loads(body)["listings"]
    assert "matched" in {row["processing_status"] for row in rows}
    assert all(match["approved"] for row in rows for match in row["audio_matches"])


async def test_each_listing_gains_two_members_at_its_end(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    response, body = await proxy.get(INVENTORY)
    page = json.loads(body)
    assert response.status == 200
    assert len(page["listings"]) == 50
    assert {tuple(row)[-2:] for row in page["listings"]} == {("audio_matches", "processing_status")}


async def test_what_a_page_shows_as_queued_is_queued(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    _, body = await proxy.get(INVENTORY)
    wanted = {row["release"]["id"] for row in json.loads(body)["listings"]}
    _, metrics = await proxy.get("/metrics")
    assert f'discogs_proxy_queue_releases{{status="queued"}} {float(len(wanted))}' in metrics.decode()


async def test_pagination_leads_through_the_proxy(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    _, body = await proxy.get(f"{INVENTORY}?per_page=50")
    following = json.loads(body)["pagination"]["urls"]["next"]
    assert following.startswith(proxy.url + INVENTORY)
    response, body = await proxy.get(following.removeprefix(proxy.url))
    assert (response.status, json.loads(body)["pagination"]["page"]) == (200, 2)


async def test_no_body_names_the_upstream(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in ("/", INVENTORY, f"/releases/{first_release(discogs)}", "/database/search?q=a", f"/users/{STORE}"):
        _, body = await proxy.get(path)
        assert b"api.discogs.com" not in body
        assert discogs.url.encode() not in body


async def test_the_public_url_is_written_where_it_is_set(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy(PUBLIC_URL="https://music.example")
    _, body = await proxy.get(INVENTORY, X_Forwarded_Host="evil.example", Host="evil.example")
    assert json.loads(body)["pagination"]["urls"]["next"].startswith("https://music.example/users/")
    assert b"evil.example" not in body


async def test_head_has_the_headers_of_get_and_no_body(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in (INVENTORY, f"/releases/{first_release(discogs)}", "/artists/1"):
        response, body = await proxy.request("HEAD", path)
        assert body == b""
        assert response.headers["Content-Type"].startswith("application/json")


async def test_gzip_is_for_those_who_take_it(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    packed, body = await proxy.get(INVENTORY, Accept_Encoding="gzip")
    plain, same = await proxy.get(INVENTORY, Accept_Encoding="identity")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert json.loads(body) == json.loads(same)


async def test_jsonp_is_enriched_too(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    response, body = await proxy.get(f"/releases/{first_release(discogs)}?callback=cb")
    assert response.headers["Content-Type"].startswith("text/javascript")
    wrapped = json.loads(body.decode().removeprefix("cb(").rstrip(";\n ").removesuffix(")"))
    assert wrapped["data"]["processing_status"] == "queued"


# --- passing through ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/releases/2147483646", 404),
        ("GET", "/users/nobody_at_all/inventory", 404),
        ("GET", f"{INVENTORY}?page=99", 404),
        ("GET", f"{INVENTORY}?page=101", 403),
        ("GET", "/oauth/identity", 401),
        ("GET", "/no/such/path", 404),
        ("PUT", "/database/search", 405),
        ("GET", "/users/a%2Fb/inventory", 404),
        ("GET", "/users/a%00%1Fb/inventory", 404),
    ],
)
async def test_upstream_errors_pass_with_status_and_body(
    proxy: Proxy, discogs: SimulatedDiscogs, method: str, path: str, status: int
) -> None:
    response, body = await proxy.request(method, path)
    assert response.status == status
    assert message(body)
    assert "Access-Control-Allow-Origin" in response.headers


@pytest.mark.parametrize("query", ["page=-1", "per_page=abc", "page=1e9", "sort=%00", "status=Nonsense"])
async def test_odd_parameters_are_upstreams_to_judge(proxy: Proxy, discogs: SimulatedDiscogs, query: str) -> None:
    response, body = await proxy.get(f"{INVENTORY}?{query}")
    assert discogs.calls[-1].raw_path == f"{INVENTORY}?{query}"
    assert response.status == discogs.calls[-1].status
    assert json.loads(body)


async def test_query_and_body_of_a_request_stay_untouched(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    raw = "/marketplace/listings/1?curr_abbr=EUR&x=a%20b+c%2B&y&=z"
    await proxy.request(
        "POST", raw, data=b'{"price": 1}', Content_Type="application/json", Authorization="Discogs token=x"
    )
    call = discogs.calls[-1]
    assert (call.method, call.raw_path) == ("POST", raw)
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Authorization"] == "Discogs token=x"
    assert call.headers["Content-Length"] == "12"


async def test_an_owner_writes_through_the_proxy(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.register_user(STORE, "owner-token")
    listing = discogs.catalogue.for_sale(STORE)[0]
    response, body = await proxy.request(
        "DELETE", f"/marketplace/listings/{listing.id}", Authorization="Discogs token=owner-token"
    )
    assert (response.status, body) == (204, b"")
    assert listing.id not in {each.id for each in discogs.catalogue.for_sale(STORE)}


async def test_a_csv_export_is_streamed_as_it_is(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.register_user(STORE, "owner-token")
    token = {"Authorization": "Discogs token=owner-token"}
    response, _ = await proxy.request("POST", "/inventory/export", **token)
    assert response.headers["Location"].startswith(proxy.url)
    path = response.headers["Location"].removeprefix(proxy.url)
    async with asyncio.timeout(20):
        while json.loads((await proxy.get(path, **token))[1])["status"] != "success":
            await asyncio.sleep(0.1)
    response, body = await proxy.get(f"{path}/download", **token)
    assert response.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in response.headers["Content-Disposition"]
    assert body.startswith(b"listing_id,artist,title")


async def test_what_belongs_to_the_hop_is_not_passed_on(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    response, _ = await proxy.get(
        "/artists/1",
        Connection="X-Private",
        X_Private="1",
        Cookie="a=b",
        X_Forwarded_For="1.2.3.4",
        User_Agent="shop/1",
    )
    sent = {name.lower() for name in discogs.calls[-1].headers}
    assert not sent & {"x-private", "cookie", "x-forwarded-for"}
    assert discogs.calls[-1].headers["User-Agent"].startswith("discogs-proxy/")
    assert not {name.lower() for name in response.headers} & {
        "set-cookie",
        "cf-ray",
        "alt-svc",
        "strict-transport-security",
    }


# --- whose credential, whose data ---------------------------------------------------------------------------------


async def test_the_operators_credential_serves_public_reads_alone(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_consumer("op-key", "op-secret")
    proxy = await start_proxy(DISCOGS_CONSUMER_KEY="op-key", DISCOGS_CONSUMER_SECRET="op-secret")
    for path in (INVENTORY, "/releases/1", "/database/search?q=a"):
        await proxy.get(path)
        assert discogs.calls[-1].credential == "key"
    for method, path in (("GET", "/oauth/identity"), ("GET", "/marketplace/orders"), ("POST", "/marketplace/listings")):
        await proxy.request(method, path)
        assert discogs.calls[-1].credential == "none"


async def test_an_operator_who_owns_the_store_shows_the_public_view_only(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user(STORE, "op-token")
    proxy = await start_proxy(DISCOGS_TOKEN="op-token")
    for query in ("", "?status=Draft", "?status=All&per_page=100", "?status=Sold&sort=listed"):
        response, body = await proxy.get(INVENTORY + query)
        assert response.status == 200
        rows = json.loads(body)["listings"]
        assert rows
        assert {row["status"] for row in rows} == {"For Sale"}
        assert SECRET.encode() not in body
        assert not set().union(*rows) & {"in_cart", "external_id", "location", "weight", "quantity"}
        assert b"op-token" not in body
    _, body = await proxy.get(f"{INVENTORY}?per_page=50")
    assert "status" not in json.loads(body)["pagination"]["urls"]["next"]


async def test_an_owner_sees_his_drafts_and_nothing_of_them_is_kept(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.register_user(STORE, "owner-token")
    _, body = await proxy.get(f"{INVENTORY}?per_page=100&status=Draft", Authorization="Discogs token=owner-token")
    drafts = json.loads(body)["listings"]
    assert drafts
    assert {row["status"] for row in drafts} == {"Draft"}
    assert all("processing_status" in row for row in drafts)
    _, metrics = await proxy.get("/metrics")
    assert 'discogs_proxy_queue_releases{status="queued"} 0.0' in metrics.decode()
    _, body = await proxy.get(f"{INVENTORY}?per_page=100&status=Draft")
    assert {row["status"] for row in json.loads(body)["listings"]} == {"For Sale"}
    assert SECRET.encode() not in body


async def test_a_body_fetched_with_somebodys_credential_is_not_kept(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    release_id = await match_one(proxy, discogs)
    discogs.register_user("anna", "annas-token")
    await proxy.get(f"/releases/{release_id}?x=1", Authorization="Discogs token=annas-token")
    assert discogs.calls[-1].username == "anna"
    before = len(discogs.calls)
    await proxy.get(f"/releases/{release_id}")
    assert len(discogs.calls) == before


async def test_a_caller_who_authenticates_by_query_keeps_his_credential_in_the_links(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user("anna", "annas-token")
    discogs.register_consumer("op-key", "hunter2")
    discogs.register_consumer("shop", "shop-secret")
    proxy = await start_proxy(DISCOGS_CONSUMER_KEY="op-key", DISCOGS_CONSUMER_SECRET="hunter2")
    for credential in ("token=annas-token", "key=shop&secret=shop-secret"):
        _, body = await proxy.get(f"{INVENTORY}?per_page=10&{credential}")
        following = json.loads(body)["pagination"]["urls"]["next"]
        assert all(part in following for part in credential.split("&"))
        assert b"hunter2" not in body


async def test_hmac_signed_oauth_gets_advice(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    header = 'OAuth oauth_consumer_key="k", oauth_token="t", oauth_signature_method="HMAC-SHA1", oauth_signature="x"'
    response, body = await proxy.get(INVENTORY, Authorization=header)
    assert response.status == 401
    assert "PLAINTEXT" in message(body)
    assert discogs.calls == []


async def test_no_credential_reaches_a_log(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, logs: list[structlog.types.EventDict]
) -> None:
    proxy = await start_proxy(DISCOGS_TOKEN="hunter2-operator")
    await proxy.get(f"{INVENTORY}?token=hunter2-query&page=1")
    await proxy.get("/releases/1?key=hunter2-key&secret=hunter2-secret")
    await proxy.get("/releases/1", Authorization="Discogs token=hunter2-header")
    _, metrics = await proxy.get("/metrics")
    assert [each for each in logs if each["event"] == "request"]
    assert "hunter2" not in f"{logs} {metrics!r}"


# --- one line per request -----------------------------------------------------------------------------------------


async def test_a_request_leaves_one_line(
    proxy: Proxy, discogs: SimulatedDiscogs, logs: list[structlog.types.EventDict]
) -> None:
    response, _ = await proxy.get(f"{INVENTORY}?page=1", X_Request_Id="shop-17")
    (line,) = [each for each in logs if each["event"] == "request"]
    assert response.headers["X-Request-Id"] == line["request_id"] == "shop-17"
    assert (line["method"], line["path"], line["query"]) == ("GET", INVENTORY, "page=1")
    assert (line["status"], line["decision"], line["upstream_calls"]) == (200, "miss", 1)
    assert line["ms"] > 0


async def test_a_request_id_that_is_none_is_replaced(proxy: Proxy) -> None:
    response, _ = await proxy.get("/healthz", X_Request_Id="a b\tc")
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-Id"])


# --- browsers -----------------------------------------------------------------------------------------------------


async def test_a_browser_may_read_answers_and_errors(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in (INVENTORY, "/users/nobody_at_all/inventory", "/api/nothing", f"{INVENTORY}?min_confidence=x"):
        response, _ = await proxy.get(path, Origin="https://shop.example")
        assert response.headers.getall("Access-Control-Allow-Origin") == ["*"]
        assert "X-Discogs-Ratelimit" in response.headers["Access-Control-Expose-Headers"]


async def test_a_preflight_is_answered_without_upstream(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    response, _ = await proxy.request(
        "OPTIONS",
        INVENTORY,
        Origin="https://shop.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization",
    )
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Headers"] == "authorization"
    assert discogs.calls == []


# --- a bad day of upstream's --------------------------------------------------------------------------------------


async def test_an_upstream_that_is_away_becomes_502(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(DISCOGS_API_URL="http://127.0.0.1:9")
    response, body = await proxy.get(INVENTORY)
    assert response.status == 502
    assert message(body).startswith("Discogs cannot be reached")


async def test_html_where_nothing_is_promised_passes(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault(kind="html", status=200))
    response, body = await proxy.get("/some/gateway")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert b"<html" in body


async def test_a_stale_release_is_shown_while_it_is_renewed(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    release_id = await match_one(proxy, discogs)
    proxy.app[keys.PASSTHROUGH].copies.now = lambda: datetime.now(UTC) + timedelta(hours=4)
    before = len(discogs.calls)
    response, _ = await proxy.get(f"/releases/{release_id}")
    status = response.headers["Cache-Status"]
    assert re.fullmatch(r"discogs-proxy; hit; ttl=-36\d\d; detail=stale-while-revalidate", status)
    async with asyncio.timeout(10):
        while len(discogs.calls) == before:
            await asyncio.sleep(0.01)


async def test_a_stale_release_that_is_rarely_asked_for_is_shown_as_it_is(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    release_id = await match_one(proxy, discogs)
    path, releases = f"/releases/{release_id}", proxy.app[keys.RELEASES]
    await proxy.get(path)
    releases.copies.now = lambda: datetime.now(UTC) + timedelta(hours=4)
    releases.clock = lambda: time.monotonic() + 4 * 3600
    before = len(discogs.calls)
    response, _ = await proxy.get(path)
    assert response.headers["Cache-Status"].startswith("discogs-proxy; hit; ttl=-36")
    assert len(discogs.calls) == before
    await proxy.get(path)  # asked for again within half an hour: now it is in demand
    async with asyncio.timeout(10):
        while len(discogs.calls) == before:
            await asyncio.sleep(0.01)


async def test_without_the_database_reads_go_on_and_come_back_by_themselves(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    async with relayed(database_dsn) as wire:
        proxy = await start_proxy(DATABASE_URL=wire.dsn)
        await wire.cut()
        for path in (INVENTORY, f"/releases/{first_release(discogs)}"):
            response, body = await proxy.get(path)
            assert response.status == 200
            assert response.headers["Cache-Status"].endswith("detail=no-database")
            assert "processing_status" not in body.decode()
        response, body = await proxy.get("/readyz")
        assert response.status == 200
        assert "database" in json.loads(body)["degraded"]
        for method, path in (("GET", f"/api/stores/{STORE}/inventory"), ("POST", "/api/admin/process-queue")):
            response, body = await proxy.admin(method, path)
            assert response.status == 503
            assert message(body)
        assert (await proxy.get("/metrics"))[0].status == 200
        await wire.restore()
        _, body = await proxy.get(INVENTORY)
        assert json.loads(body)["listings"][0]["processing_status"] == "queued"


def test_the_catalogue_has_what_these_tests_need() -> None:
    catalogue = Catalogue.generate(seed=7, stores={STORE: 120, "small_shop": 12})
    assert len(catalogue.for_sale(STORE)) == 120


@pytest.mark.parametrize(("limit", "told"), [("0", None), ("60", "60")])
async def test_a_limit_is_told_only_where_there_is_one(start_proxy: StartProxy, limit: str, told: str | None) -> None:
    proxy = await start_proxy(DISCOGS_RATE_LIMIT=limit)
    for _ in range(3):
        response, _ = await proxy.get(INVENTORY)
        assert response.headers.get("X-Discogs-Ratelimit") == told
        assert ("X-Discogs-Ratelimit-Remaining" in response.headers) is (told is not None)
