"""What happens to stores by itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated_discogs import Catalogue
from tests.simulated_discogs.churn import WEIGHTS, Churn, EventKind

STORE = "den"


def stock(catalogue: Catalogue) -> set[int]:
    return {listing.id for listing in catalogue.for_sale(STORE)}


def fresh() -> Catalogue:
    return Catalogue.generate(seed=3, stores={STORE: 30}, releases=100)


def test_the_same_seed_brings_the_same_events() -> None:
    runs = []
    for _ in range(2):
        churn = Churn(fresh(), seed=5)
        runs.append([churn.happen(STORE) for _ in range(50)])

    assert runs[0] == runs[1]
    assert {event.kind for event in runs[0]} > {"sale", "addition"}


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_every_kind_tells_truly_what_it_did(kind: EventKind) -> None:
    catalogue = fresh()
    before = {listing.id: listing for listing in catalogue.for_sale(STORE)}

    event = Churn(catalogue, seed=1).happen(STORE, kind)

    after = {listing.id: listing for listing in catalogue.for_sale(STORE)}
    assert event.kind == kind
    assert set(before) - set(after) == set(event.gone)
    assert set(after) - set(before) == set(event.came)
    assert {identity for identity in before.keys() & after if before[identity] != after[identity]} == set(event.changed)


def test_an_insertion_is_not_at_the_top_and_a_moving_edit_is() -> None:
    catalogue = fresh()
    churn = Churn(catalogue, seed=1)
    inserted = churn.happen(STORE, "insertion").came[0]
    assert catalogue.for_sale(STORE)[-1].id != inserted

    moved = churn.happen(STORE, "edit_moving").changed[0]
    assert catalogue.for_sale(STORE)[-1].id == moved


@settings(max_examples=25, deadline=None)
@given(kinds=st.lists(st.sampled_from(list(WEIGHTS)), max_size=60), seed=st.integers(0, 1_000))
def test_events_add_up_to_the_stock(kinds: list[EventKind], seed: int) -> None:
    catalogue = fresh()
    churn, expected = Churn(catalogue, seed), stock(catalogue)

    for kind in kinds:
        event = churn.happen(STORE, kind)
        expected = (expected - set(event.gone)) | set(event.came)

    assert stock(catalogue) == expected
    posted = [listing.posted for listing in catalogue.for_sale(STORE)]
    assert posted == sorted(posted)


def test_an_empty_store_can_only_grow() -> None:
    catalogue = Catalogue.generate(seed=1, stores={STORE: 0})
    assert Churn(catalogue).any_store() is None

    assert Churn(catalogue).happen(STORE, "sale").kind == "addition"
    assert len(catalogue.for_sale(STORE)) == 1


def test_waiting_times_are_as_long_as_the_rate_says() -> None:
    churn = Churn(fresh(), seed=2)
    waits = [churn.seconds_to_next(per_hour=60) for _ in range(2_000)]

    assert 55 < sum(waits) / len(waits) < 65
