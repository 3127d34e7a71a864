"""The simulated Discogs with MusicBrainz, Deezer and YouTube beside it: python -m tests.simulated_providers --help"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from tests.simulated_discogs import Fault
from tests.simulated_discogs.__main__ import announcement, parser, simulated
from tests.simulated_providers import SimulatedDeezer, SimulatedMusicBrainz, SimulatedYouTube


def arguments(given: Sequence[str]) -> argparse.Namespace:
    options = parser("python -m tests.simulated_providers")
    options.add_argument("--musicbrainz-port", type=int, default=8091, help="port of MusicBrainz, 0 for any free one")
    options.add_argument("--deezer-port", type=int, default=8092, help="port of Deezer, 0 for any free one")
    options.add_argument("--youtube-port", type=int, default=8093, help="port of YouTube, 0 for any free one")
    options.add_argument("--failures", type=float, default=0, help="share of answers in place of which they fail")
    return options.parse_args(given)


async def run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        simulated(options) as discogs,
        SimulatedMusicBrainz(discogs.catalogue, options.host, options.musicbrainz_port) as musicbrainz,
        SimulatedDeezer(discogs.catalogue, options.host, options.deezer_port) as deezer,
        SimulatedYouTube(discogs.catalogue, options.host, options.youtube_port) as youtube,
    ):
        if options.failures:
            discogs.add_fault(Fault("status", status=503, probability=options.failures))
            for throttled in (musicbrainz, deezer, youtube):
                throttled.add_fault(Fault("rate_limited", probability=options.failures))
        sys.stdout.write(announcement(discogs))
        sys.stdout.write(f"MusicBrainz on port {musicbrainz.port}, Deezer on port {deezer.port}, ")
        sys.stdout.write(f"YouTube on port {youtube.port}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(arguments(sys.argv[1:])))
