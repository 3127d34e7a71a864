"""Releases, masters, artists, labels, ratings and search over a real socket."""

import pytest

from tests.simulated_discogs import Catalogue, Heading, SimulatedDiscogs

from .conftest import ALICE, CONSUMER, OWNER, Api


@pytest.fixture
def heading(catalogue: Catalogue) -> Heading:
    return catalogue.heading_of(catalogue.for_sale("vinyl_den")[0].release_id)


async def test_a_release_is_the_same_for_everybody(api: Api, heading: Heading) -> None:
    path = f"/releases/{heading.id}"
    bodies = {
        (await api.get(path, **({"Authorization": who} if who else {}))).body for who in ("", ALICE, CONSUMER, OWNER)
    }
    bodies.add((await api.get(f"{path}?curr_abbr=EUR")).body)

    assert len(bodies) == 1


async def test_a_release_tells_how_many_are_for_sale(
    api: Api, catalogue: Catalogue, discogs: SimulatedDiscogs, heading: Heading
) -> None:
    copies = len(catalogue.copies_for_sale(heading.id))
    discogs.add_listing("vinyl_den", release_id=heading.id, price=0.01)
    seen = await api.get(f"/releases/{heading.id}")

    assert seen.json["num_for_sale"] == copies + 1
    lowest = seen.json["lowest_price"]
    assert isinstance(lowest, float)
    assert 0 < lowest < 0.02

    for store, listing in catalogue.copies_for_sale(heading.id):
        discogs.sell(store.seller.username, listing.id)
    assert (await api.get(f"/releases/{heading.id}")).json["lowest_price"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/releases/1", b'{"message":"That release does not exist or may have been deleted."}'),
        ("/masters/1", b'{"message":"That master release does not exist or may have been deleted."}'),
        ("/artists/1", b'{"message": "Artist not found."}'),
        ("/labels/1", b'{"message": "Label not found"}'),
        ("/releases/1/rating", b'{"message": "Release not found."}'),
        ("/marketplace/stats/1", b'{"message": "Release not found."}'),
        ("/users/nobody", b'{"message": "User does not exist or may have been deleted."}'),
    ],
)
async def test_what_does_not_exist_is_not_found_in_its_own_words(api: Api, path: str, body: bytes) -> None:
    seen = await api.get(path)

    assert (seen.status, seen.body) == (404, body)


async def test_the_new_stack_validates_with_details(api: Api) -> None:
    seen = await api.get("/releases/abc")

    assert seen.status == 422
    assert list(seen.json) == ["detail", "message"]


async def test_a_master_shows_the_main_release(api: Api, catalogue: Catalogue, heading: Heading) -> None:
    release = (await api.get(f"/releases/{heading.id}")).json
    master = (await api.get(f"/masters/{release['master_id']}")).json

    for name in ("title", "tracklist", "genres"):
        assert master[name] == release[name]
    assert master.get("videos", []) == release["videos"]
    assert not {"community", "formats", "labels", "country"} & set(master)


async def test_versions_of_a_master_can_be_paged_and_filtered(api: Api, catalogue: Catalogue) -> None:
    masters = map(catalogue.master_id_of, [heading.id for heading in catalogue.headings()])
    master_id = next(found for found in masters if found and len(catalogue.versions(found)) == 4)
    path = f"/masters/{master_id}/versions"
    seen = await api.get(f"{path}?per_page=3")

    assert list(seen.json) == ["pagination", "filters", "filter_facets", "versions"]
    assert (seen.part("pagination")["items"], len(seen.rows("versions"))) == (4, 3)
    label = str(seen.rows("versions")[0]["label"])
    filtered = (await api.get(path + "?label=" + label.replace("&", "%26"))).rows("versions")
    assert {row["label"] for row in filtered} == {label}


@pytest.mark.parametrize("kind", ["artists", "labels"])
async def test_artists_and_labels_list_their_releases(api: Api, heading: Heading, kind: str) -> None:
    identity = heading.artists[0].artist.id if kind == "artists" else heading.labels[0].label.id
    profile, releases = await api.get(f"/{kind}/{identity}"), await api.get(f"/{kind}/{identity}/releases?per_page=100")

    assert profile.json["id"] == identity
    assert heading.id in releases.ids("releases")
    assert "user" not in str(releases.rows("releases")[0]["stats"])
    known = await api.get(f"/{kind}/{identity}/releases", Authorization=ALICE)
    assert "user" in str(known.rows("releases")[0]["stats"])


async def test_a_rating_is_its_users_own(api: Api, heading: Heading) -> None:
    path = f"/releases/{heading.id}/rating/alice"

    assert (await api.ask("PUT", path, json={"rating": 4})).status == 401
    assert (await api.ask("PUT", path, json={"rating": 4}, Authorization=OWNER)).status == 403
    assert (await api.ask("PUT", path, json={"rating": 6}, Authorization=ALICE)).status == 422
    assert (await api.ask("PUT", path, json={"rating": 4}, Authorization=ALICE)).json["rating"] == 4
    assert (await api.get(path)).json == {"username": "alice", "release_id": heading.id, "rating": 4}
    assert (await api.ask("DELETE", path, Authorization=ALICE)).status == 204
    assert (await api.get(path)).json["rating"] == 0


async def test_the_communitys_rating_and_what_is_left_of_the_statistics(api: Api, heading: Heading) -> None:
    rating = (await api.get(f"/releases/{heading.id}/rating")).json

    assert list(rating) == ["release_id", "rating"]
    assert (await api.get(f"/releases/{heading.id}/stats")).body == b'{"is_offensive": false}'


async def test_search_finds_by_word_and_by_field(api: Api, heading: Heading) -> None:
    label = heading.labels[0].label.name.replace("&", "%26")
    by_field = await api.get(f"/database/search?type=release&label={label}&per_page=100")
    by_word = await api.get(f"/database/search?q={heading.title.replace('&', '%26')}&per_page=100")

    assert heading.id in by_field.ids("results")
    assert heading.id in by_word.ids("results")
    assert (await api.get("/database/search?q=xyzzyx")).rows("results") == []


async def test_search_shows_pictures_and_user_data_by_caller(api: Api) -> None:
    path = "/database/search?type=release"
    anonymous, shop, alice = (
        await api.get(path),
        await api.get(path, Authorization=CONSUMER),
        await api.get(path, Authorization=ALICE),
    )

    assert {row["thumb"] for row in anonymous.rows("results")} == {""}
    assert any(row["cover_image"] for row in shop.rows("results"))
    assert ["user_data" in seen.rows("results")[0] for seen in (anonymous, shop, alice)] == [False, False, True]


async def test_search_also_finds_artists_and_labels(api: Api, heading: Heading) -> None:
    name = heading.artists[0].artist.name
    seen = await api.get(f"/database/search?q={name.replace('&', '%26')}&type=artist")

    assert heading.artists[0].artist.id in seen.ids("results")
    assert {row["type"] for row in seen.rows("results")} == {"artist"}


async def test_the_root_tells_the_version(api: Api) -> None:
    assert (await api.get("/")).json["api_version"] == "v2"
