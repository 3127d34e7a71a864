from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy import keys
from proxy.adapters import webhook_outbox as outbox
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.simulated_discogs import SimulatedDiscogs
from tests.webhook_receiver import SECRET, Shop

MATCHES = "/api/admin/matches"
OWN = "https://soundcloud.com/tidal-club/signal"


async def ask(proxy: Proxy, method: str, path: str, asked: object = None) -> tuple[int, Any]:
    data = None if asked is None else json.dumps(asked)
    response, body = await proxy.request(method, path, data=data, Authorization=f"Bearer {ADMIN_TOKEN}")
    return response.status, json.loads(body)


async def matched(proxy: Proxy) -> None:
    """All of the store's releases are matched."""
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    status, report = await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")
    assert status == 200
    assert report["cached"] > 5


async def listed(proxy: Proxy, query: str = "") -> list[dict[str, Any]]:
    status, body = await ask(proxy, "GET", f"{MATCHES}?limit=200{query}")
    assert status == 200
    found = body["matches"]
    assert isinstance(found, list)
    return found


async def all_shown(proxy: Proxy) -> dict[str, Any]:
    """Every place where a shopper may see audio, by its path."""
    found = {}
    for path in (
        f"/users/{STORE}/inventory?per_page=100",
        f"/api/stores/{STORE}/inventory",
        f"/api/feed?stores={STORE}",
    ):
        response, body = await proxy.get(path)
        assert response.status == 200
        found[path] = json.loads(body)
    return found


async def shown(proxy: Proxy, release_id: int) -> list[dict[str, Any]]:
    _, body = await proxy.get(f"/releases/{release_id}")
    found = json.loads(body)["audio_matches"]
    assert isinstance(found, list)
    return found


