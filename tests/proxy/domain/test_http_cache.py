from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.domain.http_cache import (
    DISCONNECTED_MOST_S,
    Show,
    Stored,
    Why,
    agrees,
    bears_credentials,
    born,
    conditions,
    freshened,
    is_shareable,
    is_steered,
    is_storable,
    kept_fields,
    lifetime_s,
    passed_fields,
    reuse,
    stands_in,
)
from proxy.domain.http_fields import as_http_date, wanted_of

NOW = 1_000_000_000.0
FOREVER = float("inf")


def stored(cache_control: str = "", status: int = 200, *, at: float = NOW, purged: bool = False, **more: str) -> Stored:
    """Born at `at`, with that Date. Names of header fields are written with underscores."""
    fields = CIMultiDict({"Date": as_http_date(at)} | {name.replace("_", "-"): value for name, value in more.items()})
    if cache_control:
        fields["Cache-Control"] = cache_control
    return Stored(status, fields, at, purged)


def wanted(cache_control: str = "") -> CIMultiDict[str]:
    return CIMultiDict({"Cache-Control": cache_control} if cache_control else {})


# --- age and freshness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "date", "took_s", "age_s"),
    [
        (None, NOW, 0, 0),
        (None, NOW, 3, 3),
        ("30", NOW, 0, 30),
        ("30", NOW, 3, 33),
        ("30", NOW - 100, 3, 100),
        ("30", NOW + 100, 3, 33),
        ("30", None, 3, 33),
        ("99999999999", NOW, 0, NOW),
    ],
)
def test_the_age_is_the_greater_of_what_is_told_and_what_shows(
    age: str | None, date: float | None, took_s: float, age_s: float
) -> None:
    fields: CIMultiDict[str] = CIMultiDict()
    fields.update({"Age": age} if age else {})
    fields.update({"Date": as_http_date(date)} if date else {})
    assert NOW - born(fields, NOW - took_s, NOW) == age_s


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        (stored("max-age=60"), 60),
        (stored("max-age=60, s-maxage=5"), 5),
        (stored("max-age=0, s-maxage=5", Expires=as_http_date(NOW - 9)), 5),
        (stored("max-age=60", Expires=as_http_date(NOW - 9)), 60),
        (stored("max-age=x", Expires=as_http_date(NOW + 9)), 0),
        (stored(Expires=as_http_date(NOW + 9)), 9),
        (stored(Expires=as_http_date(NOW - 9)), 0),
        (stored(Expires="0"), 0),
        (stored(Expires="0", Last_Modified=as_http_date(NOW - 1000)), 0),
        (stored(), 0),
        (stored(Last_Modified=as_http_date(NOW - 1000)), 100),
        (stored(Last_Modified=as_http_date(NOW - 10**8)), 86_400),
        (stored(Last_Modified=as_http_date(NOW + 1000)), 0),
        (stored(status=404, Last_Modified=as_http_date(NOW - 1000)), 100),
        (stored(status=403, Last_Modified=as_http_date(NOW - 1000)), 0),
        (stored("public", 599, Last_Modified=as_http_date(NOW - 1000)), 100),
    ],
)
def test_freshness_is_what_upstream_says_or_a_tenth_of_what_passed_since_the_last_change(
    head: Stored, seconds: float
) -> None:
    assert lifetime_s(head, FOREVER) == seconds
    assert lifetime_s(head, 3) == min(seconds, 3)


def test_two_different_expires_lie_in_the_past() -> None:
    head = stored(Expires=as_http_date(NOW + 9))
    head.fields.add("Expires", as_http_date(NOW + 99))
    assert lifetime_s(head, FOREVER) == 0


