"""Runs the simulated Discogs alone: python -m tests.simulated_discogs --stores vinyl_den=3000,small_shop=120"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from .catalogue import Catalogue
from .server import PUBLIC_ORIGIN, SimulatedDiscogs

DEFAULT_STORES = "vinyl_den=3000,small_shop=120"
CONSUMER_KEY, CONSUMER_SECRET = "demo-key", "demo-secret"


def stores(text: str) -> dict[str, int]:
    """vinyl_den=3000,small_shop=120"""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and size.isdigit() for name, _, size in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list like {DEFAULT_STORES}")
    return {name: int(size) for name, _, size in pairs}


def arguments(given: Sequence[str]) -> argparse.Namespace:
    return parser("python -m tests.simulated_discogs").parse_args(given)


def parser(program: str) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog=program,
        description="A simulated Discogs API over generated data.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--host", default="127.0.0.1", help="address to listen on")
    options.add_argument("--port", type=int, default=8090, help="port to listen on, 0 for any free one")
    options.add_argument("--seed", type=int, default=1, help="the same seed gives the same data")
    options.add_argument("--stores", type=stores, default=DEFAULT_STORES, help="NAME=LISTINGS, separated by commas")
    options.add_argument("--releases", type=int, help="how many releases there are (default: by the stores' size)")
    options.add_argument("--latency-ms", type=float, default=0, help="time that each answer takes")
    options.add_argument("--rate-limit", type=int, default=60, help="calls a minute with a credential, 0 for no limit")
    options.add_argument(
        "--churn-per-hour", type=float, default=0, help="share of all listings that are sold, added or edited per hour"
    )
    options.add_argument("--public-origin", default=PUBLIC_ORIGIN, help="origin written in bodies; `self` for its own")
    return options


def simulated(options: argparse.Namespace) -> SimulatedDiscogs:
    catalogue = Catalogue.generate(seed=options.seed, stores=options.stores, releases=options.releases)
    discogs = SimulatedDiscogs(
        catalogue,
        host=options.host,
        port=options.port,
        latency_ms=options.latency_ms,
        rate_limit=options.rate_limit or None,
        churn_per_hour=options.churn_per_hour,
        seed=options.seed,
        public_origin=options.public_origin,
    )
    discogs.register_consumer(CONSUMER_KEY, CONSUMER_SECRET)
    discogs.register_user("shopper", "shopper-token")
    for username in options.stores:
        discogs.register_user(username, f"{username}-token")
    return discogs


def announcement(discogs: SimulatedDiscogs) -> str:
    names = [store.seller.username for store in discogs.catalogue.stores]
    inventories = [f"{discogs.url}/users/{name}/inventory" for name in names]
    release_id = next(iter(discogs.catalogue.headings())).id
    tokens = ["shopper-token", *(f"{name}-token" for name in names)]
    return "\n".join(
        (
            f"Simulated Discogs on {discogs.url}",
            *inventories,
            f"{discogs.url}/releases/{release_id}",
            f"Tokens: {', '.join(tokens)}; consumer key {CONSUMER_KEY}, secret {CONSUMER_SECRET}",
            "",
        )
    )


async def run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulated(options) as discogs:
        if discogs.public_origin == "self":
            discogs.public_origin = discogs.url
        sys.stdout.write(announcement(discogs))
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(arguments(sys.argv[1:])))
