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
    """Why upstream was asked, in the words of RFC 9211 section 2.2, where that is known better than by `source`."""
    stored: bool = False
    """The answer was kept."""
    collapsed: bool = False
    """Another request was under way for the same: one call served both."""

    def cache_status(self) -> str:
        """The Cache-Status member (RFC 9211)."""
        parts = [CACHE_NAME, *self._handling()]
        if self.ttl_s is not None:
            # A purged copy is stale however young it is.
            parts.append(f"ttl={int(min(self.ttl_s, 0.0) if self.source is Source.STALE else self.ttl_s)}")
        if self.detail:
            parts.append(f"detail={self.detail}")
        return "; ".join(parts)

    def _handling(self) -> list[str]:
        match self.source:
            case Source.HIT | Source.STALE:
                return ["hit"]
            case Source.MISS:
                return [f"fwd={self.forwarded or 'uri-miss'}", *self._told_of_forwarding()]
            case Source.REVALIDATED:
                return [f"fwd={self.forwarded or 'stale'}", *self._told_of_forwarding()]
            case Source.BYPASS:
                return [f"fwd={self.forwarded or 'bypass'}", *self._told_of_forwarding()]
            case Source.OWN:
                return []

    def _told_of_forwarding(self) -> list[str]:
        status = [] if self.upstream_status is None else [f"fwd-status={self.upstream_status}"]
        flags = {"stored": self.stored, "collapsed": self.collapsed}
        return status + [name for name, is_set in flags.items() if is_set]


OWN = Decision(Source.OWN)

MIRROR = "mirror"
"""The detail of what was answered from a store's mirror."""


def loaded_from(decision: Decision) -> str:
    """What an inventory was answered from: `mirror`, `copy`, either of them `stale`, or `upstream` after a wait."""
    match decision.source:
        case Source.STALE:
            return "stale"
        case Source.HIT:
            return "mirror" if decision.detail == MIRROR else "copy"
        case _:
            return "upstream"
