"""Routes of the marketplace: listings, prices and orders."""

from .catalogue import ListingChanges
from .database import offers
from .exchange import (
    Answer,
    Ask,
    Body,
    Refusal,
    no_permission,
    no_such_release,
    not_found,
)
from .money import CURRENCIES, converted
from .paging import page_of, pagination
from .shapes import SITE, single_listing
from .stores import Store, artist_text
from .times import pacific
from .values import (
    DRAFT,
    EDITABLE_STATUSES,
    FOR_SALE,
    MEDIA_CONDITIONS,
    SECRET,
    SLEEVE_CONDITIONS,
    SOLD,
    Account,
    Listing,
)
from .world import Order, World

PUBLIC_STATUSES = (FOR_SALE, SOLD)
FEE = 0.09
SHARE_OF_PRICE = dict(zip(MEDIA_CONDITIONS, (0.95, 0.85, 0.65, 0.45, 0.25, 0.15, 0.1, 0.05), strict=True))


# Listings


def listing(ask: Ask, world: World) -> Answer:
    """What is neither for sale nor sold is there for its owner only."""
    store, found = _listing(ask, world)
    owner = ask.caller.is_user(store.seller.username)
    if not owner and found.status not in PUBLIC_STATUSES:
        raise not_found()
    account = world.own_account(ask)
    viewer = world.viewer(ask, owner=owner, currency=ask.currency(account.currency if account else "USD"))
    heading = world.catalogue.heading_of(found.release_id)
    return Answer(body=single_listing(found, store.seller, heading, viewer, ask.origin))


def create_listing(ask: Ask, world: World) -> Answer:
    account, changes = world.signed_in(ask), _changes(ask, world)
    if world.catalogue.find_store(account.username) is None:
        world.catalogue.open_store(account.username, 0)
    made = world.catalogue.add_listing(account.username, now=ask.now, **changes)
    resource_url = f"{ask.origin}/marketplace/listings/{made.id}"
    return Answer(201, {"listing_id": made.id, "resource_url": resource_url}, headers={"Location": resource_url})


def edit_listing(ask: Ask, world: World) -> Answer:
    store, found = _own_listing(ask, world)
    if found.status not in EDITABLE_STATUSES:
        raise no_permission()
    changes = _changes(ask, world)
    world.catalogue.edit_listing(store.seller.username, found.id, moves_posted=True, now=ask.now, **changes)
    return _empty()


def delete_listing(ask: Ask, world: World) -> Answer:
    store, found = _own_listing(ask, world)
    world.catalogue.delete_listing(store.seller.username, found.id)
    return _empty()


def _empty() -> Answer:
    return Answer(204, content_type="text/plain")


def _listing(ask: Ask, world: World) -> tuple[Store, Listing]:
    found = world.catalogue.listing(ask.number("id"))
    if found is None:
        raise not_found()
    return found


def _own_listing(ask: Ask, world: World) -> tuple[Store, Listing]:
    world.signed_in(ask)
    store, found = _listing(ask, world)
    if not ask.caller.is_user(store.seller.username):
        raise no_permission()
    return store, found


def _changes(ask: Ask, world: World) -> ListingChanges:
    """release_id, condition, price and status are required, as documented."""
    given = ask.json()
    changes = ListingChanges(
        release_id=_known_release(given, world),
        condition=_one_of(given, "condition", MEDIA_CONDITIONS),
        price=_price(given),
        status=_one_of(given, "status", (FOR_SALE, DRAFT)),
    )
    if "sleeve_condition" in given:
        changes["sleeve_condition"] = _one_of(given, "sleeve_condition", SLEEVE_CONDITIONS)
    if "comments" in given:
        changes["comments"] = str(given["comments"])
    if "external_id" in given:
        changes["external_id"] = str(given["external_id"])
    if "location" in given:
        changes["location"] = str(given["location"])
    return changes


def _known_release(given: Body, world: World) -> int:
    release_id = given.get("release_id")
    if not isinstance(release_id, int) or world.catalogue.heading(release_id) is None:
        raise no_such_release()
    return release_id


def _price(given: Body) -> float:
    price = given.get("price")
    if isinstance(price, bool) or not isinstance(price, int | float):
        raise Refusal(422, "Invalid price: expected float.")
    return float(price)


def _one_of(given: Body, name: str, allowed: tuple[str, ...]) -> str:
    value = given.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise Refusal(422, f"Invalid {name}: expected one of {', '.join(allowed)}.")
    return value


# Prices


