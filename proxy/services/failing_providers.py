"""The audio providers that fail, as /readyz tells them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from matcher.domain.failing import Failing
from matcher.gathering import Told


@dataclass(slots=True)
class FailingProviders:
    """By what match jobs tell. One that throttles does not fail: it says when it may be asked."""

    clock: Callable[[], float] = time.monotonic
    _failing: Failing = field(default_factory=Failing)

    def told(self, providers: Iterable[tuple[str, Told]]) -> None:
        for provider, told in providers:
            if told in (Told.FOUND, Told.NOTHING):
                self._failing.answered(provider)
            elif told is Told.BROKEN:
                self._failing.failed(provider, self.clock())

    def troubles(self) -> dict[str, str]:
        """What is degraded now, by name."""
        since = self._failing.since_s(self.clock())
        if not since:
            return {}
        named = ", ".join(f"{provider} for {seconds / 60:.0f} minutes" for provider, seconds in since.items())
        return {"providers": f"failing: {named}; the log's lines `match job` have their errors"}
