"""The videos that the Discogs community attached to the release: no quota, no further call, found in most releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matcher.domain.urls import canonical_url
from matcher.models import Candidate, Release, Track
from matcher.providers.bodies import each_once, member, seconds, text

NAME = "discogs_videos"
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
    return each_once(filter(None, found), CANDIDATES_MAX)


def _candidate(video: object) -> Candidate | None:
    playable = canonical_url(member(video, "uri"))
    if playable is None:
        return None
    platform, url = playable
    return Candidate(
        provider=NAME,
        platform=platform,
        url=url,
        title=text(video, "title"),
        duration_s=seconds(member(video, "duration")),
        description=text(video, "description"),
        attached=True,
    )
