from __future__ import annotations

import json

import pytest

from tests.conftest import STORE, Proxy, StartProxy
from tests.simulated_discogs import SimulatedDiscogs

DRAIN = "/api/admin/process-queue"
MIGRATE = "/api/admin/migrate-inventory-system"


@pytest.mark.parametrize("path", [DRAIN, MIGRATE, "/api/admin/anything"])
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic x", "Bearer ü"])
async def test_nothing_is_done_without_the_token(proxy: Proxy, path: str, authorization: str) -> None:
    response, body = await proxy.request("POST", path, Authorization=authorization)
    assert response.status == 401
    assert "admin token" in json.loads(body)["message"]
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_process_queue_drains_a_part_and_says_what_is_left(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    _, body = await proxy.admin("POST", DRAIN)
    first = json.loads(body)
    assert list(first) == ["processed", "cached", "unmatched", "failed", "parked", "remaining"]
    assert first["processed"] == 5
    assert first["cached"] + first["unmatched"] == 5
    _, body = await proxy.admin("POST", f"{DRAIN}?limit=1000")
    assert json.loads(body)["processed"] == first["remaining"]
    assert json.loads(body)["remaining"] == 0


async def test_the_limit_may_come_in_the_body(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(f"/users/{STORE}/inventory")
    response, body = await proxy.request(
        "POST", DRAIN, data=b'{"limit": 2}', Authorization="Bearer admin-token-of-the-tests"
    )
    assert response.status == 200
    assert json.loads(body)["processed"] == 2


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"limit": 0}', b'{"limit": "x"}', b'{"limit": true}', b'{"limit": 1.5}']
)
async def test_a_bad_limit_is_told(proxy: Proxy, data: bytes) -> None:
    response, body = await proxy.request("POST", DRAIN, data=data, Authorization="Bearer admin-token-of-the-tests")
    assert response.status == 400
    assert json.loads(body)["message"]


async def test_migration_reports_and_may_be_repeated(proxy: Proxy) -> None:
    for _ in range(2):
        response, body = await proxy.admin("POST", MIGRATE)
        assert response.status == 200
        assert json.loads(body) == {
            "matches": 0,
            "orphaned_releases": 0,
            "newly_queued": 0,
            "has_audio_corrected": 0,
            "foreign_key": "valid",
        }


async def test_a_path_of_our_own_is_never_passed_on(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy()
    for path in ("/api", "/api/", "/api/nothing", "/admin", "/admin/x", "/api/stores/x"):
        response, _ = await proxy.get(path)
        assert response.status in (303, 401, 404)
    assert discogs.calls == []
