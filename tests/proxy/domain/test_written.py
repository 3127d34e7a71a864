"""What a write to a listing means."""

from __future__ import annotations

import pytest

from proxy.domain.written import Effect, Written, is_of_listing, status_in, written

LISTING = "/marketplace/listings/172723812"


@pytest.mark.parametrize(
    ("method", "path", "body", "effect"),
    [
        ("DELETE", LISTING, b"", Effect.GONE),
        ("POST", LISTING, b'{"status": "Draft", "price": 5}', Effect.GONE),
        ("POST", LISTING, b"status=Draft&price=5", Effect.GONE),
        ("PUT", LISTING, b'{"status": "Sold"}', Effect.GONE),
        ("POST", LISTING, b'{"status": "For Sale"}', Effect.EDITED),
        ("POST", LISTING, b"status=For+Sale", Effect.EDITED),
        ("POST", LISTING, b"status=for%20sale", Effect.EDITED),
        ("POST", LISTING, b'{"price": 5}', Effect.EDITED),
        ("POST", LISTING, b"\xff{", Effect.EDITED),
        ("POST", LISTING, b'["status"]', Effect.EDITED),
        ("POST", LISTING, b'{"status": null}', Effect.EDITED),
    ],
)
def test_what_is_no_longer_for_sale_is_gone(method: str, path: str, body: bytes, effect: Effect) -> None:
    assert written(method, path, body) == Written(effect, 172723812)


def test_a_new_listing_has_no_id_yet() -> None:
    assert written("POST", "/marketplace/listings", b'{"status": "Draft"}') == Written(Effect.CREATED, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", LISTING), ("POST", "/marketplace/orders/1"), ("POST", f"{LISTING}/x"), ("DELETE", f"{LISTING}{'9' * 20}")],
)
def test_what_is_no_write_to_a_listing_means_nothing(method: str, path: str) -> None:
    assert written(method, path, b"") is None
    assert not is_of_listing(method, path)


def test_a_status_is_told_in_lower_case() -> None:
    assert status_in(b'{"status": " For Sale "}') == "for sale"
    assert status_in(b"") is None
