"""Deezer: tracks by ISRC where one is known, then by a search in its fields (https://developers.deezer.com/api)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, assert_never, runtime_checkable

from matcher.domain.scoring import score
from matcher.domain.urls import deezer_url
from matcher.errors import Broken, Unavailable
from matcher.models import Candidate, Place, Release, Track
from matcher.providers.bodies import TEXT_MAX, each_once, objects, seconds, text
from matcher.providers.client import Client, Reply
from matcher.providers.searches import artist_of, plain, title_of

NAME = "deezer"

CALLS_MAX = 20
"""Per release: what is wanted most comes first, the rest of a box set waits for the next look at it."""
ISRCS_PER_TRACK = 2
FITS = 50.0
"""Least confidence of what an ISRC found: labels give some to another recording, and then the track is searched."""
RESULTS_PER_SEARCH = 10
CANDIDATES_MAX = 500

THROTTLED = frozenset({4, 700})
"""Quota (50 calls in 5 s), and busy."""
THROTTLED_AGAIN_S = 5.0
AWAY_AGAIN_S = 60.0
NO_DATA = 800
UNDERSTOOD_NOT = frozenset({500, 501, 600})
"""A parameter, or the query: it is our question that is at fault, and the next one may be answered."""

IsrcsOf = Callable[[Release], Awaitable[Mapping[Place, tuple[str, ...]]]]
"""Raises Unavailable."""


@runtime_checkable
class KnowsIsrcs(Protocol):
    """A provider that can also say which ISRCs the tracks of a release have."""

    name: str

    async def isrcs_of(self, release: Release) -> Mapping[Place, tuple[str, ...]]:
        """Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """With what was asked for, or a list of it."""

    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is none, or the question made no sense to Deezer."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Throttled or failing."""

    what: str
    again_s: float
    is_throttled: bool = False


Verdict = Answered | Nothing | NotNow


async def no_isrcs(_: Release) -> Mapping[Place, tuple[str, ...]]:
    return {}


@dataclass(slots=True)
class Deezer:
    """Candidates for the wanted tracks, in the order in which they are wanted."""

    client: Client
    isrcs_of: IsrcsOf = no_isrcs
    uses: str | None = None
    """Who knows the ISRCs."""
    name: str = field(default=NAME, init=False)

    async def candidates(
        self,
        release: Release,
        body: Mapping[str, object],  # noqa: ARG002 - the protocol's; all is in `release`
        wanted: Sequence[Track],
    ) -> Sequence[Candidate]:
        """Raises Unavailable."""
        isrcs = await self._known_isrcs(release)
        found: list[Candidate] = []
        fitted: set[Place] = set()
        calls = 0
        for track, isrc in by_isrc(wanted, isrcs):
            if track.place in fitted or calls == CALLS_MAX:
                continue
            calls += 1
            hits = await self._of_isrc(isrc, track)
            found += hits
            fitted |= {track.place for hit in hits if score(track, hit, release).confidence >= FITS}
        left = [query(track, release) for track in wanted if track.place not in fitted]
        for each in list(dict.fromkeys(filter(None, left)))[: CALLS_MAX - calls]:
            found += await self._search(each)
        return each_once(found, CANDIDATES_MAX)

    async def _known_isrcs(self, release: Release) -> Mapping[Place, tuple[str, ...]]:
        try:
            return await self.isrcs_of(release)
        except Unavailable:  # a search finds most tracks as well; once who knows them can speak, we are asked again
            return {}

    async def _of_isrc(self, isrc: str, track: Track) -> tuple[Candidate, ...]:
        body = told(await self.client.get(f"/track/isrc:{isrc}", {}))
        return parse_track(body, track.place) if body else ()

    async def _search(self, sought: str) -> tuple[Candidate, ...]:
        asked = {"q": sought, "limit": str(RESULTS_PER_SEARCH), "strict": "on"}
        body = told(await self.client.get("/search", asked))
        if body is not None and not isinstance(body.get("data"), list):
            raise Broken("Deezer: a search without a list of results", AWAY_AGAIN_S)
        return parse_search(body) if body else ()


