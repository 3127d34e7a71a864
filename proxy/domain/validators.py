"""Validators of answers: entity tags and conditional requests (RFC 9110 sections 8.8.3 and 13.1.2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

from proxy.domain.http_fields import Fields, http_date

TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')

KEPT_IN_304 = ("Cache-Control", "Content-Location", "ETag", "Link", "Vary")
"""Section 15.4.5, and Link, which names the source of the data; what is set on every answer comes by itself."""


def entity_tag(body: bytes) -> str:
    """Weak: the same for each content coding of the same bytes."""
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def is_known(tag: str, if_none_match: Iterable[str]) -> bool:
    """By weak comparison; `*` knows everything."""
    asked = ",".join(if_none_match)
    return asked.strip() == "*" or tag.removeprefix("W/") in TAG.findall(asked)


def is_not_modified(sent: Fields, fields: Fields) -> bool:
    """The client that sent these conditions has the answer with these fields already (RFC 9111 section 4.3.2)."""
    if "If-None-Match" in sent:
        return is_known(fields.get("ETag", ""), sent.getall("If-None-Match"))
    since = http_date(sent.get("If-Modified-Since"))
    changed = http_date(fields.get("Last-Modified", fields.get("Date")))
    return since is not None and changed is not None and changed <= since


def headers_of_304(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name in KEPT_IN_304 if (value := headers.get(name)) is not None)
