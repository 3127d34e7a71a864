"""One store: its listings, and the orders in which an inventory can be asked for."""

from collections.abc import Callable, Iterable, Sequence

from .values import FOR_SALE, Heading, Listing, Seller

HeadingOf = Callable[[int], Heading]
SortKey = Callable[[Listing, HeadingOf], str | int | float]


def artist_text(heading: Heading) -> str:
    """The artists on one line as rows and descriptions have them; a star marks a printed name variation."""
    pieces = [
        (f"{credit.anv}*" if credit.anv else credit.artist.name) + _joined(credit.join) for credit in heading.artists
    ]
    return "".join(pieces).strip(" ,")


def _joined(join: str) -> str:
    return ", " if join == "," else f" {join} " if join else ""


def catalogue_number(heading: Heading) -> str:
    return ", ".join(imprint.catno for imprint in heading.labels)


SORT_KEYS: dict[str, SortKey] = {
    "listed": lambda listing, _: listing.posted,
    "price": lambda listing, _: listing.price,
    "item": lambda listing, heading_of: heading_of(listing.release_id).title.casefold(),
    "artist": lambda listing, heading_of: artist_text(heading_of(listing.release_id)).casefold(),
    "label": lambda listing, heading_of: heading_of(listing.release_id).labels[0].label.name.casefold(),
    "catno": lambda listing, heading_of: catalogue_number(heading_of(listing.release_id)).casefold(),
    "audio": lambda listing, _: listing.audio,
    "status": lambda listing, _: listing.status,
    "location": lambda listing, _: listing.location,
}


class Store:
    def __init__(self, seller: Seller, heading_of: HeadingOf) -> None:
        self.seller = seller
        self.on_holiday = False
        self._heading_of = heading_of
        self._listings: dict[int, Listing] = {}
        self._orders: dict[tuple[str, str], Sequence[Listing]] = {}

    def put(self, listing: Listing) -> None:
        self._listings[listing.id] = listing
        self.forget_orders()

    def fill(self, listings: Iterable[Listing]) -> None:
        self._listings.update((listing.id, listing) for listing in listings)
        self.forget_orders()

    def forget_orders(self) -> None:
        self._orders.clear()

    def __contains__(self, listing_id: int) -> bool:
        return listing_id in self._listings

    def __getitem__(self, listing_id: int) -> Listing:
        return self._listings[listing_id]

    def get(self, listing_id: int) -> Listing | None:
        return self._listings.get(listing_id)

    def all(self) -> Sequence[Listing]:
        return tuple(self._listings.values())

    def newest_posted(self) -> int:
        return max((listing.posted for listing in self._listings.values()), default=0)

    def for_sale(self, sort: str = "listed", *, descending: bool = False) -> Sequence[Listing]:
        """What a stranger sees: nothing at all while the seller is on holiday."""
        return () if self.on_holiday else self.ordered(FOR_SALE, sort, descending=descending)

    def ordered(self, status: str, sort: str = "listed", *, descending: bool = False) -> Sequence[Listing]:
        """Equal keys are told apart by id, so that descending is ascending read backwards."""
        if (status, sort) not in self._orders:
            self._orders[status, sort] = self._sorted(status, sort)
        rows = self._orders[status, sort]
        return rows[::-1] if descending else rows

    def _sorted(self, status: str, sort: str) -> Sequence[Listing]:
        key = SORT_KEYS[sort]
        chosen = [listing for listing in self._listings.values() if status in {"All", listing.status}]
        return sorted(chosen, key=lambda listing: (key(listing, self._heading_of), listing.id))
