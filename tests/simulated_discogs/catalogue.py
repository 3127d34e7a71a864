"""The database and the marketplace behind the simulated API, and everything that can happen to them."""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypedDict, Unpack

from . import releases as drawn
from .listings import NEWEST, drawn_listing, drawn_price, seller_of, stock_of
from .numbering import ARTISTS, LABELS, MASTERS, RELEASES
from .stores import Store
from .values import DELETED, FOR_SALE, SECRET, SOLD, Artist, Heading, Label, Listing, Release

RELEASES_PER_LISTING = 0.75
FEWEST_RELEASES = 500
FIRST_NEW_LISTING = 3_700_000_000


class ListingChanges(TypedDict, total=False):
    """What can be changed in a listing; what is not named stays."""

    release_id: int
    posted: int
    price: float
    condition: str
    sleeve_condition: str
    comments: str
    status: str
    allow_offers: bool
    shipping: float
    weight: int
    format_quantity: int
    external_id: str
    location: str


class Catalogue:
    """Same seed, same stores, same data. Releases are made when asked for; `put_release` replaces one.

    Store names are compared without case. Times are seconds since 1970; `now` defaults to one minute after
    the newest listing of the store, and never puts a new listing below an older one.
    """

    def __init__(self, seed: int, releases: int) -> None:
        self.seed = seed
        self.releases = releases
        self._stores: dict[str, Store] = {}
        self._store_of: dict[int, Store] = {}
        self._copies: defaultdict[int, set[int]] = defaultdict(set)
        self._replaced: dict[int, Release] = {}
        self._removed: set[int] = set()
        self._new_ids = itertools.count(FIRST_NEW_LISTING, 17)
        self._draw = random.Random(f"{seed}/changes")
        self._heading_of_number = lru_cache(maxsize=50_000)(self._draw_heading)
        self._release_of_number = lru_cache(maxsize=5_000)(self._draw_release)
        self._by_artist = lru_cache(maxsize=1)(self._group_by_artist)
        self._by_label = lru_cache(maxsize=1)(self._group_by_label)

    @classmethod
    def generate(cls, *, seed: int = 1, stores: Mapping[str, int], releases: int | None = None) -> "Catalogue":
        """`stores` says how many listings each has for sale; owners have some hidden ones besides."""
        wanted = int(sum(stores.values()) * RELEASES_PER_LISTING)
        catalogue = cls(seed, releases if releases is not None else max(FEWEST_RELEASES, wanted))
        for username, for_sale in stores.items():
            catalogue.open_store(username, for_sale)
        return catalogue

    # Reading

    @property
    def stores(self) -> Sequence[Store]:
        return tuple(self._stores.values())

    def find_store(self, username: str) -> Store | None:
        return self._stores.get(username.lower())

    def store(self, username: str) -> Store:
        return self._stores[username.lower()]

    def for_sale(self, username: str, sort: str = "listed", *, descending: bool = False) -> Sequence[Listing]:
        """The truth that a mirror of the store should arrive at, in upstream's order."""
        return self.store(username).for_sale(sort, descending=descending)

    def listing(self, listing_id: int) -> tuple[Store, Listing] | None:
        store = self._store_of.get(listing_id)
        return (store, store[listing_id]) if store else None

    def heading(self, release_id: int) -> Heading | None:
        if release_id in self._replaced:
            return self._replaced[release_id].heading
        number = self._number_of(release_id)
        return None if number is None else self._heading_of_number(number)

    def heading_of(self, release_id: int) -> Heading:
        """Also of a release that was removed: its listings keep showing it."""
        number = RELEASES.number_of(release_id)
        replaced = self._replaced.get(release_id)
        if replaced is None and number is None:
            raise KeyError(release_id)
        return replaced.heading if replaced else self._heading_of_number(number or 0)

    def release(self, release_id: int) -> Release | None:
        if release_id in self._replaced:
            return self._replaced[release_id]
        number = self._number_of(release_id)
        return None if number is None else self._release_of_number(number)

    def versions(self, master_id: int) -> Sequence[Release]:
        """All releases of a master, none if there is no such master."""
        first = MASTERS.number_of(master_id)
        if first is None or first >= self.releases or drawn.master_id_of(self.seed, first) != master_id:
            return ()
        numbers = [number for number in drawn.versions_of(first) if number < self.releases]
        return tuple(filter(None, (self.release(RELEASES.id_of(number)) for number in numbers)))

    def artist(self, artist_id: int) -> Artist | None:
        if artist_id == drawn.VARIOUS.id:
            return drawn.VARIOUS
        number = ARTISTS.number_of(artist_id)
        return drawn.artist_of(self.seed, number) if number is not None and number < drawn.artists_in_all() else None

    def label(self, label_id: int) -> Label | None:
        number = LABELS.number_of(label_id)
        return drawn.label_of(self.seed, number) if number is not None and number < drawn.labels_in_all() else None

    def artists(self) -> Iterable[Artist]:
        return (drawn.artist_of(self.seed, number) for number in range(drawn.artists_in_all()))

    def labels(self) -> Iterable[Label]:
        return (drawn.label_of(self.seed, number) for number in range(drawn.labels_in_all()))

    def master_id_of(self, release_id: int) -> int | None:
        """Without making the whole release."""
        if release_id in self._replaced:
            return self._replaced[release_id].master_id
        number = self._number_of(release_id)
        return None if number is None else drawn.master_id_of(self.seed, number)

    def headings(self) -> Iterable[Heading]:
        ids = dict.fromkeys((*map(RELEASES.id_of, range(self.releases)), *self._replaced))
        return filter(None, map(self.heading, ids))

    def releases_of_artist(self, artist_id: int) -> Sequence[Heading]:
        return self._by_artist().get(artist_id, ())

    def releases_of_label(self, label_id: int) -> Sequence[Heading]:
        return self._by_label().get(label_id, ())

    def copies_for_sale(self, release_id: int) -> Sequence[tuple[Store, Listing]]:
        """Over all stores, those on holiday left out."""
        found = [(self._store_of[copy], self._store_of[copy][copy]) for copy in self._copies.get(release_id, ())]
        return [(store, copy) for store, copy in found if copy.status == FOR_SALE and not store.on_holiday]

    # Releases

    def put_release(self, release: Release) -> None:
        """Adds it, or puts it in place of the generated one of the same id."""
        self._removed.discard(release.id)
        self._replaced[release.id] = release
        self._forget_groups()
        for store in self._stores.values():
            store.forget_orders()

    def remove_release(self, release_id: int) -> None:
        self._replaced.pop(release_id, None)
        self._removed.add(release_id)
        self._forget_groups()

    def _forget_groups(self) -> None:
        self._by_artist.cache_clear()
        self._by_label.cache_clear()

    def _group_by_artist(self) -> Mapping[int, Sequence[Heading]]:
        return grouped((credit.artist.id, heading) for heading in self.headings() for credit in heading.artists)

    def _group_by_label(self) -> Mapping[int, Sequence[Heading]]:
        return grouped((imprint.label.id, heading) for heading in self.headings() for imprint in heading.labels[:1])

    # Stores

    def open_store(self, username: str, for_sale: int) -> Store:
        store = Store(seller_of(self.seed, username, len(self._stores)), self.heading_of)
        self._stores[username.lower()] = store
        store.fill(self._registered(store, stock_of(self.seed, store.seller, for_sale, self.releases)))
        return store

    def rename(self, username: str, new_username: str) -> None:
        store = self._stores.pop(username.lower())
        store.seller = replace(store.seller, username=new_username)
        self._stores[new_username.lower()] = store

    def delete_user(self, username: str) -> None:
        store = self._stores.pop(username.lower(), None)
        for listing in store.all() if store else ():
            del self._store_of[listing.id]
            self._copies[listing.release_id].discard(listing.id)

    def holiday(self, username: str, *, away: bool = True) -> None:
        """While away, a stranger finds the inventory empty."""
        self.store(username).on_holiday = away

    # Listings

    def add_listing(self, username: str, *, now: float | None = None, **changes: Unpack[ListingChanges]) -> Listing:
        """A new listing of a random release unless `release_id` is given; `posted` puts it mid-list."""
        store = self.store(username)
        release_id = changes.get("release_id", self._random_release())
        fresh = drawn_listing(release_id, NEWEST, FOR_SALE, store.seller.currency, self._draw)
        identity = next(self._new_ids)
        external_id = f"{SECRET}EXTERNAL-{identity}"
        listing = replace(fresh, id=identity, posted=self._later(store, now), external_id=external_id)
        return self._put(store, replace(listing, **changes))

    def edit_listing(
        self,
        username: str,
        listing_id: int,
        *,
        moves_posted: bool = False,
        now: float | None = None,
        **changes: Unpack[ListingChanges],
    ) -> Listing:
        """With `moves_posted` the listing becomes the newest; without, it changes where it stands."""
        store = self.store(username)
        if moves_posted:
            changes.setdefault("posted", self._later(store, now))
        elif not changes:
            changes["price"] = drawn_price(store.seller.currency, self._draw)
        return self._put(store, replace(store[listing_id], **changes))

    def sell(self, username: str, listing_id: int) -> Listing:
        return self.edit_listing(username, listing_id, status=SOLD)

    def delete_listing(self, username: str, listing_id: int) -> Listing:
        return self.edit_listing(username, listing_id, status=DELETED)

    def relist(self, username: str, listing_id: int, *, now: float | None = None) -> Listing:
        """The same id for sale again, as the newest; a comment that was secret till now is dropped."""
        comments = self.store(username)[listing_id].comments
        shown = "" if comments.startswith(SECRET) else comments
        return self.edit_listing(username, listing_id, moves_posted=True, now=now, status=FOR_SALE, comments=shown)

    def _put(self, store: Store, listing: Listing) -> Listing:
        if listing.id in store:
            self._copies[store[listing.id].release_id].discard(listing.id)
        store.put(listing)
        self._register(store, listing)
        return listing

    def _register(self, store: Store, listing: Listing) -> None:
        self._store_of[listing.id] = store
        self._copies[listing.release_id].add(listing.id)

    def _registered(self, store: Store, listings: Iterable[Listing]) -> Iterable[Listing]:
        for listing in map(self._unique, listings):
            self._register(store, listing)
            yield listing

    def _unique(self, listing: Listing) -> Listing:
        while listing.id in self._store_of:
            listing = replace(listing, id=listing.id + 1)
        return listing

    def _later(self, store: Store, now: float | None) -> int:
        after = store.newest_posted() + 1
        return max(after, int(now)) if now is not None else after + 59

    def _random_release(self) -> int:
        return RELEASES.id_of(self._draw.randrange(self.releases))

    def _number_of(self, release_id: int) -> int | None:
        number = RELEASES.number_of(release_id)
        known = number is not None and number < self.releases and release_id not in self._removed
        return number if known else None

    def _draw_heading(self, number: int) -> Heading:
        return drawn.heading(self.seed, number)

    def _draw_release(self, number: int) -> Release:
        return drawn.release(self.seed, number)


def grouped(pairs: Iterable[tuple[int, Heading]]) -> Mapping[int, Sequence[Heading]]:
    groups: defaultdict[int, list[Heading]] = defaultdict(list)
    for key, heading in pairs:
        groups[key].append(heading)
    return groups
