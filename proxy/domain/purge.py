"""What an operator asks to be dropped: one release, one store, or a path and what lies below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from proxy.domain.resources import RELEASE_ID_MAX
from proxy.errors import BadRequest


@dataclass(frozen=True, slots=True)
class PurgeRelease:
    release_id: int


@dataclass(frozen=True, slots=True)
class PurgeStore:
    username: str


@dataclass(frozen=True, slots=True)
class PurgePath:
    """As clients ask for it, percent-encoded, without a query."""

    path: str


Purge = PurgeRelease | PurgeStore | PurgePath

ADVICE = 'The body must be {"release": id}, {"store": name} or {"path": "/…"}, and may say {"soft": false}.'


def parse_purge(asked: Mapping[str, object]) -> tuple[Purge, bool]:
    """What, and whether softly. Raises BadRequest."""
    soft = asked.get("soft", True)
    if len(asked.keys() - {"soft"}) != 1 or not isinstance(soft, bool):
        raise BadRequest(ADVICE)
    match asked:
        case {"release": int(release_id)} if type(release_id) is int and 0 < release_id <= RELEASE_ID_MAX:
            return PurgeRelease(release_id), soft
        case {"store": str(username)} if username and "/" not in username and _is_text(username):
            return PurgeStore(username.lower()), soft
        case {"path": str(path)} if path.startswith("/") and "?" not in path and _is_text(path):
            return PurgePath(path), soft
        case {"store": str(username)} if username:
            raise BadRequest("A store is named by its username at Discogs, or by its alias.")
        case {"path": str(path)} if path:
            raise BadRequest("A path begins with / and has no query, like /masters/5.")
    raise BadRequest(ADVICE)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def plain_path(path: str) -> str:
    """One spelling of a path, as an operator may write it otherwise than the client did."""
    return unquote(path).lower()


def is_at_or_below(path: str, purged: str) -> bool:
    """Both as `plain_path` spells them: a purge of `/users/x` names `/users/x/inventory` too, but not `/users/xy`."""
    return path == (purged.rstrip("/") or "/") or path.startswith(purged.rstrip("/") + "/")