# --- what may be stored -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "anonymously", "with_credentials"),
    [
        (stored("max-age=60"), True, False),
        (stored("max-age=60, public"), True, True),
        (stored("s-maxage=60"), True, True),
        (stored("max-age=60, must-revalidate"), True, True),
        (stored("max-age=60, private"), False, False),
        (stored('max-age=60, private="a"'), False, False),
        (stored("max-age=60, public, no-store"), False, False),
        (stored("no-cache"), False, False),
        (stored("max-age=60, no-cache"), False, False),
        (stored("no-cache", ETag='"a"'), True, False),
        (stored('max-age=60, no-cache="a"'), True, False),
        (stored("max-age=0"), False, False),
        (stored("max-age=0", ETag='"a"'), True, False),
        (stored(ETag='"a"'), True, False),
        (stored(), False, False),
        (stored("public", status=201), False, False),
        (stored(status=201, ETag='"a"'), False, False),
        (stored("max-age=60", status=201), True, False),
        (stored("max-age=60", status=599), True, False),
        (stored("max-age=60", status=503), True, False),
        (stored("max-age=60, public", status=206), False, False),
        (stored("max-age=60, public", status=304), False, False),
        (stored("max-age=60, must-understand", status=599), False, False),
        (stored("max-age=60, must-understand, no-store", status=599), False, False),
        (stored("max-age=60, must-understand, no-store"), True, False),
        (stored("max-age=60, public", Vary="*"), False, False),
        (stored("max-age=60, public", Vary="Authorization"), False, False),
        (stored("max-age=60", Vary="Foo"), True, False),
        (stored("max-age=60", Set_Cookie="a=b"), False, False),
        (stored("max-age=60, public", Set_Cookie="a=b"), True, True),
        (stored("max-age=60", Connection="close"), True, False),
        (stored("max-age=60, public", Connection="Cache-Control"), False, False),
        (stored("max-age=60, public", Connection="close, vary"), False, False),
    ],
)
def test_what_may_be_stored(head: Stored, *, anonymously: bool, with_credentials: bool) -> None:
    assert is_storable(head, credentials=False, most_s=FOREVER) is anonymously
    assert is_storable(head, credentials=True, most_s=FOREVER) is with_credentials


DIRECTIVES = st.lists(
    st.sampled_from(
        [
            "max-age=60",
            "max-age=0",
            "s-maxage=60",
            "public",
            "private",
            "no-store",
            "no-cache",
            "must-revalidate",
            "foo",
        ]
    ),
    max_size=5,
).map(", ".join)


@given(DIRECTIVES, st.sampled_from([200, 203, 301, 404, 503, 599]), st.sampled_from(["", "Foo", "Authorization"]))
def test_an_answer_to_somebody_never_becomes_everybodys_unless_upstream_says_so(
    cache_control: str, status: int, vary: str
) -> None:
    head = stored(cache_control, status, ETag='"a"', Vary=vary)
    if is_storable(head, credentials=True, most_s=FOREVER):
        assert any(word in cache_control for word in ("public", "s-maxage", "must-revalidate"))
        assert is_shareable(head.fields)
        assert "private" not in cache_control
        assert vary != "Authorization"
        assert is_storable(head, credentials=False, most_s=FOREVER)


@pytest.mark.parametrize(
    "name", ["Authorization", "Proxy-Authorization", "X-Api-Key", "apikey", "X-Auth-Token", "X-User-Id"]
)
def test_a_field_named_like_a_credential_is_one(name: str) -> None:
    assert bears_credentials(CIMultiDict({name: "1"}))


@pytest.mark.parametrize("name", ["Accept", "Accept-Language", "Range", "X-Requested-With", "Origin", "Referer"])
def test_other_fields_are_none(name: str) -> None:
    assert not bears_credentials(CIMultiDict({name: "1"}))
    assert not is_steered(CIMultiDict({name: "1"}))


def test_a_field_may_steer_a_server_to_another_answer() -> None:
    assert is_steered(CIMultiDict({"X-Original-URL": "/admin"}))
    assert is_steered(CIMultiDict({"x-http-method-override": "DELETE"}))


