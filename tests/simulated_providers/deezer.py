"""A Deezer with most of the catalogue's songs, and others that sound like them: tracks by id and ISRC, and search."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.simulated_discogs.faults import Reply

from .server import Asked, SimulatedProvider, json_reply
from .songs import MOST_SONGS, Json, Song, song_of_id, song_of_isrc, songs_of, uuid_of

FIELDS = re.compile(r'(\w+):"([^"]*)"')
WORDS = re.compile(r"\w+")
CHANCE_OF_SONG = 0.85
CHANCE_OF_OTHERS = 0.5
LIVE, COVER = 500, 700
"""Added to a song's number: no release has so many."""
SILENT_SHARE = 0.03
EXAMPLE = "3135556"
"""A track that there always is: that of the documentation."""
PREVIEW = "https://cdnt-preview.dzcdn.net/api/1/1/{key}.mp3?hdnea=exp=1738408232~acl=/api/1/1/{key}.mp3*~hmac=0"


@dataclass
class SimulatedDeezer(SimulatedProvider):
    """50 calls in 5 seconds, as the real one. `at_least`: so many results come to every search, asked for or not."""

    limit: int | None = 50
    window_s: float = 5.0
    at_least: int = 0
    chance_of_song: float = CHANCE_OF_SONG
    chance_of_others: float = CHANCE_OF_OTHERS
    chance_of_silence: float = SILENT_SHARE

    def refusal(self) -> Reply:
        return failing("Exception", "Quota limit exceeded", 4)

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/search":
            return self._search(asked)
        if asked.path.startswith("/track/isrc:"):
            return self._one(song_of_isrc(self.catalogue, asked.path.removeprefix("/track/isrc:")))
        if asked.path.startswith("/track/"):
            digits = asked.path.removeprefix("/track/")
            if digits == EXAMPLE:
                return json_reply(self._body(_filler(0)) | {"id": int(EXAMPLE), "readable": True})
            return self._one(song_of_id(self.catalogue, int(digits)) if digits.isdecimal() else None)
        return json_reply({"error": "Not Found"}, 404)

    def has(self, song: Song) -> bool:
        return song.seconds > 0 and song.chance(self.seed, "deezer") < self.chance_of_song

    def _one(self, song: Song | None) -> Reply:
        if song is None or not self.has(song):
            return failing("DataException", "no data", 800)
        return json_reply(self._body(song) | {"isrc": song.isrc, "track_position": song.number + 1})

    def _search(self, asked: Asked) -> Reply:
        if not asked.value("q"):
            return failing("MissingParameterException", "Missing parameters: q", 501)
        limit, index = asked.value("limit", "25"), asked.value("index", "0")
        if not limit.isdecimal() or not index.isdecimal():
            return failing("ParameterException", "Wrong parameter", 500)
        found = [self._body(song) for song in self._sought(dict(FIELDS.findall(asked.value("q"))))]
        page = found[int(index) :][: int(limit)]
        filler = [self._body(_filler(number)) for number in range(self.at_least - len(page))]
        return json_reply({"data": page + filler, "total": len(found)})

    def _sought(self, fields: dict[str, str]) -> Iterator[Song]:
        """Each song is followed by what sounds like it."""
        title = words(fields.get("track", ""))
        for song in self._by(fields.get("artist"), fields.get("album")) if title else ():
            if title <= words(song.title) and self.has(song):
                yield song
                if song.chance(self.seed, "others") < self.chance_of_others:
                    yield from others(song)

    def _by(self, artist: str | None, album: str | None) -> Iterator[Song]:
        sought, record = words(artist or ""), words(album or "")
        for heading in self.catalogue.headings():
            several = any(credit.artist.name == "Various" for credit in heading.artists)
            if not (several or any(sought <= words(f"{c.artist.name} {c.anv}") for c in heading.artists)):
                continue
            release = self.catalogue.release(heading.id) if record <= words(heading.title) else None
            for song in songs_of(release) if release else ():
                if sought <= words(" ".join(song.names)):
                    yield song

    def _body(self, song: Song) -> Json:
        silent = song.chance(self.seed, "silent") < self.chance_of_silence
        short, _, version = song.title.partition(" (")
        return {
            "id": song.id,
            "readable": not silent,
            "title": song.title,
            "title_short": short,
            "title_version": f"({version}" if version else "",
            "link": f"https://www.deezer.com/track/{song.id}",
            "duration": song.seconds,
            "rank": 100_000,
            "explicit_lyrics": False,
            "explicit_content_lyrics": 0,
            "explicit_content_cover": 2,
            "preview": "" if silent else PREVIEW.format(key=uuid_of("preview", song.id)),
            "md5_image": uuid_of("image", song.id).replace("-", ""),
            "artist": {"id": song.release_id, "name": song.artist, "type": "artist"},
            "album": {"id": song.release_id, "title": song.album, "type": "album"},
            "type": "track",
        }


def others(song: Song) -> tuple[Song, Song]:
    """A concert and a copy: never what was sought."""
    live = replace(
        song, number=song.number + LIVE, title=f"{song.title} (Live in Berlin)", seconds=int(song.seconds * 1.3)
    )
    cover = replace(
        song,
        number=song.number + COVER,
        title=f"{song.title} (Karaoke Version)",
        artist="Party Singers",
        names=("Party Singers",),
        album="Sing Along",
    )
    return live, cover


def _filler(number: int) -> Song:
    return Song(7, number % MOST_SONGS, "", f"Nothing {number}", "Nobody", ("Nobody",), "Nowhere", 100 + number)


def words(text: str) -> set[str]:
    return set(WORDS.findall(text.casefold()))


def failing(kind: str, message: str, code: int) -> Reply:
    """With status 200, as Deezer answers when it cannot."""
    return json_reply({"error": {"type": kind, "message": message, "code": code}})
