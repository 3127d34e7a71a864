from __future__ import annotations

import pytest

from matcher.domain.failing import FAILING_AFTER_S, FORGOTTEN_AFTER_S, Failing

MINUTE = 60.0


@pytest.mark.parametrize(
    ("failures", "now", "fails"),
    [
        ([], 0, False),
        ([0, 1, 2, 3, 4], 5, False),
        ([0, 1, 2, 3, 4], 20 * MINUTE, False),  # nothing was heard since: it may be well
        ([0, FAILING_AFTER_S], FAILING_AFTER_S, False),
        ([0, 1, FAILING_AFTER_S], FAILING_AFTER_S, True),
        ([0, 30 * MINUTE, 60 * MINUTE], 89 * MINUTE, True),  # as parked releases ask
        ([0, 1, FAILING_AFTER_S], FAILING_AFTER_S + FORGOTTEN_AFTER_S, False),
        ([0, 1, 2 + FORGOTTEN_AFTER_S], 2 + FORGOTTEN_AFTER_S, False),
    ],
)
def test_a_provider_fails_that_long_did_not_answer(failures: list[float], now: float, *, fails: bool) -> None:
    failing = Failing()
    for each in failures:
        failing.failed("deezer", each)
    assert ("deezer" in failing.since_s(now)) == fails


def test_an_answer_ends_it_and_says_nothing_of_others() -> None:
    failing = Failing()
    for at in (0, 1, FAILING_AFTER_S):
        failing.failed("musicbrainz", at)
        failing.failed("deezer", at)
    assert failing.since_s(FAILING_AFTER_S + 5) == {
        "deezer": FAILING_AFTER_S + 5,
        "musicbrainz": FAILING_AFTER_S + 5,
    }
    failing.answered("deezer")
    assert list(failing.since_s(FAILING_AFTER_S)) == ["musicbrainz"]
    failing.failed("deezer", FAILING_AFTER_S + 1)
    assert list(failing.since_s(FAILING_AFTER_S + 1)) == ["musicbrainz"]
