"""Finished answers, at hand in memory: an equal request gets the same bytes while nothing they are made of changes.

The way of a hit. It costs no parsing, no packing and no question to Postgres, which tells us of changes instead; while
it cannot, nothing is answered from here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from proxy.domain.policy import Decision, Source
from proxy.domain.purge import is_at_or_below, plain_path
from proxy.domain.request import Reuse, Served, ShopRequest
from proxy.domain.validators import entity_tag
from proxy.domain.visibility import SAFE_METHODS
from proxy.domain.wire import header_lines

try:
    from isal import isal_zlib as zlib
except ImportError:  # it is not made for this machine
    import zlib  # type: ignore[no-redef] # the same functions

BYTES_MAX = 64 * 1024 * 1024
LARGEST = BYTES_MAX // 10
OVERHEAD_BYTES = 2048
"""Of an entry beside its bodies: a short one is not for free."""

PACK_FROM_BYTES = 1024
PACK_LEVEL, GZIP = 1, 31
"""Of a page of 100 listings level 1 makes a third more than level 6 in a fourth of the time, or, by ISA-L, a twentieth.

31 is how zlib is told to write the head of a gzip.
"""

PACK_ASIDE_FROM_BYTES = 1024 * 1024
"""Packing holds up everybody else from here on: a thread does it."""

CHANGES_KEPT = 50_000
TARGET_LONGEST = 2048
"""Characters of path, query and media type; a longer one would cost more to keep than it saves."""

SHORTCUTS_MAX = 4
"""To one answer: who spells a request in ever new ways goes the long way."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer as it is written. `tag` is its ETag, `packed` its body as gzip; None where that does not pay."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    tag: str | None = None
    packed: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.body) + len(self.packed or b"") + OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Hit:
    """`what` was asked for: its kind, and the client calls by store. `heads` are those of plain and packed answer."""

    answer: Finished
    decision: Decision
    what: tuple[str, Mapping[str, int]]
    heads: tuple[bytes, bytes]


@dataclass(frozen=True, eq=False, slots=True)
class _Entry:
    """Told apart by identity, as a key takes long to hash.

    `size` counts the key and the shortcuts that there may be as well, as clients choose their length.
    """

    key: Hashable
    size: int
    answer: Finished
    reuse: Reuse
    path: str
    what: tuple[str, Mapping[str, int]]
    heads: tuple[bytes, bytes]
    shortcuts: set[Hashable] = field(default_factory=set)


async def finish(served: Served, *, pack: bool) -> Finished:
    """With an ETag where it is a good answer, packed if asked for and if that pays.

    The tag is made of the fewer bytes.
    """
    if served.status != 200:
        return Finished(served.status, served.headers, served.body)
    packed = await _packed(served.body) if pack and len(served.body) >= PACK_FROM_BYTES else None
    tag = entity_tag(packed or served.body)
    return Finished(served.status, (*served.headers, ("ETag", tag)), served.body, tag, packed)


