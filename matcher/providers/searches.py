"""What a track is searched by, and searches one after the other, none of them made twice in vain."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from matcher.domain.titles import BRACKETS
from matcher.domain.words import is_various
from matcher.errors import Unavailable
from matcher.models import Release, Track

Found = TypeVar("Found")

SOUGHT_MAX = 100
"""Characters of a name or title that are searched for."""
KEPT_MAX = 200

SEARCHED_NOT = re.compile(r'["\\“”„\x00-\x1f]+')
SUFFIX = re.compile(r"\s*\(\d+\)\s*$")


def title_of(track: Track, *, with_version: bool) -> str:
    """Of `A = B` the first, with or without what stands in brackets; empty where there are no words."""
    title = plain(track.title.split(" = ")[0])
    sought = title if with_version else plain(BRACKETS.sub(" ", track.title.split(" = ")[0])) or title
    return sought if any(map(str.isalnum, sought)) else ""


def artist_of(track: Track, release: Release) -> str | None:
    """Of the track or else of the release, without what Discogs adds to it; None on a compilation that names nobody."""
    names = (name for name in track.artists or release.artists if not is_various(name))
    return next((plain(SUFFIX.sub("", name).rstrip("* ")) or None for name in names), None)


def plain(text: str) -> str:
    """Without quotes and the like, and not too long."""
    return " ".join(SEARCHED_NOT.sub(" ", text).split())[:SOUGHT_MAX].strip()


def words_of(track: Track, release: Release) -> str | None:
    """For a search in free text: whose it is, or else on what it is, and its title. None: it has no words."""
    title = title_of(track, with_version=True)
    return f"{artist_of(track, release) or plain(release.title)} {title}".strip() if title else None


def queries_of(tracks: Sequence[Track], release: Release, most: int) -> list[str]:
    """What the first tracks are searched by, each once; those without words are passed over."""
    return [*dict.fromkeys(filter(None, (words_of(track, release) for track in tracks)))][:most]


@dataclass(slots=True)
class Searches(Generic[Found]):
    """What was found is kept until it is `used`, so that whoever must come again does not pay for it again."""

    search: Callable[[str], Awaitable[Sequence[Found]]]
    """Raises Unavailable."""
    _kept: OrderedDict[str, tuple[Found, ...]] = field(default_factory=OrderedDict, init=False)

    async def all_of(self, queries: Sequence[str]) -> list[Found]:
        """What the queries find, in their order.

        One that cannot be answered ends them: what the earlier ones found is worth having today, and the others wait
        for the next look at the release. Raises Unavailable if they found nothing.
        """
        found: list[Found] = []
        for query in queries:
            try:
                found += await self._one(query)
            except Unavailable:
                if not found:
                    raise
                break
        return found

    def used(self, queries: Sequence[str]) -> None:
        for query in queries:
            self._kept.pop(query, None)

    async def _one(self, query: str) -> tuple[Found, ...]:
        if (kept := self._kept.get(query)) is not None:
            return kept
        found = self._kept[query] = tuple(await self.search(query))
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return found
