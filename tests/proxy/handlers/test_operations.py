from __future__ import annotations

import json
import re
from pathlib import Path

from matcher.gathering import Told
from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs
from tests.simulated_providers import SimulatedDeezer

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


async def test_the_process_lives(proxy: Proxy) -> None:
    response, body = await proxy.get("/healthz")
    assert (response.status, json.loads(body)) == (200, {"status": "ok"})


async def test_nothing_is_degraded(proxy: Proxy) -> None:
    response, body = await proxy.get("/readyz")
    assert (response.status, json.loads(body)) == (200, {"status": "ready", "degraded": {}})


async def test_requests_and_calls_are_counted(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(f"/users/{STORE}/inventory")
    _, body = await proxy.get("/metrics")
    text = body.decode()
    assert 'discogs_proxy_requests_total{kind="inventory",source="miss",status="200",store="other"} 1.0' in text
    assert 'discogs_proxy_upstream_calls_total{lane="shopper",outcome="2xx"} 1.0' in text


async def test_a_task_that_never_died_has_a_series_so_that_an_alert_sees_the_first_death(proxy: Proxy) -> None:
    _, body = await proxy.get("/metrics")
    found = re.findall(r'background_restarts\{task="([^"]+)"\} (\S+)', body.decode())
    assert ("demand", "0.0") in found
    assert {restarts for _, restarts in found} == {"0.0"}


async def test_what_came_of_each_provider_is_counted(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy(YOUTUBE_API_KEY="hunter2", MATCH_PROVIDERS="discogs_videos")
    await proxy.get(f"/users/{STORE}/inventory")
    await proxy.admin("POST", "/api/admin/process-queue?limit=5")
    _, body = await proxy.get("/metrics")
    text = body.decode()
    outcomes = re.findall(r'provider_calls_total\{outcome="(\w+)",provider="discogs_videos"\} (\d+)', text)
    assert sum(int(count) for _, count in outcomes) == 5
    assert {outcome for outcome, _ in outcomes} <= {"found", "nothing"}
    assert re.search(r'provider_quota_remaining\{limit="searches",provider="youtube"\} \d+\.0', text)


async def test_a_provider_that_fails_for_long_is_told_until_it_answers(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    async with SimulatedDeezer(discogs.catalogue, limit=None) as deezer:
        proxy = await start_proxy(DEEZER_API_URL=deezer.url, MATCH_PROVIDERS="deezer")
        await proxy.get(f"/users/{STORE}/inventory?per_page=100")

        async def ready_after(seconds: float) -> dict[str, str]:
            proxy.app[keys.FAILING_PROVIDERS].clock = lambda: seconds
            await proxy.admin("POST", "/api/admin/process-queue?limit=3")
            told: dict[str, str] = json.loads((await proxy.get("/readyz"))[1])["degraded"]
            is_told = b'discogs_proxy_degraded{reason="providers"} 1.0' in (await proxy.get("/metrics"))[1]
            assert is_told == ("providers" in told)
            return told

        deezer.add_fault(Fault("html", status=200))
        assert await ready_after(0) == {}
        assert list(await ready_after(700)) == ["providers"]
        assert "deezer for 12 minutes" in (await ready_after(710))["providers"]
        proxy.app[keys.FAILING_PROVIDERS].told([("deezer", Told.NOTHING)])
        assert json.loads((await proxy.get("/readyz"))[1])["degraded"] == {}


async def test_every_metric_is_documented_and_no_other(proxy: Proxy) -> None:
    table = re.findall(r"^\| `(discogs_proxy_\w+)` \| (.*?) \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: tuple(labels.split(", ")) if labels != "–" else () for name, labels in table}
    families = [each for each in proxy.app[keys.METRICS].registry.collect() if each.name.startswith("discogs_proxy")]
    assert set(documented) == {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    for family in families:
        for sample in family.samples:
            of_metric = sample.name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            assert set(sample.labels) - {"le"} == set(documented[of_metric]), sample.name
