from __future__ import annotations

import pytest

from matcher.domain.answers import packed, unpacked
from matcher.models import Candidate

ANSWERS = {
    "one": (
        Candidate("one", "youtube", "u", "Ä \0 \ud800 🎧", 361.5, artist="x", told_at=1_767_323_045.123456),
        Candidate("one", "deezer", "v", ""),
    ),
    "none": (),
}


def test_answers_come_back_as_they_were() -> None:
    assert unpacked(packed("f", ANSWERS), "f") == ANSWERS


def test_answers_to_another_tracklist_are_of_no_use() -> None:
    assert unpacked(packed("f", ANSWERS), "g") == {}


@pytest.mark.parametrize("kept", [None, b"", b"\xff", b"[]", b'["f", 7]', b'["f", {"a": [{"colour": 1}]}]'])
def test_what_another_version_kept_is_asked_for_again(kept: bytes | None) -> None:
    assert unpacked(kept, "f") == {}


def test_too_much_is_not_kept() -> None:
    assert packed("f", {"one": [Candidate("one", "p", "u", "x" * 500)] * 500}) is None
