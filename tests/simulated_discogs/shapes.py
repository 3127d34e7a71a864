"""Values of the catalogue as Discogs' JSON objects, keys in Discogs' order. Pure; `origin` begins every API URL."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from .exchange import Body
from .money import CURRENCIES, converted, formatted
from .stores import artist_text, catalogue_number
from .times import pacific, released_formatted
from .values import (
    Account,
    Artist,
    Credit,
    Format,
    Heading,
    Identifier,
    Imprint,
    Label,
    Listing,
    Release,
    Seller,
    Track,
    Video,
)

SITE = "https://www.discogs.com"
IMAGES = "https://i.discogs.com"
NO_INTERNATIONAL_SHIPPING = 15
"""One listing in so many is not shipped to an identified stranger."""

FORMAT_SHORT = {
    "Reissue": "RE",
    "Repress": "RP",
    "Remastered": "RM",
    "Limited Edition": "Ltd",
    "Compilation": "Comp",
    "33 ⅓ RPM": "",
    "45 RPM": "",
    "Stereo": "",
}
CARRIER_SHORT = {"Vinyl": "", "CD": "CD", "Cassette": "Cass"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at marketplace rows: strangers see no secrets, the anonymous no images and no `in_cart`."""

    owner: bool = False
    identified: bool = False
    images: bool = False
    currency: str | None = None
    cart: Collection[int] = ()
    wants: Collection[int] = ()
    collection: Collection[int] = ()


# Marketplace


def listing_row(listing: Listing, seller: Seller, heading: Heading, viewer: Viewer, origin: str) -> Body:
    currency = viewer.currency or seller.currency
    return {
        "id": listing.id,
        "resource_url": f"{origin}/marketplace/listings/{listing.id}",
        "uri": f"{SITE}/sell/item/{listing.id}",
        "status": listing.status,
        "condition": listing.condition,
        "sleeve_condition": listing.sleeve_condition,
        "comments": listing.comments,
        "ships_from": seller.ships_from,
        "posted": pacific(listing.posted),
        "allow_offers": listing.allow_offers,
        "offer_submitted": False,
        "audio": listing.audio,
        "price": {"value": converted(listing.price, seller.currency, currency), "currency": currency},
        "original_price": original_price(listing.price, seller.currency, currency),
        **_shipping(listing, seller, viewer),
        "seller": _seller(seller, origin),
        "release": _listed_release(heading, viewer, origin),
        **({"in_cart": listing.id in viewer.cart} if viewer.identified else {}),
        **(_owner_fields(listing) if viewer.owner else {}),
    }


def single_listing(listing: Listing, seller: Seller, heading: Heading, viewer: Viewer, origin: str) -> Body:
    """As a row, but an identified stranger sees what shipping to them costs."""
    body = listing_row(listing, seller, heading, viewer, origin)
    if viewer.identified and not viewer.owner:
        currency = viewer.currency or seller.currency
        cost = converted(listing.shipping, seller.currency, currency)
        body["shipping_price"] = {"value": cost, "currency": currency}
        body["original_shipping_price"] = original_price(listing.shipping, seller.currency, currency)
        body["shipping_is_blocked"] = True if listing.id % NO_INTERNATIONAL_SHIPPING == 0 else None
    return body


def original_price(amount: float, currency: str, shown_in: str) -> Body:
    """In the seller's currency; with `converted` when the price is shown in another."""
    body: Body = {
        "curr_abbr": currency,
        "curr_id": CURRENCIES[currency].number,
        "formatted": formatted(amount, currency),
        "value": amount,
    }
    if currency != shown_in:
        body["converted"] = {"curr_abbr": shown_in, "value": converted(amount, currency, shown_in)}
    return body


def _shipping(listing: Listing, seller: Seller, viewer: Viewer) -> Body:
    if not viewer.owner:
        return {"shipping_price": {}, "original_shipping_price": {}, "shipping_is_blocked": None}
    # A whole original amount is an int, the price beside it never is.
    original = original_price(listing.shipping, seller.currency, seller.currency)
    if listing.shipping.is_integer():
        original["value"] = int(listing.shipping)
    return {
        "shipping_price": {"value": listing.shipping, "currency": seller.currency},
        "original_shipping_price": original,
        "shipping_is_blocked": None,
    }


def _owner_fields(listing: Listing) -> Body:
    return {
        "weight": float(listing.weight),
        "estimated_weight": listing.weight,
        "format_quantity": listing.format_quantity,
        "external_id": listing.external_id,
        "location": listing.location,
        "quantity": listing.quantity,
    }


