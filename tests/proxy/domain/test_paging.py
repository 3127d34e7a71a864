from __future__ import annotations

import pytest

from proxy.domain.paging import Page, requested_page
from proxy.errors import BadRequest


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, None),
        ({"page": "2"}, Page(2, 50)),
        ({"per_page": "10"}, Page(1, 10)),
        ({"page": "3", "per_page": "500"}, Page(3, 100)),
    ],
)
def test_a_page_is_read_from_the_query(query: dict[str, str], page: Page | None) -> None:
    assert requested_page(query) == page


@pytest.mark.parametrize("query", [{"page": "-1"}, {"page": "0"}, {"per_page": "abc"}, {"page": ""}, {"page": "1e3"}])
def test_a_page_that_is_none_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="must be a whole number from 1 up"):
        requested_page(query)


def test_pages_cut_and_count() -> None:
    assert list(Page(2, 3).cut(range(8))) == [3, 4, 5]
    assert Page(3, 3).as_json(8) == {"page": 3, "pages": 3, "per_page": 3, "items": 8}
    assert Page(1, 50).as_json(0)["pages"] == 1
