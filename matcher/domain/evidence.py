"""The named evidence for and against a candidate being the track. What each piece is worth is in weights.py.

A strength is 0–1 (a logarithm of a ratio up to 1.5); evidence of strength 0 is not named. What is said of search
results alone ends in `(search)`: there a duration is all the more telling, and a name that is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from matcher.domain.hearing import Context, Hearing, context_of, hear
from matcher.domain.versions import BY_OTHERS, EVERY, FULL_ALBUM, ON_STAGE, kinds
from matcher.domain.words import LITTLE_WORDS, Words, fold, is_said, letters, share_of
from matcher.models import Candidate, Release, SaidElsewhere, Track

Evidence = tuple[str, float, str]
"""Name (a key of WEIGHTS), strength and a word of explanation for the reviewer."""

FAVOURABLE = frozenset(
    {
        *("title", "title stands by itself", "nothing but the title", "subtitle", "title and duration", "mix agrees"),
        *("artist named (search)", "duration unknown", "duration unknown (search)", "duration possible"),
        *("duration to the second", "duration within seconds", "duration near"),
        *("duration to the second (search)", "duration within seconds (search)", "duration near (search)"),
        *("approved for another pressing", "same ISRC"),
    }
)
"""Evidence that may only raise a confidence. All other may only lower it, but for what is"""
EITHER = frozenset({"attached to the release", "search result", "short title", "title is the release's"})

SHORT_TITLE = 5
"""Letters: so short a title is found by chance."""
SPEEDS_AND_INCHES = frozenset({"7", "10", "12", "33", "45", "78"})
SLACK_S, SLACK_SHARE = 12.0, 0.1
"""Seconds, and share of the track, by which fades and cuts of one recording differ."""
FAR_SHARE = 0.18
FAR_FROM = 0.1
LONG_S, LONGER_S, LONGEST_S = 420.0, 540.0, 900.0
"""A video that is longer than songs mostly are, where the track's own length is not known."""


def evidence(track: Track, candidate: Candidate, release: Release) -> list[Evidence]:
    """All that speaks for or against it, of any strength but 0."""
    context = context_of(track, release)
    heard = hear(track, candidate, context)
    found = list(_of_words(candidate, context, heard))
    found += _duration(track, candidate)
    found += _other_pressings(track, candidate, release)
    strength = {name: value for name, value, _ in found}
    found += _together(strength, track, candidate, heard, context)
    return [each for each in found if each[1]]


def _of_words(candidate: Candidate, context: Context, heard: Hearing) -> Iterator[Evidence]:
    yield ("attached to the release" if candidate.attached else "search result", 1.0, candidate.provider)
    yield from _title(heard, context)
    yield from _strange(heard)
    yield from _kinds(heard, context)
    yield from _mix(heard, context)
    yield from _numbers(heard)
    yield from _artist(candidate, context, heard)
    yield from _full_album(heard)


# --- title --------------------------------------------------------------------------------------------------------


def _title(heard: Hearing, context: Context) -> Iterator[Evidence]:
    song, subtitle = heard.wanted.song, heard.wanted.subtitle
    share = share_of(song, heard.said)
    yield "title", share, f"{share:.0%} of it"
    yield "title words missing", 1.0 - share, " ".join(word for word in song if word not in heard.said)
    yield "most of the title missing", max(0.0, 0.75 - share), ""
    yield "title stands by itself", float(any(_stands(phrase.words, song) for phrase in heard.phrases)), ""
    yield "short title", float(letters(song) <= SHORT_TITLE), ""
    if song == context.release_title:
        yield "title is the release's", 1.0, ""
        yield "the release's title and more", min(1.0, 3 * heard.share(heard.strange_elsewhere)), ""
    if subtitle:
        share = share_of(subtitle, heard.said)
        yield "subtitle", share, " ".join(subtitle)
        yield "subtitle missing", 1.0 - share, " ".join(subtitle)


def _stands(words: Words, song: Words) -> bool:
    """Alone, first or last in its phrase."""
    return words[: len(song)] == song or words[-len(song) :] == song


