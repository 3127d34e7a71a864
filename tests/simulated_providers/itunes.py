"""An iTunes Search API with most of the catalogue's songs: `/search`, and 403 without a body where it is too much."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from tests.simulated_discogs.faults import Reply

from .deezer import others, words
from .server import Asked, SimulatedProvider, json_reply
from .songs import Json, Song, songs_of, uuid_of

CHANCE_OF_SONG = 0.8
CHANCE_OF_PREVIEW = 0.97
MOST_RESULTS = 200


@dataclass
class SimulatedITunes(SimulatedProvider):
    """Some 20 calls a minute, as the real one. `at_least`: so many results come to every search, asked for or not."""

    limit: int | None = 20
    window_s: float = 60.0
    at_least: int = 0
    chance_of_song: float = CHANCE_OF_SONG
    chance_of_preview: float = CHANCE_OF_PREVIEW

    def refusal(self) -> Reply:
        return Reply(403, {})

    def answer(self, asked: Asked) -> Reply:
        limit = asked.value("limit", "50")
        if asked.path != "/search" or not limit.isdecimal():
            return json_reply({"errorMessage": "Invalid value(s) for key(s): [limit]", "queryParameters": {}}, 400)
        found = [self._body(song) for song in self._sought(words(asked.value("term")))][: min(int(limit), MOST_RESULTS)]
        filler = [self._body(_filler(number)) for number in range(self.at_least - len(found))]
        body = {"resultCount": len(found + filler), "results": found + filler}
        return Reply(200, {"Content-Type": "text/javascript; charset=utf-8"}, orjson.dumps(body))

    def _sought(self, sought: set[str]) -> Iterator[Song]:
        for heading in self.catalogue.headings():
            release = self.catalogue.release(heading.id)
            for song in songs_of(release) if release else ():
                whose = [*map(words, song.names), words(song.album)]
                title = words(song.title.partition(" (")[0])
                has = song.seconds > 0 and song.chance(self.seed, "itunes") < self.chance_of_song
                if has and title and title <= sought and any(name <= sought for name in whose if name):
                    yield from (song, *others(song))

    def _body(self, song: Song) -> Json:
        page = f"https://music.apple.com/us/album/song-{song.number}/{song.release_id}?i={song.id}&uo=4"
        preview = f"https://audio-ssl.itunes.apple.com/itunes-assets/{uuid_of('preview', song.id)}.m4a"
        return {
            "wrapperType": "track",
            "kind": "song",
            "artistId": song.release_id,
            "collectionId": song.release_id,
            "trackId": song.id,
            "artistName": song.artist,
            "collectionName": song.album,
            "trackName": song.title,
            "trackViewUrl": page,
            **({"previewUrl": preview} if song.chance(self.seed, "preview") < self.chance_of_preview else {}),
            "releaseDate": "2018-05-10T12:00:00Z",
            "trackTimeMillis": song.seconds * 1000 + song.number % 7 * 90,
            "country": "USA",
            "isStreamable": True,
        }


def _filler(number: int) -> Song:
    return Song(7, number % 1000, "", f"Nothing {number}", "Nobody", ("Nobody",), "Nowhere", 100 + number)
