"""Origins: the one the shop knows us by, and which browsers' origins may read our answers (CORS)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def public_origin(
    configured: str | None,
    scheme: str,
    headers: Mapping[str, str],
    peer: str | None,
    trusted: Sequence[Network],
    fallback_host: str,
) -> str:
    """PUBLIC_URL, else what the client calls us, told by a trusted front server or by Host.

    A Host that is no host (a spoofed one with a path, quotes or blanks) is not repeated.
    """
    if configured:
        return configured
    host = headers.get("Host", "")
    if is_trusted(peer, trusted):
        host = _first(headers.get("X-Forwarded-Host")) or host
        forwarded = _first(headers.get("X-Forwarded-Proto")).lower()
        scheme = forwarded if forwarded in ("http", "https") else scheme
    return f"{scheme}://{host.lower() if HOST.fullmatch(host) else fallback_host}"


def is_trusted(peer: str | None, trusted: Sequence[Network]) -> bool:
    address = _address(peer or "")
    return address is not None and any(address in network for network in trusted)


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Who asks: behind trusted front servers the last address that one of them has seen and that is not theirs.

    `forwarded_for`: the values of all X-Forwarded-For fields. Of IPv6, where a client has as many addresses as it
    likes, the network (/64).
    """
    seen = [each.strip() for value in forwarded_for for each in value.split(",")]
    address = peer or ""
    while is_trusted(address, trusted) and seen and _address(seen[-1]):
        address = seen.pop()
    parsed = _address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _first(value: str | None) -> str:
    """Of a list that each front server adds to, the client's own comes first."""
    return (value or "").split(",")[0].strip()


EXPOSED = (
    "Age, Cache-Status, Link, Location, Retry-After, X-Request-Id, "
    "X-Discogs-Ratelimit, X-Discogs-Ratelimit-Remaining, X-Discogs-Ratelimit-Used"
)
PREFLIGHT_AGE_S = 86_400


def cors_headers(origin: str | None, allowed: Sequence[str]) -> dict[str, str]:
    """For an answer; empty where the browser's origin may not read it."""
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if not allowed:
        return {}
    if origin is None or origin.lower() not in allowed:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight_headers(origin: str | None, requested_headers: str | None, allowed: Sequence[str]) -> dict[str, str]:
    """For the answer to a preflight request."""
    headers = cors_headers(origin, allowed)
    if "Access-Control-Allow-Origin" not in headers:
        return headers
    return headers | {
        "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": requested_headers or "Authorization, Content-Type, User-Agent",
        "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
    }