def make(client: Client, before: Sequence[object] = ()) -> Deezer:
    """`before`: the providers that are asked earlier; the first of them that knows ISRCs gives them."""
    knowing = next((each for each in before if isinstance(each, KnowsIsrcs)), None)
    return Deezer(client, knowing.isrcs_of, knowing.name) if knowing else Deezer(client)


def told(reply: Reply) -> Mapping[str, object] | None:
    """None: there is nothing. Raises Unavailable."""
    found = verdict(reply)
    match found:
        case Answered(body):
            return body
        case Nothing():
            return None
        case NotNow(what, again_s, is_throttled):
            raise (Unavailable if is_throttled else Broken)(f"Deezer: {what}", again_s)
        case _:
            assert_never(found)


def verdict(reply: Reply) -> Verdict:
    """Deezer says 200 to most, with an `error` that is an object, a text, or an empty list where there is none."""
    if reply.status == 404:
        return Nothing()
    if reply.status != 200 or not isinstance(reply.body, dict):
        return NotNow(f"answered {reply.status} without an object", AWAY_AGAIN_S)
    error = reply.body.get("error")
    if not error:
        return Answered(reply.body)
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(code, int):
        return NotNow(f"an error without a code: {error!r:.100}", AWAY_AGAIN_S)
    if code == NO_DATA or code in UNDERSTOOD_NOT:
        return Nothing()
    is_throttled = code in THROTTLED
    return NotNow(f"error {code}", THROTTLED_AGAIN_S if is_throttled else AWAY_AGAIN_S, is_throttled)


# --- what is asked --------------------------------------------------------------------------------------------------


def by_isrc(wanted: Sequence[Track], isrcs: Mapping[Place, tuple[str, ...]]) -> list[tuple[Track, str]]:
    """In the order in which they are asked for."""
    return [(track, isrc) for track in wanted for isrc in isrcs.get(track.place, ())[:ISRCS_PER_TRACK]]


def query(track: Track, release: Release) -> str | None:
    """In the fields of artist and title; on a compilation whose tracks name nobody, album and title. None: no words.

    What stands in brackets is left out: versions are told apart by the score, and spelt in too many ways to be found.
    """
    title = title_of(track, with_version=False)
    if not title:
        return None
    artist = artist_of(track, release)
    owner = artist or plain(release.title)
    return f'{"artist" if artist else "album"}:"{owner}" track:"{title}"' if owner else f'track:"{title}"'


# --- what is answered -----------------------------------------------------------------------------------------------


def parse_search(body: Mapping[str, object]) -> tuple[Candidate, ...]:
    """What can be played of a page of results."""
    return each_once(filter(None, map(_candidate, objects(body, "data"))), CANDIDATES_MAX)


def parse_track(body: Mapping[str, object], isrc_of: Place | None = None) -> tuple[Candidate, ...]:
    """The one track, if it can be played."""
    found = _candidate(body, isrc_of)
    return (found,) if found else ()


def _candidate(track: Mapping[str, object], isrc_of: Place | None = None) -> Candidate | None:
    """None without an id or a title, and where nothing plays. A preview's URL lasts minutes: it is not kept."""
    if track.get("readable") is False or not text(track, "preview"):
        return None
    track_id, title = track.get("id"), " ".join(_title(track))[:TEXT_MAX]
    if type(track_id) is not int or not 0 < track_id < 10**12 or not title:
        return None
    return Candidate(
        provider=NAME,
        platform=NAME,
        url=deezer_url(track_id),
        title=title,
        duration_s=seconds(track.get("duration")),
        artist=text(track.get("artist"), "name") or None,
        album=text(track.get("album"), "title") or None,
        isrc_of=isrc_of,
    )


def _title(track: Mapping[str, object]) -> Iterator[str]:
    """`title` mostly holds the version as well."""
    title, version = text(track, "title") or text(track, "title_short"), text(track, "title_version")
    yield title
    if title and version not in title:
        yield version
