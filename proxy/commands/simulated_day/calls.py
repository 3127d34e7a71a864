"""Calls to Discogs: they wait in the lanes of the budget, by its own rules, and are answered a moment later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from proxy.commands.simulated_day.world import LIMIT, World
from proxy.domain.budget import WINDOW_S, Budget, Lane, Queue
from proxy.services.behind import BEHIND_MOST

LATENCY_S = 0.5
PATIENCE_S = {Lane.SHOPPER: 10.0, Lane.CHECK: 120.0, Lane.SWEEP: 120.0, Lane.MATCHING: 40.0, Lane.REFRESH: 600.0}

Done = Callable[[bool], None]
"""Told whether the call was answered."""


class Calls:
    """`on_moved` is told when some have left their lanes, `on_room_to_refresh` when refreshes may be begun again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.on_moved: Callable[[], None] = lambda: None
        self.on_room_to_refresh: Callable[[], None] = lambda: None
        self._budget = Budget.starting(LIMIT)
        self._lanes: dict[Lane, deque[tuple[float, Done]]] = {lane: deque() for lane in Lane}
        self._wake_at = float("inf")
        self._sent: deque[float] = deque()

    def make(self, lane: Lane, done: Done) -> None:
        until = self.world.now + PATIENCE_S[lane]
        self._lanes[lane].append((until, done))
        if len(self._lanes[lane]) == 1:  # else those before it are waited for already
            self._dispatch()
        if lane is Lane.SHOPPER:
            self.world.after(PATIENCE_S[lane], self._refuse)

    def waiting(self, lane: Lane) -> int:
        return len(self._lanes[lane])

    def _refuse(self) -> None:
        self._in_time(Lane.SHOPPER)
        self.on_moved()

    def _dispatch(self) -> None:
        while waiting := {Queue(lane, True) for lane in Lane if self._in_time(lane)}:
            chosen = self._budget.admit(waiting, self.world.now)
            if not isinstance(chosen, Queue):
                self._wake(chosen)
                break
            self._send(chosen)
        self.on_moved()

    def _in_time(self, lane: Lane) -> bool:
        """Whether any call waits; who has waited too long leaves."""
        calls = self._lanes[lane]
        while calls and calls[0][0] <= self.world.now:
            if lane is Lane.SHOPPER:
                self._budget.promise(True, self.world.now)
            calls.popleft()[1](False)
        return bool(calls)

    def _wake(self, seconds: float) -> None:
        at = self.world.now + max(0.01, seconds)
        if at < self._wake_at or self._wake_at <= self.world.now:
            self._wake_at = at
            self.world.after(at - self.world.now, self._dispatch)

    def _send(self, queue: Queue) -> None:
        was_full = len(self._lanes[queue.lane]) >= BEHIND_MOST
        _, done = self._lanes[queue.lane].popleft()
        reservation = self._budget.take(queue, self.world.now)
        self.world.told.upstream[queue.lane] += 1
        self._sent.append(self.world.now)
        while self._sent[0] <= self.world.now - WINDOW_S:
            self._sent.popleft()
        self.world.told.most_in_a_minute = max(self.world.told.most_in_a_minute, len(self._sent))

        def answered() -> None:
            self._budget.release(reservation, self.world.now)
            done(True)

        self.world.after(LATENCY_S, answered)
        if was_full and queue.lane is Lane.REFRESH:
            self.on_room_to_refresh()