def test_what_is_of_the_connection_or_of_one_client_is_neither_passed_nor_kept() -> None:
    answer = CIMultiDict(
        [
            ("Connection", "A"),
            ("A", "1"),
            ("B", "2"),
            ("C", "3"),
            ("Set-Cookie", "a=b"),
            ("Age", "5"),
            ("Date", "foo"),
            ("Cache-Control", 'no-cache="c"'),
            ("Content-Encoding", "gzip"),
        ]
    )
    passed = passed_fields(answer, NOW)
    assert set(passed) == {"B", "C", "Age", "Date", "Cache-Control", "Content-Encoding"}
    assert passed["Date"] == as_http_date(NOW)
    assert set(kept_fields(passed)) == set(passed) - {"C", "Age"}


def test_a_304_renews_what_it_says_but_for_what_describes_the_bytes() -> None:
    old = stored("max-age=1", ETag='"a"', Content_Encoding="gzip", A="1", B="2")
    new = CIMultiDict(
        [
            ("Cache-Control", "max-age=9"),
            ("ETag", '"b"'),
            ("Content-Encoding", "br"),
            ("A", "3"),
            ("A", "4"),
            ("Date", ""),
        ]
    )
    head = freshened(old, passed_fields(new, NOW + 5), NOW + 5)
    assert head.fields.getall("A") == ["3", "4"]
    assert [head.fields[name] for name in ("B", "ETag", "Content-Encoding")] == ["2", '"a"', "gzip"]
    assert (head.born, lifetime_s(head, FOREVER)) == (NOW + 5, 9)
    assert old.fields["A"] == "1"


# --- what may be shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "asked", "age_s", "verdict"),
    [
        (stored("max-age=60"), "", 59, Show(59, 1)),
        (stored("max-age=60"), "", 60, Why.STALE),
        (stored("max-age=60"), "no-cache", 1, Why.REQUEST),
        (stored("max-age=60"), "max-age=0", 1, Why.REQUEST),
        (stored("max-age=60"), "max-age=x", 1, Why.REQUEST),
        (stored("max-age=60"), "max-age=30", 30, Show(30, 30)),
        (stored("max-age=60"), "max-age=30", 31, Why.REQUEST),
        (stored("max-age=60"), "min-fresh=30", 30, Show(30, 30)),
        (stored("max-age=60"), "min-fresh=30", 31, Why.REQUEST),
        (stored("max-age=60"), "max-stale=10", 70, Show(70, -10, "max-stale")),
        (stored("max-age=60"), "max-stale=10", 71, Why.STALE),
        (stored("max-age=60"), "max-stale", 10_000, Show(10_000, -9_940, "max-stale")),
        (stored("max-age=60"), "max-stale=x", 70, Why.STALE),
        (stored("max-age=60, must-revalidate"), "max-stale", 70, Why.STALE),
        (stored("max-age=60, proxy-revalidate"), "max-stale", 70, Why.STALE),
        (stored("s-maxage=60"), "max-stale", 70, Why.STALE),
        (stored("max-age=60, no-cache"), "max-stale", 1, Why.STALE),
        (stored("max-age=60", purged=True), "", 1, Why.STALE),
        (stored("max-age=60, stale-while-revalidate=10"), "", 69, Show(69, -9, "stale-while-revalidate")),
        (stored("max-age=60, stale-while-revalidate=10"), "", 70, Why.STALE),
        (stored("max-age=60, stale-while-revalidate=10, must-revalidate"), "", 65, Why.STALE),
        (stored("max-age=60, stale-while-revalidate=10"), "min-fresh=1", 65, Why.STALE),
        (stored("max-age=60"), "", -5, Why.STALE),
    ],
)
def test_what_is_stored_is_shown_while_it_may_be(head: Stored, asked: str, age_s: float, verdict: Show | Why) -> None:
    assert reuse(head, wanted_of(wanted(asked)), NOW + age_s, FOREVER) == verdict