def _strange(heard: Hearing) -> Iterator[Evidence]:
    strange = heard.strange
    yield "unexplained words", float(bool(strange)), " ".join(strange)
    yield "many unexplained words", min(1.0, len(strange) / 6), ""
    yield "unexplained words beside the title", heard.share(heard.strange_beside), " ".join(heard.strange_beside)
    yield "unexplained words elsewhere", heard.share(heard.strange_elsewhere), " ".join(heard.strange_elsewhere)


# --- version ------------------------------------------------------------------------------------------------------


def _kinds(heard: Hearing, context: Context) -> Iterator[Evidence]:
    """Types on one side only. What the release's own title says (a live album) goes without saying."""
    wanted = kinds(heard.wanted.words)
    extra = heard.kinds - wanted - context.kinds
    missing = wanted - heard.kinds - context.kinds
    yield "another version", float(bool(extra)), ", ".join(sorted(extra))
    yield "on stage", float(bool(extra & ON_STAGE)), ""
    yield "by others", float(bool(extra & BY_OTHERS)), ""
    yield "version missing", float(bool(missing)), ", ".join(sorted(missing))


def _mix(heard: Hearing, context: Context) -> Iterator[Evidence]:
    """Whose remix: the words of the version that are no types."""
    ours = tuple(
        word
        for word in heard.wanted.version
        if word not in EVERY and word not in LITTLE_WORDS and word not in context.name_words
    )
    if ours:
        share = share_of(ours, heard.said)
        yield "mix agrees", share, " ".join(ours)
        yield "mix missing", 1.0 - share, " ".join(ours)
        yield "another mix", float(bool(heard.version) and share < 0.5), " ".join(heard.version)
        return
    own = frozenset(heard.wanted.words)
    theirs = [each for each in heard.version if not (each in context.explained or each in own or each.isdigit())]
    says_so = bool(heard.kinds - kinds(heard.wanted.words) - context.kinds) or bool({"mix", "version"} & {*heard.said})
    yield "mix named", float(bool(theirs) and says_so), " ".join(theirs)


def _numbers(heard: Hearing) -> Iterator[Evidence]:
    """`Part 2` is not `Part 1`."""
    wanted = heard.wanted
    ours = {word for word in wanted.words if word.isdigit() and len(word) < 3}
    theirs = {word for word in heard.said if word.isdigit() and len(word) < 3 and word not in SPEEDS_AND_INCHES - ours}
    lost = sorted(ours - theirs)
    if not lost:
        return
    yield "number missing", 1.0, ", ".join(lost)
    if others := sorted(theirs - ours):
        words = tuple(word for word in wanted.song + wanted.subtitle if not word.isdigit())
        yield "another number", 1.0, ", ".join(others)
        yield "only the number differs", float(bool(words) and share_of(words, heard.said) > 0.9), ""


def _full_album(heard: Hearing) -> Iterator[Evidence]:
    text, song = " ".join(heard.said), " ".join(heard.wanted.song)
    named = next((words for words in FULL_ALBUM if words in text and words not in song), None)
    yield "full album", float(named is not None), named or ""


# --- artist -------------------------------------------------------------------------------------------------------


NAMED = 0.6


def _artist(candidate: Candidate, context: Context, heard: Hearing) -> Iterator[Evidence]:
    """A search result that names no artist of ours is somebody else's; an attached video need not name one."""
    if not context.names:
        return
    in_title = max(is_said(name, heard.said) for name in context.names)
    uploader = fold(f"{candidate.artist or ''} {candidate.channel or ''}")
    if uploader:
        in_fields = max(is_said(name, uploader) for name in context.names)
        yield "another artist", float(max(in_title, in_fields) < NAMED), candidate.artist or candidate.channel or ""
    elif not candidate.attached:
        yield "artist named (search)", in_title, ""
        yield "artist not named (search)", float(in_title < NAMED), ""
        yield "begins with another name (search)", float(in_title < NAMED and heard.opens_strangely), ""


# --- duration -----------------------------------------------------------------------------------------------------


