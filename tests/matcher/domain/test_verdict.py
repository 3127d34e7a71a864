from __future__ import annotations

import pytest

from matcher.domain.verdict import Forget, JudgedMatch, Persist, Thresholds, judge
from matcher.models import Candidate, Match, Reason, Score, Standing, Track

THRESHOLDS = Thresholds(persistence=50, approval=85)


def match(
    confidence: float,
    *,
    track_s: int | None = 300,
    candidate_s: int | None = 302,
    reason: str = "title",
    attached: bool = True,
    other_track: float = 0,
) -> Match:
    track = Track(0, None, "A", "Song", (), track_s)
    candidate = Candidate("discogs_videos", "youtube", "https://x", "Song", candidate_s, attached=attached)
    return Match(track, candidate, Score(confidence, (Reason(reason, -1.0),)), Standing(other_track))


def test_one_confident_track_keeps_the_release_with_all_its_matches() -> None:
    weak, strong = match(12), match(50)
    assert judge((weak, strong), THRESHOLDS) == Persist((JudgedMatch(weak, False), JudgedMatch(strong, False)))


@pytest.mark.parametrize(("matches", "best"), [((), 0), ((match(49.9), match(3)), 49.9)])
def test_without_one_nothing_is_kept(matches: tuple[Match, ...], best: float) -> None:
    assert judge(matches, THRESHOLDS) == Forget(best)


def test_what_the_old_system_matched_is_kept_whatever_its_score() -> None:
    assert judge((), THRESHOLDS, persist_always=True) == Persist(())


@pytest.mark.parametrize(
    ("candidate", "approved"),
    [
        (match(85), True),
        (match(84.9), False),
        (match(99, candidate_s=312), True),
        (match(99, candidate_s=313), False),
        (match(99, track_s=100, candidate_s=110), True),
        (match(99, track_s=100, candidate_s=111), False),
        (match(95, track_s=None), True),
        (match(94.9, track_s=None), False),
        (match(94.9, candidate_s=None), False),
        (match(99, track_s=None, attached=False), False),
        (match(99, reason="another version"), False),
        (match(99, track_s=None, reason="unchecked: words in brackets"), False),
        (match(99, track_s=None, reason="unchecked: words beside the title"), False),
        (match(99, other_track=79), True),
        (match(99, other_track=80), False),
    ],
)
def test_a_match_is_approved_only_when_every_gate_holds(candidate: Match, approved: bool) -> None:
    assert judge((candidate,), THRESHOLDS) == Persist((JudgedMatch(candidate, approved),))
