"""What the review page shows: releases to be reviewed, and one release with each track beside its candidate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from matcher import review_view, store
from matcher.database import Database
from matcher.domain.metadata import metadata
from matcher.domain.tracklist import parse_duration, parse_release
from matcher.errors import MalformedRelease, ReleaseGone, Unavailable
from matcher.models import MatchStatus, Track
from matcher.pool import FetchedRelease
from matcher.review_view import PastDecision, ReviewedMatch
from proxy.adapters import reviews
from proxy.adapters.reviews import FoundRelease, QueueState, StoredFacts
from proxy.adapters.sellers import is_sold_by, releases_of
from proxy.domain.access import Caller
from proxy.domain.asked import encoded_cursor
from proxy.domain.lifetimes import window
from proxy.domain.players import Player, image_of, link_of, player_of
from proxy.domain.review_pages import PAGE_SIZE, AskedReleases, Did, Place, Tab
from proxy.domain.side_by_side import Durations, Why, Word, durations, marked, waits_for, whys
from proxy.domain.wire import BrokenBody, decode_json
from proxy.errors import NotFound
from proxy.services.needed import needed_connection

TRACKLIST_WAIT_S = 8.0
"""How long a reviewer waits for the tracklist of a release that is not kept."""

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a release, as far as they are known. `cover`: a picture that may still be shown."""

    release_id: int
    artist: str
    title: str
    details: tuple[str, ...]
    """Label, catalogue number and year."""
    cover: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A release in the list."""

    facts: Facts
    found: FoundRelease


@dataclass(frozen=True, slots=True)
class ReviewList:
    """`following`: the cursor of the next page."""

    lines: Sequence[Line]
    counts: Mapping[Tab, int]
    following: str | None


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The next best candidate of a track, where its link may be followed."""

    link: str
    title: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A match as a reviewer sees it. `words` of its title that nothing of the track explains are marked."""

    match: ReviewedMatch
    words: tuple[Word, ...]
    link: str | None
    player: Player | None
    durations: Durations
    whys: Sequence[Why]
    runner_up: RunnerUp | None
    waits_for: str | None
    """Why it is a person's to approve, where it is."""

    @property
    def is_pending(self) -> bool:
        return self.match.status == MatchStatus.PENDING and self.match.dead_since is None

    @property
    def is_decided(self) -> bool:
        return self.match.verified_at is not None


