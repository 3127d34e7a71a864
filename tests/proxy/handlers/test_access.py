"""Who may do what on the operators' paths, as a client meets it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.types import EventDict

from proxy import keys
from proxy.domain.rate_limit import RateLimit
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.origin import running_origin

MATCHES = "/api/admin/matches"
PURGE = "/api/admin/purge"
ANNA, BORIS = "the-token-of-anna", "the-token-of-boris"
REVIEWERS = f"anna:{ANNA},boris:{BORIS}:Small+other"


async def ask(
    proxy: Proxy, method: str, path: str, token: str = ADMIN_TOKEN, asked: object = None, **headers: str
) -> tuple[int, Any]:
    data = None if asked is None else json.dumps(asked)
    response, body = await proxy.request(method, path, data=data, Authorization=f"Bearer {token}", **headers)
    return response.status, json.loads(body) if body else None


async def with_reviewers(start_proxy: StartProxy) -> Proxy:
    proxy = await start_proxy(REVIEW_TOKENS=REVIEWERS, STORES=f"{STORE},Small=small_shop")
    for store in (STORE, "small_shop"):
        await ask(proxy, "PUT", f"/api/admin/stores/{store}")
        assert (await ask(proxy, "POST", f"/api/admin/stores/{store}/sync"))[0] == 200
    await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")
    return proxy


def session(proxy: Proxy, name: str = "admin") -> str:
    access = proxy.app[keys.ACCESS]
    (credential,) = [each for each in access.credentials if each.caller.name == name]
    return f"discogs_proxy_session={access.new_session(credential).cookie}"


async def test_reviewers_review_in_their_own_name_and_do_nothing_else(start_proxy: StartProxy) -> None:
    proxy = await with_reviewers(start_proxy)
    status, body = await ask(proxy, "GET", MATCHES, ANNA)
    assert status == 200
    match = body["matches"][0]
    status, body = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/approve", ANNA, {"by": "somebody else"})
    assert (status, body["match"]["verified_by"]) == (200, "anna")
    own = f"/api/admin/releases/{match['release_id']}/tracks/{match['track_index']}/match"
    status, body = await ask(proxy, "PUT", own, ANNA, {"url": "https://soundcloud.com/a/b", "by": 7})
    assert (status, body["match"]["verified_by"]) == (200, "anna")
    for method, path in (
        ("POST", PURGE),
        ("GET", "/api/admin/stores"),
        ("DELETE", f"/api/admin/stores/{STORE}"),
        ("POST", "/api/admin/process-queue"),
        ("POST", "/api/admin/migrate-inventory-system"),
        ("GET", "/api/admin/nothing"),
    ):
        status, body = await ask(proxy, method, path, ANNA)
        assert status == 403
        assert body["message"]


async def test_a_reviewer_of_some_stores_sees_and_decides_only_what_they_sell(start_proxy: StartProxy) -> None:
    proxy = await with_reviewers(start_proxy)
    listed = {}
    for name, token in (("anna", ANNA), ("boris", BORIS)):
        listed[name] = [
            each
            for status in ("pending", "approved")
            for each in (await ask(proxy, "GET", f"{MATCHES}?status={status}&limit=200", token))[1]["matches"]
        ]
    _, inventory = await ask(proxy, "GET", "/users/small_shop/inventory?per_page=100")
    sold = {each["release"]["id"] for each in inventory["listings"]}
    assert listed["boris"] == [each for each in listed["anna"] if each["release_id"] in sold]
    his, foreign = listed["boris"][0], next(each for each in listed["anna"] if each["release_id"] not in sold)
    for match, expected in ((his, 200), (foreign, 404)):
        release = f"/api/admin/releases/{match['release_id']}"
        assert (await ask(proxy, "POST", f"{MATCHES}/{match['id']}/reject", BORIS))[0] == expected
        assert (await ask(proxy, "GET", f"{release}/decisions", BORIS))[0] == expected
        url = {"url": "https://soundcloud.com/a/b"}
        assert (await ask(proxy, "PUT", f"{release}/tracks/0/match", BORIS, url))[0] == expected


async def test_a_wrong_token_may_be_tried_so_often_and_who_guesses_locks_nobody_out(start_proxy: StartProxy) -> None:
    """The operator may have the guesser's address: that of a front server which nothing is believed of, or of a NAT."""
    proxy = await start_proxy(TRUSTED_PROXIES="127.0.0.1")
    for number in range(10):
        assert (await ask(proxy, "GET", MATCHES, f"guess{number}"))[0] == 401
    response, _ = await proxy.request("GET", MATCHES, Authorization="Bearer guess10")
    assert response.status == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 7
    assert (await ask(proxy, "GET", MATCHES))[0] == 200
    assert (await proxy.request("GET", MATCHES, Cookie=session(proxy)))[0].status == 200
    assert (await ask(proxy, "GET", MATCHES, "guess11", X_Forwarded_For="9.9.9.9"))[0] == 401