def _seller(seller: Seller, origin: str) -> Body:
    return {
        "id": seller.id,
        "username": seller.username,
        "avatar_url": avatar(seller.username),
        "stats": {"rating": seller.rating, "stars": seller.stars, "total": seller.ratings},
        "min_order_total": seller.min_order_total,
        "html_url": f"{SITE}/user/{seller.username}",
        "uid": seller.id,
        "url": f"{origin}/users/{seller.username}",
        "payment": seller.payment,
        "shipping": seller.shipping,
        "resource_url": f"{origin}/users/{seller.username}",
    }


def _listed_release(heading: Heading, viewer: Viewer, origin: str) -> Body:
    label, format_line, artist = heading.labels[0], format_text(heading.formats), artist_text(heading)
    return {
        "thumbnail": thumb(heading) if viewer.images else "",
        "description": f"{artist} - {heading.title} ({format_line})",
        "images": images("R", heading.id, heading.images) if viewer.images else [],
        "artist": artist,
        "format": format_line,
        "resource_url": f"{origin}/releases/{heading.id}",
        "title": heading.title,
        "year": heading.year,
        "id": heading.id,
        "label": label.label.name,
        "catalog_number": catalogue_number(heading),
        "stats": stats(heading, viewer),
    }


def stats(heading: Heading, viewer: Viewer) -> Body:
    community: Body = {"in_wantlist": heading.want, "in_collection": heading.have}
    if not viewer.identified:
        return {"community": community}
    wanted, collected = int(heading.id in viewer.wants), int(heading.id in viewer.collection)
    return {"community": community, "user": {"in_wantlist": wanted, "in_collection": collected}}


def format_text(formats: Sequence[Format]) -> str:
    """Of an inventory row: `2xLP, Album, RE + 7", RE`"""
    return " + ".join(map(_one_format, formats))


def _one_format(media: Format) -> str:
    words = [CARRIER_SHORT.get(media.name, media.name), *(FORMAT_SHORT.get(word, word) for word in media.descriptions)]
    line = ", ".join(filter(None, words))
    return f"{media.quantity}x{line}" if media.quantity > 1 else line


# Database


def release_body(release: Release, for_sale: int, lowest: float | None, origin: str) -> Body:
    heading = release.heading
    title = f"{artist_text(heading)} {heading.title}"
    return {
        "id": heading.id,
        "status": "Accepted",
        "year": heading.year,
        "resource_url": f"{origin}/releases/{heading.id}",
        "uri": f"{SITE}/release/{heading.id}-{slug(title)}",
        "artists": [credit_body(credit, origin, thumbnail=True) for credit in heading.artists],
        "artists_sort": sort_name(heading),
        "labels": [imprint_body(imprint, origin) for imprint in heading.labels],
        "series": [imprint_body(imprint, origin) for imprint in release.series],
        "companies": [imprint_body(imprint, origin) for imprint in release.companies],
        "formats": [format_body(media) for media in heading.formats],
        "data_quality": release.data_quality,
        "community": _community(release, origin),
        "format_quantity": sum(media.quantity for media in heading.formats),
        "date_added": pacific(release.added),
        "date_changed": pacific(release.changed),
        "num_for_sale": for_sale,
        "lowest_price": lowest,
        **_master_link(release.master_id, origin),
        "title": heading.title,
        "country": heading.country,
        **({"released": release.released} if release.released else {}),
        **({"notes": release.notes} if release.notes else {}),
        **({"released_formatted": released_formatted(release.released)} if release.released else {}),
        "identifiers": [identifier_body(identifier) for identifier in release.identifiers],
        "videos": [video_body(video) for video in release.videos],
        "genres": list(heading.genres),
        "styles": list(heading.styles),
        "tracklist": [track_body(track, origin) for track in release.tracks],
        **({"extraartists": [credit_body(c, origin) for c in release.credits]} if release.credits else {}),
        **({"images": images("R", heading.id, heading.images)} if heading.images else {}),
        "thumb": thumb(heading),
        "estimated_weight": release.weight,
        "blocked_from_sale": False,
        "is_offensive": False,
    }


def _master_link(master_id: int | None, origin: str) -> Body:
    return {"master_id": master_id, "master_url": f"{origin}/masters/{master_id}"} if master_id else {}


def _community(release: Release, origin: str) -> Body:
    return {
        "have": release.heading.have,
        "want": release.heading.want,
        "rating": {"count": release.ratings, "average": release.rating},
        "submitter": _user_link(release.submitter, origin),
        "contributors": [_user_link(name, origin) for name in release.contributors],
        "data_quality": release.data_quality,
        "status": "Accepted",
    }