def _duration(track: Track, candidate: Candidate) -> Iterator[Evidence]:
    of = "" if candidate.attached else " (search)"
    if not track.duration_s or not candidate.duration_s:
        length = candidate.duration_s or 0
        yield f"duration unknown{of}", 1.0, ""
        yield "unknown, and over 15 minutes", float(length > LONGEST_S), ""
        yield "unknown, and over 9 minutes", float(length > LONGER_S), ""
        return
    ours, theirs = track.duration_s, candidate.duration_s
    off = abs(ours - theirs)
    detail = f"{theirs - ours:+.0f} s"
    slack = max(SLACK_S, SLACK_SHARE * ours)
    yield f"duration to the second{of}", _bell(off, 1.5), detail
    yield f"duration within seconds{of}", _bell(off, 4.0), detail
    yield f"duration near{of}", _bell(off, 10.0), detail
    yield (
        f"duration far{of}",
        min(1.5, max(0.0, math.log(max(ours, theirs) / min(ours, theirs)) - FAR_FROM) * 2),
        detail,
    )
    yield "duration possible", _step((slack - off) / (0.15 * slack)) if candidate.attached else 0.0, detail
    yield "duration impossible", float(off > FAR_SHARE * ours), detail
    yield "too short", min(1.0, max(0.0, ours - theirs) / ours * 3), detail


def _bell(off_s: float, width_s: float) -> float:
    return math.exp(-((off_s / width_s) ** 2) / 2)


def _step(distance: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, distance))))


# --- what a person said of another pressing ------------------------------------------------------------------------


def _other_pressings(track: Track, candidate: Candidate, release: Release) -> Iterator[Evidence]:
    """Of the same recording alone: another mix must neither profit nor suffer."""
    said = [each for each in candidate.said if _is_same_recording(track, each, release)]
    detail = f"as {said[0].title}" if said else ""
    yield "approved for another pressing", float(any(each.approved for each in said)), detail
    yield "rejected for another pressing", float(any(not each.approved for each in said)), detail


def _is_same_recording(track: Track, other: SaidElsewhere, release: Release) -> bool:
    """The same title, word for word, and about the same length; of namesakes it takes the length to tell them apart."""
    title = fold(full_title(track))
    if not title or title != fold(other.title):
        return False
    if track.duration_s and other.duration_s:
        return abs(track.duration_s - other.duration_s) <= max(SLACK_S, SLACK_SHARE * track.duration_s)
    return sum(fold(full_title(each)) == title for each in release.tracks) <= 1


def full_title(track: Track) -> str:
    """A sub-track's with that of its whole."""
    return track.title if track.sub_index is None else f"{track.whole} {track.title}"


# --- evidence that counts for more, or for less, beside other evidence ---------------------------------------------


def _together(
    strength: dict[str, float], track: Track, candidate: Candidate, heard: Hearing, context: Context
) -> Iterator[Evidence]:
    def of(name: str) -> float:
        return strength.get(name, 0.0)

    spotless = not any(map(of, BLEMISHES))
    same_isrc = candidate.isrc_of == track.place and not of("duration impossible")
    yield "same ISRC", float(same_isrc), ""
    yield "nothing but the title", float(candidate.attached and spotless and heard.wanted.song == heard.rest), ""
    yield "title and duration", of("title") * of("duration possible"), ""
    yield "artist without the title", of("title words missing") * _name_in_title(heard, context), ""
    if "original" in heard.wanted.version:
        yield "not the original", max(of("another version"), of("mix named")), ""
    close = of("duration within seconds") or of("duration within seconds (search)")
    yield "another version of that length", of("another version") * close, ""
    if track.duration_s and candidate.duration_s:
        return
    yield "unchecked: title words missing", of("title words missing"), ""
    yield "unchecked: another version", of("another version"), ""
    yield "unchecked: another mix", max(of("mix named"), of("another mix"), of("mix missing")), ""
    yield "unchecked: only the number differs", of("only the number differs"), ""
    yield "unchecked: words in brackets", min(1.0, 4 * heard.share(heard.strange_bracketed)), ""
    yield "unchecked: words beside the title", min(1.0, 4 * heard.share(heard.strange_beside)), ""
    if of("title is the release's"):
        yield "unchecked: the release's title", 1.0, ""
        yield "unchecked: long, with the release's title", float((candidate.duration_s or 0) > LONG_S), ""


BLEMISHES = (
    *("unexplained words", "another version", "version missing", "mix missing", "mix named", "number missing"),
)


def _name_in_title(heard: Hearing, context: Context) -> float:
    return max((is_said(name, heard.said) for name in context.names), default=0.0)
