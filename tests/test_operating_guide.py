"""What docs/operating.md says is so: its settings, commands, paths and links exist, its recipes are run."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from proxy.__main__ import parser
from proxy.app import ROUTES
from proxy.commands.serve import DRAIN_S
from proxy.settings import known_names
from tests.conftest import STORE, StartProxy
from tests.relay import pump
from tests.simulated_discogs import SimulatedDiscogs
from tests.test_containers import free_port, until

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "operating.md"
TEXT = GUIDE.read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"```\w+\n(.*?)```", TEXT, re.DOTALL) + re.findall(r"`([^`\n]+)`", TEXT))

OF_OTHERS = {
    *("POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "PROXY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"),  # docker-compose.yml
    *("COMPARE_AUTHORIZATION", "DISCOGS_PROXY_URL", "NAME_FILE", "PYTHON"),
    *("COMMAND", "FILE", "PATH", "URL", "MAINPID", "HUP", "SIGHUP", "EXPECTED", "LISTEN", "NOT", "GET", "POST"),
}
"""Words in capitals that are no settings."""


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def test_every_setting_that_it_names_exists() -> None:
    assert set(re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)*\b", CODE)) <= known_names() | OF_OTHERS


def test_every_command_that_it_names_exists() -> None:
    (commands,) = (each.choices for each in parser()._actions if each.dest == "command")
    assert commands is not None
    named = set(re.findall(r"\./run (?!-)(\w+)|run --rm proxy ([a-z]+)", CODE))
    assert len(named) >= 4
    assert {one or other for one, other in named} <= set(commands)


def test_every_link_and_file_that_it_names_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (GUIDE.parent / link).is_file(), link
    for file in re.findall(r"grafana/[\w./*-]+", CODE):
        assert list(GUIDE.parents[1].glob(file)), file


def test_every_path_of_our_own_that_it_names_exists() -> None:
    known = {re.sub(r"\{\w+\}", "{}", route.path) for route in ROUTES if "*" not in route.path}
    named = {re.sub(r"\{\w+\}", "{}", each) for each in re.findall(r"(?:GET|POST) (/[\w/{}-]+)", CODE)}
    assert named >= {"/readyz"}
    assert named <= known


def test_the_unit_starts_run_and_gives_it_time_to_drain() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]  # configparser's own way to keep capitals
    unit.read_string(block("ini"))
    assert unit["Service"]["ExecStart"].endswith("/run")
    assert unit["Service"]["ExecReload"].endswith("-HUP $MAINPID")
    assert float(unit["Service"]["TimeoutStopSec"]) > 2 * DRAIN_S


def test_the_rewrites_lead_to_the_proxy() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is needed: apt install nodejs")
    script = f"{block('js')}\nmodule.exports.rewrites().then(found => console.log(JSON.stringify(found)))"
    shown = subprocess.run(
        [node, "-e", script],
        env={"PATH": os.environ["PATH"], "DISCOGS_PROXY_URL": "http://proxy"},
        capture_output=True,
        text=True,
        check=True,
    )
    for rule in json.loads(shown.stdout):
        assert rule["destination"] == f"http://proxy{rule['source']}"


# --- front servers ------------------------------------------------------------------------------------------------


def nginx(folder: Path, port: int, proxy_port: int) -> list[str]:
    """The server of the guide, without its certificate, as an ordinary user runs it."""
    server = re.sub(r"\n *ssl_certificate.*", "", block("nginx"))
    server = server.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(":8080;", f":{proxy_port};")
    paths = "".join(
        f"{each}_temp_path {folder}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n"
    )
    return [*found_program("nginx", "nginx-light"), "-p", str(folder), "-c", str(file), "-g", "daemon off;"]


def caddy(folder: Path, port: int, proxy_port: int) -> list[str]:
    site = block("caddyfile").replace("music.example {", f"http://music.example:{port} {{\n    bind 127.0.0.1")
    file = folder / "Caddyfile"
    file.write_text("{\n    admin off\n}\n" + site.replace("127.0.0.1:8080", f"127.0.0.1:{proxy_port}"))
    return [*found_program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


def found_program(name: str, package: str) -> list[str]:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is needed: apt install {package}")
    return [program]


@pytest.fixture(params=[nginx, caddy])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The ports of a front server, which runs, and of the proxy behind it, which does not yet."""
    port, proxy_port = free_port(), free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            request.param(tmp_path, port, proxy_port),
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
    yield port, proxy_port
    process.terminate()
    process.wait(30)


@pytest.mark.slow
async def test_behind_a_front_server_all_that_matters_comes_through(
    front: tuple[int, int], start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    """What the guide says to set is set, and its front server stands before the proxy."""
    port, proxy_port = front
    discogs.register_user("anna", "annas-token")
    proxy = await start_proxy(PUBLIC_URL="https://music.example", TRUSTED_PROXIES="127.0.0.1")
    async with door(proxy_port, proxy.port), aiohttp.ClientSession(headers={"Host": "music.example"}) as shop:

        async def status(path: str) -> int:
            try:
                async with shop.get(f"http://127.0.0.1:{port}{path}") as response:
                    return response.status
            except aiohttp.ClientError:
                return 0

        async def is_up() -> bool:
            return await status("/healthz") == 200

        await until("the front server is up", is_up)
        fields = {"Authorization": "Discogs token=annas-token", "X-Request-Id": "shop-42"}
        async with shop.get(f"http://127.0.0.1:{port}/oauth/identity", headers=fields) as response:
            assert json.loads(await response.read())["username"] == "anna"
            assert response.headers["X-Request-Id"] == "shop-42"
        async with shop.get(f"http://127.0.0.1:{port}/users/{STORE}/inventory?status=For%20Sale") as response:
            page = json.loads(await response.read())
        assert page["pagination"]["urls"]["next"].startswith(f"https://music.example/users/{STORE}/inventory?")
        assert await status("/api/admin/stores") == 401  # from this machine operators get in, with their token
        assert await status("/metrics") == 200


class door:  # noqa: N801 - reads as a statement
    """The port at which the front server looks for the proxy leads to the one that runs."""

    def __init__(self, port: int, to: int) -> None:
        self._port, self._to = port, to

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        real_reader, real_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(pump(reader, real_writer), pump(real_reader, writer))
