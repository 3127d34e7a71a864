"""After a failed renewal the copy is shown for a while without asking again, so that an outage costs few calls."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

HOLD_DOWN_S = 20.0
HELD_MAX = 10_000


@dataclass(slots=True)
class HoldDown:
    """What failed a moment ago. Times are seconds of any clock."""

    _held: dict[Hashable, tuple[float, float]] = field(default_factory=dict)
    """By key since when, and until when."""

    def failed(self, key: Hashable, now: float, for_s: float = HOLD_DOWN_S) -> None:
        if len(self._held) >= HELD_MAX:
            self._held.clear()
        self._held[key] = now, now + for_s

    def holds(self, key: Hashable, now: float) -> bool:
        """A clock that was set back holds nothing for longer than it should."""
        since, until = self._held.get(key, (now, now))
        if since <= now < until:
            return True
        self._held.pop(key, None)
        return False
