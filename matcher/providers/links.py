"""URLs of tracks that play, on the platforms that can be embedded: one canonical form each."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from matcher.domain.urls import URL_MAX, canonical_url

DEEZER_HOSTS = frozenset({"deezer.com", "www.deezer.com"})
DEEZER_TRACK = re.compile(r"/(?:[a-z]{2}/)?track/([0-9]{1,12})/?")
BANDCAMP_HOST = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.bandcamp\.com")
BANDCAMP_TRACK = re.compile(r"/track/[A-Za-z0-9_%.~-]+")
SOUNDCLOUD_HOSTS = frozenset({"soundcloud.com", "www.soundcloud.com", "m.soundcloud.com"})
SOUNDCLOUD_TRACK = re.compile(r"/[A-Za-z0-9_-]+/(?!(?:sets|albums|likes|tracks|reposts)/?$)[A-Za-z0-9_-]+")


def playable(uri: object) -> tuple[str, str] | None:
    """Platform and canonical URL of one track; None for albums, artists, shops and anything else."""
    if video := canonical_url(uri):
        return video
    if not isinstance(uri, str) or len(uri) > URL_MAX:
        return None
    try:
        parts = urlsplit(uri.strip())
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    return _track(host, parts.path) if parts.scheme in ("http", "https") else None


def deezer_url(track_id: int | str) -> str:
    """The canonical page of a Deezer track."""
    return f"https://www.deezer.com/track/{track_id}"


def _track(host: str, path: str) -> tuple[str, str] | None:
    if host in DEEZER_HOSTS and (found := DEEZER_TRACK.fullmatch(path)):
        return "deezer", deezer_url(found[1])
    bare = path.rstrip("/")
    if BANDCAMP_HOST.fullmatch(host) and BANDCAMP_TRACK.fullmatch(bare):
        return "bandcamp", f"https://{host}{bare}"
    if host in SOUNDCLOUD_HOSTS and SOUNDCLOUD_TRACK.fullmatch(bare):
        return "soundcloud", f"https://soundcloud.com{bare}"
    return None
