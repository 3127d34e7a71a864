"""A match told to a person: tracks, candidates, confidence and why, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matcher.decision_store import PERSON
from matcher.domain.scoring import score
from matcher.domain.verdict import Thresholds, held_back_by
from matcher.models import Candidate, Match, MatchStatus, Reason, Release, Track
from matcher.review_view import ReviewedMatch

WIDTH = 100


def as_table(
    release: Release,
    matches: Sequence[Match],
    candidates: Sequence[Candidate],
    thresholds: Thresholds,
    decided: Sequence[ReviewedMatch] = (),
) -> str:
    """Per track what people decided, the candidate assigned, its reasons by weight, what keeps it from being approved
    without a person, and the runner-up. Then the candidates left over.
    """
    return "\n".join(_lines(release, {match.track: match for match in matches}, candidates, thresholds, decided))


def _lines(
    release: Release,
    matches: dict[Track, Match],
    candidates: Sequence[Candidate],
    thresholds: Thresholds,
    decided: Sequence[ReviewedMatch],
) -> Iterator[str]:
    yield clipped(f"{release.release_id}  {', '.join(release.artists)} - {release.title}", WIDTH)
    yield f"{len(release.tracks)} tracks, {len(candidates)} candidates"
    for track in release.tracks:
        yield ""
        yield f"{track.position:<6}{clipped(track.title, 80)}  [{clock(track.duration_s)}]"
        said = [each for each in decided if (each.track_index, each.sub_index) == (track.track_index, track.sub_index)]
        yield from (f"  {_decision(each)}" for each in said)
        if track in matches or not any(each.status == MatchStatus.APPROVED for each in said):
            yield from _match_lines(release, track, matches.get(track), candidates, thresholds)
    assigned = {match.candidate for match in matches.values()}
    if left := [candidate for candidate in candidates if candidate not in assigned]:
        yield ""
        yield "assigned to no track:"
        yield from (f"      {_candidate(candidate)}" for candidate in left)


def _match_lines(
    release: Release, track: Track, match: Match | None, candidates: Sequence[Candidate], thresholds: Thresholds
) -> Iterator[str]:
    if match is None:
        yield "      no match"
    else:
        yield f"  {match.score.confidence:5.1f}  {_candidate(match.candidate)}"
        yield from as_lines(match.score.reasons)
        why = "; ".join(held_back_by(match, thresholds))
        yield f"         {f'for a person to approve: {why}' if why else 'approved without a person'}"
    others = [
        (score(track, each, release).confidence, each) for each in candidates if not match or each != match.candidate
    ]
    if others:
        confidence, runner_up = max(others, key=lambda pair: pair[0])
        yield f"  {confidence:5.1f}  runner-up: {clipped(runner_up.title, 60)}  [{clock(runner_up.duration_s)}]"


def as_lines(reasons: Sequence[Reason]) -> Iterator[str]:
    for reason in reasons:
        detail = f": {clipped(reason.detail, 60)}" if reason.detail else ""
        yield f"           {reason.weight:+5.2f}  {reason.name}{detail}"


def _decision(match: ReviewedMatch) -> str:
    what = "set" if match.provider == PERSON and match.status == MatchStatus.APPROVED else match.status
    at = f" on {match.verified_at:%Y-%m-%d}" if match.verified_at else ""
    dead = ", does not play" if match.dead_since else ""
    by = clipped(match.verified_by or "nobody known", WIDTH)
    return f"{what} by {by}{at}{dead}: {clipped(match.match_url or '', 500)}"


def _candidate(candidate: Candidate) -> str:
    return f"{clipped(candidate.title, 60)}  [{clock(candidate.duration_s)}]  {candidate.url}"


def clock(seconds: float | None) -> str:
    return "-:--" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def clipped(text: str, width: int) -> str:
    """One line without control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= width else plain[: width - 1] + "…"
