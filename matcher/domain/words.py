"""Texts as words that can be compared: folded to plain Latin letters, alike when they are spelt nearly alike."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import unescape

from anyascii import anyascii
from rapidfuzz import fuzz

CACHED = 16_384
"""Results kept of each function here that is asked for the same thing again and again."""

Words = tuple[str, ...]

INITIALS = re.compile(r"\b(?:[A-Za-z]\.\s?)+[A-Za-z]\b\.?|\b(?:[A-Za-z]\.){2,}")
APOSTROPHES = re.compile(r"['’`´‘]")
NOT_A_WORD = re.compile(r"[^a-z0-9]+")
DISAMBIGUATION = re.compile(r"\s*\(\d+\)\s*$")
LAST_ARTICLE = re.compile(r"^(.*),\s*(the|a|an|der|die|das|les?|la|los|las|el|il)$", re.IGNORECASE)
NAMES_JOINED = re.compile(
    r"\s*(?:,|;|/|&|\+|\b(?:feat|ft|featuring|with|vs|versus|and|presents|pres|x)\b[.:]?| - )\s*", re.IGNORECASE
)

SAME_WORDS = {
    "n": "and",
    "pt": "part",
    "pts": "part",
    "vol": "volume",
    "no": "number",
    "nr": "number",
    "vs": "versus",
    "rmx": "remix",
    "mx": "mix",
    "feat": "featuring",
    "ft": "featuring",
    "orig": "original",
    "inst": "instrumental",
    "instr": "instrumental",
    "acc": "acapella",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "ii": "2",
    "iii": "3",
    "iv": "4",
    "vi": "6",
    "vii": "7",
    "viii": "8",
    "ix": "9",
}

LITTLE_WORDS = frozenset("the a an and of in on to for der die das le la les el los de da do il i s".split())
"""Words that are often left out: they weigh less."""
LITTLE = 0.3

SOUNDS = (
    *(("ph", "f"), ("ck", "k"), ("qu", "k"), ("x", "ks"), ("c", "k"), ("z", "s"), ("y", "i"), ("w", "v")),
    *(("j", "i"), ("th", "t"), ("dg", "g")),
)
DOUBLED = re.compile(r"(.)\1+")

ALIKE = 0.74
"""Least similarity of two words that may be one."""
LONG_ENOUGH = 4
"""Letters of a word that may be misspelt: shorter ones are other words."""

VARIOUS = frozenset({"various", "various artists", "unknown artist", "no artist", "va"})


@lru_cache(CACHED)
def fold(text: str) -> Words:
    """Lower-case words in Latin letters: `Ænima`, `ＡＢＣ`, `Кино`, `D.J.` and `Pt. II` become comparable.

    Entities of HTML are read: YouTube escapes titles, and some of Discogs' are escaped.
    """
    joined = INITIALS.sub(lambda found: found[0].replace(".", "").replace(" ", ""), unescape(text))
    spelt = joined.replace("&", " and ").replace("+", " and ")
    plain = anyascii(unicodedata.normalize("NFKC", spelt)).lower()
    return tuple(SAME_WORDS.get(word, word) for word in NOT_A_WORD.sub(" ", APOSTROPHES.sub("", plain)).split())


@lru_cache(CACHED)
def fold_name(name: str) -> Words:
    """An artist's or label's name without Discogs' `(2)` and `*`, `X, The` put right."""
    bare = _bare(name)
    if found := LAST_ARTICLE.match(bare):
        bare = f"{found[2]} {found[1]}"
    return fold(bare)


def _bare(name: str) -> str:
    return DISAMBIGUATION.sub("", name).rstrip("* ")


@lru_cache(CACHED)
def names_in(name: str) -> tuple[Words, ...]:
    """The name as a whole, and those that it joins: `A Feat. B & C` is also A, B and C."""
    parts = (fold(part) for part in NAMES_JOINED.split(_bare(name)) if part)
    return tuple(dict.fromkeys(words for words in (fold_name(name), *parts) if words))


def is_various(name: str) -> bool:
    return " ".join(fold_name(name)) in VARIOUS


def letters(words: Words) -> int:
    return sum(map(len, words))


def weight(word: str) -> float:
    """In letters."""
    return LITTLE * len(word) if word in LITTLE_WORDS else float(len(word))


@lru_cache(CACHED * 4)
def likeness(word: str, other: str) -> float:
    """0, or ALIKE to 1: how nearly the same two words are spelt, or sound."""
    if word == other:
        return 1.0
    if len(word) < LONG_ENOUGH or abs(len(word) - len(other)) > 2:
        return 0.0
    ratio = fuzz.ratio(word, other) / 100
    if ratio < 0.9:
        ratio = max(ratio, fuzz.ratio(_sound(word), _sound(other)) / 100 - 0.05)
    return ratio if ratio >= ALIKE else 0.0


@lru_cache(CACHED)
def _sound(word: str) -> str:
    for letters_of_it, plainer in SOUNDS:
        word = word.replace(letters_of_it, plainer)
    return DOUBLED.sub(r"\1", word)


def is_in(words: Words, part: Words) -> bool:
    """Whether `part` is there, word by word, without a gap."""
    length = len(part)
    return any(words[start : start + length] == part for start in range(len(words) - length + 1))


def without(words: Words, part: Words) -> Words:
    """`part` taken out once, unless nothing would be left."""
    length = len(part)
    for start in range(len(words) - length + 1):
        if length < len(words) and words[start : start + length] == part:
            return words[:start] + words[start + length :]
    return words


@lru_cache(CACHED)
def share_of(part: Words, words: Words) -> float:
    """0–1: how much of `part` is among `words`, by weight; spaces do not count."""
    total = sum(map(weight, part))
    if not total:
        return 0.0
    share = sum(weight(word) * _best(word, words) for word in part) / total
    if share == 1:
        return 1.0
    joined, joined_words = "".join(part), "".join(words)
    if len(joined) > 3 and joined in joined_words:
        return 1.0
    if 0.3 < share < 0.9 and len(joined) > 7:
        return max(share, fuzz.partial_ratio(joined, joined_words) / 100 - 0.1)
    return share


def _best(word: str, words: Words) -> float:
    if word in words:
        return 1.0
    return max((likeness(word, other) for other in words), default=0.0) if len(word) >= LONG_ENOUGH else 0.0


@lru_cache(CACHED)
def is_said(name: Words, words: Words) -> float:
    """0–1: how surely a name is among `words`."""
    joined, joined_words = "".join(name), "".join(words)
    if is_in(words, name) or (len(joined) > 4 and joined in joined_words):
        return 1.0
    share = sum(len(word) * _best(word, words) for word in name) / max(1, letters(name))
    if share >= 0.8:
        return share
    if len(joined) > 5 and fuzz.partial_ratio(joined, joined_words) >= 85:
        return 0.85
    return share if share > 0.5 else 0.0
