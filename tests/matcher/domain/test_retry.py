from __future__ import annotations

import pytest

from matcher.domain.retry import MAX_ATTEMPTS, Aftermath, Fail, Park, Retry, aftermath
from matcher.errors import MalformedRelease, ReleaseGone, Unavailable


@pytest.mark.parametrize(
    ("error", "attempts", "expected"),
    [
        (Unavailable("429", 60), 1, Park(60)),
        (Unavailable("429", 60), MAX_ATTEMPTS, Park(60)),
        (Unavailable("429", 0), 1, Park(1)),
        (ReleaseGone("gone"), 1, Fail()),
        (MalformedRelease("odd"), 1, Retry(10)),
        (MalformedRelease("odd"), 2, Retry(60)),
        (ZeroDivisionError(), 4, Retry(1800)),
        (ZeroDivisionError(), MAX_ATTEMPTS, Fail()),
    ],
)
def test_what_becomes_of_a_job(error: Exception, attempts: int, expected: Aftermath) -> None:
    assert aftermath(error, attempts) == expected
