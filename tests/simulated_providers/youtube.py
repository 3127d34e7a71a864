"""A YouTube Data API over the catalogue: search, videos, its quotas and refusals, and oEmbed beside it."""

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulated_discogs.faults import Reply

from .deezer import others, words
from .oembed import oembed, plain
from .server import Asked, SimulatedProvider, json_reply
from .songs import Json, Song, song_of_id, songs_of

API = "/youtube/v3"
CHANCE_OF_SONG = 0.85
CHANCE_OF_OTHERS = 0.5
MOST_RESULTS = 50
MOST_IDS = 50
TOPIC, UPLOAD, LIVE, COVER, RADIO = "tulcr"
"""How an id begins: from the label, from a collector, of a concert, by others, a broadcast."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A video as its page would show it."""

    video_id: str
    title: str
    channel: str
    seconds: int


@dataclass
class SimulatedYouTube(SimulatedProvider):
    """A day's quotas are used up until `new_day`. By their ids: `gone` and `closed` (private) videos are not told of,
    `sealed` ones may not be embedded, `regions` are where others play. Any other id is alive, whoever made it up."""

    key: str | None = None
    """The only one that is valid; None: all are."""
    searches: int = 100
    units: int = 10_000
    at_least: int = 0
    """So many results come to every search, asked for or not."""
    chance_of_song: float = CHANCE_OF_SONG
    chance_of_others: float = CHANCE_OF_OTHERS
    gone: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    sealed: set[str] = field(default_factory=set)
    regions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    searched: int = field(default=0, init=False)
    used: int = field(default=0, init=False)

    def new_day(self) -> None:
        self.searched = self.used = 0

    def refusal(self) -> Reply:
        return failing(403, "usageLimits", "rateLimitExceeded", "Rate Limit Exceeded")

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/oembed":
            return oembed(asked, self.gone, self.closed | self.sealed)
        if not asked.path.startswith(f"{API}/"):
            return plain("Not Found", 404)
        key = asked.value("key")
        if not key or key != (self.key or key):
            return key_invalid()
        match asked.path.removeprefix(API):
            case "/search":
                return self._search(asked)
            case "/videos":
                return self._videos(asked)
        return plain("Not Found", 404)

    # --- search.list ---

    def _search(self, asked: Asked) -> Reply:
        if self.searched >= self.searches:
            return quota_exceeded()
        self.searched += 1
        most = asked.value("maxResults", "5")
        if asked.value("part") != "snippet" or not most.isdecimal() or int(most) > MOST_RESULTS:
            return failing(400, "youtube.parameter", "invalidValue", "Invalid value")
        found = [self._result(each) for each in self._found(words(asked.value("q")))]
        filler = [self._result(_filler(number)) for number in range(self.at_least - len(found))]
        items = found[: int(most)] + filler
        return json_reply(
            {
                "kind": "youtube#searchListResponse",
                "etag": "5eed",
                "regionCode": "US",
                "pageInfo": {"totalResults": len(found), "resultsPerPage": int(most)},
                "items": items,
            }
        )

    def _found(self, sought: set[str]) -> Iterator[Shown]:
        """Each song is followed by what sounds like it, and a radio station is never far."""
        for song in self._songs(sought):
            yield _shown(TOPIC if song.chance(self.seed, "topic") < 0.5 else UPLOAD, song)
            if song.chance(self.seed, "youtube others") < self.chance_of_others:
                yield from (_shown(LIVE, song), _shown(COVER, song), _shown(RADIO, song))

    def _songs(self, sought: set[str]) -> Iterator[Song]:
        """By artist and title, or record and title where a record has several artists."""
        for heading in self.catalogue.headings():
            names = [words(f"{credit.artist.name} {credit.anv}") for credit in heading.artists]
            several = any("various" in name for name in names)
            if not (several or any(name & sought for name in names)):
                continue
            release = self.catalogue.release(heading.id)
            for song in songs_of(release) if release else ():
                if self._is_meant(song, sought):
                    yield song

    def _is_meant(self, song: Song, sought: set[str]) -> bool:
        whose = [words(name) for name in song.names] + [words(song.album)]
        title = words(song.title.partition(" (")[0])
        has = song.seconds > 0 and song.chance(self.seed, "youtube") < self.chance_of_song
        return has and bool(title) and title <= sought and any(name <= sought for name in whose if name)

    def _result(self, shown: Shown) -> Json:
        """Its texts are HTML."""
        return {
            "kind": "youtube#searchResult",
            "etag": "5eed",
            "id": {"kind": "youtube#video", "videoId": shown.video_id},
            "snippet": {
                "publishedAt": "2019-12-05T19:00:10Z",
                "channelId": "UC_5eed_5eed_5eed_5eed_5",
                "title": html.escape(shown.title).replace("&#x27;", "&#39;"),
                "description": "",
                "thumbnails": {},
                "channelTitle": shown.channel,
                "liveBroadcastContent": _live(shown),
                "publishTime": "2019-12-05T19:00:10Z",
            },
        }

    # --- videos.list ---

    def _videos(self, asked: Asked) -> Reply:
        if self.used >= self.units:
            return quota_exceeded()
        self.used += 1
        ids = asked.value("id").split(",")
        if not asked.value("id") or len(ids) > MOST_IDS:
            return failing(400, "youtube.parameter", "invalidFilters", "The request specifies too many ids")
        parts = set(asked.value("part").split(","))
        items = [self._video(each, parts) for each in ids if len(each) == 11 and each not in self.gone | self.closed]
        page = {"totalResults": len(items), "resultsPerPage": len(items)}
        return json_reply({"kind": "youtube#videoListResponse", "etag": "5eed", "items": items, "pageInfo": page})

    def _video(self, video_id: str, parts: set[str]) -> Json:
        """Its texts are plain."""
        shown = self._shown_of(video_id)
        snippet = {"title": shown.title, "channelTitle": shown.channel, "liveBroadcastContent": _live(shown)}
        regions = {"regionRestriction": self.regions[video_id]} if video_id in self.regions else {}
        told: Json = {
            "snippet": snippet | {"description": "", "categoryId": "10", "publishedAt": "2019-12-05T19:00:10Z"},
            "contentDetails": {"duration": iso(shown.seconds), "dimension": "2d", "definition": "hd"} | regions,
            "status": {
                "uploadStatus": "processed",
                "privacyStatus": "public",
                "license": "youtube",
                "embeddable": video_id not in self.sealed,
                "madeForKids": False,
            },
        }
        return {"kind": "youtube#video", "etag": "5eed", "id": video_id} | {
            name: part for name, part in told.items() if name in parts
        }

    def _shown_of(self, video_id: str) -> Shown:
        """The catalogue's own videos, which nobody searches for here, are known by their ids alone."""
        kind, digits = video_id[0], video_id[1:]
        song = song_of_id(self.catalogue, int(digits)) if digits.isdecimal() and kind in "tulcr" else None
        return _shown(kind, song) if song else Shown(video_id, f"Video {video_id}", "Somebody", 200)


