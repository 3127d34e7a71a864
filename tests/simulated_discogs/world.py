"""Everything that routes read and change: the catalogue, the accounts and what people have filed."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from .accounts import Accounts
from .catalogue import Catalogue
from .exchange import Ask, must_authenticate
from .listings import NEWEST
from .shapes import Viewer
from .stores import Store
from .values import FOR_SALE, SECRET, Account

ORDERS_PER_STORE = 7


@dataclass(frozen=True, slots=True)
class Order:
    """`created` in seconds since 1970."""

    number: int
    seller_id: int
    buyer: str
    listing_ids: tuple[int, ...]
    created: int
    status: str = "Payment Received"

    @property
    def name(self) -> str:
        return f"{self.seller_id}-{self.number}"

    @property
    def address(self) -> str:
        return f"{SECRET}ADDRESS-{self.name}\n12 Private Road\nNowhere, 12345"


@dataclass(frozen=True, slots=True)
class Job:
    """An inventory export or upload."""

    id: int
    owner: str
    started: float
    kind: str


@dataclass(slots=True)
class World:
    catalogue: Catalogue
    accounts: Accounts
    orders: dict[str, Order] = field(default_factory=dict)
    messages: dict[str, list[str]] = field(default_factory=dict)
    exports: dict[int, Job] = field(default_factory=dict)
    uploads: dict[int, Job] = field(default_factory=dict)
    ratings: dict[tuple[int, str], int] = field(default_factory=dict)

    def viewer(self, ask: Ask, *, owner: bool = False, currency: str | None = None) -> Viewer:
        caller = ask.caller
        account = self.accounts.find(caller.username) if caller.username else None
        return Viewer(
            owner=owner,
            identified=caller.identified,
            images=caller.has_credential,
            currency=currency,
            cart=frozenset(self.accounts.cart(account.username)) if account else (),
            wants=frozenset(account.wants) if account else (),
            collection=frozenset(account.collection) if account else (),
        )

    def signed_in(self, ask: Ask) -> Account:
        account = self.own_account(ask)
        if account is None:
            raise must_authenticate()
        return account

    def own_account(self, ask: Ask) -> Account | None:
        return self.accounts.find(ask.caller.username)


def settled(catalogue: Catalogue) -> World:
    """A world where each store has its account and some orders."""
    world = World(catalogue, Accounts())
    for store in catalogue.stores:
        world.accounts.register(_owner(store))
        world.orders.update(_orders(catalogue.seed, store))
    return world


def _owner(store: Store) -> Account:
    seller = store.seller
    return Account(
        seller.id,
        seller.username,
        seller.currency,
        location=seller.ships_from,
        profile=f"Records, tapes & more from {seller.ships_from}. [b]Welcome![/b]",
    )


def _orders(seed: int, store: Store) -> Mapping[str, Order]:
    draw = random.Random(f"{seed}/orders/{store.seller.username}")
    listings = [listing.id for listing in store.all() if listing.status != FOR_SALE]
    orders = [
        Order(
            number=number,
            seller_id=store.seller.id,
            buyer=f"{SECRET}BUYER-{draw.randrange(10_000)}",
            listing_ids=tuple(draw.sample(listings, min(2, len(listings)))),
            created=NEWEST - draw.randrange(90 * 86_400),
        )
        for number in range(1, ORDERS_PER_STORE + 1)
    ]
    return {order.name: order for order in orders}
