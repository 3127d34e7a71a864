"""How a pair stands among all pairs of its release: alone with its track, or beside others that fit as well.

One candidate is one track at most. So a pair that was chosen is likelier than it looks by itself, and less likely where
its candidate fits another track, or another candidate its track. What that is worth is known of candidates attached to
the release only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matcher.domain.weights import STANDING
from matcher.models import Candidate, Reason, Score, Standing

CHOSEN, AGREEMENT = "chosen among all of the release", "agreement of all evidence"
OTHER_TRACK, OTHER_CANDIDATE = "its candidate fits another track", "another candidate fits its track"

CERTAIN = 1e-6
"""Odds are looked at no further than this: nothing is surer."""


def standings(
    confidences: Sequence[Sequence[float]], rivals: Sequence[Sequence[float]], pairs: Sequence[tuple[int, int]]
) -> list[Standing]:
    """Of the chosen `pairs` (row, column). `rivals` are the same confidences, 0 where a candidate rivals no other."""
    rows = [_two_best(row) for row in rivals]
    columns = [_two_best(column) for column in zip(*confidences, strict=True)]
    return [Standing(_other(columns[column], row), _other(rows[row], column)) for row, column in pairs]


def _two_best(line: Sequence[float]) -> list[tuple[float, int]]:
    return sorted(((value, place) for place, value in enumerate(line)), reverse=True)[:2]


def _other(best: list[tuple[float, int]], but: int) -> float:
    return next((value for value, place in best if place != but), 0.0)


def evidence(confidence: float, standing: Standing) -> dict[str, float]:
    """Strength by name, for a pair of this `confidence` by itself."""
    return {
        CHOSEN: 1.0,
        AGREEMENT: log_odds(confidence),
        OTHER_TRACK: standing.other_track / 100,
        OTHER_CANDIDATE: standing.other_candidate / 100,
    }


def log_odds(confidence: float) -> float:
    chance = min(1 - CERTAIN, max(CERTAIN, confidence / 100))
    return math.log(chance / (1 - chance))


def chosen(score: Score, candidate: Candidate, standing: Standing, weights: Mapping[str, float] = STANDING) -> Score:
    """The score as a chosen pair of the release, with the reasons that this adds."""
    if not candidate.attached:
        return score
    strength = evidence(score.confidence, standing)
    total = sum(weights.get(name, 0.0) * value for name, value in strength.items())
    # The weight of the agreement multiplies all other reasons: what it adds to them is told, not what it replaces.
    added = [
        Reason(name, (weights.get(name, 0.0) - (name == AGREEMENT)) * value)
        for name, value in strength.items()
        if value
    ]
    reasons = sorted((*score.reasons, *(each for each in added if each.weight)), key=lambda each: -abs(each.weight))
    return Score(100.0 / (1.0 + math.exp(-total)), tuple(reasons))
