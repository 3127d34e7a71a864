from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.domain.merge import posted_of


@pytest.mark.parametrize(
    ("posted", "moment"),
    [
        ("2023-05-07T01:45:30-07:00", datetime(2023, 5, 7, 8, 45, 30, tzinfo=UTC)),
        ("2023-05-07T01:45:30", None),
        ("yesterday", None),
        ("", None),
        (1683449130, None),
        (None, None),
    ],
)
def test_when_a_listing_was_posted_is_told_with_its_time_zone_or_not_at_all(
    posted: object, moment: datetime | None
) -> None:
    assert posted_of({"posted": posted}) == moment
