from __future__ import annotations

import math
from statistics import mean

import pytest

from proxy.commands.bench_mirror import EVENTS, LISTINGS, SHOWN, _pages

PAGES = LISTINGS // SHOWN.per_page


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_is_found_by_one_check_that_reads_less_than_everything(name: str) -> None:
    for seed in range(5):
        pages, checks = _pages(EVENTS[name], seed)
        assert checks == 1
        assert pages < PAGES


def test_a_sale_anywhere_takes_one_page_and_the_logarithm_of_the_pages() -> None:
    assert max(_pages(lambda store: store.sell(), seed)[0] for seed in range(30)) <= 1 + math.ceil(math.log2(PAGES))


def test_on_average_an_event_takes_eight_pages_at_most() -> None:
    assert mean(_pages(happen, 1)[0] for happen in EVENTS.values()) <= 8
