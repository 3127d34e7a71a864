"""What happens to a store by itself: sales, additions, edits, relistings, and pairs that cancel out in counts."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .catalogue import Catalogue
from .values import SOLD, Listing

EventKind = Literal["sale", "addition", "edit_moving", "edit_silent", "relisting", "insertion", "sale_and_addition"]

WEIGHTS: dict[EventKind, int] = {
    "sale": 40,
    "addition": 30,
    "edit_moving": 8,
    "edit_silent": 7,
    "relisting": 5,
    "insertion": 4,
    "sale_and_addition": 6,
}
SECONDS_PER_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Event:
    """What happened; `gone` and `came` are listing ids that left and entered the public inventory."""

    kind: EventKind
    store: str
    gone: tuple[int, ...] = ()
    came: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()


class Churn:
    def __init__(self, catalogue: Catalogue, seed: int = 0) -> None:
        self._catalogue = catalogue
        self._draw = random.Random(f"{seed}/churn")
        self._acts: dict[EventKind, Callable[[str, float | None], Event]] = {
            "sale": self._sale,
            "addition": self._addition,
            "edit_moving": self._moving_edit,
            "edit_silent": self._silent_edit,
            "relisting": self._relisting,
            "insertion": self._insertion,
            "sale_and_addition": self._balanced,
        }

    def happen(self, store: str, kind: EventKind | None = None, now: float | None = None) -> Event:
        """One event, of a random kind unless told; in an empty store only additions can happen."""
        chosen = kind or self._draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if not self._catalogue.for_sale(store) and chosen not in {"addition", "relisting"}:
            chosen = "addition"
        return self._acts[chosen](store, now)

    def seconds_to_next(self, per_hour: float) -> float:
        """Until one of `per_hour` expected events."""
        return self._draw.expovariate(per_hour / SECONDS_PER_HOUR)

    def any_store(self) -> str | None:
        """A store with probability by its size; None if none has anything for sale."""
        stores = [(store.seller.username, len(store.for_sale())) for store in self._catalogue.stores]
        if not any(size for _, size in stores):
            return None
        return self._draw.choices([name for name, _ in stores], [size for _, size in stores])[0]

    def _some(self, store: str) -> Listing:
        return self._draw.choice(self._catalogue.for_sale(store))

    def _sale(self, store: str, _: float | None) -> Event:
        sold = self._catalogue.sell(store, self._some(store).id)
        return Event("sale", store, gone=(sold.id,))

    def _addition(self, store: str, now: float | None) -> Event:
        return Event("addition", store, came=(self._catalogue.add_listing(store, now=now).id,))

    def _moving_edit(self, store: str, now: float | None) -> Event:
        edited = self._catalogue.edit_listing(store, self._some(store).id, moves_posted=True, now=now)
        return Event("edit_moving", store, changed=(edited.id,))

    def _silent_edit(self, store: str, _: float | None) -> Event:
        edited = self._catalogue.edit_listing(store, self._some(store).id)
        return Event("edit_silent", store, changed=(edited.id,))

    def _relisting(self, store: str, now: float | None) -> Event:
        sold = self._catalogue.store(store).ordered(SOLD)
        if not sold:
            return self._addition(store, now)
        back = self._catalogue.relist(store, self._draw.choice(sold).id, now=now)
        return Event("relisting", store, came=(back.id,))

    def _insertion(self, store: str, _: float | None) -> Event:
        """A new row somewhere in the middle: a draft of long ago made public."""
        added = self._catalogue.add_listing(store, posted=self._some(store).posted)
        return Event("insertion", store, came=(added.id,))

    def _balanced(self, store: str, now: float | None) -> Event:
        gone, came = self._sale(store, now), self._addition(store, now)
        return Event("sale_and_addition", store, gone=gone.gone, came=came.came)
