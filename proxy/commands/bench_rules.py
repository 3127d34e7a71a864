"""The rules of `./run bench`, measured in this process: what a decision costs, and the score of a candidate."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from matcher.domain.scoring import score
from matcher.matching import Matching, match_release
from matcher.models import Candidate, Release, Track
from proxy.domain.budget import Budget, Lane, Queue
from proxy.domain.credentials import caller_of
from proxy.domain.lifetimes import HOUR_S, lifetime
from proxy.domain.resources import resource_of
from proxy.domain.visibility import OperatorCredential, Refuse, plan

ROUND = 1000
OPERATOR = OperatorCredential("Discogs key=k, secret=s", identifies=False)
QUERY = "status=For+Sale&sort=listed&per_page=100"


def microseconds(work: Callable[[int], object], seconds: float) -> float:
    """Of one call of `work`, which is told a number that is new each time."""
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds or not done:
        for number in range(done, done + ROUND):
            work(number)
        done += ROUND
    return passed / done * 1_000_000


def decide() -> Callable[[int], object]:
    """All that is decided of one request: who asks for what, how it is asked for, what a copy is good for."""

    def one(number: int) -> object:
        resource = resource_of(f"/users/store_{number}/inventory")
        caller = caller_of(["Discogs token=of-somebody"] if number % 2 else [], QUERY, OPERATOR.token)
        decided = plan("GET", resource, caller, OPERATOR, QUERY)
        life = lifetime(200, "", HOUR_S, f"key {number}", 6 * HOUR_S)
        if isinstance(decided, Refuse) or life is None:
            raise AssertionError("a plain request is neither refused nor unkept")
        return life.use(number % 30_000)

    return one


def admit() -> Callable[[int], object]:
    """One call's way through the budget, with 60 calls in the last minute and every lane at work."""
    budget, waiting = Budget.starting(60), {Queue(lane, identified=True) for lane in Lane}

    def one(number: int) -> object:
        now = float(number)
        queue = budget.admit(waiting, now)
        if isinstance(queue, Queue):
            budget.release(budget.take(queue, now), now)
        return queue

    return one


def score_one() -> Callable[[int], object]:
    """Distinct titles, so that nothing is answered from a cache of parsed ones."""
    draw = random.Random(1)  # noqa: S311 - not for secrets
    words = ("love", "night", "harbour", "signal", "deep", "blue", "radio", "edit", "remix", "live", "dub", "light")
    release = Release(1, "Harbour Lights", ("The Tidal Club",), ("Quay",), ("Vinyl",), 1994, ())
    pairs = []
    for number in range(2000):
        title = " ".join(draw.sample(words, 3)) + f" {number}"
        track = Track(0, None, "A1", title, (), 300)
        candidate = Candidate(
            "discogs_videos", "youtube", "https://x", f"The Tidal Club - {title} (Original Mix)", 303, attached=True
        )
        pairs.append((track, candidate))

    def one(number: int) -> object:
        track, candidate = pairs[number % len(pairs)]
        return score(track, candidate, release)

    return one


BOX_SET_TRACKS, BOX_SET_CANDIDATES, BOX_SET_PROVIDERS = 100, 100, 5


def box_set() -> None:
    """Prints what a release costs that is matched anew after each provider, as the processor's time."""
    draw = random.Random(1)  # noqa: S311 - not for secrets
    words = ("love", "night", "harbour", "signal", "deep", "blue", "radio", "light", "river", "golden", "fire", "echo")
    tracks = [
        Track(number, None, str(number), " ".join(draw.sample(words, 3)), (), draw.randint(120, 500))
        for number in range(BOX_SET_TRACKS)
    ]
    candidates = []
    for number, track in enumerate(draw.choices(tracks, k=BOX_SET_CANDIDATES)):
        title = track.title + draw.choice(("", "", "", " (Live)", " (Extended Mix)"))
        seconds = (track.duration_s or 0) + draw.randint(-8, 8)
        candidates.append(Candidate("deezer", "deezer", f"https://www.deezer.com/track/{number}", title, seconds))
    release = Release(1, "Harbour Lights", ("The Tidal Club",), ("Quay",), ("CD",), 1994, tuple(tracks))
    matching = Matching(release)
    each = BOX_SET_CANDIDATES // BOX_SET_PROVIDERS
    print(f"\na box set of {BOX_SET_TRACKS} tracks, {each} candidates of each provider: seconds of the processor")
    for known in range(each, BOX_SET_CANDIDATES + 1, each):
        started = time.process_time()
        staged = matching.match(candidates[:known])
        between = time.process_time()
        at_once = match_release(release, candidates[:known])
        ended = time.process_time()
        if staged != at_once:
            raise AssertionError("what is matched in stages differs from what is matched at once")
        print(f"  {known} candidates: {between - started:.2f} after the others, {ended - between:.2f} from the start")


def rules(seconds: float, bare_per_second: float) -> None:
    """Prints a line each; the ratio is the share of what a bare request costs."""
    print(f"\n{'rule':<46}{'µs':>18}{'per s':>9}{'ratio':>9}")
    for name, work in (
        ("visibility, resource and lifetime of a request", decide()),
        ("budget and lanes of a call", admit()),
        ("score of one track and candidate", score_one()),
    ):
        took_us = microseconds(work, seconds)
        print(f"{name:<46}{took_us:>18.1f}{1e6 / took_us:>9.0f}{took_us * bare_per_second / 1e6:>9.2f}")
    print("ratio: against the time of a bare aiohttp request")
    box_set()


if __name__ == "__main__":
    box_set()
