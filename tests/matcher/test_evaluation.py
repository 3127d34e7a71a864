"""Measures of confidences, against figures worked out by hand."""

from __future__ import annotations

import pytest

from matcher.domain.verdict import JudgedMatch
from matcher.evaluation import average_precision, calibration_error, measure, measure_releases
from matcher.labelled import Gold, LabelledRelease
from matcher.models import Candidate, Match, Release, Score, Track


def test_precision_and_recall_at_a_threshold() -> None:
    found = measure([True, True, False, False], [90, 40, 60, 10], 50)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("labels", "confidences", "area"),
    [
        ([True, False], [90, 10], 1.0),
        ([False, True], [90, 10], 0.5),
        ([True, False, True], [90, 80, 70], (1 + 2 / 3) / 2),
        ([True, False], [50, 50], 0.5),
        ([False], [50], 0.0),
        ([], [], 0.0),
    ],
)
def test_average_precision(labels: list[bool], confidences: list[float], area: float) -> None:
    assert average_precision(labels, confidences) == pytest.approx(area)


@pytest.mark.parametrize(
    ("labels", "confidences", "error"),
    [([True, False], [50, 50], 0.0), ([True, True], [100, 100], 0.0), ([False, False], [80, 90], 0.85), ([], [], 0.0)],
)
def test_calibration(labels: list[bool], confidences: list[float], error: float) -> None:
    assert calibration_error(labels, confidences) == pytest.approx(error)


def test_a_release_is_measured_without_what_nobody_is_sure_of() -> None:
    tracks = tuple(Track(index, None, str(index), f"t{index}", (), None) for index in range(3))
    videos = tuple(Candidate("p", "youtube", f"https://x/{index}", f"v{index}") for index in range(3))
    gold = (Gold(frozenset({0}), frozenset()), Gold(frozenset({2}), frozenset()), Gold(frozenset(), None))
    labelled = LabelledRelease(Release(1, "r", (), (), (), None, tracks), videos, gold, "a")
    matches = [
        JudgedMatch(Match(track, video, Score(confidence, ())), approved)
        for track, video, confidence, approved in zip(tracks, videos, (99, 70, 99), (True, False, True), strict=True)
    ]
    found = measure_releases([(labelled, matches)], 50)
    assert (found.assigned, found.right, found.to_find, found.found) == (2, 1, 2, 1)
    assert (found.approved, found.approved_right) == (1, 1)
    assert (found.persisted, found.persisted_right, found.to_persist) == (1, 1, 1)
    assert found.calibration_error == pytest.approx((0.01 + 0.7) / 2)
