from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.domain.http_fields import (
    DELTA_MAX_S,
    VARY_MAX,
    age_value_s,
    as_http_date,
    directives,
    http_date,
    variant,
    vary_names,
    wanted_of,
)


def fields(*pairs: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(pairs)


def said(*lines: str) -> CIMultiDict[str]:
    return CIMultiDict(("Cache-Control", line) for line in lines)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("max-age=60", 60),
        ("MaX-AgE=60", 60),
        ('max-age="60"', 60),
        ("max-age=0060", 60),
        ("no-transform, max-age=60", 60),
        ("public", None),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=-60", 0),
        ("max-age=60.0", 0),
        ("max-age='60'", 0),
        ("max-age=60s", 0),
        ("max-age= 60", 0),
        ("max-age=٦٠", 0),
        ("max-age=60, max-age=10", 10),
        ("max-age=10, max-age=60", 10),
        ("max-age=60, max-age=x", 0),
        ("max-age=99999999999", DELTA_MAX_S),
        ("max-age=" + "9" * 5000, DELTA_MAX_S),
        ('extension="max-age=60"', None),
        ('extension="\\"max-age=60", max-age=10', 10),
    ],
)
def test_seconds_are_read_as_the_stricter_of_what_they_could_be(line: str, seconds: float | None) -> None:
    assert directives(said(line)).seconds("max-age") == seconds


def test_lines_are_one_list() -> None:
    found = directives(said("public", "max-age=1"))
    assert "public" in found
    assert found.seconds("max-age") == 1


@pytest.mark.parametrize("line", ['max-age=60, a="', 'a="b, max-age=60', '"', 'a="\\"'])
def test_behind_an_open_quote_anything_could_stand(line: str) -> None:
    assert "no-store" in directives(said(line))


def test_a_directive_may_be_limited_to_fields() -> None:
    found = directives(said('no-cache="Set-Cookie, X-A", max-age=1'))
    assert found.fields("no-cache") == {"set-cookie", "x-a"}
    assert not found.bare("no-cache")
    assert directives(said('no-cache="a", no-cache')).bare("no-cache")


@pytest.mark.parametrize(
    ("sent", "forces"),
    [
        (fields(("Pragma", "no-cache")), True),
        (fields(("Pragma", "foo")), False),
        (fields(("Pragma", "no-cache"), ("Cache-Control", "max-age=5")), False),
        (fields(("Cache-Control", "no-cache")), True),
    ],
)
def test_pragma_counts_where_nothing_else_is_said(sent: CIMultiDict[str], *, forces: bool) -> None:
    assert ("no-cache" in wanted_of(sent)) is forces


@pytest.mark.parametrize(
    ("values", "seconds"),
    [(["60"], 60), (["60, 0"], 60), (["0, 60"], 0), (["60", "0"], 60), (["abc"], 0), (["-1"], 0), ([], 0)],
)
def test_the_first_age_counts_and_what_is_none_is_ignored(values: list[str], seconds: float) -> None:
    assert age_value_s(fields(*(("Age", value) for value in values))) == seconds


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date_are_read(text: str) -> None:
    assert http_date(text) == 784111777


@pytest.mark.parametrize(
    "text", [None, "", "0", "foo", "Sun, 06 Nov 1994 08:49:37 AEST", "Sun, 99 Nov 1994 08:49:37 GMT"]
)
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert http_date(text) is None


@given(st.integers(0, 253_402_300_799))
def test_a_date_that_is_written_is_read_again(at: int) -> None:
    assert http_date(as_http_date(at)) == at


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], ()),
        ([""], ()),
        (["Foo"], ("foo",)),
        (["Foo, Bar", "foo"], ("bar", "foo")),
        (["*"], None),
        ([", *"], None),
        (["Foo", "*"], None),
        (["Authorization"], None),
        (["Cookie, Accept"], None),
        ([", ".join(f"f{number}" for number in range(VARY_MAX))], tuple(sorted(f"f{n}" for n in range(VARY_MAX)))),
        ([", ".join(f"f{number}" for number in range(VARY_MAX + 1))], None),
    ],
)
def test_vary_is_a_list_of_names(values: list[str], names: tuple[str, ...] | None) -> None:
    assert vary_names(fields(*(("Vary", value) for value in values))) == names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (fields(("Foo", "1, 2")), fields(("Foo", "1"), ("Foo", "2")), True),
        (fields(("Foo", "1,2")), fields(("foo", " 1 , 2 ")), True),
        (fields(("Foo", "1")), fields(("Foo", "2")), False),
        (fields(("Foo", "a")), fields(("Foo", "A")), False),
        (fields(("Foo", "")), fields(), False),
        (fields(("Foo", "1"), ("Bar", "2")), fields(("Foo", "1"), ("Bar", "3")), True),
        (fields(), fields(), True),
    ],
)
def test_variants_differ_by_the_named_fields_alone(
    one: CIMultiDict[str], other: CIMultiDict[str], *, same: bool
) -> None:
    assert (variant(["foo"], one) == variant(["foo"], other)) is same


def test_languages_have_no_case() -> None:
    names = ["accept-language"]
    assert variant(names, fields(("Accept-Language", "en, De"))) == variant(names, fields(("Accept-Language", "EN,de")))


TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\0\r\n"), max_size=8)


@given(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=3))
def test_fields_never_run_into_each_other(one: list[str], other: list[str]) -> None:
    """What belongs to one field is never taken for what belongs to the next."""
    sent = [
        CIMultiDict([*(("a", value) for value in a), *(("b", value) for value in b)])
        for a, b in ((one, other), (other, one))
    ]
    normal = [
        [",".join(part.strip() for value in values for part in value.split(",")) for values in (a, b)]
        for a, b in ((one, other), (other, one))
    ]
    present = [(bool(a), bool(b)) for a, b in ((one, other), (other, one))]
    same = normal[0] == normal[1] and present[0] == present[1]
    assert (variant(["a", "b"], sent[0]) == variant(["a", "b"], sent[1])) is same
