"""A pair among all pairs of its release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.domain.standing import CHOSEN, OTHER_TRACK, chosen, standings
from matcher.models import Candidate, Reason, Score, Standing

ATTACHED = Candidate("p", "youtube", "https://x", "Song", attached=True)


def test_the_next_best_of_row_and_column_are_found() -> None:
    found = [[90, 20], [60, 80], [10, 0]]
    assert standings(found, found, [(0, 0), (1, 1)]) == [Standing(60, 20), Standing(20, 60)]


def test_what_rivals_no_candidate_may_still_fit_another_track() -> None:
    assert standings([[90, 20], [60, 80]], [[0, 20], [0, 80]], [(0, 0), (1, 1)]) == [Standing(60, 20), Standing(20, 0)]


def test_the_only_pair_has_none_beside_it() -> None:
    assert standings([[90]], [[90]], [(0, 0)]) == [Standing(0, 0)]


def test_a_chosen_pair_is_surer_the_less_its_candidate_fits_another_track() -> None:
    alone, beside = (chosen(Score(80, ()), ATTACHED, Standing(other, 0)).confidence for other in (0, 95))
    assert alone > 80
    assert beside < alone


def test_a_search_result_is_as_sure_as_it_is_by_itself() -> None:
    score = Score(80, (Reason("title", 1.4),))
    assert chosen(score, Candidate("p", "deezer", "https://x", "Song"), Standing(50, 50)) == score


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_any_confidence_stays_one_and_its_reasons_are_told(confidence: float, track: float, candidate: float) -> None:
    found = chosen(Score(confidence, ()), ATTACHED, Standing(track, candidate))
    assert 0 <= found.confidence <= 100
    assert CHOSEN in {reason.name for reason in found.reasons}
    assert all(reason.weight < 0 for reason in found.reasons if reason.name == OTHER_TRACK)


@pytest.mark.parametrize("confidence", [0.0, 100.0])
def test_certainty_is_survived(confidence: float) -> None:
    assert chosen(Score(confidence, ()), ATTACHED, Standing()).confidence == pytest.approx(confidence, abs=1)
