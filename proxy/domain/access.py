"""Who may use the admin API and its pages: tokens, sessions, what a reviewer may, whose pages may ask for changes."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

ADMIN = "admin"
"""The name of who holds the admin token."""

SESSION_COOKIE = "discogs_proxy_session"
SESSION_S = 30 * 86_400
"""How long a browser stays logged in."""

READS = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

REVIEWERS_MAY = frozenset(
    {
        "GET /api/admin/matches",
        "POST /api/admin/matches/{match}/approve",
        "POST /api/admin/matches/{match}/reject",
        "POST /api/admin/matches/{match}/undo",
        "PUT /api/admin/releases/{release}/tracks/{track}/match",
        "GET /api/admin/releases/{release}/decisions",
        "POST /api/admin/releases/{release}/approve",
        "POST /api/admin/releases/{release}/reject",
        "POST /api/admin/releases/{release}/no-audio",
        "DELETE /api/admin/releases/{release}/no-audio",
        "GET /admin",
        "GET /admin/review",
        "GET /admin/following",
        "GET /admin/releases/{release}",
        "POST /admin/logout",
        "POST /admin/matches/{match}/approve",
        "POST /admin/matches/{match}/reject",
        "POST /admin/matches/{match}/undo",
        "POST /admin/releases/{release}/approve",
        "POST /admin/releases/{release}/reject",
        "POST /admin/releases/{release}/no-audio",
        "POST /admin/releases/{release}/undo-no-audio",
        "POST /admin/releases/{release}/undo",
        "POST /admin/releases/{release}/tracks/{track}/match",
    }
)
"""Method and pattern of the route; everything else is the admin's."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever is logged in. `stores`: lower-case usernames whose releases alone he sees and decides; None: all."""

    name: str
    is_admin: bool
    stores: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A token and whose it is."""

    caller: Caller
    token: str = field(repr=False)


def may(caller: Caller, method: str, pattern: str) -> bool:
    """`pattern` is that of the route, such as /api/admin/matches/{match}/approve."""
    return caller.is_admin or f"{'GET' if method == 'HEAD' else method} {pattern}" in REVIEWERS_MAY


# --- tokens and sessions ------------------------------------------------------------------------------------------


def bearer_token(authorization: str | None) -> str | None:
    """The token of an Authorization field (RFC 6750 section 2.1); None for any other scheme."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def credential_of_token(token: str, credentials: Sequence[Credential]) -> Credential | None:
    """All are compared, whichever it is: the time taken tells nothing of them."""
    given, found = _digest(token), None
    for each in credentials:
        if hmac.compare_digest(_digest(each.token), given):
            found = each
    return found


@dataclass(frozen=True, slots=True)
class Session:
    """Of a browser that is logged in. `expires_at`: seconds since 1970. A changed token, or a name gone, ends it."""

    id: str
    credential: Credential
    expires_at: int

    @property
    def cookie(self) -> str:
        """`id` has no dot."""
        claim = f"{quote(self.credential.caller.name, safe='')}.{self.expires_at}.{self.id}"
        return f"{claim}.{_signature(self.credential, claim)}"


def session_of(cookie: str, credentials: Sequence[Credential], now: float) -> Session | None:
    """None for one that has expired or that we never made."""
    claim, _, signature = cookie.rpartition(".")
    name, expires_at, session_id = claim.rsplit(".", 2) if claim.count(".") > 1 else ("", "", "")
    if not (expires_at.isascii() and expires_at.isdecimal() and len(expires_at) < 12 and int(expires_at) > now):
        return None
    for each in credentials:
        if each.caller.name == unquote(name) and hmac.compare_digest(
            _signature(each, claim).encode(), signature.encode("utf-8", "surrogateescape")
        ):
            return Session(session_id, each, int(expires_at))
    return None


def _signature(credential: Credential, claim: str) -> str:
    key = hmac.digest(credential.token.encode(), b"session of discogs-proxy", "sha256")
    return hmac.digest(key, claim.encode("utf-8", "surrogateescape"), "sha256").hex()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


# --- whose pages may change anything ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a change comes from. `own` is the origin that the client knows us by, `public_url` the configured one.

    `origin` and `fetch_site` are the fields Origin and Sec-Fetch-Site, which browsers add and no page can forge.
    """

    own: str
    public_url: str | None
    origin: str | None
    fetch_site: str | None
    by_cookie: bool


def objection(sender: Sender) -> str | None:
    """Why a change is refused; None: it comes from a page of ours or, by a bearer token, from no page at all.

    A page of ours has the host by which the browser reached us. Where PUBLIC_URL tells our name, another name that was
    made to lead to us (DNS rebinding) is not ours; an address and localhost are nobody's else.
    """
    if sender.origin is None:
        if sender.fetch_site == "same-origin" or (sender.fetch_site is None and not sender.by_cookie):
            return None
        return "A change must come from a page of this proxy, which its Origin tells; or bear the token itself."
    place = _place(sender.origin)
    if place is not None and place in _own_places(sender, sender.origin.partition(":")[0]):
        return None
    return f"Origin {sender.origin[:100]!r} is not this proxy's: PUBLIC_URL, or the Host of the request."


def _own_places(sender: Sender, scheme: str) -> set[tuple[str, int] | None]:
    """By the scheme of the page: a front server that ends TLS may not tell us of it."""
    own = _place(f"{scheme}://{urlsplit(sender.own).netloc}")
    if sender.public_url is None:
        return {own}
    return {_place(sender.public_url), own if own and _is_address(own[0]) else None}


def _place(origin: str) -> tuple[str, int] | None:
    """Host and port; None for what is no origin, as the literal `null` is none."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def _is_address(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
