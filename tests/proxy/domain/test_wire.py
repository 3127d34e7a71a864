from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.wire import (
    BrokenBody,
    TooLong,
    Unpacker,
    append_members,
    decode_json,
    encode_json,
    headers_for_client,
    headers_for_upstream,
    rewrite_origins,
    rewrite_own_json,
    split_jsonp,
)

DISCOGS = ("https://api.discogs.com",)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def test_hop_by_hop_headers_stay_on_their_hop() -> None:
    sent = [
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Accept", "application/json"),
        ("If-Modified-Since", "x"),
    ]
    assert headers_for_upstream(sent) == [("Accept", "application/json"), ("If-Modified-Since", "x")]


def test_what_discogs_must_not_hear_is_not_sent() -> None:
    names = ["Cookie", "Authorization", "Private-Auth-Secret", "Discogs-UID", "X-Forwarded-For", "Host", "User-Agent"]
    assert headers_for_upstream([(name, "x") for name in names]) == []


def test_what_discogs_says_of_its_own_host_is_not_repeated() -> None:
    names = ["Set-Cookie", "Strict-Transport-Security", "Alt-Svc", "CF-RAY", "X-Discogs-Ratelimit-Used", "Server"]
    kept = [("X-Discogs-Media-Type", "discogs.v2"), ("Link", "<x>")]
    assert headers_for_client([(name, "x") for name in names] + kept) == kept


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        (b'{"u": "https://api.discogs.com/releases/1"}', b'{"u": "http://shop/releases/1"}'),
        (b'"https://api.discogs.com"', b'"http://shop"'),
        (b'"https:\\/\\/api.discogs.com\\/x"', b'"http:\\/\\/shop\\/x"'),
        (b'"https://api.discogs.com?x"', b'"http://shop?x"'),
        (b'"https://api.discogs.com.evil.example/x"', None),
        (b'"https://api.discogs.com:444/x"', None),
        (b'"https://api.discogs.community/x"', None),
        (b'"https://www.discogs.com/release/1"', None),
        (b'"http://api.discogs.com/x"', None),
    ],
)
def test_whole_origins_are_rewritten_and_nothing_else(text: bytes, rewritten: bytes | None) -> None:
    assert rewrite_origins(text, DISCOGS, "http://shop") == (rewritten or text)
    if b"\\/" not in text:
        assert rewrite_own_json(text, DISCOGS, "http://shop") == (rewritten or text)


@given(json_values, json_values)
def test_members_are_added_at_the_end_and_nothing_else_changes(inner: object, added: object) -> None:
    original = json.dumps({"a": inner}, ensure_ascii=True, indent=1).encode()
    grown = append_members(original, {"z": added})
    assert grown.startswith(original.rstrip().removesuffix(b"}").rstrip())
    assert json.loads(grown) == {"a": inner, "z": json.loads(encode_json(added))}


def test_members_are_added_to_an_empty_object() -> None:
    assert append_members(b" { } ", {"a": 1}) == b' {"a":1}'


@given(json_values)
def test_json_comes_back_as_it_was(value: object) -> None:
    assert decode_json(encode_json(value)) == value


def test_a_lone_surrogate_survives() -> None:
    body = b'{"comments": "\\ud83d"}'
    assert json.loads(encode_json(decode_json(body))) == json.loads(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": ', b"\xff\xfe", b"[1,]"])
def test_what_is_not_json_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenBody):
        decode_json(body)


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_gzip_is_unpacked_piece_by_piece(body: bytes, step: int) -> None:
    packed = gzip.compress(body)
    unpacker = Unpacker("gzip", limit=2000)
    for start in range(0, len(packed), step):
        unpacker.feed(packed[start : start + step])
    assert unpacker.finish() == body


def test_a_bomb_stops_at_the_limit() -> None:
    unpacker = Unpacker("gzip", limit=1000)
    with pytest.raises(TooLong):
        unpacker.feed(gzip.compress(bytes(50_000_000)))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_cut_short_is_broken(coding: str) -> None:
    packed = (gzip.compress if coding == "gzip" else zlib.compress)(b"x" * 1000)
    unpacker = Unpacker(coding, limit=2000)
    unpacker.feed(packed[:-4])
    with pytest.raises(BrokenBody, match="ended too early"):
        unpacker.finish()


def test_garbage_is_not_gzip() -> None:
    with pytest.raises(BrokenBody):
        Unpacker("gzip", limit=10).feed(b"<html>")


def test_a_coding_that_was_not_asked_for_is_broken() -> None:
    with pytest.raises(BrokenBody, match="br"):
        Unpacker("br", limit=10)


def test_jsonp_is_taken_apart() -> None:
    assert split_jsonp(b'cb({"a": ")"});') == (b"cb", b'{"a": ")"}')
    with pytest.raises(BrokenBody):
        split_jsonp(b"<html>")
