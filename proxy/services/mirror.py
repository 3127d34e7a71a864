"""Inventory pages of tracked stores from the mirror: any page at the cost of one, without a call while it is true.

What the mirror cannot answer (not read yet, another sort, rows missing or too old) goes the way of copies, and what is
lacking is read behind the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from matcher.database import Database
from matcher.errors import DatabaseUnavailable
from matcher.models import Audio
from proxy.adapters import mirror
from proxy.adapters.mirror import MirrorRow, StoreState
from proxy.domain.budget import Lane
from proxy.domain.hold_down import HoldDown
from proxy.domain.lifetimes import Use, may_leave
from proxy.domain.mirror import MirrorPage, Way, page_asked_for, pagination
from proxy.domain.policy import MIRROR, Decision, Source
from proxy.domain.request import ShopRequest
from proxy.domain.schedule import PAGES_MAX, pages_of, renewal_pays
from proxy.domain.visibility import is_poor
from proxy.errors import NotFound
from proxy.services.checks import CheckService
from proxy.services.copies import TooPoor
from proxy.services.orders import Order, Orders
from proxy.settings import OFFICIAL_API_URL

RENEWED_EVERY_S = 600.0
"""A renewal reads all pages: what one did not mend, the next is not to try at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FromMirror:
    """`head` is the page without its `rows`, or the message of a refusal. `fresh_until` None: made for this once.

    `seller` is the object that belongs into each row, as JSON, `known` what is known of the rows' releases.
    """

    status: int
    head: dict[str, object]
    rows: Sequence[MirrorRow]
    known: Mapping[int, Audio]
    seller: bytes | None
    decision: Decision
    checked_at: datetime
    fresh_until: datetime | None


@dataclass(frozen=True, slots=True)
class AskUpstream:
    """The mirror does not answer. `fill`: the store has not been read yet.

    `renew`: rows are missing or too old, all `pages` are to be read again; 0: at once.
    """

    fill: bool = False
    renew: bool = False
    pages: int = 0


FILL = AskUpstream(fill=True)
RENEW = AskUpstream(renew=True)


