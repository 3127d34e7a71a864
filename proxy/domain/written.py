"""What a write to a listing means for what is shown of it, read from the request that upstream accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import parse_qsl

from proxy.domain.visibility import SAFE_METHODS
from proxy.domain.wire import decode_json

LISTING = re.compile(r"/marketplace/listings(?:/(?P<id>[0-9]{1,18}))?")
FOR_SALE = "for sale"


class Effect(Enum):
    CREATED = auto()
    """A new listing, if it is For Sale: it comes first."""
    EDITED = auto()
    """Still For Sale, as far as we can tell."""
    GONE = auto()
    """No longer For Sale."""


@dataclass(frozen=True, slots=True)
class Written:
    """`listing_id` is None for one that was created."""

    effect: Effect
    listing_id: int | None


def is_of_listing(method: str, raw_path: str) -> bool:
    return method not in SAFE_METHODS and LISTING.fullmatch(raw_path) is not None


def written(method: str, raw_path: str, body: bytes) -> Written | None:
    """None for what is no write to a listing (Discogs documentation, Marketplace: Listing, New Listing)."""
    named = LISTING.fullmatch(raw_path)
    if method in SAFE_METHODS or named is None:
        return None
    if named["id"] is None:
        return Written(Effect.CREATED, None)
    gone = method == "DELETE" or status_in(body) not in (None, FOR_SALE)
    return Written(Effect.GONE if gone else Effect.EDITED, int(named["id"]))


def status_in(body: bytes) -> str | None:
    """The status that a body sets, JSON or form, in lower case; None where it cannot be told."""
    try:
        found = decode_json(body)
    except ValueError:
        pairs = parse_qsl(body.decode("utf-8", "replace"))
        found = {name.strip().lower(): value for name, value in pairs}
    status = found.get("status") if isinstance(found, dict) else None
    return status.strip().lower() if isinstance(status, str) and status.strip() else None
