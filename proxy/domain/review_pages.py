"""What the review page is asked for: a list of releases, a place in it, what a reviewer had seen when he decided."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from proxy.domain.asked import ID_MAX, release_id_from, weighed_place_from, whole_number
from proxy.errors import BadRequest

PAGE_SIZE = 30
QUERY_MAX = 200
WORDS_MAX = 8
IDS_MAX = 500

Place = tuple[float, float, float, int]
"""Where a release stands in a list."""


class Tab(StrEnum):
    """Each release is in one at most; one with anything pending is pending."""

    PENDING = "pending"
    APPROVED = "approved"
    UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True)
class AskedReleases:
    """`after`: None for the first page. `query` is as it was typed."""

    tab: Tab
    query: str
    after: Place | None

    @property
    def words(self) -> list[str]:
        """Without accents."""
        return _unaccented(self.query).split()[:WORDS_MAX]


def _unaccented(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not "\u0300" <= each <= "\u036f")


def asked_releases(query: Mapping[str, str]) -> AskedReleases:
    """Raises BadRequest."""
    try:
        tab = Tab(query.get("tab", Tab.PENDING))
    except ValueError:
        raise BadRequest(f"tab must be one of: {', '.join(Tab)}.") from None
    said = query.get("q", "").replace("\0", "").strip()
    if len(said) > QUERY_MAX:
        raise BadRequest(f"q must have at most {QUERY_MAX} characters.")
    return AskedReleases(tab, said, weighed_place_from(query["cursor"], tab) if query.get("cursor") else None)


def place_from(text: str | None) -> Place | None:
    """Of the release from which a reviewer goes on; None where it is not told. Raises BadRequest."""
    return weighed_place_from(text, Tab.PENDING) if text else None


def seen_from(text: str | None) -> int | None:
    """The last decision that a reviewer could see; None where it is not told. Raises BadRequest."""
    return whole_number(text, "seen", ID_MAX) if text else None


@dataclass(frozen=True, slots=True)
class Did:
    """What a reviewer decided just now: some matches, or a release as a whole."""

    match_ids: tuple[int, ...] = ()
    release_id: int | None = None

    def __str__(self) -> str:
        return f"r{self.release_id}" if self.release_id else ",".join(map(str, self.match_ids))


def did_from(text: str | None) -> Did:
    """Raises BadRequest."""
    if text and text.startswith("r"):
        return Did(release_id=release_id_from(text[1:]))
    return Did(ids_from(text or ""))


def ids_from(text: str) -> tuple[int, ...]:
    """Of matches. Raises BadRequest."""
    return tuple(whole_number(each, "The id of a match", ID_MAX, least=1) for each in text.split(",")[:IDS_MAX] if each)


def local_path(text: str | None) -> str:
    """Where to go after the log-in: a page of ours, whatever was asked for."""
    is_ours = text is not None and (text == "/admin" or text.startswith(("/admin/", "/admin?")))
    return text if text and is_ours and text.isascii() and text.isprintable() and "\\" not in text else "/admin"
