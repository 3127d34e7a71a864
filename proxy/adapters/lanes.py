"""Where calls to Discogs wait for budget: first come, first served in each lane; between lanes the budget decides."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, KeysView
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from matcher.errors import DatabaseUnavailable
from proxy.adapters.budget_log import BudgetLog, Turn
from proxy.domain.budget import WINDOW_S, Budget, Errand, Lane, Queue, Reservation
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


@dataclass(eq=False, slots=True)
class _Waiter:
    errand: Errand
    identified: bool
    given: asyncio.Future[Reservation]

    @property
    def queues(self) -> frozenset[Queue]:
        return frozenset(Queue(lane, self.identified) for lane in self.errand.lanes)


class _Admitted(NamedTuple):
    waiter: _Waiter
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
    _waiting: list[_Waiter] = field(default_factory=list)
    """In the order in which they came."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _seen_at: float = float("-inf")
    _log_away_until: float = float("-inf")
    _untold: bool = False
    _dispatcher: asyncio.Task[None] | None = None
    _telling: asyncio.Task[None] | None = None

    async def reserve(self, errand: Errand, *, identified: bool, until: float) -> Reservation:
        """Wait until `until` at most (seconds of our clock), then raise BudgetExhausted."""
        waiter, began = _Waiter(errand, identified, asyncio.get_running_loop().create_future()), self.clock()
        if queue := self._free_at_once(waiter, began):
            return self.budget.take(queue, began)
        self._waiting.append(waiter)
        self._look_again()
        try:
            async with asyncio.timeout(max(0.0, until - began)):
                return await waiter.given
        except TimeoutError:
            self._unwanted(waiter)
            self.on_refused(errand.lane_now)
            raise BudgetExhausted(
                "You are making requests too quickly.",
                self.budget.promise(identified, self.clock()) if errand.lane_now is Lane.SHOPPER else WINDOW_S,
            ) from None
        except asyncio.CancelledError:
            self._unwanted(waiter)
            raise
        finally:
            self._drop_those_who_left(waiter)
            self.on_waited(errand.lane_now, self.clock() - began)

    def hurry(self, errand: Errand) -> None:
        """A shopper waits for it."""
        errand.is_awaited = True
        self._look_again()

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

    async def look(self) -> None:
        """See what the other processes did meanwhile: who makes no calls has not. As before where that is not known."""
        if self.shared is None or self.log_is_away:
            return
        seen_at = self._seen_at
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(TURN_AT_MOST_S):
                others = await self.shared.others(self.clock)
            if self._seen_at == seen_at:  # else a call has seen more
                self.budget.see_others(others)

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

    def _free_at_once(self, waiter: _Waiter, now: float) -> Queue | None:
        """Nobody waits, and nobody else needs to be asked."""
        alone = self.shared is None or not self.budget.limits[waiter.identified]
        chosen = self.budget.admit(waiter.queues, now) if alone and not self._waiting else None
        return chosen if isinstance(chosen, Queue) else None

    @property
    def _queues(self) -> KeysView[Queue]:
        """Whose first call came first is first."""
        return dict.fromkeys(queue for each in self._waiting for queue in each.queues).keys()

    def _look_again(self) -> None:
        self._changed.set()
        if self._waiting and (self._dispatcher is None or self._dispatcher.done()):
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
        chosen = self.budget.admit(self._queues, now)
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
        return bool(self._waiting)

    def by_lane(self) -> dict[Lane, tuple[int, int]]:
        """How many calls of each lane count now, and how many wait in this process."""
        counted, waiting = self.budget.counted(self.clock()), Counter(each.errand.lane_now for each in self._waiting)
        return {lane: (counted[lane], waiting[lane]) for lane in Lane}

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
        chosen = self.budget.admit(self._queues, self.clock())
        if isinstance(chosen, float):
            return chosen
        first = next(each for each in self._waiting if chosen in each.queues)
        self._waiting.remove(first)
        return _Admitted(first, self.budget.take(chosen, self.clock()))

    def _hand(self, admitted: _Admitted) -> None:
        if admitted.waiter.given.done():
            self.give_back(admitted.reservation)
        else:
            admitted.waiter.given.set_result(admitted.reservation)

    # --- leaving ---

    def _drop_those_who_left(self, leaving: _Waiter | None = None) -> bool:
        """A waiter that was cancelled leaves by itself a moment later. True: somebody still waits."""
        self._waiting = [each for each in self._waiting if each is not leaving and not each.given.done()]
        return bool(self._waiting)

    def _unwanted(self, waiter: _Waiter) -> None:
        """The waiter was given a reservation in the very moment in which it gave up."""
        if waiter.given.done() and not waiter.given.cancelled():
            self.give_back(waiter.given.result())

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