async def test_calls_are_limited_for_each_who_is_known_and_not_by_address(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(REVIEW_TOKENS=REVIEWERS)
    proxy.app[keys.ACCESS].calls = RateLimit(per_minute=1, burst=3)
    for _ in range(5):
        assert (await proxy.request("GET", MATCHES))[0].status == 401
    asked = [(await ask(proxy, "GET", MATCHES))[0] for _ in range(4)]
    assert asked == [200, 200, 200, 429]
    assert (await proxy.request("GET", MATCHES, Cookie=session(proxy)))[0].status == 429
    assert (await ask(proxy, "GET", MATCHES, ANNA))[0] == 200


async def test_a_page_of_ours_asks_by_the_cookie_of_its_session(proxy: Proxy) -> None:
    cookie = session(proxy)
    response, _ = await proxy.request("GET", MATCHES, Cookie=cookie)
    assert response.status == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    asked = json.dumps({"release": 1})
    for headers, expected in (
        ({}, 403),
        ({"Origin": proxy.url}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example", "Host": "evil.example"}, 200),  # made to lead here; it has no such cookie
    ):
        response, _ = await proxy.request("POST", PURGE, data=asked, Cookie=cookie, **headers)
        assert response.status == expected


async def test_a_name_that_is_not_ours_is_refused_where_ours_is_known(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(PUBLIC_URL="https://shop.example")
    for headers, expected in (
        ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),
        ({"Origin": "https://shop.example", "Host": "shop.example"}, 200),
        ({"Origin": proxy.url}, 200),
        ({}, 200),
    ):
        status, _ = await ask(proxy, "POST", PURGE, asked={"release": 1}, **headers)
        assert status == expected


async def test_a_changed_token_ends_its_sessions(proxy: Proxy) -> None:
    cookie = session(proxy)
    access = proxy.app[keys.ACCESS]
    assert (await proxy.request("GET", MATCHES, Cookie=cookie))[0].status == 200
    access.credentials = ()
    assert (await proxy.request("GET", MATCHES, Cookie=cookie))[0].status == 401


async def test_who_logs_out_is_logged_out_for_a_thief_of_his_cookie_in_every_process(
    start_proxy: StartProxy, proxy: Proxy
) -> None:
    cookie, elsewhere = session(proxy), session(proxy)
    response, _ = await proxy.request("POST", "/admin/logout", Cookie=cookie, Origin=proxy.url)
    assert (response.status, response.headers["Location"]) == (303, "/admin/login")
    for each in (proxy, await start_proxy()):
        assert (await each.request("GET", MATCHES, Cookie=cookie))[0].status == 401
        assert (await each.request("GET", "/admin/review", Cookie=cookie))[0].status == 303
        assert (await each.request("GET", MATCHES, Cookie=elsewhere))[0].status == 200
    response, _ = await proxy.request("POST", "/admin/logout", Cookie=cookie, Origin=proxy.url)
    assert response.status == 401


async def test_whether_a_session_was_ended_is_not_guessed_while_the_database_is_away(proxy: Proxy) -> None:
    cookie = session(proxy)
    async with proxy.app[keys.DATABASE].connection() as connection:
        await connection.execute(
            """
            CREATE FUNCTION away() RETURNS text LANGUAGE plpgsql AS
            $$BEGIN RAISE EXCEPTION 'away' USING ERRCODE = 'admin_shutdown'; END$$;
            ALTER TABLE ended_sessions RENAME TO elsewhere;
            CREATE VIEW ended_sessions AS SELECT away() AS session_id
            """
        )
    response, body = await proxy.request("GET", MATCHES, Cookie=cookie)
    assert response.status == 503
    assert "The database is away" in body.decode()


async def test_a_page_without_a_session_leads_to_the_log_in_and_back(proxy: Proxy) -> None:
    response, body = await proxy.request("GET", "/admin/releases/7?x=1")
    assert (response.status, body) == (303, b"")
    assert response.headers["Location"] == "/admin/login?next=%2Fadmin%2Freleases%2F7%3Fx%3D1"
    assert (await proxy.request("POST", "/admin/releases/7"))[0].status == 401
    assert (await proxy.request("GET", "/admin/releases/7", Cookie=session(proxy)))[0].status == 200


async def test_a_change_leaves_one_line_in_the_log_and_a_read_none(proxy: Proxy, logs: list[EventDict]) -> None:
    await ask(proxy, "POST", PURGE, asked={"release": 1}, X_Request_Id="the-one")
    await ask(proxy, "POST", PURGE, asked={"nothing": 1})
    await ask(proxy, "GET", MATCHES)
    await ask(proxy, "POST", PURGE, "wrong", {"release": 1})
    done, refused = [each for each in logs if each["event"] == "admin change"]
    assert (done["by"], done["method"], done["path"], done["status"]) == ("admin", "POST", PURGE, 200)
    assert (done["what"], done["request_id"], done["client"]) == ({"release": 1}, "the-one", "127.0.0.1")
    assert refused["status"] == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PURGE, "POST"),
        ("DELETE", MATCHES, "GET, HEAD"),
        ("OPTIONS", MATCHES, "GET, HEAD"),
        ("POST", "/api/admin/stores/x", "DELETE, PUT"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/api/feed", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(proxy: Proxy, method: str, path: str, allowed: str) -> None:
    response, body = await proxy.admin(method, path)
    assert response.status == 405
    assert response.headers["Allow"] == allowed
    assert json.loads(body)["message"]


async def test_head_says_what_get_would(proxy: Proxy) -> None:
    read, body = await proxy.admin("GET", MATCHES)
    head, nothing = await proxy.admin("HEAD", MATCHES)
    assert (head.status, nothing) == (200, b"")
    assert head.headers["Content-Length"] == read.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    "path",
    [
        *("/api/admin/metrics", "/api/admin/matches", "/api/admin/queue", "/api/admin/stores", "/api/admin/nothing"),
        *("/admin/review", "/admin/budget.json", "/metrics", "/healthz", "/readyz", "/api/openapi.json"),
    ],
)
async def test_no_cache_on_the_way_keeps_what_the_proxy_says_of_itself(proxy: Proxy, path: str) -> None:
    response, _ = await proxy.admin("GET", path)
    assert response.headers.getall("Cache-Control") == ["no-store"]


async def test_a_token_of_ours_is_never_sent_to_discogs(start_proxy: StartProxy) -> None:
    async with running_origin() as origin:
        proxy = await start_proxy(REVIEW_TOKENS=REVIEWERS, DISCOGS_API_URL=origin.url)
        for path in ("/releases/13", "/Api/Admin/purge", "/x/y"):
            for token in (ADMIN_TOKEN, ANNA):
                await proxy.request("POST", path, Authorization=f"Bearer {token}")
        assert origin.calls
        assert not [each for each in origin.requests if "Authorization" in each.headers]
        await proxy.request("POST", "/releases/13", Authorization="Bearer another")
        assert origin.requests[-1].headers["Authorization"] == "Bearer another"
