"""Times in Discogs' manner."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_discogs.times import pacific, released_formatted


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        ("2023-05-07T08:45:30", "2023-05-07T01:45:30-07:00"),
        ("2023-01-07T08:45:30", "2023-01-07T00:45:30-08:00"),
        ("2024-03-10T09:59:59", "2024-03-10T01:59:59-08:00"),
        ("2024-03-10T10:00:00", "2024-03-10T03:00:00-07:00"),
        ("2024-11-03T08:59:59", "2024-11-03T01:59:59-07:00"),
        ("2024-11-03T09:00:00", "2024-11-03T01:00:00-08:00"),
    ],
)
def test_times_are_pacific_with_daylight_saving(utc: str, text: str) -> None:
    assert pacific(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()) == text


@given(st.integers(0, 4_000_000_000))
def test_a_time_written_is_the_time_meant(seconds: int) -> None:
    assert datetime.fromisoformat(pacific(seconds)).timestamp() == seconds


@pytest.mark.parametrize(
    ("released", "text"),
    [("1997-02-00", "Feb 1997"), ("1997-02-03", "03 Feb 1997"), ("1997", "1997"), ("1997-12-31", "31 Dec 1997")],
)
def test_a_release_date_is_written_as_far_as_it_is_known(released: str, text: str) -> None:
    assert released_formatted(released) == text
