"""YouTube's oEmbed: every video lives but for those that a test ends."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.simulated_discogs.faults import Reply

from .server import Asked, SimulatedProvider, json_reply


@dataclass
class SimulatedOembed(SimulatedProvider):
    """`gone` are no more, `closed` are private or may not be embedded; by their ids."""

    gone: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def refusal(self) -> Reply:
        return plain("Too Many Requests", 429)

    def answer(self, asked: Asked) -> Reply:
        return oembed(asked, self.gone, self.closed)


def oembed(asked: Asked, gone: set[str], closed: set[str]) -> Reply:
    """As the real one says it: in plain words where it says no."""
    if asked.path != "/oembed":
        return plain("Not Found", 404)
    video_id = parse_qs(urlsplit(asked.value("url")).query).get("v", [""])[0]
    if len(video_id) != 11:
        return plain("Bad Request", 400)
    if video_id in gone:
        return plain("Not Found", 404)
    if video_id in closed:
        return plain("Unauthorized", 401)
    return json_reply({"title": f"Video {video_id}", "author_name": "A channel", "type": "video", "version": "1.0"})


def plain(words: str, status: int) -> Reply:
    return Reply(status, {"Content-Type": "text/plain"}, words.encode())
