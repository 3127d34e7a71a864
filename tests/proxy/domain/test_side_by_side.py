from __future__ import annotations

import pytest

from proxy.domain.side_by_side import durations, marked, waits_for, whys


@pytest.mark.parametrize(
    ("text", "others", "differing"),
    [
        ("Blue Monday", ["New Order - Blue Monday"], []),
        ("New Order - Blue Monday (Live 1984)", ["Blue Monday", "New Order"], ["(Live", "1984)"]),
        ("Ænima", ["Aenima"], []),
        ("Pt. II", ["Part 2"], []),
        ("Color", ["Colour"], []),
        ("A B", [], ["A", "B"]),
        ("", ["x"], []),
    ],
)
def test_words_that_the_other_side_does_not_say_are_marked(text: str, others: list[str], differing: list[str]) -> None:
    words = marked(text, others)
    assert " ".join(word.text for word in words) == text
    assert [word.text for word in words if word.differs] == differing


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (245, 245, ("4:05", "4:05", "equally long", False)),
        (245, 252, ("4:05", "4:12", "+7 s", True)),
        (245, 243, ("4:05", "4:03", "−2 s", False)),
        (245, 3723, ("4:05", "1:02:03", "57:58 longer", True)),
        (245, 65, ("4:05", "1:05", "3:00 shorter", True)),
        (None, 65, (None, "1:05", "cannot be compared", False)),
    ],
)
def test_durations_are_told_with_their_difference(ours: float | None, theirs: float, told: tuple[object, ...]) -> None:
    found = durations(ours, theirs)
    assert (found.ours, found.theirs, found.told, found.is_far) == told


def test_that_a_duration_is_not_known_is_no_praise() -> None:
    (told,) = whys([{"name": "duration unknown", "weight": 2.35, "detail": ""}])
    assert (told.text, told.speaks_for) == ("no duration speaks against it, as one is not known", True)


def test_reasons_are_told_in_words_the_weightiest_first() -> None:
    found = whys(
        [
            {"name": "duration near (search)", "weight": 0.5, "detail": "+2 s"},
            {"name": "unchecked: another mix", "weight": -2.5, "detail": ""},
            {"name": "title", "weight": 0.01, "detail": ""},
            {"name": 5, "weight": "x"},
            "nonsense",
        ]
    )
    assert [(each.text, each.strength, each.speaks_for) for each in found] == [
        ("without a duration to check it by: another mix", "strongly", False),
        ("duration near", "slightly", True),
    ]
    assert whys("nonsense") == []


ATTACHED = {"name": "attached to the release", "weight": -0.5, "detail": ""}
AGREES = {"name": "title and duration", "weight": 2.5, "detail": ""}
LACKS = {"name": "version missing", "weight": -1.0, "detail": "live"}


@pytest.mark.parametrize(
    ("confidence", "reasons", "ours", "theirs", "told"),
    [
        (84.9, [AGREES], 200, 200, "less than 85 % sure"),
        (99.0, [AGREES, LACKS], 200, 200, "version missing: live"),
        (99.0, [AGREES], 200, 211, "the durations are far apart"),
        (99.0, [AGREES], None, 211, "a duration is not known"),
        (99.0, [AGREES, ATTACHED], None, 211, "it fits another track of the release nearly as well"),
        (94.0, [AGREES, ATTACHED], None, 211, "a duration is not known"),
        (99.0, [AGREES], 200, 210, "it fits another track of the release nearly as well"),
        (99.0, [], 200, 200, None),
        (None, [AGREES], 200, 200, None),
    ],
)
def test_what_keeps_a_match_from_being_approved_by_itself_is_told(
    confidence: float | None, reasons: list[object], ours: float | None, theirs: float | None, told: str | None
) -> None:
    assert waits_for(confidence, reasons, ours, theirs, approval=85) == told
