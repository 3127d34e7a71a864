"""What an operator asks of the stores that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.domain.asked import asked_limit, no_cursor, place_from

STORES_NAMED = "stores"
"""What the cursors of that list are for."""


@dataclass(frozen=True, slots=True)
class AskedStores:
    """`after` a store: whether it is not tracked, and its username; None for the first page."""

    limit: int
    after: tuple[bool, str] | None


def asked_stores(query: Mapping[str, str]) -> AskedStores:
    """Raises BadRequest."""
    return AskedStores(asked_limit(query), _store_from(query["cursor"]) if query.get("cursor") else None)


def _store_from(text: str) -> tuple[bool, str]:
    match place_from(text, STORES_NAMED):
        case [bool(is_untracked), str(username)]:
            return is_untracked, username
    raise no_cursor()
