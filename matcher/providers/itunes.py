"""Apple's iTunes Search API (https://performance-partners.apple.com/search-api): songs of its shop, off by default.

Its previews may be played only to promote what the shop sells, beside its badge, and not for entertainment; they are
streamed and never kept. So a match names the song's page in the shop, and whoever runs the proxy decides. Each country
has a shop of its own: the one of the United States is asked, whose songs are mostly sold elsewhere as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from matcher.domain.urls import URL_MAX
from matcher.errors import Broken, Unavailable
from matcher.models import Candidate, Release, Track
from matcher.providers.bodies import each_once, member, seconds_of_ms, text
from matcher.providers.client import Client, Reply
from matcher.providers.searches import Searches, queries_of

NAME = "itunes"

SEARCHES_MAX = 5
"""Per release: what its quota allows at once. The others wait for the next look at the release."""
RESULTS_PER_SEARCH = 25
CANDIDATES_MAX = 200

THROTTLED_AGAIN_S = 60.0
"""Some 20 calls a minute are allowed."""
AWAY_AGAIN_S = 60.0

HOSTS = frozenset({"music.apple.com", "itunes.apple.com"})
SONG_PATH = re.compile(r"/[A-Za-z0-9/%_.~+-]+")
TRACK_ID = re.compile(r"[0-9]{1,15}")


@dataclass(slots=True)
class ITunes:
    """Candidates for the first of the wanted tracks."""

    client: Client
    name: str = field(default=NAME, init=False)
    _searches: Searches[Candidate] = field(init=False)

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
        found = await self._searches.all_of(queries)
        self._searches.used(queries)
        return each_once(found, CANDIDATES_MAX)

    async def _search(self, query: str) -> tuple[Candidate, ...]:
        asked = {"term": query, "media": "music", "entity": "song", "limit": str(RESULTS_PER_SEARCH)}
        return parse(answered(await self.client.get("/search", asked)))


def make(client: Client, before: Sequence[object] = ()) -> ITunes:  # noqa: ARG001 - as every provider is made
    return ITunes(client)


def answered(reply: Reply) -> object:
    """The body. Raises Unavailable where there were too many calls (403, mostly without a body), and Broken."""
    if reply.status == 403:
        raise Unavailable("iTunes: too many calls", THROTTLED_AGAIN_S)
    if reply.status != 200:
        raise Broken(f"iTunes answered {reply.status}", AWAY_AGAIN_S)
    return reply.body


def parse(body: object) -> tuple[Candidate, ...]:
    """The songs of a page of results that have a preview. Raises Broken where there is no list."""
    results = member(body, "results")
    if not isinstance(results, list):
        raise Broken("iTunes: an answer without a list of results", AWAY_AGAIN_S)
    return each_once(filter(None, map(_candidate, results)), CANDIDATES_MAX)


def song_url(uri: object) -> str | None:
    """Of a song's page in the shop, without whom it was found through; None for anything else."""
    if not isinstance(uri, str) or len(uri) > URL_MAX:
        return None
    try:
        parts = urlsplit(uri)
        host, track_id = parts.hostname, parse_qs(parts.query).get("i", [""])[0]
    except ValueError:
        return None
    if parts.scheme != "https" or host not in HOSTS or not SONG_PATH.fullmatch(parts.path):
        return None
    return f"https://{host}{parts.path}?i={track_id}" if TRACK_ID.fullmatch(track_id) else None


def _candidate(song: object) -> Candidate | None:
    if member(song, "kind") != "song" or not text(song, "previewUrl"):
        return None
    url, title = song_url(member(song, "trackViewUrl")), text(song, "trackName")
    if url is None or not title:
        return None
    return Candidate(
        provider=NAME,
        platform=NAME,
        url=url,
        title=title,
        duration_s=seconds_of_ms(member(song, "trackTimeMillis")),
        artist=text(song, "artistName") or None,
        album=text(song, "collectionName") or None,
    )
