"""Matches a release: every track against every candidate, then the best one-to-one assignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matcher.domain.assignment import assign
from matcher.domain.scoring import score
from matcher.domain.standing import chosen, standings
from matcher.domain.weights import STANDING, WEIGHTS
from matcher.models import Candidate, Match, Release

FLOOR = 5.0
"""A confidence below this is no match, not even a weak one for reviewers."""


PAIRS_MAX = 50_000
CANDIDATES_LEAST = 20
"""Pairs of track and candidate that are scored: seconds of work. The largest real box sets stay far below."""


def match_release(
    release: Release,
    candidates: Sequence[Candidate],
    weights: Mapping[str, float] = WEIGHTS,
    standing_weights: Mapping[str, float] = STANDING,
) -> tuple[Match, ...]:
    """At most one match per track and per candidate, in the order of the tracks.

    Of a monstrous release only the first candidates are looked at.
    """
    looked_at = candidates[: max(CANDIDATES_LEAST, PAIRS_MAX // max(1, len(release.tracks)))]
    scores = [[score(track, each, release, weights) for each in looked_at] for track in release.tracks]
    confidences = [[each.confidence for each in row] for row in scores]
    # A search result that fits as well is no rival of what is attached, but speaks for it.
    rivals = [
        [sure if each.attached else 0.0 for sure, each in zip(row, looked_at, strict=True)] for row in confidences
    ]
    pairs = assign([[each if each >= FLOOR else 0.0 for each in row] for row in confidences])
    return tuple(
        Match(
            release.tracks[track],
            looked_at[candidate],
            chosen(scores[track][candidate], looked_at[candidate], standing, standing_weights),
            standing,
        )
        for (track, candidate), standing in zip(pairs, standings(rivals, pairs), strict=True)
    )