def statistics(ask: Ask, world: World) -> Answer:
    release_id = ask.number("id")
    if world.catalogue.heading(release_id) is None:
        raise no_such_release()
    account = world.own_account(ask)
    currency = ask.currency(account.currency if account else "USD")
    count, lowest = offers(world, [release_id], currency)
    price = None if lowest is None else {"value": lowest, "currency": currency}
    body = {"num_for_sale": count or None, "lowest_price": price, "blocked_from_sale": False}
    return Answer(body=body)


def price_suggestions(ask: Ask, world: World) -> Answer:
    account = world.signed_in(ask)
    heading = world.catalogue.heading(ask.number("id"))
    if heading is None:
        raise no_such_release()
    mint = converted(5 + heading.want % 40, "USD", account.currency)
    suggestions = {
        condition: {"currency": account.currency, "value": mint * share} for condition, share in SHARE_OF_PRICE.items()
    }
    return Answer(body=suggestions if world.catalogue.find_store(account.username) else {})


def fee(ask: Ask, world: World) -> Answer:
    currency = ask.names.get("currency", "USD").upper()
    try:
        price = float(ask.names["price"])
    except ValueError:
        raise Refusal(422, "Invalid price: expected float.") from None
    if currency not in CURRENCIES:
        raise Refusal(422, f"Invalid currency: expected one of {', '.join(CURRENCIES)}.")
    return Answer(body={"currency": currency, "value": round(price * FEE, 2)})


# Orders: of the seller only, and private through and through


def orders(ask: Ask, world: World) -> Answer:
    account = world.signed_in(ask)
    status = ask.parameter("status", "All")
    mine = [
        (identity, order)
        for identity, order in world.orders.items()
        if order.seller_id == account.id and status in {"All", order.status}
    ]
    page = page_of(ask, mine)
    bodies = [_order_body(identity, order, account, ask, world) for identity, order in page.rows]
    return Answer(body={"pagination": pagination(ask, page), "orders": bodies})


def order(ask: Ask, world: World) -> Answer:
    account, found = _own_order(ask, world)
    return Answer(body=_order_body(ask.names["id"], found, account, ask, world))


def messages(ask: Ask, world: World) -> Answer:
    _, found = _own_order(ask, world)
    texts = [f"{SECRET}MESSAGE-{found.name}: please ring the bell", *world.messages.get(ask.names["id"], [])]
    page = page_of(ask, texts)
    bodies = [{"timestamp": pacific(found.created), "message": text, "type": "message"} for text in page.rows]
    return Answer(body={"pagination": pagination(ask, page), "messages": bodies})


def send_message(ask: Ask, world: World) -> Answer:
    _own_order(ask, world)
    text = str(ask.json().get("message", ""))
    world.messages.setdefault(ask.names["id"], []).append(text)
    return Answer(201, {"timestamp": pacific(ask.now), "message": text, "type": "message"})


def _own_order(ask: Ask, world: World) -> tuple[Account, Order]:
    account, found = world.signed_in(ask), world.orders.get(ask.names["id"])
    if found is None:
        raise not_found()
    if found.seller_id != account.id:
        raise no_permission()
    return account, found


def _order_body(identity: str, found: Order, account: Account, ask: Ask, world: World) -> Body:
    sold = [copy for copy in map(world.catalogue.listing, found.listing_ids) if copy]
    total = sum(listing.price for _, listing in sold)
    url = f"{ask.origin}/marketplace/orders/{identity}"
    return {
        "id": identity,
        "resource_url": url,
        "messages_url": f"{url}/messages",
        "uri": f"{SITE}/sell/order/{identity}",
        "status": found.status,
        "next_status": ["Shipped", "Cancelled (Item Unavailable)"],
        "fee": {"currency": account.currency, "value": round(total * FEE, 2)},
        "created": pacific(found.created),
        "items": [
            {
                "release": {"id": listing.release_id, "description": _description(listing, world)},
                "price": {"currency": account.currency, "value": listing.price},
                "id": listing.id,
            }
            for _, listing in sold
        ],
        "shipping": {"currency": account.currency, "value": 5.0},
        "shipping_address": found.address,
        "additional_instructions": f"{SECRET}INSTRUCTIONS-{found.name}",
        "seller": {
            "resource_url": f"{ask.origin}/users/{account.username}",
            "username": account.username,
            "id": account.id,
            "email": account.email,
        },
        "last_activity": pacific(found.created + 3_600),
        "buyer": {"resource_url": f"{ask.origin}/users/{found.buyer}", "username": found.buyer, "id": found.number},
        "total": {"currency": account.currency, "value": total},
    }


def _description(listing: Listing, world: World) -> str:
    heading = world.catalogue.heading_of(listing.release_id)
    return f"{artist_text(heading)} - {heading.title}"
