"""A track beside its candidate: which words differ, how far the durations are apart, and reasons in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matcher.domain.verdict import DOUBTS, DURATION_SLACK_S, DURATION_SLACK_SHARE, SURE_WITHOUT_DURATION
from matcher.domain.words import LONG_ENOUGH, fold, likeness


@dataclass(frozen=True, slots=True)
class Word:
    """As it is written. `differs`: the other side has nothing like it."""

    text: str
    differs: bool


def marked(text: str, others: Iterable[str]) -> tuple[Word, ...]:
    """The words of `text`, those that none of `others` says are marked. A dash is no word."""
    said = {word for other in others for word in fold(other)}
    return tuple(Word(word, not _is_said(word, said)) for word in text.split())


def _is_said(word: str, said: Iterable[str]) -> bool:
    return all(
        folded in said or (len(folded) >= LONG_ENOUGH and any(likeness(folded, other) for other in said))
        for folded in fold(word)
    )


def clock(seconds: float | None) -> str | None:
    """`4:05`, `1:02:03`; None where it is not known."""
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


NEAR_S = 3
"""A difference in seconds that nobody hears."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Each as a clock shows it, and what a reader must know of the two."""

    ours: str | None
    theirs: str | None
    told: str
    is_far: bool


def durations(ours_s: float | None, theirs_s: float | None) -> Durations:
    ours, theirs = clock(ours_s), clock(theirs_s)
    if ours_s is None or theirs_s is None:
        return Durations(ours, theirs, "cannot be compared", False)
    off = round(theirs_s - ours_s)
    if off == 0:
        return Durations(ours, theirs, "equally long", False)
    told = f"{clock(abs(off))} {'longer' if off > 0 else 'shorter'}" if abs(off) >= 60 else f"{off:+d} s"
    return Durations(ours, theirs, told.replace("-", "−"), abs(off) > NEAR_S)


@dataclass(frozen=True, slots=True)
class Why:
    """A reason for a reviewer: what it is, its detail, and how much it weighs."""

    text: str
    detail: str
    strength: str
    speaks_for: bool


STRENGTHS = ((2.0, "strongly"), (0.7, "clearly"), (0.0, "slightly"))
"""From so many log-odds."""

IN_WORDS = {
    "attached to the release": "attached to this release at Discogs or MusicBrainz",
    "search result": "found by a search, not attached by people",
    "title": "the title is there",
    "title words missing": "words of the title are missing",
    "title stands by itself": "the title stands by itself",
    "title is the release's": "the track is called like the release",
    "the release's title and more": "it may be the release's title that is meant",
    "unexplained words": "words that nothing explains",
    "nothing but the title": "nothing but the title is said",
    "title and duration": "title and duration agree",
    "duration unknown": "no duration speaks against it, as one is not known",
    "on stage": "a concert recording",
    "by others": "a cover, or by others",
    "full album": "a whole album in one piece",
    "not the original": "the original is wanted, this is another version",
    "chosen among all of the release": "the best of all candidates of this release",
    "agreement of all evidence": "all evidence points the same way",
}
"""Names of evidence (matcher/domain/evidence.py) that do not explain themselves."""

UNCHECKED = "unchecked: "


def whys(reasons: object, least: float = 0.05) -> list[Why]:
    """From the stored reasons, the weightiest first; what weighs next to nothing is left out."""
    found = [_why(each) for each in reasons if isinstance(each, Mapping)] if isinstance(reasons, Sequence) else []
    return [why for weight, why in sorted(found, key=lambda pair: -abs(pair[0])) if abs(weight) >= least]


def _why(reason: Mapping[str, object]) -> tuple[float, Why]:
    name, given, detail = reason.get("name"), reason.get("weight"), reason.get("detail")
    weight = float(given) if isinstance(given, (int, float)) else 0.0
    strength = next(word for least, word in STRENGTHS if abs(weight) >= least)
    text = _in_words(name if isinstance(name, str) else "")
    return weight, Why(text, detail if isinstance(detail, str) else "", strength, weight > 0)


def _in_words(name: str) -> str:
    bare = name.removesuffix(" (search)")
    if bare.startswith(UNCHECKED):
        return f"without a duration to check it by: {bare.removeprefix(UNCHECKED)}"
    return IN_WORDS.get(bare, bare)


# --- why a person is asked ----------------------------------------------------------------------------------------


def waits_for(
    confidence: float | None, reasons: object, ours_s: float | None, theirs_s: float | None, *, approval: float
) -> str | None:
    """What keeps a match from being approved by itself, as the gates of matcher/domain/verdict.py do.

    How well it fits other tracks is not kept: that is it where nothing else is. None: an old system found it.
    """
    found = [each for each in reasons if isinstance(each, Mapping)] if isinstance(reasons, Sequence) else []
    if confidence is None or not found:
        return None
    if confidence < approval:
        return f"less than {approval:g} % sure"
    if doubt := next((_why(each)[1] for each in found if each.get("name") in DOUBTS), None):
        return f"{doubt.text}: {doubt.detail}" if doubt.detail else doubt.text
    if ours_s is not None and theirs_s is not None:
        is_far = abs(ours_s - theirs_s) > max(DURATION_SLACK_S, DURATION_SLACK_SHARE * ours_s)
        return "the durations are far apart" if is_far else FITS_ANOTHER
    is_attached = any(each.get("name") == ATTACHED for each in found)
    return FITS_ANOTHER if is_attached and confidence >= SURE_WITHOUT_DURATION else "a duration is not known"


ATTACHED = "attached to the release"
FITS_ANOTHER = "it fits another track of the release nearly as well"
