from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.compare import Difference, Kind, bodies, headers

API, PROXY = "https://api.discogs.com", "https://music.example"
LISTING = {"id": 5, "status": "For Sale", "price": {"value": 10.0}, "resource_url": f"{API}/marketplace/listings/5"}
PAGE: dict[str, Any] = {"pagination": {"items": 2}, "listings": [LISTING, LISTING | {"id": 6}]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def changed(**fields: Any) -> dict[str, Any]:
    """The page, with these fields in its first listing."""
    page = copy.deepcopy(PAGE)
    page["listings"][0] |= fields
    return page


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def compared(direct: object, proxied: object) -> list[tuple[str, str, bool]]:
    """Kind and place of each difference, and whether it is meant to be so."""
    found = bodies(direct, proxied, (API,), (PROXY,))
    return [(each.kind.value, each.where, each.why is not None) for each in found]


@pytest.mark.parametrize(
    ("direct", "proxied", "found"),
    [
        (PAGE, PAGE, []),
        (PAGE, changed(audio_matches=[]), [("added", "listings[id=5].audio_matches", True)]),
        (PAGE, changed(processing_status="queued"), [("added", "listings[id=5].processing_status", True)]),
        ({"id": 1}, {"id": 1, "audio_matches": []}, [("added", "audio_matches", True)]),
        ({"a": {}}, {"a": {"audio_matches": []}}, [("added", "a.audio_matches", False)]),
        (PAGE, changed(stray=1), [("added", "listings[id=5].stray", False)]),
        (
            PAGE,
            changed(resource_url=f"{PROXY}/marketplace/listings/5"),
            [("changed", "listings[id=5].resource_url", True)],
        ),
        (PAGE, changed(resource_url=f"{PROXY}/other"), [("changed", "listings[id=5].resource_url", False)]),
        (PAGE, changed(price={"value": 12.0}), [("changed", "listings[id=5].price.value", False)]),
        (PAGE, changed(price={}), [("missing", "listings[id=5].price.value", False)]),
        (changed(in_cart=True), PAGE, [("missing", "listings[id=5].in_cart", True)]),
        (changed(location="shelf"), PAGE, [("missing", "listings[id=5].location", True)]),
        (
            changed(shipping_price={"value": 1}),
            changed(shipping_price={}),
            [("changed", "listings[id=5].shipping_price", True)],
        ),
        (
            changed(offer_submitted=True),
            changed(offer_submitted=False),
            [("changed", "listings[id=5].offer_submitted", True)],
        ),
        (changed(status="Draft"), PAGE | {"listings": PAGE["listings"][1:]}, [("missing", "listings[id=5]", True)]),
        (PAGE, PAGE | {"listings": PAGE["listings"][1:]}, [("missing", "listings[id=5]", False)]),
        (PAGE, PAGE | {"listings": PAGE["listings"][::-1]}, [("moved", "listings", False)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [("moved", "", False)]),
        ({"stats": {"user": {}, "community": {}}}, {"stats": {"community": {}}}, [("missing", "stats.user", True)]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, [("changed", "a[1]", False), ("added", "a[2]", False)]),
        ({"a": 1}, {"a": True}, [("changed", "a", False)]),
        ({"a": None}, {}, [("missing", "a", False)]),
        ({"a": None}, {"a": ""}, [("changed", "a", False)]),
        ([], {}, [("changed", "", False)]),
    ],
)
def test_what_differs_and_what_is_meant_to(direct: object, proxied: object, found: list[tuple[str, str, bool]]) -> None:
    assert compared(direct, proxied) == found


@given(JSON)
def test_nothing_differs_from_itself(value: object) -> None:
    assert compared(value, copy.deepcopy(value)) == []


@given(JSON, JSON)
def test_what_is_not_the_same_differs(direct: object, proxied: object) -> None:
    assert bool(compared(direct, proxied)) == (repr(direct) != repr(proxied))


def test_members_of_a_list_have_one_pattern() -> None:
    assert Difference(Kind.ADDED, "listings[id=5].images[0].uri").pattern == "listings[].images[].uri"


@pytest.mark.parametrize(
    ("name", "direct", "proxied", "found"),
    [
        ("Content-Type", "application/json", "application/json", []),
        ("Content-Type", "application/json", "text/html", [("changed", False)]),
        ("Cache-Status", None, "discogs-proxy; hit", [("added", True)]),
        ("X-Request-Id", None, "a", [("added", True)]),
        ("X-Discogs-Ratelimit-Remaining", "59", "12", [("changed", True)]),
        ("Access-Control-Allow-Origin", None, "*", [("added", True)]),
        ("Set-Cookie", "a=b", None, [("missing", True)]),
        ("CF-Ray", "abc", None, [("missing", True)]),
        ("Link", f"<{API}/a?page=2>; rel=next", f"<{PROXY}/a?page=2>; rel=next", [("changed", True)]),
        ("Link", f"<{API}/a?page=2>; rel=next", f"<{PROXY}/a?page=3>; rel=next", [("changed", False)]),
        ("Location", f"{API}/a", None, [("missing", False)]),
        ("X-Stray", None, "a", [("added", False)]),
    ],
)
def test_headers_are_compared_by_name(
    name: str, direct: str | None, proxied: str | None, found: list[tuple[str, bool]]
) -> None:
    before = {} if direct is None else {name: direct}
    after = {} if proxied is None else {name.lower(): proxied}
    compared = headers(before, after, (API,), (PROXY,))
    assert [(each.kind.value, each.why is not None) for each in compared] == found
