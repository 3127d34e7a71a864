"""Sweeps: reads a store's whole For Sale inventory page by page into Postgres, and queues its releases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from matcher import store
from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from matcher.store import Priority
from proxy.adapters import listings
from proxy.adapters.listings import ListingRow
from proxy.adapters.upstream import Answer, Call, Trace, Upstream, checked_json
from proxy.domain.budget import Lane
from proxy.domain.hold_down import HoldDown
from proxy.domain.merge import listings_of, release_id_of
from proxy.domain.visibility import PAGE_WALL, Using, public_inventory
from proxy.domain.wire import encode_json
from proxy.errors import NotFound, ProxyError, UpstreamBroken

PER_PAGE = 100
SWEEP_PATIENCE_S = 120.0
"""How long a sweep waits for budget before it gives up; the next request starts it again."""

log = structlog.get_logger()


@dataclass(slots=True)
class SyncService:
    """Runs at most one sweep per store at a time."""

    database: Database
    upstream: Upstream
    on_enqueued: Callable[[], None]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _sweeps: dict[str, Sweep] = field(default_factory=dict)
    _held: HoldDown = field(default_factory=HoldDown)

    def is_held(self, username: str) -> bool:
        """A sweep failed a moment ago: what is stored is shown without another attempt."""
        return self._held.holds(username, self.now().timestamp())

    def sweep(self, username: str, request_id: str) -> Sweep:
        """The running sweep of the store, or a new one. `username` is lower case."""
        if username not in self._sweeps:
            sweep = Sweep()
            self._sweeps[username] = sweep
            sweep.task = asyncio.create_task(self._sweep(username, sweep, Trace(request_id)), name=f"sweep {username}")
            sweep.task.add_done_callback(lambda _: self._sweeps.pop(username, None))
        return self._sweeps[username]

    async def stop(self) -> None:
        """Cancel what runs; a sweep begins anew after the next start."""
        tasks = [sweep.task for sweep in self._sweeps.values() if sweep.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self, username: str, sweep: Sweep, trace: Trace) -> None:
        try:
            await self._read_all(username, sweep, trace)
        except (ProxyError, DatabaseUnavailable) as error:
            log.warning("sweep ended early", store=username, error=str(error), request_id=trace.request_id)
            self._held.failed(username, self.now().timestamp())
            sweep.fail(error)
        except Exception:
            log.exception("sweep died", store=username, request_id=trace.request_id)
            sweep.fail(ProxyError("An error of the proxy's own; its log tells more."))
        finally:
            sweep.first_page.set()

    async def _read_all(self, username: str, sweep: Sweep, trace: Trace) -> None:
        async with self.database.transaction() as connection:
            generation = await listings.begin_sweep(connection, username)
        page, pages, new_releases = 1, 1, 0
        while page <= min(pages, PAGE_WALL):
            body = await self._page(username, page, trace)
            pages = _whole_number(body, "pages")
            new_releases += await self._write(username, generation, page, body)
            sweep.first_page.set()
            page += 1
        async with self.database.transaction() as connection:
            await listings.swap_in(connection, username, generation, new_releases, self.now())
        log.info("sweep", store=username, pages=pages, new_releases=new_releases, request_id=trace.request_id)

    async def _page(self, username: str, page: int, trace: Trace) -> dict[str, object]:
        operator = self.upstream.operator
        call = Call(
            "GET",
            f"/users/{quote(username, safe='')}/inventory"
            f"?status=For+Sale&sort=listed&sort_order=asc&per_page={PER_PAGE}&page={page}",
            Lane.SHOPPER if page == 1 else Lane.SWEEP,
            Using.OPERATOR if operator else Using.NOBODY,
            patience_s=None if page == 1 else SWEEP_PATIENCE_S,
        )
        return public_inventory(inventory_page(await self.upstream.fetch(call, trace)))

    async def _write(self, username: str, generation: int, page: int, body: dict[str, object]) -> int:
        now = self.now()
        rows = [
            ListingRow(listing_id, (page - 1) * PER_PAGE + place, release_id, encode_json(row), now)
            for place, row in enumerate(listings_of(body))
            if (listing_id := _id(row)) is not None and (release_id := release_id_of(row)) is not None
        ]
        async with self.database.transaction() as connection:
            await listings.write_page(connection, username, generation, _whole_number(body, "items"), rows)
            queued = await store.enqueue(
                connection, [row.release_id for row in rows], priority=Priority.HISTORY, store_username=username
            )
        if queued:
            self.on_enqueued()
        return queued


@dataclass(eq=False, slots=True)
class Sweep:
    """A running sweep: `first_page` is set once there is something to show, or nothing more will come."""

    first_page: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    error: ProxyError | DatabaseUnavailable | None = None

    def fail(self, error: ProxyError | DatabaseUnavailable) -> None:
        self.error = error


def inventory_page(answer: Answer) -> dict[str, object]:
    """Raises NotFound for a store that Discogs does not know, UpstreamBroken for anything but a page."""
    body = checked_json(answer)
    if answer.status == 404:
        raise NotFound(_message(body) or "User does not exist or may have been deleted.")
    if answer.status != 200 or not isinstance(body, dict):
        raise UpstreamBroken(f"Discogs answered {answer.status}, which is no inventory. {_message(body)}".rstrip())
    if not isinstance(body.get("listings"), list) or not all(_has_number(body, key) for key in ("pages", "items")):
        raise UpstreamBroken("Discogs answered with a page that is no inventory.")
    return body


def _has_number(body: dict[str, object], key: str) -> bool:
    pagination = body.get("pagination")
    return isinstance(pagination, dict) and type(pagination.get(key)) is int


def _message(body: object) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def _whole_number(body: dict[str, object], key: str) -> int:
    pagination = body.get("pagination")
    value = pagination.get(key) if isinstance(pagination, dict) else None
    return min(value, 2**31 - 1) if type(value) is int and value >= 0 else 0


def _id(row: dict[str, object]) -> int | None:
    listing_id = row.get("id")
    return listing_id if type(listing_id) is int and 0 < listing_id < 2**63 else None
