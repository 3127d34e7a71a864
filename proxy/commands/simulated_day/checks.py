"""Checks and sweeps: they read pages, a call each, and the planner of the proxy says what these mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.commands.simulated_day.calls import Calls
from proxy.commands.simulated_day.loads import Loads
from proxy.commands.simulated_day.releases import Releases
from proxy.commands.simulated_day.stores import Store
from proxy.commands.simulated_day.world import HOUR_S, PACE, SHOWN, TICK_S, World
from proxy.domain.budget import Lane
from proxy.domain.delta import NEWEST, Changes, Contradiction, Observed, PageOf, next_step
from proxy.domain.hold_down import HOLD_DOWN_S
from proxy.domain.rotation import audit_pages, page_of_rotation
from proxy.domain.schedule import Task, Work

ATTEMPTS = 3
OLDEST_LOOK_S = 600.0
"""How old the oldest row is is looked up so often: it takes long."""


class Checks:
    """`running` is what is done to stores now, by their names."""

    def __init__(self, world: World, calls: Calls, loads: Loads, releases: Releases) -> None:
        self.world = world
        self.calls = calls
        self.loads = loads
        self.releases = releases
        self.running: dict[str, Work] = {}
        loads.start = self.start

    def start(self, store: Store, task: Task, lane: Lane | None = None) -> None:
        if store.busy_since is not None or self.world.now < store.held_until:
            return
        self.loads.count(store)
        store.busy_since = self.world.now
        store.loads += 1  # while it runs loads are counted together
        self.running[store.name] = task.work
        is_first = store.mirror is None
        reads = is_first or task.work is not Work.CHECK
        steps = self._sweep_and_check(store) if reads else self._check(store, task.audits)
        if is_first or self.world.now >= store.oldest_at + PACE.content_max_age_s:
            self.loads.expect(store)
        self._go_on(store, steps, lane or (Lane.SWEEP if reads else Lane.CHECK), counts=not is_first)

    def find_oldest_row(self, store: Store) -> None:
        if store.mirror is None or self.world.now < store.oldest_looked_at + OLDEST_LOOK_S:
            return
        store.oldest_looked_at = self.world.now
        store.rows_at = {row: store.rows_at[row] for row in store.mirror if row > 0}
        store.oldest_at = min(store.rows_at.values(), default=self.world.now)

    def _go_on(self, store: Store, steps: Iterator[None], lane: Lane, *, counts: bool) -> None:
        """Each step is a page that is read. The first sweep does not count against what a store may cost."""
        if next(steps, False) is False:
            self._ended(store, failed=False)
            return

        def done(answered: bool) -> None:
            if not answered:
                self._ended(store, failed=True)
                return
            store.spent[int(self.world.now // HOUR_S)] += counts
            self._go_on(store, steps, lane, counts=counts)

        self.calls.make(lane, done)

    def _ended(self, store: Store, *, failed: bool) -> None:
        self.loads.count(store)
        if failed:
            store.held_until = self.world.now + HOLD_DOWN_S
            self.world.told.stale += store.waiting
        else:
            self.world.told.misses += store.waiting
        store.waiting = 0.0
        store.busy_since = None
        del self.running[store.name]
        self.find_oldest_row(store)
        store.known_until = self.world.now
        self.loads.expect(store)

    def _sweep_and_check(self, store: Store) -> Iterator[None]:
        yield from self._sweep(store)
        yield from self._check(store, 0)

    def _sweep(self, store: Store) -> Iterator[None]:
        ids: dict[int, None] = {}
        number, places = 1, 0
        while places < len(store.truth):
            page = SHOWN.page_at(places, len(store.truth)) or PageOf(number)
            asked_at = self.world.now
            yield
            ids |= dict.fromkeys(self._read(store, page, asked_at).ids[:: -1 if page.ascending else 1])
            number, places = number + 1, places + SHOWN.per_page
        self.loads.count(store)
        store.mirror = tuple(ids)
        store.steps.clear()

    def _read(self, store: Store, page: PageOf, asked_at: float) -> Observed:
        """Rows are no younger than the request for them."""
        observed = store.page(page)
        store.rows_at |= dict.fromkeys(observed.ids, asked_at)
        return observed

    def _check(self, store: Store, audits: int) -> Iterator[None]:
        for _ in range(ATTEMPTS):
            began = self.world.now
            yield
            seen, version = [self._read(store, NEWEST, began)], store.version
            audited = audit_pages(store.audit, audits, len(store.truth), SHOWN)
            wanted = [page for number in audited if (page := page_of_rotation(number, SHOWN)) != NEWEST]
            while True:
                step = wanted.pop() if wanted else self._next_step(store, seen, version)
                if isinstance(step, PageOf):
                    asked_at = self.world.now
                    yield
                    seen.append(self._read(store, step, asked_at))
                elif isinstance(step, Changes):
                    self._apply(store, step, began)
                    if audited:
                        store.reconciled_at, store.audit = began, audited[-1] + 1
                    return
                elif isinstance(step, Contradiction):
                    break
        yield from self._sweep(store)

    def _next_step(self, store: Store, seen: Sequence[Observed], version: int) -> object:
        """The planner is pure: of the same mirror and the same pages of the same truth it is not asked twice."""
        if store.version != version:
            return next_step(store.mirror or (), seen, SHOWN)
        key = version, tuple(each.page for each in seen)
        if key not in store.steps:
            store.steps = {each: step for each, step in store.steps.items() if each[0] == version}  # type: ignore[index]
            store.steps[key] = next_step(store.mirror or (), seen, SHOWN)
        return store.steps[key]

    def _apply(self, store: Store, changes: Changes, began: float) -> None:
        self.loads.count(store)
        if changes.order != store.mirror:
            store.mirror = changes.order
            store.steps.clear()
        store.checked_at = began
        for gone in changes.removed:
            self._tell_removed(store, gone)
        for added in changes.added:
            if release := store.releases.get(added):
                self.releases.match(release)
        self._find_hidden(store, began)

    def _tell_removed(self, store: Store, gone: int) -> None:
        if (sold_at := store.sold_at.pop(gone, None)) is None:
            return
        shown_s = store.shown_at - sold_at
        lasted_s = self.world.now - (store.busy_since or self.world.now)
        if gone in store.hidden:
            store.hidden.discard(gone)
            self.world.told.hidden_s.append(max(0.0, shown_s))
        elif shown_s > 0:
            self.world.told.staleness_s.append(shown_s)
            self.world.told.late += shown_s > PACE.check_s + lasted_s + TICK_S

    def _find_hidden(self, store: Store, began: float) -> None:
        """Sold before this check, and still shown: something that it does not know of makes up for it in the counts."""
        known = set(store.mirror or ())
        over = [gone for gone, at in store.sold_at.items() if at < began and gone in known]
        if over and any(row not in known for row in store.truth):
            store.hidden.update(over)
