"""The values that the matcher passes around: a release with its tracks, candidates for them, scores and matches."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import NamedTuple, NotRequired, TypedDict

import orjson

Place = str
"""Where a track stands in its release: track_index, and sub_index after a dot. A text: candidates are kept as JSON."""


@dataclass(frozen=True, slots=True)
class Track:
    """One playable entry of a tracklist: a track, an index track, or one of its sub-tracks. Headings are not."""

    track_index: int
    """Index in the release's `tracklist` array."""
    sub_index: int | None
    """Index in that entry's `sub_tracks` array, None for a track of its own."""
    position: str
    title: str
    artists: tuple[str, ...]
    """The track's own artists, empty where the release's artists apply."""
    duration_s: float | None
    whole: str = ""
    """Title of the index track that a sub-track belongs to, or of the heading above a track."""

    @property
    def place(self) -> Place:
        return f"{self.track_index}" if self.sub_index is None else f"{self.track_index}.{self.sub_index}"


@dataclass(frozen=True, slots=True)
class Release:
    """What the score needs to know of a release (Discogs `GET /releases/{id}`)."""

    release_id: int
    title: str
    artists: tuple[str, ...]
    """Names as printed on the release first (ANV), then canonical ones that differ; raw, with Discogs' `(2)`."""
    labels: tuple[str, ...]
    formats: tuple[str, ...]
    year: int | None
    tracks: tuple[Track, ...]


Pair = tuple[int | None, int | None, str]
"""`track_index` and `sub_index` of a track, and the one spelling of a URL."""


@dataclass(frozen=True, slots=True)
class Said:
    """What people said of a release's tracks; `refused` has dead links as well."""

    approved: frozenset[Pair] = frozenset()
    refused: frozenset[Pair] = frozenset()

    def settles(self, track: Track) -> bool:
        return any(pair[:2] == (track.track_index, track.sub_index) for pair in self.approved)

    def allows(self, pair: Pair) -> bool:
        """Whether it may be a match: a track that a person settled has no other, nor has what settles it another."""
        if pair in self.refused or pair in self.approved:
            return pair in self.approved
        return not any(pair[:2] == settled[:2] or pair[2] == settled[2] for settled in self.approved)


NOTHING_SAID = Said()


class SaidElsewhere(NamedTuple):
    """What a person said of a candidate as a track of another pressing; a sub-track is named with its whole."""

    approved: bool
    title: str
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something playable that may be a track: a video attached to the release, or a search result."""

    provider: str
    """Who gave it, for instance `discogs_videos`."""
    platform: str
    """Where it plays, for instance `youtube`."""
    url: str
    title: str
    duration_s: float | None = None
    description: str = ""
    channel: str | None = None
    artist: str | None = None
    album: str | None = None
    attached: bool = False
    """Attached to this very release, or recording, by people: at Discogs or MusicBrainz. No search result is."""
    isrc_of: Place | None = None
    """The track whose ISRC this has: it was found by it, and says nothing of the other tracks."""
    said: tuple[SaidElsewhere, ...] = ()
    """Of other pressings of the same master."""
    told_at: float | None = None
    """When YouTube's API told title and duration, in Unix time: its terms let them be kept for 30 days."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One named piece of evidence. `weight` is in log-odds: positive speaks for the match, negative against it."""

    name: str
    weight: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """How sure we are that a candidate is the track: `confidence` 0–100 reads as a probability in per cent."""

    confidence: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Confidences 0–100 of the best other pair of the same candidate, and of the same track; 0: there is none."""

    other_track: float = 0.0
    other_candidate: float = 0.0


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The next best candidate of a track; `confidence` is that of the pair by itself."""

    candidate: Candidate
    confidence: float


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate assigned to a track, with its score."""

    track: Track
    candidate: Candidate
    score: Score
    standing: Standing = Standing()
    runner_up: RunnerUp | None = None


class ProcessingStatus(StrEnum):
    """Where a release stands, as shoppers see it in `processing_status`."""

    MATCHED = "matched"
    QUEUED = "queued"
    PROCESSING = "processing"
    UNMATCHED = "unmatched"
    FAILED = "failed"


class MatchStatus(StrEnum):
    """Of a match, as reviewers see it: each is in exactly one."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class Action(StrEnum):
    """What a person did."""

    APPROVE = "approve"
    REJECT = "reject"
    SET = "set"
    UNDO = "undo"
    NO_AUDIO = "no_audio"
    """Of a release as a whole: there is none for it, ever."""


MatchCursor = tuple[float, float, float, int]
"""Where a match stands in the list of those of its status."""


class StoredMatch(TypedDict):
    """A match that is neither rejected nor dead, as answers have it: with the track's name, moments in ISO 8601."""

    track_index: int
    sub_index: NotRequired[int]
    position: str
    title: str
    platform: str | None
    match_url: str
    confidence: float
    """0-100, in tenths."""
    approved: bool
    verified_by: str | None
    verified_at: str | None


class Due(Enum):
    """What the queue owes a release that a shopper looks at."""

    NOTHING = auto()
    SOONER = auto()
    """It waits behind what nobody looks at, or has rested long enough to be looked for again."""
    A_PLACE = auto()
    """It is not in the queue."""


@dataclass(frozen=True, slots=True)
class Audio:
    """What is known of a release's audio."""

    status: ProcessingStatus
    persisted: bool
    matches_json: bytes = b"[]"
    """Those that are live, as answers have them; those of a track are neighbours, best first."""
    all_shown_from: float | None = None
    """Whoever sees matches of this confidence sees all of them; None: each must be looked at."""
    due: Due = field(default=Due.NOTHING, compare=False)

    @property
    def matches(self) -> tuple[StoredMatch, ...]:
        return tuple(orjson.loads(self.matches_json))
