"""Routes of users: profile, collection, wants, lists, and the OAuth hand-shake."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from .accounts import OAuthToken, Signed, form_pairs, is_well_signed, oauth_parameters
from .exchange import Answer, Ask, Body, Refusal, must_authenticate, no_permission, no_such_user, not_found
from .paging import page_of, pagination
from .shapes import SITE, basic_information, profile_body
from .times import pacific
from .values import SECRET, Account, Release
from .wire import media_type
from .world import World

NOT_THE_OWNER = "You are not allowed to view this resource. Please authenticate as the owner to view this content."
COLLECTION_SORTS = ("label", "artist", "title", "catno", "format", "rating", "added", "year")
PROFILE_FIELDS = ("name", "home_page", "location", "profile")
FIRST_INSTANCE = 100_000
OWN_FOLDER = 1
"""Folder 0 holds everything; 1, Uncategorized, is everybody's first own folder."""


def identity(ask: Ask, world: World) -> Answer:
    account = world.signed_in(ask)
    body = {
        "id": account.id,
        "username": account.username,
        "resource_url": f"{ask.origin}/users/{account.username}",
        "consumer_name": f"{SECRET}CONSUMER-{account.username}",
    }
    return Answer(body=body)


def profile(ask: Ask, world: World) -> Answer:
    account = _account(ask, world)
    own = ask.caller.is_user(account.username)
    store = world.catalogue.find_store(account.username)
    for_sale = len(store.for_sale()) if store else 0
    rendering = media_type(ask.headers.get("Accept", ""))
    return Answer(body=profile_body(account, for_sale, own=own, origin=ask.origin, rendering=rendering))


def edit_profile(ask: Ask, world: World) -> Answer:
    account = _own(ask, world)
    given = {name: str(value) for name, value in ask.json().items() if name in PROFILE_FIELDS}
    world.accounts.register(
        replace(
            account,
            name=given.get("name", account.name),
            home_page=given.get("home_page", account.home_page),
            location=given.get("location", account.location),
            profile=given.get("profile", account.profile),
        )
    )
    return profile(ask, world)


def submissions(ask: Ask, world: World) -> Answer:
    _account(ask, world)
    return Answer(body={"pagination": pagination(ask, page_of(ask, ())), "submissions": {}})


def contributions(ask: Ask, world: World) -> Answer:
    _account(ask, world)
    return Answer(body={"pagination": pagination(ask, page_of(ask, ())), "contributions": []})


# Collection


def folders(ask: Ask, world: World) -> Answer:
    account = _visible_collection(ask, world)
    every = _folder(0, "All", account, ask)
    own = [_folder(OWN_FOLDER, _own_folder(account), account, ask)] if ask.caller.is_user(account.username) else []
    return Answer(body={"folders": [every, *own]})


def folder(ask: Ask, world: World) -> Answer:
    account = _visible_folder(ask, world)
    name = "All" if ask.number("folder") == 0 else _own_folder(account)
    return Answer(body=_folder(ask.number("folder"), name, account, ask))


def folder_releases(ask: Ask, world: World) -> Answer:
    account = _visible_folder(ask, world)
    if ask.parameter("sort", "added") not in COLLECTION_SORTS:
        raise Refusal(422, f"Invalid sort: expected one of {', '.join(COLLECTION_SORTS)}.")
    return _collected(ask, world, account, account.collection)


def collected_release(ask: Ask, world: World) -> Answer:
    account = _visible_collection(ask, world)
    return _collected(ask, world, account, [ask.number("release")])


def add_to_collection(ask: Ask, world: World) -> Answer:
    account, release = _own(ask, world), _release(ask, world)
    world.accounts.register(replace(account, collection=(*account.collection, release.id)))
    instance = FIRST_INSTANCE + len(account.collection)
    url = f"{ask.origin}/users/{account.username}/collection/folders/1/releases/{release.id}/instances/{instance}"
    return Answer(201, {"instance_id": instance, "resource_url": url})


def remove_from_collection(ask: Ask, world: World) -> Answer:
    account, position = _own(ask, world), ask.number("id") - FIRST_INSTANCE
    if not 0 <= position < len(account.collection) or account.collection[position] != ask.number("release"):
        raise Refusal(404, "The requested collection item does not exist in this user's collection.")
    kept = account.collection[:position] + account.collection[position + 1 :]
    world.accounts.register(replace(account, collection=kept))
    return Answer(204, content_type="text/plain")


