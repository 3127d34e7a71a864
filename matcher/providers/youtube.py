"""YouTube by its Data API v3 (https://developers.google.com/youtube/v3/docs), which allows 100 searches a day.

What it tells is kept as that of `provider` and `platform` youtube: its terms allow 30 days, then it is to be told anew
(https://developers.google.com/youtube/terms/developer-policies, III.E.4).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape

from matcher.domain.urls import YOUTUBE_ID
from matcher.errors import Broken, KeyRefused, Unavailable
from matcher.models import Candidate, Release, Track
from matcher.providers.bodies import TEXT_MAX, member
from matcher.providers.client import Client, Reply
from matcher.providers.searches import Searches, queries_of

NAME = "youtube"
WATCH = "https://www.youtube.com/watch?v="

SEARCHES_MAX = 3
"""Per release: of 100 a day one box set must not take all from the other releases that shoppers look at, and a record
of which YouTube has not three tracks has it hardly as a whole. The first of the tracklist come first: sides are named
after them. The others wait for the next look at the release."""
RESULTS_PER_SEARCH = 25
RESULTS_MAX = 50
"""Of a page of any of its lists; so many ids are asked for at once."""
PARTS = "snippet,contentDetails,status"
MUSIC = "10"
"""The category of that name."""
OPERATORS = re.compile(r"\||(?<!\S)-+")
"""Or, and not."""

AWAY_AGAIN_S = 60.0
"""When to ask again after an answer that makes no sense, or too fast a pace."""
USED_UP_AGAIN_S = 3600.0
"""It says that the day's quota is used up, when by our count it is not: somebody else uses the key. It ends at midnight
at the latest (Pacific time), may be raised at any time, and a refusal costs nothing."""
KEY_AGAIN_S = 900.0
"""A refused key is not sent again sooner, or it would use up the day; it may be replaced, or its API enabled."""

USED_UP = frozenset({"quotaExceeded", "dailyLimitExceeded"})
TOO_FAST = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
NO_KEY = "YOUTUBE_API_KEY is no valid key (any more)"
NOT_ENABLED = "the YouTube Data API v3 is not enabled in the project of YOUTUBE_API_KEY"
NOT_FOR_US = "YOUTUBE_API_KEY is restricted to other addresses, sites or APIs"
REFUSALS = {
    "keyInvalid": NO_KEY,
    "keyExpired": NO_KEY,
    "API_KEY_INVALID": NO_KEY,
    "API_KEY_EXPIRED": NO_KEY,
    "dailyLimitExceededUnreg": NO_KEY,
    "accessNotConfigured": NOT_ENABLED,
    "SERVICE_DISABLED": NOT_ENABLED,
    "ipRefererBlocked": NOT_FOR_US,
    "API_KEY_SERVICE_BLOCKED": NOT_FOR_US,
    "API_KEY_IP_ADDRESS_BLOCKED": NOT_FOR_US,
    "API_KEY_HTTP_REFERRER_BLOCKED": NOT_FOR_US,
    "CONSUMER_SUSPENDED": "the project of YOUTUBE_API_KEY is suspended",
}
"""What its reasons mean. Its messages are told nobody: some hold the key."""

COUNTRIES_LEAST = 125
"""Half of the world: shoppers may be anywhere, and what most of them cannot hear is no preview."""


@dataclass(slots=True)
class YouTube:
    """Candidates for the first of the wanted tracks, and for those releases only that shoppers look at.

    Each track costs a search; one more call tells how long all that was found lasts and whether it may be embedded.
    """

    client: Client
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    name: str = field(default=NAME, init=False)
    only_in_demand: bool = field(default=True, init=False)
    _searches: Searches[str] = field(init=False)
    _refused: KeyRefused | None = field(default=None, init=False)
    _silent_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._searches = Searches(self._search)

    async def candidates(
        self,
        release: Release,
        body: Mapping[str, object],  # noqa: ARG002 - the protocol's; all is in `release`
        wanted: Sequence[Track],
    ) -> Sequence[Candidate]:
        """Raises Unavailable; what was searched by then is not searched again."""
        queries = queries_of(wanted, release, SEARCHES_MAX)
        ids = await self._searches.all_of(queries)
        told_at = self.now()
        videos = await self.videos([*dict.fromkeys(ids)])
        self._searches.used(queries)
        return tuple(_candidate(video, told_at) for video in videos.values() if is_preview(video))

    async def videos(self, ids: Sequence[str]) -> dict[str, Video]:
        """Those that there are. Raises Unavailable."""
        found: dict[str, Video] = {}
        for batch in _batches(ids):
            found |= parse_videos(await self._ask("/videos", {"part": PARTS, "id": ",".join(batch)}))
        return found

    async def _search(self, query: str) -> tuple[str, ...]:
        asked = {
            "part": "snippet",
            "q": OPERATORS.sub(" ", query).strip(),
            "type": "video",
            "videoEmbeddable": "true",
            "videoSyndicated": "true",
            "videoCategoryId": MUSIC,
            "maxResults": str(RESULTS_PER_SEARCH),
        }
        return parse_search(await self._ask("/search", asked))

    async def _ask(self, path: str, params: Mapping[str, str]) -> object:
        """A refused key would use up the day's searches: it is not sent again for a while."""
        if self._refused and (again_s := self._silent_until - self.clock()) > 0:
            raise KeyRefused(str(self._refused), again_s)
        try:
            return answered(await self.client.get(path, params))
        except KeyRefused as error:
            self._refused, self._silent_until = error, self.clock() + error.retry_after_s
            raise


