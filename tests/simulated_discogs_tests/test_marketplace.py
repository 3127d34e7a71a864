"""Listings, prices, orders and files over a real socket."""

import csv
import io

import pytest

from tests.simulated_discogs import SECRET, Catalogue, Listing, SimulatedDiscogs
from tests.simulated_discogs.money import converted, formatted

from .conftest import ALICE, CONSUMER, OWNER, Api

STORE = "vinyl_den"


@pytest.fixture
def listing(catalogue: Catalogue) -> Listing:
    return catalogue.for_sale(STORE)[10]


@pytest.fixture
def path(listing: Listing) -> str:
    return f"/marketplace/listings/{listing.id}"


def hidden(catalogue: Catalogue, status: str) -> str:
    return f"/marketplace/listings/{catalogue.store(STORE).ordered(status)[0].id}"


async def test_a_listings_price_follows_the_caller(api: Api, catalogue: Catalogue, listing: Listing, path: str) -> None:
    currency = catalogue.store(STORE).seller.currency
    wanted = {"": "USD", ALICE: "GBP", OWNER: currency}
    for who, theirs in wanted.items():
        price = (await api.get(path, **({"Authorization": who} if who else {}))).part("price")
        assert price == {"value": converted(listing.price, currency, theirs), "currency": theirs}

    assert (await api.get(f"{path}?curr_abbr=jpy")).part("price")["currency"] == "JPY"
    assert (await api.get(f"{path}?curr_abbr=XXX")).part("price")["currency"] == "USD"


async def test_only_the_identified_are_told_what_shipping_costs(api: Api, path: str) -> None:
    anonymous, shop, alice = (
        await api.get(path),
        await api.get(path, Authorization=CONSUMER),
        await api.get(path, Authorization=ALICE),
    )

    assert anonymous.json["shipping_price"] == shop.json["shipping_price"] == {}
    assert alice.part("shipping_price")["currency"] == "GBP"
    assert "in_cart" in alice.json
    assert "in_cart" not in shop.json


@pytest.mark.parametrize("status", ["Draft", "Expired", "Deleted"])
async def test_a_hidden_listing_is_there_for_its_owner_only(api: Api, catalogue: Catalogue, status: str) -> None:
    seen = await api.get(hidden(catalogue, status), Authorization=OWNER)
    assert (seen.status, seen.json["status"]) == (200, status)
    assert SECRET in str(seen.json["comments"])

    for who in (ALICE, CONSUMER):
        assert (await api.get(hidden(catalogue, status), Authorization=who)).status == 404


async def test_a_sold_listing_says_so(api: Api, discogs: SimulatedDiscogs, listing: Listing, path: str) -> None:
    discogs.sell(STORE, listing.id)

    assert (await api.get(path)).json["status"] == "Sold"


async def test_the_owner_lists_edits_and_deletes(api: Api, catalogue: Catalogue, listing: Listing) -> None:
    given = {"release_id": listing.release_id, "condition": "Mint (M)", "price": 12.5, "status": "For Sale"}
    made = await api.ask("POST", "/marketplace/listings", json=given, Authorization=OWNER)
    assert made.status == 201
    new_id = made.json["listing_id"]
    assert isinstance(new_id, int)
    assert made.json["resource_url"] == f"https://api.discogs.com/marketplace/listings/{new_id}"
    assert catalogue.for_sale(STORE)[-1].id == new_id

    path = f"/marketplace/listings/{new_id}"
    edited = await api.ask("POST", path, json={**given, "price": 9.0}, Authorization=OWNER)
    assert (edited.status, edited.body, edited.headers["Content-Type"]) == (204, b"", "text/plain")
    assert catalogue.store(STORE)[new_id].price == 9.0

    assert (await api.ask("DELETE", path, Authorization=OWNER)).status == 204
    assert catalogue.store(STORE)[new_id].status == "Deleted"
    assert (await api.ask("POST", path, json=given, Authorization=OWNER)).status == 403


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": "12"}, "Invalid price: expected float."),
        ({"status": "Sold"}, "Invalid status: expected one of For Sale, Draft."),
        ({"condition": "Fine"}, "Invalid condition: expected one of Mint (M), Near Mint (NM or M-)"),
        ({"release_id": 1}, "Release not found."),
    ],
)
async def test_a_wrong_listing_is_refused(
    api: Api, listing: Listing, path: str, change: dict[str, object], message: str
) -> None:
    given = {"release_id": listing.release_id, "condition": "Mint (M)", "price": 12.5, "status": "For Sale"}
    seen = await api.ask("POST", path, json={**given, **change}, Authorization=OWNER)

    assert seen.status in {404, 422}
    assert str(seen.message).startswith(message)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_others_may_not_write(api: Api, path: str, method: str) -> None:
    assert (await api.ask(method, path, json={})).status == 401
    assert (await api.ask(method, path, json={}, Authorization=CONSUMER)).status == 401
    assert (await api.ask(method, path, json={}, Authorization=ALICE)).status == 403


