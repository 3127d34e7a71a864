"""`./run evaluate`: scores labelled pairs and releases, tells how good that is, fits the weights anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import matcher
from matcher.ablation import KINDS, is_of
from matcher.domain import standing
from matcher.domain.evidence import EITHER, FAVOURABLE, evidence
from matcher.domain.scoring import score
from matcher.domain.verdict import JudgedMatch, Thresholds, approved
from matcher.domain.weights import STANDING, WEIGHTS
from matcher.evaluation import measure, measure_releases, told
from matcher.explain import WIDTH, as_lines, clipped, clock
from matcher.fitting import Example, Signs, fit, fold_of
from matcher.labelled import (
    Labelled,
    LabelledRelease,
    MalformedLabels,
    Pair,
    parse_labelled_release,
    parse_lines,
    parse_pair,
)
from matcher.matching import match_release
from matcher.models import Candidate, Score, Track

FOLDS = 10
LOOK_ALIKES = re.compile(
    "same_title|same_song|other_version|version_not|full_album|karaoke|cover_same|other_isrc|live_vs|contains_but"
    "|fingerprint_same_artist"
)
"""Kinds of pairs that are easily taken for matches."""
WEIGHTS_FILE = Path(matcher.__file__).parent / "domain" / "weights.py"

SIGNS = Signs(FAVOURABLE, EITHER)
STANDING_SIGNS = Signs(frozenset({standing.AGREEMENT}), frozenset({standing.CHOSEN}))


@dataclass(frozen=True, slots=True)
class Options:
    """What to evaluate, and what to do beside. A pair counts as accepted from the persistence threshold.

    `held_out`: weights are fitted without the artist of what they score. `ablations`: and without a kind of evidence.
    """

    pairs: Path
    thresholds: Thresholds
    releases: Path | None = None
    scores: Path | None = None
    errors: int = 0
    held_out: bool = False
    refit: bool = False
    ablations: bool = False

    @property
    def threshold(self) -> float:
        return self.thresholds.persistence


@dataclass(frozen=True, slots=True)
class Weights:
    """Of pairs by themselves, and of their standing among those of their release."""

    of_pairs: Mapping[str, float]
    of_standing: Mapping[str, float]


def evaluate(options: Options) -> int:
    """The exit code: 1 where a file cannot be read or written."""
    try:
        pairs = _read(options.pairs, parse_pair)
        releases = _read(options.releases, parse_labelled_release) if options.releases else []
        weights = _weights(pairs, releases, options)
        scores = [score(each.track, each.candidate, each.release, weights(each.artist).of_pairs) for each in pairs]
        if options.scores:
            options.scores.write_text("".join(f"{each.confidence:.4f}\n" for each in scores))
    except (OSError, MalformedLabels) as error:
        print(f"discogs-proxy: {error}", file=sys.stderr)
        return 1
    judged = [(each, _judged(each, weights(each.artist), options.thresholds)) for each in releases]
    _print_all(pairs, scores, judged, options)
    return 0


def _print_all(
    pairs: Sequence[Pair],
    scores: Sequence[Score],
    judged: Sequence[tuple[LabelledRelease, list[JudgedMatch]]],
    options: Options,
) -> None:
    labelled = [each.is_labelled for each in pairs]
    pairs, scores = list(compress(pairs, labelled)), list(compress(scores, labelled))
    if unknown := labelled.count(False):
        print(f"{unknown} pairs bear no label: they are scored, and count in no measure")
    if pairs:
        _print_pairs(pairs, [each.confidence for each in scores], options.threshold)
    if judged:
        _print_releases(judged, options.threshold)
    _print_errors([*_of_pairs(pairs, scores)], options.errors)
    _print_errors([*_of_releases(judged)], options.errors)
    if options.ablations and pairs:
        _print_ablations(pairs, options.threshold)


def _read(path: Path, parse: Callable[[bytes], Labelled]) -> list[Labelled]:
    """Raises OSError, MalformedLabels."""
    try:
        with path.open("rb") as lines:
            found = list(parse_lines(lines, parse))
    except MalformedLabels as error:
        raise MalformedLabels(f"{path}: {error}") from None
    if not found:
        raise MalformedLabels(f"{path}: it has no line")
    return found


# --- weights ------------------------------------------------------------------------------------------------------


def _weights(pairs: Sequence[Pair], releases: Sequence[LabelledRelease], options: Options) -> Callable[[str], Weights]:
    """The weights for what an artist made. Raises OSError, MalformedLabels."""
    if (options.refit or options.held_out) and not any(each.is_labelled for each in pairs):
        raise MalformedLabels("no pair bears a label: there is nothing to fit weights to")
    if options.refit:
        fitted = _fit(pairs, releases)
        WEIGHTS_FILE.write_text(table(fitted))
        print(f"wrote {WEIGHTS_FILE}", file=sys.stderr)
        if not options.held_out:
            return lambda _: fitted
    if not options.held_out:
        return lambda _: Weights(WEIGHTS, STANDING)
    folds = _folds(pairs, releases)
    by_fold = []
    for fold in range(FOLDS):
        print(f"fitting without fold {fold + 1} of {FOLDS}", file=sys.stderr)
        by_fold.append(
            _fit(
                [each for each in pairs if folds[each.artist] != fold],
                [each for each in releases if folds[each.artist] != fold],
            )
        )
    return lambda artist: by_fold[folds[artist]]


def _folds(pairs: Sequence[Pair], releases: Sequence[LabelledRelease]) -> dict[str, int]:
    """By artist."""
    return fold_of(sorted({each.artist for each in pairs} | {each.artist for each in releases}), FOLDS)


def _fit(pairs: Sequence[Pair], releases: Sequence[LabelledRelease]) -> Weights:
    """Of the standing the present weights where there are no releases."""
    of_pairs = fit([_example(each) for each in pairs if each.is_labelled], SIGNS)
    chosen = [example for each in releases for example in _chosen(each, of_pairs)]
    return Weights(of_pairs, fit(chosen, STANDING_SIGNS) if chosen else STANDING)


def _example(pair: Pair, without: str | None = None) -> Example:
    """Without the evidence of a kind."""
    found = evidence(pair.track, pair.candidate, pair.release)
    return Example({name: value for name, value, _ in found if not (without and is_of(without, name))}, pair.is_match)


def _chosen(labelled: LabelledRelease, of_pairs: Mapping[str, float]) -> Iterable[Example]:
    """Of each pair that is chosen: how it stands, and whether it is right."""
    places = {candidate: place for place, candidate in enumerate(labelled.candidates)}
    as_is = {standing.AGREEMENT: 1.0}
    for match in match_release(labelled.release, labelled.candidates, of_pairs, as_is):
        gold = labelled.gold[places[match.candidate]]
        if not gold.is_open(match.track.track_index):
            found = standing.evidence(match.score.confidence, match.standing)
            yield Example(found, match.track.track_index in gold.tracks)


def table(weights: Weights) -> str:
    """The source of matcher/domain/weights.py."""
    parts = (
        '"""What each piece of evidence is worth, in log-odds: written by `./run evaluate --refit`, not by hand."""',
        "from __future__ import annotations",
        _table("WEIGHTS", weights.of_pairs) + '"""Of a pair by itself (evidence.py)."""',
        _table("STANDING", weights.of_standing) + '"""Of a pair among those of its release (standing.py)."""',
    )
    return "\n\n".join(parts) + "\n"


def _table(name: str, weights: Mapping[str, float]) -> str:
    rows = sorted(weights.items(), key=lambda each: (-each[1], each[0]))
    return f"{name}: dict[str, float] = {{\n" + "".join(f'    "{each}": {value:.2f},\n' for each, value in rows) + "}\n"


# --- telling ------------------------------------------------------------------------------------------------------


def _print_pairs(pairs: Sequence[Pair], confidences: Sequence[float], threshold: float) -> None:
    print(
        f"{'pairs':<18}{'n':>6}{'same':>6}{'P':>8}{'R':>8}{'F1':>8}{'AP':>8}{'ECE':>8}   (confidence >= {threshold:g})"
    )
    for source in sorted({each.source for each in pairs}):
        _print_measures(source, *_of(pairs, confidences, [each.source == source for each in pairs]), threshold)
    _print_measures(
        "look-alikes",
        *_of(pairs, confidences, [each.is_match or bool(LOOK_ALIKES.search(each.kind)) for each in pairs]),
        threshold,
    )
    _print_measures("all", *_of(pairs, confidences, [True] * len(pairs)), threshold)


def _of(pairs: Sequence[Pair], confidences: Sequence[float], wanted: Sequence[bool]) -> tuple[list[bool], list[float]]:
    """Labels and confidences of the wanted ones."""
    labels = [each.is_match for each in pairs]
    return list(compress(labels, wanted)), list(compress(confidences, wanted))


def _print_measures(name: str, labels: Sequence[bool], confidences: Sequence[float], threshold: float) -> None:
    found = measure(labels, confidences, threshold)
    if found.matches and found.matches < found.pairs:
        shares = (found.precision, found.recall, found.f1, found.average_precision, found.calibration_error)
        print(f"{name:<18}{found.pairs:>6}{found.matches:>6}" + "".join(f"{share:>8.3f}" for share in shares))
    else:
        accepted = sum(each >= threshold for each in confidences)
        print(f"{name:<18}{found.pairs:>6}{found.matches:>6}   accepted: {accepted}")


def _print_releases(judged: Sequence[tuple[LabelledRelease, list[JudgedMatch]]], threshold: float) -> None:
    found = measure_releases(judged, threshold)
    print(
        f"\nreleases {len(judged)}: of {found.assigned} tracks that were given a candidate "
        f"{found.precision:.3f} right, of {found.to_find} that have one {found.recall:.3f} found, "
        f"ECE {found.calibration_error:.3f}\n"
        f"approved without a person: {found.approved}, {found.approval_precision:.3f} right, "
        f"{found.approval_recall:.3f} of those that have one\n"
        f"persisted: {found.persisted} of {found.to_persist}, {found.persistence_precision:.3f} with a right match"
    )


def _judged(labelled: LabelledRelease, weights: Weights, thresholds: Thresholds) -> list[JudgedMatch]:
    matches = match_release(labelled.release, labelled.candidates, weights.of_pairs, weights.of_standing)
    return [JudgedMatch(each, approved(each, thresholds)) for each in matches]


@dataclass(frozen=True, slots=True)
class Scored:
    """A labelled pair, or a match of a labelled release, as it was evaluated. `name`: where it is from."""

    name: str
    is_match: bool
    track: Track
    candidate: Candidate
    score: Score

    @property
    def apart(self) -> float:
        """How far the confidence is from the truth."""
        return abs(self.score.confidence / 100 - self.is_match)


def _of_pairs(pairs: Sequence[Pair], scores: Sequence[Score]) -> Iterator[Scored]:
    for pair, found in zip(pairs, scores, strict=True):
        name = f"{pair.pair_id} [{pair.source}, {pair.kind}]"
        yield Scored(name, pair.is_match, pair.track, pair.candidate, found)


def _of_releases(judged: Sequence[tuple[LabelledRelease, list[JudgedMatch]]]) -> Iterator[Scored]:
    for labelled, matches in judged:
        for each, _, is_right in told(labelled, matches):
            match, where = each.match, "approved" if each.approved else "not approved"
            name = f"release {labelled.release.release_id}, {match.track.position or match.track.place} [{where}]"
            track = replace(match.track, artists=match.track.artists or labelled.release.artists)
            yield Scored(name, is_right, track, match.candidate, match.score)


def _print_errors(scored: Sequence[Scored], count: int) -> None:
    """Those whose confidence is furthest from the truth."""
    for each in sorted(scored, key=lambda each: -each.apart)[:count]:
        track, candidate = each.track, each.candidate
        wanted = clipped(f"{', '.join(track.artists)} - {track.title}", WIDTH)
        print(f"\n{each.name} {'same' if each.is_match else 'another'}: {each.score.confidence:.1f}")
        print(f"  {wanted}  [{clock(track.duration_s)}]")
        print(f"  {clipped(candidate.title, WIDTH)}  [{clock(candidate.duration_s)}]")
        print("\n".join(as_lines(each.score.reasons)))


def _print_ablations(pairs: Sequence[Pair], threshold: float) -> None:
    """How good confidences of unknown artists are where a kind of evidence is left out of the fit."""
    sources = sorted({each.source for each in pairs if each.is_match})
    of_sources = "".join(f"{source:>14}" for source in sources)
    print(f"\n{'held out, and without':<30}{'F1':>8}{'AP':>8}{'ECE':>8}{of_sources}  (F1)")
    for kind in (None, *KINDS):
        print(f"fitting without {kind or 'an artist alone'}", file=sys.stderr)
        confidences = _held_out_confidences(pairs, kind)
        found = measure([each.is_match for each in pairs], confidences, threshold)
        of_sources = "".join(
            f"{measure(*_of(pairs, confidences, [each.source == source for each in pairs]), threshold).f1:>14.3f}"
            for source in sources
        )
        shares = (found.f1, found.average_precision, found.calibration_error)
        print(f"{kind or '(nothing)':<30}" + "".join(f"{share:>8.3f}" for share in shares) + of_sources, flush=True)


def _held_out_confidences(pairs: Sequence[Pair], without: str | None) -> list[float]:
    folds, examples = _folds(pairs, ()), [_example(each, without) for each in pairs]
    by_fold = [
        fit([each for each, pair in zip(examples, pairs, strict=True) if folds[pair.artist] != fold], SIGNS)
        for fold in range(FOLDS)
    ]
    return [score(each.track, each.candidate, each.release, by_fold[folds[each.artist]]).confidence for each in pairs]
