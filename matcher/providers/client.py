"""The one HTTP door of a provider: within its quota, behind its breaker, with bodies bounded and times limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is parsed JSON, None where it is none; a reply of any status."""

    status: int
    headers: Mapping[str, str]
    body: object


class Client(Protocol):
    """Asks one provider."""

    async def get(self, path: str, params: Mapping[str, str | Sequence[str]]) -> Reply:
        """A parameter of several values is repeated.

        Raises Unavailable, with when to ask again: throttled, away, or out of quota.
        """
        ...
