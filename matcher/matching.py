"""Matches a release: every track against every candidate, then the best one-to-one assignment."""

from __future__ import annotations

from collections.abc import Sequence

from matcher.domain.assignment import assign
from matcher.domain.scoring import score
from matcher.models import Candidate, Match, Release

FLOOR = 5.0
"""A confidence below this is no match, not even a weak one for reviewers."""


def match_release(release: Release, candidates: Sequence[Candidate]) -> tuple[Match, ...]:
    """At most one match per track and per candidate, in the order of the tracks."""
    scores = [[score(track, candidate, release) for candidate in candidates] for track in release.tracks]
    pairs = assign([[each.confidence if each.confidence >= FLOOR else 0.0 for each in row] for row in scores])
    return tuple(
        Match(release.tracks[track], candidates[candidate], scores[track][candidate]) for track, candidate in pairs
    )
