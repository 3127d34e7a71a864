"""How good are confidences? Precision, recall, average precision and calibration, against labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matcher.domain.verdict import JudgedMatch
from matcher.labelled import LabelledRelease

BINS = 10


@dataclass(frozen=True, slots=True)
class Measures:
    """Of labelled pairs. All but the counts are 0–1; a share of nothing is 0."""

    pairs: int
    matches: int
    precision: float
    recall: float
    average_precision: float
    calibration_error: float
    """Expected: the mean distance of confidence and truth over ten bins of confidence."""

    @property
    def f1(self) -> float:
        return _harmonic(self.precision, self.recall)


@dataclass(slots=True)
class ReleaseMeasures:
    """Counts over releases: of tracks that were given a candidate or have one, of approvals, of releases."""

    assigned: int = 0
    right: int = 0
    to_find: int = 0
    found: int = 0
    approved: int = 0
    approved_right: int = 0
    persisted: int = 0
    persisted_right: int = 0
    to_persist: int = 0
    calibration_error: float = 0.0
    """Over the tracks that were given a candidate, sure or not."""

    @property
    def precision(self) -> float:
        return _share(self.right, self.assigned)

    @property
    def recall(self) -> float:
        return _share(self.found, self.to_find)

    @property
    def approval_precision(self) -> float:
        return _share(self.approved_right, self.approved)

    @property
    def approval_recall(self) -> float:
        return _share(self.approved_right, self.to_find)

    @property
    def persistence_precision(self) -> float:
        return _share(self.persisted_right, self.persisted)


def measure(labels: Sequence[bool], confidences: Sequence[float], threshold: float) -> Measures:
    """`confidences` and `threshold` are 0–100."""
    accepted = [label for label, confidence in zip(labels, confidences, strict=True) if confidence >= threshold]
    return Measures(
        pairs=len(labels),
        matches=sum(labels),
        precision=_share(sum(accepted), len(accepted)),
        recall=_share(sum(accepted), sum(labels)),
        average_precision=average_precision(labels, confidences),
        calibration_error=calibration_error(labels, confidences),
    )


def average_precision(labels: Sequence[bool], confidences: Sequence[float]) -> float:
    """The area under precision over recall, equal confidences taken together."""
    ranked = sorted(zip(confidences, labels, strict=True), key=lambda each: -each[0])
    right, area = 0, 0.0
    start = 0
    while start < len(ranked):
        end = start
        while end < len(ranked) and ranked[end][0] == ranked[start][0]:
            end += 1
        among = sum(label for _, label in ranked[start:end])
        right += among
        area += among * right / end
        start = end
    return _share(area, sum(labels))


def calibration_error(labels: Sequence[bool], confidences: Sequence[float]) -> float:
    bins: list[list[tuple[bool, float]]] = [[] for _ in range(BINS)]
    for label, confidence in zip(labels, confidences, strict=True):
        bins[min(BINS - 1, int(confidence / 100 * BINS))].append((label, confidence / 100))
    apart = (abs(sum(label for label, _ in each) - sum(chance for _, chance in each)) for each in bins)
    return _share(sum(apart), len(labels))


def measure_releases(
    judged: Sequence[tuple[LabelledRelease, Sequence[JudgedMatch]]], threshold: float
) -> ReleaseMeasures:
    """What of the matches of each release is right; where listeners were not sure nothing counts."""
    total = ReleaseMeasures()
    labels: list[bool] = []
    confidences: list[float] = []
    for labelled, matches in judged:
        right_tracks: set[int] = set()
        right_candidates: set[int] = set()
        assigned = 0
        for each, place, is_right in told(labelled, matches):
            labels.append(is_right)
            confidences.append(each.match.score.confidence)
            total.approved += each.approved
            total.approved_right += each.approved and is_right
            if each.match.score.confidence < threshold:
                continue
            assigned += 1
            total.right += is_right
            if is_right:
                right_tracks.add(each.match.track.track_index)
                right_candidates.add(place)
        total.assigned += assigned
        _count_found(total, labelled, right_tracks, right_candidates, assigned)
    total.calibration_error = calibration_error(labels, confidences)
    return total


def told(labelled: LabelledRelease, matches: Sequence[JudgedMatch]) -> Iterator[tuple[JudgedMatch, int, bool]]:
    """Those of which listeners were sure, with the place of the candidate, and whether they are right."""
    places = {candidate: place for place, candidate in enumerate(labelled.candidates)}
    for each in matches:
        place, track_index = places[each.match.candidate], each.match.track.track_index
        gold = labelled.gold[place]
        if not gold.is_open(track_index):
            yield each, place, track_index in gold.tracks


def _count_found(
    total: ReleaseMeasures,
    labelled: LabelledRelease,
    right_tracks: set[int],
    right_candidates: set[int],
    assigned: int,
) -> None:
    """A track is found also where its candidate was given to another track that it is as well."""
    candidates_of: dict[int, list[int]] = {}
    for place, gold in enumerate(labelled.gold):
        for track in gold.tracks:
            candidates_of.setdefault(track, []).append(place)
    total.to_find += len(candidates_of)
    total.found += sum(
        track in right_tracks
        or any(place in right_candidates and len(labelled.gold[place].tracks) > 1 for place in places)
        for track, places in candidates_of.items()
    )
    total.to_persist += bool(candidates_of)
    total.persisted += bool(assigned)
    total.persisted_right += bool(right_tracks)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0
