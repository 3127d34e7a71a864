"""A candidate's title read for one track: which of its words are explained or strange, what version it names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from matcher.domain.titles import Phrase, Title, phrases, readings
from matcher.domain.versions import EVERY, KIND_OF, NOISE, PHRASES, kinds
from matcher.domain.words import (
    CACHED,
    LITTLE_WORDS,
    Words,
    fold,
    fold_name,
    is_various,
    letters,
    likeness,
    names_in,
    share_of,
    without,
)
from matcher.models import Candidate, Release, Track

YEAR = re.compile(r"(?:19|20)\d\d")
ON_STAGE_TEXT = re.compile(
    r"\blive\b|\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d\d|(?:@|\bat) (?:the )?\w+.*(?:19|20)\d\d", re.IGNORECASE
)
"""A concert by its word, its date, or its place and year."""
ON_STAGE_RELEASE = re.compile(r"\balive\b|\blive\b|\bin concert\b|\bat the\b|\bunplugged\b", re.IGNORECASE)

BARE = frozenset({"part", "movement", "side", "number", "volume", "untitled"})
"""Words of a sub-track's title that name no song."""

MISSPELT_TITLE, MISSPELT_NAME = 0.8, 0.84
"""Least likeness of a word of the title, and of a name, to be taken for it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a track's words may be explained by beside its title."""

    names: tuple[Words, ...]
    """Of the artists, longest first; none of Various Artists."""
    name_words: frozenset[str]
    release_title: Words
    explained: frozenset[str]
    """Words of the release's title and of its labels."""
    kinds: frozenset[str]
    """Types of version that go without saying: of a live album all tracks are live."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """`said` are all words of the candidate's title, `strange` those that nothing explains."""

    wanted: Title
    said: Words
    phrases: tuple[Phrase, ...]
    strange: Words
    strange_beside: Words
    """In the phrase that holds the title."""
    strange_bracketed: Words
    strange_elsewhere: Words
    opens_strangely: bool
    """Its first phrase is another name, or another title."""
    version: Words
    """Whose version it says it is: the words that are no types."""
    kinds: frozenset[str]
    rest: Words
    """The title's words outside brackets, without names and noise."""

    def share(self, words: Words) -> float:
        """Of the letters, which are strange."""
        return letters(words) / max(1, letters(self.said))


def context_of(track: Track, release: Release) -> Context:
    artists = (*(track.artists or release.artists), *release.artists)
    return _context(tuple(dict.fromkeys(artists)), release.title, (*release.labels, track.whole))


@lru_cache(CACHED)
def _context(artists: tuple[str, ...], release_title: str, labels: tuple[str, ...]) -> Context:
    names = {words for name in artists if not is_various(name) for words in names_in(name)}
    title = fold(release_title)
    implied = kinds(title) | ({"live"} if ON_STAGE_RELEASE.search(release_title) else set())
    label_words = (word for label in labels for word in fold_name(label))
    return Context(
        names=tuple(sorted(names, key=lambda words: (-len(words), words))),
        name_words=frozenset(word for name in names for word in name),
        release_title=title,
        explained=frozenset((*title, *label_words)),
        kinds=frozenset(implied),
    )


def hear(track: Track, candidate: Candidate, context: Context) -> Hearing:
    said = fold(candidate.title)
    wanted = max(readings(_full_title(track)), key=lambda title: share_of(title.song, said))
    return _hear(wanted, candidate.title, candidate.artist or "", candidate.channel or "", context)


def _full_title(track: Track) -> str:
    """A sub-track that is named by its number alone carries the name of the whole."""
    is_bare = all(word.isdigit() or word in BARE or len(word) == 1 for word in fold(track.title))
    return f"{track.whole} {track.title}" if track.whole and is_bare else track.title


