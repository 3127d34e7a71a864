"""What a reviewer asks for: a list of matches, a decision, a URL of his own."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from matcher.domain.urls import URL_MAX, playable_url
from matcher.models import MatchCursor, MatchStatus
from proxy.domain.access import Caller
from proxy.errors import BadRequest

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
NAME_MAX = 100
"""Characters of a reviewer's name."""

ID_MAX = 2**63 - 1
INDEX_MAX = 9999


@dataclass(frozen=True, slots=True)
class AskedMatches:
    """`after`: None for the first page."""

    status: MatchStatus
    limit: int
    after: MatchCursor | None


@dataclass(frozen=True, slots=True)
class OwnUrl:
    """A person's own URL for a track; `playable` is its platform and the URL."""

    playable: tuple[str, str]
    sub_index: int | None
    by: str


def asked_matches(query: Mapping[str, str]) -> AskedMatches:
    """Raises BadRequest."""
    try:
        status = MatchStatus(query.get("status", MatchStatus.PENDING))
    except ValueError:
        raise BadRequest(f"status must be one of: {', '.join(MatchStatus)}.") from None
    limit = whole_number(query.get("limit", str(LIMIT_DEFAULT)), "limit", LIMIT_MAX, least=1)
    return AskedMatches(status, limit, cursor(query["cursor"], status) if query.get("cursor") else None)


def decider(caller: Caller, asked: Mapping[str, object]) -> str:
    """Who decides: a reviewer himself; an admin may say who, by `{"by": "name"}`. Raises BadRequest."""
    if not caller.is_admin:
        return caller.name
    by = asked.get("by", caller.name)
    name = by.strip() if isinstance(by, str) else ""
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise BadRequest(f'"by" must be the name of who decides: 1 to {NAME_MAX} characters.')
    return name


def own_url(asked: Mapping[str, object], caller: Caller) -> OwnUrl:
    """Raises BadRequest."""
    playable = playable_url(asked.get("url"))
    if playable is None:
        raise BadRequest(
            f'"url" must be an http(s) URL of at most {URL_MAX} characters, without credentials, that can be played: '
            "of YouTube and Vimeo one of a video."
        )
    sub_index = asked.get("sub_index")
    if sub_index is not None and not (type(sub_index) is int and 0 <= sub_index <= INDEX_MAX):
        raise BadRequest('"sub_index" must be a place in the track\'s sub_tracks, from 0.')
    return OwnUrl(playable, sub_index, decider(caller, asked))


def whole_number(text: str, name: str, most: int, *, least: int = 0) -> int:
    """Raises BadRequest."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    if not least <= number <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return number


def encoded_cursor(status: StrEnum, after: MatchCursor) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([status.value, *after])).decode().rstrip("=")


def cursor(text: str, status: StrEnum) -> MatchCursor:
    """A place in the list of that name. Raises BadRequest."""
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    match found:
        case [status.value, float(first), float(second), float(third), int(last)] if all(
            map(math.isfinite, (first, second, third))
        ):
            return first, second, third, last
    raise BadRequest("cursor must be the `next` of an answer to the same question.")
