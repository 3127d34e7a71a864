from __future__ import annotations

import pytest

from matcher.domain.retry import (
    MAX_ATTEMPTS,
    PARK_AT_MOST_S,
    WITHOUT_AFTER_S,
    Aftermath,
    Fail,
    Park,
    Retry,
    aftermath,
    pause_for_providers,
)
from matcher.errors import MalformedRelease, ReleaseGone, Unavailable


@pytest.mark.parametrize(
    ("error", "attempts", "expected"),
    [
        (Unavailable("429", 60), 1, Park(60)),
        (Unavailable("429", 60), MAX_ATTEMPTS, Park(60)),
        (Unavailable("429", 0), 1, Park(1)),
        (Unavailable("429", 1e9), 1, Park(PARK_AT_MOST_S)),
        (ReleaseGone("gone"), 1, Fail()),
        (MalformedRelease("odd"), 1, Retry(10)),
        (MalformedRelease("odd"), 2, Retry(60)),
        (ZeroDivisionError(), 4, Retry(1800)),
        (ZeroDivisionError(), MAX_ATTEMPTS, Fail()),
    ],
)
def test_what_becomes_of_a_job(error: Exception, attempts: int, expected: Aftermath) -> None:
    assert aftermath(error, attempts) == expected


@pytest.mark.parametrize(
    ("retry_after_s", "waited_s", "expected"),
    [
        ([], 0, None),
        ([], 100, None),
        ([5], 0, 5),
        ([0], 0, 1),
        ([5, 80_000], 0, 5),
        ([80_000], 0, 80_000),
        ([1e9], 0, PARK_AT_MOST_S),
        ([5], 300, 300),
        ([5], 20_000, 1800),
        ([5], WITHOUT_AFTER_S, None),
        ([80_000], WITHOUT_AFTER_S + 1, None),
    ],
)
def test_how_long_a_job_waits_for_providers(
    retry_after_s: list[float], waited_s: float, expected: float | None
) -> None:
    assert pause_for_providers(retry_after_s, waited_s) == expected
