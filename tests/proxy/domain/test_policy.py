from __future__ import annotations

import pytest

from proxy.domain.policy import OWN, Decision, Source


@pytest.mark.parametrize(
    ("decision", "header"),
    [
        (Decision(Source.HIT, age_s=1, ttl_s=59.5), "discogs-proxy; hit; ttl=59"),
        (
            Decision(Source.STALE, age_s=70, ttl_s=-10, detail="stale-while-revalidate"),
            "discogs-proxy; hit; ttl=-10; detail=stale-while-revalidate",
        ),
        (
            Decision(Source.STALE, age_s=70, ttl_s=10, detail="stale-if-error"),
            "discogs-proxy; hit; ttl=0; detail=stale-if-error",
        ),
        (Decision(Source.MISS, upstream_status=200), "discogs-proxy; fwd=uri-miss; fwd-status=200"),
        (Decision(Source.MISS, detail="no-database"), "discogs-proxy; fwd=uri-miss; detail=no-database"),
        (Decision(Source.BYPASS, upstream_status=404), "discogs-proxy; fwd=bypass; fwd-status=404"),
        (Decision(Source.REVALIDATED, upstream_status=304), "discogs-proxy; fwd=stale; fwd-status=304"),
        (
            Decision(Source.MISS, upstream_status=200, forwarded="vary-miss", stored=True),
            "discogs-proxy; fwd=vary-miss; fwd-status=200; stored",
        ),
        (OWN, "discogs-proxy"),
    ],
)
def test_the_decision_is_told_as_rfc_9211_has_it(decision: Decision, header: str) -> None:
    assert decision.cache_status() == header
