"""Where calls to Discogs wait for budget: first come, first served in each lane; between lanes the budget decides."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from proxy.adapters.budget_log import BudgetLog, Turn
from proxy.domain.budget import WINDOW_S, Budget, Lane, Queue, Reservation
from proxy.errors import BudgetExhausted

TURN_AT_MOST_S = 1.0
"""A database that takes longer counts as away: shoppers wait."""

TELL_AGAIN_S = 1.0
TELL_AT_MOST_S = 2.0
"""How long stopping waits for a database that is away."""

VIEW_S = 1.0
"""How long what was seen of the others' calls is good for while somebody waits."""

LOG_AGAIN_S = 3.0
"""How long a log that failed is left alone."""

log = structlog.get_logger()

Waiter = asyncio.Future[Reservation]


class _Admitted(NamedTuple):
    waiter: Waiter
    reservation: Reservation


@dataclass(slots=True)
class Lanes:
    """Hands out reservations. `shared` is the log of all processes behind the same address; without it we are alone.

    While the database is away each process keeps to its part of the limit, as many as there were when last seen.
    """

    budget: Budget
    shared: BudgetLog | None = None
    clock: Callable[[], float] = time.monotonic
    on_waited: Callable[[Lane, float], None] = lambda *_: None
    on_refused: Callable[[Lane], None] = lambda _: None
    _queues: dict[Queue, deque[Waiter]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _seen_at: float = float("-inf")
    _log_away_until: float = float("-inf")
    _untold: bool = False
    _dispatcher: asyncio.Task[None] | None = None
    _telling: asyncio.Task[None] | None = None

    async def reserve(self, lane: Lane, *, identified: bool, until: float) -> Reservation:
        """Wait until `until` at most (seconds of our clock), then raise BudgetExhausted."""
        queue, began = Queue(lane, identified), self.clock()
        if self._is_free_at_once(queue, began):
            return self.budget.take(queue, began)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._queues.setdefault(queue, deque()).append(waiter)
        self._look_again()
        try:
            async with asyncio.timeout(max(0.0, until - began)):
                return await waiter
        except TimeoutError:
            self._unwanted(waiter)
            self.on_refused(lane)
            raise BudgetExhausted(
                "You are making requests too quickly.",
                self.budget.promise(identified, self.clock()) if lane is Lane.SHOPPER else WINDOW_S,
            ) from None
        except asyncio.CancelledError:
            self._unwanted(waiter)
            raise
        finally:
            self._leave(queue, waiter)
            self.on_waited(lane, self.clock() - began)

    def release(self, reservation: Reservation) -> None:
        """The call has ended."""
        self.budget.release(reservation, self.clock())
        self._tell_others(reservation)
        self._look_again()

    def give_back(self, reservation: Reservation) -> None:
        """The call was never made."""
        self.budget.give_back(reservation)
        self._tell_others(reservation)
        self._look_again()

    async def stop(self) -> None:
        """Nobody waits any more: end the dispatcher, tell the other processes what has ended."""
        if self._dispatcher:
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)
        if self._telling:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_AT_MOST_S):
                    await self._telling

    # --- handing out ---

    def _is_free_at_once(self, queue: Queue, now: float) -> bool:
        """Nobody waits, and nobody else needs to be asked."""
        alone = self.shared is None or not self.budget.limits[queue.identified]
        return alone and not self._queues and self.budget.admit({queue}, now) == queue

    def _look_again(self) -> None:
        self._changed.set()
        if self._queues and (self._dispatcher is None or self._dispatcher.done()):
            self._dispatcher = asyncio.create_task(self._dispatch(), name="lanes")

    async def _dispatch(self) -> None:
        """Runs while somebody waits."""
        while self._drop_those_who_left():
            self._changed.clear()
            admitted = await self._admit()
            if isinstance(admitted, float):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(admitted):
                        await self._changed.wait()
            else:
                self._hand(admitted)

    async def _admit(self) -> _Admitted | float:
        """Who may go next, written into the log before he does; or how long nobody may."""
        now = self.clock()
        chosen = self.budget.admit(self._queues.keys(), now)
        if self.shared is None or (isinstance(chosen, Queue) and not self.budget.limits[chosen.identified]):
            return self._take()
        if now < self._log_away_until:
            return _soon(self._take())
        if isinstance(chosen, float) and now < self._seen_at + VIEW_S:
            return _soon(chosen)  # what the others did in the meantime is looked at in a moment
        admitted: _Admitted | float = 0.0
        try:
            async with asyncio.timeout(TURN_AT_MOST_S), self.shared.turn(self.clock) as turn:
                self._see(turn)
                admitted = self._take()
                if not isinstance(admitted, float):
                    await turn.record(self.budget.own_calls())
        except Exception as error:  # noqa: BLE001 - whatever ails the log, shoppers are served without it
            self._log_is_away(self.shared, error)
            admitted = self._take() if isinstance(admitted, float) else admitted
        return _soon(admitted)

    @property
    def log_is_away(self) -> bool:
        """The other processes' calls are not seen, nor ours by them."""
        return self.shared is not None and self.clock() < self._log_away_until

    @property
    def is_awaited(self) -> bool:
        """Somebody waits for budget."""
        return bool(self._queues)

    def by_lane(self) -> dict[Lane, tuple[int, int]]:
        """How many calls of each lane count now, and how many wait in this process."""
        counted = self.budget.counted(self.clock())
        return {
            lane: (counted[lane], sum(len(waiting) for queue, waiting in self._queues.items() if queue.lane is lane))
            for lane in Lane
        }

    def _see(self, turn: Turn) -> None:
        self.budget.sharers = 1
        self.budget.see_others(turn.others)
        self._seen_at = self.clock()

    def _log_is_away(self, shared: BudgetLog, error: Exception) -> None:
        """Each process keeps to its part for a while, so that shoppers do not wait for a slow database each time."""
        self.budget.sharers = shared.sharers
        self._log_away_until = self.clock() + LOG_AGAIN_S
        log.warning("budget is kept alone", sharers=shared.sharers, error=f"{type(error).__name__}: {error}")

    def _take(self) -> _Admitted | float:
        if not self._drop_those_who_left():
            return 0.0
        chosen = self.budget.admit(self._queues.keys(), self.clock())
        if isinstance(chosen, float):
            return chosen
        return _Admitted(self._queues[chosen].popleft(), self.budget.take(chosen, self.clock()))

    def _hand(self, admitted: _Admitted) -> None:
        if admitted.waiter.done():
            self.give_back(admitted.reservation)
        else:
            admitted.waiter.set_result(admitted.reservation)

    # --- leaving ---

    def _drop_those_who_left(self) -> bool:
        """A waiter that was cancelled leaves by itself a moment later. True: somebody still waits."""
        left = {queue: deque(each for each in waiting if not each.done()) for queue, waiting in self._queues.items()}
        self._queues = {queue: waiting for queue, waiting in left.items() if waiting}
        return bool(self._queues)

    def _unwanted(self, waiter: Waiter) -> None:
        """The waiter was given a reservation in the very moment in which it gave up."""
        if waiter.done() and not waiter.cancelled():
            self.give_back(waiter.result())

    def _leave(self, queue: Queue, waiter: Waiter) -> None:
        waiting = self._queues.get(queue, deque())
        if waiter in waiting:
            waiting.remove(waiter)
        self._drop_those_who_left()

    def _tell_others(self, reservation: Reservation) -> None:
        if self.shared is None or not reservation.counted:
            return
        self._untold = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(self.shared), name="budget log")

    async def _tell(self, shared: BudgetLog) -> None:
        """Until it is told, the others count the call as running."""
        while self._untold:
            self._untold = False
            try:
                async with asyncio.timeout(TURN_AT_MOST_S), shared.turn(self.clock) as turn:
                    self._see(turn)
                    await turn.record(self.budget.own_calls())
            except Exception as error:  # noqa: BLE001 - as when admitting
                self._log_is_away(shared, error)
                self._untold = True
                await asyncio.sleep(TELL_AGAIN_S)


def _soon(admitted: _Admitted | float) -> _Admitted | float:
    """With others behind our address, nobody waits long without a look at what they did."""
    return min(admitted, VIEW_S) if isinstance(admitted, float) else admitted
