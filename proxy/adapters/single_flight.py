"""Equal work that is asked for at the same time is done once, for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    began_by: str
    waiting: int = 0


@dataclass(slots=True)
class SingleFlight(Generic[T]):
    """One flight per key at a time. Nothing is remembered of a flight that has ended."""

    _flights: dict[Hashable, _Flight[T]] = field(default_factory=dict)

    def began_by(self, key: Hashable) -> str | None:
        """Who began the flight that is under way; None: there is none."""
        return flight.began_by if (flight := self._flights.get(key)) else None

    async def join(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]], who: str = "") -> T:
        """The result or error of `work`, which is begun, by `who`, unless it is under way for `key`.

        Whoever goes away leaves the others undisturbed; with the last one the work is cancelled.
        """
        flight = self._flights.get(key) or self._begin(key, work, who)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                self._forget(key, flight)
                flight.task.cancel()

    def _begin(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]], who: str) -> _Flight[T]:
        flight = _Flight(asyncio.create_task(work()), who)
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._forget(key, flight))
        return flight

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