@dataclass(slots=True)
class MirrorService:
    """Pages are cut from orders in memory; their rows are read by their ids. Usernames are lower case inside."""

    database: Database
    orders: Orders
    checks: CheckService
    is_tracked: Callable[[str], bool]
    content_max_age_s: float
    deadline_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _renewed: HoldDown = field(default_factory=HoldDown)
    _past_the_mirror: dict[str, deque[float]] = field(default_factory=dict)
    """When pages of each store were read from upstream, as its rows were too old; no longer than that counts."""

    async def find(self, request: ShopRequest, username: str, request_id: str) -> FromMirror | AskUpstream:
        """Raises TooPoor."""
        asked = self._asked(request, username)
        if asked is None:
            return AskUpstream()
        try:
            return await self._find(asked, request_id)
        except DatabaseUnavailable:
            return AskUpstream()

    async def instead(self, request: ShopRequest, username: str) -> FromMirror | None:
        """Where upstream fails: what is known, if it may leave the proxy. Raises TooPoor."""
        asked = self._asked(request, username)
        if asked is None:
            return None
        try:
            view = await self._view(asked)
        except DatabaseUnavailable:
            return None
        return self._shown(view, Use.IF_UPSTREAM_FAILS) if isinstance(view, _View) else None

    def begin_behind(self, username: str, ask: AskUpstream, request_id: str) -> None:
        """A sweep of what an answer showed to be lacking, unless it failed a moment ago."""
        store = username.lower()
        pays = self._renewal_pays(store, ask.pages) if ask.renew else ask.fill
        if pays and not self.checks.is_held(store) and not (ask.renew and self._is_renewed(store)):
            self.checks.check(store, Lane.SWEEP, request_id, renew=ask.renew)

    # --- the way of a request ---

    def _asked(self, request: ShopRequest, username: str) -> _Asked | None:
        """None for what must not, or cannot, be answered from here."""
        if not (request.wants_json and request.ask.shared) or request.media_types or not self.is_tracked(username):
            return None
        page = page_asked_for(request.raw_query)
        return _Asked(request, username.lower(), page) if page else None

    async def _find(self, asked: _Asked, request_id: str) -> FromMirror | AskUpstream:
        view = await self._view(asked)
        if isinstance(view, AskUpstream):
            return view
        match self.checks.way(view.state):
            case Way.FRESH:
                return self._shown(view, Use.FRESH)
            case Way.WHILE_CHECKED:
                self.checks.check(asked.username, Lane.CHECK, request_id)
                return self._shown(view, Use.WHILE_RENEWED)
            case Way.IF_CHECK_FAILS:
                is_gone = self.checks.is_unknown(asked.username)
                return AskUpstream() if is_gone else self._shown(view, Use.IF_UPSTREAM_FAILS)
            case Way.AFTER_CHECK:
                return await self._after_check(asked, request_id)
            case Way.UNPAID:
                return AskUpstream()
            case Way.UPSTREAM:
                return FILL if view.state.purged else RENEW

    async def _after_check(self, asked: _Asked, request_id: str) -> FromMirror | AskUpstream:
        check = self.checks.check(asked.username, Lane.SHOPPER, request_id)
        await self.checks.ended(asked.username, check, self.deadline_s)
        if isinstance(check.error, NotFound):
            return AskUpstream()
        view = await self._view(asked)
        if isinstance(view, AskUpstream):
            return view
        if self.checks.way(view.state) is Way.FRESH:
            return self._shown(view, Use.FRESH, waited=True)
        return self._shown(view, Use.IF_UPSTREAM_FAILS)

    # --- renewals ---

    def _renewal_pays(self, username: str, pages: int) -> bool:
        now = self.now().timestamp()
        for store in [each for each, last in self._past_the_mirror.items() if now - last[-1] >= self.content_max_age_s]:
            del self._past_the_mirror[store]
        asked_at = self._past_the_mirror.setdefault(username, deque(maxlen=PAGES_MAX))
        asked_at.append(now)
        return renewal_pays((now - at for at in asked_at), pages, self.content_max_age_s)

    def _is_renewed(self, username: str) -> bool:
        """It was begun a while ago; else it is noted that it begins now."""
        now = self.now().timestamp()
        if self._renewed.holds(username, now):
            return True
        self._renewed.failed(username, now, RENEWED_EVERY_S)
        return False

    # --- what is known ---

    async def _view(self, asked: _Asked) -> _View | AskUpstream:
        """The page as the mirror has it, if all of it is known and may leave. Raises DatabaseUnavailable.

        Placeholders stand where a long store could not be read: there is nothing to mend.
        """
        async with self.database.connection() as connection:
            state = await mirror.state(connection, asked.username)
            if state is None or not state.is_mirrored or state.checked_at is None:
                return FILL
            if (order := await self.orders.of(connection, state)) is None:
                return FILL
            if asked.page.refusal(len(order.ids)):
                return _View(asked, state, order, (), {})
            ids = list(asked.page.cut(order.ids))
            if any(each < 0 for each in ids):
                return AskUpstream()
            found, known = await mirror.rows_with_audio(connection, asked.username, ids)
        if len(found) < len(ids):
            return RENEW
        rows = [found[each] for each in ids]
        if not all(map(self._may_leave, {row.fetched_at for row in rows})):  # a page was read at one time, or at few
            return replace(RENEW, pages=pages_of(len(order.ids)))
        return _View(asked, state, order, rows, known)

    def _may_leave(self, fetched_at: datetime) -> bool:
        return may_leave(self._ago_s(fetched_at), self.content_max_age_s)

    def _ago_s(self, moment: datetime) -> float:
        return (self.now() - moment).total_seconds()

    # --- the answer ---

    def _shown(self, view: _View, use: Use, *, waited: bool = False) -> FromMirror:
        """Raises TooPoor."""
        request, page, items = view.asked.request, view.asked.page, len(view.order.ids)
        checked_at = view.state.checked_at or self.now()
        decision = self._decision(checked_at, use, waited=waited)
        if refused := page.refusal(items):
            status, message = refused
            return FromMirror(status, {"message": message}, (), {}, None, decision, checked_at, None)
        if request.ask.rich_only and is_poor(b"\n".join(row.body for row in view.rows)):
            raise TooPoor
        urls = f"{OFFICIAL_API_URL}{request.raw_path}"
        head: dict[str, object] = {"pagination": pagination(page, items, urls, request.raw_query)}
        oldest = min((row.fetched_at for row in view.rows), default=checked_at)
        fresh_until = min(
            checked_at + timedelta(seconds=self.checks.interval_s), oldest + timedelta(seconds=self.content_max_age_s)
        )
        reusable_until = fresh_until if use is Use.FRESH else None
        return FromMirror(200, head, view.rows, view.known, view.order.seller, decision, checked_at, reusable_until)

    def _decision(self, checked_at: datetime, use: Use, *, waited: bool) -> Decision:
        age_s = max(0.0, self._ago_s(checked_at))
        ttl_s = self.checks.interval_s - age_s
        if waited:
            return Decision(Source.MISS, age_s, ttl_s, detail=MIRROR, forwarded="stale")
        if use is Use.FRESH:
            return Decision(Source.HIT, age_s, ttl_s, detail=MIRROR)
        return Decision(Source.STALE, age_s, ttl_s, detail=use)


@dataclass(frozen=True, slots=True)
class _Asked:
    request: ShopRequest
    username: str
    page: MirrorPage


@dataclass(frozen=True, slots=True)
class _View:
    """`rows` in the order in which they are to be shown; none for a page that there is not."""

    asked: _Asked
    state: StoreState
    order: Order
    rows: Sequence[MirrorRow]
    known: Mapping[int, Audio]