def _user_link(username: str, origin: str) -> Body:
    return {"username": username, "resource_url": f"{origin}/users/{username}"}


def credit_body(credit: Credit, origin: str, *, thumbnail: bool = False) -> Body:
    body: Body = {
        "name": credit.artist.name,
        "anv": credit.anv,
        "join": credit.join,
        "role": credit.role,
        "tracks": credit.tracks,
        "id": credit.artist.id,
        "resource_url": f"{origin}/artists/{credit.artist.id}",
    }
    # Two artists in three have a picture.
    return body | {"thumbnail_url": picture("A", credit.artist.id, 0)} if thumbnail and credit.artist.id % 3 else body


def imprint_body(imprint: Imprint, origin: str) -> Body:
    return {
        "name": imprint.label.name,
        "catno": imprint.catno,
        "entity_type": imprint.entity_type,
        "entity_type_name": imprint.entity_type_name,
        "id": imprint.label.id,
        "resource_url": f"{origin}/labels/{imprint.label.id}",
        **({"thumbnail_url": picture("L", imprint.label.id, 0)} if imprint.label.id % 2 else {}),
    }


def format_body(media: Format, *, text_first: bool = False) -> Body:
    """Releases have `text` last, search results and basic_information before the descriptions."""
    text: Body = {"text": media.text} if media.text else {}
    descriptions: Body = {"descriptions": list(media.descriptions)}
    ordered = text | descriptions if text_first else descriptions | text
    return {"name": media.name, "qty": str(media.quantity), **ordered}


def identifier_body(identifier: Identifier) -> Body:
    description: Body = {"description": identifier.description} if identifier.description else {}
    return {"type": identifier.type, "value": identifier.value, **description}


def video_body(video: Video) -> Body:
    return {
        "uri": f"https://www.youtube.com/watch?v={video.youtube_id}",
        "title": video.title,
        "description": video.description,
        "duration": video.seconds,
        "embed": True,
    }


def track_body(track: Track, origin: str) -> Body:
    return {
        "position": track.position,
        "type_": track.type,
        **({"artists": [credit_body(credit, origin) for credit in track.artists]} if track.artists else {}),
        "title": track.title,
        **({"extraartists": [credit_body(credit, origin) for credit in track.credits]} if track.credits else {}),
        "duration": track.duration,
        **({"sub_tracks": [track_body(part, origin) for part in track.sub_tracks]} if track.sub_tracks else {}),
    }


def master_body(master_id: int, versions: Sequence[Release], for_sale: int, lowest: float | None, origin: str) -> Body:
    main, latest = versions[0], versions[-1]
    heading = main.heading
    return {
        "id": master_id,
        "main_release": main.id,
        "most_recent_release": latest.id,
        "resource_url": f"{origin}/masters/{master_id}",
        "uri": f"{SITE}/master/{master_id}-{slug(f'{artist_text(heading)} {heading.title}')}",
        "versions_url": f"{origin}/masters/{master_id}/versions",
        "main_release_url": f"{origin}/releases/{main.id}",
        "most_recent_release_url": f"{origin}/releases/{latest.id}",
        "num_for_sale": for_sale,
        "lowest_price": lowest,
        **({"images": images("R", heading.id, heading.images)} if heading.images else {}),
        "genres": list(heading.genres),
        **({"styles": list(heading.styles)} if heading.styles else {}),
        "year": heading.year,
        "tracklist": [track_body(track, origin) for track in main.tracks],
        "artists": [credit_body(credit, origin, thumbnail=True) for credit in heading.artists],
        "title": heading.title,
        **({"notes": main.notes} if main.notes else {}),
        "data_quality": main.data_quality,
        **({"videos": [video_body(video) for video in main.videos]} if main.videos else {}),
    }


def version_row(release: Release, viewer: Viewer, origin: str) -> Body:
    heading = release.heading
    return {
        "id": heading.id,
        "label": heading.labels[0].label.name,
        "country": heading.country,
        "title": heading.title,
        "major_formats": [media.name for media in heading.formats],
        "format": ", ".join(heading.formats[0].descriptions),
        "catno": heading.labels[0].catno,
        "released": release.released[:4] or "0",
        "status": "Accepted",
        "resource_url": f"{origin}/releases/{heading.id}",
        "thumb": thumb(heading),
        "stats": stats(heading, viewer),
    }


