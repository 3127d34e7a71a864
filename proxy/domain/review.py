"""What a reviewer asks for: a list of matches, a decision, a URL of his own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matcher.domain.urls import URL_MAX, playable_url
from matcher.models import MatchCursor, MatchStatus
from proxy.domain.access import Caller
from proxy.domain.asked import ID_MAX, asked_limit, no_cursor, place_from, weighed_place_from
from proxy.errors import BadRequest

NAME_MAX = 100
"""Characters of a reviewer's name."""

INDEX_MAX = 9999


@dataclass(frozen=True, slots=True)
class AskedMatches:
    """`after`: None for the first page."""

    status: MatchStatus
    limit: int
    after: MatchCursor | None


@dataclass(frozen=True, slots=True)
class AskedDecisions:
    """Of a release, newest first. `before`: that decision; None for the first page."""

    release_id: int
    limit: int
    before: int | None


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
    after = weighed_place_from(query["cursor"], status) if query.get("cursor") else None
    return AskedMatches(status, asked_limit(query), after)


def asked_decisions(query: Mapping[str, str], release_id: int) -> AskedDecisions:
    """Raises BadRequest."""
    before = _decision_from(query["cursor"], release_id) if query.get("cursor") else None
    return AskedDecisions(release_id, asked_limit(query), before)


def decisions_named(release_id: int) -> str:
    """What the cursors of that list are for."""
    return f"decisions of {release_id}"


def _decision_from(text: str, release_id: int) -> int:
    match place_from(text, decisions_named(release_id)):
        case [int(last)] if 0 < last <= ID_MAX:
            return last
    raise no_cursor()


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
