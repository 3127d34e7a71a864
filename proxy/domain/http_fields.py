"""The header fields that a cache reads, parsed: Cache-Control, dates, Age, Vary (RFC 9110, RFC 9111).

What is malformed is read as the stricter of what it could mean.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from multidict import MultiMapping

Fields = MultiMapping[str]

DELTA_MAX_S: Final = 2.0**31
"""RFC 9111 section 1.2.2: what does not fit counts as this."""


# --- Cache-Control ------------------------------------------------------------------------------------------------

MEMBER: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
NAMES: Final = re.compile(r"[^\s,]+")


@dataclass(frozen=True, slots=True)
class Directives:
    """Cache-Control of one message: names in lower case with their arguments, unquoted; None: without one."""

    members: tuple[tuple[str, str | None], ...]

    def __contains__(self, name: str) -> bool:
        return any(each == name for each, _ in self.members)

    def bare(self, name: str) -> bool:
        """It stands there without an argument, which would limit it."""
        return any(each == name and not argument for each, argument in self.members)

    def seconds(self, name: str) -> float | None:
        """None where it is absent; of several the least; 0 for what is no number (RFC 9111 section 4.2.1: stale)."""
        found = [_seconds(argument) or 0.0 for each, argument in self.members if each == name]
        return min(found, default=None)

    def fields(self, name: str) -> frozenset[str]:
        """The header fields that the argument lists."""
        listed = (NAMES.findall(argument) for each, argument in self.members if each == name and argument)
        return frozenset(field.lower() for fields in listed for field in fields)


def directives(fields: Fields) -> Directives:
    return directives_in(",".join(fields.getall("Cache-Control", ())))


def directives_in(text: str) -> Directives:
    """A quote that is never closed could hide anything: then nothing may be stored."""
    if len(re.sub(r"\\.", "", text).split('"')) % 2 == 0:
        return Directives((("no-store", None),))
    return Directives(tuple(_member(part) for part in MEMBER.findall(text) if part.strip()))


def wanted_of(fields: Fields) -> Directives:
    """Those of a request, where Pragma may stand for Cache-Control (RFC 9111 section 5.4)."""
    if "Cache-Control" not in fields and "no-cache" in ",".join(fields.getall("Pragma", ())).lower():
        return Directives((("no-cache", None),))
    return directives(fields)


def _member(part: str) -> tuple[str, str | None]:
    name, equals, argument = part.strip().partition("=")
    if len(argument) > 1 and argument[0] == argument[-1] == '"':
        argument = re.sub(r"\\(.)", r"\1", argument[1:-1])
    return name.strip().lower(), argument if equals else None


def _seconds(text: str | None) -> float | None:
    if not text or not text.isascii() or not text.isdecimal():
        return None
    return min(float(text), DELTA_MAX_S)


# --- Age and dates ------------------------------------------------------------------------------------------------


def age_value_s(fields: Fields) -> float:
    """The first member; what is no number is ignored (RFC 9111 section 5.1)."""
    return _seconds(fields.get("Age", "").partition(",")[0].strip()) or 0.0


DATE_FORMATS: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
"""IMF-fixdate, RFC 850, asctime (RFC 9110 section 5.6.7)."""


def http_date(text: str | None) -> float | None:
    """Seconds since 1970. None for what is no date."""
    for form in DATE_FORMATS if text else ():
        try:
            return datetime.strptime(text or "", form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None


def as_http_date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(DATE_FORMATS[0])


# --- Vary ---------------------------------------------------------------------------------------------------------

VARY_MAX: Final = 16
"""Names. An answer that depends on more is not stored."""

NEVER_SELECTS: Final = frozenset({"*", "authorization", "cookie"})
"""An answer that differs by these is somebody's own, or differs by what no cache can know."""


def vary_names(fields: Fields) -> tuple[str, ...] | None:
    """In lower case, sorted, each once. None for an answer that no other request may be answered with."""
    named = {name.strip().lower() for value in fields.getall("Vary", ()) for name in value.split(",")} - {""}
    return None if named & NEVER_SELECTS or len(named) > VARY_MAX else tuple(sorted(named))


def variant(names: Iterable[str], sent: Fields) -> str:
    """What tells apart the variants of one URI: a digest, as a field may be long, or a secret.

    Lines are combined and blanks around commas do not count (RFC 9111 section 4.1); languages have no case.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        value = _normal(name, sent.getall(name, ())) if name in sent else "\0"
        digest.update(f"{name}\0{value}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _normal(name: str, values: Iterable[str]) -> str:
    text = ",".join(part.strip() for value in values for part in value.split(","))
    return text.lower() if name.startswith("accept") else text