def artist_body(artist: Artist, origin: str, rendering: str) -> Body:
    profile = f"[a={artist.name}] was formed in a small town & toured widely.\r\n[b]Members[/b] changed often."
    return {
        "name": artist.name,
        "id": artist.id,
        "resource_url": f"{origin}/artists/{artist.id}",
        "uri": f"{SITE}/artist/{artist.id}-{slug(artist.name)}",
        "releases_url": f"{origin}/artists/{artist.id}/releases",
        **({"images": images("A", artist.id, 2)} if artist.id % 3 else {}),
        "profile": profile,
        **rendered("profile", profile, rendering),
        **({"urls": [f"https://{slug(artist.name).lower()}.example"]} if artist.id % 2 else {}),
        **({"namevariations": [artist.name.upper()]} if artist.id % 5 == 0 else {}),
        "data_quality": "Needs Vote",
    }


def label_body(label: Label, origin: str, rendering: str) -> Body:
    profile = f"Independent label, run since 1979 by the people behind [l={label.name}]."
    return {
        "id": label.id,
        "name": label.name,
        "resource_url": f"{origin}/labels/{label.id}",
        "uri": f"{SITE}/label/{label.id}-{slug(label.name)}",
        "releases_url": f"{origin}/labels/{label.id}/releases",
        **({"images": images("L", label.id, 1)} if label.id % 2 else {}),
        "contact_info": f"{label.name}\r\nP.O. Box 12\r\nNowhere",
        "profile": profile,
        **rendered("profile", profile, rendering),
        "data_quality": "Correct",
        **({"urls": [f"https://{slug(label.name).lower()}.example/"]} if label.id % 3 else {}),
    }


def rendered(name: str, text: str, rendering: str) -> Body:
    """What `Accept: application/vnd.discogs.v2.html+json` (or plaintext) adds to a marked-up text."""
    if rendering == "discogs":
        return {}
    plain = re.sub(r"\[(?:\w=)?([^\]]*)\]", r"\1", text)
    return {f"{name}_{rendering}": f"<p>{plain}</p>" if rendering == "html" else plain}


def artist_release_row(heading: Heading, viewer: Viewer, origin: str) -> Body:
    return {
        "id": heading.id,
        "title": heading.title,
        "type": "release",
        "artist": artist_text(heading),
        "role": "Main",
        "resource_url": f"{origin}/releases/{heading.id}",
        "year": heading.year,
        "thumb": thumb(heading),
        "format": format_text(heading.formats),
        "label": heading.labels[0].label.name,
        "status": "Accepted",
        "stats": stats(heading, viewer),
    }


def label_release_row(heading: Heading, viewer: Viewer, origin: str) -> Body:
    return {
        "status": "Accepted",
        "format": format_text(heading.formats),
        "catno": heading.labels[0].catno,
        "thumb": thumb(heading),
        "resource_url": f"{origin}/releases/{heading.id}",
        "title": heading.title,
        "id": heading.id,
        "year": heading.year,
        "artist": artist_text(heading),
        "stats": stats(heading, viewer),
    }


def search_result(heading: Heading, master_id: int | None, viewer: Viewer, origin: str) -> Body:
    title = f"{artist_text(heading)} - {heading.title}"
    return {
        "country": heading.country or "",
        "year": str(heading.year or ""),
        "format": [word for media in heading.formats for word in (media.name, *media.descriptions)],
        "label": [imprint.label.name for imprint in heading.labels],
        "type": "release",
        "genre": list(heading.genres),
        "style": list(heading.styles),
        "id": heading.id,
        "barcode": [],
        **_user_data(heading.id, viewer),
        "master_id": master_id or 0,
        "master_url": f"{origin}/masters/{master_id}" if master_id else None,
        "uri": f"/release/{heading.id}-{slug(title)}",
        "catno": heading.labels[0].catno,
        "title": title,
        "thumb": thumb(heading) if viewer.images else "",
        "cover_image": cover(heading) if viewer.images else "",
        "resource_url": f"{origin}/releases/{heading.id}",
        "community": {"want": heading.want, "have": heading.have},
        "format_quantity": sum(media.quantity for media in heading.formats),
        "formats": [format_body(media, text_first=True) for media in heading.formats],
    }


def named_result(kind: str, identity: int, name: str, viewer: Viewer, origin: str) -> Body:
    """A search result that is an artist or a label."""
    return {
        "id": identity,
        "type": kind,
        **_user_data(identity, viewer),
        "master_id": None,
        "master_url": None,
        "uri": f"/{kind}/{identity}-{slug(name)}",
        "title": name,
        "thumb": picture(kind[0].upper(), identity, 0, small=True) if viewer.images else "",
        "cover_image": picture(kind[0].upper(), identity, 0) if viewer.images else "",
        "resource_url": f"{origin}/{kind}s/{identity}",
    }


