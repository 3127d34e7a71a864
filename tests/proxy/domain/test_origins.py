from __future__ import annotations

import ipaddress

import pytest

from proxy.domain.origins import client_address, cors_headers, preflight_headers, public_origin

TRUSTED = (ipaddress.ip_network("10.0.0.0/8"),)
FORWARDED = {"Host": "inner:8080", "X-Forwarded-Host": "Shop.example, x", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("headers", "peer", "origin"),
    [
        ({"Host": "proxy.local:8080"}, "1.2.3.4", "http://proxy.local:8080"),
        ({"Host": "[::1]:8080"}, None, "http://[::1]:8080"),
        (FORWARDED, "10.1.2.3", "https://shop.example"),
        (FORWARDED, "1.2.3.4", "http://inner:8080"),
        (FORWARDED | {"X-Forwarded-Proto": "javascript"}, "10.1.2.3", "http://shop.example"),
        ({"Host": 'x"/><script>'}, None, "http://fallback:1"),
        ({"Host": "a/b"}, None, "http://fallback:1"),
        ({}, None, "http://fallback:1"),
    ],
)
def test_the_origin_is_what_the_client_calls_us(headers: dict[str, str], peer: str | None, origin: str) -> None:
    assert public_origin(None, "http", headers, peer, TRUSTED, "fallback:1") == origin


def test_a_configured_origin_is_never_spoofed() -> None:
    assert public_origin("https://me", "http", FORWARDED, "10.1.2.3", TRUSTED, "x") == "https://me"


def test_every_browser_may_read_by_default() -> None:
    headers = cors_headers("https://any.example", ("*",))
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Discogs-Ratelimit-Remaining" in headers["Access-Control-Expose-Headers"]


def test_only_the_named_origins_may_read() -> None:
    assert cors_headers("https://a", ("https://a",))["Access-Control-Allow-Origin"] == "https://a"
    assert cors_headers("https://b", ("https://a",)) == {"Vary": "Origin"}
    assert "Access-Control-Allow-Methods" not in preflight_headers("https://b", None, ("https://a",))


def test_a_preflight_is_allowed_the_headers_it_asks_for() -> None:
    headers = preflight_headers("https://a", "authorization,x-mine", ("*",))
    assert headers["Access-Control-Allow-Headers"] == "authorization,x-mine"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("1.2.3.4", [], "1.2.3.4"),
        ("1.2.3.4", ["9.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6, 9.9.9.9", "10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        (None, [], ""),
    ],
)
def test_a_client_counts_by_the_address_that_a_trusted_server_saw(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client
