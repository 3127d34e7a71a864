"""How sure are we that a candidate is the track? Named evidence, weighed in log-odds, added up.

The logistic function turns the sum into a probability. The weights are fitted to labelled pairs (matcher/fitting.py),
but for a few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from matcher.domain.evidence import evidence
from matcher.domain.hand_set import HAND_SET
from matcher.domain.weights import WEIGHTS
from matcher.models import Candidate, Reason, Release, Score, Track


def score(track: Track, candidate: Candidate, release: Release, weights: Mapping[str, float] = WEIGHTS) -> Score:
    """Confidence 0–100 with its reasons, the weightiest first."""
    reasons = [
        Reason(name, weight * strength, detail)
        for name, strength, detail in evidence(track, candidate, release)
        if (weight := weights.get(name) or HAND_SET.get(name))
    ]
    confidence = 100.0 / (1.0 + math.exp(-sum(reason.weight for reason in reasons)))
    return Score(confidence, tuple(sorted(reasons, key=lambda reason: -abs(reason.weight))))