def _hear(wanted: Title, text: str, artist: str, channel: str, context: Context) -> Hearing:
    parts, own = phrases(text), frozenset(wanted.words)
    beside: list[str] = []
    bracketed: list[str] = []
    elsewhere: list[str] = []
    strange: list[str] = []
    version: list[str] = []
    found: set[str] = set()
    opens_strangely = False
    for place, phrase in enumerate(parts):
        rest = _without_names(phrase.words, wanted, context)
        unknown = _unknown(rest, own, context)
        types = {KIND_OF[word] for word in rest if word in KIND_OF and word not in wanted.song + wanted.subtitle}
        names_a_version = bool(types) or ("mix" in rest and "mix" not in wanted.song)
        found |= types
        strange += unknown
        if not phrase.bracketed and _holds_title(phrase.words, wanted.song):
            beside += unknown
            version += unknown if names_a_version else ()
        elif phrase.bracketed and not any(YEAR.fullmatch(word) for word in phrase.words):
            bracketed += unknown
            version += _no_types(rest, wanted)
        else:
            elsewhere += unknown
            if names_a_version and not phrase.bracketed:
                version += _no_types(rest, wanted)
            elif not place and letters(tuple(unknown)) >= letters(phrase.words) / 2:
                opens_strangely = True
    said = fold(text)
    return Hearing(
        wanted=wanted,
        said=said,
        phrases=parts,
        strange=tuple(strange),
        strange_beside=tuple(beside),
        strange_bracketed=tuple(bracketed),
        strange_elsewhere=tuple(elsewhere),
        opens_strangely=opens_strangely,
        version=tuple(word for word in version if word not in LITTLE_WORDS and word not in context.name_words),
        kinds=frozenset(found) | _kinds_of_text(text, said, f"{artist} {channel}"),
        rest=_rest(parts, wanted, context),
    )


@lru_cache(CACHED)
def _holds_title(words: Words, song: Words) -> bool:
    """Half of the song's words, or nearly they."""
    hits = sum(word in words or any(likeness(word, other) for other in words) for word in song)
    return hits >= max(1.0, len(song) / 2)


@lru_cache(CACHED)
def _without_names(words: Words, wanted: Title, context: Context) -> Words:
    holds_title = _holds_title(words, wanted.song)
    for name in context.names:
        if words == name and not (holds_title and name == wanted.song):
            return ()
        words = without(words, name)
    return words


@lru_cache(CACHED)
def _unknown(words: Words, own: frozenset[str], context: Context) -> tuple[str, ...]:
    """Those that nothing explains, not even as misspelt."""
    explained = own | context.explained | context.name_words
    return tuple(
        word
        for word in words
        if not (word in explained or word in NOISE or word in EVERY or word.isdigit())
        and not _is_like(word, own, MISSPELT_TITLE)
        and not _is_like(word, context.name_words, MISSPELT_NAME)
    )


def _is_like(word: str, others: Iterable[str], least: float) -> bool:
    return any(likeness(word, other) >= least for other in others)


def _no_types(words: Words, wanted: Title) -> list[str]:
    return [
        word for word in words if not (word in EVERY or word in NOISE or word in wanted.song or YEAR.fullmatch(word))
    ]


@lru_cache(CACHED)
def _kinds_of_text(text: str, said: Words, uploader: str) -> frozenset[str]:
    """Types that are named by more than one word, by a date, or by who uploaded it."""
    plain = " ".join(said)
    found = {kind for kind, wordings in PHRASES.items() if any(wording in plain for wording in wordings)}
    if ON_STAGE_TEXT.search(text):
        found.add("live")
    return frozenset(found) | (kinds(fold(uploader)) & {"karaoke", "cover"})


@lru_cache(CACHED)
def _rest(parts: tuple[Phrase, ...], wanted: Title, context: Context) -> Words:
    words = tuple(word for phrase in parts if not phrase.bracketed for word in phrase.words)
    for name in context.names:
        words = without(words, name)
    return tuple(word for word in words if word in wanted.song or not (word in NOISE or word in EVERY))