def collection_fields(ask: Ask, world: World) -> Answer:
    account = _owner_only(ask, world)
    field = {
        "name": f"{SECRET}FIELD-{account.username}",
        "id": 1,
        "position": 1,
        "type": "textarea",
        "public": False,
        "lines": 3,
    }
    return Answer(body={"fields": [field]})


def collection_value(ask: Ask, world: World) -> Answer:
    secret = f"{SECRET}VALUE-{_owner_only(ask, world).username}"
    return Answer(body={"maximum": f"{secret} €250.00", "median": f"{secret} €100.25", "minimum": f"{secret} €75.50"})


def _own_folder(account: Account) -> str:
    return f"{SECRET}FOLDER-{account.username}"


def _folder(number: int, name: str, account: Account, ask: Ask) -> Body:
    url = f"{ask.origin}/users/{account.username}/collection/folders/{number}"
    return {"id": number, "name": name, "count": len(account.collection), "resource_url": url}


def _collected(ask: Ask, world: World, account: Account, release_ids: Sequence[int]) -> Answer:
    own = ask.caller.is_user(account.username)
    page = page_of(ask, [place for place in enumerate(account.collection) if place[1] in release_ids])
    held = [(number, world.catalogue.release(release_id)) for number, release_id in page.rows]
    rows = [_instance(number, release, account, ask, own=own) for number, release in held if release]
    return Answer(body={"pagination": pagination(ask, page), "releases": rows})


def _instance(number: int, release: Release, account: Account, ask: Ask, *, own: bool) -> Body:
    notes: Body = {"notes": [{"field_id": 3, "value": f"{SECRET}NOTE-{account.username}-{release.id}"}]} if own else {}
    return {
        "id": release.id,
        "instance_id": FIRST_INSTANCE + number,
        "date_added": pacific(release.changed),
        "rating": 0,
        "basic_information": basic_information(release, ask.origin),
        "folder_id": OWN_FOLDER,
        **notes,
    }


def _visible_collection(ask: Ask, world: World) -> Account:
    account = _account(ask, world)
    if account.private_collection and not ask.caller.is_user(account.username):
        raise Refusal(403, NOT_THE_OWNER)
    return account


def _visible_folder(ask: Ask, world: World) -> Account:
    account = _visible_collection(ask, world)
    if ask.number("folder") != 0 and not ask.caller.is_user(account.username):
        raise Refusal(403, NOT_THE_OWNER)
    if ask.number("folder") > OWN_FOLDER:
        raise Refusal(404, "The requested folder does not exist.")
    return account


def _owner_only(ask: Ask, world: World) -> Account:
    account = _account(ask, world)
    if not ask.caller.is_user(account.username):
        raise Refusal(403, NOT_THE_OWNER)
    return account


# Wants and lists


def wants(ask: Ask, world: World) -> Answer:
    account = _visible_collection(ask, world)
    own = ask.caller.is_user(account.username)
    page = page_of(ask, account.wants)
    rows = [_want(release, account, ask, own=own) for release in _releases(page.rows, world)]
    return Answer(body={"pagination": pagination(ask, page), "wants": rows})


def add_want(ask: Ask, world: World) -> Answer:
    account, release = _own(ask, world), _release(ask, world)
    kept = tuple(wanted for wanted in account.wants if wanted != release.id)
    world.accounts.register(replace(account, wants=(*kept, release.id)))
    return Answer(201 if ask.method == "PUT" else 200, _want(release, account, ask, own=True))


def delete_want(ask: Ask, world: World) -> Answer:
    account = _own(ask, world)
    kept = tuple(wanted for wanted in account.wants if wanted != ask.number("release"))
    world.accounts.register(replace(account, wants=kept))
    return Answer(204, content_type="text/plain")


def _want(release: Release, account: Account, ask: Ask, *, own: bool) -> Body:
    return {
        "id": release.id,
        "resource_url": f"{ask.origin}/users/{account.username}/wants/{release.id}",
        "rating": 0,
        "date_added": pacific(release.changed),
        "basic_information": basic_information(release, ask.origin),
        **({"notes": f"{SECRET}WANT-{account.username}-{release.id}"} if own else {}),
    }


