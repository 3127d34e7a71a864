"""YouTube by its Data API v3 (https://developers.google.com/youtube/v3/docs): what its answers say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape

from matcher.domain.urls import YOUTUBE_ID
from matcher.errors import Broken

NAME = "youtube"

AWAY_AGAIN_S = 60.0
"""When to ask again after an answer that makes no sense."""

RESULTS_MAX = 50
"""Of a page of any of its lists."""
TEXT_MAX = 500
REGIONS_MAX = 300
COUNTRIES = 249
"""Of ISO 3166-1, by which regions are named."""

REGION = re.compile(r"[A-Z]{2}")
DURATION = re.compile(
    r"P(?:(\d{1,3})W)?(?:(\d{1,3})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,7})(?:\.\d{1,9})?S)?)?", re.ASCII
)
LIVE = frozenset({"live", "upcoming"})
HIDDEN = frozenset({"private"})
LOST = frozenset({"deleted", "failed", "rejected"})


@dataclass(frozen=True, slots=True)
class Video:
    """As `videos.list` tells it. What it does not tell is not held against it."""

    video_id: str
    title: str
    channel: str | None
    duration_s: int | None
    """None where it has none (a broadcast), or it is not told."""
    is_embeddable: bool
    is_public: bool
    """Whoever has its link may watch it: neither private, nor deleted, rejected or broken."""
    allowed: frozenset[str] | None
    """Countries (ISO 3166-1 alpha-2) in which alone it plays; None: in all but `blocked`."""
    blocked: frozenset[str]
    is_live: bool = False
    """A broadcast that goes on or is yet to come."""

    @property
    def countries(self) -> int:
        """In so many of the world's it plays."""
        return COUNTRIES - len(self.blocked) if self.allowed is None else len(self.allowed - self.blocked)


def parse_search(body: object) -> tuple[str, ...]:
    """The ids of the videos of a page of `search.list`, in its order; broadcasts are left out.

    All else is told again by `videos.list`, with what only that tells. Raises Broken where there is no list.
    """
    found = (_found_id(item) for item in _items(body))
    return tuple(dict.fromkeys(filter(None, found)))


def parse_videos(body: object) -> dict[str, Video]:
    """The videos of an answer of `videos.list`, by their ids: one that is gone or private is not in it.

    Raises Broken where there is no list, so that nothing is taken for gone.
    """
    videos = (_video(item) for item in _items(body))
    return {video.video_id: video for video in videos if video}


def parse_duration(text: object) -> int | None:
    """Seconds of an ISO 8601 duration, `PT4M13S`; None for none at all (`P0D` of a broadcast) and for all else."""
    found = DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds or None


def _items(body: object) -> list[object]:
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise Broken("YouTube: an answer without a list of items", AWAY_AGAIN_S)
    return items[:RESULTS_MAX]


def _found_id(item: object) -> str | None:
    if _word(_get(item, "snippet"), "liveBroadcastContent") in LIVE:
        return None
    return _id(_get(_get(item, "id"), "videoId"))


def _video(item: object) -> Video | None:
    video_id, snippet, status = _id(_get(item, "id")), _get(item, "snippet"), _get(item, "status")
    if video_id is None:
        return None
    details = _get(item, "contentDetails")
    regions = _get(details, "regionRestriction")
    return Video(
        video_id=video_id,
        title=_text(snippet, "title"),
        channel=_text(snippet, "channelTitle") or None,
        duration_s=parse_duration(_get(details, "duration")),
        is_embeddable=_get(status, "embeddable") is not False,
        is_public=_word(status, "privacyStatus") not in HIDDEN and _word(status, "uploadStatus") not in LOST,
        allowed=_regions(_get(regions, "allowed")),
        blocked=_regions(_get(regions, "blocked")) or frozenset(),
        is_live=_word(snippet, "liveBroadcastContent") in LIVE,
    )


def _regions(value: object) -> frozenset[str] | None:
    """An empty list of those allowed allows none; one of nonsense says nothing."""
    if not isinstance(value, list):
        return None
    known = frozenset(each for each in value[:REGIONS_MAX] if isinstance(each, str) and REGION.fullmatch(each))
    return known if known or not value else None


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and YOUTUBE_ID.fullmatch(value) else None


def _get(owner: object, key: str) -> object:
    return owner.get(key) if isinstance(owner, Mapping) else None


def _word(owner: object, key: str) -> str:
    value = _get(owner, key)
    return value if isinstance(value, str) else ""


def _text(owner: object, key: str) -> str:
    """Search results are written in HTML, and so are some of the rest."""
    return unescape(_word(owner, key)[: 2 * TEXT_MAX]).strip()[:TEXT_MAX]
