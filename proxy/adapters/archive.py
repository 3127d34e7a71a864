"""The file of a backup: one gzip stream of length-prefixed chunks that begins with a manifest and ends with a checksum.

    magic · header (JSON) · for each table of the header its rows, ended by an empty chunk · footer (JSON) · SHA-256

It has no file names, so none can lead anywhere; no chunk is longer than CHUNK_MAX, so memory is bounded whatever the
file claims; and what unpacks to far more than any real backup is refused before it costs much. The checksum tells
damage and truncation; it is no signature: a backup is to be trusted as the database is.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

MAGIC = b"discogs-proxy backup 1\n"
CHUNK_MAX = 1 << 20
CHUNK_USUAL = 1 << 16
LENGTH_BYTES = 4
COMPRESSION = 4
BOMB_FROM, BOMB_RATIO = 64 << 20, 200
"""From so many bytes on it may have unpacked to so many times its size; rows of a database come to some 5 to 30."""

Progress = Callable[[int], None]
"""Told how many more bytes, compressed, are read or written."""


class ArchiveError(Exception):
    """The file is no whole backup; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class TableHead:
    """`columns` in the order of the rows' fields."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What is in it and what made it. `unchecked`: foreign keys that not all of its rows need to keep."""

    made_at: str
    made_by: str
    server: str
    schema_version: int
    schema_digest: str
    tables: tuple[TableHead, ...]
    unchecked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Footer:
    """`rows` by table; `sequences`: the last number given, by `table.column`."""

    rows: Mapping[str, int]
    sequences: Mapping[str, int]


class ArchiveWriter:
    """Header first, then for each of its tables `rows` and `end_table`, then `finish`."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._gzip = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=COMPRESSION, mtime=0)
        self._checksum = hashlib.sha256()
        self._waiting = bytearray()
        self._write(MAGIC)
        self._chunk(encode(header))

    def rows(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= CHUNK_USUAL:
            self._flush()

    def end_table(self) -> None:
        self._flush()
        self._chunk(b"")

    def finish(self, footer: Footer) -> None:
        self._chunk(encode(footer))
        self._gzip.write(self._checksum.digest())
        self._gzip.close()

    def _flush(self) -> None:
        for start in range(0, len(self._waiting), CHUNK_MAX):
            self._chunk(bytes(self._waiting[start : start + CHUNK_MAX]))
        self._waiting.clear()

    def _chunk(self, data: bytes) -> None:
        self._write(len(data).to_bytes(LENGTH_BYTES, "big") + data)

    def _write(self, data: bytes) -> None:
        self._checksum.update(data)
        self._gzip.write(data)


class ArchiveReader:
    """Reads once, in order: `header`, `chunks` of each table, `footer`. Every step raises ArchiveError."""

    def __init__(self, file: IO[bytes], progress: Progress = lambda _: None) -> None:
        file.seek(0)
        self._file = file
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")
        self._checksum = hashlib.sha256()
        self._progress = progress
        self._read_from_file = 0
        if self._read(len(MAGIC)) != MAGIC:
            raise ArchiveError("it is no backup of discogs-proxy, or one of another format")
        self.header = parse_header(self._chunk())

    def chunks(self) -> Iterator[bytes]:
        """Of the next table. A row may be cut in two by a chunk's end."""
        while data := self._chunk():
            yield data

    def footer(self) -> Footer:
        """Also the proof that everything before it is as it was written."""
        footer = parse_footer(self._chunk())
        expected = self._checksum.digest()
        if self._read(len(expected)) != expected:
            raise ArchiveError("its checksum is wrong: the file is damaged")
        with explained():
            if self._gzip.read(1):
                raise ArchiveError("something follows its end: the file is damaged")
        return footer

    def _chunk(self) -> bytes:
        length = int.from_bytes(self._read(LENGTH_BYTES), "big")
        if length > CHUNK_MAX:
            raise ArchiveError("a part of it is longer than any can be: the file is damaged")
        return self._read(length)

    def _read(self, length: int) -> bytes:
        with explained():
            data = self._gzip.read(length)
        if len(data) < length:
            raise ArchiveError("it ends too early: the file was cut off")
        self._checksum.update(data)
        position = self._file.tell()
        self._progress(position - self._read_from_file)
        self._read_from_file = position
        if self._gzip.tell() > max(BOMB_FROM, BOMB_RATIO * position):
            raise ArchiveError(f"it unpacks to more than {BOMB_RATIO} times its size, as no backup does")
        return data


