"""Routes of the database: releases, masters, artists, labels and the search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .exchange import Answer, Ask, Body, Refusal, must_authenticate, no_permission, no_such_release, no_such_user
from .money import converted
from .paging import page_of, pagination
from .shapes import (
    Viewer,
    artist_body,
    artist_release_row,
    label_body,
    label_release_row,
    master_body,
    named_result,
    release_body,
    search_result,
    version_row,
)
from .stores import artist_text
from .values import Artist, Heading, Label, Release
from .wire import media_type
from .world import World

SEARCH_REACH = 10_000
RELEASE_GONE = "That release does not exist or may have been deleted."
MASTER_GONE = "That master release does not exist or may have been deleted."


def root(ask: Ask, world: World) -> Answer:
    statistics = {"releases": world.catalogue.releases, "artists": 9_000_000, "labels": 2_000_000}
    return Answer(
        body={
            "hello": "Welcome to the Discogs API.",
            "api_version": "v2",
            "documentation_url": "http://www.discogs.com/developers/",
            "statistics": statistics,
        }
    )


def release(ask: Ask, world: World) -> Answer:
    found = world.catalogue.release(ask.number("id"))
    if found is None:
        raise Refusal(404, RELEASE_GONE)
    for_sale, lowest = offers(world, [found.id])
    return Answer(body=release_body(found, for_sale, lowest, ask.origin))


def not_a_number(ask: Ask, world: World) -> Answer:
    """Of the new stack's validation only the outline is known: `detail` as FastAPI has it, and a message."""
    text = "Input should be a valid integer, unable to parse string as an integer"
    detail = {"type": "int_parsing", "loc": ["path", "id"], "msg": text, "input": ask.names["text"]}
    return Answer(422, {"detail": [detail], "message": text})


def master(ask: Ask, world: World) -> Answer:
    master_id, versions = ask.number("id"), _versions(ask, world)
    for_sale, lowest = offers(world, [version.id for version in versions])
    return Answer(body=master_body(master_id, versions, for_sale, lowest, ask.origin))


def offers(world: World, release_ids: Sequence[int], currency: str = "USD") -> tuple[int, float | None]:
    """How many copies are for sale over all stores, and the cheapest."""
    copies = [copy for release_id in release_ids for copy in world.catalogue.copies_for_sale(release_id)]
    prices = [converted(listing.price, store.seller.currency, currency) for store, listing in copies]
    return len(prices), min(prices, default=None)


def _versions(ask: Ask, world: World) -> Sequence[Release]:
    versions = world.catalogue.versions(ask.number("id"))
    if not versions:
        raise Refusal(404, MASTER_GONE)
    return versions


VERSION_SORTS: dict[str, Callable[[Release], str]] = {
    "released": lambda release: release.released,
    "title": lambda release: release.heading.title,
    "format": lambda release: release.heading.formats[0].name,
    "label": lambda release: release.heading.labels[0].label.name,
    "catno": lambda release: release.heading.labels[0].catno,
    "country": lambda release: release.heading.country or "",
}


def master_versions(ask: Ask, world: World) -> Answer:
    versions = [version for version in _versions(ask, world) if _version_asked_for(version, ask)]
    key = VERSION_SORTS.get(ask.parameter("sort", "released"), VERSION_SORTS["released"])
    page = page_of(ask, sorted(versions, key=key, reverse=ask.parameter("sort_order") == "desc"))
    viewer = world.viewer(ask)
    filters: Body = {"applied": {}, "available": {"country": _counted(versions)}}
    return Answer(
        body={
            "pagination": pagination(ask, page),
            "filters": filters,
            "filter_facets": [{"title": "Country", "id": "country", "values": [], "allows_multiple_values": True}],
            "versions": [version_row(version, viewer, ask.origin) for version in page.rows],
        }
    )


def _version_asked_for(version: Release, ask: Ask) -> bool:
    heading = version.heading
    wanted = {name: ask.parameter(name) for name in ("format", "label", "country", "released")}
    has: dict[str, set[str | None]] = {
        "format": {heading.formats[0].name, *heading.formats[0].descriptions},
        "label": {imprint.label.name for imprint in heading.labels},
        "country": {heading.country},
        "released": {version.released[:4]},
    }
    return all(not value or value in has[name] for name, value in wanted.items())


def _counted(versions: Sequence[Release]) -> dict[str, int]:
    countries = [version.heading.country or "" for version in versions]
    return {country: countries.count(country) for country in countries}


def artist(ask: Ask, world: World) -> Answer:
    return Answer(body=artist_body(_artist(ask, world), ask.origin, media_type(ask.headers.get("Accept", ""))))


def artist_releases(ask: Ask, world: World) -> Answer:
    headings = world.catalogue.releases_of_artist(_artist(ask, world).id)
    keys: dict[str, Callable[[Heading], str | int]] = {
        "year": lambda heading: heading.year,
        "title": lambda heading: heading.title,
        "format": lambda heading: heading.formats[0].name,
    }
    key = keys.get(ask.parameter("sort", "year"), keys["year"])
    page = page_of(ask, sorted(headings, key=key, reverse=ask.parameter("sort_order") == "desc"))
    viewer = world.viewer(ask)
    rows = [artist_release_row(heading, viewer, ask.origin) for heading in page.rows]
    return Answer(body={"pagination": pagination(ask, page), "releases": rows})


