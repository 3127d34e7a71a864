"""When to stop asking somebody who fails, and how to find out that he is well again: closed, open, one probe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Opens at the `threshold`-th failure in a row, for `first_s` seconds; each failed probe doubles that.

    Times are seconds of any steady clock.
    """

    threshold: int
    first_s: float
    longest_s: float
    _failures: int = 0
    _open_until: float | None = None
    _pause_s: float = 0.0
    _probing: bool = False

    def wait_s(self, now: float) -> float | None:
        """None: ask. Seconds: do not ask before; 0 means that a probe is under way, whose end decides."""
        if self._open_until is None:
            return None
        if now < self._open_until:
            return self._open_until - now
        return 0.0 if self._probing else None

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    def begin(self) -> bool:
        """A call starts; True: it is the probe. Its end must be told by `succeeded`, `failed` or `abandoned`."""
        self._probing = self.is_open
        return self._probing

    def succeeded(self) -> None:
        self._failures, self._open_until, self._pause_s, self._probing = 0, None, 0.0, False

    def failed(self, now: float, *, probe: bool) -> None:
        """Of calls that began before it opened, only the probe makes the pause longer."""
        self._failures += 1
        if self.is_open and not probe:
            return
        self._probing = False
        if self._failures >= self.threshold:
            self._pause_s = min(self.longest_s, self._pause_s * 2 or self.first_s)
            self._open_until = now + self._pause_s

    def abandoned(self, *, probe: bool) -> None:
        """The call ended without telling anything: its client went away."""
        if probe:
            self._probing = False
