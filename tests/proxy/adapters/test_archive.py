"""The file of a backup: whole or refused, whatever it claims."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.adapters.archive import (
    BOMB_FROM,
    CHUNK_MAX,
    MAGIC,
    ArchiveError,
    ArchiveReader,
    ArchiveWriter,
    FileThere,
    Footer,
    Header,
    TableHead,
    verify,
    written_whole,
)

HEADER = Header("2026-11-25T12:00:00+00:00", "0.1.0", "18.6", 1, "d" * 64, (TableHead("t", ("a", "b")),), ())


def archive(*rows: bytes, header: Header = HEADER) -> bytes:
    file = io.BytesIO()
    writer = ArchiveWriter(file, header)
    for row in rows:
        writer.rows(row)
    writer.end_table()
    writer.finish(Footer({"t": len(rows)}, {"t.a": 7}))
    return file.getvalue()


def chunk(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def forged(header: object, *chunks: bytes, footer: object = None) -> bytes:
    """With a true checksum: whoever forges can make one."""
    said = {"rows": {}, "sequences": {}} if footer is None else footer
    plain = MAGIC + chunk(json.dumps(header).encode()) + b"".join(map(chunk, chunks)) + chunk(json.dumps(said).encode())
    return gzip.compress(plain + hashlib.sha256(plain).digest(), mtime=0)


def head(**changed: object) -> dict[str, object]:
    return {
        "made_at": "",
        "made_by": "",
        "server": "",
        "schema_version": 1,
        "schema_digest": "",
        "tables": [],
        "unchecked": [],
    } | changed


WHOLE = archive(b"1\tone\n", b"2\t\\N\n", b"x" * 100_000 + b"\ty\n")


def test_what_was_written_is_read() -> None:
    header, footer = verify(io.BytesIO(WHOLE))
    assert header == HEADER
    assert footer == Footer({"t": 3}, {"t.a": 7})
    reader = ArchiveReader(io.BytesIO(WHOLE))
    assert b"".join(reader.chunks()).startswith(b"1\tone\n2\t\\N\nxx")


@given(st.binary(max_size=3 * CHUNK_MAX // 2))
def test_rows_of_any_size_come_back(data: bytes) -> None:
    row = data.replace(b"\n", b"") + b"\n"
    reader = ArchiveReader(io.BytesIO(archive(row)))
    assert b"".join(reader.chunks()) == row
    reader.footer()


def test_nothing_of_the_machine_is_in_the_file() -> None:
    assert WHOLE[4:8] == b"\0\0\0\0"  # no time in gzip's own header
    assert WHOLE[3] == 0  # nor a file name


@pytest.mark.parametrize("share", [0, 1, 5, 10, 30, 50, 90, 99])
def test_a_file_that_was_cut_off_is_refused(share: int) -> None:
    with pytest.raises(ArchiveError):
        verify(io.BytesIO(WHOLE[: len(WHOLE) * share // 100]))


def test_a_file_without_its_last_byte_is_refused() -> None:
    with pytest.raises(ArchiveError, match="cut off"):
        verify(io.BytesIO(WHOLE[:-1]))


@given(st.integers(10, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_that_changed_is_noticed(place: int, difference: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] ^= difference
    with pytest.raises(ArchiveError):
        verify(io.BytesIO(bytes(damaged)))


@given(st.binary(max_size=500))
def test_garbage_is_refused(data: bytes) -> None:
    for content in (data, gzip.compress(data), gzip.compress(MAGIC + data), gzip.compress(MAGIC + chunk(data))):
        with pytest.raises(ArchiveError):
            verify(io.BytesIO(content))


@pytest.mark.parametrize(
    "content",
    [
        WHOLE + b"more",
        WHOLE + WHOLE,
        gzip.compress(MAGIC + b"\xff\xff\xff\xff", mtime=0),  # the names of tests must not tell the time
        forged([]),
        forged("x"),
        forged(head(schema_version="1")),
        forged(head(tables=[{"name": "t"}])),
        forged(head(tables=[{"name": "t", "columns": []}])),
        forged(head(tables=[{"name": "t", "columns": ["a", "a"]}]), b""),
        forged(head(tables=[{"name": "t", "columns": [1]}]), b""),
        forged(head(tables=[{"name": "t", "columns": ["a"]}] * 2), b"", b""),
        forged(head(unchecked=[None])),
        forged(head(), footer={"rows": {}, "sequences": {"t.a": -1}}),
        forged(head(), footer={"rows": {}, "sequences": {"t.a": "1; DROP TABLE t"}}),
        forged(head(), footer={"rows": {"t": 1}, "sequences": {}}),
        forged(head(tables=[{"name": "t", "columns": ["a"]}]), b"1\n", b"", footer={"rows": {"t": 2}, "sequences": {}}),
    ],
)
def test_a_forged_file_is_refused(content: bytes) -> None:
    with pytest.raises(ArchiveError):
        verify(io.BytesIO(content))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    rows = b"\t\n" * (CHUNK_MAX // 2)
    told: list[int] = []
    bomb = forged(head(tables=[{"name": "t", "columns": ["a"]}]), *[rows] * (3 * BOMB_FROM // CHUNK_MAX))
    with pytest.raises(ArchiveError, match="times its size"):
        verify(io.BytesIO(bomb), told.append)
    assert sum(told) < len(bomb)


def write_half(path: Path, *, force: bool) -> None:
    with written_whole(path, force=force) as file:
        file.write(b"half")
        raise OSError("full")


def test_a_file_is_there_whole_or_not_at_all_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with pytest.raises(OSError, match="full"):
        write_half(path, force=False)
    assert list(tmp_path.iterdir()) == []
    with written_whole(path, force=False) as file:
        file.write(b"whole")
    assert [each.name for each in tmp_path.iterdir()] == ["b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_overwritten_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(b"old")
    with pytest.raises(FileThere), written_whole(path, force=False):
        pass
    with pytest.raises(OSError, match="full"):
        write_half(path, force=True)
    assert path.read_bytes() == b"old"
    with written_whole(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with pytest.raises(FileThere), written_whole(path, force=False):
        path.write_bytes(b"another's")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"another's"]
