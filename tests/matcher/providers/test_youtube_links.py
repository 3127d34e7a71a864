from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

import pytest

from matcher.domain.links import LinkState, Seen
from matcher.errors import Broken
from matcher.providers.client import Reply
from matcher.providers.youtube import Video
from matcher.providers.youtube_links import YouTubeOembed, YouTubeVideos, parse_oembed, seen, video_id
from tests.matcher.providers.asking import client_of
from tests.origin import running_origin

VIDEO: dict[str, Any] = {"title": "Morning Signal", "author_name": "The Tidal Club", "type": "video"}


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, VIDEO, LinkState.ALIVE),
        (404, None, LinkState.DEAD),
        (401, None, LinkState.REFUSED),
        (403, None, LinkState.REFUSED),
        (400, None, LinkState.REFUSED),
    ],
)
def test_what_oembed_tells_of_a_video(status: int, body: object, state: LinkState) -> None:
    assert parse_oembed(Reply(status, {}, body)) == Seen(state)


@pytest.mark.parametrize(("status", "body"), [(200, {}), (200, []), (200, {"title": 7}), (418, None), (429, None)])
def test_what_it_never_says_tells_nothing_of_the_video(status: int, body: object) -> None:
    with pytest.raises(Broken):
        parse_oembed(Reply(status, {}, body))


WELL = Video("aaaaaaaaaaa", "Morning Signal", "The Tidal Club", 362, True, True, None, frozenset())
MANY = frozenset(f"{first}{second}" for first in ascii_uppercase for second in ascii_uppercase)


@pytest.mark.parametrize(
    ("changes", "state", "is_explicit"),
    [
        ({}, LinkState.ALIVE, False),
        ({"is_embeddable": False}, LinkState.NOT_EMBEDDABLE, True),
        ({"is_public": False}, LinkState.DEAD, True),
        ({"is_public": False, "is_embeddable": False}, LinkState.DEAD, True),
        ({"blocked": frozenset({"DE"})}, LinkState.BLOCKED, False),
        ({"allowed": frozenset({"DE"})}, LinkState.BLOCKED, False),
        ({"allowed": frozenset()}, LinkState.BLOCKED_EVERYWHERE, True),
        ({"allowed": frozenset({"DE"}), "blocked": frozenset({"DE"})}, LinkState.BLOCKED_EVERYWHERE, True),
        ({"blocked": MANY}, LinkState.BLOCKED_EVERYWHERE, True),
    ],
)
def test_what_the_api_tells_of_a_video(changes: dict[str, Any], state: LinkState, is_explicit: bool) -> None:
    assert seen(replace(WELL, **changes)) == Seen(state, is_explicit, "Morning Signal", 362)


def test_what_it_does_not_list_may_be_gone_and_what_has_no_title_is_not_told() -> None:
    assert seen(None) == Seen(LinkState.DEAD)
    assert seen(replace(WELL, title="")) == Seen(LinkState.ALIVE)


async def test_many_videos_are_asked_for_at_once() -> None:
    asked: list[Sequence[str]] = []

    async def videos(ids: Sequence[str]) -> dict[str, Video]:
        asked.append(ids)
        return {"aaaaaaaaaaa": WELL}

    told = await YouTubeVideos(videos).look(["aaaaaaaaaaa", "bbbbbbbbbbb"])
    assert asked == [["aaaaaaaaaaa", "bbbbbbbbbbb"]]
    assert [each.state for each in told.values()] == [LinkState.ALIVE, LinkState.DEAD]


async def test_a_video_is_asked_for_by_its_one_url() -> None:
    async with running_origin() as origin, client_of(origin.url) as client:
        origin.body = b'{"title": "Morning Signal"}'
        checker = YouTubeOembed(client)
        asked = checker.id_of("https://youtu.be/aaaaaaaaaaa?t=3")
        assert asked
        told = await checker.look([asked])
        (request,) = origin.requests
    assert told["aaaaaaaaaaa"].state is LinkState.ALIVE
    assert request.path == "/oembed"
    assert dict(request.query) == {"url": "https://www.youtube.com/watch?v=aaaaaaaaaaa", "format": "json"}


@pytest.mark.parametrize("url", ["https://www.youtube.com/channel/UC1", "https://vimeo.com/12345", "u", ""])
def test_what_is_no_video_of_youtube_has_no_id(url: str) -> None:
    assert video_id(url) is None
