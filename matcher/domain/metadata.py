"""What the releases table keeps of a Discogs release body, in a form that Postgres can hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

INT4_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Metadata:
    """The CC0 facts and image list of a release; the last four are JSON arrays, as Discogs gave them."""

    title: str | None
    artist: str | None
    year: int | None
    label: str | None
    catno: str | None
    thumb: str | None
    discogs_uri: str | None
    master_id: int | None
    genres: list[object]
    styles: list[object]
    tracklist: list[object]
    images: list[object]


def metadata(body: Mapping[str, object]) -> Metadata:
    """Fields of the wrong type become None or empty: a body is hostile until parsed."""
    label = _first(body, "labels")
    return Metadata(
        title=_text(body.get("title")),
        artist=display_artist(body.get("artists")),
        year=_year(body.get("year")),
        label=_text(label.get("name")),
        catno=_text(label.get("catno")),
        thumb=_text(body.get("thumb")),
        discogs_uri=_text(body.get("uri")),
        master_id=master_of(body),
        genres=_list(body.get("genres")),
        styles=_list(body.get("styles")),
        tracklist=_list(body.get("tracklist")),
        images=_list(body.get("images")),
    )


def display_artist(artists: object) -> str | None:
    """Names as printed on the release (ANV first), joined as Discogs joins them: `A & B, C`."""
    words: list[str] = []
    for artist in _list(artists):
        if not isinstance(artist, dict):
            continue
        name = _text(artist.get("anv")) or _text(artist.get("name")) or ""
        join = (_text(artist.get("join")) or "").strip()
        words.append(name + {"": "", ",": ", "}.get(join, f" {join} "))
    return "".join(words).strip(" ,") or None


def master_of(body: Mapping[str, object]) -> int | None:
    """What all pressings of one work share; Discogs leaves it out, or writes 0, where there is none."""
    master_id = body.get("master_id")
    return master_id if type(master_id) is int and 0 < master_id <= INT4_MAX else None


def fingerprint(body: Mapping[str, object]) -> str:
    """Changes when the tracklist or the videos do: then an old verdict says nothing any more."""
    relevant = [body.get("tracklist") or [], body.get("videos") or []]
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:32]


def storable(value: object) -> object:
    """The same JSON value without what neither jsonb nor UTF-8 can hold: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def _list(value: object) -> list[object]:
    stored = storable(value) if isinstance(value, list) else []
    return stored if isinstance(stored, list) else []


def _first(body: Mapping[str, object], key: str) -> dict[str, object]:
    items = _list(body.get(key))
    return items[0] if items and isinstance(items[0], dict) else {}


def _text(value: object) -> str | None:
    stored = storable(value) if isinstance(value, str) else None
    return stored if isinstance(stored, str) else None


def _year(value: object) -> int | None:
    """Discogs writes 0 for an unknown year."""
    return value if isinstance(value, int) and 0 < value <= INT4_MAX else None
