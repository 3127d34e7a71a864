"""The videos that the Discogs community attached to the release: no quota, no further call, found in most releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matcher.domain.urls import canonical_url
from matcher.models import Candidate, Release, Track

NAME = "discogs_videos"
TEXT_MAX = 500
CANDIDATES_MAX = 500


class DiscogsVideos:
    """Reads the body that is at hand."""

    name = NAME
    asks_nobody = True

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


def _text(value: object) -> str:
    return value.strip()[:TEXT_MAX] if isinstance(value, str) else ""


def _duration(value: object) -> int | None:
    """Discogs writes 0 where it does not know."""
    return value if type(value) is int and 0 < value < 24 * 3600 else None
