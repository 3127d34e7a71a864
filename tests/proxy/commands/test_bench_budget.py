from __future__ import annotations

from proxy.commands.bench_budget import NAMES, Asked, Story, figures


def test_what_a_crowd_saw_is_told_in_figures() -> None:
    at_once = [[Asked(0.4, 0.4, 200, None)], [Asked(0.6, 0.6, 200, None)]]
    again = [[Asked(10.0, 10.0, 429, 50), Asked(61.0, 1.0, 200, None)], [Asked(10.1, 10.1, 429, 51)] * 5]
    told = dict(zip(NAMES, figures(Story([*at_once, *again], 58, 1)), strict=True))
    assert told["calls to Discogs in the first 60 s"] == "58"
    assert told["answered at the first try"] == told["refused at the first try"] == "2"
    assert told["  after s, soonest"] == "10.00"
    assert told["  Retry-After s, longest"] == "51"
    assert told["answered at the second try, when told to come"] == "1"
    assert told["never answered"] == "1"
    assert told["the last answer after s"] == "61"
