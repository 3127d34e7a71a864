"""The order of each store's listings, kept in memory by the version of its mirror: a page is a cut of it."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

from matcher.database import Connection
from proxy.adapters import middle, mirror
from proxy.adapters.mirror import StoreState
from proxy.domain.middle import with_middle

IDS_MAX = 4_000_000
"""Ids of all stores whose order is kept in memory, at 8 bytes each."""

STORES_MAX = 1000
"""Kept in memory, each with its seller's object of some kilobytes, however few listings it has."""


@dataclass(frozen=True, slots=True)
class Order:
    """`ids` newest first, placeholders among them where a long store could not be read; `known` are those without.

    Of a store that is longer than upstream shows `known` has those too whose exact place is not known. `seller` is the
    object of every row, as JSON.
    """

    version: int
    ids: array[int]
    known: array[int]
    seller: bytes | None

    @property
    def ids_held(self) -> int:
        return len(self.ids) + (0 if self.known is self.ids else len(self.known))


@dataclass(frozen=True, slots=True)
class Backwards(Sequence[int]):
    """A sequence seen from its end, without a copy of it."""

    of: Sequence[int]

    def __len__(self) -> int:
        return len(self.of)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[int]: ...
    def __getitem__(self, at: int | slice) -> int | Sequence[int]:
        places = range(len(self.of) - 1, -1, -1)[at]
        return self.of[places] if isinstance(places, int) else [self.of[place] for place in places]


def _order(version: int, ids: Sequence[int], middle_ids: Sequence[int], seller: bytes | None) -> Order:
    every = array("q", ids)
    has_holes = min(ids, default=0) < 0
    return Order(version, every, array("q", with_middle(ids, middle_ids)) if has_holes else every, seller)


@dataclass(slots=True)
class Orders:
    """Usernames are lower case."""

    ids_max: int = IDS_MAX
    stores_max: int = STORES_MAX
    _kept: OrderedDict[str, Order] = field(default_factory=OrderedDict)
    _drops: int = 0

    def __contains__(self, username: str) -> bool:
        return username in self._kept

    async def of(self, connection: Connection, state: StoreState) -> Order | None:
        """None before the first sweep has ended."""
        username, kept = state.username, self._kept.get(state.username)
        if kept is not None and kept.version == state.version:
            self._kept.move_to_end(username)
            return kept
        drops = self._drops
        if (found := await mirror.order(connection, username)) is None:
            return None
        order = _order(*found, await middle.shown_ids(connection, username), await mirror.seller(connection, username))
        if drops == self._drops:
            self._keep(username, order)
        return order

    def _keep(self, username: str, order: Order) -> None:
        self._kept[username] = order
        self._kept.move_to_end(username)
        while len(self._kept) > self.stores_max or sum(each.ids_held for each in self._kept.values()) > self.ids_max:
            self._kept.popitem(last=False)

    def drop(self, username: str) -> None:
        """Its mirror changed."""
        self._drops += 1
        self._kept.pop(username, None)

    def drop_all(self) -> None:
        self._drops += 1
        self._kept.clear()
