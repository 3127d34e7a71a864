"""The loop that looks whether links still play, and hides those that do not.

Any number of processes may run it on one database: a link is leased while it is looked at, and who asks whom how often
is counted for all of them together.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from matcher import links_store
from matcher.database import Database
from matcher.domain.links import NOTHING_LEARNT, ROLLING, TOLD_FOR, LinkState, Seen, after, is_suspicious
from matcher.domain.quota import Pace
from matcher.errors import Broken, DatabaseUnavailable, Unavailable
from matcher.links_store import Leased, Looked
from matcher.quota_store import Quota

BATCH = 50
"""Links leased at once."""
LOOKING = links_store.LEASE / 2
"""How long they are looked at: many workers share one pace, and a platform may be slow. What was not asked by then is
due as before; the rest of the lease is for what follows from the looks."""
IDLE_S = 60.0
"""How often it is looked whether links are due; in the meantime they gather, to be asked for in one call."""
RESTS_AT_LEAST_S = 5.0
"""After a refusal that asks for less."""
UNBELIEVABLE_REST_S = 3600.0
EXPIRY_EACH_S = 600.0
DATABASE_RETRY_S = 5.0


class LinkChecker(Protocol):
    """Looks at the links of one platform, `at_once` with one call, at a pace of its own.

    `known_alive` is an id that surely plays: where even that seems dead, it is not links that died.
    """

    @property
    def name(self) -> str: ...
    @property
    def platform(self) -> str: ...
    @property
    def at_once(self) -> int: ...
    @property
    def pace(self) -> Pace: ...
    @property
    def known_alive(self) -> str: ...

    def id_of(self, url: str) -> str | None:
        """None: it is nothing that can be looked at."""
        ...

    async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        """Raises Unavailable when throttled or failing: then nothing is known of any of them."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a batch, for logs and metrics. `outcomes`: looks by what they told; throttled or broken ones too."""

    checker: str
    platform: str
    outcomes: Mapping[str, int]
    hidden: int
    shown: int
    """Matches that are hidden now, or shown again."""
    seconds: float
    rest_s: float
    error: str | None = None


@dataclass(slots=True)
class _Looks:
    """Of one batch."""

    seen: dict[str, Seen] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    rest_s: float = 0.0
    error: str | None = None


