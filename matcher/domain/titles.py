"""Titles taken apart into phrases between dashes and in brackets; a track's into song, subtitle and version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from matcher.domain.versions import EVERY
from matcher.domain.words import CACHED, Words, fold

BRACKETS = re.compile(r"[(\[{【「『]([^()\[\]{}【】「」『』]*)[)\]}】」』]?")
DASHES = r"[-–—‐]"
SEPARATORS = re.compile(
    rf"\s+(?:{DASHES}|[|~•:▶►·])+\s+|\s+{DASHES}{{1,3}}(?=\w)|(?<=\w){DASHES}{{1,3}}\s+|\s*//+\s*|\s*\|\s*|:\s+"
    rf"|\s+\u200e?{DASHES}\s*\u200e?"
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """What stands between two dashes, or in brackets."""

    words: Words
    bracketed: bool


@dataclass(frozen=True, slots=True)
class Title:
    """`song` is what must be heard, `subtitle` what may be left out, `version` which recording it is."""

    song: Words
    subtitle: Words
    version: Words

    @property
    def words(self) -> Words:
        return self.song + self.subtitle + self.version


@lru_cache(CACHED)
def phrases(text: str) -> tuple[Phrase, ...]:
    """In the order of the text; none is empty."""
    return tuple(phrase for phrase in _phrases(text) if phrase.words)


def _phrases(text: str) -> Iterator[Phrase]:
    end = 0
    for found in BRACKETS.finditer(text):
        yield from _between_dashes(text[end : found.start()])
        yield Phrase(fold(found[1]), True)
        end = found.end()
    yield from _between_dashes(text[end:])


def _between_dashes(text: str) -> Iterator[Phrase]:
    return (Phrase(fold(part), False) for part in SEPARATORS.split(text) if part)


@lru_cache(CACHED)
def readings(text: str) -> tuple[Title, ...]:
    """The ways to read a track's title: whole, or each side of `A = B`."""
    sides = [side for side in re.split(r"\s+=\s+", text) if fold(side)] if " = " in text else []
    return tuple(_title(side) for side in (sides or [text]))


def _title(text: str) -> Title:
    song: Words = ()
    subtitle: Words = ()
    version: Words = ()
    for place, phrase in enumerate(phrases(text)):
        words = phrase.words
        if words[0] == "featuring" or (phrase.bracketed and words[0] == "with"):
            continue
        if EVERY.intersection(words) and (phrase.bracketed or place):
            version += words
        elif phrase.bracketed:
            subtitle += words
        else:
            song += words[: words.index("featuring")] if "featuring" in words else words
    if song:
        return Title(song, subtitle, version)
    return Title(subtitle, (), version) if subtitle else Title(version, (), ())
