"""URLs of tracks that play, on the platforms that can be embedded: one canonical form each."""

from __future__ import annotations

from matcher.domain.urls import canonical_url, track_url


def playable(uri: object) -> tuple[str, str] | None:
    """Platform and canonical URL of one track; None for albums, artists, shops and anything else."""
    return canonical_url(uri) or track_url(uri)
