from __future__ import annotations

import pytest

from matcher.domain.verdict import Thresholds, judge
from matcher.models import Candidate, Match, Score, Track
from proxy.commands.match import Known, verdict_line

TRACK = Track(0, None, "A", "Morning Signal", (), 362.0)
VIDEO = Candidate("discogs_videos", "youtube", "https://www.youtube.com/watch?v=aaaaaaaaaaa", "Morning Signal", 362.0)


@pytest.mark.parametrize(
    ("confidence", "known", "line"),
    [
        (49.0, Known(), "API-only: no track reaches 50 (best 49.0)"),
        (50.0, Known(), "persisted: 1 matches, 0 approved without a person"),
        (90.0, Known(is_kept=True), "persisted: 1 matches, 1 approved without a person"),
        (
            49.0,
            Known(is_kept=True),
            "persisted, as it is kept already (no track reaches 50, best 49.0): 1 matches, 0 approved without a person",
        ),
        (90.0, Known(is_kept=True, is_without_audio=True), "not matched: a person said that it has no audio, ever"),
    ],
)
def test_the_last_line_tells_what_a_job_would_do(confidence: float, known: Known, line: str) -> None:
    matches = (Match(TRACK, VIDEO, Score(confidence, ())),)
    thresholds = Thresholds(50, 85)
    verdict = judge(matches, thresholds, persist_always=known.is_kept)
    assert verdict_line(verdict, thresholds, known) == line
