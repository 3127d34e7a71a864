from __future__ import annotations

import pytest

from proxy.domain.policy import OWN, Decision, Freshness, Source, freshness


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (0, Freshness.FRESH),
        (9.9, Freshness.FRESH),
        (10, Freshness.STALE),
        (29, Freshness.STALE),
        (30, Freshness.EXPIRED),
    ],
)
def test_a_copy_ages(age_s: float, state: Freshness) -> None:
    assert freshness(age_s, fresh_for_s=10, content_max_age_s=30) is state


def test_the_content_limit_wins_over_a_longer_lifetime() -> None:
    assert freshness(40, fresh_for_s=100, content_max_age_s=30) is Freshness.EXPIRED


@pytest.mark.parametrize(
    ("decision", "header"),
    [
        (Decision(Source.HIT, age_s=1, ttl_s=59.5), "discogs-proxy; hit; ttl=59"),
        (
            Decision(Source.STALE, age_s=70, ttl_s=-10, detail="stale-while-revalidate"),
            "discogs-proxy; hit; ttl=-10; detail=stale-while-revalidate",
        ),
        (Decision(Source.MISS, upstream_status=200), "discogs-proxy; fwd=uri-miss; fwd-status=200"),
        (Decision(Source.MISS, detail="no-database"), "discogs-proxy; fwd=uri-miss; detail=no-database"),
        (Decision(Source.BYPASS, upstream_status=404), "discogs-proxy; fwd=bypass; fwd-status=404"),
        (OWN, "discogs-proxy"),
    ],
)
def test_the_decision_is_told_as_rfc_9211_has_it(decision: Decision, header: str) -> None:
    assert decision.cache_status() == header
