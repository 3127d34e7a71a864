"""Which Discogs resource a request asks for, read from its raw path alone.

The table is the list of resources that we know (source: the Discogs documentation and what it really answers). A path
that is not in it is passed on as it is, with none of our policy and never with the operator's credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

RELEASE_ID_MAX = 2**31 - 1


class Kind(StrEnum):
    """The resources that rules differ for."""

    ROOT = "root"
    RELEASE = "release"
    DATABASE = "database"
    """Catalogue data that is the same for everybody."""
    DATABASE_LIST = "database_list"
    """Lists of the catalogue, whose rows say something of the asking user (`stats.user`)."""
    SEARCH = "search"
    INVENTORY = "inventory"
    LISTING = "listing"
    MARKETPLACE_STATS = "marketplace_stats"
    PROFILE = "profile"
    PRIVATE = "private"
    """Known, and somebody's own: orders, collection, wants, lists, exports, identity, price suggestions."""
    TEXT = "text"
    """Known, answers something else than JSON: OAuth tokens, CSV."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Resource:
    """What a path names. `username` is decoded, as the client wrote it."""

    kind: Kind
    release_id: int | None = None
    username: str | None = None

    @property
    def store(self) -> str | None:
        """Whose inventory it is, in lower case; None for anything else."""
        return self.username.lower() if self.username and self.kind is Kind.INVENTORY else None

    @property
    def client_calls(self) -> Mapping[str, int]:
        """By store: the calls that an answer to this spares a client."""
        return {self.store: 1} if self.store else NO_STORES


NO_STORES: Mapping[str, int] = {}
UNKNOWN = Resource(Kind.UNKNOWN)

TABLE: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.ROOT, r"/"),
        (Kind.RELEASE, r"/releases/(?P<release_id>[0-9]{1,10})"),
        (Kind.DATABASE, r"/releases/[0-9]+/(rating|stats)"),
        (Kind.DATABASE, r"/(masters|artists|labels)/[0-9]+"),
        (Kind.DATABASE_LIST, r"/masters/[0-9]+/versions"),
        (Kind.DATABASE_LIST, r"/(artists|labels)/[0-9]+/releases"),
        (Kind.SEARCH, r"/database/search"),
        (Kind.INVENTORY, r"/users/(?P<username>[^/]+)/inventory"),
        (Kind.LISTING, r"/marketplace/listings/[0-9]+"),
        (Kind.MARKETPLACE_STATS, r"/marketplace/stats/[0-9]+"),
        (Kind.PROFILE, r"/users/(?P<username>[^/]+)"),
        (Kind.TEXT, r"/oauth/(request_token|access_token)"),
        (Kind.TEXT, r"/inventory/export/[0-9]+/download"),
        (Kind.PRIVATE, r"/releases/[0-9]+/rating/[^/]+"),
        (Kind.PRIVATE, r"/marketplace/(listings|orders|fee|price_suggestions)(/.*)?"),
        (Kind.PRIVATE, r"/inventory/(export|upload)(/.*)?"),
        (Kind.PRIVATE, r"/oauth/identity"),
        (Kind.PRIVATE, r"/users/[^/]+/(collection|wants|lists|submissions|contributions|friends)(/.*)?"),
        (Kind.PRIVATE, r"/lists/[0-9]+"),
    )
)


def resource_of(raw_path: str) -> Resource:
    """`raw_path` is the request target's path, percent-encoded as it came."""
    if not _is_plain(raw_path):
        return UNKNOWN
    for kind, pattern in TABLE:
        if found := pattern.fullmatch(raw_path):
            return _resource(kind, found.groupdict())
    return UNKNOWN


def _is_plain(raw_path: str) -> bool:
    """No segment that another server might read as a different path: dots, encoded slashes, control characters."""
    return all(_is_plain_segment(unquote(segment)) for segment in raw_path.split("/"))


def _is_plain_segment(segment: str) -> bool:
    return segment not in (".", "..") and segment.isprintable() and not set(segment) & set("/\\%")


def _resource(kind: Kind, found: dict[str, str | None]) -> Resource:
    release_id, username = found.get("release_id"), found.get("username")
    if release_id and not 0 < int(release_id) <= RELEASE_ID_MAX:
        return UNKNOWN
    return Resource(kind, int(release_id) if release_id else None, unquote(username) if username else None)