def user_lists(ask: Ask, world: World) -> Answer:
    account = _account(ask, world)
    lists = [(account.id * 2, True), *([(account.id * 2 + 1, False)] if ask.caller.is_user(account.username) else [])]
    page = page_of(ask, lists)
    rows = [_list_body(number, account, ask, public=public) for number, public in page.rows]
    return Answer(body={"pagination": pagination(ask, page), "lists": rows})


def one_list(ask: Ask, world: World) -> Answer:
    """Of each user's two lists the odd one is private."""
    number = ask.number("id")
    account = world.accounts.by_id(number // 2)
    if account is None:
        raise not_found()
    public = number % 2 == 0
    if not public and not ask.caller.is_user(account.username):
        raise no_permission()
    return Answer(body=_list_body(number, account, ask, public=public) | {"items": []})


def _list_body(number: int, account: Account, ask: Ask, *, public: bool) -> Body:
    return {
        "id": number,
        "name": "Favourites" if public else f"{SECRET}LIST-{number}",
        "description": "",
        "public": public,
        "date_added": pacific(account.registered),
        "date_changed": pacific(account.registered),
        "uri": f"{SITE}/lists/{number}",
        "resource_url": f"{ask.origin}/lists/{number}",
    }


# OAuth


def request_token(ask: Ask, world: World) -> Answer:
    """An unsigned call is a server error, a badly signed one a plain 400."""
    oauth = _handshake(ask)
    consumer = world.accounts.consumer(oauth.get("oauth_consumer_key", ""))
    if consumer is None or not is_well_signed(_signed(ask), oauth, consumer, None):
        return _plain_refusal("Invalid consumer or signature.")
    token = OAuthToken(secrets.token_hex(20), secrets.token_hex(20))
    world.accounts.put_oauth(token)
    return _form({"oauth_token": token.token, "oauth_token_secret": token.secret, "oauth_callback_confirmed": "true"})


def access_token(ask: Ask, world: World) -> Answer:
    oauth = _handshake(ask)
    consumer = world.accounts.consumer(oauth.get("oauth_consumer_key", ""))
    asked = world.accounts.oauth(oauth.get("oauth_token", ""))
    if consumer is None or asked is None or not is_well_signed(_signed(ask), oauth, consumer, asked):
        return _plain_refusal("Invalid request token.")
    if not asked.username or asked.verifier is None or oauth.get("oauth_verifier") != asked.verifier:
        return _plain_refusal("Invalid verifier.")
    world.accounts.drop_oauth(asked.token)
    granted = OAuthToken(secrets.token_hex(20), secrets.token_hex(20), asked.username)
    world.accounts.put_oauth(granted)
    return _form({"oauth_token": granted.token, "oauth_token_secret": granted.secret})


def _handshake(ask: Ask) -> dict[str, str]:
    scheme, _, rest = ask.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "oauth":
        raise Refusal(500, "An internal server error occurred.")
    return oauth_parameters(rest)


def _signed(ask: Ask) -> Signed:
    return Signed(ask.method, ask.path, ask.query, form_pairs(ask.headers.get("Content-Type", ""), ask.body))


def _plain_refusal(message: str) -> Answer:
    return Answer(400, raw=message.encode(), content_type="text/plain")


def _form(pairs: dict[str, str]) -> Answer:
    return Answer(raw=urlencode(pairs).encode(), content_type="application/x-www-form-urlencoded")


def _account(ask: Ask, world: World) -> Account:
    account = world.accounts.find(ask.names["username"])
    if account is None:
        raise no_such_user()
    return account


def _own(ask: Ask, world: World) -> Account:
    account = _account(ask, world)
    if not ask.caller.identified:
        raise must_authenticate()
    if not ask.caller.is_user(account.username):
        raise no_permission()
    return account


def _release(ask: Ask, world: World) -> Release:
    found = world.catalogue.release(ask.number("release"))
    if found is None:
        raise not_found()
    return found


def _releases(release_ids: Sequence[int], world: World) -> list[Release]:
    return [release for release in map(world.catalogue.release, release_ids) if release]
