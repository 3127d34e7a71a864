from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.resources import UNKNOWN, Kind, Resource, resource_of


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/", Resource(Kind.ROOT)),
        ("/releases/249504", Resource(Kind.RELEASE, release_id=249504)),
        ("/releases/249504/rating", Resource(Kind.DATABASE)),
        ("/releases/249504/rating/anna", Resource(Kind.PRIVATE)),
        ("/masters/96559", Resource(Kind.DATABASE)),
        ("/artists/72872", Resource(Kind.DATABASE)),
        ("/masters/96559/versions", Resource(Kind.DATABASE_LIST)),
        ("/artists/72872/releases", Resource(Kind.DATABASE_LIST)),
        ("/labels/1/releases", Resource(Kind.DATABASE_LIST)),
        ("/database/search", Resource(Kind.SEARCH)),
        ("/users/anna/inventory", Resource(Kind.INVENTORY, username="anna")),
        ("/users/anna%20b/inventory", Resource(Kind.INVENTORY, username="anna b")),
        ("/users/anna", Resource(Kind.PROFILE, username="anna")),
        ("/users/anna/collection/folders/0/releases", Resource(Kind.PRIVATE)),
        ("/users/anna/wants", Resource(Kind.PRIVATE)),
        ("/marketplace/listings/1", Resource(Kind.LISTING)),
        ("/marketplace/listings", Resource(Kind.PRIVATE)),
        ("/marketplace/orders/1-1/messages", Resource(Kind.PRIVATE)),
        ("/marketplace/stats/1", Resource(Kind.MARKETPLACE_STATS)),
        ("/oauth/identity", Resource(Kind.PRIVATE)),
        ("/oauth/request_token", Resource(Kind.TEXT)),
        ("/inventory/export/1/download", Resource(Kind.TEXT)),
    ],
)
def test_known_paths_are_told_apart(path: str, resource: Resource) -> None:
    assert resource_of(path) == resource


@pytest.mark.parametrize(
    "path",
    [
        "/releases/0",
        "/releases/2147483648",
        "/releases/1/",
        "/releases/１",
        "/users/a%2Fb/inventory",
        "/users/a%00b/inventory",
        "/users/../inventory",
        "/users/%2e%2e/inventory",
        "/users/%252e%252e/inventory",
        "/users/a\\b/inventory",
        "/users/anna/",
        "/users//inventory",
        "//users/anna",
        "/releases/1/../../oauth/identity",
        "/something/else",
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_unknown(path: str) -> None:
    assert resource_of(path) == UNKNOWN


@given(st.text())
def test_any_text_has_an_answer(path: str) -> None:
    assert isinstance(resource_of(path), Resource)
