from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from multidict import CIMultiDict

from proxy.adapters.responses import ResponseStore
from proxy.adapters.variants import VARIANTS_MAX, Copy, Other, Variants
from proxy.domain.http_cache import Stored

KEY, PATH, BORN = "http /x?y", "/x", 1_000_000_000.25


@pytest.fixture
async def variants(tmp_path: Path) -> AsyncIterator[Variants]:
    store = ResponseStore(tmp_path)
    yield Variants(store)
    await store.close()


def head(vary: str = "") -> Stored:
    return Stored(200, CIMultiDict({"Vary": vary} if vary else {"A": "1"}), BORN)


def sent(foo: object) -> CIMultiDict[str]:
    return CIMultiDict({"Foo": str(foo)})


async def body_of(variants: Variants, foo: object) -> bytes | None:
    found = await variants.find(KEY, sent(foo))
    return found.body if isinstance(found, Copy) else None


async def test_an_answer_that_does_not_vary_is_everybodys(variants: Variants) -> None:
    assert await variants.find(KEY, sent(1)) is None
    await variants.keep(KEY, PATH, sent(1), head(), b"body")
    assert await variants.find(KEY, sent(2)) == Copy(KEY, head(), b"body")


async def test_variants_are_told_apart_and_each_can_be_dropped(variants: Variants) -> None:
    for foo in (1, 2):
        await variants.keep(KEY, PATH, sent(foo), head("Foo"), b"%d" % foo)
    assert [await body_of(variants, foo) for foo in (1, 2)] == [b"1", b"2"]
    assert await variants.find(KEY, sent(3)) == Other()
    found = await variants.find(KEY, sent(1))
    assert isinstance(found, Copy)
    await variants.drop(found)
    assert [await body_of(variants, foo) for foo in (1, 2)] == [None, b"2"]


async def test_the_first_ones_go_first(variants: Variants) -> None:
    for foo in range(VARIANTS_MAX + 2):
        await variants.keep(KEY, PATH, sent(foo), head("Foo"), b"body")
    kept = [foo for foo in range(VARIANTS_MAX + 2) if await body_of(variants, foo)]
    assert kept == list(range(2, VARIANTS_MAX + 2))


async def test_what_the_last_answer_varies_by_counts(variants: Variants) -> None:
    await variants.keep(KEY, PATH, sent(1), head("Foo"), b"by foo")
    await variants.keep(KEY, PATH, sent(1), head("Bar"), b"by bar")
    assert await body_of(variants, 2) == b"by bar"
    await variants.keep(KEY, PATH, sent(1), head(), b"all")
    assert await body_of(variants, 3) == b"all"
