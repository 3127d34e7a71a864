"""From a Discogs release body to the values that are matched. A body is hostile until parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from matcher.errors import MalformedRelease
from matcher.models import Release, Track

TITLE_MAX = 500
"""Characters of a title that are looked at."""

DURATION_MAX_S = 24 * 3600
DURATION = re.compile(r"\s*(?:(\d{1,2})[:.h])?\s*(\d{1,3})[:.'’m]\s*(\d{1,2})\s*(?:\"|''|s)?\s*")


def parse_release(body: Mapping[str, object]) -> Release:
    """Raises MalformedRelease when there is no id or the tracklist is no list."""
    release_id, tracklist = body.get("id"), body.get("tracklist", [])
    if type(release_id) is not int or release_id <= 0:
        raise MalformedRelease(f"the release has no usable id: {release_id!r:.50}")
    if not isinstance(tracklist, list):
        raise MalformedRelease("the release's tracklist is not a list")
    return Release(
        release_id=release_id,
        title=_text(body, "title"),
        artists=artist_names(body.get("artists")),
        labels=tuple(filter(None, (_text(label, "name") for label in _objects(body.get("labels"))))),
        formats=tuple(_formats(body)),
        year=_year(body.get("year")),
        tracks=tuple(_tracks(tracklist)),
    )


def artist_names(artists: object) -> tuple[str, ...]:
    """Names as printed (ANV) and canonical ones, each once, in order."""
    names = [_text(artist, key) for artist in _objects(artists) for key in ("anv", "name")]
    return tuple(dict.fromkeys(filter(None, names)))


def parse_duration(text: object) -> int | None:
    """Seconds of `4:00`, `1:02:03`, `4'30`; None for nothing, nought and nonsense."""
    found = DURATION.fullmatch(text) if isinstance(text, str) and len(text) < 20 else None
    if not found or int(found[3]) > 59:
        return None
    seconds = int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3])
    return seconds if 0 < seconds <= DURATION_MAX_S else None


def _tracks(tracklist: list[object]) -> Iterator[Track]:
    heading = ""
    for track_index, entry in enumerate(tracklist):
        if not isinstance(entry, dict):
            continue
        if sub_tracks := _objects(entry.get("sub_tracks")):
            whole = _track(entry, track_index, None)
            if whole.title:
                yield whole
            yield from (_track(sub, track_index, place, whole) for place, sub in enumerate(sub_tracks))
        elif _is_heading(entry):
            heading = _text(entry, "title")
        else:
            yield replace(_track(entry, track_index, None), whole=heading)


def _is_heading(entry: Mapping[str, object]) -> bool:
    """Old answers have no `type_`: there a heading is what has neither position nor duration."""
    kind = entry.get("type_")
    if isinstance(kind, str) and kind:
        return kind == "heading"
    return not _text(entry, "position") and not _text(entry, "duration")


def _track(entry: Mapping[str, object], track_index: int, sub_index: int | None, whole: Track | None = None) -> Track:
    return Track(
        track_index=track_index,
        sub_index=sub_index,
        position=_text(entry, "position"),
        title=_text(entry, "title"),
        artists=artist_names(entry.get("artists")) or (whole.artists if whole else ()),
        duration_s=parse_duration(entry.get("duration")),
        whole=whole.title if whole else "",
    )


def _formats(body: Mapping[str, object]) -> Iterator[str]:
    for each in _objects(body.get("formats")):
        if name := _text(each, "name"):
            yield name
        descriptions = each.get("descriptions")
        yield from (text for text in descriptions if isinstance(text, str)) if isinstance(descriptions, list) else ()


def _objects(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    return value.strip()[:TITLE_MAX] if isinstance(value, str) else ""


def _year(value: object) -> int | None:
    return value if type(value) is int and 1800 < value < 3000 else None
