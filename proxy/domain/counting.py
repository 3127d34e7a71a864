"""What calls save: how many clients would have made, how many were made, and the two ratios of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calls:
    """Of some span. `client_calls` would have been made without us, `upstream_calls` were, background included.

    `hits` of the `requests` were answered fresh, without waiting for an upstream call.
    """

    requests: int = 0
    hits: int = 0
    client_calls: int = 0
    upstream_calls: int = 0

    @property
    def reduction(self) -> float | None:
        """1: all were spared; below 0: more were made than spared; None: nobody asked."""
        return 1 - self.upstream_calls / self.client_calls if self.client_calls else None

    @property
    def hit_rate(self) -> float | None:
        return self.hits / self.requests if self.requests else None

    def as_json(self) -> dict[str, int | float | None]:
        """Ratios as fractions of 1."""
        return {
            "requests": self.requests,
            "hits": self.hits,
            "hit_rate": ratio(self.hit_rate),
            "client": self.client_calls,
            "upstream": self.upstream_calls,
            "reduction": ratio(self.reduction),
        }


def client_calls_of(rows: int, per_page: int) -> int:
    """That a direct client would have needed to read so many rows of a store; of an empty one the first page."""
    return max(1, -(-rows // per_page))


def ratio(fraction: float | None) -> float | None:
    """As it is told."""
    return None if fraction is None else round(fraction, 4)
