"""Whether Deezer's tracks still play: GET /track/{id}, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matcher.domain.links import LinkState, Seen
from matcher.domain.quota import Pace
from matcher.domain.urls import deezer_url
from matcher.errors import Broken
from matcher.providers.bodies import member
from matcher.providers.client import Client, Reply
from matcher.providers.deezer import AWAY_AGAIN_S, NAME, NO_DATA, told
from matcher.providers.links import playable


class DeezerLinks:
    """Raises Unavailable while throttled or failing, which says nothing of a track."""

    name = platform = NAME
    at_once = 1
    pace = Pace("looks", 1, period_s=1.0)
    known_alive = "3135556"
    """The example of Deezer's own documentation."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def id_of(self, url: str) -> str | None:
        found = playable(url)
        return found[1].removeprefix(deezer_url("")) if found and found[0] == NAME else None

    async def look(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        """Raises Unavailable."""
        return {each: parse_track(await self._client.get(f"/track/{each}", {})) for each in ids}


def parse_track(reply: Reply) -> Seen:
    """Raises Unavailable where it says nothing of the track: throttled, failing, or another path than Deezer's."""
    error = member(reply.body, "error")
    if reply.status == 200 and member(error, "code") == NO_DATA:
        return Seen(LinkState.DEAD)
    body = told(reply)
    if body is None:
        raise Broken(f"Deezer: a track is answered with {reply.status} and {error!r:.100}", AWAY_AGAIN_S)
    if type(body.get("id")) is not int or not isinstance(body.get("readable"), bool):
        raise Broken("Deezer: an answer that is no track", AWAY_AGAIN_S)
    countries = body.get("available_countries")
    if countries == []:
        return Seen(LinkState.BLOCKED_EVERYWHERE, is_explicit=True)
    if body["readable"]:
        return Seen(LinkState.ALIVE)
    # Not from where we ask. Without a list of countries it plays nowhere, as far as anybody knows.
    return Seen(LinkState.BLOCKED if isinstance(countries, list) else LinkState.BLOCKED_EVERYWHERE)
