from __future__ import annotations

import pytest

from matcher.gathering import Told
from proxy.services.failing_providers import FailingProviders


@pytest.mark.parametrize(
    ("later", "fails"),
    [
        (Told.BROKEN, True),
        (Told.THROTTLED, False),
        (Told.SKIPPED, False),
        (Told.GIVEN_UP, False),
        (Told.FOUND, False),
        (Told.NOTHING, False),
    ],
)
def test_only_what_breaks_counts(later: Told, *, fails: bool) -> None:
    now = 0.0
    providers = FailingProviders(lambda: now)
    providers.told([("deezer", Told.BROKEN)] * 2)
    now = 700.0
    providers.told([("deezer", later)])
    assert ("providers" in providers.troubles()) == fails


@pytest.mark.parametrize(
    ("meanwhile", "fails"), [(Told.THROTTLED, True), (Told.SKIPPED, True), (Told.FOUND, False), (Told.NOTHING, False)]
)
def test_only_an_answer_ends_it(meanwhile: Told, *, fails: bool) -> None:
    now = 0.0
    providers = FailingProviders(lambda: now)
    providers.told([("deezer", Told.BROKEN)] * 2)
    now = 700.0
    providers.told([("deezer", Told.BROKEN), ("deezer", meanwhile)])
    assert ("providers" in providers.troubles()) == fails