def test_nothing_is_shown_beyond_the_age_that_we_allow() -> None:
    head = stored("max-age=60, stale-while-revalidate=99999, stale-if-error=99999")
    nothing_asked = wanted_of(wanted())
    assert isinstance(reuse(head, nothing_asked, NOW + 99, 100), Show)
    assert reuse(head, wanted_of(wanted("max-stale")), NOW + 100, 100) is Why.STALE
    assert stands_in(head, NOW + 100, 100, None) is None


@pytest.mark.parametrize(
    ("head", "status", "for_s"),
    [
        (stored("max-age=60"), None, DISCONNECTED_MOST_S),
        (stored("max-age=60"), 503, None),
        (stored("max-age=60, stale-if-error=30"), 503, 30),
        (stored("max-age=60, stale-if-error=30"), 502, 30),
        (stored("max-age=60, stale-if-error=30"), None, 30),
        (stored("max-age=60, stale-if-error=30"), 404, None),
        (stored("max-age=60, stale-if-error=30"), 200, None),
        (stored("max-age=60, stale-if-error=30, must-revalidate"), 503, None),
        (stored("max-age=60, proxy-revalidate"), None, None),
        (stored("s-maxage=60"), None, None),
        (stored("max-age=60, no-cache"), None, None),
        (stored("max-age=60", purged=True), None, DISCONNECTED_MOST_S),
    ],
)
def test_it_stands_in_for_an_error_as_far_as_upstream_lets_it(
    head: Stored, status: int | None, for_s: float | None
) -> None:
    if for_s is None:
        assert stands_in(head, NOW + 61, FOREVER, status) is None
    else:
        shown = stands_in(head, NOW + 60 + for_s, FOREVER, status)
        assert shown == Show(60 + for_s, -for_s, "stale-if-error")
        assert stands_in(head, NOW + 61 + for_s, FOREVER, status) is None


REQUESTED = st.lists(st.sampled_from(["max-age=5", "min-fresh=5", "max-stale=5", "no-cache", "foo"]), max_size=3).map(
    ", ".join
)


@given(
    DIRECTIVES,
    REQUESTED,
    st.integers(0, 80) | st.integers(0, 2**31),
    st.floats(0, 10**6),
    st.floats(0, 80) | st.floats(0, 10**6),
    st.floats(0, 10),
)
def test_without_leave_nothing_is_shown_past_its_freshness(
    cache_control: str, asked: str, age: int, received_s: float, later_s: float, took_s: float
) -> None:
    """However old it was when it came, however long it took, whenever it is asked for."""
    received_at = NOW + received_s
    fields = CIMultiDict({"Cache-Control": cache_control, "Age": str(age), "ETag": '"a"'})
    head = Stored(200, fields, born(fields, received_at - took_s, received_at))
    now = received_at + later_s
    verdict = reuse(head, wanted_of(wanted(asked)), now, FOREVER)
    if not isinstance(verdict, Show):
        return
    assert verdict.age_s >= min(age, now) + later_s - 1e-3
    if verdict.detail is None:
        assert verdict.age_s < lifetime_s(head, FOREVER)
    else:
        assert "max-stale" in asked
        assert verdict.age_s <= lifetime_s(head, FOREVER) + 5


def test_it_is_validated_with_what_it_has() -> None:
    assert conditions(stored()) == ()
    changed = as_http_date(NOW)
    head = stored(ETag='W/"a"', Last_Modified=changed)
    assert conditions(head) == (("If-None-Match", 'W/"a"'), ("If-Modified-Since", changed))


@pytest.mark.parametrize(
    ("told", "fits"),
    [
        ({}, True),
        ({"ETag": '"a"', "Content-Length": "5"}, True),
        ({"ETag": '"b"'}, False),
        ({"Content-Length": "6"}, False),
        ({"Last-Modified": as_http_date(NOW)}, False),
    ],
)
def test_the_answer_to_a_head_fits_what_is_stored_or_not(told: dict[str, str], *, fits: bool) -> None:
    assert agrees(stored(ETag='"a"'), CIMultiDict(told), 5) is fits
