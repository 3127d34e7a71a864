"""The table of routes as a whole: what it finds, what it keeps secret, what the package leans on."""

import ast
import sys
from pathlib import Path

import pytest

import tests.simulated_discogs
from tests.simulated_discogs import SECRET, Catalogue, SimulatedDiscogs
from tests.simulated_discogs.routes import ROUTES, Match, NoMatch, match
from tests.simulated_discogs.wire import Stack

from .conftest import ALICE, CONSUMER, OWNER, Api

PRIVATE = ("/oauth/identity", "/marketplace/orders", "/users/vinyl_den/collection/value", "/inventory/export")
OWN = ("/oauth/identity",)
PATHS = (
    "/ /releases/{release} /releases/{release}/rating /releases/{release}/stats /releases/{release}/rating/{user} "
    "/releases/abc /masters/{master} /masters/abc /masters/{master}/versions /artists/{artist} "
    "/artists/{artist}/releases /labels/{label} /labels/{label}/releases /database/search /users/{user}/inventory "
    "/marketplace/listings/{listing} /marketplace/stats/{release} /marketplace/price_suggestions/{release} "
    "/marketplace/fee/9.50 /marketplace/fee/9.50/EUR /marketplace/orders /marketplace/orders/{seller}-1 "
    "/marketplace/orders/{seller}-1/messages /inventory/export /inventory/export/599632 "
    "/inventory/export/599632/download /inventory/upload /inventory/upload/119615 /oauth/identity "
    "/oauth/request_token /users/{user} /users/{user}/submissions /users/{user}/contributions "
    "/users/{user}/collection/folders /users/{user}/collection/folders/1 "
    "/users/{user}/collection/folders/1/releases /users/{user}/collection/releases/{release} "
    "/users/{user}/collection/fields /users/{user}/collection/value /users/{user}/wants /users/{user}/lists "
    "/lists/{list}"
)


def paths(catalogue: Catalogue, username: str) -> list[str]:
    """One of every GET route; where it is about a user, this one."""
    listing, seller = catalogue.for_sale("vinyl_den")[0], catalogue.store("vinyl_den").seller
    heading = catalogue.heading_of(listing.release_id)
    filled = PATHS.format(
        user=username,
        release=heading.id,
        master=catalogue.master_id_of(heading.id),
        artist=heading.artists[0].artist.id,
        label=heading.labels[0].label.id,
        listing=listing.id,
        seller=seller.id,
        list=seller.id * 2 + 1,
    )
    return filled.split()


def test_every_get_route_is_among_the_paths(catalogue: Catalogue) -> None:
    found = [match("GET", path) for path in paths(catalogue, "alice")]
    assert {id(hit.route) for hit in found if isinstance(hit, Match)} == {
        id(route) for route in ROUTES if route.method == "GET"
    }


@pytest.mark.parametrize("headers", [{}, {"Authorization": CONSUMER}, {"Authorization": ALICE}])
async def test_no_route_tells_a_stranger_a_secret(api: Api, catalogue: Catalogue, headers: dict[str, str]) -> None:
    asked = [path for path in paths(catalogue, "vinyl_den") if path not in OWN]
    for path in asked:
        seen = await api.get(path, **headers)
        assert SECRET.encode() not in seen.body, path


async def test_the_owner_is_told_secrets_by_all_private_routes(api: Api) -> None:
    await api.ask("POST", "/inventory/export", Authorization=OWNER)
    for path in PRIVATE:
        assert SECRET.encode() in (await api.get(path, Authorization=OWNER)).body, path


async def test_no_route_fails(api: Api, catalogue: Catalogue, discogs: SimulatedDiscogs) -> None:
    for path in paths(catalogue, "alice"):
        await api.get(path, Authorization=ALICE)

    unsigned = {"/oauth/request_token": 500}
    assert {call.path: call.status for call in discogs.calls if (call.status or 500) >= 500} == unsigned


def test_names_in_paths_are_decoded() -> None:
    found = match("GET", "/users/Vinyl%20D%C3%A9n/inventory")

    assert isinstance(found, Match)
    assert found.names == {"username": "Vinyl Dén"}


def test_what_does_not_match_tells_which_methods_would() -> None:
    assert match("PUT", "/releases/1") == NoMatch(Stack.NEW, ("GET", "GET"))
    assert match("GET", "/users/a/b/c") == NoMatch(Stack.OLD, ())


def test_the_package_needs_nothing_but_aiohttp_and_orjson() -> None:
    folder = Path(tests.simulated_discogs.__file__).parent
    trees = [ast.parse(path.read_text()) for path in folder.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    parts = [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    imported = {name.split(".")[0] for name in whole + parts}

    assert imported - set(sys.stdlib_module_names) == {"aiohttp", "orjson"}
