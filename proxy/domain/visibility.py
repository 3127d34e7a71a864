"""Who asks, what may be asked for him with whose credential, and what must be taken out of the answer.

The tiers (public, identified, owner), the allow-list for the operator's credential and the fields that only an owner
or the caller himself may see: every path of the proxy goes through `plan`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from proxy.domain.resources import Kind, Resource

CREDENTIAL_PARAMETERS = frozenset({"token", "key", "secret"})
"""Query parameters that Discogs takes for a credential; OAuth ones begin with `oauth_`."""

PAGE_WALL = 100
"""A foreign inventory stops at this page; its owner's does not."""


class Tier(StrEnum):
    """What a caller has shown of himself. Whether an identified one owns a store, Discogs alone knows."""

    PUBLIC = "public"
    IDENTIFIED = "identified"


@dataclass(frozen=True, slots=True)
class Caller:
    """`authorization` and `query_credentials` are secrets: they go upstream or nowhere."""

    tier: Tier
    authorization: tuple[str, ...] = field(default=(), repr=False)
    query_credentials: bool = False
    signed: bool = False
    """By OAuth with HMAC or RSA over the URL: cannot survive a change of host."""
    is_operator: bool = False
    """Bears the operator's own token: the shop's own front end, or the operator himself."""

    @property
    def has_credential(self) -> bool:
        return bool(self.authorization) or self.query_credentials


@dataclass(frozen=True, slots=True)
class OperatorCredential:
    """The operator's own. `identifies` is true for a token (it is a user's), false for key and secret.

    `token` is the token that makes a caller the operator, also where key and secret are used for our calls.
    """

    authorization: str = field(repr=False)
    identifies: bool
    token: str | None = field(default=None, repr=False)
    public_view: bool = False
    """OWN_FRONT_END_VIEW=public: who bears that token gets what the public sees of public resources."""


class Using(StrEnum):
    """Whose credential an upstream call bears."""

    OPERATOR = "operator"
    CALLER = "caller"
    NOBODY = "anonymous"


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request is answered with 401 and this advice."""

    advice: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask upstream `using` a credential; `for_sale_only` narrows an inventory that the operator may own."""

    using: Using
    for_sale_only: bool = False
    strip: bool = False
    """Take out what only the operator may see."""

    @property
    def shared(self) -> bool:
        """The answer is what the public sees: it may be kept and shown to others."""
        return self.using is not Using.CALLER


Plan = Refuse | Ask

SIGNED_ADVICE = (
    "OAuth signatures made with HMAC or RSA cover the host and cannot be passed on by a proxy: "
    'use oauth_signature_method="PLAINTEXT", or a token (Authorization: Discogs token=...).'
)

SAFE_METHODS = frozenset({"GET", "HEAD"})

ANY_CREDENTIAL = frozenset({Kind.ROOT, Kind.RELEASE, Kind.DATABASE, Kind.SEARCH, Kind.INVENTORY})
"""Public resources for which the operator's credential may be used, whatever its kind."""

NO_IDENTITY = frozenset({Kind.LISTING, Kind.MARKETPLACE_STATS, Kind.PROFILE})
"""Public resources whose answer follows the asking user (currency, e-mail, drafts): never with the operator's token."""


def caller_of(authorization: Sequence[str], raw_query: str, operators_token: str | None = None) -> Caller:
    """Credentials in the query count like headers. An Authorization of unknown form counts as identifying somebody."""
    parameters = {name.lower(): value for name, value in parse_qsl(raw_query, keep_blank_values=True)}
    in_query = any(is_credential_parameter(name) for name in parameters)
    signature_method = parameters.get("oauth_signature_method") or _signature_method(authorization)
    return Caller(
        tier=Tier.IDENTIFIED if _identifies(authorization, parameters) else Tier.PUBLIC,
        authorization=tuple(authorization),
        query_credentials=in_query,
        signed=bool(signature_method) and signature_method.upper() != "PLAINTEXT",
        is_operator=operators_token is not None and _bears_only(operators_token, authorization, parameters),
    )


def _bears_only(token: str, authorization: Sequence[str], parameters: Mapping[str, str]) -> bool:
    """This token and no other credential beside it. Compared in constant time."""
    shown = [found[1] if (found := TOKEN.fullmatch(value)) else "" for value in authorization]
    shown += [parameters["token"]] if "token" in parameters else []
    others = any(is_credential_parameter(name) and name != "token" for name in parameters)
    return (
        bool(shown)
        and not others
        and all(hmac.compare_digest(each.encode("utf-8", "surrogatepass"), token.encode()) for each in shown)
    )


def is_credential_parameter(name: str) -> bool:
    return name.lower() in CREDENTIAL_PARAMETERS or name.lower().startswith("oauth_")


def _identifies(authorization: Sequence[str], parameters: Mapping[str, str]) -> bool:
    in_query = "token" in parameters or any(name.startswith("oauth_") for name in parameters)
    return in_query or any(not KEY_AND_SECRET.fullmatch(value) for value in authorization)


TOKEN = re.compile(r"\s*Discogs\s+token\s*=\s*([^\s,]+)\s*", re.IGNORECASE)
KEY_AND_SECRET = re.compile(r"\s*Discogs\s+(?:(?:key|secret)\s*=\s*[^\s,]*\s*,?\s*)+", re.IGNORECASE)
SIGNATURE_METHOD = re.compile(r'\boauth_signature_method\s*=\s*"?([^",\s]*)', re.IGNORECASE)


