"""What is asked for by a path, a query or a form: whole numbers, and lists that are read on from a `cursor`."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence

import orjson

from matcher.models import MatchCursor
from proxy.domain.resources import RELEASE_ID_MAX
from proxy.errors import BadRequest

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
ID_MAX = 2**63 - 1


def whole_number(text: str, name: str, most: int, *, least: int = 0) -> int:
    """Raises BadRequest."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    if not least <= number <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return number


def release_id_from(text: str) -> int:
    """Raises BadRequest."""
    return whole_number(text, "The id of a release", RELEASE_ID_MAX, least=1)


def asked_limit(query: Mapping[str, str]) -> int:
    """Raises BadRequest."""
    return whole_number(query.get("limit", str(LIMIT_DEFAULT)), "limit", LIMIT_MAX, least=1)


def encoded_cursor(named: str, place: Sequence[object]) -> str:
    """Of a place in the list of that name."""
    return base64.urlsafe_b64encode(orjson.dumps([str(named), *place])).decode().rstrip("=")


def place_from(text: str, named: str) -> Sequence[object]:
    """A place in the list of that name, whatever it holds. Raises BadRequest."""
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise no_cursor() from None
    if not (isinstance(found, list) and found and found[0] == named):
        raise no_cursor()
    return found[1:]


def weighed_place_from(text: str, named: str) -> MatchCursor:
    """A place in a list whose order has three weights and an id. Raises BadRequest."""
    match place_from(text, named):
        case [float(first), float(second), float(third), int(last)] if all(map(math.isfinite, (first, second, third))):
            return first, second, third, last
    raise no_cursor()


def no_cursor() -> BadRequest:
    return BadRequest("cursor must be the `next` of an answer to the same question.")
