"""Stories of the response cache: what is kept, for whom, for how long, and what an operator can do about it."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import structlog

from matcher.database import Database
from proxy import keys
from proxy.adapters import mirror as known
from proxy.adapters.responses import FILE_NAME
from proxy.adapters.tracking import FORWARDED_MAX
from proxy.services.copies import Copies
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory"
HOUR = timedelta(hours=1)


def master(discogs: SimulatedDiscogs) -> str:
    found = (discogs.catalogue.master_id_of(heading.id) for heading in discogs.catalogue.headings())
    return f"/masters/{next(filter(None, found))}"


def later(proxy: Proxy, passed: timedelta) -> None:
    """Time passes for the copies."""
    now = datetime.now(UTC) + passed
    copies(proxy).now = lambda: now


def copies(proxy: Proxy) -> Copies:
    return proxy.app[keys.PASSTHROUGH].copies


def status_of(response: object) -> str:
    return str(response.headers["Cache-Status"])  # type: ignore[attr-defined]


async def test_the_second_request_costs_no_call(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in (master(discogs), "/database/search?q=love", INVENTORY, f"{INVENTORY}?page=2"):
        first, body = await proxy.get(path)
        calls = len(discogs.calls)
        second, again = await proxy.get(path)
        assert len(discogs.calls) == calls, path
        assert "fwd=uri-miss" in status_of(first)
        assert "; hit; ttl=" in status_of(second)
        assert second.headers["Age"] == "0"
        assert again == body


@pytest.mark.parametrize(
    "header", [{"Cache_Control": "no-cache"}, {"Cache_Control": "max-age=0"}, {"Pragma": "no-cache"}]
)
async def test_a_client_cannot_force_a_call(proxy: Proxy, discogs: SimulatedDiscogs, header: dict[str, str]) -> None:
    """As Node's fetch does with cache: 'no-store'."""
    await proxy.get(INVENTORY)
    response, _ = await proxy.get(INVENTORY, **header)
    assert "; hit;" in status_of(response)


