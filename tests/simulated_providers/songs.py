"""The recordings behind the catalogue's tracklists, and the numbers by which providers know them."""

import random
import string
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulated_discogs import Catalogue, Release, Track
from tests.simulated_discogs.videos import length_of, spoken

Json = dict[str, Any]

MOST_SONGS = 1_000
"""Of one release."""
DIGITS = string.digits + string.ascii_uppercase
CREDITED_TO_NOBODY = "Various"


@dataclass(frozen=True, slots=True)
class Song:
    """A track as it was recorded. `number` counts within the release; `seconds` is how long it truly lasts."""

    release_id: int
    number: int
    position: str
    title: str
    artist: str
    names: tuple[str, ...]
    album: str
    seconds: int

    @property
    def id(self) -> int:
        return self.release_id * MOST_SONGS + self.number

    @property
    def isrc(self) -> str:
        """Reversible: all of `id` is in it."""
        head, tail = divmod(self.id, 10**7)
        letters = "".join(DIGITS[head // 36**place % 36] for place in (2, 1, 0))
        return f"QZ{letters}{tail:07}"

    def chance(self, seed: int, of: str) -> float:
        """The same number 0–1 every time it is asked for."""
        return random.Random(f"{seed}/{of}/{self.id}").random()


def songs_of(release: Release) -> list[Song]:
    """Headings are none; an index track is its parts."""
    leaves = _leaves(release.tracks)[:MOST_SONGS]
    return [_song(release, number, track, whole) for number, (track, whole) in enumerate(leaves)]


def song_of_isrc(catalogue: Catalogue, isrc: str) -> Song | None:
    if len(isrc) != 12 or not isrc[5:].isdecimal() or any(letter not in DIGITS for letter in isrc[2:5]):
        return None
    return song_of_id(catalogue, int(isrc[2:5], 36) * 10**7 + int(isrc[5:]))


def song_of_id(catalogue: Catalogue, song_id: int) -> Song | None:
    release_id, number = divmod(song_id, MOST_SONGS)
    release = catalogue.release(release_id)
    songs = songs_of(release) if release else []
    return songs[number] if number < len(songs) else None


def uuid_of(kind: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{number}"))


def _leaves(tracks: tuple[Track, ...]) -> list[tuple[Track, Track]]:
    """Each with the entry of the tracklist that it belongs to."""
    return [pair for track in tracks for pair in _of_entry(track)]


def _of_entry(track: Track) -> Iterator[tuple[Track, Track]]:
    if track.sub_tracks:
        yield from ((part, track) for part in track.sub_tracks)
    elif track.type != "heading":
        yield track, track


def _song(release: Release, number: int, track: Track, whole: Track) -> Song:
    credits_ = track.artists or whole.artists or release.heading.artists
    names = {name for credit in credits_ for name in (credit.artist.name.split(" (")[0], credit.anv) if name}
    return Song(
        release_id=release.id,
        number=number,
        position=track.position,
        title=track.title,
        artist=spoken(credits_) or CREDITED_TO_NOBODY,
        names=tuple(sorted(names)),
        album=release.heading.title,
        seconds=length_of(track),
    )
