"""URLs of what can be played: one spelling each, so that the same video is known again however it is written."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from matcher.models import Candidate, Pair, Track

URL_MAX = 500

YOUTUBE_HOSTS = frozenset(
    {
        *("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "youtu.be"),
        *("youtube-nocookie.com", "www.youtube-nocookie.com"),
    }
)
YOUTUBE_PATH = re.compile(r"/(?:(?:embed|shorts|v|live)/)?([^/]*)")
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
DEEZER_HOSTS = frozenset({"deezer.com", "www.deezer.com"})
DEEZER_TRACK = re.compile(r"/(?:[a-z]{2}/)?track/([0-9]{1,12})/?")
BANDCAMP_HOST = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.bandcamp\.com")
BANDCAMP_TRACK = re.compile(r"/track/[A-Za-z0-9_%.~-]+")
SOUNDCLOUD_HOSTS = frozenset({"soundcloud.com", "www.soundcloud.com", "m.soundcloud.com"})
SOUNDCLOUD_TRACK = re.compile(r"/[A-Za-z0-9_-]+/(?!(?:sets|albums|likes|tracks|reposts)/?$)[A-Za-z0-9_-]+")
VIMEO_HOSTS = frozenset({"vimeo.com", "www.vimeo.com", "player.vimeo.com"})
VIMEO_ID = re.compile(r"/(?:video/)?([0-9]{4,12})/?")
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
PLATFORMS = ("soundcloud", "bandcamp", "deezer", "spotify", "mixcloud")
"""Named after the host below `.com`. Any other host is its own platform."""


def canonical_url(uri: object) -> tuple[str, str] | None:
    """Platform and the one form of a video's URL; None for anything else, `javascript:` included."""
    parts = _parts(uri)
    if parts is None:
        return None
    host = (parts.hostname or "").lower()
    if host in YOUTUBE_HOSTS and (video_id := _youtube_id(host, parts.path, parts.query)):
        return "youtube", f"https://www.youtube.com/watch?v={video_id}"
    if host in VIMEO_HOSTS and (found := VIMEO_ID.fullmatch(parts.path)):
        return "vimeo", f"https://vimeo.com/{found[1]}"
    return None


def playable_url(uri: object) -> tuple[str, str] | None:
    """Platform and URL of what a person names: a video in its one form, or any page of another public host.

    None for what cannot be shown to shoppers: another scheme, credentials, a bare address, blanks, a channel.
    """
    if found := canonical_url(uri):
        return found
    parts = _parts(uri)
    if parts is None or not isinstance(uri, str) or parts.username is not None or parts.password is not None:
        return None
    host = (parts.hostname or "").lower()
    if not HOST.fullmatch(host) or host in YOUTUBE_HOSTS | VIMEO_HOSTS or not _is_plain(uri.strip()):
        return None
    return _platform(host), uri.strip()


def track_url(uri: object) -> tuple[str, str] | None:
    """Platform and the one form of a track's URL where music is sold or streamed; None for albums, artists, shops."""
    parts = _parts(uri)
    if parts is None:
        return None
    host, bare = (parts.hostname or "").lower(), parts.path.rstrip("/")
    if host in DEEZER_HOSTS and (found := DEEZER_TRACK.fullmatch(parts.path)):
        return "deezer", deezer_url(found[1])
    if BANDCAMP_HOST.fullmatch(host) and BANDCAMP_TRACK.fullmatch(bare):
        return "bandcamp", f"https://{host}{bare}"
    if host in SOUNDCLOUD_HOSTS and SOUNDCLOUD_TRACK.fullmatch(bare):
        return "soundcloud", f"https://soundcloud.com{bare}"
    return None


def deezer_url(track_id: int | str) -> str:
    """The canonical page of a Deezer track."""
    return f"https://www.deezer.com/track/{track_id}"


def spelling(url: str) -> str:
    """What two URLs of the same thing have in common: a video's one form; of others all but scheme and fragment."""
    if found := canonical_url(url):
        return found[1]
    if found := track_url(url):
        return found[1].removeprefix("https:")
    parts = _parts(url)
    if parts is None:
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"//{parts.netloc.lower()}{parts.path.rstrip('/')}{query}"


def pair_of(track: Track, candidate: Candidate) -> Pair:
    return track.track_index, track.sub_index, spelling(candidate.url)


def _parts(uri: object) -> SplitResult | None:
    if not isinstance(uri, str) or len(uri) > URL_MAX:
        return None
    try:
        parts = urlsplit(uri.strip())
        _ = parts.hostname, parts.port
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") else None


def _youtube_id(host: str, path: str, query: str) -> str | None:
    if host == "youtu.be":
        given = path.strip("/")
    elif path.rstrip("/") == "/watch":
        given = parse_qs(query).get("v", [""])[0]
    else:
        found = YOUTUBE_PATH.fullmatch(path.rstrip("/"))
        given = found[1] if found else ""
    return given if YOUTUBE_ID.fullmatch(given) else None


def _is_plain(uri: str) -> bool:
    return uri.isascii() and uri.isprintable() and not set(uri) & set(" \"'<>\\^`{|}")


def _platform(host: str) -> str:
    named = next((name for name in PLATFORMS if host == f"{name}.com" or host.endswith(f".{name}.com")), None)
    return named or host.removeprefix("www.")