def _shown(kind: str, song: Song) -> Shown:
    video_id = f"{kind}{song.id:010}"
    live, cover = others(song)
    match kind:
        case "t":
            return Shown(video_id, song.title, f"{song.artist} - Topic", song.seconds)
        case "u":
            return Shown(video_id, f"{song.artist} - {song.title}", "vinyl & dust", song.seconds + 2)
        case "l":
            return Shown(video_id, f"{song.artist} - {live.title}", "Concerts", live.seconds)
        case "c":
            return Shown(video_id, f"{song.artist} - {cover.title}", cover.artist, cover.seconds)
    return Shown(video_id, f"{song.artist} & more - 24/7 radio", "Radio", 0)


def _filler(number: int) -> Shown:
    return Shown(f"x{number:010}", f"Nothing {number}", "Nobody", 100 + number)


def _live(shown: Shown) -> str:
    return "live" if shown.seconds == 0 else "none"


def iso(seconds: int) -> str:
    """As YouTube writes a duration; broadcasts last `P0D`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if count)
    return f"PT{parts}" if parts else "P0D"


def failing(code: int, domain: str, reason: str, message: str, **more: Any) -> Reply:
    """As Google's APIs say no."""
    errors = [{"message": message, "domain": domain, "reason": reason}]
    return json_reply({"error": {"code": code, "message": message, "errors": errors} | more}, code)


def quota_exceeded() -> Reply:
    link = '<a href="/youtube/v3/getting-started#quota">quota</a>'
    message = f"The request cannot be completed because you have exceeded your {link}."
    return failing(403, "youtube.quota", "quotaExceeded", message)


def key_invalid() -> Reply:
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "youtube.googleapis.com"},
        }
    ]
    message = "API key not valid. Please pass a valid API key."
    return failing(400, "global", "badRequest", message, status="INVALID_ARGUMENT", details=details)


def suspended(key: str) -> Reply:
    """One of the refusals that repeat the key."""
    message = f"Permission denied: Consumer 'api_key:{key}' has been suspended."
    details = [{"reason": "CONSUMER_SUSPENDED", "metadata": {"consumer": f"api_key:{key}"}}]
    return failing(403, "global", "forbidden", message, status="PERMISSION_DENIED", details=details)
