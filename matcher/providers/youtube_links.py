"""Whether YouTube's videos still play: by oEmbed (https://oembed.com), which needs no key, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matcher.domain.links import LinkState, Seen
from matcher.domain.quota import Pace
from matcher.domain.urls import canonical_url
from matcher.errors import Broken
from matcher.providers.client import Client, Reply

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
