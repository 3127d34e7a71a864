"""`./run evaluate` as a person types it, and what the weights that are shipped reach on real labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matcher.ablation import KINDS, is_of
from matcher.domain.scoring import score
from matcher.domain.verdict import JudgedMatch, Thresholds, approved
from matcher.domain.weights import WEIGHTS
from matcher.evaluation import measure, measure_releases
from matcher.labelled import Pair, parse_labelled_release, parse_lines, parse_pair
from matcher.matching import match_release
from proxy.commands.evaluate import LOOK_ALIKES, Weights, table
from tests.conftest import samples
from tests.process import run_command

PAIR = {
    "id": "p1",
    "track": {"artist": "Jay", "title": "Song", "duration_s": 200},
    "candidate": {"title": "Jay - Song", "duration_s": 201, "from_release_videos": True},
    "label": 1,
    "source": "made up",
    "kind": "k",
}
OTHER = PAIR | {"id": "p2", "label": 0, "candidate": {"title": "Kay - Noise", "from_release_videos": False}}


async def test_measures_are_printed_and_a_confidence_is_written_per_line(tmp_path: Path) -> None:
    pairs, scores = tmp_path / "pairs.jsonl", tmp_path / "scores"
    pairs.write_text("".join(f"{json.dumps(each)}\n" for each in (PAIR, OTHER)))
    shown = await run_command("evaluate", str(pairs), "--scores", str(scores), "--errors", "1")
    assert shown.returncode == 0, shown.stderr
    assert "made up" in shown.stdout
    assert "title and duration" in shown.stdout
    likely, unlikely = map(float, scores.read_text().split())
    assert likely > 90
    assert unlikely < 10


async def test_what_a_kind_of_evidence_is_worth_is_told(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    tracks = [{"artist": f"Artist {number}", "title": "Song", "duration_s": 200} for number in range(30)]
    several = [{**each, "track": track} for track in tracks for each in (PAIR, OTHER)]
    pairs.write_text("".join(f"{json.dumps(each)}\n" for each in several))
    shown = await run_command("evaluate", str(pairs), "--ablations")
    assert shown.returncode == 0, shown.stderr
    for kind in ("(nothing)", *KINDS):
        assert f"\n{kind}  " in shown.stdout


def test_all_evidence_that_is_weighed_is_of_some_kind_and_each_kind_has_some() -> None:
    of_no_kind = [name for name in WEIGHTS if not any(is_of(kind, name) for kind in KINDS)]
    assert of_no_kind == ["title words missing"]  # the core of it: without titles nothing is known
    assert all(any(is_of(kind, name) for name in WEIGHTS) for kind in KINDS)


async def test_pairs_of_which_nobody_knows_are_scored_and_counted_in_no_measure(tmp_path: Path) -> None:
    pairs, scores = tmp_path / "pairs.jsonl", tmp_path / "scores"
    unknown = [{name: value for name, value in PAIR.items() if name != "label"}, OTHER | {"label": None}]
    for several, of_all in (([PAIR, OTHER, *unknown], True), (unknown, False)):
        pairs.write_text("".join(f"{json.dumps(each)}\n" for each in several))
        shown = await run_command("evaluate", str(pairs), "--scores", str(scores), "--errors", "1")
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.startswith("2 pairs bear no label: they are scored")
        assert (f"{'all':<18}{2:>6}{1:>6}" in shown.stdout) is of_all
        assert len(scores.read_text().split()) == len(several)
    shown = await run_command("evaluate", str(pairs), "--held-out")
    assert (shown.returncode, "no pair bears a label" in shown.stderr) == (1, True)


async def test_a_line_that_is_none_is_told(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(f"{json.dumps(PAIR)}\nnonsense\n")
    shown = await run_command("evaluate", str(pairs))
    assert shown.returncode == 1
    assert f"{pairs}: line 2: no JSON" in shown.stderr
    assert "Traceback" not in shown.stderr


RELEASE = {
    "release_id": 7,
    "artist": "Jay",
    "title": "Songs",
    "tracklist": [{"index": 0, "position": "A1", "title": "Song", "duration_s": 200, "type": "track"}],
    "videos": [{"title": "Jay - Song", "duration_s": 201}],
    "gold": [{"video": 0, "verdict": "none", "tracks": [], "unsure": []}],
}


async def test_matches_of_releases_that_are_furthest_from_the_truth_are_shown_with_their_reasons(
    tmp_path: Path,
) -> None:
    pairs, releases = tmp_path / "pairs.jsonl", tmp_path / "releases.jsonl"
    pairs.write_text(json.dumps(PAIR))
    releases.write_text(json.dumps(RELEASE))
    shown = await run_command("evaluate", str(pairs), "--releases", str(releases), "--errors", "1")
    assert shown.returncode == 0, shown.stderr
    assert "release 7, A1 [approved] another: " in shown.stdout
    assert "chosen among all of the release" in shown.stdout


async def test_the_reasons_of_what_is_held_out_are_those_that_it_was_scored_by(tmp_path: Path) -> None:
    """There is but one artist: without him nothing is known."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps(PAIR))
    shown = await run_command("evaluate", str(pairs), "--held-out", "--errors", "1")
    assert shown.returncode == 0, shown.stderr
    assert "same: 50.0" in shown.stdout
    assert "title and duration" not in shown.stdout


