from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.adapters import responses
from proxy.adapters.responses import EVICT_TO, FILE_NAME, ResponseStore, StoredAnswer, packed, unpacked
from proxy.adapters.upstream import Answer

WHEN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def stored(body: bytes = b'{"id": 1}') -> StoredAnswer:
    headers = CIMultiDict([("Content-Type", "application/json"), ("Link", "one"), ("Link", "two")])
    return StoredAnswer(Answer(200, headers, body), WHEN)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ResponseStore]:
    opened = ResponseStore(tmp_path)
    yield opened
    await opened.close()


async def test_what_was_written_is_read_byte_for_byte(store: ResponseStore) -> None:
    assert await store.read("key") is None
    await store.write("key", "/masters/1", stored(b"\x00\n any bytes"))
    assert await store.read("key") == stored(b"\x00\n any bytes")


async def test_it_survives_a_restart_and_is_private(store: ResponseStore, tmp_path: Path) -> None:
    await store.write("key", "/masters/1", stored())
    await store.close()
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    again = ResponseStore(tmp_path)
    assert await again.read("key") == stored()
    await again.close()


async def test_beyond_the_bound_the_least_recently_used_go_and_the_file_shrinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "USES_NOTED_EVERY_S", 0)
    store = ResponseStore(tmp_path, bytes_max=1_000_000)
    for number in range(19):
        await store.write(f"{number}", "/x", stored(b"x" * 50_000))
    assert await store.read("0"), "used again: it stays"
    await store.write("19", "/x", stored(b"x" * 50_000))
    kept = [number for number in range(20) if await store.read(f"{number}")]
    assert 0 in kept
    assert 1 not in kept
    assert 19 in kept
    assert len(kept) * 50_000 <= 1_000_000 * EVICT_TO
    await store.close()
    assert (tmp_path / FILE_NAME).stat().st_size < 1_100_000


async def test_two_processes_on_one_file_keep_to_one_bound(tmp_path: Path) -> None:
    one, other = (ResponseStore(tmp_path, bytes_max=1_000_000) for _ in range(2))
    for number in range(40):
        for store in (one, other):
            await store.write(f"{id(store)}-{number}", "/x", stored(b"x" * 20_000))
    kept = [await store.read(f"{id(store)}-{number}") for number in range(40) for store in (one, other)]
    assert len([each for each in kept if each]) * 20_000 <= 1_050_000
    await one.close()
    await other.close()


async def test_a_write_and_a_purge_wait_for_another_process_that_writes(
    store: ResponseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(responses, "BUSY_ATTEMPTS", 1000)
    await store.write("old", "/masters/1", stored())
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        purging = asyncio.create_task(store.purge(["/masters/1"], soft=False))
        writing = asyncio.create_task(store.write("new", "/masters/2", stored()))
        await asyncio.sleep(0.2)  # several attempts
        assert not purging.done()
        assert await store.read("old")
        other.execute("COMMIT")
        assert (await purging, await writing) == (1, True)
    assert await store.read("old") is None
    assert await store.read("new")


async def test_an_answer_that_would_drive_out_many_others_is_not_kept(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path, bytes_max=1_000_000)
    await store.write("small", "/x", stored())
    await store.write("large", "/x", stored(b"x" * 150_000))
    assert await store.read("small")
    assert await store.read("large") is None
    await store.close()


async def test_a_header_that_is_no_utf_8_is_kept(store: ResponseStore) -> None:
    odd = StoredAnswer(Answer(200, CIMultiDict({"X-Note": "caf\udce9"}), b"{}"), WHEN)
    await store.write("key", "/x", odd)
    assert await store.read("key") == odd


async def test_many_at_once_on_a_file_that_cannot_be_opened_are_misses(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    store = ResponseStore(tmp_path)
    assert await asyncio.gather(*(store.read(f"{number}") for number in range(10))) == [None] * 10
    await store.close()


async def test_many_at_once(store: ResponseStore) -> None:
    await asyncio.gather(*(store.write(f"{number}", "/x", stored()) for number in range(200)))
    found = await asyncio.gather(*(store.read(f"{number}") for number in range(200)))
    assert all(found)


@pytest.mark.parametrize("garbage", [b"no database at all" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_a_broken_file_is_a_miss_and_begun_anew(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(garbage)
    store = ResponseStore(tmp_path)
    assert await store.read("key") is None
    await store.write("key", "/x", stored())
    assert await store.read("key") == stored()
    await store.close()


async def test_a_folder_that_cannot_be_used_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = ResponseStore(tmp_path / "file")
    assert await store.read("key") is None
    await store.write("key", "/x", stored())
    assert await store.purge(["/x"], soft=True) == 0
    await store.close()


async def test_a_purge_takes_a_path_and_what_lies_below_it(store: ResponseStore) -> None:
    for path in ("/masters/1", "/masters/1/versions", "/masters/11", "/Users/Bob/inventory"):
        await store.write(path, path, stored())
    assert await store.purge(["/masters/1"], soft=False) == 2
    assert await store.read("/masters/1/versions") is None
    assert await store.read("/masters/11")
    assert await store.purge(["/users/bob"], soft=False) == 1


async def test_a_soft_purge_leaves_the_copy_marked_until_it_is_written_anew(store: ResponseStore) -> None:
    await store.write("key", "/x", stored())
    assert await store.purge(["/x"], soft=True) == 1
    found = await store.read("key")
    assert found
    assert found.purged
    await store.write("key", "/x", stored())
    assert await store.read("key") == stored()


@given(st.binary())
def test_a_value_that_is_not_ours_is_a_miss(value: bytes) -> None:
    assert unpacked(value, False) is None
    assert unpacked(b"1 " + value, False) is None


def test_a_value_is_no_pickle() -> None:
    assert packed(stored()).startswith(b'1 {"status":200')


async def test_answers_are_dropped_by_key_or_by_their_very_path(store: ResponseStore) -> None:
    for key, path in (("a", "/x"), ("a?q", "/x"), ("b", "/x/y"), ("c", "/X%20Z"), ("d", "/d")):
        await store.write(key, path, stored())
    await store.drop(["d", "never"])
    await store.drop_paths(["/x", "/x z"])
    assert [key for key in ("a", "a?q", "b", "c", "d") if await store.read(key)] == ["b"]
