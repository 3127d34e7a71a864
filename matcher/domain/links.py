"""Links live and die: what a link is after a look at it, and when to look again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class LinkState(StrEnum):
    """What a link was found to be. As the outcome of a look, UNKNOWN means that nothing was learnt."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    BLOCKED = "blocked"
    """In some regions; it plays elsewhere."""
    BLOCKED_EVERYWHERE = "blocked_everywhere"
    NOT_EMBEDDABLE = "not_embeddable"
    """It plays on its own page only."""
    REFUSED = "not_embeddable_or_gone"
    """Whoever was asked does not say which."""
    DEAD = "dead"

    @property
    def is_bad(self) -> bool:
        """A shop's player, which embeds it, cannot play it for anybody."""
        return self in BAD


BAD = frozenset({LinkState.BLOCKED_EVERYWHERE, LinkState.NOT_EMBEDDABLE, LinkState.REFUSED, LinkState.DEAD})

ROLLING = (timedelta(days=7), timedelta(days=14))
"""A link that is well is looked at again within this span, so that all of them are spread over it."""

CONFIRMED_AFTER = timedelta(hours=4)
"""What merely is not there counts as dead when it still is not after so long."""
CONFIRMED_WITHIN = timedelta(hours=2)
"""After that; the second look is spread as well."""

REVIVED_FIRST, REVIVED_LAST = timedelta(days=1), timedelta(days=28)
"""A hidden link is looked at again after the first, then ever more seldom, down to the last."""

SILENT_FIRST, SILENT_LAST = timedelta(minutes=15), timedelta(days=1)
"""The same after a look that told nothing."""

SCHEDULED_MOST = max(ROLLING[1], REVIVED_LAST, SILENT_LAST, CONFIRMED_AFTER + CONFIRMED_WITHIN)
CLOCKS_DIFFER = timedelta(hours=1)
"""By so much those of several machines may. What lies further ahead than it can was written by one that was wrong."""

TOLD_FOR = timedelta(days=29, hours=12)
"""What YouTube's API told is blanked when it has not been told anew for so long. Its terms say 30 days:
https://developers.google.com/youtube/terms/developer-policies (III.E.4)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look told. `is_explicit`: in so many words, rather than by knowing nothing of it."""

    state: LinkState
    is_explicit: bool = False
    title: str | None = None
    """As told now, with `duration_s`; None where the look does not tell it."""
    duration_s: int | None = None


NOTHING_LEARNT = Seen(LinkState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Link:
    """What is known of a link. `hidden_since`: no shopper sees it."""

    state: LinkState = LinkState.UNKNOWN
    hidden_since: datetime | None = None
    doubts: int = 0
    """Bad looks in a row, since `doubted_since`."""
    doubted_since: datetime | None = None
    silences: int = 0
    """Looks in a row that told nothing."""


def after(link: Link, seen: Seen, now: datetime, chance: float) -> tuple[Link, datetime]:
    """The link after a look at it, and when to look again; `chance` 0-1 spreads that.

    No silence, however long, makes a link better or worse.
    """
    if seen.state is LinkState.UNKNOWN:
        pause = _doubled(SILENT_FIRST, SILENT_LAST, link.silences)
        return replace(link, silences=link.silences + 1), now + pause * (1 + chance) / 2
    if not seen.state.is_bad:
        first, last = ROLLING
        return Link(seen.state), now + first + (last - first) * chance
    since = min(link.doubted_since or now, now)
    doubted = replace(link, doubts=link.doubts + 1, doubted_since=since, silences=0)
    if link.hidden_since is None and not seen.is_explicit and now - since < CONFIRMED_AFTER:
        return doubted, since + CONFIRMED_AFTER + CONFIRMED_WITHIN * chance
    hidden = replace(doubted, state=seen.state, hidden_since=link.hidden_since or now)
    pause = _doubled(REVIVED_FIRST, REVIVED_LAST, link.doubts if link.hidden_since else 0)
    return hidden, now + pause * (1 + chance) / 2


def _doubled(first: timedelta, last: timedelta, times: int) -> timedelta:
    return min(last, first * float(2 ** min(times, 30)))


def is_suspicious(looks: Sequence[tuple[Link, Seen]]) -> bool:
    """Most of what was well went bad at once, be it a single link: who says so may be lying."""
    well = [seen for link, seen in looks if not link.state.is_bad]
    return sum(seen.state.is_bad for seen in well) * 2 > len(well)