def make(client: Client, before: Sequence[object] = ()) -> YouTube:  # noqa: ARG001 - as every provider is made
    return YouTube(client)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), RESULTS_MAX):
        yield ids[start : start + RESULTS_MAX]


def answered(reply: Reply) -> object:
    """The body. Raises Unavailable where the quota is used up, KeyRefused, Broken for all else."""
    if reply.status == 200 and isinstance(reply.body, dict) and not reply.body.get("error"):
        return reply.body
    reasons = set(_reasons(reply.body))
    if reasons & USED_UP:
        raise Unavailable("YouTube: the quota of the key is used up", USED_UP_AGAIN_S)
    if reasons & TOO_FAST:
        raise Unavailable("YouTube: too many calls at once", AWAY_AGAIN_S)
    if refused := reasons & REFUSALS.keys():
        raise KeyRefused(f"YouTube: {REFUSALS[min(refused)]}", KEY_AGAIN_S)
    raise Broken(f"YouTube answered {reply.status} without what was asked for", AWAY_AGAIN_S)


def _reasons(body: object) -> Iterator[str]:
    """Of its errors in the older way (`errors`) and the newer (`details`, `status`); both come together."""
    error = member(body, "error")
    yield _word(error, "status")
    for name in ("errors", "details"):
        several = member(error, name)
        for each in several[:RESULTS_MAX] if isinstance(several, list) else []:
            yield _word(each, "reason")


# --- what the bodies say --------------------------------------------------------------------------------------------

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
    if _word(member(item, "snippet"), "liveBroadcastContent") in LIVE:
        return None
    return _id(member(member(item, "id"), "videoId"))


def _video(item: object) -> Video | None:
    video_id, snippet, status = _id(member(item, "id")), member(item, "snippet"), member(item, "status")
    if video_id is None:
        return None
    details = member(item, "contentDetails")
    regions = member(details, "regionRestriction")
    return Video(
        video_id=video_id,
        title=_text(snippet, "title"),
        channel=_text(snippet, "channelTitle") or None,
        duration_s=parse_duration(member(details, "duration")),
        is_embeddable=member(status, "embeddable") is not False,
        is_public=_word(status, "privacyStatus") not in HIDDEN and _word(status, "uploadStatus") not in LOST,
        allowed=_regions(member(regions, "allowed")),
        blocked=_regions(member(regions, "blocked")) or frozenset(),
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


def _word(owner: object, key: str) -> str:
    value = member(owner, key)
    return value if isinstance(value, str) else ""


def _text(owner: object, key: str) -> str:
    """Search results are written in HTML, and so are some of the rest."""
    return unescape(_word(owner, key)[: 2 * TEXT_MAX]).strip()[:TEXT_MAX]


# --- what follows from them -----------------------------------------------------------------------------------------


def is_preview(video: Video) -> bool:
    """It plays in a shop's page, for most of its shoppers, from its beginning to its end.

    Left out is what may not be embedded (a player would show an error), what is private, deleted or rejected, what
    plays in less than half of the world's countries, and broadcasts, which have no length and are of no song.
    """
    return (
        video.is_embeddable
        and video.is_public
        and not video.is_live
        and video.countries >= COUNTRIES_LEAST
        and bool(video.title)
    )


def _candidate(video: Video, told_at: float) -> Candidate:
    return Candidate(
        provider=NAME,
        platform=NAME,
        url=f"{WATCH}{video.video_id}",
        title=video.title,
        duration_s=video.duration_s,
        channel=video.channel,
        told_at=told_at,
    )
