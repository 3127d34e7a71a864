"""A MusicBrainz that knows most of the catalogue's releases: `/url` and `/release/{mbid}` of its web service 2."""

import random
from dataclasses import dataclass, field

from tests.simulated_discogs.faults import Reply
from tests.simulated_discogs.videos import ALPHABET

from .server import Asked, SimulatedProvider, json_reply
from .songs import Json, Song, songs_of, uuid_of

TOO_FAST = (
    "Your requests are exceeding the allowable rate limit. "
    "Please see http://wiki.musicbrainz.org/XMLWebService for more information."
)
HELP = "For usage, please see: https://musicbrainz.org/development/mmd"
DISCOGS = "https://www.discogs.com/release/"
MOST_URLS = 100
CHANCE_OF_RELEASE = 0.75
CHANCE_OF_TWO = 0.06
CHANCE_OF_ISRC = 0.7
CHANCE_OF_LINK = 0.35
CHANCE_OF_ALBUM_LINK = 0.1


@dataclass
class SimulatedMusicBrainz(SimulatedProvider):
    """One call a second, as the real one. `releases` says how many of its releases are one of Discogs: 0, 1, more."""

    limit: int | None = 1
    releases: dict[int, int] = field(default_factory=dict)
    chance_of_isrc: float = CHANCE_OF_ISRC
    chance_of_link: float = CHANCE_OF_LINK

    def refusal(self) -> Reply:
        return json_reply({"error": TOO_FAST}, 503, **{"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0"})

    def answer(self, asked: Asked) -> Reply:
        if asked.value("fmt") != "json":
            return Reply(200, {"Content-Type": "application/xml"}, b'<?xml version="1.0"?><metadata/>')
        path = asked.path.rsplit("/ws/2")[-1]
        if path == "/url":
            return self._urls(asked.values("resource"))
        return self._release(path.removeprefix("/release/"), set(asked.value("inc").split()))

    def mbids_of(self, release_id: int) -> list[str]:
        count = self.releases.get(release_id, self._drawn_count(release_id))
        known = self.catalogue.release(release_id)
        return [f"{release_id:08x}-5eed-4000-8000-{copy:012x}" for copy in range(count if known else 0)]

    def link_of(self, song: Song) -> str | None:
        """Where the recording plays."""
        if song.chance(self.seed, "link") >= self.chance_of_link:
            return None
        draw = random.Random(f"{self.seed}/where/{song.id}")
        video_id = "".join(draw.choices(ALPHABET, k=11))
        return draw.choice(
            (
                f"https://www.youtube.com/watch?v={video_id}",
                f"https://www.deezer.com/track/{song.id}",
                f"https://artist{song.release_id}.bandcamp.com/track/song-{song.number}",
                f"https://soundcloud.com/artist{song.release_id}/song-{song.number}",
            )
        )

    def has_isrc(self, song: Song) -> bool:
        return song.chance(self.seed, "isrc") < self.chance_of_isrc

    def _drawn_count(self, release_id: int) -> int:
        chance = random.Random(f"{self.seed}/musicbrainz/{release_id}").random()
        return 0 if chance >= CHANCE_OF_RELEASE else 2 if chance < CHANCE_OF_TWO else 1

    def _urls(self, resources: list[str]) -> Reply:
        if not resources or len(resources) > MOST_URLS:
            return json_reply({"error": "Invalid resource parameter", "help": HELP}, 400)
        found = [url for url in map(self._url, resources) if url]
        if not found:
            return json_reply({"error": "Not Found", "help": HELP}, 404)
        if len(resources) == 1:
            return json_reply(found[0])
        return json_reply({"url-count": len(found), "url-offset": 0, "urls": found})

    def _url(self, resource: str) -> Json | None:
        digits = resource.removeprefix(DISCOGS)
        mbids = self.mbids_of(int(digits)) if digits.isdecimal() else []
        if not mbids:
            return None
        relations = [_relation("discogs", "release", {"id": mbid, "title": "A title"}, "backward") for mbid in mbids]
        return {"id": uuid_of("url", int(digits)), "resource": resource, "relations": relations}

    def _release(self, mbid: str, included: set[str]) -> Reply:
        release_id = int(mbid[:8], 16) if len(mbid) == 36 else 0
        release = self.catalogue.release(release_id)
        if release is None or mbid not in self.mbids_of(release_id):
            return json_reply({"error": "Not Found", "help": HELP}, 404)
        songs = songs_of(release)
        medium = {
            "position": 1,
            "format": "Vinyl",
            "title": "",
            "track-count": len(songs),
            "track-offset": 0,
            "tracks": [self._track(song, included) for song in songs] if "recordings" in included else [],
        }
        body = {"id": mbid, "title": release.heading.title, "media": [medium], "status": "Official", "country": None}
        relation = _relation("discogs", "url", {"id": uuid_of("url", release_id), "resource": f"{DISCOGS}{release_id}"})
        return json_reply(body | ({"relations": [relation]} if "url-rels" in included else {}))

    def _track(self, song: Song, included: set[str]) -> Json:
        length = song.seconds * 1000 + song.number % 7 * 90 if song.seconds else None
        recording: Json = {
            "id": uuid_of("recording", song.id),
            "title": song.title,
            "length": length,
            "video": False,
            "disambiguation": "",
        }
        if "isrcs" in included:
            recording["isrcs"] = [song.isrc] if self.has_isrc(song) else []
        if {"recording-level-rels", "url-rels"} <= included:
            recording["relations"] = self._relations(song)
        track: Json = {
            "id": uuid_of("track", song.id),
            "number": song.position,
            "position": song.number + 1,
            "title": song.title,
            "length": length,
            "recording": recording,
        }
        if "artist-credits" in included:
            name = {"name": song.artist, "joinphrase": "", "artist": {"id": uuid_of("artist", 0), "name": song.artist}}
            track["artist-credit"] = recording["artist-credit"] = [name]
        return track

    def _relations(self, song: Song) -> list[Json]:
        """Links to lyrics, and to an album that some tracks share, are no links to the recording."""
        album = random.Random(f"{self.seed}/album/{song.release_id}").random() < CHANCE_OF_ALBUM_LINK
        links = [("lyrics", f"https://genius.com/song-{song.id}"), ("free streaming", self.link_of(song))]
        if album:
            links.append(("free streaming", f"https://www.youtube.com/watch?v={song.release_id:011}"))
        return [_relation(kind, "url", {"id": uuid_of(link, 0), "resource": link}) for kind, link in links if link]


def _relation(kind: str, target: str, to: Json, direction: str = "forward") -> Json:
    return {
        "type": kind,
        "target-type": target,
        "direction": direction,
        "ended": False,
        "begin": None,
        "end": None,
        "attributes": [],
        target: to,
    }
