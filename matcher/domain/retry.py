"""What becomes of a job that did not end well: try again later, park it, or give up."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from matcher.errors import ReleaseGone, Unavailable

MAX_ATTEMPTS = 5
BACKOFF_S = (10.0, 60.0, 300.0, 1800.0)
"""Wait before the second, third, … attempt."""

PARK_AT_LEAST_S = 1.0
"""Nobody's Retry-After makes us ask in a tight loop."""
PARK_AT_MOST_S = 24 * 3600.0
"""Nor for ever in vain."""


WITHOUT_AFTER_S = 6 * 3600.0
"""A release waits so long for providers that cannot answer, whichever; then it is decided without them."""

PARK_FOR_PROVIDERS_MOST_S = 1800.0
"""The longer a release has waited for them, the less often it is looked at, down to this; unless they say later."""


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt is used up; the next one comes after `after_s` seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Park:
    """Nobody's fault: ask again after `after_s` seconds, the attempt is given back."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Fail:
    """Over, until a person requeues the job."""


Aftermath = Retry | Park | Fail


def aftermath(error: Exception, attempts: int) -> Aftermath:
    """What to do after `error` ended attempt number `attempts` (the first is 1)."""
    if isinstance(error, Unavailable):
        return Park(min(max(error.retry_after_s, PARK_AT_LEAST_S), PARK_AT_MOST_S))
    if isinstance(error, ReleaseGone) or attempts >= MAX_ATTEMPTS:
        return Fail()
    return Retry(BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1])


def pause_for_providers(retry_after_s: Collection[float], waited_s: float) -> float | None:
    """Seconds until the first that could not answer is asked again; None: decide now, with what is known.

    `waited_s` is how long the job has been parked for providers already.
    """
    if not retry_after_s or waited_s >= WITHOUT_AFTER_S:
        return None
    pause_s = max(PARK_AT_LEAST_S, min(retry_after_s), min(waited_s, PARK_FOR_PROVIDERS_MOST_S))
    return min(pause_s, PARK_AT_MOST_S)
