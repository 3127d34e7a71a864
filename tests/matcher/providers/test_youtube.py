"""YouTube: what its bodies say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.errors import Broken
from matcher.providers.youtube import COUNTRIES, Video, parse_duration, parse_search, parse_videos

from .recorded import recorded

ID, OTHER = "dQw4w9WgXcQ", "jNQXAC9IVRw"
NOWHERE: frozenset[str] = frozenset()


def item(**changes: Any) -> dict[str, Any]:
    """One of `videos.list`, with all parts that are asked for."""
    return {
        "kind": "youtube#video",
        "id": ID,
        "snippet": {"title": "Band - Song", "channelTitle": "Band - Topic", "liveBroadcastContent": "none"},
        "contentDetails": {"duration": "PT4M13S", "dimension": "2d", "definition": "sd", "caption": "false"},
        "status": {"uploadStatus": "processed", "privacyStatus": "public", "embeddable": True},
    } | changes


def only(**changes: Any) -> Video:
    (video,) = parse_videos({"items": [item(**changes)]}).values()
    return video


def result(video_id: object = ID, live: object = "none") -> dict[str, Any]:
    """One of `search.list`."""
    return {
        "kind": "youtube#searchResult",
        "id": {"kind": "youtube#video", "videoId": video_id},
        "snippet": {"title": "Band &amp; Co", "liveBroadcastContent": live},
    }


def test_a_video_is_read_with_all_that_decides_whether_it_plays() -> None:
    assert parse_videos({"items": [item()]}) == {
        ID: Video(ID, "Band - Song", "Band - Topic", 253, True, True, None, frozenset())
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT4M13S", 253),
        ("PT45S", 45),
        ("PT1H", 3600),
        ("PT1H0M5S", 3605),
        ("P1DT2H", 93_600),
        ("P1W", 604_800),
        ("PT61M", 3660),
        ("PT3M7.5S", 187),
        ("P0D", None),
        ("PT0S", None),
        ("P", None),
        ("PT", None),
        ("", None),
        ("4:13", None),
        ("PT-4M", None),
        ("PT٤M", None),
        ("PT4M13S ", None),
        ("PT" + "9" * 5000 + "S", None),
        (253, None),
        (None, None),
    ],
)
def test_durations_are_those_of_iso_8601(text: object, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("restriction", "allowed", "blocked", "countries"),
    [
        (None, None, NOWHERE, COUNTRIES),
        ({}, None, NOWHERE, COUNTRIES),
        ({"blocked": ["DE", "AT"]}, None, frozenset({"DE", "AT"}), COUNTRIES - 2),
        ({"blocked": []}, None, NOWHERE, COUNTRIES),
        ({"allowed": ["US", "CA"]}, frozenset({"US", "CA"}), NOWHERE, 2),
        ({"allowed": []}, NOWHERE, NOWHERE, 0),
        ({"allowed": ["US", "CA"], "blocked": ["CA"]}, frozenset({"US", "CA"}), frozenset({"CA"}), 1),
        ({"allowed": ["US", 1, None, "usa", {}]}, frozenset({"US"}), NOWHERE, 1),
        ({"allowed": [1, None]}, None, NOWHERE, COUNTRIES),
        ({"allowed": "US", "blocked": {"DE": 1}}, None, NOWHERE, COUNTRIES),
        ([], None, NOWHERE, COUNTRIES),
    ],
)
def test_regions_are_those_where_alone_it_plays_or_where_it_does_not(
    restriction: object, allowed: frozenset[str] | None, blocked: frozenset[str], countries: int
) -> None:
    video = only(contentDetails={"duration": "PT1S", "regionRestriction": restriction})
    assert (video.allowed, video.blocked, video.countries) == (allowed, blocked, countries)


@pytest.mark.parametrize(
    ("status", "is_embeddable", "is_public"),
    [
        ({"uploadStatus": "processed", "privacyStatus": "public", "embeddable": True}, True, True),
        ({"uploadStatus": "uploaded", "privacyStatus": "unlisted", "embeddable": False}, False, True),
        ({"uploadStatus": "processed", "privacyStatus": "private", "embeddable": True}, True, False),
        ({"uploadStatus": "rejected", "rejectionReason": "copyright", "privacyStatus": "public"}, True, False),
        ({"uploadStatus": "deleted", "privacyStatus": "public"}, True, False),
        ({"uploadStatus": "failed", "privacyStatus": "public"}, True, False),
        ({"uploadStatus": ["failed"], "privacyStatus": 1, "embeddable": "false"}, True, True),
        (None, True, True),
    ],
)
def test_only_what_is_said_is_held_against_a_video(status: object, *, is_embeddable: bool, is_public: bool) -> None:
    video = only(status=status)
    assert (video.is_embeddable, video.is_public) == (is_embeddable, is_public)


@pytest.mark.parametrize("live", ["live", "upcoming"])
def test_a_broadcast_is_told_and_never_found(live: str) -> None:
    video = only(snippet={"title": "24/7 lofi", "liveBroadcastContent": live}, contentDetails={"duration": "P0D"})
    assert video.is_live
    assert video.duration_s is None
    assert parse_search({"items": [result(live=live), result(OTHER)]}) == (OTHER,)


def test_escaped_titles_are_read() -> None:
    video = only(snippet={"title": " Simon &amp; Garfunkel - It&#39;s &quot;live&quot; ", "channelTitle": "A &lt; B"})
    assert (video.title, video.channel) == ('Simon & Garfunkel - It\'s "live"', "A < B")


def test_a_search_gives_each_video_once_and_no_channel() -> None:
    channel = {"id": {"kind": "youtube#channel", "channelId": "UC1"}, "snippet": {"title": "Band"}}
    items = [result(), channel, result(OTHER), result(), result("too short"), result(None), None, "x", {"id": ID}]
    assert parse_search({"items": items}) == (ID, OTHER)
    assert parse_search({"items": []}) == ()


@pytest.mark.parametrize("body", [None, [], "", {}, {"items": {}}, {"items": None}, {"error": {"code": 403}}])
def test_what_holds_no_list_is_no_answer_rather_than_an_empty_one(body: object) -> None:
    for parse in (parse_search, parse_videos):
        with pytest.raises(Broken, match="without a list"):
            parse(body)


def test_counts_and_lengths_are_bounded() -> None:
    items = [
        item(id=f"{number:011}", snippet={"title": "x" * 10**6, "channelTitle": "&amp;" * 10**5})
        for number in range(500)
    ]
    videos = parse_videos({"items": items})
    assert len(videos) == 50
    assert max(len(f"{video.title}{video.channel}") for video in videos.values()) <= 1000
    assert len(parse_search({"items": [result(f"{number:011}") for number in range(500)]})) == 50


FIELDS = (
    "id videoId snippet title channelTitle liveBroadcastContent contentDetails duration regionRestriction allowed"
    " blocked status embeddable privacyStatus uploadStatus"
).split()
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ID, "PT4M", "live", "DE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)


@given(st.lists(Json, max_size=4), Json)
def test_no_body_makes_a_parser_stumble(items: list[Any], odd: Any) -> None:
    for body in ({"items": items}, {"items": [item(snippet=odd, status=odd, contentDetails=odd)]}):
        assert all(len(each) == 11 for each in parse_search(body))
        assert all(key == video.video_id for key, video in parse_videos(body).items())


def test_recorded_answers_are_read() -> None:
    for body in recorded("youtube", "*search_by_*.json"):
        assert parse_search(body) == tuple(
            dict.fromkeys(
                each["id"]["videoId"] for each in body["items"] if each["snippet"]["liveBroadcastContent"] == "none"
            )
        )
    for body in recorded("youtube", "*videos_[cim]*.json"):
        found = parse_videos(body)
        assert list(found) == [each["id"] for each in body["items"]]
        assert all(video.title and video.channel and video.is_public for video in found.values())
