"""So many calls a minute from each client, in bounded memory: the generic cell rate algorithm (ATM Forum TM 4.0)."""

from __future__ import annotations

from dataclasses import dataclass, field

CLIENTS_MAX = 10_000
"""Beyond that those that were quiet longest are forgotten."""


@dataclass(slots=True)
class RateLimit:
    """`burst` calls at once, then `per_minute`. Times are seconds of a clock that never goes back."""

    per_minute: int
    burst: int
    _due: dict[str, float] = field(default_factory=dict)
    """By client when all it did would have been allowed at an even pace; the latest is last."""

    def wait_s(self, client: str, now: float) -> float:
        """How long until its next call is allowed; 0: now."""
        return max(0.0, self._due.get(client, now) - now - (self.burst - 1) * 60 / self.per_minute)

    def count(self, client: str, now: float) -> None:
        due = max(now, self._due.pop(client, now)) + 60 / self.per_minute
        if len(self._due) >= CLIENTS_MAX:
            del self._due[next(iter(self._due))]
        self._due[client] = due
