"""Matches a release: every track against every candidate, then the best one-to-one assignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matcher.domain.assignment import assign
from matcher.domain.scoring import score
from matcher.domain.standing import chosen, standings
from matcher.domain.urls import spelling
from matcher.domain.weights import STANDING, WEIGHTS
from matcher.models import NOTHING_SAID, Candidate, Match, Release, Said

FLOOR = 5.0
"""A confidence below this is no match, not even a weak one for reviewers."""


PAIRS_MAX = 50_000
CANDIDATES_LEAST = 20
"""Pairs of track and candidate that are scored: seconds of work. The largest real box sets stay far below."""


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


def match_release(
    release: Release,
    candidates: Sequence[Candidate],
    weights: Mapping[str, float] = WEIGHTS,
    standing_weights: Mapping[str, float] = STANDING,
    said: Said = NOTHING_SAID,
) -> tuple[Match, ...]:
    """At most one match per track and per candidate, in the order of the tracks, and none against what people said.

    Of a monstrous release only the first candidates are looked at.
    """
    looked_at = one_per_url(candidates)[: max(CANDIDATES_LEAST, PAIRS_MAX // max(1, len(release.tracks)))]
    scores = [[score(track, each, release, weights) for each in looked_at] for track in release.tracks]
    urls = [spelling(each.url) for each in looked_at]
    confidences = [
        [
            each.confidence if said.allows((track.track_index, track.sub_index, url)) else 0.0
            for url, each in zip(urls, row, strict=True)
        ]
        for track, row in zip(release.tracks, scores, strict=True)
    ]
    # A search result that fits as well is no rival of what is attached, but speaks for it.
    rivals = [
        [sure if each.attached else 0.0 for sure, each in zip(row, looked_at, strict=True)] for row in confidences
    ]
    pairs = assign([[each if each >= FLOOR else 0.0 for each in row] for row in confidences])
    return tuple(
        Match(
            release.tracks[track],
            looked_at[candidate],
            chosen(scores[track][candidate], looked_at[candidate], standing, standing_weights),
            standing,
        )
        for (track, candidate), standing in zip(pairs, standings(rivals, pairs), strict=True)
    )
