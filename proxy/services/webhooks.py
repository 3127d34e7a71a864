"""Webhooks: records what shops want to know with the change itself, and delivers it: at least once, in order per store.

Any number of processes may deliver from one database; a store's batch is leased while it is sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, assert_never

import structlog

from matcher.database import Connection, Database
from matcher.domain.breaker import Breaker
from matcher.errors import DatabaseUnavailable
from proxy.adapters import webhook_outbox as outbox
from proxy.adapters.metrics import Metrics
from proxy.adapters.webhook import Receiver
from proxy.adapters.webhook_outbox import Batch
from proxy.background import Health
from proxy.domain.webhook import (
    Delivered,
    Failed,
    Gone,
    Verdict,
    batch_body,
    judge,
    listing_events,
    match_rejected,
    release_matched,
    signed_headers,
)

LOOK_S = 0.5
"""How often it is looked whether something is due, whichever process recorded it."""

HOUSEKEEPING_S = 10.0
NAME = "webhooks"
"""Of the task, and of what is degraded."""

log = structlog.get_logger()


class RecordListings(Protocol):
    """Told ids of listings of a store in the transaction that changes its mirror, and last in it."""

    async def __call__(
        self,
        connection: Connection,
        username: str,
        *,
        added: Collection[int] = (),
        removed: Collection[int] = (),
        changed: Collection[int] = (),
    ) -> None: ...


# --- recording ----------------------------------------------------------------------------------------------------


async def record_listings(
    connection: Connection,
    username: str,
    *,
    added: Collection[int] = (),
    removed: Collection[int] = (),
    changed: Collection[int] = (),
) -> None:
    """As RecordListings says."""
    if added or removed or changed:
        releases = await outbox.releases_of(connection, username, [*added, *removed, *changed])
        events = listing_events(username, releases, added=added, removed=removed, changed=changed)
        await outbox.record(connection, events)


async def record_nothing(
    connection: Connection,
    username: str,
    *,
    added: Collection[int] = (),
    removed: Collection[int] = (),
    changed: Collection[int] = (),
) -> None:
    """Where nobody wants to know."""


async def record_release_matched(connection: Connection, release_id: int) -> None:
    """Last in the transaction that stores its matches."""
    await outbox.record(connection, release_matched(release_id, await outbox.sellers_of(connection, release_id)))


async def record_match_rejected(connection: Connection, release_id: int, match: Mapping[str, object]) -> None:
    """Last in the transaction that rejects it; `match` says its `track_index`, `sub_index` and `match_url`."""
    sellers = await outbox.sellers_of(connection, release_id)
    await outbox.record(connection, match_rejected(release_id, match, sellers))


# --- delivering ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class WebhookService:
    """`key` signs. While the receiver fails altogether it is asked seldom, whatever waits and for whichever store."""

    database: Database
    receiver: Receiver
    key: bytes = field(repr=False)
    metrics: Metrics
    health: Health
    breaker: Breaker = field(default_factory=lambda: Breaker(threshold=3, first_s=5.0, longest_s=300.0))
    events_max: int = outbox.EVENTS_MAX
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    _held_until: float = float("-inf")
    """The receiver asked to be left alone until then."""
    _is_gone: bool = False
    _housekeeping_at: float = float("-inf")
    _is_away: bool = False

    async def run(self) -> None:
        """For ever; while the database is away nothing is sent."""
        while True:
            try:
                delivered = await self._turn()
            except DatabaseUnavailable as error:
                self._tell_once(str(error))
                delivered = False
            else:
                self._is_away = False
            if not delivered:
                await asyncio.sleep(LOOK_S)

    def _tell_once(self, error: str) -> None:
        if not self._is_away:
            log.warning("no webhooks while the database is away", error=error)
        self._is_away = True

    async def _turn(self) -> bool:
        """Whether there may be more to do at once. Raises DatabaseUnavailable."""
        if self.clock() >= self._housekeeping_at + HOUSEKEEPING_S:
            await self._keep_house()
        if self._is_gone or self.clock() < self._held_until or self.breaker.wait_s(self.clock()) is not None:
            return False
        async with self.database.transaction() as connection:
            batch = await outbox.claim(connection)
        if batch is None:
            return False
        if batch.events:
            await self._deliver(batch)
        else:
            await self._end(batch)
        return True

    async def _deliver(self, batch: Batch) -> None:
        body = batch_body(batch.store, batch.events)
        headers = signed_headers(self.key, batch.batch_id, self.now(), body)
        probe = self.breaker.begin()
        began = self.clock()
        try:
            ended = await self.receiver.post(body, headers)
        except BaseException:  # most often that we are told to stop
            self.breaker.abandoned(probe=probe)
            raise
        verdict = judge(ended, batch.attempts + 1, self.jitter(), self.now())
        self.metrics.webhook_deliveries.labels(verdict.outcome).inc()
        tell(
            verdict,
            webhook_id=headers["webhook-id"],
            store=batch.store,
            events=len(batch.events),
            attempt=batch.attempts + 1,
            ms=round((self.clock() - began) * 1000, 1),
        )
        await self._conclude(batch, verdict, probe=probe)

    async def _conclude(self, batch: Batch, verdict: Verdict, *, probe: bool) -> None:
        match verdict:
            case Delivered():
                self.breaker.succeeded()
                self.health.degraded.pop(NAME, None)
                await self._end(batch)
                if probe:
                    async with self.database.transaction() as connection:
                        await outbox.hurry(connection)
            case Failed():
                self.breaker.failed(self.clock(), probe=probe)
                self._held_until = self.clock() + verdict.hold_s
                if self.breaker.is_open:
                    self.health.degraded[NAME] = f"not delivered ({verdict.reason}): what happens meanwhile waits"
                await self._put_off(batch, verdict)
            case Gone():
                self._is_gone = True
                self.health.degraded[NAME] = "the receiver wants no more (status 410): nothing is sent until a restart"
                async with self.database.connection() as connection:
                    await outbox.put_off(connection, batch, 0)
            case _:
                assert_never(verdict)

    async def _end(self, batch: Batch) -> None:
        async with self.database.transaction() as connection:
            await outbox.done(connection, batch)

    async def _put_off(self, batch: Batch, failed: Failed) -> None:
        async with self.database.transaction() as connection:
            await outbox.put_off(connection, batch, failed.retry_s)
            dropped = await outbox.drop_undeliverable(connection, batch)
        self._dropped(dropped, "undeliverable")

    async def _keep_house(self) -> None:
        """Measures what waits, and bounds it."""
        async with self.database.transaction() as connection:
            waiting = await outbox.backlog(connection)
            dropped = await outbox.drop_overflow(connection, self.events_max) if waiting.events > self.events_max else 0
        self._dropped(dropped, "overflow")
        self.metrics.webhook_backlog.set(waiting.events - dropped)
        self.metrics.webhook_backlog_age.set(waiting.age_s)
        self._housekeeping_at = self.clock()

    def _dropped(self, events: int, reason: str) -> None:
        if events:
            self.metrics.webhook_events_dropped.labels(reason).inc(events)
            log.warning("webhook events dropped", events=events, reason=reason)


def tell(verdict: Verdict, **delivery: object) -> None:
    """One line a delivery."""
    match verdict:
        case Delivered():
            log.info("webhook delivered", **delivery)
        case Failed():
            log.warning("webhook not delivered", reason=verdict.reason, retry_s=round(verdict.retry_s, 1), **delivery)
        case Gone():
            log.warning("the webhooks' receiver is gone: nothing is sent until a restart", **delivery)
        case _:
            assert_never(verdict)
