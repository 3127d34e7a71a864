"""The commands of `./run`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Coroutine, Sequence
from pathlib import Path

from matcher.domain.verdict import Thresholds
from proxy import __version__, logs, setting_values
from proxy.commands.backup import BackupOptions, RestoreOptions, backup, restore
from proxy.commands.bench import bench, benchmarks
from proxy.commands.bench_budget import budget_story
from proxy.commands.bench_day import SCENARIOS, simulated_days
from proxy.commands.bench_memory import memory
from proxy.commands.bench_pages import pages
from proxy.commands.check import check
from proxy.commands.compare import compare
from proxy.commands.demo import demo
from proxy.commands.evaluate import Options, evaluate
from proxy.commands.match import match
from proxy.commands.serve import serve
from proxy.commands.workers import seat
from proxy.settings import Settings, SettingsError, read_environment, variables

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str]) -> int:
    """The exit code: 2 for settings or arguments that cannot be used."""
    options = parser().parse_args(arguments)
    try:
        settings = read_settings()
    except SettingsError as error:
        lines = [*error.problems, "./run --help lists all settings."]
        print("\n".join(f"discogs-proxy: {line}" for line in lines), file=sys.stderr)
        return 2
    logs.configure("warning", settings.log_format)  # what a command has to say it prints; the proxy logs as it is told
    return run(options, settings)


def run(options: argparse.Namespace, settings: Settings) -> int:
    match options.command:
        case "match":
            return asyncio.run(match(settings, options.release_id))
        case "evaluate":
            return evaluate(evaluation(options, settings))
        case "check":
            return asyncio.run(check(settings))
        case "compare":
            return asyncio.run(compare(settings, options.paths, options.proxy))
        case "demo":
            return asyncio.run(demo(settings))
        case "bench":
            return asyncio.run(bench(measurements(options)))
        case "backup" | "restore":
            return asyncio.run(copying(options, settings))
    return serve(settings, read_settings, environment(), dump=not options.no_dump, place=options.as_worker)


def environment() -> dict[str, str]:
    """Raises SettingsError."""
    return read_environment(ROOT, os.environ)


def read_settings() -> Settings:
    """Raises SettingsError."""
    return Settings.from_environment(environment())


def copying(options: argparse.Namespace, settings: Settings) -> Coroutine[object, object, int]:
    if options.command == "backup":
        return backup(settings, BackupOptions(options.file, options.decisions, options.force))
    dump = not options.no_dump
    return restore(settings, RestoreOptions(options.file, options.decisions, options.replace, dump))


def evaluation(options: argparse.Namespace, settings: Settings) -> Options:
    return Options(
        options.pairs,
        Thresholds(settings.cache_persistence_threshold, settings.approval_threshold),
        options.releases,
        options.scores,
        options.errors,
        held_out=options.held_out,
        refit=options.refit,
        ablations=options.ablations,
    )


def measurements(options: argparse.Namespace) -> Awaitable[None]:
    if options.budget:
        return budget_story()
    if options.pages:
        return pages()
    if options.day is not None:
        return simulated_days(options.day)
    return memory(options.seconds) if options.memory else benchmarks(options.seconds)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="./run",
        description="A reverse caching proxy for api.discogs.com with a playable audio match per track.",
        epilog=settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"discogs-proxy {__version__}")
    no_dump = "change the schema after an update without copying the database first"
    top.add_argument("--no-dump", action="store_true", help=no_dump)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands (without one: start the proxy)")
    start = commands.add_parser("serve", help="start the proxy")
    start.add_argument("--no-dump", action="store_true", default=argparse.SUPPRESS, help=no_dump)
    start.add_argument("--as-worker", type=seat, help=argparse.SUPPRESS)  # as `serve` begins one for WORKERS
    top.set_defaults(as_worker=None)
    commands.add_parser("test", help="run the test suite (./run test --fast leaves the slow ones out)")
    commands.add_parser("demo", help="the proxy against a simulated Discogs, offline")
    commands.add_parser("check", help="is everything there that the proxy needs? one line and one remedy each")
    both = commands.add_parser(
        "compare", help="fetch directly and through the proxy; what is added, changed, missing? 1: more than is meant"
    )
    both.add_argument("paths", nargs="+", metavar="PATH", help="of the API, as in /releases/249504")
    both.add_argument(
        "--proxy", type=setting_values.origin, metavar="URL", help="default: the one that these settings start"
    )
    one = commands.add_parser("match", help="match one release and print candidates, scores and reasons")
    one.add_argument("release_id", type=release_id, metavar="RELEASE_ID")
    add_copying(commands)
    labels = commands.add_parser(
        "evaluate", help="how good are the confidences? precision, recall, calibration by labels"
    )
    labels.add_argument("pairs", type=Path, metavar="PAIRS.jsonl", help="labelled pairs of a track and a candidate")
    labels.add_argument("--releases", type=Path, metavar="RELEASES.jsonl", help="labelled releases with their videos")
    labels.add_argument("--scores", type=Path, metavar="OUT", help="write one confidence 0-100 per pair here")
    labels.add_argument(
        "--errors",
        type=int,
        default=0,
        metavar="N",
        help="show the N pairs furthest from the truth, and the N matches of releases",
    )
    labels.add_argument("--held-out", action="store_true", help="fit weights without the artist of what they score")
    labels.add_argument(
        "--ablations", action="store_true", help="fit without each kind of evidence: what is it worth? (minutes)"
    )
    labels.add_argument("--refit", action="store_true", help="fit the weights anew and write their table")
    measure = commands.add_parser("bench", help="benchmarks, as ratios against a bare aiohttp server in the same run")
    measure.add_argument("--seconds", type=float, default=3.0, help="per measurement (default 3)")
    instead = measure.add_mutually_exclusive_group()
    instead.add_argument("--memory", action="store_true", help="instead: memory and time with 100,000 kept responses")
    instead.add_argument("--pages", action="store_true", help="instead: a store of 50,000, its pages and its sweep")
    instead.add_argument(
        "--day",
        nargs="*",
        choices=[each.name for each in SCENARIOS],
        metavar="SCENARIO",
        help=f"instead: simulated days of shops' traffic (minutes): {', '.join(each.name for each in SCENARIOS)}",
    )
    instead.add_argument(
        "--budget", action="store_true", help="instead: 200 shoppers within 60 calls a minute (4 minutes)"
    )
    return top


def add_copying(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    decisions = "only what people decided of matches, as JSON lines by Discogs' ids"
    save = commands.add_parser("backup", help="write all that the database knows to a file, also while the proxy runs")
    save.add_argument("file", type=Path, metavar="FILE")
    save.add_argument("--decisions", action="store_true", help=decisions)
    save.add_argument("--force", action="store_true", help="overwrite FILE")
    load = commands.add_parser(
        "restore", help="put what ./run backup wrote into the database, also while the proxy runs"
    )
    load.add_argument("file", type=Path, metavar="FILE")
    load.add_argument("--decisions", action="store_true", help=f"{decisions}: merged into what is there")
    load.add_argument("--replace", action="store_true", help="what the database holds goes; a copy is kept in DATA_DIR")
    load.add_argument("--no-dump", action="store_true", default=argparse.SUPPRESS, help="keep no copy of what goes")


def release_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError("a release id is a whole number, as in https://www.discogs.com/release/249504")
    return int(text)


def settings_help() -> str:
    lines = ["settings (environment, or .env beside ./run; secrets also as NAME_FILE):"]
    for each in variables():
        default = f" [{each.default}]" if each.default else ""
        lines.append(f"  {each.name:<31} {each.explanation}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