@dataclass(frozen=True, slots=True)
class TrackView:
    """A track with what was found for it: what shoppers may see first, then what was rejected or is dead."""

    track: Track
    words: tuple[Word, ...]
    duration: str | None
    is_listed: bool
    """False: the tracklist has no such track (any more)."""
    live: Sequence[Candidate]
    gone: Sequence[Candidate]

    @property
    def is_pending(self) -> bool:
        return any(each.is_pending for each in self.live)


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """`seen` is the last decision that it shows; `at`: where the reviewer is in the list of what is pending."""

    facts: Facts
    state: QueueState
    tracks: Sequence[TrackView]
    trouble: str | None
    """Why there is no tracklist."""
    history: Sequence[PastDecision]
    is_known: bool
    """False: nobody has asked for it here, and nothing is decided of it."""
    seen: int
    at: str
    pending: int
    undecided: int
    """Matches that no person approved, those pending among them."""
    by_index: Mapping[tuple[int | None, int | None], str] = field(default_factory=dict)
    """What a track is called in the history."""


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody decided, to be told and taken back. No `match_ids`: it was about the release as a whole."""

    release_id: int
    action: str
    decided_by: str
    what: str
    match_ids: Sequence[int]
    seen: int
    """The last one of them."""


FetchRelease = Callable[[int], Awaitable[FetchedRelease]]
"""Raises ReleaseGone, MalformedRelease, Unavailable."""


@dataclass(frozen=True, slots=True)
class ReviewPages:
    """Every method raises Degraded; what a reviewer's stores do not sell is NotFound."""

    database: Database
    fetch_release: FetchRelease
    content_max_age_s: float
    approval: float
    """From this confidence (0–100) a match is approved without a person."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def listed(self, asked: AskedReleases, caller: Caller) -> ReviewList:
        async with needed_connection(self.database) as connection:
            among = None if caller.stores is None else await releases_of(connection, caller.stores)
            found = await reviews.releases(connection, asked.tab, asked.words, among, asked.after, PAGE_SIZE + 1)
            facts = await reviews.facts(connection, [each.release_id for each in found])
            counts = await reviews.counts(connection, among)
        shown = found[:PAGE_SIZE]
        return ReviewList(
            [Line(self._facts(facts[each.release_id]), each) for each in shown],
            counts,
            encoded_cursor(asked.tab, shown[-1].place) if len(found) > PAGE_SIZE else None,
        )

    async def following(self, after: Place | None, caller: Caller, but: int | None = None) -> FoundRelease | None:
        """The next release with anything pending. `but`: not this one."""
        async with needed_connection(self.database) as connection:
            among = None if caller.stores is None else await releases_of(connection, caller.stores)
            found = await reviews.releases(connection, Tab.PENDING, [], among, after, 2)
        return next((each for each in found if each.release_id != but), None)

    async def pending_of(self, release_id: int) -> int:
        """How many matches of it wait for a person."""
        async with needed_connection(self.database) as connection:
            matches = await review_view.matches_of(connection, release_id)
        return sum(each.status == MatchStatus.PENDING and each.dead_since is None for each in matches)

    async def release(self, release_id: int, at: Place | None, caller: Caller) -> ReleasePage:
        async with needed_connection(self.database) as connection:
            if caller.stores is not None and not await is_sold_by(connection, caller.stores, release_id):
                raise NotFound(f"Release {release_id} is none of the stores that you may review.")
            stored = (await reviews.facts(connection, [release_id]))[release_id]
            state = await reviews.queue_state(connection, release_id)
            matches = await review_view.matches_of(connection, release_id)
            history = await review_view.history(connection, release_id)
            is_known = await store.is_known(connection, release_id)
            place = at or await reviews.place_of(connection, release_id)
        facts, tracks, trouble = await self._known(stored)
        views = _track_views(facts, tracks, matches, self.approval)
        return ReleasePage(
            facts,
            state,
            views,
            trouble,
            history,
            is_known,
            seen=history[0].id if history else 0,
            at=encoded_cursor(Tab.PENDING, place),
            pending=sum(each.is_pending for view in views for each in view.live),
            undecided=sum(not each.is_decided for view in views for each in view.live),
            by_index={(view.track.track_index, view.track.sub_index): _name(view) for view in views},
        )

    async def told(self, did: Did, caller: Caller) -> Told | None:
        """What was decided last about what he did."""
        async with needed_connection(self.database) as connection:
            found = await reviews.last_decisions(connection, did.match_ids, did.release_id)
            if not found or len({each.release_id for each in found}) > 1:
                return None
            if caller.stores is not None and not await is_sold_by(connection, caller.stores, found[0].release_id):
                return None
        first, ids = found[0], [each.match_id for each in found if each.match_id is not None]
        named = f"{len(ids)} tracks of {first.release}" if len(ids) > 1 else f"{first.track} of {first.release}"
        what, seen = named if ids else first.release, max(each.id for each in found)
        return Told(first.release_id, first.action, first.decided_by, what, ids, seen)

    async def _known(self, stored: StoredFacts) -> tuple[Facts, Sequence[Track], str | None]:
        """Facts and tracks; of a release that is not kept Discogs is asked, and nothing of it is kept."""
        if stored.tracklist is not None:
            return self._facts(stored), _tracks(stored.release_id, orjson.loads(stored.tracklist)), None
        try:
            async with asyncio.timeout(TRACKLIST_WAIT_S):
                body = decode_json((await self.fetch_release(stored.release_id)).body)
        except ReleaseGone:
            return self._facts(stored), (), "Discogs has no such release."
        except (MalformedRelease, BrokenBody):
            return self._facts(stored), (), "What Discogs says of this release cannot be read."
        except (Unavailable, TimeoutError):
            trouble = "Its tracklist is not known here, and Discogs does not answer just now. Try again in a minute."
            return self._facts(stored), (), trouble
        return (*_from_body(stored.release_id, body), None)

    def _facts(self, stored: StoredFacts) -> Facts:
        sold = _sold(stored.listing)
        return Facts(
            stored.release_id,
            stored.artist or _text(sold.get("artist")),
            stored.title or _text(sold.get("title")) or f"Release {stored.release_id}",
            _details(
                stored.label or _text(sold.get("label")),
                stored.catno or _text(sold.get("catalog_number")),
                stored.year or sold.get("year"),
            ),
            self._cover(stored, sold),
        )

    def _cover(self, stored: StoredFacts, sold: Json) -> str | None:
        """Pictures are restricted content: shown while they are young enough."""
        shown = window(self.now(), self.content_max_age_s)
        if stored.fetched_at and shown.holds(stored.fetched_at):
            images = orjson.loads(stored.images) if stored.images else []
            if found := _picture(images) or image_of(stored.thumb):
                return found
        if stored.listing_at and shown.holds(stored.listing_at):
            return _picture(sold.get("images")) or image_of(sold.get("thumbnail"))
        return None


# --- a release ----------------------------------------------------------------------------------------------------


def _from_body(release_id: int, body: object) -> tuple[Facts, Sequence[Track]]:
    content = body if isinstance(body, dict) else {}
    known = metadata(content)
    cover = _picture(known.images) or image_of(known.thumb)
    facts = Facts(
        release_id,
        known.artist or "",
        known.title or f"Release {release_id}",
        _details(known.label, known.catno, known.year),
        cover,
    )
    return facts, _tracks(release_id, known.tracklist)


def _tracks(release_id: int, tracklist: object) -> Sequence[Track]:
    try:
        return parse_release({"id": release_id, "tracklist": tracklist}).tracks
    except MalformedRelease:
        return ()


def _sold(listing: bytes | None) -> Json:
    """What a listing says of its release."""
    try:
        parsed = decode_json(listing) if listing else None
    except BrokenBody:
        return {}
    release = parsed.get("release") if isinstance(parsed, dict) else None
    return release if isinstance(release, dict) else {}


def _details(label: str | None, catno: str | None, year: object) -> tuple[str, ...]:
    return tuple(str(each) for each in (label, catno, year) if each)


def _text(value: object) -> str:
    return value.strip()[:500] if isinstance(value, str) else ""


def _picture(images: object) -> str | None:
    """The primary one, else the first."""
    found = [each for each in images if isinstance(each, dict)] if isinstance(images, list) else []
    ordered = sorted(found, key=lambda each: each.get("type") != "primary")
    return next((url for each in ordered if (url := image_of(each.get("uri")))), None)


# --- its tracks ---------------------------------------------------------------------------------------------------


def _track_views(
    facts: Facts, tracks: Sequence[Track], matches: Sequence[ReviewedMatch], approval: float
) -> list[TrackView]:
    by_track: dict[tuple[int, int | None], list[ReviewedMatch]] = {}
    for each in matches:
        if each.track_index is not None:
            by_track.setdefault((each.track_index, each.sub_index), []).append(each)
    known = {(track.track_index, track.sub_index): track for track in tracks}
    lost = [
        Track(index, sub_index, found[0].position or "", found[0].title or f"Track {index + 1}", (), None)
        for (index, sub_index), found in by_track.items()
        if (index, sub_index) not in known
    ]
    return [
        _track_view(
            track,
            [
                _candidate(facts, track, each, approval)
                for each in by_track.get((track.track_index, track.sub_index), ())
            ],
            is_listed=track not in lost,
        )
        for track in (*tracks, *lost)
    ]


def _track_view(track: Track, found: Sequence[Candidate], *, is_listed: bool) -> TrackView:
    candidates = sorted(found, key=lambda each: -(each.match.confidence or 0))
    live = [each for each in candidates if each.match.status != MatchStatus.REJECTED and not each.match.dead_since]
    said = [each.match.candidate_title for each in live if each.match.candidate_title]
    return TrackView(
        track,
        marked(track.title, said) if said else tuple(Word(word, False) for word in track.title.split()),
        durations(track.duration_s, None).ours,
        is_listed,
        live,
        [each for each in candidates if each not in live],
    )


def _candidate(facts: Facts, track: Track, match: ReviewedMatch, approval: float) -> Candidate:
    explained = (track.title, track.whole, *track.artists, facts.artist, facts.title)
    duration_s = track.duration_s or parse_duration(match.duration)
    reasons = orjson.loads(match.reasons)
    return Candidate(
        match,
        marked(match.candidate_title, explained) if match.candidate_title else (),
        link_of(match.match_url),
        player_of(match.match_url),
        durations(duration_s, match.candidate_duration_s),
        whys(reasons),
        _runner_up(match.runner_up),
        waits_for(match.confidence, reasons, duration_s, match.candidate_duration_s, approval=approval),
    )


def _runner_up(found: str | None) -> RunnerUp | None:
    if found is None:
        return None
    told = orjson.loads(found)
    link = link_of(told["url"])
    return RunnerUp(link, told["title"] or link, told["confidence"]) if link else None


def _name(view: TrackView) -> str:
    return " ".join(filter(None, (view.track.position, view.track.title)))