async def test_a_listing_about_to_be_bought_is_asked_for_each_time(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    listing = next(iter(discogs.catalogue.for_sale(STORE)))
    for _ in range(2):
        response, _ = await proxy.get(f"/marketplace/listings/{listing.id}")
        assert "fwd=bypass" in status_of(response)
    assert len(discogs.calls) == 2


async def test_what_depends_on_the_request_is_kept_apart(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    path = master(discogs)
    html = "application/vnd.discogs.v2.html+json"
    for _ in range(2):
        await proxy.get(path)
        await proxy.get(f"{path}?curr_abbr=EUR")
        await proxy.get(path, Accept=html)
    assert len(discogs.calls) == 3
    jsonp = f"{path}?callback=one"
    _, body = await proxy.get(jsonp)
    assert body.startswith(b"one(")
    _, body = await proxy.get(f"{path}?callback=two")
    assert body.startswith(b"two(")


async def test_what_somebody_gets_with_his_credential_is_nobody_elses(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.register_user(STORE, "owner-token")
    _, owners = await proxy.get(f"{INVENTORY}?per_page=100", Authorization="Discogs token=owner-token")
    assert b"external_id" in owners
    _, others = await proxy.get(f"{INVENTORY}?per_page=100")
    assert b"external_id" not in others
    response, owners = await proxy.get(f"{INVENTORY}?per_page=100", Authorization="Discogs token=owner-token")
    assert b"external_id" in owners
    assert "hit" not in status_of(response)


async def test_neither_credentials_nor_owners_fields_reach_the_file(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user(STORE, "op-token")
    proxy = await start_proxy(DISCOGS_TOKEN="op-token")
    for path in (f"{INVENTORY}?per_page=100", "/database/search?q=love", "/database/search?q=love&callback=cb"):
        _, body = await proxy.get(f"{path}&key=client-key&secret=client-secret")
        assert b"user_data" not in body
    await copies(proxy).store.close()
    folder = proxy.app[keys.SETTINGS].data_dir
    kept = b"".join(file.read_bytes() for file in folder.glob(f"{FILE_NAME}*"))
    assert b"listings" in kept
    for secret in (b"op-token", b"client-key", b"client-secret", b"external_id", b"in_cart", b"user_data"):
        assert secret not in kept


async def test_a_stale_copy_is_shown_while_it_is_renewed(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get("/database/search?q=love")
    later(proxy, timedelta(minutes=11))
    response, _ = await proxy.get("/database/search?q=love")
    assert "detail=stale-while-revalidate" in status_of(response)
    assert int(response.headers["Age"]) >= 660
    await copies(proxy)._refreshing.settled()
    assert len(discogs.calls) == 2
    response, _ = await proxy.get("/database/search?q=love")
    assert "; hit; ttl=" in status_of(response)
    assert "stale" not in status_of(response)


async def test_a_404_is_kept_for_a_minute_and_a_refusal_is_not(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for _ in range(2):
        response, _ = await proxy.get("/masters/2147483646")
        assert response.status == 404
    assert len(discogs.calls) == 1
    discogs.add_fault(Fault(kind="status", status=403, times=1))
    assert (await proxy.get("/artists/1"))[0].status == 403
    calls = len(discogs.calls)
    await proxy.get("/artists/1")
    assert len(discogs.calls) == calls + 1


async def test_a_release_from_the_cache_keeps_its_age(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    """Else each request would make the stored body young again, and six hours would never be over."""
    proxy = await start_proxy()
    release_id = next(iter(discogs.catalogue.for_sale(STORE))).release_id
    await proxy.get(f"/releases/{release_id}")
    later(proxy, 2 * HOUR)
    response, _ = await proxy.get(f"/releases/{release_id}")
    assert int(response.headers["Age"]) >= 7200


async def test_a_shop_that_sends_its_owners_token_may_get_the_public_view(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user(STORE, "op-token")
    proxy = await start_proxy(DISCOGS_TOKEN="op-token", OWN_FRONT_END_VIEW="public")
    path = f"{INVENTORY}?status=For+Sale&per_page=100"
    for _ in range(3):
        response, body = await proxy.get(path, Authorization="Discogs token=op-token")
        assert b"external_id" not in body
        assert response.headers["Cache-Control"].startswith("private")
    assert len(discogs.calls) == 1
    _, body = await proxy.get(f"{INVENTORY}?status=Draft", Authorization="Discogs token=op-token")
    assert {row["status"] for row in json.loads(body)["listings"]} == {"Draft"}


async def test_otherwise_it_is_forwarded_enriched_and_the_log_says_what_to_change(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, logs: list[structlog.types.EventDict]
) -> None:
    discogs.register_user(STORE, "op-token")
    proxy = await start_proxy(DISCOGS_TOKEN="op-token")
    for _ in range(3):
        _, body = await proxy.get(f"{INVENTORY}?status=For+Sale", Authorization="Discogs token=op-token")
        assert all("audio_matches" in row for row in json.loads(body)["listings"])
    assert len(discogs.calls_to("/users/")) == 3
    assert ["OWN_FRONT_END_VIEW=public" in str(event.get("change")) for event in logs].count(True) == 1
    await proxy.app[keys.DEMAND].flush()
    _, listed = await proxy.admin("GET", "/api/admin/stores")
    (told,) = json.loads(listed)["forwarded"]
    assert told["username"] == STORE
    assert "OWN_FRONT_END_VIEW=public" in told["change"]
    _, shown = await proxy.admin("GET", "/admin/stores")
    assert f"<strong>{STORE}</strong> is asked for past the proxy" in shown.decode()
    assert "OWN_FRONT_END_VIEW=public" in shown.decode()
    async with proxy.app[keys.DATABASE].connection() as connection:
        await connection.execute("UPDATE forwarded_stores SET asked_at = asked_at - interval '25 hours'")
    _, later = await proxy.admin("GET", "/api/admin/stores")
    assert json.loads(later)["forwarded"] == []


async def test_whoever_asks_with_a_credential_for_many_names_fills_no_disk(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user("buyer", "buyer-token")
    proxy = await start_proxy(DISCOGS_TOKEN="op-token", FOREIGN_INVENTORY="forward", STORES=STORE)
    async with proxy.app[keys.DATABASE].connection() as connection:
        await known.make_known(connection, STORE)
    for place in range(2 * FORWARDED_MAX):
        proxy.app[keys.DEMAND].forwarded(f"nobody{place}", "change it")
        if place % FORWARDED_MAX == FORWARDED_MAX - 1:
            await proxy.get("/users/small_shop/inventory", Authorization="Discogs token=buyer-token")
            await proxy.app[keys.DEMAND].flush()
    await proxy.get(INVENTORY, Authorization="Discogs token=buyer-token")
    await proxy.app[keys.DEMAND].flush()
    _, listed = await proxy.admin("GET", "/api/admin/stores")
    told = [each["username"] for each in json.loads(listed)["forwarded"]]
    assert len(told) <= FORWARDED_MAX
    assert told[0] == STORE
    async with proxy.app[keys.DATABASE].connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM forwarded_stores") == FORWARDED_MAX + 1


async def purge(proxy: Proxy, asked: object, token: str = ADMIN_TOKEN) -> tuple[int, dict[str, object]]:
    response, body = await proxy.request(
        "POST", "/api/admin/purge", data=json.dumps(asked), Authorization=f"Bearer {token}"
    )
    return response.status, json.loads(body)


async def test_a_store_is_purged_by_its_alias_too(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES=f"shop={STORE}")
    await proxy.get(INVENTORY)
    status, told = await purge(proxy, {"store": "Shop", "soft": False})
    assert (status, told) == (200, {"soft": False, "dropped": {"answers": 1, "listings": 0}})


async def test_a_hard_purge_drops_and_says_what(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(INVENTORY)
    await proxy.get(f"{INVENTORY}?page=2")
    status, told = await purge(proxy, {"store": STORE.upper(), "soft": False})
    assert (status, told) == (200, {"soft": False, "dropped": {"answers": 2, "listings": 0}})
    response, _ = await proxy.get(INVENTORY)
    assert "fwd=uri-miss" in status_of(response)


async def test_after_a_soft_purge_upstream_is_asked_and_the_copy_still_serves_while_it_fails(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    path = master(discogs)
    await proxy.get(path)
    assert (await purge(proxy, {"path": path}))[1] == {"soft": True, "dropped": {"answers": 1}}
    discogs.add_fault(Fault(kind="html", status=503, times=1))
    response, _ = await proxy.get(path)
    assert "detail=stale-if-error" in status_of(response)
    later(proxy, timedelta(minutes=1))
    response, _ = await proxy.get(path)
    assert "fwd=stale" in status_of(response)


async def test_a_persisted_release_can_be_purged(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(f"{INVENTORY}?per_page=100")
    await proxy.admin("POST", "/api/admin/process-queue?limit=100")
    _, body = await proxy.get(f"{INVENTORY}?per_page=100")
    release_id = next(row["release"]["id"] for row in json.loads(body)["listings"] if row["audio_matches"])
    path = f"/releases/{release_id}"
    assert "hit" in status_of((await proxy.get(path))[0])
    assert (await purge(proxy, {"release": release_id}))[1]["dropped"] == {"answers": 0, "releases": 1}
    for minute, fault in enumerate((Fault(kind="status", status=500, times=1), Fault(kind="broken_json", times=1)), 1):
        discogs.add_fault(fault)
        response, _ = await proxy.get(path)
        assert response.status == 200
        assert "; hit; ttl=0; detail=stale-if-error" in status_of(response)
        later(proxy, timedelta(minutes=minute))
    response, body = await proxy.get(path)
    assert "fwd=uri-miss" in status_of(response)
    assert json.loads(body)["audio_matches"], "matches are no copies"
    assert "hit" in status_of((await proxy.get(path))[0])


async def test_a_purge_needs_the_token_and_a_clear_wish(proxy: Proxy) -> None:
    assert (await purge(proxy, {"release": 1}, token="wrong"))[0] == 401
    wrong: tuple[object, ...] = ({}, [], {"release": "x"}, {"path": "x"})
    for asked in wrong:
        status, told = await purge(proxy, asked)
        assert status == 400
        assert told["message"]


async def test_a_write_through_the_proxy_drops_the_copy(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.register_user("anna", "annas-token")
    await proxy.get("/users/anna")
    response, _ = await proxy.request(
        "POST", "/users/anna", data='{"name": "A"}', Authorization="Discogs token=annas-token"
    )
    assert response.status == 200
    response, _ = await proxy.get("/users/anna")
    assert "fwd=uri-miss" in status_of(response)


MAINTENANCE = b'{"message": "An internal server error occurred."}'


async def test_an_object_that_is_no_release_never_replaces_one(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(RELEASE_MAX_AGE="100")
    await proxy.get(f"{INVENTORY}?per_page=100")
    await proxy.admin("POST", "/api/admin/process-queue?limit=100")
    _, body = await proxy.get(f"{INVENTORY}?per_page=100")
    path = f"/releases/{next(r['release']['id'] for r in json.loads(body)['listings'] if r['audio_matches'])}"
    _, before = await proxy.get(path)
    for wrong in (MAINTENANCE, b'{"id": 1}', b"[]", b"null"):
        discogs.add_fault(Fault(kind="broken_json", body=wrong))
        for _ in range(2):
            await asyncio.sleep(0.15)
            response, shown = await proxy.get(path)
            assert response.status == 200
            assert json.loads(shown) == json.loads(before)
        discogs.clear_faults()


@pytest.mark.parametrize("wrong", [MAINTENANCE, b"{}", b'{"listings": {}}', b"[1]", b"[" * 100_000])
async def test_an_object_that_is_no_inventory_never_empties_a_store(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, wrong: bytes
) -> None:
    path = f"/api/stores/{STORE}/inventory"
    proxy = await start_proxy(INVENTORY_SYNC_INTERVAL="100")
    discogs.add_fault(Fault(kind="broken_json", body=wrong, times=1))
    response, body = await proxy.get(path)
    assert response.status == 502, "never an empty list"
    async with asyncio.timeout(10):
        while len(json.loads(body).get("results", [])) < 120 or b'"coverage"' in body:
            await asyncio.sleep(0.05)
            _, body = await proxy.get(path)
    discogs.add_fault(Fault(kind="broken_json", body=wrong))
    for _ in range(4):
        await asyncio.sleep(0.12)
        _, body = await proxy.get(path)
        assert len(json.loads(body)["results"]) == 120


async def test_min_confidence_is_ours_and_costs_no_call(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in (INVENTORY, f"/releases/{next(iter(discogs.catalogue.for_sale(STORE))).release_id}"):
        await proxy.get(path)
        calls = len(discogs.calls)
        await proxy.get(f"{path}?min_confidence=50")
        assert len(discogs.calls) == calls
    _, body = await proxy.get(f"{INVENTORY}?min_confidence=50&per_page=50")
    assert "min_confidence=50" in json.loads(body)["pagination"]["urls"]["next"]


async def test_a_packed_upload_arrives_as_it_was_sent(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    packed = gzip.compress(b'{"name": "A"}')
    await proxy.request("POST", "/some/gateway", data=packed, Content_Encoding="gzip")
    sent = discogs.calls[-1].headers
    assert (sent["Content-Encoding"], sent["Content-Length"]) == ("gzip", str(len(packed)))


async def test_an_operators_credential_that_is_refused_reaches_nobody_as_401(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_consumer("op-key", "op-secret")
    proxy = await start_proxy(DISCOGS_CONSUMER_KEY="op-key", DISCOGS_CONSUMER_SECRET="op-secret")
    discogs.add_fault(Fault(kind="status", status=401, times=1))
    response, _ = await proxy.get("/database/search?q=love")
    assert response.status == 200
    assert [call.credential for call in discogs.calls] == ["key", "none"]
    await proxy.get(INVENTORY)
    assert discogs.calls[-1].credential == "none"
    _, body = await proxy.get("/readyz")
    assert "refuses the operator" in body.decode()
    calls = len(discogs.calls)
    for _ in range(3):
        response, _ = await proxy.get(INVENTORY)
        assert "; hit;" in status_of(response)
    assert len(discogs.calls) == calls


async def test_what_was_asked_for_while_the_credential_was_refused_does_not_replace_what_is_richer(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_consumer("op-key", "op-secret")
    proxy = await start_proxy(DISCOGS_CONSUMER_KEY="op-key", DISCOGS_CONSUMER_SECRET="op-secret")
    upstream = proxy.app[keys.UPSTREAM]

    async def is_rich() -> bool:
        _, body = await proxy.get(INVENTORY)
        return any(row["release"]["thumbnail"] for row in json.loads(body)["listings"])

    assert await is_rich()
    later(proxy, timedelta(seconds=50))
    upstream._operator_refused_until = float("inf")
    assert await is_rich(), "a fresh copy is better than a new poor one"
    later(proxy, timedelta(minutes=10))
    assert [await is_rich() for _ in range(2)] == [False, False]
    assert [call.credential for call in discogs.calls] == ["key", "none"]
    upstream._operator_refused_until = float("-inf")
    assert await is_rich()
    assert await is_rich()


async def test_head_is_answered_from_what_get_gave(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    path = master(discogs)
    await proxy.get(path)
    response, body = await proxy.request("HEAD", path)
    assert (response.status, body) == (200, b"")
    assert "; hit;" in status_of(response)
    assert len(discogs.calls) == 1


async def test_what_changes_in_the_database_is_gone_from_every_answer_at_once(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database: Database
) -> None:
    """Whoever changed it: here somebody with a connection of his own."""
    proxy = await start_proxy()
    await proxy.admin("POST", "/api/admin/process-queue?limit=1")
    _, body = await proxy.get(INVENTORY)
    await proxy.admin("POST", "/api/admin/process-queue?limit=50")
    row = next(row for row in json.loads((await proxy.get(INVENTORY))[1])["listings"] if row["audio_matches"])
    release_id, shown = row["release"]["id"], orjson.dumps(row["audio_matches"][0])
    paths = (INVENTORY, f"/releases/{release_id}")
    for path in (*paths, *paths):
        response, body = await proxy.get(path)
        assert shown in body
    assert "; hit; ttl=" in status_of(response)
    async with database.connection() as connection:
        await connection.execute("UPDATE track_matches SET rejected = true WHERE release_id = $1", release_id)
    for path in paths:
        async with asyncio.timeout(10):
            while shown in (await proxy.get(path))[1]:
                await asyncio.sleep(0.01)
        assert "; hit; ttl=" in status_of((await proxy.get(path))[0])


@pytest.mark.parametrize("soft", [True, False])
async def test_a_purge_reaches_the_other_processes_and_their_files(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, tmp_path: Path, soft: bool
) -> None:
    one, two = [await start_proxy(DATA_DIR=str(tmp_path / name)) for name in ("one", "two")]
    path = master(discogs)
    for _ in range(2):
        await one.get(path)
        await two.get(path)
    assert "; hit;" in status_of((await two.get(path))[0])
    await purge(one, {"path": path, "soft": soft})
    async with asyncio.timeout(10):
        while "hit" in status_of((await two.get(path))[0]):
            await asyncio.sleep(0.01)


async def test_a_hit_is_packed_for_a_client_that_takes_gzip_and_for_no_other(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    plain = [await proxy.get(INVENTORY, Accept_Encoding=coding) for coding in ("identity", "identity", "gzip;q=0, br")]
    packed = [await proxy.get(INVENTORY, Accept_Encoding=coding) for coding in ("gzip", "br, *;q=0.5")]
    assert {body for _, body in plain + packed} == {plain[0][1]}
    assert [response.headers.get("Content-Encoding") for response, _ in plain + packed] == [None] * 3 + ["gzip"] * 2
    assert len({response.headers["ETag"] for response, _ in plain + packed}) == 1


async def test_a_write_drops_copies_of_what_it_names_and_not_of_what_lies_below(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    """Else a write to the root would empty the cache."""
    for path in ("/", INVENTORY) * 2:
        await proxy.get(path)
    discogs.add_fault(Fault(kind="broken_json", body=b"{}", path=re.compile("^/$"), times=1))
    response, _ = await proxy.request("POST", "/", data=b"{}")
    assert response.status == 200
    assert "; hit;" in status_of((await proxy.get(INVENTORY))[0])
    assert "fwd=uri-miss" in status_of((await proxy.get("/"))[0])
