"""Stories of callers with a credential of their own: what they share, what is forwarded, what a store's owner sees."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import structlog

from matcher import store
from matcher.domain.metadata import metadata
from matcher.errors import Unavailable
from matcher.store import StoredBody
from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.proxy.test_copies import master, status_of
from tests.simulated_discogs import Fault, SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory"
KEY = {"DISCOGS_CONSUMER_KEY": "op-key", "DISCOGS_CONSUMER_SECRET": "op-secret"}
ANNA, BERT, OWNER = ("Discogs token=annas-token", "Discogs token=berts-token", "Discogs token=owners-token")


@pytest.fixture(autouse=True)
def people(discogs: SimulatedDiscogs) -> None:
    discogs.register_consumer("op-key", "op-secret")
    discogs.register_user(STORE, "owners-token")
    discogs.register_user("anna", "annas-token", wants=(first_release(discogs),))
    discogs.register_user("bert", "berts-token")


def first_release(discogs: SimulatedDiscogs) -> int:
    return discogs.catalogue.for_sale(STORE)[0].release_id


def credentials(discogs: SimulatedDiscogs, path: str = "/users/") -> list[str]:
    return [call.credential for call in discogs.calls_to(path)]


async def known(proxy: Proxy, *authorizations: str) -> None:
    """Discogs has told the proxy whose these credentials are."""
    for authorization in authorizations:
        await proxy.get("/users/small_shop/inventory", Authorization=authorization)
    await proxy.app[keys.IDENTITIES]._looking.settled()


# --- what is the same for all -------------------------------------------------------------------------------------


async def test_users_share_what_depends_on_nobody(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy(**KEY)
    release = f"/releases/{first_release(discogs)}"
    paths = ("/", release, f"{release}/rating", f"{release}/stats", master(discogs), "/artists/194")
    for path in paths:
        for authorization in (ANNA, BERT, OWNER):
            response, _ = await proxy.get(path, Authorization=authorization)
            assert response.headers["Cache-Control"] == "private, no-cache"
        await proxy.get(path)
    assert credentials(discogs, "/") == ["key"] * len(paths)


async def test_what_speaks_of_the_caller_is_forwarded_for_each(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    listing = discogs.catalogue.for_sale(STORE)[0].id
    paths = (
        f"{master(discogs)}/versions",
        "/database/search?q=love",
        f"/marketplace/stats/{first_release(discogs)}",
        f"/marketplace/listings/{listing}",
        "/users/anna",
        "/users/anna/wants",
        "/oauth/identity",
    )
    for path in paths:
        for authorization in (ANNA, ANNA, BERT):
            await proxy.get(path, Authorization=authorization)
    assert [call.username for call in discogs.calls] == ["anna", "anna", "bert"] * len(paths)


async def test_a_revoked_token_gets_what_the_public_gets_and_no_more(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    discogs.revoke_token("annas-token")
    for path, status in (("/artists/194", 200), ("/users/anna", 401), (INVENTORY, 401), ("/oauth/identity", 401)):
        assert (await proxy.get(path, Authorization=ANNA))[0].status == status


# --- a store that is not the caller's -----------------------------------------------------------------------------


async def test_a_foreign_store_is_forwarded_until_it_is_known_who_asks_and_then_shared(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    _, first = await proxy.get(INVENTORY, Authorization=ANNA)
    assert b"in_cart" in first
    await known(proxy, BERT)
    before = len(discogs.calls)
    for authorization in (ANNA, BERT):
        response, body = await proxy.get(INVENTORY, Authorization=authorization)
        rows = json.loads(body)["listings"]
        assert all("in_cart" not in row and "user" not in row["release"]["stats"] for row in rows)
        assert all("audio_matches" in row for row in rows)
        assert any(row["release"]["thumbnail"] for row in rows)
        assert response.headers["Cache-Control"] == "private, no-cache"
    assert [call.credential for call in discogs.calls[before:]] == ["key"]
    assert len(discogs.calls_to("/oauth/identity")) == 2


@pytest.mark.parametrize("operator", [KEY, {"DISCOGS_TOKEN": "owners-token"}])
async def test_whatever_status_a_stranger_asks_for_he_sees_what_is_for_sale(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, operator: dict[str, str]
) -> None:
    proxy = await start_proxy(**operator)
    await known(proxy, ANNA)
    for query in ("status=Draft", "status=Nonsense", "sort=status", "status=All&page=2"):
        response, body = await proxy.get(f"{INVENTORY}?{query}&per_page=20&token=annas-token")
        page = json.loads(body)
        assert {row["status"] for row in page["listings"]} == {"For Sale"}
        assert page["pagination"]["items"] == 120
        assert query.partition("&")[0] in page["pagination"]["urls"]["next"]
        assert "token=annas-token" in page["pagination"]["urls"]["next"]
        _, others = await proxy.get(f"{INVENTORY}?{query}&per_page=20")
        assert b"annas-token" not in others
    for query, status in (("page=101", 403), ("sort=location", 422), ("page=99", 404)):
        response, _ = await proxy.get(f"{INVENTORY}?{query}", Authorization=ANNA)
        assert response.status == status


async def test_an_owner_is_forwarded_however_his_store_is_written(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    await known(proxy, OWNER)
    for store_name in (STORE, STORE.upper()):
        response, body = await proxy.get(f"/users/{store_name}/inventory?status=Draft", Authorization=OWNER)
        assert {row["status"] for row in json.loads(body)["listings"]} == {"Draft"}
        assert "fwd=bypass" in status_of(response)
    assert credentials(discogs, f"/users/{STORE}")[-1] == "token"


async def test_foreign_stores_are_forwarded_where_the_operator_wants_that(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, logs: list[structlog.types.EventDict]
) -> None:
    proxy = await start_proxy(FOREIGN_INVENTORY="forward", **KEY)
    for _ in range(3):
        _, body = await proxy.get(INVENTORY, Authorization=ANNA)
        assert b"in_cart" in body
    assert credentials(discogs, "/") == ["token"] * 3
    assert ["FOREIGN_INVENTORY=forward" in str(event.get("change")) for event in logs].count(True) == 1


# --- rich and poor ------------------------------------------------------------------------------------------------


async def test_without_a_credential_of_the_operators_a_user_is_forwarded_at_once(
    proxy: Proxy, discogs: SimulatedDiscogs, logs: list[structlog.types.EventDict]
) -> None:
    await proxy.get(INVENTORY)
    for _ in range(2):
        _, body = await proxy.get(INVENTORY, Authorization=ANNA)
        assert any(row["release"]["thumbnail"] for row in json.loads(body)["listings"])
    assert credentials(discogs, "/") == ["none", "token", "token"]
    assert ["DISCOGS_CONSUMER_KEY" in str(event.get("change")) for event in logs].count(True) == 1


async def test_while_the_operators_credential_is_refused_a_user_is_forwarded_at_once(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(DISCOGS_CONSUMER_KEY="wrong", DISCOGS_CONSUMER_SECRET="wrong")
    await proxy.get("/artists/194")
    before = len(discogs.calls)
    for path in ("/artists/194", INVENTORY):
        assert (await proxy.get(path, Authorization=ANNA))[0].status == 200
    assert [call.credential for call in discogs.calls[before:]] == ["token"] * 2


def poor_release(release_id: int) -> bytes:
    return json.dumps({"id": release_id, "thumb": "", "images": [{"uri": "", "uri150": ""}]}).encode()


async def test_a_copy_without_pictures_is_for_the_public_alone(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    release_id = first_release(discogs)
    path = f"/releases/{release_id}"
    discogs.add_fault(Fault(kind="broken_json", body=poor_release(release_id), times=1))
    await proxy.get(path)
    response, _ = await proxy.get(path)
    assert "; hit;" in status_of(response)
    for _ in range(2):
        _, body = await proxy.get(path, Authorization=ANNA)
        assert json.loads(body)["title"]
    assert credentials(discogs, "/releases/") == ["key", "token", "token"]


async def test_a_fresh_answer_without_pictures_is_asked_for_again_with_his_own(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    release_id = first_release(discogs)
    discogs.add_fault(Fault(kind="broken_json", body=poor_release(release_id), times=1))
    _, body = await proxy.get(f"/releases/{release_id}", Authorization=ANNA)
    assert json.loads(body)["title"]
    assert credentials(discogs, "/releases/") == ["key", "token"]


@pytest.mark.parametrize("operator", [KEY, {}])
async def test_a_persisted_release_without_pictures_is_for_the_public_alone(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, operator: dict[str, str]
) -> None:
    proxy = await start_proxy(**operator)
    release_id = first_release(discogs)
    poor = poor_release(release_id)
    async with proxy.app[keys.DATABASE].transaction() as connection:
        await store.persist_bare(connection, release_id)
        stored = StoredBody(poor, datetime.now(UTC))
        assert await store.refresh_release(connection, release_id, metadata(json.loads(poor)), stored)
    response, body = await proxy.get(f"/releases/{release_id}")
    assert "; hit;" in status_of(response)
    assert "title" not in json.loads(body)
    _, body = await proxy.get(f"/releases/{release_id}", Authorization=ANNA)
    assert json.loads(body)["title"]


async def test_a_match_job_does_not_replace_a_rich_release_while_the_operators_credential_is_refused(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(DISCOGS_CONSUMER_KEY="wrong", DISCOGS_CONSUMER_SECRET="wrong")
    release_id = first_release(discogs)
    discogs.add_fault(Fault(kind="status", status=401, times=1))
    await proxy.get("/artists/194")
    discogs.add_fault(Fault(kind="broken_json", body=poor_release(release_id)))
    releases = proxy.app[keys.RELEASES]
    assert (await releases.fetch_for_matching(release_id)).body == poor_release(release_id)
    rich = json.dumps({"id": release_id, "thumb": "https://i.discogs.com/a.jpg"}).encode()
    async with proxy.app[keys.DATABASE].transaction() as connection:
        await store.persist_bare(connection, release_id)
        await store.refresh_release(
            connection, release_id, metadata(json.loads(rich)), StoredBody(rich, datetime.now(UTC))
        )
    with pytest.raises(Unavailable, match="richer"):
        await releases.fetch_for_matching(release_id)


# --- origins ------------------------------------------------------------------------------------------------------


async def test_each_caller_is_told_the_origin_that_he_called_whoever_made_the_copy(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(**KEY)
    await known(proxy, ANNA)
    spoofed = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https", "Forwarded": "host=evil.example"}
    for path in (INVENTORY, f"/releases/{first_release(discogs)}", master(discogs)):
        for host in ("evil.example", "shop.example", "evil.example/x"):
            for caller in ({}, {"Authorization": ANNA}):
                _, body = await proxy.get(path, Host=host, **spoofed, **caller)
                assert (b"evil.example" in body) == (host == "evil.example")
                assert (b"http://shop.example/" in body) == (host == "shop.example")
        assert len(discogs.calls_to(path)) == 1
        assert not any("evil" in str(call.headers) for call in discogs.calls)
