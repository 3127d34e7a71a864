"""Stores and what can happen to them."""

import time
from dataclasses import replace

import pytest

from tests.simulated_discogs import SECRET, Catalogue, Listing

STORE = "vinyl_den"


def ids(catalogue: Catalogue) -> list[int]:
    return [listing.id for listing in catalogue.for_sale(STORE)]


@pytest.fixture
def middle(catalogue: Catalogue) -> Listing:
    return catalogue.for_sale(STORE)[60]


def test_a_seed_gives_the_same_stores() -> None:
    stores = {"a": 50, "b": 20}
    first, again, other = (Catalogue.generate(seed=seed, stores=stores) for seed in (1, 1, 2))

    assert first.for_sale("a") == again.for_sale("a")
    assert first.for_sale("a") != other.for_sale("a")


def test_twenty_thousand_listings_are_made_within_two_seconds() -> None:
    started = time.process_time()
    catalogue = Catalogue.generate(seed=1, stores={"huge": 20_000})

    assert len(catalogue.for_sale("huge")) == 20_000
    assert time.process_time() - started < 2


def test_listing_ids_are_unique_over_all_stores_and_releases_are_shared() -> None:
    catalogue = Catalogue.generate(seed=1, stores={"a": 500, "b": 500})
    listings = [listing for store in catalogue.stores for listing in store.all()]
    sold_by = [{listing.release_id for listing in catalogue.for_sale(name)} for name in ("a", "b")]

    assert len({listing.id for listing in listings}) == len(listings)
    assert sold_by[0] & sold_by[1]
    assert len(sold_by[0]) < 500  # some are there twice
    assert all(catalogue.release(release_id) for release_id in sold_by[0])


def test_what_strangers_may_not_see_is_marked_secret(catalogue: Catalogue) -> None:
    hidden = [listing for listing in catalogue.store(STORE).all() if listing.status != "For Sale"]

    assert hidden
    assert all(listing.comments.startswith(SECRET) for listing in hidden)
    assert all(SECRET in listing.external_id and SECRET in listing.location for listing in hidden)
    assert not any(SECRET in listing.comments for listing in catalogue.for_sale(STORE))


def test_a_sale_takes_one_row_away(catalogue: Catalogue, middle: Listing) -> None:
    before = ids(catalogue)
    catalogue.sell(STORE, middle.id)

    assert ids(catalogue) == [identity for identity in before if identity != middle.id]
    assert catalogue.store(STORE)[middle.id].status == "Sold"


def test_an_addition_is_the_newest_whatever_the_clock_says(catalogue: Catalogue) -> None:
    past, usual, future = (catalogue.add_listing(STORE, now=now) for now in (0, None, 4e9))

    assert ids(catalogue)[-3:] == [past.id, usual.id, future.id]
    assert future.posted == 4_000_000_000


def test_an_insertion_appears_in_the_middle(catalogue: Catalogue, middle: Listing) -> None:
    added = catalogue.add_listing(STORE, posted=middle.posted, release_id=middle.release_id)

    assert ids(catalogue).index(added.id) == 61
    assert added.release_id == middle.release_id


def test_an_edit_moves_the_row_or_leaves_it(catalogue: Catalogue, middle: Listing) -> None:
    catalogue.edit_listing(STORE, middle.id, price=99.0)
    assert ids(catalogue)[60] == middle.id
    assert catalogue.for_sale(STORE)[60] == replace(middle, price=99.0)

    catalogue.edit_listing(STORE, middle.id, moves_posted=True, comments="moved")
    assert ids(catalogue)[-1] == middle.id


def test_a_relisted_row_comes_back_as_the_newest(catalogue: Catalogue, middle: Listing) -> None:
    catalogue.sell(STORE, middle.id)
    catalogue.relist(STORE, middle.id)

    assert ids(catalogue)[-1] == middle.id
    assert catalogue.for_sale(STORE)[-1].comments == middle.comments


def test_relisting_shows_no_secret(catalogue: Catalogue) -> None:
    hidden = next(listing for listing in catalogue.store(STORE).all() if listing.status == "Sold")

    assert SECRET not in catalogue.relist(STORE, hidden.id).comments


def test_copies_are_counted_over_stores(catalogue: Catalogue, middle: Listing) -> None:
    before = len(catalogue.copies_for_sale(middle.release_id))
    catalogue.add_listing("small_shop", release_id=middle.release_id)
    assert len(catalogue.copies_for_sale(middle.release_id)) == before + 1

    catalogue.holiday("small_shop")
    assert len(catalogue.copies_for_sale(middle.release_id)) == before
    catalogue.delete_user("small_shop")
    catalogue.sell(STORE, middle.id)
    assert len(catalogue.copies_for_sale(middle.release_id)) == before - 1


def test_a_release_can_be_replaced_and_removed(catalogue: Catalogue, middle: Listing) -> None:
    found = catalogue.release(middle.release_id)
    assert found is not None
    changed = replace(found, heading=replace(found.heading, title="!!!"), videos=())
    catalogue.put_release(changed)
    assert catalogue.release(middle.release_id) == changed
    assert catalogue.for_sale(STORE, "item")[0].release_id == middle.release_id

    catalogue.remove_release(middle.release_id)
    assert catalogue.release(middle.release_id) is None
    assert middle.id in ids(catalogue)
    assert catalogue.heading_of(middle.release_id) == found.heading


def test_a_release_of_ones_own_can_be_added_and_sold(catalogue: Catalogue, middle: Listing) -> None:
    found = catalogue.release(middle.release_id)
    assert found is not None
    mine = replace(found, heading=replace(found.heading, id=77))
    catalogue.put_release(mine)

    catalogue.add_listing(STORE, release_id=77)

    assert catalogue.release(77) == mine
    assert catalogue.copies_for_sale(77)


def test_artists_and_labels_know_their_releases(catalogue: Catalogue, middle: Listing) -> None:
    heading = catalogue.heading_of(middle.release_id)
    artist, label = heading.artists[0].artist, heading.labels[0].label

    assert heading in catalogue.releases_of_artist(artist.id)
    assert heading in catalogue.releases_of_label(label.id)
    assert catalogue.artist(artist.id) == artist
    assert catalogue.label(label.id) == label
