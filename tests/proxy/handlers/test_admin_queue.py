from __future__ import annotations

import json
from typing import Any

import pytest

from proxy import keys
from proxy.handlers import admin
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs

QUEUE = "/api/admin/queue"


async def ask(proxy: Proxy, method: str, path: str) -> tuple[int, Any]:
    response, body = await proxy.request(method, path, Authorization=f"Bearer {ADMIN_TOKEN}")
    return response.status, json.loads(body)


async def test_the_queue_is_shown_by_state_page_by_page(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES=STORE)
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    await proxy.get(f"/api/stores/{STORE}/inventory")
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        status, body = await ask(proxy, "GET", f"{QUEUE}?limit=7&cursor={cursor}")
        assert status == 200
        found += body["jobs"]
        cursor = body["next"]
    assert body["counts"]["queued"] == len(found) == len({each["release_id"] for each in found})
    first = found[0]
    assert first["title"]  # its listing tells
    assert (first["store"], first["state"], first["priority"], first["attempts"]) == (STORE, "queued", "seen", 0)
    assert first["why"]


async def test_remaining_counts_what_can_be_claimed_so_that_asking_again_ends(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy()
    await proxy.get(f"/users/{STORE}/inventory")
    discogs.add_fault(Fault(kind="status", status=503))
    remaining, calls = 1, 0
    while remaining:
        _, report = await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")
        remaining, calls = report["remaining"], calls + 1
        assert calls < 20
    _, body = await ask(proxy, "GET", f"{QUEUE}?status=parked")
    assert body["counts"]["parked"] == len(body["jobs"]) > 0
    assert "Waits until" in body["jobs"][0]["why"]


async def test_a_spent_budget_is_waited_for_and_what_got_none_still_remains(
    start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again is asking for the next free calls: each time waits for them, as long as one call may take."""
    monkeypatch.setattr(admin, "DRAIN_S", 0.5)
    proxy = await start_proxy(DISCOGS_RATE_LIMIT="1")
    await proxy.get(f"/users/{STORE}/inventory?per_page=20")
    _, before = await ask(proxy, "GET", QUEUE)
    for limit in (1, 1000):
        _, report = await ask(proxy, "POST", f"/api/admin/process-queue?limit={limit}")
        assert report == dict.fromkeys(report, 0) | {"remaining": before["counts"]["queued"]}
    assert (await ask(proxy, "GET", QUEUE))[1] == before


async def test_a_failed_release_is_put_back_and_matched(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(f"/users/{STORE}/inventory?per_page=1")
    async with proxy.app[keys.DATABASE].connection() as connection:
        await connection.execute("UPDATE match_queue SET status = 'failed', attempts = 5, last_error = 'a reason'")
    _, body = await ask(proxy, "GET", f"{QUEUE}?status=failed")
    (job,) = body["jobs"]
    assert "a reason" in job["why"]
    path = f"{QUEUE}/{job['release_id']}/requeue"
    for changed in (True, False):
        status, body = await ask(proxy, "POST", path)
        assert (status, body) == (200, {"release_id": job["release_id"], "status": "queued", "changed": changed})
    _, report = await ask(proxy, "POST", "/api/admin/process-queue")
    assert report["cached"] + report["unmatched"] == 1


async def test_without_audio_for_ever_until_that_is_taken_back(proxy: Proxy) -> None:
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")
    _, body = await ask(proxy, "GET", "/api/admin/matches?status=approved")
    release_id = body["matches"][0]["release_id"]
    release = f"/api/admin/releases/{release_id}"

    async def shown() -> dict[str, Any]:
        found = json.loads((await proxy.get(f"/releases/{release_id}"))[1])
        assert isinstance(found, dict)
        return found

    before = (await shown())["audio_matches"]
    assert before
    for changed in (True, False):
        status, body = await ask(proxy, "POST", f"{release}/no-audio")
        assert (status, body["changed"], bool(body["matches"])) == (200, changed, changed)
    assert ((await shown())["audio_matches"], (await shown())["processing_status"]) == ([], "unmatched")
    assert (await ask(proxy, "POST", f"{release}/approve"))[0] == 409
    assert (await ask(proxy, "POST", f"{QUEUE}/{release_id}/requeue"))[0] == 409
    status, body = await ask(proxy, "DELETE", f"{release}/no-audio")
    assert (status, body["changed"]) == (200, True)
    assert (await shown())["audio_matches"] == before


async def test_a_whole_release_is_decided_at_once(proxy: Proxy) -> None:
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")
    _, body = await ask(proxy, "GET", "/api/admin/matches")
    release_id = body["matches"][0]["release_id"]
    for action, status_of_match in (("approve", "approved"), ("approve", None), ("reject", None)):
        status, body = await ask(proxy, "POST", f"/api/admin/releases/{release_id}/{action}")
        assert status == 200
        if status_of_match:
            assert {each["status"] for each in body["matches"]} == {status_of_match}
            assert {each["verified_by"] for each in body["matches"]} == {"admin"}
    _, body = await ask(proxy, "GET", "/api/admin/matches")
    assert release_id not in [each["release_id"] for each in body["matches"]]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{QUEUE}?status=odd", 400),
        ("GET", f"{QUEUE}?limit=0", 400),
        ("GET", f"{QUEUE}?cursor=!", 400),
        ("POST", f"{QUEUE}/x/requeue", 400),
        ("POST", f"{QUEUE}/0/requeue", 400),
        ("POST", f"{QUEUE}/5/requeue", 404),
        ("POST", "/api/admin/releases/x/no-audio", 400),
    ],
)
async def test_what_is_asked_wrongly_is_told(proxy: Proxy, method: str, path: str, expected: int) -> None:
    status, body = await ask(proxy, method, path)
    assert status == expected
    assert body["message"]
