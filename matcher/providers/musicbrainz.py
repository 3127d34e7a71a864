"""MusicBrainz: which of its releases is this one of Discogs, the ISRCs of its recordings and the links to them.

https://musicbrainz.org/doc/MusicBrainz_API; up to 100 URLs share one call, as a client may send one a second.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matcher.domain.assignment import assign
from matcher.domain.scoring import score
from matcher.errors import Broken
from matcher.models import Candidate, Place, Release, Track
from matcher.providers.batches import Batches
from matcher.providers.bodies import TEXT_MAX, member, objects, seconds_of_ms, text
from matcher.providers.client import Client, Reply
from matcher.providers.links import playable

NAME = "musicbrainz"

URLS_PER_CALL = 100
RELEASES_MAX = 3
"""Releases of MusicBrainz that are looked at where several claim to be the one of Discogs."""
CANDIDATES_MAX = 500
RECORDINGS_MAX = 1_000
ISRCS_MAX = 10
RELEASES_KEPT = 64
"""So many releases' recordings are remembered until Deezer asks for their ISRCs."""

SAME_RECORDING = 50.0
"""Least confidence that a track of MusicBrainz is the one of Discogs."""

AGAIN_S = 60.0
"""When to ask again after an answer that makes no sense."""

INCLUDED = "recordings isrcs artist-credits url-rels recording-level-rels"
TO_HEAR = frozenset({"free streaming", "streaming", "download for free", "purchase for download"})
"""Relations of a recording to where it can be heard."""

