"""Labelled pairs and releases, as JSON lines, parsed into the values that are matched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson

from matcher.domain.words import fold_name
from matcher.errors import MatcherError
from matcher.models import Candidate, Release, Track

Labelled = TypeVar("Labelled")


class MalformedLabels(MatcherError):
    """A line is not what it should be; says which and why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`kind` tells look-alikes apart; `artist` is what pairs are held out by."""

    pair_id: str
    track: Track
    candidate: Candidate
    release: Release
    is_match: bool
    is_labelled: bool
    """Somebody says so; else `is_match` says nothing."""
    source: str
    kind: str
    artist: str


@dataclass(frozen=True, slots=True)
class Gold:
    """What a listener says of one candidate: the tracks that it is, and those that it may be (`unsure` None: any)."""

    tracks: frozenset[int]
    unsure: frozenset[int] | None

    def is_open(self, track_index: int) -> bool:
        """Neither right nor wrong."""
        return track_index not in self.tracks and (self.unsure is None or track_index in self.unsure)


@dataclass(frozen=True, slots=True)
class LabelledRelease:
    """`gold` is in the order of `candidates`."""

    release: Release
    candidates: tuple[Candidate, ...]
    gold: tuple[Gold, ...]
    artist: str


def parse_pair(line: bytes) -> Pair:
    """Raises MalformedLabels."""
    body = _Body(line)
    track, candidate = body.part("track"), body.part("candidate")
    artist, release_artist = track.text("artist"), track.text("release_artist")
    label = body.value("label")
    if label not in (0, 1, None):
        raise MalformedLabels("label is neither 0 nor 1, nor null for a pair of which nobody knows")
    return Pair(
        pair_id=body.text("id"),
        track=Track(0, None, track.text("position"), track.text("title"), _some(artist), track.seconds()),
        candidate=_candidate(candidate, attached=candidate.value("from_release_videos") is True),
        release=Release(
            release_id=track.number("release_id"),
            title=track.text("release_title"),
            artists=_some(release_artist),
            labels=(),
            formats=_some(track.text("format")),
            year=None,
            tracks=(),
        ),
        is_match=label == 1,
        is_labelled=label is not None,
        source=body.text("source"),
        kind=body.text("kind"),
        artist=group_of(artist),
    )


def parse_labelled_release(line: bytes) -> LabelledRelease:
    """Raises MalformedLabels."""
    body = _Body(line)
    if body.value("tracklist") is None:
        raise MalformedLabels("tracklist is missing")
    artist = body.text("artist")
    gold = {each.number("video"): _gold(each) for each in body.parts("gold")}
    videos = body.parts("videos")
    tracks = tuple(
        Track(
            each.number("index"),
            None,
            each.text("position"),
            each.text("title"),
            _some(each.text("artist")),
            each.seconds(),
            each.text("parent"),
        )
        for each in body.parts("tracklist")
        if each.text("type") != "heading"
    )
    return LabelledRelease(
        release=Release(
            release_id=body.number("release_id"),
            title=body.text("title"),
            artists=_some(artist),
            labels=body.texts("labels"),
            formats=body.texts("formats"),
            year=None,
            tracks=tracks,
        ),
        candidates=tuple(_candidate(each, attached=True) for each in videos),
        gold=tuple(gold.get(number, Gold(frozenset(), None)) for number in range(len(videos))),
        artist=group_of(artist),
    )


def group_of(artist: str) -> str:
    """What the pairs of one artist have in common, however he is spelt."""
    return "".join(fold_name(artist))


def parse_lines(lines: Iterable[bytes], parse: Callable[[bytes], Labelled]) -> Iterator[Labelled]:
    """Blank lines are passed over. Raises MalformedLabels, which then names the line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield parse(line)
            except MalformedLabels as error:
                raise MalformedLabels(f"line {number}: {error}") from None


def _candidate(body: _Body, *, attached: bool) -> Candidate:
    return Candidate(
        provider="labelled",
        platform=body.text("platform"),
        url=body.text("url") or body.text("uri"),
        title=body.text("title"),
        duration_s=body.seconds(),
        description=body.text("description"),
        channel=body.text("channel") or None,
        artist=body.text("artist") or None,
        album=body.text("album") or None,
        attached=attached,
    )


def _gold(body: _Body) -> Gold:
    unsure = body.value("unsure")
    is_open = unsure is None or body.text("verdict") == "ambiguous"
    return Gold(frozenset(body.numbers("tracks")), None if is_open else frozenset(body.numbers("unsure")))


def _some(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


class _Body:
    """A JSON object whose fields are looked at one by one."""

    def __init__(self, source: object) -> None:
        try:
            body = orjson.loads(source) if isinstance(source, bytes) else source
        except orjson.JSONDecodeError as error:
            raise MalformedLabels(f"no JSON: {error}") from None
        if not isinstance(body, Mapping):
            raise MalformedLabels("no JSON object")
        self._body = body

    def value(self, name: str) -> object:
        return self._body.get(name)

    def part(self, name: str) -> _Body:
        found = self._body.get(name)
        if not isinstance(found, Mapping):
            raise MalformedLabels(f"{name} is no object")
        return _Body(found)

    def parts(self, name: str) -> list[_Body]:
        return [_Body(each) for each in self._list(name)]

    def text(self, name: str) -> str:
        """Empty where it is missing or null."""
        found = self._body.get(name)
        if found is not None and not isinstance(found, str):
            raise MalformedLabels(f"{name} is no text")
        return found or ""

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(each for each in self._list(name) if isinstance(each, str))

    def number(self, name: str) -> int:
        found = self._body.get(name)
        if found is not None and type(found) is not int:
            raise MalformedLabels(f"{name} is no whole number")
        return found or 0

    def numbers(self, name: str) -> tuple[int, ...]:
        return tuple(each for each in self._list(name) if type(each) is int)

    def seconds(self) -> float | None:
        found = self._body.get("duration_s")
        if found is not None and (isinstance(found, bool) or not isinstance(found, int | float) or found < 0):
            raise MalformedLabels("duration_s is no number of seconds")
        return found or None

    def _list(self, name: str) -> list[object]:
        found = self._body.get(name)
        if found is not None and not isinstance(found, list):
            raise MalformedLabels(f"{name} is no list")
        return found or []
