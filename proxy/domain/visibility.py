"""What may be asked for a caller with whose credential, and what must be taken out of the answer.

The tiers (public, identified, owner), the allow-list for the operator's credential and the fields that only an owner
or the caller himself may see: every path of the proxy goes through `plan`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlencode

from proxy.domain.credentials import Caller, Tier, is_credential_parameter, parameter_name
from proxy.domain.resources import Kind, Resource

PAGE_WALL = 100
"""A foreign inventory stops at this page; its owner's does not."""


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
    foreign_shared: bool = True
    """FOREIGN_INVENTORY=shared: identified callers get the shared copy of a store that is not theirs."""
    refused: bool = False
    """Discogs does not take it at the moment: what is asked for with it is asked for anonymously."""


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
    rich_only: bool = False
    """The caller's own credential would show him pictures: a shared answer without any is not good enough for him."""
    advice: str | None = field(default=None, compare=False)
    """What the operator could set so that this would not be forwarded."""

    @property
    def shared(self) -> bool:
        """The answer is what the public sees: it may be kept and shown to others."""
        return self.using is not Using.CALLER

    @property
    def poor_will_do(self) -> bool:
        """Nothing richer is due to the caller than what is seen without a credential."""
        return self.shared and not self.rich_only


Plan = Refuse | Ask

SIGNED_ADVICE = (
    "OAuth signatures made with HMAC or RSA cover the host and cannot be passed on by a proxy: "
    'use oauth_signature_method="PLAINTEXT", or a token (Authorization: Discogs token=...).'
)

OWN_FRONT_END_ADVICE = (
    "it is asked for with the operator's own token: if that is the shop's own front end, set OWN_FRONT_END_VIEW=public "
    "and ask with status=For Sale: it then gets what the public sees, without drafts and owner's fields, from the "
    "proxy's copies"
)
FOREIGN_ADVICE = (
    "FOREIGN_INVENTORY=forward: with shared, identified callers who do not own the store get the proxy's copies, "
    "without in_cart and stats.user"
)
NO_CREDENTIAL_ADVICE = (
    "without a credential of the operator's the proxy's copies have no pictures: set DISCOGS_CONSUMER_KEY and "
    "DISCOGS_CONSUMER_SECRET, and identified callers who do not own the store get them"
)

SAFE_METHODS = frozenset({"GET", "HEAD"})

SAME_FOR_ALL = frozenset({Kind.ROOT, Kind.RELEASE, Kind.DATABASE})
"""Nothing in them depends on the caller but pictures: identified callers share them."""

ANY_CREDENTIAL = SAME_FOR_ALL | {Kind.DATABASE_LIST, Kind.SEARCH, Kind.INVENTORY}
"""Public resources for which the operator's credential may be used, whatever its kind."""

NO_IDENTITY = frozenset({Kind.LISTING, Kind.MARKETPLACE_STATS, Kind.PROFILE})
"""Public resources whose answer follows the asking user (currency, e-mail, drafts): never with the operator's token."""


def plan(method: str, resource: Resource, caller: Caller, operator: OperatorCredential | None, raw_query: str) -> Plan:
    """The one decision about credentials, for every request that may go upstream.

    A credential that is not sent is not checked: with a wrong one Discogs itself would answer 401, here its bearer may
    get what the public gets. Whatever is forwarded is Discogs' to refuse.
    """
    if caller.signed:
        return Refuse(SIGNED_ADVICE)
    public = _public(method, resource, operator, raw_query)
    if caller.tier is Tier.PUBLIC or _wants_public_view(resource, caller, operator, raw_query):
        return public or Ask(Using.CALLER if caller.has_credential else Using.NOBODY)
    if public and operator and not operator.refused and _is_shared_with(caller, resource, operator):
        return replace(public, rich_only=True)
    return Ask(Using.CALLER, advice=_advice(caller, operator) if resource.kind is Kind.INVENTORY else None)


def depends_on_username(
    method: str, resource: Resource, caller: Caller, operator: OperatorCredential | None, raw_query: str
) -> bool:
    """He would get the shared copy of this store if we knew that it is not his."""
    if resource.kind is not Kind.INVENTORY or caller.tier is Tier.PUBLIC:
        return False
    stranger = plan(method, resource, replace(caller, username=""), operator, raw_query)
    return isinstance(stranger, Ask) and stranger.rich_only


