"""Matches a release: every track against every candidate, then the best one-to-one assignment."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace

from matcher.domain.assignment import assign
from matcher.domain.scoring import score
from matcher.domain.standing import chosen, standings
from matcher.domain.urls import spelling
from matcher.domain.weights import STANDING, WEIGHTS
from matcher.models import NOTHING_SAID, Candidate, Match, Release, RunnerUp, Said, Score, Standing, Track

FLOOR = 5.0
"""A confidence below this is no match, not even a weak one for reviewers."""


PAIRS_MAX = 50_000
CANDIDATES_LEAST = 20
"""Pairs of track and candidate that are scored: seconds of work. The largest real box sets stay far below."""
LETTERS_OF_A_PAIR = 8_000
"""Letters of one title times those of the other: what has more takes the time of several pairs."""


def one_per_url(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each once, as the last one that is attached describes it, with all that people said of it."""
    found: dict[str, Candidate] = {}
    for place, each in enumerate(candidates):
        url = spelling(each.url) or str(place)  # a labelled candidate need not have one
        known = found.setdefault(url, each)
        told = each if each.attached else known
        found[url] = replace(
            told,
            said=tuple(dict.fromkeys((*known.said, *each.said))),
            isrc_of=told.isrc_of or known.isrc_of or each.isrc_of,
        )
    return list(found.values())


def affordable(tracks: Sequence[Track], candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The first ones, of a monstrous release or of monstrous titles."""
    work = 0.0
    for number, each in enumerate(candidates):
        work += sum(max(1.0, len(track.title) * len(each.title) / LETTERS_OF_A_PAIR) for track in tracks)
        if work > PAIRS_MAX and number >= CANDIDATES_LEAST:
            return candidates[:number]
    return candidates


class Matching:
    """Of one release. Each pair is scored once, however often it is matched as more candidates become known."""

    def __init__(
        self,
        release: Release,
        weights: Mapping[str, float] = WEIGHTS,
        standing_weights: Mapping[str, float] = STANDING,
        said: Said = NOTHING_SAID,
    ) -> None:
        self._release, self._said = release, said
        self._weights, self._standing_weights = weights, standing_weights
        self._known: dict[Candidate, array[float]] = {}

    def match(self, candidates: Sequence[Candidate]) -> tuple[Match, ...]:
        """At most one per track and per candidate, in the order of the tracks, and none against what people said.

        Of a monstrous release only the first candidates are looked at.
        """
        tracks = self._release.tracks
        looked_at = affordable(tracks, one_per_url(candidates))
        urls = [spelling(each.url) for each in looked_at]
        columns = [self._confidences(each) for each in looked_at]
        confidences = [
            [
                column[row] if self._said.allows((track.track_index, track.sub_index, url)) else 0.0
                for url, column in zip(urls, columns, strict=True)
            ]
            for row, track in enumerate(tracks)
        ]
        # A search result that fits as well is no rival of what is attached, but speaks for it.
        rivals = [
            [sure if each.attached else 0.0 for sure, each in zip(row, looked_at, strict=True)] for row in confidences
        ]
        pairs = assign([[each if each >= FLOOR else 0.0 for each in row] for row in confidences])
        return tuple(
            self._match(
                tracks[track],
                looked_at[candidate],
                standing,
                _runner_up(looked_at, confidences[track], candidate),
            )
            for (track, candidate), standing in zip(pairs, standings(confidences, rivals, pairs), strict=True)
        )

    def _confidences(self, candidate: Candidate) -> array[float]:
        """By track. Reasons are not kept: of all pairs of a box set they would take many megabytes."""
        if candidate not in self._known:
            scores = (self._score(track, candidate) for track in self._release.tracks)
            self._known[candidate] = array("d", (each.confidence for each in scores))
        return self._known[candidate]

    def _score(self, track: Track, candidate: Candidate) -> Score:
        return score(track, candidate, self._release, self._weights)

    def _match(self, track: Track, candidate: Candidate, standing: Standing, runner_up: RunnerUp | None) -> Match:
        found = chosen(self._score(track, candidate), candidate, standing, self._standing_weights)
        return Match(track, candidate, found, standing, runner_up)


def _runner_up(candidates: Sequence[Candidate], confidences: Sequence[float], but: int) -> RunnerUp | None:
    """The best of a track beside the one that it got; it may be another track's."""
    others = [(sure, -place) for place, sure in enumerate(confidences) if place != but]
    sure, place = max(others, default=(0.0, 0))
    return RunnerUp(candidates[-place], sure) if sure >= FLOOR else None


def match_release(
    release: Release,
    candidates: Sequence[Candidate],
    weights: Mapping[str, float] = WEIGHTS,
    standing_weights: Mapping[str, float] = STANDING,
    said: Said = NOTHING_SAID,
) -> tuple[Match, ...]:
    """All its candidates at once: see Matching.match."""
    return Matching(release, weights, standing_weights, said).match(candidates)
