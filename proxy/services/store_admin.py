"""What operators see of the stores, and how they change which ones are kept true."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from matcher.database import Database
from proxy.adapters import doubts, mirror, tracking
from proxy.adapters.tracking import EPOCH
from proxy.domain.asked import encoded_cursor
from proxy.domain.budget import Lane
from proxy.domain.counting import Calls
from proxy.domain.known_stores import STORES_NAMED, AskedStores
from proxy.domain.merge import description_of
from proxy.domain.schedule import Forecast, Store, effective_interval_s, sweep_left_s
from proxy.domain.wire import decode_json
from proxy.errors import Conflict, NotFound
from proxy.services.checks import CheckService
from proxy.services.doubt import DoubtService
from proxy.services.scheduler import Scheduler

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Report:
    """A body, and whether the work that it tells of has ended."""

    body: Json
    is_done: bool


@dataclass(slots=True)
class StoreAdmin:
    """Usernames are lower case. Every method raises DatabaseUnavailable."""

    database: Database
    checks: CheckService
    scheduler: Scheduler
    doubt: DoubtService
    wait_s: float
    """How long adding a store waits for its first page."""

    async def listed(self, asked: AskedStores) -> Json:
        """Stores that are known, those tracked first, and what is to be expected of all."""
        everything = await self._everything()
        following = [row for row in _rows_of(everything) if asked.after is None or _place_of(row) > asked.after]
        shown = following[: asked.limit]
        ends = len(following) <= asked.limit
        async with self.database.connection() as connection:
            forwarded = await tracking.told_forwarded(connection)
        return {
            **everything,
            "forwarded": [{**each._asdict(), "asked_at": _told(each.asked_at)} for each in forwarded],
            "stores": shown,
            "next": None if ends else encoded_cursor(STORES_NAMED, _place_of(shown[-1])),
        }

    async def _everything(self) -> Json:
        found, tracked = await self._stores()
        expected = self.scheduler.forecast(tracked)
        async with self.database.connection() as connection:
            states = {each.username: each for each in await mirror.states(connection)}
            known = await tracking.known_listings(connection)
            gone = await tracking.gone(connection, self.scheduler.named)
            calls, together = await tracking.calls_of_a_day(connection)
        names = {each.username for each in tracked}
        due = [each for each in tracked if each.is_to_be_swept]
        rows = [
            self._row(store, store.username in names, sweep_left_s(store, due, expected), expected)
            | {"coverage": {"known": known.get(store.username, 0), "total": store.items}}
            | {"version": states[store.username].version}
            | {"gone_at": _told(gone.get(store.username))}
            | {"calls_24h": self._calls_of(store, calls.get(store.username, Calls()))}
            for store in found
            if store.username in states
        ]
        progress = asdict(await self.scheduler.progress(tracked))
        return {
            "stores": sorted(rows, key=_place_of),
            "check_interval_ms": self._interval_ms(expected),
            "calls_24h": together.as_json(),
            "progress": progress,
        }

    async def add(self, username: str, request_id: str) -> Report:
        """Track a store, whoever asks for it. Raises ProxyError, NotFound where Discogs has no such user.

        Waits for the first page of a store that is new, as nobody knows before how long it is.
        """
        async with self.database.connection() as connection:
            state = await mirror.make_known(connection, username)
        if not state.is_mirrored:
            check = self.checks.check(username, Lane.CHECK, request_id)
            if await check.shows(self.wait_s) and check.error:  # else it is read behind
                raise check.error
        async with self.database.transaction() as connection:  # a check that ends just now must not forget it between
            await mirror.make_known(connection, username)
            await tracking.pin(connection, username)
        self.scheduler.wake()
        everything = await self._everything()
        row = _row_of(everything, username)
        body: Json = {"store": row, "check_intervals_ms": _intervals_of(everything)}
        body |= {name: value for name, value in everything.items() if name != "stores"}
        return Report(body, bool(row["mirrored"]))

    async def remove(self, username: str) -> None:
        """Forget a store and its listings; releases and matches stay. Raises Conflict, NotFound."""
        if username in self.scheduler.named:
            raise Conflict(f"{username} is in STORES: take it out there, then restart.")
        _row_of(await self._everything(), username)
        async with self.database.connection() as connection:
            await mirror.forget(connection, username)

    async def pause(self, username: str, *, paused: bool) -> Json:
        """Check a store only when it is asked for, or by schedule again; how it is then. Raises NotFound."""
        _row_of(await self._everything(), username)
        async with self.database.connection() as connection:
            await tracking.pause(connection, username, paused=paused)
        self.scheduler.wake()
        return _row_of(await self._everything(), username)

    async def sync(self, username: str, request_id: str, at_most_s: float) -> Report:
        """Check a store that is known now, and tell what was found. Raises ProxyError."""
        _row_of(await self._everything(), username)
        check = self.checks.check(username, Lane.CHECK, request_id)
        is_done = await check.ended(at_most_s)
        if is_done and check.error:
            raise check.error
        found = asdict(check.found)
        del found["is_first"]
        result = check.result if is_done else "running"
        return Report({"result": result, **found, "store": _row_of(await self._everything(), username)}, is_done)

    async def hide(self, username: str, listing_id: int) -> Json:
        """Show a listing to nobody until the next check has seen how it is. Raises NotFound."""
        row = _row_of(await self._everything(), username)
        async with self.database.connection() as connection:
            found = await mirror.known_row(connection, username, listing_id)
        if found is None:
            raise NotFound(
                f"{username} has no listing {listing_id} that is known here: if it is new, the next check finds it."
            )
        await self.doubt.doubt(username, listing_id, hide=True)
        async with self.database.connection() as connection:
            hidden = await doubts.hidden(connection, username)
        return {
            "store": username,
            "listing_id": listing_id,
            "description": description_of(decode_json(found.body)),
            "hidden": hidden,
            "next_check_at": self._next_check_at(row),
        }

    def _next_check_at(self, row: Json) -> str | None:
        """At the earliest; None: with the next request for the store, as it is not tracked."""
        checked_at, interval_ms = row["checked_at"], row["check_interval_ms"]
        if not isinstance(interval_ms, int):
            return None
        now = self.scheduler.now()
        if not isinstance(checked_at, str):
            return now.isoformat()
        return max(now, datetime.fromisoformat(checked_at) + timedelta(milliseconds=interval_ms)).isoformat()

    async def _stores(self) -> tuple[list[Store], list[Store]]:
        """All, and those tracked."""
        tracked = await self.scheduler.watched()
        async with self.database.connection() as connection:
            return await tracking.stores(connection, self.scheduler.named, everything=True), tracked

    def _interval_ms(self, expected: Forecast) -> int:
        """Of all stores, while they are looked at."""
        return round(self.scheduler.pace.check_s * expected.stretch * 1000)

    def _row(self, store: Store, is_tracked: bool, left_s: float | None, expected: Forecast) -> Json:
        interval_s = effective_interval_s(store, self.scheduler.pace, self.scheduler.now(), expected)
        pages = None if store.items is None else store.pages
        return {
            "username": store.username,
            "tracked": self._why(store) if is_tracked else None,
            "mirrored": store.is_mirrored,
            "paused": store.is_paused,
            "items": store.items,
            "checked_at": _told(store.checked_at),
            "reconciled_at": _told(store.reconciled_at),
            "requested_at": _told(store.requested_at),
            "sweep": {"pages_read": store.sweep_page, "pages": pages} if store.is_to_be_swept else None,
            "seconds_left": None if left_s is None or not is_tracked else round(left_s),
            "check_interval_ms": round(interval_s * 1000) if is_tracked else None,
        }

    def _calls_of(self, store: Store, calls: Calls) -> Json:
        """What operators see, and what the schedule goes by."""
        return {**calls.as_json(), "replaced": store.replaced_calls, "checks": store.check_calls}

    def _why(self, store: Store) -> str:
        if store.username in self.scheduler.named:
            return "settings"
        return "operator" if store.is_pinned else "requests"


def _rows_of(everything: Json) -> list[Json]:
    rows = everything["stores"]
    assert isinstance(rows, list)  # noqa: S101 - made above
    return rows


def _place_of(row: Json) -> tuple[bool, str]:
    """In the list."""
    return row["tracked"] is None, str(row["username"])


def _row_of(everything: Json, username: str) -> Json:
    """Raises NotFound."""
    for row in _rows_of(everything):
        if row["username"] == username:
            return dict(row)
    raise NotFound(f"{username} is not known here: PUT /api/admin/stores/{username} adds it.")


def _intervals_of(everything: Json) -> Json:
    """Of all stores that are tracked, as the budget lets them be checked now."""
    return {str(row["username"]): row["check_interval_ms"] for row in _rows_of(everything) if row["tracked"]}


def _told(moment: datetime | None) -> str | None:
    return None if moment is None or moment == EPOCH else moment.isoformat()
