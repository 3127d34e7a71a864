"""GET /users/{username}/inventory: three views of one store, its sorts, its pages and its wall."""

from collections.abc import Sequence

from .exchange import Answer, Ask, Refusal, no_such_user
from .paging import page_of, pagination, whole_number
from .shapes import Viewer, listing_row
from .stores import Store, artist_text
from .values import STATUSES, Listing
from .world import World

LAST_FOREIGN_PAGE = 100
WALL = "Pagination above 100 disabled for inventories besides your own"
SORTS = ("listed", "price", "item", "artist", "label", "catno", "audio", "status", "location")
ORDERS = ("asc", "desc")


def inventory(ask: Ask, world: World) -> Answer:
    username = ask.names["username"]
    store, account = world.catalogue.find_store(username), world.accounts.find(username)
    if store is None and account is None:
        raise no_such_user()
    owner = ask.caller.is_user(username)
    if not owner and whole_number(ask, "page", 1) > LAST_FOREIGN_PAGE:
        raise Refusal(403, WALL)
    page = page_of(ask, _rows(ask, world, store, owner=owner) if store else ())
    viewer = world.viewer(ask, owner=owner, currency=ask.currency("") or None)
    return Answer(body={"pagination": pagination(ask, page), "listings": _bodies(page.rows, store, viewer, ask, world)})


def _bodies(
    rows: Sequence[Listing], store: Store | None, viewer: Viewer, ask: Ask, world: World
) -> list[dict[str, object]]:
    if store is None:
        return []
    heading_of = world.catalogue.heading_of
    return [listing_row(row, store.seller, heading_of(row.release_id), viewer, ask.origin) for row in rows]


def _rows(ask: Ask, world: World, store: Store, *, owner: bool) -> Sequence[Listing]:
    sort, descending = _sort(ask, owner=owner)
    if owner:
        rows = store.ordered(_status(ask), sort, descending=descending)
    else:
        rows = store.for_sale(sort, descending=descending)
    return _matching(rows, ask.parameter("q"), world)


def _sort(ask: Ask, *, owner: bool) -> tuple[str, bool]:
    """Without a sort, the oldest `posted` comes first. A stranger's sort by status is ignored."""
    sort, order = ask.parameter("sort", "listed"), ask.parameter("sort_order", "asc")
    allowed = SORTS if owner else SORTS[:-1]
    if sort not in allowed:
        raise Refusal(422, f"Invalid sort: expected one of {', '.join(allowed)}.")
    if order.lower() not in ORDERS:
        raise Refusal(422, f"Invalid sort_order: expected one of {', '.join(ORDERS)}.")
    return ("listed" if sort == "status" and not owner else sort), order.lower() == "desc"


def _status(ask: Ask) -> str:
    """Of the owner only; a stranger's is not even looked at. The documentation's example is in lower case."""
    asked = ask.parameter("status", "All")
    known = {status.lower(): status for status in STATUSES}
    if asked.lower() not in known:
        raise Refusal(422, f"Invalid status: expected one of {', '.join(STATUSES)}.")
    return known[asked.lower()]


def _matching(rows: Sequence[Listing], wanted: str, world: World) -> Sequence[Listing]:
    """The undocumented `q`: every word somewhere in artist, title, label or comments."""
    words = wanted.casefold().split()
    return [row for row in rows if all(word in _text(row, world) for word in words)] if words else rows


def _text(row: Listing, world: World) -> str:
    heading = world.catalogue.heading_of(row.release_id)
    label = heading.labels[0]
    parts = (artist_text(heading), heading.title, label.label.name, label.catno, row.comments)
    return " ".join(parts).casefold()
