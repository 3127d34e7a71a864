"""The table of routes: method, path, the stack that answers it, and by what."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from . import database, inventory_files, marketplace, people
from .exchange import Answer, Ask
from .inventory import inventory
from .wire import Stack
from .world import World

Handler = Callable[[Ask, World], Answer]

PARTS = {
    "id": r"\d{1,18}",
    "release": r"\d{1,18}",
    "folder": r"\d{1,18}",
    "kind": "add|change|delete",
}


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    stack: Stack
    handler: Handler


def _route(method: str, path: str, handler: Handler, stack: Stack = Stack.OLD) -> Route:
    """A part in braces is any text without a slash, unless PARTS says what it looks like."""
    pattern = re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{PARTS.get(part[1], '[^/]+')})", path)
    return Route(method, re.compile(pattern), stack, handler)


USER, RELEASE, ORDER = "/users/{username}", "/releases/{id}", r"/marketplace/orders/(?P<id>[\d-]+)"
COLLECTION = f"{USER}/collection"
INSTANCE = f"{COLLECTION}/folders/{{folder}}/releases/{{release}}/instances/{{id}}"

ROUTES = (
    _route("GET", "/", database.root),
    # The database
    _route("GET", RELEASE, database.release, Stack.NEW),
    _route("GET", f"{RELEASE}/rating", database.community_rating),
    _route("GET", f"{RELEASE}/stats", database.release_stats),
    _route("GET", f"{RELEASE}/rating/{{username}}", database.user_rating),
    _route("PUT", f"{RELEASE}/rating/{{username}}", database.rate),
    _route("DELETE", f"{RELEASE}/rating/{{username}}", database.unrate),
    _route("GET", "/masters/{id}", database.master, Stack.NEW),
    _route("GET", "/releases/{text}", database.not_a_number, Stack.NEW),
    _route("GET", "/masters/{text}", database.not_a_number, Stack.NEW),
    _route("GET", "/masters/{id}/versions", database.master_versions),
    _route("GET", "/artists/{id}", database.artist),
    _route("GET", "/artists/{id}/releases", database.artist_releases),
    _route("GET", "/labels/{id}", database.label),
    _route("GET", "/labels/{id}/releases", database.label_releases),
    _route("GET", "/database/search", database.search),
    # The marketplace
    _route("GET", f"{USER}/inventory", inventory),
    _route("POST", "/marketplace/listings", marketplace.create_listing),
    _route("GET", "/marketplace/listings/{id}", marketplace.listing),
    _route("POST", "/marketplace/listings/{id}", marketplace.edit_listing),
    _route("DELETE", "/marketplace/listings/{id}", marketplace.delete_listing),
    _route("GET", "/marketplace/stats/{id}", marketplace.statistics),
    _route("GET", "/marketplace/price_suggestions/{id}", marketplace.price_suggestions),
    _route("GET", "/marketplace/fee/{price}", marketplace.fee),
    _route("GET", "/marketplace/fee/{price}/{currency}", marketplace.fee),
    _route("GET", "/marketplace/orders", marketplace.orders),
    _route("GET", ORDER, marketplace.order),
    _route("GET", f"{ORDER}/messages", marketplace.messages),
    _route("POST", f"{ORDER}/messages", marketplace.send_message),
    _route("POST", "/inventory/export", inventory_files.start_export),
    _route("GET", "/inventory/export", inventory_files.exports),
    _route("GET", "/inventory/export/{id}", inventory_files.export),
    _route("GET", "/inventory/export/{id}/download", inventory_files.download),
    _route("POST", "/inventory/upload/{kind}", inventory_files.upload),
    _route("GET", "/inventory/upload", inventory_files.uploads),
    _route("GET", "/inventory/upload/{id}", inventory_files.one_upload),
    # People
    _route("GET", "/oauth/identity", people.identity),
    _route("GET", "/oauth/request_token", people.request_token),
    _route("POST", "/oauth/access_token", people.access_token),
    _route("GET", USER, people.profile),
    _route("POST", USER, people.edit_profile),
    _route("GET", f"{USER}/submissions", people.submissions),
    _route("GET", f"{USER}/contributions", people.contributions),
    _route("GET", f"{COLLECTION}/folders", people.folders),
    _route("GET", f"{COLLECTION}/folders/{{folder}}", people.folder),
    _route("GET", f"{COLLECTION}/folders/{{folder}}/releases", people.folder_releases),
    _route("POST", f"{COLLECTION}/folders/{{folder}}/releases/{{release}}", people.add_to_collection),
    _route("DELETE", INSTANCE, people.remove_from_collection),
    _route("GET", f"{COLLECTION}/releases/{{release}}", people.collected_release),
    _route("GET", f"{COLLECTION}/fields", people.collection_fields),
    _route("GET", f"{COLLECTION}/value", people.collection_value),
    _route("GET", f"{USER}/wants", people.wants, Stack.NEW),
    _route("PUT", f"{USER}/wants/{{release}}", people.add_want, Stack.NEW),
    _route("POST", f"{USER}/wants/{{release}}", people.add_want, Stack.NEW),
    _route("DELETE", f"{USER}/wants/{{release}}", people.delete_want, Stack.NEW),
    _route("GET", f"{USER}/lists", people.user_lists),
    _route("GET", "/lists/{id}", people.one_list),
)


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class NoMatch:
    """`allowed` is empty where no route has this path: 404, else 405."""

    stack: Stack
    allowed: tuple[str, ...]


def match(method: str, path: str) -> Match | NoMatch:
    """`path` still percent-encoded; HEAD is answered by what answers GET."""
    here = [(route, found) for route in ROUTES if (found := route.pattern.fullmatch(path))]
    wanted = "GET" if method == "HEAD" else method
    for route, found in here:
        if route.method == wanted:
            return Match(route, {name: unquote(text) for name, text in found.groupdict().items()})
    stack = here[0][0].stack if here else Stack.OLD
    return NoMatch(stack, tuple(route.method for route, _ in here))
