"""Reading bodies that may hold anything: a member, a text, a list of objects, a length, or nothing of the kind."""

from __future__ import annotations

from collections.abc import Iterable

from matcher.models import Candidate

TEXT_MAX = 500
DAY_S = 24 * 3600


def member(owner: object, key: str) -> object:
    return owner.get(key) if isinstance(owner, dict) else None


def text(owner: object, key: str) -> str:
    """Without blanks around it, and not too long; empty where there is none."""
    value = member(owner, key)
    return value.strip()[:TEXT_MAX] if isinstance(value, str) else ""


def objects(owner: object, key: str) -> list[dict[str, object]]:
    value = member(owner, key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def seconds(value: object) -> int | None:
    """Of something that is heard; 0 is written where nobody knows."""
    return value if type(value) is int and 0 < value < DAY_S else None


def seconds_of_ms(value: object) -> float | None:
    return value / 1000 if type(value) is int and 0 < value < DAY_S * 1000 else None


def each_once(candidates: Iterable[Candidate], most: int) -> tuple[Candidate, ...]:
    """The first of each URL."""
    by_url: dict[str, Candidate] = {}
    for each in candidates:
        by_url.setdefault(each.url, each)
    return tuple(by_url.values())[:most]
