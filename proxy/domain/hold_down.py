"""Who failed a moment ago is left alone for a while."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class HoldDown:
    """Of keys, for `seconds` after a failure. When there are too many, all are forgotten: they are asked again."""

    seconds: float
    keys_max: int = 10_000
    _until: dict[Hashable, float] = field(default_factory=dict)

    def failed(self, key: Hashable, now: float) -> None:
        if len(self._until) >= self.keys_max:
            self._until.clear()
        self._until[key] = now + self.seconds

    def holds(self, key: Hashable, now: float) -> bool:
        until = self._until.get(key)
        if until is not None and until <= now:
            del self._until[key]
        return until is not None and until > now
