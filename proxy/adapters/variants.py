"""The response cache as RFC 9111 sees it: of each URI one answer, or several that differ by what Vary names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from multidict import CIMultiDict

from proxy.adapters.responses import ResponseStore, StoredAnswer
from proxy.adapters.upstream import Answer
from proxy.domain.http_cache import Stored
from proxy.domain.http_fields import Fields, variant, vary_names

VARIANTS_MAX: Final = 16
"""Of one URI; the first ones go first."""

RECORD: Final = 0
"""Status of what is no answer, but the record of a URI's variants: Vary, and their keys as its body."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A stored answer; its body is packed as upstream packed it."""

    key: str
    head: Stored
    body: bytes


@dataclass(frozen=True, slots=True)
class Other:
    """What is stored of the URI are other variants."""


@dataclass(slots=True)
class Variants:
    """Keys are those of URIs; `sent` is what upstream sees of the request."""

    store: ResponseStore

    async def find(self, key: str, sent: Fields) -> Copy | Other | None:
        stored = await self.store.read(key)
        if stored is None or stored.answer.status != RECORD:
            return _copy(key, stored)
        key = _variant_key(key, stored.answer.headers.getall("Vary", ()), sent)
        return _copy(key, await self.store.read(key)) or Other()

    async def keep(self, key: str, path: str, sent: Fields, head: Stored, body: bytes) -> bool:
        """Whether it was kept. `path` is that of the request, without its query."""
        if names := vary_names(head.fields):
            key = await self._record(key, path, names, sent)
        return await self._write(key, path, Answer(head.status, head.fields, body), head.born)

    async def _record(self, key: str, path: str, names: tuple[str, ...], sent: Fields) -> str:
        """Note the variant in the record of its URI; returns the variant's key."""
        record, mine = await self.store.read(key), _variant_key(key, names, sent)
        known: list[str] = []
        if record is not None and record.answer.status == RECORD:
            known = record.answer.body.decode(errors="replace").split("\n")
            if mine in known and record.answer.headers.getall("Vary", []) == list(names):
                return mine
        known = [*(each for each in known if each != mine), mine]
        await self.store.drop(known[:-VARIANTS_MAX])
        vary = CIMultiDict(("Vary", name) for name in names)
        await self._write(key, path, Answer(RECORD, vary, "\n".join(known[-VARIANTS_MAX:]).encode()), 0.0)
        return mine

    async def _write(self, key: str, path: str, answer: Answer, born: float) -> bool:
        return await self.store.write(key, path, StoredAnswer(answer, datetime.fromtimestamp(born, UTC)))

    async def drop(self, copy: Copy) -> None:
        await self.store.drop([copy.key])


def _copy(key: str, stored: StoredAnswer | None) -> Copy | None:
    """None too for what could not be sent."""
    if stored is None or not _is_sound(stored.answer):
        return None
    answer = stored.answer
    return Copy(key, Stored(answer.status, answer.headers, stored.fetched_at.timestamp(), stored.purged), answer.body)


def _is_sound(answer: Answer) -> bool:
    text = "".join(part for pair in answer.headers.items() for part in pair)
    return 200 <= answer.status <= 599 and not set(text) & set("\r\n\0")


def _variant_key(key: str, names: Iterable[str], sent: Fields) -> str:
    return f"{key} {variant(names, sent)}"
