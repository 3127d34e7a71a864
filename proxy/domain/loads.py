"""How long loads took, counted in few numbers: buckets whose bounds grow by a fourth of an octave.

Prometheus has whole octaves of the same, as each bound is a series there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

LEAST_S = 0.000_25
PER_OCTAVE = 4
LAST = 88
"""Beyond 1000 s nothing is told apart."""

BOUNDS_S = tuple(LEAST_S * 2**octave for octave in range(1, 20))
"""From half a millisecond to two minutes: a whole store, directly, is a call for each hundred of its listings."""


def bucket_of(seconds: float) -> int:
    """From 0 to LAST; what is 19 % longer falls into the next one."""
    if seconds <= LEAST_S:
        return 0
    return min(LAST, math.ceil(PER_OCTAVE * math.log2(seconds / LEAST_S)))


def quantile_ms(counts: Mapping[int, int], quantile: float) -> float | None:
    """By `counts` of each bucket: milliseconds, true to 10 %; None where nothing was counted."""
    wanted = quantile * sum(counts.values())
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= wanted and counts[bucket]:
            return round(1000 * LEAST_S * 2 ** ((bucket - 0.5) / PER_OCTAVE), 2)
    return None
