"""After a failed renewal the copy is shown for a while without asking again, so that an outage costs few calls."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

HOLD_DOWN_S = 20.0
HELD_MAX = 10_000


@dataclass(slots=True)
class HoldDown:
    """What failed a moment ago. Times are seconds of any clock."""

    _until: dict[Hashable, float] = field(default_factory=dict)

    def failed(self, key: Hashable, now: float) -> None:
        if len(self._until) >= HELD_MAX:
            self._until.clear()
        self._until[key] = now + HOLD_DOWN_S

    def holds(self, key: Hashable, now: float) -> bool:
        """A clock that was set back holds nothing for longer than it should."""
        until = self._until.get(key)
        if until is None or 0 < until - now <= HOLD_DOWN_S:
            return until is not None
        del self._until[key]
        return False
