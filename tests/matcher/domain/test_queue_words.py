from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from matcher.domain.queue_words import Place, QueueState, why

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLACE = Place(QueueState.QUEUED, 0, NOW, None, False, None, (), False)
PARKED = replace(PLACE, state=QueueState.PARKED, last_error="deezer: throttled.")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (PLACE, "Its turn comes once"),
        (PARKED, "Waits until 2026-01-02 03:04:05 UTC: deezer: throttled."),
        (replace(PARKED, waits_for_providers=True), "Waits until 2026-01-02 03:04:05 UTC for audio providers: deezer"),
        (replace(PARKED, attempts=2), "Attempt 2 of 5 failed, the next is at 2026-01-02 03:04:05 UTC: deezer"),
        (replace(PARKED, last_error=None), "no reason was kept."),
        (replace(PLACE, state=QueueState.PROCESSING, lease_until=NOW), "A worker is at it."),
        (
            replace(PLACE, state=QueueState.PROCESSING, lease_until=NOW - timedelta(seconds=1)),
            "has not ended it in time",
        ),
        (replace(PLACE, state=QueueState.FAILED, attempts=5, last_error="x"), "Given up at attempt 5 of 5"),
        (replace(PLACE, state=QueueState.UNMATCHED), "Nothing was found"),
        (replace(PLACE, state=QueueState.UNMATCHED, has_no_audio=True), "A person said that there is no audio"),
        (
            replace(PLACE, state=QueueState.MATCHED, decided_without=["deezer", "youtube"]),
            "without the word of deezer, y",
        ),
        (replace(PLACE, state=QueueState.MATCHED), "At least one track has a match."),
    ],
)
def test_an_operator_reads_why_a_release_is_where_it_is(place: Place, words: str) -> None:
    assert words in why(place, NOW)