@dataclass(slots=True)
class LinkChecks:
    """`on_checked` is told of each batch."""

    database: Database
    checkers: Sequence[LinkChecker]
    on_checked: Callable[[Checked], None] = lambda _: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random
    idle_s: float = IDLE_S

    async def run(self) -> None:
        """For ever. Killed at any point it loses nothing: leases end, and what is due stays due."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._expire_for_ever())
            for checker in self.checkers:
                group.create_task(self._check_for_ever(checker))

    async def _check_for_ever(self, checker: LinkChecker) -> None:
        while True:
            try:
                checked = await self.check(checker)
            except DatabaseUnavailable:
                await asyncio.sleep(DATABASE_RETRY_S)
                continue
            if checked is not None:
                self.on_checked(checked)
            await asyncio.sleep(self.idle_s if checked is None else checked.rest_s)

    async def check(self, checker: LinkChecker) -> Checked | None:
        """A batch of what is due; None: nothing is. Raises DatabaseUnavailable."""
        started, asked_at = time.monotonic(), self.now()
        async with self.database.transaction() as connection:
            leased = await links_store.claim(connection, checker.platform, BATCH, asked_at)
        if leased is None:
            return None
        ids = {url: found for url in leased.wanted if (found := checker.id_of(url))}
        looks = await self._looks(checker, ids, asked_at + LOOKING)
        await self._believable(checker, leased, looks)
        looked = [
            Looked(url, seen, *after(leased.links[url], seen, self.now(), self.chance()))
            for url, seen in sorted(looks.seen.items())
        ]
        hidden, shown = await self._conclude(leased, looked, asked_at)
        await self._put_back(leased, unasked=ids.keys() - looks.seen.keys(), idle=leased.links.keys() - ids.keys())
        return Checked(
            checker.name,
            checker.platform,
            looks.outcomes,
            hidden,
            shown,
            time.monotonic() - started,
            looks.rest_s,
            looks.error,
        )

    async def _looks(self, checker: LinkChecker, ids: Mapping[str, str], until: datetime) -> _Looks:
        """Until all are looked at, time is over, or the platform cannot answer: then the rest waits."""
        looks = _Looks()
        pace = Quota(self.database, f"links_{checker.name}", (checker.pace,))
        for group in _groups(sorted(ids), checker.at_once):
            if self.now() >= until:
                break
            try:
                await pace.take("")
                told = await checker.look([ids[url] for url in group])
            except Unavailable as error:
                looks.rest_s, looks.error = max(error.retry_after_s, RESTS_AT_LEAST_S), str(error)
                if isinstance(error, Broken):  # perhaps over these very links: they must not be first for ever
                    looks.seen |= dict.fromkeys(group, NOTHING_LEARNT)
                looks.outcomes["broken" if isinstance(error, Broken) else "throttled"] += 1
                break
            looks.seen |= {url: told.get(ids[url], NOTHING_LEARNT) for url in group}
        looks.outcomes.update(seen.state.value for seen in looks.seen.values() if seen.state is not LinkState.UNKNOWN)
        return looks

    async def _believable(self, checker: LinkChecker, leased: Leased, looks: _Looks) -> None:
        """Where a platform calls most links dead at once, it is asked for one that lives."""
        news = [(leased.links[url], seen) for url, seen in looks.seen.items() if seen.state is not LinkState.UNKNOWN]
        if not is_suspicious(news) or await self._tells_the_truth(checker):
            return
        looks.seen = dict.fromkeys(looks.seen, NOTHING_LEARNT)
        looks.outcomes = Counter(unbelievable=len(news))
        looks.rest_s = UNBELIEVABLE_REST_S
        looks.error = f"{checker.name} calls most links dead, but not one that surely lives alive: it is not believed"

    async def _tells_the_truth(self, checker: LinkChecker) -> bool:
        try:
            told = await checker.look([checker.known_alive])
        except Unavailable:
            return False
        return not told.get(checker.known_alive, Seen(LinkState.DEAD)).state.is_bad

    async def _conclude(self, leased: Leased, looked: Sequence[Looked], asked_at: datetime) -> tuple[int, int]:
        """Matches hidden, and shown again. Whoever dies in between left the lease: another does it all again."""
        hidden = shown = 0
        async with self.database.transaction() as connection:
            await links_store.note(connection, leased.token, looked)
        async with self.database.connection() as connection:
            releases = await links_store.that_disagree(connection, looked)
        for release_id in releases:
            async with self.database.transaction() as connection:
                went, came = await links_store.follow(connection, release_id, looked, asked_at)
            hidden, shown = hidden + went, shown + came
        async with self.database.transaction() as connection:
            await links_store.settle(connection, leased.token, looked, self.now())
        return hidden, shown

    async def _put_back(self, leased: Leased, *, unasked: set[str], idle: set[str]) -> None:
        """Nobody looks at what only rejected matches lead to, nor at what is no track or video."""
        async with self.database.transaction() as connection:
            await links_store.put_back(connection, leased.token, unasked, None)
            await links_store.put_back(connection, leased.token, idle, self.now() + ROLLING[1])

    async def _expire_for_ever(self) -> None:
        while True:
            try:
                more = await self.expire()
            except DatabaseUnavailable:
                await asyncio.sleep(DATABASE_RETRY_S)
                continue
            if not more:
                await asyncio.sleep(EXPIRY_EACH_S)

    async def expire(self) -> int:
        """Hide and blank what YouTube's API told too long ago; returns of how many releases.

        Raises DatabaseUnavailable.
        """
        now = self.now()
        told_before = now - TOLD_FOR
        async with self.database.transaction() as connection:
            await links_store.forget_old_answers(connection, told_before)
            releases = await links_store.releases_told(connection, told_before, now)
        for release_id in releases:
            async with self.database.transaction() as connection:
                await links_store.expire(connection, release_id, told_before, now)
        return len(releases)


def _groups(urls: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(urls), size):
        yield urls[start : start + size]
