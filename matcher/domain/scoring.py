"""How sure are we that a candidate is the track? Named evidence, weighed in log-odds, added up.

`features` reads the evidence off the two texts and durations, WEIGHTS says what each piece is worth, the logistic
function turns the sum into a probability. The weights were fitted by logistic regression on labelled pairs.
"""

from __future__ import annotations

import math
from functools import lru_cache

from rapidfuzz import fuzz

from matcher.domain.titles import CACHED, Title, fold, fold_name, is_various, parse_title, track_titles
from matcher.domain.versions import EVERY, kinds
from matcher.models import Candidate, Reason, Release, Score, Track

NOISE = frozenset(
    "official video audio music hd hq 4k lyrics lyric visualizer vinyl rip full track song promo clip videoclip upload "
    "youtube records recordings record label the a an and of in on feat ft featuring with by from new high quality "
    "1080p 720p 12 7 inch lp ep cd side a1 a2 a3 a4 b1 b2 b3 b4 c1 c2 d1 d2 version mix original remastered remaster "
    "release releases prod produced techno house trance electro disco funk soul jazz rock pop punk rare classic topic "
    "vevo single album".split()
)
"""Words of a video's title that explain themselves."""

FULL_ALBUM = frozenset(
    {"full album", "full ep", "complete album", "full lp", "album completo", "full cd", "full length"}
)

WEIGHTS: dict[str, float] = {
    "search result": -2.27,
    "attached to the release": -0.28,
    "title": 1.53,
    "title words missing": -4.07,
    "title exact": 0.77,
    "unexplained words": -2.66,
    "version differs": -2.58,
    "version missing": -1.87,
    "version words agree": 0.79,
    "version words differ": -1.85,
    "duration agrees": 2.58,
    "duration near": 0.56,
    "duration far": -3.83,
    "duration missing": 0.58,
    "another artist's channel": -1.01,
    "full album": -2.60,
    "number differs": -1.18,
}

CLOSE_S = 4.0
NEAR_S = 15.0


def score(track: Track, candidate: Candidate, release: Release) -> Score:
    """Confidence 0–100 with its reasons, the weightiest first."""
    evidence = features(track, candidate, release)
    reasons = [Reason(name, WEIGHTS[name] * value, detail) for name, value, detail in evidence]
    confidence = 100.0 / (1.0 + math.exp(-sum(reason.weight for reason in reasons)))
    return Score(confidence, tuple(sorted(reasons, key=lambda reason: -abs(reason.weight))))


Evidence = tuple[str, float, str]
"""Name (a key of WEIGHTS), strength (mostly 0–1) and a word of explanation for the reviewer."""


def features(track: Track, candidate: Candidate, release: Release) -> list[Evidence]:
    wanted = max(track_titles(track.title), key=lambda title: _coverage(title.base, candidate.title)[0])
    heard = _heard(candidate.title, _names(track, release))
    return [
        _origin(candidate),
        *_title(wanted, candidate, heard),
        *_unexplained(wanted, candidate, track, release),
        *_versions(wanted, heard, release),
        *_numbers(wanted, candidate),
        *_duration(track, candidate),
        *_foreign_channel(track, candidate, release),
        *_full_album(candidate, wanted),
    ]


def _origin(candidate: Candidate) -> Evidence:
    return ("attached to the release" if candidate.attached else "search result", 1.0, candidate.provider)


# --- title --------------------------------------------------------------------------------------------------------


def _title(wanted: Title, candidate: Candidate, heard: Title) -> list[Evidence]:
    coverage, missing = _coverage(wanted.base, candidate.title)
    evidence: list[Evidence] = [("title", coverage, f"{coverage:.0%} of its words")]
    if missing:
        evidence.append(("title words missing", 1.0 - coverage, " ".join(missing)))
    if wanted.base and wanted.base == heard.base:
        evidence.append(("title exact", 1.0, ""))
    return evidence


@lru_cache(CACHED)
def _coverage(base: tuple[str, ...], text: str) -> tuple[float, tuple[str, ...]]:
    """The share of the base title's letters that the text has, as words or nearly so; and the words it lacks."""
    words = fold(text)
    have = set(words)
    missing = tuple(word for word in base if word not in have and not _nearly_in(word, words))
    letters = sum(map(len, base))
    if not letters:
        return 0.0, ()
    if missing and "".join(base) in "".join(words):
        return 1.0, ()
    return 1.0 - sum(map(len, missing)) / letters, missing


def _nearly_in(word: str, words: tuple[str, ...]) -> bool:
    return len(word) > 3 and any(abs(len(word) - len(other)) < 3 and fuzz.ratio(word, other) >= 84 for other in words)


@lru_cache(CACHED)
def _heard(text: str, names: tuple[tuple[str, ...], ...]) -> Title:
    """The candidate's title without the artists' names, which may hold version words (Culture Club)."""
    title = parse_title(text)
    base = title.base
    for name in names:
        base = _without(base, name)
    return Title(base, title.version, kinds((*title.version, *base)))


