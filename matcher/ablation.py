"""Kinds of evidence: what one is worth is told by how good confidences are whose weights were fitted without it."""

from __future__ import annotations

KINDS: dict[str, tuple[str, ...]] = {
    "durations": ("duration", "unknown, and", "too short"),
    "versions": ("version", "mix", "on stage", "by others", "not the original"),
    "artists": ("artist", "another name"),
    "details of titles": (
        *("stands by itself", "nothing but", "subtitle", "short title", "most of the title", "release's"),
        "full album",
    ),
    "numbers": ("number",),
    "unexplained words": ("unexplained", "words in brackets", "words beside"),
    "where it was found": ("attached to the release", "search result"),
    "evidence that counts together": ("unchecked", "of that length", "title and duration", "without the title"),
}
"""Of each kind what the names of its evidence hold. Some evidence is of two kinds."""


def is_of(kind: str, name: str) -> bool:
    return any(each in name for each in KINDS[kind])
