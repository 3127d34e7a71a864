"""The videos that the Discogs community attached to the release: no quota, no further call, found in most releases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from matcher.models import Candidate, Release, Track

NAME = "discogs_videos"
TEXT_MAX = 500
URL_MAX = 500
CANDIDATES_MAX = 500

YOUTUBE_HOSTS = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "youtu.be"})
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
VIMEO_HOSTS = frozenset({"vimeo.com", "www.vimeo.com", "player.vimeo.com"})
VIMEO_ID = re.compile(r"/(?:video/)?([0-9]{4,12})/?")


class DiscogsVideos:
    """Reads the body that is at hand."""

    name = NAME

    async def candidates(
        self,
        release: Release,  # noqa: ARG002
        body: Mapping[str, object],
        wanted: Sequence[Track],  # noqa: ARG002
    ) -> Sequence[Candidate]:
        return parse(body)


def parse(body: Mapping[str, object]) -> tuple[Candidate, ...]:
    """The playable videos of a release body, each once; what is no video of a known platform is left out."""
    videos = body.get("videos")
    found = (_candidate(video) for video in (videos if isinstance(videos, list) else [])[:CANDIDATES_MAX])
    by_url: dict[str, Candidate] = {}
    for candidate in found:
        if candidate:
            by_url.setdefault(candidate.url, candidate)
    return tuple(by_url.values())


def _candidate(video: object) -> Candidate | None:
    if not isinstance(video, dict):
        return None
    playable = canonical_url(video.get("uri"))
    if playable is None:
        return None
    platform, url = playable
    return Candidate(
        provider=NAME,
        platform=platform,
        url=url,
        title=_text(video.get("title")),
        duration_s=_duration(video.get("duration")),
        description=_text(video.get("description")),
        attached=True,
    )


def canonical_url(uri: object) -> tuple[str, str] | None:
    """Platform and the one form of a video's URL; None for anything else, `javascript:` included."""
    if not isinstance(uri, str) or len(uri) > URL_MAX:
        return None
    try:
        parts = urlsplit(uri.strip())
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    if host in YOUTUBE_HOSTS and (video_id := _youtube_id(host, parts.path, parts.query)):
        return "youtube", f"https://www.youtube.com/watch?v={video_id}"
    if host in VIMEO_HOSTS and (found := VIMEO_ID.fullmatch(parts.path)):
        return "vimeo", f"https://vimeo.com/{found[1]}"
    return None


def _youtube_id(host: str, path: str, query: str) -> str | None:
    if host == "youtu.be":
        given = path.removeprefix("/")
    elif path.rstrip("/") == "/watch":
        given = parse_qs(query).get("v", [""])[0]
    else:
        given = path.removeprefix("/embed/").removeprefix("/shorts/").removeprefix("/v/")
    return given if YOUTUBE_ID.fullmatch(given) else None


def _text(value: object) -> str:
    return value.strip()[:TEXT_MAX] if isinstance(value, str) else ""


def _duration(value: object) -> int | None:
    """Discogs writes 0 where it does not know."""
    return value if type(value) is int and 0 < value < 24 * 3600 else None
