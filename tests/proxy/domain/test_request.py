from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.request import split_target
from proxy.errors import BadRequest


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/releases/1?a=b%20c", ("/releases/1", "a=b%20c")),
        ("http://api.discogs.com/releases/1?a", ("/releases/1", "a")),
        ("HTTPS://evil.example", ("/", "")),
        ("//evil.example/x", ("//evil.example/x", "")),
        ("/a#b", ("/a", "")),
        ("/ü b", ("/%C3%BC%20b", "")),
        ("/\udcff", ("/%FF", "")),
    ],
)
def test_a_target_is_path_and_query(target: str, parts: tuple[str, str]) -> None:
    assert split_target(target) == parts


@pytest.mark.parametrize("target", ["*", "@evil.example/", "evil.example:443", "", ".evil.example/"])
def test_what_would_name_another_host_is_refused(target: str) -> None:
    with pytest.raises(BadRequest):
        split_target(target)


@given(st.text())
def test_what_is_sent_upstream_is_a_path_in_plain_ascii(target: str) -> None:
    try:
        path, query = split_target(target)
    except BadRequest:
        return
    assert path.startswith("/")
    assert (path + query).isascii()
    assert not set(path + query) & set(" \r\n\t\0")
