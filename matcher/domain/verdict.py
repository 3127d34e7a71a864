"""From the matches of a release to what is stored: the user's persistence rule and the gates of approval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matcher.models import Match

DURATION_SLACK_S = 10
DURATION_SLACK_SHARE = 0.04
"""A match whose duration is further off than the larger of both waits for a person."""

SURE_WITHOUT_DURATION = 95.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Confidences 0–100 (CACHE_PERSISTENCE_THRESHOLD, APPROVAL_THRESHOLD)."""

    persistence: float
    approval: float


@dataclass(frozen=True, slots=True)
class JudgedMatch:
    """A match and whether it is approved without a person."""

    match: Match
    approved: bool


@dataclass(frozen=True, slots=True)
class Persist:
    """Keep the release with all its matches."""

    matches: tuple[JudgedMatch, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Keep nothing but the fact that nothing was found; `best` is the highest confidence seen."""

    best: float


Verdict = Persist | Forget


def judge(matches: tuple[Match, ...], thresholds: Thresholds, *, persist_always: bool = False) -> Verdict:
    """Persist when one track reaches the threshold (or the old system holds matches of the release)."""
    best = max((match.score.confidence for match in matches), default=0.0)
    if not persist_always and (not matches or best < thresholds.persistence):
        return Forget(best)
    return Persist(tuple(JudgedMatch(match, approved(match, thresholds)) for match in matches))


def approved(match: Match, thresholds: Thresholds) -> bool:
    return not any(held_back_by(match, thresholds))


def held_back_by(match: Match, thresholds: Thresholds) -> Iterator[str]:
    """Why a person is to approve it: the gates that do not hold."""
    if match.score.confidence < thresholds.approval:
        yield f"below {thresholds.approval:g}"
    if not duration_agrees(match):
        yield "its length is too far off, or not known"
    yield from (reason.name for reason in match.score.reasons if reason.name in DOUBTS)
    if not fits_no_other_track(match):
        yield "it fits another track as well"


def duration_agrees(match: Match) -> bool:
    """Where one is not known, everything else must be all the surer."""
    track, candidate = match.track.duration_s, match.candidate.duration_s
    if track is None or candidate is None:
        return match.candidate.attached and match.score.confidence >= SURE_WITHOUT_DURATION
    return abs(track - candidate) <= max(DURATION_SLACK_S, DURATION_SLACK_SHARE * track)


DOUBTS = frozenset(
    {
        *("another version", "on stage", "by others", "version missing", "not the original"),
        *("another mix", "mix missing", "unchecked: another mix", "number missing", "another number"),
        *("most of the title missing", "full album", "another artist", "begins with another name (search)"),
        *("unchecked: words in brackets", "unchecked: words beside the title"),
        "rejected for another pressing",
    }
)
"""Evidence that makes a match a person's to approve, however good the rest."""


RUNNER_UP_GAP = 20.0


def fits_no_other_track(match: Match) -> bool:
    """Unless its ISRC tells which of them it is."""
    if match.candidate.isrc_of == match.track.place:
        return True
    return match.score.confidence - match.standing.other_track >= RUNNER_UP_GAP