def _signature_method(authorization: Sequence[str]) -> str:
    found = [SIGNATURE_METHOD.search(value) for value in authorization if value.strip().lower().startswith("oauth")]
    return next((match[1] for match in found if match), "")


def plan(method: str, resource: Resource, caller: Caller, operator: OperatorCredential | None, raw_query: str) -> Plan:
    """The one decision about credentials, for every request that may go upstream."""
    if caller.signed:
        return Refuse(SIGNED_ADVICE)
    if caller.tier is Tier.IDENTIFIED and not _wants_public_view(resource, caller, operator, raw_query):
        return Ask(Using.CALLER)
    if operator is None or not _allowed(method, resource, operator, raw_query):
        return Ask(Using.CALLER if caller.has_credential else Using.NOBODY)
    return Ask(
        Using.OPERATOR,
        for_sale_only=operator.identifies and resource.kind is Kind.INVENTORY,
        strip=operator.identifies,
    )


def _wants_public_view(resource: Resource, caller: Caller, operator: OperatorCredential | None, raw_query: str) -> bool:
    """The shop's own front end, whose server sends its owner's token, where the operator said that it is one.

    Of an inventory he must ask for For Sale by name: without a status an owner means all of his listings.
    """
    if operator is None or not operator.public_view or not caller.is_operator:
        return False
    if resource.kind is Kind.INVENTORY:
        return asks_for_sale(raw_query)
    return resource.kind in ANY_CREDENTIAL


def asks_for_sale(raw_query: str) -> bool:
    return [value.lower() for name, value in parse_qsl(raw_query) if name.lower() == "status"] == ["for sale"]


def _allowed(method: str, resource: Resource, operator: OperatorCredential, raw_query: str) -> bool:
    if method not in SAFE_METHODS:
        return False
    if resource.kind in NO_IDENTITY:
        return not operator.identifies
    if resource.kind is Kind.INVENTORY and operator.identifies:
        return not _owners_privilege(raw_query)
    return resource.kind in ANY_CREDENTIAL


def _owners_privilege(raw_query: str) -> bool:
    """An owner may read beyond the wall and sort by what only he sees: the public is refused that by Discogs itself."""
    parameters = dict(parse_qsl(raw_query))
    page = parameters.get("page", "")
    return parameters.get("sort", "") in ("location", "status") or not (
        page == "" or (page.isdecimal() and len(page) < 10 and int(page) <= PAGE_WALL)
    )


# --- queries ------------------------------------------------------------------------------------------------------


def without_credentials(raw_query: str) -> str:
    """The query without credential parameters; the rest stays byte for byte."""
    return "&".join(part for part in raw_query.split("&") if part and not is_credential_parameter(_name(part)))


OWN_PARAMETERS = frozenset({"min_confidence"})
"""Of requests for releases and inventories: ours, never sent upstream."""


def without_own_parameters(raw_query: str) -> str:
    return "&".join(part for part in raw_query.split("&") if part and _name(part) not in OWN_PARAMETERS)


def with_for_sale(raw_query: str) -> str:
    """The query with `status=For Sale` in place of any other status."""
    kept = [part for part in raw_query.split("&") if part and _name(part).lower() != "status"]
    return "&".join([*kept, urlencode({"status": "For Sale"})])


def as_the_client_asked(url: str, raw_query: str) -> str:
    """A pagination URL of an answer that was asked for in our way, as Discogs would have given it to the client.

    Our `status=For Sale` goes, the client's own status and credentials come back: following `next` keeps working.
    """
    base, _, query = url.partition("?")
    theirs = [part for part in raw_query.split("&") if part and _is_ours_to_change(part)]
    upstreams = [part for part in query.split("&") if part and not _is_ours_to_change(part)]
    parts = upstreams + theirs
    return f"{base}?{'&'.join(parts)}" if parts else base


def _is_ours_to_change(part: str) -> bool:
    name = _name(part).lower()
    return name == "status" or name in OWN_PARAMETERS or is_credential_parameter(name)


def _name(part: str) -> str:
    pairs = parse_qsl(part, keep_blank_values=True)
    return pairs[0][0] if pairs else ""


# --- fields -------------------------------------------------------------------------------------------------------

OWNER_LISTING_FIELDS = frozenset(
    {"weight", "estimated_weight", "format_quantity", "external_id", "location", "quantity", "in_cart"}
)
"""Of a listing, what its owner or the caller alone sees (Discogs documentation, Marketplace: Inventory)."""


def public_inventory(body: dict[str, object]) -> dict[str, object]:
    """An inventory page as the public sees it: For Sale rows without the owner's and the caller's fields."""
    rows = body.get("listings")
    if not isinstance(rows, list):
        return body
    return body | {
        "listings": [
            public_listing(row) for row in rows if isinstance(row, dict) and row.get("status", "For Sale") == "For Sale"
        ]
    }


def public_listing(row: dict[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in row.items() if key not in OWNER_LISTING_FIELDS}
    return _without_user(kept)


def public_database(body: dict[str, object]) -> dict[str, object]:
    """A catalogue answer without what it says of the asking user (`stats.user`, `user_data`), at the places known."""
    public = dict(body)
    for key in ("releases", "versions", "results"):
        rows = public.get(key)
        if isinstance(rows, list):
            public[key] = [_without_user(row) if isinstance(row, dict) else row for row in rows]
    return _without_user(public)


def _without_user(row: dict[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in row.items() if key != "user_data"}
    if isinstance(release := kept.get("release"), dict):
        kept["release"] = _without_user(release)
    if isinstance(stats := kept.get("stats"), dict):
        kept["stats"] = {key: value for key, value in stats.items() if key != "user"}
    return kept
