from __future__ import annotations

import pytest

from proxy.domain.purge import Purge, PurgePath, PurgeRelease, PurgeStore, parse_purge
from proxy.errors import BadRequest


@pytest.mark.parametrize(
    ("asked", "what", "soft"),
    [
        ({"release": 1}, PurgeRelease(1), True),
        ({"release": 1, "soft": False}, PurgeRelease(1), False),
        ({"store": "Vinyl_Den"}, PurgeStore("vinyl_den"), True),
        ({"path": "/masters/1", "soft": True}, PurgePath("/masters/1"), True),
    ],
)
def test_what_can_be_asked(asked: dict[str, object], what: Purge, soft: bool) -> None:
    assert parse_purge(asked) == (what, soft)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"soft": True},
        {"release": "1"},
        {"release": True},
        {"release": 0},
        {"release": 2**40},
        {"store": ""},
        {"store": 1},
        {"release": 1, "store": "a"},
        {"release": 1, "soft": "no"},
        {"release": 1, "other": 2},
    ],
)
def test_anything_else_is_refused_with_advice(asked: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="release"):
        parse_purge(asked)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"path": "masters/1"}, "A path begins with / and has no query"),
        ({"path": "/masters/1?x"}, "A path begins with / and has no query"),
        ({"store": "a/b"}, "A store is named by its username"),
    ],
)
def test_what_is_wrong_with_a_name_or_path_is_told(asked: dict[str, object], told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        parse_purge(asked)
