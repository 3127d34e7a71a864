from __future__ import annotations

from typing import Any

import pytest

from matcher.domain.links import LinkState
from matcher.errors import Broken
from matcher.providers.client import Reply
from matcher.providers.youtube_links import YouTubeOembed, parse_oembed, video_id
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
    seen = parse_oembed(Reply(status, {}, body))
    assert seen.state is state
    assert not seen.is_explicit


@pytest.mark.parametrize(("status", "body"), [(200, {}), (200, []), (200, {"title": 7}), (418, None), (429, None)])
def test_what_it_never_says_tells_nothing_of_the_video(status: int, body: object) -> None:
    with pytest.raises(Broken):
        parse_oembed(Reply(status, {}, body))


async def test_a_video_is_asked_for_by_its_one_url() -> None:
    async with running_origin() as origin, client_of(origin.url) as client:
        origin.body = b'{"title": "Morning Signal"}'
        checker = YouTubeOembed(client)
        asked = checker.id_of("https://youtu.be/aaaaaaaaaaa?t=3")
        assert asked
        seen = await checker.look([asked])
        (request,) = origin.requests
    assert seen["aaaaaaaaaaa"].state is LinkState.ALIVE
    assert request.path == "/oembed"
    assert dict(request.query) == {"url": "https://www.youtube.com/watch?v=aaaaaaaaaaa", "format": "json"}


@pytest.mark.parametrize("url", ["https://www.youtube.com/channel/UC1", "https://vimeo.com/12345", "u", ""])
def test_what_is_no_video_of_youtube_has_no_id(url: str) -> None:
    assert video_id(url) is None