def _artist(ask: Ask, world: World) -> Artist:
    found = world.catalogue.artist(ask.number("id"))
    if found is None:
        raise Refusal(404, "Artist not found.")
    return found


def label(ask: Ask, world: World) -> Answer:
    return Answer(body=label_body(_label(ask, world), ask.origin, media_type(ask.headers.get("Accept", ""))))


def label_releases(ask: Ask, world: World) -> Answer:
    page = page_of(ask, world.catalogue.releases_of_label(_label(ask, world).id))
    viewer = world.viewer(ask)
    rows = [label_release_row(heading, viewer, ask.origin) for heading in page.rows]
    return Answer(body={"pagination": pagination(ask, page), "releases": rows})


def _label(ask: Ask, world: World) -> Label:
    found = world.catalogue.label(ask.number("id"))
    if found is None:
        raise Refusal(404, "Label not found")  # the one message without a full stop
    return found


# Ratings


def community_rating(ask: Ask, world: World) -> Answer:
    found = _rated_release(ask, world)
    return Answer(body={"release_id": found.id, "rating": {"count": found.ratings, "average": found.rating}})


def release_stats(ask: Ask, world: World) -> Answer:
    _rated_release(ask, world)
    return Answer(body={"is_offensive": False})


def user_rating(ask: Ask, world: World) -> Answer:
    username, found = ask.names["username"], _rated_release(ask, world)
    if world.accounts.find(username) is None:
        raise no_such_user()
    rating = world.ratings.get((found.id, username.lower()), 0)
    return Answer(body={"username": username, "release_id": found.id, "rating": rating})


def rate(ask: Ask, world: World) -> Answer:
    key = _own_rating(ask, world)
    rating = ask.json().get("rating")
    if not isinstance(rating, int) or not 1 <= rating <= 5:
        raise Refusal(422, "Invalid rating: expected integer between 1 and 5.")
    world.ratings[key] = rating
    return user_rating(ask, world)


def unrate(ask: Ask, world: World) -> Answer:
    world.ratings.pop(_own_rating(ask, world), None)
    return Answer(204, content_type="text/plain")


def _own_rating(ask: Ask, world: World) -> tuple[int, str]:
    if not ask.caller.identified:
        raise must_authenticate()
    if not ask.caller.is_user(ask.names["username"]):
        raise no_permission()
    return _rated_release(ask, world).id, ask.names["username"].lower()


def _rated_release(ask: Ask, world: World) -> Release:
    found = world.catalogue.release(ask.number("id"))
    if found is None:
        raise no_such_release()
    return found


# Search


@dataclass(frozen=True, slots=True)
class Find:
    """One thing that a search finds: its words, its `heading` if it is a release, else its kind, id and name."""

    text: str
    heading: Heading | None = None
    kind: str = "release"
    id: int = 0
    name: str = ""


RELEASE_FIELDS: dict[str, Callable[[Heading], str]] = {
    "artist": artist_text,
    "title": lambda heading: f"{artist_text(heading)} - {heading.title}",
    "release_title": lambda heading: heading.title,
    "label": lambda heading: heading.labels[0].label.name,
    "catno": lambda heading: heading.labels[0].catno,
    "genre": lambda heading: " ".join(heading.genres),
    "style": lambda heading: " ".join(heading.styles),
    "country": lambda heading: heading.country or "",
    "year": lambda heading: str(heading.year),
    "format": lambda heading: " ".join((heading.formats[0].name, *heading.formats[0].descriptions)),
}


def search(ask: Ask, world: World) -> Answer:
    """Documented as needing a token; in truth the anonymous get results too, without pictures."""
    page = page_of(ask, _finds(ask, world), most=SEARCH_REACH)
    viewer = world.viewer(ask)
    results = [_result(find, viewer, ask, world) for find in page.rows]
    return Answer(body={"pagination": pagination(ask, page), "results": results})


def _finds(ask: Ask, world: World) -> Sequence[Find]:
    words, kind = ask.parameter("q").casefold().split(), ask.parameter("type")
    releases = _found_releases(ask, world) if kind in {"", "release"} else []
    named = _named(world, kind) if words and kind in {"", "artist", "label"} else []
    return [find for find in [*named, *releases] if all(word in find.text for word in words)]


def _found_releases(ask: Ask, world: World) -> list[Find]:
    asked = {name: ask.parameter(name).casefold() for name in RELEASE_FIELDS if ask.parameter(name)}
    headings = [
        heading
        for heading in world.catalogue.headings()
        if all(value in RELEASE_FIELDS[name](heading).casefold() for name, value in asked.items())
    ]
    return [Find(_words(heading), heading) for heading in headings]


def _words(heading: Heading) -> str:
    imprint = heading.labels[0]
    return " ".join((artist_text(heading), heading.title, imprint.label.name, imprint.catno)).casefold()


def _named(world: World, kind: str) -> list[Find]:
    artists = world.catalogue.artists() if kind != "label" else ()
    labels = world.catalogue.labels() if kind != "artist" else ()
    return [
        *(Find(artist.name.casefold(), kind="artist", id=artist.id, name=artist.name) for artist in artists),
        *(Find(label.name.casefold(), kind="label", id=label.id, name=label.name) for label in labels),
    ]


def _result(find: Find, viewer: Viewer, ask: Ask, world: World) -> Body:
    if find.heading is None:
        return named_result(find.kind, find.id, find.name, viewer, ask.origin)
    return search_result(find.heading, world.catalogue.master_id_of(find.heading.id), viewer, ask.origin)
