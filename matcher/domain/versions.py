"""Words that tell which recording of a song is meant, by type. A table: add a word here, nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable

KINDS: dict[str, frozenset[str]] = {
    kind: frozenset(words.split())
    for kind, words in {
        "remix": "remix remixed rmx rework reworked refix remixes remake",
        "bootleg": "bootleg mashup blend",
        "edit": "edit reedit edited",
        "radio": "radio",
        "extended": "extended",
        "instrumental": "instrumental instr inst instrumentale",
        "acapella": "acapella acappella accapella acapela accappella capella cappella",
        "dub": "dub dubplate",
        "demo": "demo",
        "live": "live unplugged concert",
        "session": "session sessions peel",
        "acoustic": "acoustic",
        "karaoke": "karaoke singalong",
        "cover": "cover covers covered tribute",
        "altered": "sped slowed nightcore 8d reverb speed screwed",
        "reprise": "reprise",
        "alternate": "alternate alternative outtake unreleased",
        "rehearsal": "rehearsal soundcheck",
        "club": "club",
        "vocal": "vocal",
        "mixed": "mixed megamix minimix medley",
        "beats": "beats bonus",
        "reversed": "backwards reversed",
        "lesson": "lesson tutorial reaction drumless backing",
    }.items()
}
"""Types that make another recording when only one side has them."""

NEUTRAL = frozenset(
    "original album version versions mix remaster remastered remasters mono stereo main full length single lp ep "
    "vinyl rip official explicit clean digital long short".split()
)
"""Words of a version that leave the recording what it is, or say too little."""

KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}

EVERY = frozenset(KIND_OF) | NEUTRAL


def kinds(tokens: Iterable[str]) -> frozenset[str]:
    """The types named by `tokens` (folded words)."""
    return frozenset(KIND_OF[token] for token in tokens if token in KIND_OF)
