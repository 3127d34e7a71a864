"""Times as Discogs writes them: Pacific time with its offset."""

from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

PACIFIC_STANDARD, PACIFIC_DAYLIGHT = timezone(timedelta(hours=-8)), timezone(timedelta(hours=-7))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def pacific(seconds: float) -> str:
    """2023-05-07T01:45:30-07:00"""
    start, end = _daylight(datetime.fromtimestamp(seconds, UTC).year)
    zone = PACIFIC_DAYLIGHT if start <= seconds < end else PACIFIC_STANDARD
    return datetime.fromtimestamp(int(seconds), zone).isoformat()


@lru_cache(maxsize=200)
def _daylight(year: int) -> tuple[float, float]:
    """From the second Sunday of March to the first of November, at two o'clock."""
    return _sunday(year, 3, 8) + 10 * 3600, _sunday(year, 11, 1) + 9 * 3600


def _sunday(year: int, month: int, first_day: int) -> float:
    day = datetime(year, month, first_day, tzinfo=UTC)
    return (day + timedelta(days=(6 - day.weekday()) % 7)).timestamp()


def released_formatted(released: str) -> str:
    """1999-03-02 is "02 Mar 1999", 1999-03-00 "Mar 1999", 1999 itself."""
    year, month, day = [*released.split("-"), "00", "00"][:3]
    parts = (day if day != "00" else "", MONTHS[int(month) - 1] if month != "00" else "", year)
    return " ".join(filter(None, parts))