def _user_data(identity: int, viewer: Viewer) -> Body:
    if not viewer.identified:
        return {}
    return {"user_data": {"in_wantlist": identity in viewer.wants, "in_collection": identity in viewer.collection}}


def basic_information(release: Release, origin: str) -> Body:
    heading = release.heading
    return {
        "id": heading.id,
        "master_id": release.master_id or 0,
        "master_url": f"{origin}/masters/{release.master_id}" if release.master_id else None,
        "resource_url": f"{origin}/releases/{heading.id}",
        "title": heading.title,
        "year": heading.year,
        "formats": [format_body(media, text_first=True) for media in heading.formats],
        "labels": [imprint_body(imprint, origin) for imprint in heading.labels],
        "artists": [credit_body(credit, origin) for credit in heading.artists],
        "thumb": thumb(heading),
        "cover_image": cover(heading),
        "genres": list(heading.genres),
        "styles": list(heading.styles),
    }


# Users


def profile_body(account: Account, for_sale: int, *, own: bool, origin: str, rendering: str) -> Body:
    user = f"{origin}/users/{account.username}"
    open_collection = own or not account.private_collection
    return {
        "id": account.id,
        "resource_url": user,
        "uri": f"{SITE}/user/{account.username}",
        "username": account.username,
        "name": account.name,
        "home_page": account.home_page,
        "location": account.location,
        "profile": account.profile,
        **rendered("profile", account.profile, rendering),
        "registered": pacific(account.registered),
        "rank": 12.0,
        "num_pending": 0,
        "num_for_sale": for_sale,
        "num_lists": 1,
        "releases_contributed": account.id % 40,
        "releases_rated": account.id % 300,
        "rating_avg": 4.1,
        "inventory_url": f"{user}/inventory",
        "collection_folders_url": f"{user}/collection/folders",
        "collection_fields_url": f"{user}/collection/fields",
        "wantlist_url": f"{user}/wants",
        "avatar_url": avatar(account.username),
        **({"curr_abbr": account.currency} if own else {}),
        "activated": True,
        "marketplace_suspended": False,
        "banner_url": "",
        **({"num_collection": len(account.collection)} if open_collection else {}),
        **({"num_wantlist": len(account.wants)} if open_collection else {}),
        **({"email": account.email} if own else {}),
        "buyer_rating": 100.0,
        "buyer_rating_stars": 5.0,
        "buyer_num_ratings": 12,
        "seller_rating": 100.0,
        "seller_rating_stars": 5.0,
        "seller_num_ratings": 30,
        "is_staff": False,
    }


# Names and pictures


def sort_name(heading: Heading) -> str:
    """By which artists are filed: no namesake number, a leading The at the end."""
    name = re.sub(r" \(\d+\)", "", artist_text(heading)).replace("*", "")
    return f"{name[4:]}, The" if name.startswith("The ") and len(heading.artists) == 1 else name


def slug(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text).strip("-")


def avatar(username: str) -> str:
    return f"https://secure.gravatar.com/avatar/{_signature(username)[:32].lower()}?s=500&r=pg&d=mm"


def thumb(heading: Heading) -> str:
    return picture("R", heading.id, 0, small=True) if heading.images else ""


def cover(heading: Heading) -> str:
    return picture("R", heading.id, 0) if heading.images else ""


@lru_cache(maxsize=20_000)
def images(kind: str, identity: int, count: int) -> Sequence[Body]:
    """The primary is not always the first."""
    primary = 1 if identity % 7 == 0 and count > 1 else 0
    return [_image(kind, identity, number, primary=number == primary) for number in range(count)]


def _image(kind: str, identity: int, number: int, *, primary: bool) -> Body:
    uri = picture(kind, identity, number)
    return {
        "type": "primary" if primary else "secondary",
        "uri": uri,
        "resource_url": uri,
        "uri150": picture(kind, identity, number, small=True),
        "width": 600,
        "height": 450 + identity % 160,
    }


def picture(kind: str, identity: int, number: int, *, small: bool = False) -> str:
    size = "g:sm/q:40/h:150/w:150" if small else f"g:sm/q:90/h:{450 + identity % 160}/w:600"
    name = f"{kind}-{identity}-{number}"
    return f"{IMAGES}/{_signature(name + size)}/rs:fit/{size}/czM6Ly9kaXNjb2dz/LWRhdGFiYXNlLWlt/{name}.jpeg"


def _signature(text: str) -> str:
    return blake2b(text.encode(), digest_size=21).hexdigest()
