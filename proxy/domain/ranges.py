"""One range of bytes out of a whole answer (RFC 9110 section 14)."""

from __future__ import annotations

import re
from typing import Final

from proxy.domain.http_fields import Fields

ONE_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def part_of(sent: Fields, fields: Fields, size: int) -> range | None:
    """The bytes that a request asks for out of `size`; empty: there are none such (416). None: the whole answer.

    Several ranges, and what cannot be read, are answered with the whole, which section 14.2 allows.
    """
    found = ONE_RANGE.fullmatch(sent.get("Range", ""))
    if found is None or found[0] == "bytes=-" or not _is_same(sent.get("If-Range"), fields):
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size))


def _is_same(if_range: str | None, fields: Fields) -> bool:
    """By strong comparison (section 13.1.5): a weak tag never is."""
    if if_range is None:
        return True
    return not if_range.startswith("W/") and if_range in (fields.get("ETag"), fields.get("Last-Modified"))
