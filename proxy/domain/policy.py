"""How a request was answered: the decision as it is told to clients, logs and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CACHE_NAME = "discogs-proxy"


class Source(StrEnum):
    """Where an answer came from: the metric label."""

    HIT = "hit"
    STALE = "stale"
    MISS = "miss"
    REVALIDATED = "revalidated"
    """A stored copy, of which upstream said that it still holds."""
    BYPASS = "bypass"
    """Passed through: nothing of ours could have answered it."""
    OWN = "own"
    """The proxy's own answer: admin, health, errors."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How a request was answered. `age_s` and `ttl_s` where a stored copy was, `detail` in the words of RFC 9211."""

    source: Source
    age_s: float | None = None
    ttl_s: float | None = None
    upstream_status: int | None = None
    detail: str | None = None
    forwarded: str | None = None
    """Why upstream was asked, where it is known better than by `source`."""
    stored: bool = False
    """The answer was kept."""

    def cache_status(self) -> str:
        """The Cache-Status member (RFC 9211)."""
        parts = [CACHE_NAME, *self._handling()]
        if self.ttl_s is not None:
            parts.append(f"ttl={int(self.ttl_s)}")
        if self.detail:
            parts.append(f"detail={self.detail}")
        return "; ".join(parts)

    def _handling(self) -> list[str]:
        match self.source:
            case Source.HIT | Source.STALE:
                return ["hit"]
            case Source.MISS:
                return [f"fwd={self.forwarded or 'uri-miss'}", *self._forward_status()]
            case Source.REVALIDATED:
                return [f"fwd={self.forwarded or 'stale'}", *self._forward_status()]
            case Source.BYPASS:
                return [f"fwd={self.forwarded or 'bypass'}", *self._forward_status()]
            case Source.OWN:
                return []

    def _forward_status(self) -> list[str]:
        status = [] if self.upstream_status is None else [f"fwd-status={self.upstream_status}"]
        return [*status, "stored"] if self.stored else status


OWN = Decision(Source.OWN)