def verify(file: IO[bytes], progress: Progress = lambda _: None) -> tuple[Header, Footer]:
    """Reads all of it. Raises ArchiveError."""
    reader = ArchiveReader(file, progress)
    rows = {table.name: sum(data.count(b"\n") for data in reader.chunks()) for table in reader.header.tables}
    footer = reader.footer()
    if rows != footer.rows:
        raise ArchiveError("it does not hold the rows that it says: the file is damaged")
    return reader.header, footer


@contextmanager
def explained() -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveError(f"it is no backup, or damaged ({error})") from error
    except EOFError as error:
        raise ArchiveError("it ends too early: the file was cut off") from error


def encode(value: Header | Footer) -> bytes:
    return json.dumps(asdict(value)).encode()


def parse_header(data: bytes) -> Header:
    content = parse_object(data)
    match content:
        case {
            "made_at": str(made_at),
            "made_by": str(made_by),
            "server": str(server),
            "schema_version": int(version),
            "schema_digest": str(digest),
            "tables": list(tables),
            "unchecked": list(unchecked),
        }:
            heads = tuple(parse_table(each) for each in tables)
            if len({each.name for each in heads}) == len(heads):
                return Header(made_at, made_by, server, version, digest, heads, words(unchecked))
    raise ArchiveError("its header says nothing that this version understands")


def parse_table(content: object) -> TableHead:
    match content:
        case {"name": str(name), "columns": list(columns)} if columns and len(set(words(columns))) == len(columns):
            return TableHead(name, words(columns))
    raise ArchiveError("its header does not say which columns a table has")


def parse_footer(data: bytes) -> Footer:
    match parse_object(data):
        case {"rows": dict(rows), "sequences": dict(sequences)}:
            return Footer(numbers(rows), numbers(sequences))
    raise ArchiveError("its end does not say how many rows it holds")


def parse_object(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArchiveError("its manifest is not JSON: the file is damaged") from error


def words(values: Sequence[object]) -> tuple[str, ...]:
    found = tuple(value for value in values if isinstance(value, str) and value and "\0" not in value)
    if len(found) < len(values):
        raise ArchiveError("its manifest names something that is no name")
    return found


def numbers(values: Mapping[object, object]) -> dict[str, int]:
    found = {str(name): value for name, value in values.items() if type(value) is int and 0 <= value < 2**63}
    if len(found) < len(values):
        raise ArchiveError("its manifest counts with something that is no number")
    return found


# --- files --------------------------------------------------------------------------------------------------------


class FileThere(Exception):
    """It would be overwritten."""


def refuse_overwriting(path: Path, *, force: bool) -> None:
    """Raises FileThere."""
    if path.exists() and not force:
        raise FileThere(f"{path} is there already")


@contextmanager
def written_whole(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file for us alone that is at `path` when it is complete, and otherwise not at all.

    Raises FileThere unless `force`, OSError.
    """
    refuse_overwriting(path, force=force)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(unfinished, path, force=force)
    finally:
        unfinished.unlink(missing_ok=True)


def put_in_place(unfinished: Path, path: Path, *, force: bool) -> None:
    if force:
        unfinished.replace(path)
    else:
        try:
            path.hardlink_to(unfinished)  # unlike a rename it never overwrites what came meanwhile
        except FileExistsError as error:
            raise FileThere(f"{path} is there already") from error
        except OSError:  # a file system without hard links
            unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