async def test_statistics_are_in_the_callers_currency(api: Api, catalogue: Catalogue, listing: Listing) -> None:
    path = f"/marketplace/stats/{listing.release_id}"

    assert (await api.get(path)).part("lowest_price")["currency"] == "USD"
    assert (await api.get(path, Authorization=ALICE)).part("lowest_price")["currency"] == "GBP"
    assert (await api.get(f"{path}?curr_abbr=SEK")).part("lowest_price")["currency"] == "SEK"
    unsold = next(heading.id for heading in catalogue.headings() if not catalogue.copies_for_sale(heading.id))
    nothing = {"num_for_sale": None, "lowest_price": None, "blocked_from_sale": False}
    assert (await api.get(f"/marketplace/stats/{unsold}")).json == nothing


async def test_prices_are_suggested_to_sellers_only(api: Api, listing: Listing) -> None:
    path = f"/marketplace/price_suggestions/{listing.release_id}"

    assert (await api.get(path)).status == 401
    assert (await api.get(path, Authorization=ALICE)).json == {}
    assert len((await api.get(path, Authorization=OWNER)).json) == 8


async def test_the_fee_is_nine_percent(api: Api) -> None:
    assert (await api.get("/marketplace/fee/20.50/EUR")).json == {"currency": "EUR", "value": 1.84}
    assert (await api.get("/marketplace/fee/10")).json == {"currency": "USD", "value": 0.9}
    assert (await api.get("/marketplace/fee/ten")).status == 422


async def test_orders_are_the_sellers_alone(api: Api) -> None:
    orders = await api.get("/marketplace/orders", Authorization=OWNER)
    first = orders.rows("orders")[0]
    path = f"/marketplace/orders/{first['id']}"

    assert SECRET in str(first["shipping_address"])
    assert (await api.get(path, Authorization=OWNER)).json == first
    assert SECRET.encode() in (await api.get(f"{path}/messages", Authorization=OWNER)).body
    for who, statuses in (("", (401, 401)), (CONSUMER, (401, 401)), (ALICE, (200, 403))):
        headers = {"Authorization": who} if who else {}
        seen = await api.get("/marketplace/orders", **headers), await api.get(path, **headers)
        assert tuple(answer.status for answer in seen) == statuses
        assert all(SECRET.encode() not in answer.body for answer in seen)


async def test_a_message_is_kept(api: Api) -> None:
    orders = await api.get("/marketplace/orders", Authorization=OWNER)
    path = f"/marketplace/orders/{orders.rows('orders')[0]['id']}/messages"

    assert (await api.ask("POST", path, json={"message": "sent today"}, Authorization=OWNER)).status == 201
    assert "sent today" in str((await api.get(path, Authorization=OWNER)).json)


async def test_an_export_is_started_awaited_and_downloaded(
    api: Api, discogs: SimulatedDiscogs, catalogue: Catalogue
) -> None:
    started_at = discogs.clock()
    discogs.clock = lambda: started_at
    started = await api.ask("POST", "/inventory/export", Authorization=OWNER)
    assert (started.status, started.body) == (200, b"")
    path = started.headers["Location"].removeprefix("https://api.discogs.com")
    assert (await api.ask("POST", "/inventory/export", Authorization=OWNER)).status == 409
    assert (await api.get(path, Authorization=OWNER)).json["status"] == "pending"

    discogs.clock = lambda: started_at + 2
    done = await api.get(path, Authorization=OWNER)
    assert done.json["status"] == "success"
    since = {"If_Modified_Since": done.headers["Last-Modified"]}
    assert (await api.get(path, Authorization=OWNER, **since)).status == 304
    assert (await api.get(path, Authorization=ALICE)).status == 404

    download = await api.get(f"{path}/download", Authorization=OWNER)
    assert download.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in download.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(download.body.decode(), newline="")))
    assert len(rows) == len(catalogue.store(STORE).all())
    assert download.body.startswith(b"listing_id,artist,title,label,catno,format,release_id,status,price,listed,")


async def test_an_upload_must_be_a_form(api: Api) -> None:
    assert (await api.ask("POST", "/inventory/upload/add", Authorization=OWNER)).status == 415
    form = {"Content_Type": "multipart/form-data; boundary=x"}
    started = await api.ask("POST", "/inventory/upload/add", Authorization=OWNER, **form)
    assert started.status == 200
    path = started.headers["Location"].removeprefix("https://api.discogs.com")
    assert (await api.get(path, Authorization=OWNER)).json["type"] == "add"
    assert (await api.get(path)).status == 401


def test_money_is_written_with_its_symbol() -> None:
    assert [formatted(1234.5, name) for name in ("USD", "EUR", "JPY")] == ["$1,234.50", "€1,234.50", "¥1,234"]
