"""Titles and names as words that can be compared: folded, split into a base and a version, freed of Discogs' habits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from anyascii import anyascii

from matcher.domain.versions import EVERY, kinds

CACHED = 65_536

DISAMBIGUATION = re.compile(r"\s*\(\d+\)\s*$")
LAST_ARTICLE = re.compile(r"^(.*),\s*(the|a|an|der|die|das|les?|la|los|las|el|il)$", re.IGNORECASE)
APOSTROPHES = re.compile(r"['’`´]")
NOT_A_WORD = re.compile(r"[^a-z0-9]+")
BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]?")
SEPARATORS = re.compile(r"\s+[-–—|~•:]+\s+|\s+//+\s+")
FEATURING = re.compile(r"\b(?:feat|ft|featuring|with)\b\.?.*$", re.IGNORECASE)
SAME_WORDS = {"n": "and", "pt": "part", "vol": "volume", "rmx": "remix", "no": "number", "vs": "versus"}

VARIOUS = frozenset({"various", "various artists", "unknown artist", "no artist", "va"})


@lru_cache(CACHED)
def fold(text: str) -> tuple[str, ...]:
    """Lower-case words in Latin letters: `Ænima`, `ＡＢＣ` and `Кино` become comparable."""
    plain = anyascii(unicodedata.normalize("NFKC", text.replace("&", " and "))).lower()
    words = NOT_A_WORD.sub(" ", APOSTROPHES.sub("", plain)).split()
    return tuple(SAME_WORDS.get(word, word) for word in words)


@lru_cache(CACHED)
def fold_name(name: str) -> tuple[str, ...]:
    """An artist's or label's name without Discogs' `(2)` and `*`, `X, The` put right."""
    bare = DISAMBIGUATION.sub("", name).rstrip("* ")
    if found := LAST_ARTICLE.match(bare):
        bare = f"{found[2]} {found[1]}"
    return fold(bare)


def is_various(name: str) -> bool:
    return " ".join(fold_name(name)) in VARIOUS


@dataclass(frozen=True, slots=True)
class Title:
    """`base` is the song, `version` what brackets and dashes say of the recording, `kinds` its types."""

    base: tuple[str, ...]
    version: tuple[str, ...]
    kinds: frozenset[str]


@lru_cache(CACHED)
def track_titles(text: str) -> tuple[Title, ...]:
    """The ways to read a track's title: whole, and each side of `A = B`."""
    sides = [side for side in re.split(r"\s+=\s+", text) if fold(side)] if " = " in text else []
    return tuple(parse_title(side) for side in (sides or [text]))


@lru_cache(CACHED)
def parse_title(text: str) -> Title:
    version: list[str] = []

    def keep_or_move(found: re.Match[str]) -> str:
        words = fold(found[1])
        if EVERY.intersection(words):
            version.extend(words)
            return " "
        return "" if FEATURING.match(found[1].strip()) else f" {found[1]} "

    bare = BRACKETS.sub(keep_or_move, text)
    head, *tails = SEPARATORS.split(bare)
    for tail in tails:
        if EVERY.intersection(fold(tail)):
            version.extend(fold(tail))
        else:
            head += f" {tail}"
    base = fold(FEATURING.sub("", head)) or fold(text)
    return Title(base, tuple(version), kinds((*version, *base)))
