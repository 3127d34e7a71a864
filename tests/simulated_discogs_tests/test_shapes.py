"""Bodies have Discogs' keys in Discogs' order; where real samples are at hand, they are the judge."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from tests.simulated_discogs.exchange import Ask, Body
from tests.simulated_discogs.paging import page_of, pagination
from tests.simulated_discogs.releases import release
from tests.simulated_discogs.shapes import Viewer, listing_row, release_body, slug, sort_name, track_body
from tests.simulated_discogs.values import Artist, Credit, Format, Heading, Imprint, Label, Listing, Seller, Track

ORIGIN = "https://api.discogs.com"
RELEASE_KEYS = (
    "id status year resource_url uri artists artists_sort labels series companies formats data_quality community "
    "format_quantity date_added date_changed num_for_sale lowest_price master_id master_url title country released "
    "notes released_formatted identifiers videos genres styles tracklist extraartists images thumb estimated_weight "
    "blocked_from_sale is_offensive"
).split()
OPTIONAL_KEYS = {"master_id", "master_url", "released", "notes", "released_formatted", "extraartists", "images"}

# What came to the API after the samples of 2022 to 2025-01 were taken.
NEWER_LISTING_KEYS = {"offer_submitted", "shipping_is_blocked"}
NEWER_RELEASE_KEYS = {"is_offensive"}
# The single listings among the samples name no label; inventory rows of 2025 do.
NEWER_LISTED_RELEASE_KEYS = {"label"}

RELEASES = [release(1, number) for number in range(300)]
SELLER = Seller(1, "den", "EUR", "Germany", "100.0", 5.0, 10, 0.0, "PayPal", "By post")
HEADING = Heading(
    id=7,
    title="Song",
    artists=(Credit(Artist(3, "Dee Dee (2)"), anv="D. Dee", join="&"), Credit(Artist(4, "The Band"))),
    labels=(Imprint(Label(5, "Label"), "L 1"), Imprint(Label(5, "Label"), "l-1")),
    formats=(Format("Vinyl", 2, ("LP", "Album", "Reissue")), Format("Vinyl", 1, ('7"', "Reissue"))),
    year=1999,
    genres=("Rock",),
    styles=(),
    country="Germany",
    images=2,
    have=10,
    want=20,
)
LISTING = Listing(id=9, release_id=7, posted=1_683_449_130, price=20.0, shipping=4.0)


def a_row(viewer: Viewer) -> Body:
    return listing_row(LISTING, SELLER, HEADING, viewer, ORIGIN)


def inner(body: Body, name: str) -> Body:
    found = body[name]
    assert isinstance(found, dict)
    return found


def test_a_release_has_its_keys_in_order_and_leaves_out_what_is_missing() -> None:
    bodies = [release_body(found, 3, 1.5, ORIGIN) for found in RELEASES]

    for body in bodies:
        assert list(body) == [key for key in RELEASE_KEYS if key in body]
        assert set(RELEASE_KEYS) - set(body) <= OPTIONAL_KEYS
    missing = set().union(*(set(RELEASE_KEYS) - set(body) for body in bodies))
    assert missing == OPTIONAL_KEYS


def test_a_row_shows_a_release_on_one_line() -> None:
    found = inner(a_row(Viewer()), "release")

    assert found["description"] == 'D. Dee* & The Band - Song (2xLP, Album, RE + 7", RE)'
    assert (found["label"], found["catalog_number"], found["year"]) == ("Label", "L 1, l-1", 1999)
    assert found["stats"] == {"community": {"in_wantlist": 20, "in_collection": 10}}


def test_a_row_has_price_and_time_as_discogs_writes_them() -> None:
    row = a_row(Viewer())

    assert row["posted"] == "2023-05-07T01:45:30-07:00"
    assert row["price"] == {"value": 20.0, "currency": "EUR"}
    assert row["original_price"] == {"curr_abbr": "EUR", "curr_id": 3, "formatted": "€20.00", "value": 20.0}


def test_the_owners_whole_shipping_price_is_an_int_beside_a_float() -> None:
    row = a_row(Viewer(owner=True, identified=True))

    assert (inner(row, "shipping_price")["value"], inner(row, "original_shipping_price")["value"]) == (4.0, 4)
    assert isinstance(inner(row, "shipping_price")["value"], float)
    assert isinstance(inner(row, "original_shipping_price")["value"], int)


def test_a_track_shows_credits_and_parts_only_where_there_are_any() -> None:
    part = Track("A1", "I. Allegro", 60, "1:00")
    whole = track_body(Track("", "Sonata", type="index", sub_tracks=(part,)), ORIGIN)

    assert list(whole) == ["position", "type_", "title", "duration", "sub_tracks"]
    assert whole["sub_tracks"] == [{"position": "A1", "type_": "track", "title": "I. Allegro", "duration": "1:00"}]


def test_names_are_filed_without_numbers_and_stars() -> None:
    assert sort_name(HEADING) == "D. Dee & The Band"
    assert slug('Dee* - Song (7", RE) ') == "Dee-Song-7-RE"


# Against real samples


@pytest.fixture(scope="module")
def samples() -> Path:
    folder = os.environ.get("DISCOGS_SAMPLES")
    if not folder:
        pytest.skip("DISCOGS_SAMPLES names no folder of real samples")
    return Path(folder)


def parsed(paths: Iterator[Path]) -> list[Body]:
    bodies = [orjson.loads(path.read_bytes()) for path in sorted(paths)]
    assert bodies
    return bodies


def in_the_order_of(ours: Body, real: Body) -> bool:
    """Whether the keys that both have come in the same order."""
    return [key for key in ours if key in real] == [key for key in real if key in ours]


def test_releases_have_the_real_keys_in_the_real_order(samples: Path) -> None:
    real = parsed(samples.glob("CornCodeCreators+discogs-api-client/release/*.json"))
    ours = [release_body(found, 3, 1.5, ORIGIN) for found in RELEASES]

    assert all(in_the_order_of(mine, theirs) for theirs in real for mine in ours)
    assert set().union(*real) == set().union(*ours) - NEWER_RELEASE_KEYS
    assert set.intersection(*map(set, ours)) - NEWER_RELEASE_KEYS <= set.intersection(*map(set, real))


@pytest.mark.parametrize(
    "name",
    "artists labels companies formats identifiers videos tracklist extraartists images".split(),
)
def test_parts_of_releases_have_the_real_keys_in_the_real_order(samples: Path, name: str) -> None:
    real = list(parts(parsed(samples.glob("CornCodeCreators+discogs-api-client/release/*.json")), name))
    ours = list(parts([release_body(found, 3, 1.5, ORIGIN) for found in RELEASES], name))

    keys = {tuple(part) for part in ours}
    assert all(
        in_the_order_of(dict.fromkeys(mine), dict.fromkeys(theirs)) for mine in keys for theirs in map(tuple, real)
    )
    assert set().union(*real) - set().union(*ours) == set()
    assert set().union(*ours) - set().union(*real) <= {"sub_tracks"}


def parts(bodies: list[Body], name: str) -> Iterator[Body]:
    for body in bodies:
        found = body.get(name, [])
        assert isinstance(found, list)
        yield from found


def test_a_listing_has_the_real_keys_in_the_real_order(samples: Path) -> None:
    real = parsed(samples.glob("stmcallister+go-discogs/listing/*.json"))[0]
    ours = a_row(Viewer(identified=True, images=True))

    assert in_the_order_of(ours, real)
    assert set(ours) - set(real) == NEWER_LISTING_KEYS
    assert set(real) <= set(ours)
    assert list(inner(ours, "seller")) == list(inner(real, "seller"))
    assert in_the_order_of(inner(ours, "release"), inner(real, "release"))
    assert set(inner(ours, "release")) - set(inner(real, "release")) == NEWER_LISTED_RELEASE_KEYS
    for name in ("price", "original_price"):
        assert list(inner(ours, name)) == list(inner(real, name))


def test_an_owners_rows_have_the_real_keys(samples: Path) -> None:
    real = parsed(samples.glob("brotherlogic+godiscogs/inventory/*.json"))
    rows = list(parts(real, "listings"))
    ours = a_row(Viewer(owner=True, identified=True, images=True))

    assert len(rows) == 322
    newer = NEWER_LISTING_KEYS | {"quantity"}
    assert set(ours) - set().union(*rows) == newer
    assert set().union(*rows) <= set(ours)
    assert set(inner(ours, "release")) - set(inner(rows[0], "release")) <= NEWER_LISTED_RELEASE_KEYS
    assert set(inner(rows[0], "seller")) - set(inner(ours, "seller")) == {"is_mp2020_seller"}


def test_real_pages_without_a_sort_are_in_the_default_order(samples: Path) -> None:
    for body in parsed(samples.glob("brotherlogic+godiscogs/inventory/*.json")):
        posted = [row["posted"] for row in parts([body], "listings")]
        assert all(str(earlier) <= str(later) for earlier, later in pairwise(posted))


def test_pagination_is_the_real_one(samples: Path) -> None:
    real = inner(
        parsed(samples.glob("CornCodeCreators+discogs-api-client/other/*LabelReleases_labels_159_*.json"))[0],
        "pagination",
    )
    ask = Ask("GET", "/labels/159/releases")

    assert pagination(ask, page_of(ask, range(4_129))) == real
    assert list(pagination(ask, page_of(ask, range(4_129)))) == list(real)


@pytest.mark.parametrize("number", ["1", "2", "3", "4"])
def test_pagination_of_an_inventory_repeats_what_was_asked(samples: Path, number: str) -> None:
    pages = [inner(body, "pagination") for body in parsed(samples.glob("brotherlogic+godiscogs/inventory/*.json"))]
    real = next(page for page in pages if str(page["page"]) == number)
    query = (("status", "For Sale"), ("per_page", "100"), ("token", "token"), ("page", number))
    ask = Ask("GET", "/users/brotherlogic/inventory", query)

    assert pagination(ask, page_of(ask, range(322))) == real