@pytest.mark.parametrize(("lines", "said"), [("\n", "it has no line"), (json.dumps(PAIR), "tracklist is missing")])
async def test_a_file_without_releases_is_told(tmp_path: Path, lines: str, said: str) -> None:
    pairs, releases = tmp_path / "pairs.jsonl", tmp_path / "releases.jsonl"
    pairs.write_text(json.dumps(PAIR))
    releases.write_text(lines)
    shown = await run_command("evaluate", str(pairs), "--releases", str(releases))
    assert shown.returncode == 1
    assert said in shown.stderr


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    shown = await run_command("evaluate", str(tmp_path / "none"))
    assert shown.returncode == 1
    assert "No such file" in shown.stderr


def test_the_table_of_weights_is_python_that_says_the_same() -> None:
    weights = Weights({"title": 1.5, "full album": -2.0}, {"chosen": 1.0})
    found: dict[str, object] = {}
    exec(table(weights), found)  # noqa: S102 - what we wrote ourselves
    assert (found["WEIGHTS"], found["STANDING"]) == (weights.of_pairs, weights.of_standing)


def test_labelled_pairs_are_told_apart() -> None:
    """Floors somewhat below what was measured, to notice a rule that breaks."""
    with (samples("MATCH_BENCH") / "pairs.jsonl").open("rb") as lines:
        pairs = list(parse_lines(lines, parse_pair))
    sure = [score(each.track, each.candidate, each.release).confidence for each in pairs]

    def f1(wanted: list[Pair]) -> float:
        chosen = [(each.is_match, confidence) for each, confidence in zip(pairs, sure, strict=True) if each in wanted]
        return measure([label for label, _ in chosen], [confidence for _, confidence in chosen], 50).f1

    everything = measure([each.is_match for each in pairs], sure, 50)
    assert everything.f1 > 0.94
    assert everything.average_precision > 0.98
    assert everything.calibration_error < 0.02
    assert f1([each for each in pairs if each.source == "salami"]) > 0.87
    assert f1([each for each in pairs if each.is_match or LOOK_ALIKES.search(each.kind)]) > 0.94


def test_labelled_releases_are_matched() -> None:
    with (samples("MATCH_BENCH") / "releases.jsonl").open("rb") as lines:
        releases = list(parse_lines(lines, parse_labelled_release))
    thresholds = Thresholds(50, 85)
    found = measure_releases(
        [
            (each, [JudgedMatch(m, approved(m, thresholds)) for m in match_release(each.release, each.candidates)])
            for each in releases
        ],
        50,
    )
    assert found.precision > 0.98
    assert found.recall > 0.95
    assert found.calibration_error < 0.03
    assert found.approval_precision > 0.99
    assert found.approval_recall > 0.8