def _without(words: tuple[str, ...], name: tuple[str, ...]) -> tuple[str, ...]:
    for start in range(len(words) - len(name) + 1):
        if name and words[start : start + len(name)] == name and len(words) > len(name):
            return words[:start] + words[start + len(name) :]
    return words


def _names(track: Track, release: Release) -> tuple[tuple[str, ...], ...]:
    return tuple(fold_name(name) for name in (*track.artists, *release.artists) if not is_various(name))


def _unexplained(wanted: Title, candidate: Candidate, track: Track, release: Release) -> list[Evidence]:
    words = fold(candidate.title)
    known = _known_words(wanted, _names(track, release), release.title, release.labels)
    strange = [word for word in words if word not in known and not word.isdigit()]
    share = sum(map(len, strange)) / max(1, sum(map(len, words)))
    return [("unexplained words", share, " ".join(strange))] if strange else []


@lru_cache(CACHED)
def _known_words(
    wanted: Title, names: tuple[tuple[str, ...], ...], release_title: str, labels: tuple[str, ...]
) -> frozenset[str]:
    every = (wanted.base, wanted.version, fold(release_title), *names, *map(fold_name, labels))
    return NOISE | EVERY | frozenset(word for words in every for word in words)


# --- version ------------------------------------------------------------------------------------------------------


def _versions(wanted: Title, heard: Title, release: Release) -> list[Evidence]:
    """Types on one side only. What the release's own title says (a live album) goes without saying."""
    implied = parse_title(release.title).kinds
    extra = heard.kinds - wanted.kinds - implied
    missing = wanted.kinds - heard.kinds - implied
    evidence: list[Evidence] = []
    if extra:
        evidence.append(("version differs", 1.0, ", ".join(sorted(extra))))
    if missing:
        evidence.append(("version missing", 1.0, ", ".join(sorted(missing))))
    return evidence + _mix_names(wanted, heard)


def _mix_names(wanted: Title, heard: Title) -> list[Evidence]:
    """Whose remix: the words of the version that are no types."""
    ours = {word for word in wanted.version if word not in EVERY}
    theirs = {word for word in heard.version if word not in EVERY and word not in NOISE} | set(heard.base)
    if not ours or not (wanted.kinds or heard.kinds):
        return []
    agreeing = len(ours & theirs) / len(ours)
    name = "version words agree" if agreeing >= 0.5 else "version words differ"
    return [(name, 1.0, " ".join(sorted(ours)))]


def _numbers(wanted: Title, candidate: Candidate) -> list[Evidence]:
    """`Part 2` is not `Part 1`."""
    numbers = {"one": "1", "two": "2", "three": "3", "i": "1", "ii": "2", "iii": "3", "iv": "4"}
    ours = {numbers.get(word, word) for word in wanted.base + wanted.version if word.isdigit() or word in numbers}
    theirs = {numbers.get(word, word) for word in fold(candidate.title) if word.isdigit() or word in numbers}
    differing = {number for number in ours if len(number) < 3} - theirs
    return [("number differs", 1.0, ", ".join(sorted(differing)))] if differing else []


# --- duration -----------------------------------------------------------------------------------------------------


def _duration(track: Track, candidate: Candidate) -> list[Evidence]:
    if track.duration_s is None or candidate.duration_s is None:
        return [("duration missing", 1.0, "")]
    off = abs(track.duration_s - candidate.duration_s)
    detail = f"{off} s apart"
    evidence: list[Evidence] = [
        ("duration agrees", math.exp(-((off / CLOSE_S) ** 2) / 2), detail),
        ("duration near", math.exp(-((off / NEAR_S) ** 2) / 2), detail),
    ]
    if off > NEAR_S:
        share = off / max(track.duration_s, candidate.duration_s)
        evidence.append(("duration far", min(1.0, share * 4), detail))
    return evidence


def _full_album(candidate: Candidate, wanted: Title) -> list[Evidence]:
    text = " ".join(fold(candidate.title))
    found = next((words for words in FULL_ALBUM if words in text and words not in " ".join(wanted.base)), None)
    return [("full album", 1.0, found)] if found else []


# --- artist -------------------------------------------------------------------------------------------------------


def _foreign_channel(track: Track, candidate: Candidate, release: Release) -> list[Evidence]:
    """A search result that names no artist of ours is somebody else's; an attached video need not name one."""
    names = [name for name in (track.artists or release.artists) if not is_various(name)]
    if candidate.attached or not names or not (candidate.artist or candidate.channel):
        return []
    said = " ".join(fold(" ".join(filter(None, (candidate.title, candidate.artist, candidate.channel)))))
    if any(_says(said, name) for name in names):
        return []
    return [("another artist's channel", 1.0, candidate.artist or candidate.channel or "")]


@lru_cache(CACHED)
def _says(said: str, name: str) -> bool:
    wanted = " ".join(fold_name(name))
    return wanted in said or fuzz.partial_ratio(wanted, said) >= 88 or wanted.replace(" ", "") in said.replace(" ", "")
