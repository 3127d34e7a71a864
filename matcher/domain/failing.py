"""Which providers fail, by what jobs tell of them: not one that stumbles, but one that has long not answered."""

from __future__ import annotations

from dataclasses import dataclass, field

FAILING_AFTER_S = 600.0
"""A provider that answered nothing for so long fails; a release waits far longer for it."""

FAILURES_LEAST = 3
"""Of so many jobs: two that stumbled an hour apart are no outage."""

FORGOTTEN_AFTER_S = 3600.0
"""Nobody has asked for so long: who knows. Parked releases ask twice within it."""


@dataclass(frozen=True, slots=True)
class _Failures:
    since: float
    until: float
    count: int


@dataclass(slots=True)
class Failing:
    """Times are seconds of any steady clock."""

    _failures: dict[str, _Failures] = field(default_factory=dict)
    """In a row, by provider."""

    def answered(self, provider: str) -> None:
        self._failures.pop(provider, None)

    def failed(self, provider: str, now: float) -> None:
        known = self._failures.get(provider)
        if known is None or _is_forgotten(known, now):
            known = _Failures(now, now, 0)
        self._failures[provider] = _Failures(known.since, now, known.count + 1)

    def since_s(self, now: float) -> dict[str, float]:
        """Those that fail now, in the order of their names, and for how many seconds."""
        return {
            provider: now - failures.since
            for provider, failures in sorted(self._failures.items())
            if failures.count >= FAILURES_LEAST
            and failures.until - failures.since >= FAILING_AFTER_S
            and not _is_forgotten(failures, now)
        }


def _is_forgotten(failures: _Failures, now: float) -> bool:
    return now - failures.until >= FORGOTTEN_AFTER_S
