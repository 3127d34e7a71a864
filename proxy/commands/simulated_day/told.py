"""What is counted of a simulated day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from proxy.domain.budget import Lane


@dataclass(slots=True)
class Told:
    """What is counted. Requests are expected numbers where they are not drawn one by one.

    Times are seconds from a sale to the last answer that may have shown it: of those that counts can show, and of those
    that an insertion hides from them, which wait for a page to be read again. `late` are those of the first kind that
    were shown later than one interval and the check's own duration.
    """

    client: float = 0.0
    stale: float = 0.0
    misses: float = 0.0
    refused: float = 0.0
    page_cache: float = 0.0
    upstream: Counter[Lane] = field(default_factory=Counter)
    sales: int = 0
    staleness_s: list[float] = field(default_factory=list)
    hidden_s: list[float] = field(default_factory=list)
    late: int = 0
    most_in_a_minute: int = 0

    @property
    def calls(self) -> int:
        return self.upstream.total()

    @property
    def reduction(self) -> float:
        return 1 - self.calls / self.client

    @property
    def hits(self) -> float:
        return self.client - self.stale - self.misses - self.refused
