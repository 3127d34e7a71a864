"""Profiles, collections, wants, lists and identity: public, private and one's own."""

from collections.abc import Mapping

import pytest

from tests.simulated_discogs import SECRET, Catalogue, SimulatedDiscogs

from .conftest import ALICE, CONSUMER, OWNER, Api

STRANGERS: tuple[Mapping[str, str], ...] = ({}, {"Authorization": CONSUMER}, {"Authorization": OWNER})


@pytest.fixture
def release_id(catalogue: Catalogue, discogs: SimulatedDiscogs) -> int:
    """A release that alice has and wants."""
    found = catalogue.for_sale("vinyl_den")[0].release_id
    discogs.register_user("alice", "alice-token", wants=(found,), collection=(found, found))
    return found


async def test_identity_is_for_the_identified(api: Api) -> None:
    assert (await api.get("/oauth/identity", Authorization=ALICE)).json["username"] == "alice"
    for headers in ({}, {"Authorization": CONSUMER}):
        seen = await api.get("/oauth/identity", **headers)
        assert (seen.status, seen.message) == (401, "You must authenticate to access this resource.")
        assert seen.headers["WWW-Authenticate"] == 'OAuth realm="https://api.discogs.com"'


async def test_only_oneself_sees_email_and_currency(api: Api) -> None:
    own = await api.get("/users/alice", Authorization=ALICE)
    assert SECRET in str(own.json["email"])
    assert own.json["curr_abbr"] == "GBP"

    for headers in STRANGERS:
        seen = await api.get("/users/alice", **headers)
        assert not {"email", "curr_abbr"} & set(seen.json)


async def test_a_profile_can_be_edited_by_its_user(api: Api) -> None:
    assert (await api.ask("POST", "/users/alice", json={"name": "Alice"})).status == 401
    assert (await api.ask("POST", "/users/alice", json={"name": "Alice"}, Authorization=OWNER)).status == 403
    assert (await api.ask("POST", "/users/alice", json={"name": "Alice"}, Authorization=ALICE)).json["name"] == "Alice"
    assert (await api.get("/users/alice")).json["name"] == "Alice"


async def test_strangers_see_folder_zero_without_notes(api: Api, release_id: int) -> None:
    folders = "/users/alice/collection/folders"
    assert SECRET.encode() in (await api.get(folders, Authorization=ALICE)).body
    assert SECRET.encode() in (await api.get(f"{folders}/1/releases", Authorization=ALICE)).body

    for headers in STRANGERS:
        seen = await api.get(f"{folders}/0/releases", **headers)
        assert seen.ids("releases") == [release_id, release_id]
        assert SECRET.encode() not in seen.body + (await api.get(folders, **headers)).body
        refused = await api.get(f"{folders}/1/releases", **headers)
        assert refused.status == 403
        assert str(refused.message).endswith("Please authenticate as the owner to view this content.")


async def test_a_private_collection_is_closed(api: Api, discogs: SimulatedDiscogs) -> None:
    discogs.register_user("alice", "alice-token", private_collection=True)
    for path in ("/users/alice/collection/folders", "/users/alice/wants"):
        assert (await api.get(path)).status == 403
        assert (await api.get(path, Authorization=ALICE)).status == 200


@pytest.mark.parametrize("name", ["fields", "value"])
async def test_fields_and_value_are_ones_own(api: Api, name: str) -> None:
    path = f"/users/alice/collection/{name}"

    assert SECRET.encode() in (await api.get(path, Authorization=ALICE)).body
    assert [(await api.get(path, **headers)).status for headers in STRANGERS] == [403, 403, 403]


async def test_the_collection_refuses_what_it_does_not_know(api: Api) -> None:
    folders = "/users/alice/collection/folders"

    assert (await api.get(f"{folders}/0/releases?sort=bogus")).status == 422
    gone = await api.get(f"{folders}/9", Authorization=ALICE)
    assert (gone.status, gone.message) == (404, "The requested folder does not exist.")


async def test_adding_to_the_collection_is_not_idempotent(api: Api, release_id: int) -> None:
    folder = "/users/alice/collection/folders/1"
    held = f"/users/alice/collection/releases/{release_id}"
    added = await api.ask("POST", f"{folder}/releases/{release_id}", Authorization=ALICE)
    assert added.status == 201
    assert len((await api.get(held)).rows("releases")) == 3

    instance = f"{folder}/releases/{release_id}/instances/{added.json['instance_id']}"
    assert (await api.ask("DELETE", instance, Authorization=OWNER)).status == 403
    assert (await api.ask("DELETE", instance, Authorization=ALICE)).status == 204
    assert (await api.ask("DELETE", instance, Authorization=ALICE)).status == 404
    assert len((await api.get(held)).rows("releases")) == 2


async def test_wants_are_read_by_all_and_written_by_oneself(api: Api, release_id: int) -> None:
    path = f"/users/alice/wants/{release_id}"
    assert SECRET.encode() not in (await api.get("/users/alice/wants")).body
    assert SECRET.encode() in (await api.get("/users/alice/wants", Authorization=ALICE)).body

    assert (await api.ask("DELETE", path, Authorization=OWNER)).status == 403
    assert (await api.ask("DELETE", path, Authorization=ALICE)).status == 204
    assert (await api.get("/users/alice/wants")).rows("wants") == []
    assert (await api.ask("PUT", path, Authorization=ALICE)).status == 201
    assert (await api.ask("POST", path, Authorization=ALICE)).status == 200
    assert (await api.get("/users/alice/wants")).ids("wants") == [release_id]


async def test_private_lists_are_ones_own(api: Api) -> None:
    own = (await api.get("/users/alice/lists", Authorization=ALICE)).ids("lists")
    assert len(own) == 2
    assert len((await api.get("/users/alice/lists")).rows("lists")) == 1

    public, private = own
    assert (await api.get(f"/lists/{public}")).status == 200
    assert (await api.get(f"/lists/{private}", Authorization=OWNER)).status == 403
    assert SECRET in str((await api.get(f"/lists/{private}", Authorization=ALICE)).json["name"])


async def test_submissions_and_contributions_are_empty_pages(api: Api) -> None:
    for name in ("submissions", "contributions"):
        assert (await api.get(f"/users/alice/{name}")).part("pagination")["items"] == 0