async def within_a_second(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(1):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    found = await start_proxy(STORES=STORE)
    await matched(found)
    return found


async def test_matches_are_listed_page_by_page(proxy: Proxy) -> None:
    everything = await listed(proxy)
    assert everything
    assert {each["status"] for each in everything} == {"pending"}
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        status, body = await ask(proxy, "GET", f"{MATCHES}?status=pending&limit=3&cursor={cursor}")
        assert status == 200
        found += body["matches"]
        cursor = body["next"]
        assert len(body["matches"]) == 3 or cursor is None
    assert [each["id"] for each in found[:200]] == [each["id"] for each in everything]
    assert len({each["id"] for each in found}) == len(found)
    first = everything[0]
    assert first["reasons"][0].keys() == {"name", "weight", "detail"}
    assert {"release_id", "track_index", "sub_index", "match_url", "confidence", "title"} <= first.keys()


async def test_an_approved_match_is_shown_as_such_with_who_and_when(proxy: Proxy) -> None:
    match = (await listed(proxy))[0]
    status, body = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/approve", {"by": "anna"})
    assert (status, body["changed"], body["match"]["status"], body["match"]["verified_by"]) == (
        200,
        True,
        "approved",
        "anna",
    )
    (told,) = [each for each in await shown(proxy, match["release_id"]) if each["match_url"] == match["match_url"]]
    assert (told["approved"], told["verified_by"]) == (True, "anna")
    assert told["verified_at"]
    status, body = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/approve", {"by": "boris"})
    assert (status, body["changed"], body["match"]["verified_by"]) == (200, False, "anna")


async def test_without_a_name_the_admin_decides(proxy: Proxy) -> None:
    match = (await listed(proxy))[0]
    _, body = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/reject")
    assert body["match"]["verified_by"] == "admin"


async def test_a_rejected_match_is_gone_from_every_answer_of_every_process_within_a_second(
    start_proxy: StartProxy, proxy: Proxy
) -> None:
    other = await start_proxy(STORES=STORE)
    sold = {each["release"]["id"] for each in next(iter((await all_shown(proxy)).values()))["listings"]}
    match = next(each for each in await listed(proxy, "&status=approved") if each["release_id"] in sold)
    url, release_id = match["match_url"], match["release_id"]
    for each in (proxy, other):
        for _ in range(2):  # the second answer is from memory
            assert url in json.dumps(await all_shown(each))
            assert url in [told["match_url"] for told in await shown(each, release_id)]
    status, _ = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/reject", {"by": "anna"})
    assert status == 200

    async def is_gone() -> bool:
        found = [json.dumps([await all_shown(each), await shown(each, release_id)]) for each in (proxy, other)]
        return not any(url in answer for answer in found)

    await within_a_second(is_gone)
    await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")  # it is matched again
    assert await is_gone()
    assert match["id"] in [each["id"] for each in await listed(other, "&status=rejected")]


async def test_undo_brings_it_back(proxy: Proxy) -> None:
    match = (await listed(proxy, "&status=approved"))[0]
    before = await shown(proxy, match["release_id"])
    await ask(proxy, "POST", f"{MATCHES}/{match['id']}/reject", {"by": "anna"})
    assert await shown(proxy, match["release_id"]) != before
    status, body = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/undo", {"by": "boris"})
    assert (status, body["match"]["status"], body["match"]["verified_by"]) == (200, "approved", None)
    assert await shown(proxy, match["release_id"]) == before
    _, told = await ask(proxy, "GET", f"/api/admin/releases/{match['release_id']}/decisions")
    assert [(each["action"], each["decided_by"]) for each in told["decisions"]] == [
        ("undo", "boris"),
        ("reject", "anna"),
    ]


async def test_decisions_are_listed_page_by_page(proxy: Proxy) -> None:
    match = (await listed(proxy))[0]
    for action in ("approve", "undo", "reject", "undo", "approve"):
        assert (await ask(proxy, "POST", f"{MATCHES}/{match['id']}/{action}"))[0] == 200
    path = f"/api/admin/releases/{match['release_id']}/decisions"
    _, everything = await ask(proxy, "GET", path)
    assert (len(everything["decisions"]), everything["next"]) == (5, None)
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        _, body = await ask(proxy, "GET", f"{path}?limit=2&cursor={cursor}")
        found += body["decisions"]
        cursor = body["next"]
        assert len(body["decisions"]) == 2 or cursor is None
        if cursor:
            status, _ = await ask(proxy, "GET", f"/api/admin/releases/1/decisions?cursor={cursor}")
            assert status == 400  # it is of another list
    assert found == everything["decisions"]


async def test_a_persons_own_url_takes_the_place_of_what_was_found(proxy: Proxy) -> None:
    match = (await listed(proxy))[0]
    path = f"/api/admin/releases/{match['release_id']}/tracks/{match['track_index']}/match"
    asked = {"url": OWN, "by": "anna", "sub_index": match["sub_index"]}
    status, body = await ask(proxy, "PUT", path, asked)
    assert (status, body["changed"], body["match"]["confidence"]) == (200, True, 100)
    places = [(each["track_index"], each.get("sub_index")) for each in await shown(proxy, match["release_id"])]
    assert len(places) == len(set(places))
    urls = [each["match_url"] for each in await shown(proxy, match["release_id"])]
    assert OWN in urls
    assert match["match_url"] not in urls
    status, body = await ask(proxy, "POST", f"{MATCHES}/{body['match']['id']}/undo")
    assert (status, body["match"]) == (200, None)
    assert match["match_url"] in [each["match_url"] for each in await shown(proxy, match["release_id"])]


async def test_nothing_is_decided_of_a_release_never_seen_and_how_it_becomes_known_is_told(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy()
    for release_id in (discogs.catalogue.for_sale(STORE)[0].release_id, 999_999_999):
        release = f"/api/admin/releases/{release_id}"
        for method, path in (
            ("PUT", f"{release}/tracks/0/match"),
            ("POST", f"{release}/no-audio"),
            ("DELETE", f"{release}/no-audio"),
            ("POST", f"{release}/approve"),
            ("POST", f"{release}/reject"),
        ):
            status, body = await ask(proxy, method, path, {"url": OWN} if method == "PUT" else None)
            assert status == 404
            assert f"GET /releases/{release_id}" in body["message"]
        assert (await ask(proxy, "GET", f"{release}/decisions"))[1]["decisions"] == []
    async with proxy.app[keys.DATABASE].connection() as connection:
        for table in ("releases", "match_queue"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608 - of the two above


async def test_a_url_for_a_release_just_seen_is_shown_and_its_facts_come(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy()
    release_id = discogs.catalogue.for_sale(STORE)[0].release_id
    await proxy.get(f"/releases/{release_id}")
    path = f"/api/admin/releases/{release_id}/tracks/0/match"
    status, _ = await ask(proxy, "PUT", path, {"url": "https://youtu.be/dQw4w9WgXcQ?t=3"})
    assert status == 200
    _, report = await ask(proxy, "POST", "/api/admin/process-queue")
    assert report["cached"] == 1
    told = (await shown(proxy, release_id))[0]
    assert (told["match_url"], told["platform"]) == ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", "youtube")
    assert told["title"]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"url": None},
        {"url": "javascript:alert(1)"},
        {"url": "ftp://x.org/a"},
        {"url": "https://anna:secret@x.org/a"},
        {"url": "https://localhost/a"},
        {"url": "https://10.0.0.1/a"},
        {"url": "https://www.youtube.com/@someone"},
        {"url": "https://x.org/" + "a" * 500},
        {"url": 'https://x.org/"><script>'},
        {"url": OWN, "sub_index": -1},
        {"url": OWN, "sub_index": True},
        {"url": OWN, "by": ""},
        {"url": OWN, "by": "a" * 101},
        {"url": OWN, "by": "a\nb"},
        {"url": OWN, "by": 5},
        [],
    ],
)
async def test_what_cannot_be_set_is_told(start_proxy: StartProxy, asked: object) -> None:
    proxy = await start_proxy()
    status, body = await ask(proxy, "PUT", "/api/admin/releases/1/tracks/0/match", asked)
    assert status == 400
    assert body["message"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{MATCHES}?status=odd", 400),
        ("GET", f"{MATCHES}?limit=0", 400),
        ("GET", f"{MATCHES}?limit=201", 400),
        ("GET", f"{MATCHES}?cursor=!", 400),
        ("GET", f"{MATCHES}?cursor=WzEsMl0", 400),
        ("POST", f"{MATCHES}/x/approve", 400),
        ("POST", f"{MATCHES}/99999999999999999999/approve", 400),
        ("POST", f"{MATCHES}/9223372036854775807/approve", 404),
        ("POST", f"{MATCHES}/1/reject", 404),
        ("POST", f"{MATCHES}/1/undo", 404),
        ("POST", f"{MATCHES}/1/burn", 404),
        ("GET", f"{MATCHES}/1/approve", 405),
        ("DELETE", MATCHES, 405),
        ("PUT", "/api/admin/releases/0/tracks/0/match", 400),
        ("PUT", "/api/admin/releases/1/tracks/x/match", 400),
        ("GET", "/api/admin/releases/x/decisions", 400),
        ("GET", "/api/admin/releases/1/decisions?limit=0", 400),
        ("GET", "/api/admin/releases/1/decisions?cursor=WyJkZWNpc2lvbnMgb2YgMSIsIngiXQ", 400),
        ("GET", "/api/admin/releases/1/decisions", 200),
    ],
)
async def test_what_is_asked_wrongly_is_told(start_proxy: StartProxy, method: str, path: str, expected: int) -> None:
    proxy = await start_proxy()
    status, body = await ask(proxy, method, path, {"url": OWN} if method == "PUT" else None)
    assert status == expected
    assert status == 200 or body["message"]