MBID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
DISCOGS_RELEASE = re.compile(r"https?://(?:www\.)?discogs\.com/release/([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Recording:
    """A track as MusicBrainz has it. `links`: platform and URL of where this very recording plays."""

    title: str
    artist: str | None
    duration_s: float | None
    isrcs: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


Isrcs = Mapping[Place, tuple[str, ...]]
"""Of each track that has some."""


@dataclass(slots=True)
class MusicBrainz:
    """Links as candidates, and ISRCs for whoever can search by them."""

    client: Client
    name: str = field(default=NAME, init=False)
    _links: Batches[tuple[str, ...]] = field(init=False)
    _kept: OrderedDict[int, tuple[Recording, ...]] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self) -> None:
        self._links = Batches(self._ask_links, URLS_PER_CALL)

    async def candidates(
        self,
        release: Release,
        body: Mapping[str, object],  # noqa: ARG002 - the protocol's; all is in `release`
        wanted: Sequence[Track],  # noqa: ARG002 - one call answers for all tracks
    ) -> Sequence[Candidate]:
        """Raises Unavailable."""
        return linked(await self._look_up(release.release_id))

    async def isrcs_of(self, release: Release) -> Isrcs:
        """Asks again only if `candidates` has not just done so. Raises Unavailable."""
        kept = self._kept.pop(release.release_id, None)
        recordings = await self._look_up(release.release_id) if kept is None else kept
        # Of a box set each track is compared with each recording, which takes seconds: shoppers must not wait for it.
        return await asyncio.to_thread(isrcs_of, release, recordings)

    async def _look_up(self, release_id: int) -> tuple[Recording, ...]:
        mbids = await self._links.ask(release_id) or ()
        found = [each for mbid in mbids[:RELEASES_MAX] for each in await self._recordings(mbid)]
        recordings = tuple(found[:RECORDINGS_MAX])
        self._kept[release_id] = recordings
        while len(self._kept) > RELEASES_KEPT:
            self._kept.popitem(last=False)
        return recordings

    async def _ask_links(self, release_ids: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
        resources = [f"https://www.discogs.com/release/{release_id}" for release_id in release_ids]
        reply = await self.client.get("/url", {"resource": resources, "inc": "release-rels", "fmt": "json"})
        return parse_links(answered(reply))

    async def _recordings(self, mbid: str) -> tuple[Recording, ...]:
        return parse_release(answered(await self.client.get(f"/release/{mbid}", {"inc": INCLUDED, "fmt": "json"})))


def make(client: Client, before: Sequence[object] = ()) -> MusicBrainz:  # noqa: ARG001 - as every provider is made
    return MusicBrainz(client)


def answered(reply: Reply) -> object:
    """The body; None for what MusicBrainz does not have. Raises Unavailable for all else."""
    if reply.status == 404:
        return None
    if reply.status != 200 or not isinstance(reply.body, dict) or "error" in reply.body:
        raise Broken(f"MusicBrainz answered {reply.status} without what was asked for", AGAIN_S)
    return reply.body


# --- what the bodies say --------------------------------------------------------------------------------------------


def parse_links(body: object) -> dict[int, tuple[str, ...]]:
    """MusicBrainz releases of each Discogs release, from an answer for one URL (an object) or several (a list)."""
    found: dict[int, tuple[str, ...]] = {}
    several = objects(body, "urls")
    for url in several[:URLS_PER_CALL] if several else (body,):
        release_id = DISCOGS_RELEASE.fullmatch(text(url, "resource"))
        mbids = (text(member(relation, "release"), "id") for relation in objects(url, "relations"))
        if release_id and (known := tuple(dict.fromkeys(mbid for mbid in mbids if MBID.fullmatch(mbid)))):
            found[int(release_id[1])] = known
    return found


def parse_release(body: object) -> tuple[Recording, ...]:
    """The tracks of all its media, in order; those without a title are left out."""
    recordings = (
        _recording(track)
        for medium in objects(body, "media")
        for track in (member(medium, "pregap"), *objects(medium, "tracks"))
    )
    return tuple(each for each in recordings if each.title)[:RECORDINGS_MAX]


def _recording(track: object) -> Recording:
    recording = member(track, "recording")
    urls = (member(each, "url") for each in objects(recording, "relations") if _plays(each))
    links = (playable(member(url, "resource")) for url in urls)
    return Recording(
        title=text(track, "title") or text(recording, "title"),
        artist=_credit(track) or _credit(recording) or None,
        duration_s=seconds_of_ms(member(track, "length") or member(recording, "length")),
        isrcs=_isrcs(member(recording, "isrcs")),
        links=tuple(dict.fromkeys(filter(None, links)))[:ISRCS_MAX],
    )


def _plays(relation: object) -> bool:
    kind = member(relation, "type")
    return isinstance(kind, str) and kind in TO_HEAR and member(relation, "ended") is not True


def _isrcs(value: object) -> tuple[str, ...]:
    given = [each.upper() for each in value if isinstance(each, str)] if isinstance(value, list) else []
    return tuple(dict.fromkeys(isrc for isrc in given if ISRC.fullmatch(isrc)))[:ISRCS_MAX]


def _credit(owner: object) -> str:
    credits_ = objects(owner, "artist-credit")[:50]
    return "".join(_unstripped(each, "name") + _unstripped(each, "joinphrase") for each in credits_).strip()[:TEXT_MAX]


def _unstripped(owner: object, key: str) -> str:
    value = member(owner, key)
    return value[:TEXT_MAX] if isinstance(value, str) else ""


# --- what follows from them -----------------------------------------------------------------------------------------


def linked(recordings: Sequence[Recording]) -> tuple[Candidate, ...]:
    """What the recordings link to. A link that several titles share leads to no one of them, and is left out."""
    titles = Counter(url for _, url in {(each.title, url) for each in recordings for _, url in each.links})
    found: dict[str, Candidate] = {}
    for each in recordings:
        for platform, url in each.links:
            if titles[url] == 1:
                found.setdefault(url, _candidate(each, platform, url))
    return tuple(found.values())[:CANDIDATES_MAX]


def _candidate(recording: Recording, platform: str = "", url: str = "") -> Candidate:
    """Its title and length are the recording's: what the link itself says of them is not known here."""
    return Candidate(
        provider=NAME,
        platform=platform,
        url=url,
        title=recording.title,
        duration_s=recording.duration_s,
        artist=recording.artist,
        attached=True,
    )


def isrcs_of(release: Release, recordings: Sequence[Recording]) -> dict[Place, tuple[str, ...]]:
    """Which recording is which track is decided as for any candidate: by title, version, artist and duration."""
    with_isrcs = [each for each in recordings if each.isrcs]
    found: dict[Place, tuple[str, ...]] = {}
    for place, recording in _paired(release, with_isrcs):
        found[place] = recording.isrcs
    return found


def _paired(release: Release, recordings: Sequence[Recording]) -> Iterator[tuple[Place, Recording]]:
    candidates = [_candidate(each) for each in recordings]
    scores = [[score(track, each, release).confidence for each in candidates] for track in release.tracks]
    sure = [[each if each >= SAME_RECORDING else 0.0 for each in row] for row in scores]
    for track, recording in assign(sure):
        yield release.tracks[track].place, recordings[recording]