def _public(method: str, resource: Resource, operator: OperatorCredential | None, raw_query: str) -> Ask | None:
    """What the public sees, asked for with the operator's credential; None where that must not be used."""
    if operator is None or not _allowed(method, resource, operator, raw_query):
        return None
    return Ask(
        Using.OPERATOR,
        for_sale_only=operator.identifies and resource.kind is Kind.INVENTORY,
        strip=operator.identifies,
    )


def _is_shared_with(caller: Caller, resource: Resource, operator: OperatorCredential) -> bool:
    """Of a store that is not his an identified caller sees what is For Sale, whatever status he asks for."""
    if resource.kind is Kind.INVENTORY:
        return operator.foreign_shared and not caller.may_own(resource.username)
    return resource.kind in SAME_FOR_ALL


def _advice(caller: Caller, operator: OperatorCredential | None) -> str | None:
    if operator is None:
        return NO_CREDENTIAL_ADVICE
    if caller.is_operator:
        return OWN_FRONT_END_ADVICE
    return None if operator.foreign_shared else FOREIGN_ADVICE


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
    """An owner may read beyond the wall and sort by what only he sees: the public is refused that by Discogs itself.

    Of a parameter that is there twice either may count, and a semicolon may part parameters.
    """
    given = [(name.lower(), value) for name, value in parse_qsl(raw_query)]
    return ";" in unquote(raw_query) or any(
        value.strip().lower() in ("location", "status") if name == "sort" else name == "page" and not _is_shown(value)
        for name, value in given
    )


def _is_shown(page: str) -> bool:
    return page.isdecimal() and len(page) < 10 and int(page) <= PAGE_WALL


# --- queries ------------------------------------------------------------------------------------------------------

OWN_PARAMETERS = frozenset({"min_confidence"})
"""Of requests for releases and inventories: ours, never sent upstream."""


def without_own_parameters(raw_query: str) -> str:
    return "&".join(part for part in raw_query.split("&") if part and parameter_name(part) not in OWN_PARAMETERS)


def with_for_sale(raw_query: str) -> str:
    """The query with `status=For Sale` in place of any other status."""
    kept = [part for part in raw_query.split("&") if part and parameter_name(part).lower() != "status"]
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
    name = parameter_name(part).lower()
    return name == "status" or name in OWN_PARAMETERS or is_credential_parameter(name)


# --- fields -------------------------------------------------------------------------------------------------------

OWNER_LISTING_FIELDS = frozenset(
    {"weight", "estimated_weight", "format_quantity", "external_id", "location", "quantity", "in_cart"}
)
"""Of a listing, what its owner or the caller alone sees (Discogs documentation, Marketplace: Inventory)."""


STRANGERS_VALUES: dict[str, object] = {"shipping_price": {}, "original_shipping_price": {}, "offer_submitted": False}
"""Of a listing, what a stranger sees without a value: shipping is filled in for its owner, an offer for who made it."""


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
    kept = {key: STRANGERS_VALUES.get(key, value) for key, value in row.items() if key not in OWNER_LISTING_FIELDS}
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


PICTURE = rb'"(?:thumb|thumbnail|cover_image|uri150)"\s*:\s*'
ANY_PICTURE = re.compile(PICTURE)
FILLED_PICTURE = re.compile(PICTURE + rb'"[^"]')


PICTURES = ("thumbnail", "images")
"""Of the release that a listing sells."""


def is_poor(body: bytes) -> bool:
    """There are places for pictures and all of them are empty, as Discogs shows them to who bears no credential."""
    return ANY_PICTURE.search(body) is not None and FILLED_PICTURE.search(body) is None


def with_pictures_of(rich: Mapping[str, object], poor: Mapping[str, object]) -> dict[str, object]:
    """The `poor` listing with what the `rich` one shows of the same release in places that are empty."""
    release, known = poor.get("release"), rich.get("release")
    if not isinstance(release, dict) or not isinstance(known, dict) or release.get("id") != known.get("id"):
        return dict(poor)
    pictures = {name: known[name] for name in PICTURES if name in release and known.get(name)}
    return {**poor, "release": {**release, **pictures}}
