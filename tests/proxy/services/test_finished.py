from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.credentials import Caller, Tier
from proxy.domain.policy import Decision, Source
from proxy.domain.request import Reuse, Served, ShopRequest
from proxy.domain.resources import resource_of
from proxy.domain.visibility import Ask, Using
from proxy.services import finished
from proxy.services.finished import Finished, FinishedAnswers, finish

START = datetime(2026, 1, 1, tzinfo=UTC)
PATH = "/releases/7"


def asked(path: str = PATH, query: str = "", **given: object) -> ShopRequest:
    request = ShopRequest(
        method="GET",
        raw_path=path,
        raw_query=query,
        resource=resource_of(path),
        caller=Caller(Tier.PUBLIC),
        ask=Ask(Using.NOBODY),
        headers=(),
        public_origin="http://proxy",
    )
    return replace(request, **given)  # type: ignore[arg-type]


def made(body: bytes = b"{}") -> Finished:
    return Finished(200, (), body, '"tag"')


def reuse(*release_ids: int, seconds: float = 60) -> Reuse:
    return Reuse(START, START + timedelta(seconds=seconds), frozenset(release_ids))


class Kept(FinishedAnswers):
    """With changes that are heard, and a clock that stands still."""

    def __init__(self, bytes_max: int = finished.BYTES_MAX) -> None:
        self.heard, self.time = True, START
        super().__init__(lambda: self.heard, lambda: self.time, bytes_max)

    @property
    def size(self) -> int:
        return self._bytes

    def has(self, request: ShopRequest) -> bool:
        return self.find(request) is not None


def test_an_equal_request_gets_the_same_bytes_as_a_hit() -> None:
    kept = Kept()
    kept.keep(asked(), made(b"[1]"), reuse(), kept.begin())
    kept.time += timedelta(seconds=20)
    found = kept.find(asked())
    assert found is not None
    assert found.answer.body == b"[1]"
    assert found.decision == Decision(Source.HIT, age_s=20, ttl_s=40)
    assert kept.has(asked(method="HEAD"))


@pytest.mark.parametrize(
    "other",
    [
        asked("/releases/8"),
        asked(query="curr_abbr=EUR"),
        asked(public_origin="https://elsewhere"),
        asked(ask=Ask(Using.OPERATOR, strip=True)),
        asked(ask=Ask(Using.CALLER)),
        asked(caller=Caller(Tier.IDENTIFIED)),
        asked(headers=(("Accept", "application/vnd.discogs.v2.html+json"),)),
        asked(method="POST"),
    ],
)
def test_a_request_that_differs_does_not(other: ShopRequest) -> None:
    kept = Kept()
    kept.keep(asked(), made(), reuse(), kept.begin())
    assert not kept.has(other)


@pytest.mark.parametrize(
    "request_",
    [
        asked(ask=Ask(Using.CALLER)),
        asked(method="POST"),
        asked(query="token=secret", caller=Caller(Tier.IDENTIFIED, query_credentials=True)),
    ],
)
def test_what_is_one_callers_is_not_kept(request_: ShopRequest) -> None:
    kept = Kept()
    kept.keep(request_, made(), reuse(), kept.begin())
    assert not kept.has(request_)


def test_nothing_is_answered_beyond_its_freshness_or_from_the_future() -> None:
    for passed in (60, -1):
        kept = Kept()
        kept.keep(asked(), made(), reuse(), kept.begin())
        kept.time += timedelta(seconds=passed)
        assert not kept.has(asked())


def test_nothing_is_answered_while_changes_are_not_heard() -> None:
    kept = Kept()
    kept.keep(asked(), made(), reuse(), kept.begin())
    kept.heard = False
    assert not kept.has(asked())


def test_a_change_drops_what_it_concerns_and_nothing_else() -> None:
    kept = Kept()
    for path, release_ids in ((PATH, [7]), ("/releases/8", [8]), ("/users/a/inventory", [7, 8]), ("/masters/1", [])):
        kept.keep(asked(path), made(), reuse(*release_ids), kept.begin())
    kept.drop_release(7)
    assert [kept.has(asked(path)) for path in (PATH, "/releases/8", "/users/a/inventory", "/masters/1")] == [
        False,
        True,
        False,
        True,
    ]
    kept.drop_path("/Masters")
    assert not kept.has(asked("/masters/1"))
    kept.drop_all()
    assert not kept.has(asked("/releases/8"))


def test_the_least_recently_used_go_first() -> None:
    one = Kept()
    one.keep(asked("/releases/1"), made(), reuse(), one.begin())
    kept = Kept(bytes_max=3 * one.size)
    paths = [f"/releases/{number}" for number in range(1, 5)]
    for path in paths[:3]:
        kept.keep(asked(path), made(), reuse(), kept.begin())
    assert kept.has(asked(paths[0]))
    kept.keep(asked(paths[3]), made(), reuse(), kept.begin())
    assert [kept.has(asked(path)) for path in paths] == [True, False, True, True]


async def test_a_body_is_packed_once_if_that_pays() -> None:
    long = Served(200, (("Content-Type", "application/json"),), b"[" + b"1," * 2000 + b"1]", Decision(Source.MISS))
    found = await finish(long, pack=True)
    assert found.packed is not None
    assert gzip.decompress(found.packed) == long.body
    assert (await finish(long, pack=False)).packed is None
    assert (await finish(replace(long, body=b"{}"), pack=True)).packed is None


async def test_only_a_good_answer_has_a_tag() -> None:
    assert (await finish(Served(200, (), b"{}", Decision(Source.MISS)), pack=False)).tag
    assert (await finish(Served(404, (), b"{}", Decision(Source.MISS)), pack=False)).tag is None


def test_what_clients_choose_the_length_of_counts_too() -> None:
    kept = Kept()
    kept.keep(asked(query="min_confidence=1" + "0" * 1000), made(), reuse(), kept.begin())
    assert kept.size > 5000
    long = asked(query="min_confidence=1" + "0" * 5000)
    kept.keep(long, made(), reuse(), kept.begin())
    assert not kept.has(long)
    kept.drop_all()
    assert kept.size == 0


CHANGES = st.sampled_from(["release", "other release", "path", "other path", "all"])


@given(st.lists(CHANGES, max_size=6), st.lists(CHANGES, max_size=6))
def test_an_answer_begun_before_a_change_of_its_parts_is_not_kept_after_it(
    before: list[str], during: list[str]
) -> None:
    kept = Kept()
    change = {
        "release": lambda: kept.drop_release(7),
        "other release": lambda: kept.drop_release(8),
        "path": lambda: kept.drop_path(PATH),
        "other path": lambda: kept.drop_path("/masters/1"),
        "all": kept.drop_all,
    }
    for each in before:
        change[each]()
    begun = kept.begin()
    for each in during:
        change[each]()
    kept.keep(asked(), made(), reuse(7), begun)
    if {"release", "path", "all"} & set(during):
        assert not kept.has(asked())
    if set(during) <= {"other release"}:
        assert kept.has(asked())


def test_changes_beyond_those_remembered_count_as_of_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "CHANGES_KEPT", 2)
    kept = Kept()
    begun = kept.begin()
    for release_id in (7, 8, 9):
        kept.drop_release(release_id)
    kept.keep(asked(), made(), reuse(7), begun)
    assert not kept.has(asked())
