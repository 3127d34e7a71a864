"""Whether YouTube's videos still play: by its API, 50 with one call, or without a key by oEmbed, one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from matcher.domain.links import LinkState, Seen
from matcher.domain.quota import Pace
from matcher.domain.urls import canonical_url
from matcher.errors import Broken
from matcher.providers.client import Client, Reply
from matcher.providers.youtube import RESULTS_MAX, Video

YOUTUBE = "youtube"
WATCH = "https://www.youtube.com/watch?v="
OEMBED_URL = "https://www.youtube.com"
"""Where oEmbed is asked, below `/oembed`."""

KNOWN_ALIVE = "jNQXAC9IVRw"
"""The first video of all."""
AWAY_AGAIN_S = 60.0


def video_id(url: str) -> str | None:
    found = canonical_url(url)
    return found[1].removeprefix(WATCH) if found and found[0] == YOUTUBE else None


Videos = Callable[[Sequence[str]], Awaitable[Mapping[str, Video]]]
"""Of ids, those that there are. Raises Unavailable."""


class YouTubeVideos:
    """`videos` asks for as many with one call as it may. It tells titles and durations as well, which its terms want to
    be told anew within 30 days.
    """

    name = platform = YOUTUBE
    at_once = RESULTS_MAX
    pace = Pace("looks", 1, period_s=10.0)
    """A unit each of 10,000 a day, of which searches need few: at most 8,640."""
    known_alive = KNOWN_ALIVE

    def __init__(self, videos: Videos) -> None:
        self._videos = videos

    def id_of(self, url: str) -> str | None:
        return video_id(url)

    async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        """Raises Unavailable."""
        told = await self._videos(ids)
        return {each: seen(told.get(each)) for each in ids}


def seen(video: Video | None) -> Seen:
    """None: it is not among those that were asked for."""
    if video is None:
        return Seen(LinkState.DEAD)
    state = state_of(video)
    return Seen(state, state.is_bad, video.title or None, video.duration_s if video.title else None)


def state_of(video: Video) -> LinkState:
    if not video.is_public:
        return LinkState.DEAD
    if not video.is_embeddable:
        return LinkState.NOT_EMBEDDABLE
    if video.countries <= 0:
        return LinkState.BLOCKED_EVERYWHERE
    return LinkState.ALIVE if video.allowed is None and not video.blocked else LinkState.BLOCKED


class YouTubeOembed:
    """YouTube states no limit: it is asked gently, each two seconds. It tells neither durations nor regions."""

    name = "oembed"
    platform = YOUTUBE
    at_once = 1
    pace = Pace("looks", 1, period_s=2.0)
    known_alive = KNOWN_ALIVE

    def __init__(self, client: Client) -> None:
        self._client = client

    def id_of(self, url: str) -> str | None:
        return video_id(url)

    async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        """Raises Unavailable."""
        asked = {each: {"url": f"{WATCH}{each}", "format": "json"} for each in ids}
        return {each: parse_oembed(await self._client.get("/oembed", params)) for each, params in asked.items()}


def parse_oembed(reply: Reply) -> Seen:
    """Raises Broken where it says nothing of the video."""
    match reply.status:
        case 200 if isinstance(reply.body, dict) and isinstance(reply.body.get("title"), str):
            return Seen(LinkState.ALIVE)
        case 400 | 401 | 403:  # 400: no such id can be; the others: private, closed, or not to be embedded
            return Seen(LinkState.REFUSED)
        case 404:
            return Seen(LinkState.DEAD)
    raise Broken(f"YouTube's oEmbed answered {reply.status} with what it never says", AWAY_AGAIN_S)