async def packed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same as one gzip, piece by piece."""
    packer = zlib.compressobj(PACK_LEVEL, wbits=GZIP)
    async for piece in pieces:
        if smaller := await asyncio.to_thread(packer.compress, piece):
            yield smaller
    yield packer.flush()


async def _packed(body: bytes) -> bytes:
    if len(body) >= PACK_ASIDE_FROM_BYTES:
        return await asyncio.to_thread(zlib.compress, body, PACK_LEVEL, GZIP)
    return zlib.compress(body, PACK_LEVEL, GZIP)


@dataclass(slots=True)
class FinishedAnswers:
    """`changes_are_heard` tells whether every change so far has been told to `drop_…`."""

    changes_are_heard: Callable[[], bool]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    bytes_max: int = BYTES_MAX
    _entries: OrderedDict[Hashable, _Entry] = field(default_factory=OrderedDict)
    _shortcuts: dict[Hashable, Hashable] = field(default_factory=dict)
    _of_release: defaultdict[int, set[_Entry]] = field(default_factory=lambda: defaultdict(set))
    _bytes: int = 0
    _changes: int = 0
    _changed: OrderedDict[int, int] = field(default_factory=OrderedDict)
    """Of releases: the number of the last change of each."""
    _told_apart_from: int = 0
    """Changes up to this number may have been of anything."""

    def find(self, request: ShopRequest) -> Hit | None:
        return self._find(_key(request))

    def find_by(self, shortcut: Hashable) -> Hit | None:
        """By what `add_shortcut` was given for an equal request."""
        return self._find(self._shortcuts.get(shortcut))

    def add_shortcut(self, shortcut: Hashable, request: ShopRequest) -> None:
        """Whatever `request` is answered with is the answer to all requests of this shortcut."""
        key = _key(request)
        entry = self._entries.get(key)
        if entry is not None and len(entry.shortcuts) < SHORTCUTS_MAX:
            entry.shortcuts.add(shortcut)
            self._shortcuts[shortcut] = key

    def _find(self, key: Hashable) -> Hit | None:
        entry = self._entries.get(key)
        if entry is None or not self.changes_are_heard():
            return None
        now, reuse = self.now(), entry.reuse
        if not reuse.fetched_at <= now < reuse.fresh_until:  # or the clock was set back: its age is not known
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        age_s, ttl_s = (now - reuse.fetched_at).total_seconds(), (reuse.fresh_until - now).total_seconds()
        return Hit(entry.answer, Decision(Source.HIT, age_s, ttl_s, detail=reuse.detail), entry.what, entry.heads)

    def begin(self) -> int:
        """To be taken before the parts of an answer are read, and given to `keep`."""
        return self._changes

    def keep(self, request: ShopRequest, answer: Finished, reuse: Reuse | None, begun: int) -> None:
        """Unless a part of it changed since it was begun, or equal requests must not get it."""
        key = _key(request)
        length = len(request.raw_path) + len(request.raw_query) + sum(len(value) for _, value in request.media_types)
        size = answer.size + length * (2 + 2 * SHORTCUTS_MAX)
        if key is None or reuse is None or size > LARGEST or length > TARGET_LONGEST:
            return
        if self._changed_since(begun, reuse.release_ids):
            return
        self._drop(key)
        path, what = plain_path(request.raw_path), (request.resource.kind.value, request.resource.client_calls)
        entry = self._entries[key] = _Entry(
            key, size, answer, reuse, path, what, (_head(answer, packed=False), _head(answer, packed=True))
        )
        self._bytes += size
        for release_id in reuse.release_ids:
            self._of_release[release_id].add(entry)
        while self._bytes > self.bytes_max:
            self._drop(next(iter(self._entries)))

    def drop_release(self, release_id: int) -> None:
        self._changes += 1
        self._changed[release_id] = self._changes
        self._changed.move_to_end(release_id)
        if len(self._changed) > CHANGES_KEPT:
            _, self._told_apart_from = self._changed.popitem(last=False)
        for entry in tuple(self._of_release.get(release_id, ())):
            self._drop(entry.key)

    def drop_path(self, path: str, *, below: bool = True) -> None:
        """And, unless told otherwise, what lies below it."""
        self._something_changed()
        purged = plain_path(path)
        for key, entry in list(self._entries.items()):
            if entry.path == purged or (below and is_at_or_below(entry.path, purged)):
                self._drop(key)

    def drop_all(self) -> None:
        self._something_changed()
        self._entries.clear()
        self._shortcuts.clear()
        self._of_release.clear()
        self._bytes = 0

    def _something_changed(self) -> None:
        self._changes += 1
        self._told_apart_from = self._changes

    def _changed_since(self, begun: int, release_ids: Iterable[int]) -> bool:
        return begun < self._told_apart_from or any(self._changed.get(each, 0) > begun for each in release_ids)

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= entry.size
        for shortcut in entry.shortcuts:
            self._shortcuts.pop(shortcut, None)
        for release_id in entry.reuse.release_ids:
            entries = self._of_release[release_id]
            entries.discard(entry)
            if not entries:
                del self._of_release[release_id]


def _key(request: ShopRequest) -> Hashable | None:
    """All that an answer depends on. None: not to be kept, as it is one caller's, or a credential would be in it."""
    shared = request.method in SAFE_METHODS and request.ask.shared and not request.caller.query_credentials
    if not shared:
        return None
    return (
        request.raw_path,
        request.raw_query,
        request.public_origin,
        request.media_types,
        request.ask,
        request.caller.tier,
    )


def _head(answer: Finished, *, packed: bool) -> bytes:
    """The part of the head that is the same each time, of the packed answer or of the plain one."""
    body = answer.packed if packed and answer.packed else answer.body
    coding = [("Content-Encoding", "gzip")] if body is answer.packed else []
    length = ("Content-Length", str(len(body)))
    return b"HTTP/1.1 200 OK\r\n" + header_lines((*answer.headers, *coding, length))