async def test_what_nobody_decided_cannot_be_undone(proxy: Proxy) -> None:
    match = (await listed(proxy))[0]
    status, body = await ask(proxy, "POST", f"{MATCHES}/{match['id']}/undo")
    assert status == 409
    assert "nothing to undo" in body["message"]


async def test_a_rejection_is_told_to_the_shop_once(start_proxy: StartProxy) -> None:
    async with Shop() as shop:
        proxy = await start_proxy(WEBHOOK_URL=shop.url, WEBHOOK_SECRET=SECRET)
        await matched(proxy)
        match = (await listed(proxy))[0]
        for _ in range(2):
            await ask(proxy, "POST", f"{MATCHES}/{match['id']}/reject")
        await shop.until(lambda: any(each["type"] == "match.rejected" for each in shop.events))
        told = [each["data"] for each in shop.events if each["type"] == "match.rejected"]
        assert {(each["release_id"], each["track_index"], each["match_url"]) for each in told} == {
            (match["release_id"], match["track_index"], match["match_url"])
        }
        async with proxy.app[keys.DATABASE].connection() as connection:
            kept = (await outbox.backlog(connection)).events
        assert len(told) + kept >= 1
        assert len({each["store"] for each in told}) == len(told)


@pytest.mark.parametrize("path", [MATCHES, f"{MATCHES}/1/approve", "/api/admin/releases/1/decisions"])
async def test_nobody_reviews_without_the_token(start_proxy: StartProxy, path: str) -> None:
    proxy = await start_proxy()
    for method in ("GET", "POST", "PUT"):
        response, _ = await proxy.request(method, path)
        assert response.status == 401
