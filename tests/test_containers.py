"""The Dockerfile and docker-compose.yml, as far as they can be proven without an engine.

What compose would start is started by hand: the same commands with the same environment and files, hosts and ports
mapped to this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import yaml

from proxy.adapters.embedded_postgres import EmbeddedPostgres
from proxy.settings import variables
from tests.conftest import STORE
from tests.process import proxy_process
from tests.relay import SOCKET_NAME, pump
from tests.simulated_discogs import SimulatedDiscogs

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("proxy", "postgres", "prometheus", "grafana")
REQUIRED = {"POSTGRES_PASSWORD": "hunter2"}


# --- the image ----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Each with its arguments; continued lines are one."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def last(name: str) -> str:
    return [rest for each, rest in instructions() if each == name][-1]


def copied() -> dict[str, str]:
    """What is taken from the checkout, and where it lands in the image."""
    found = {}
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *sources, target = shlex.split(rest)
            for source in sources:
                found[source] = f"{target}{source}" if target.endswith("/") else target
    return found


def image(folder: Path) -> Path:
    """The /app of the image, as COPY and .dockerignore make it."""
    for source, target in copied().items():
        if not target.startswith("/app"):
            continue
        place = folder / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    return folder / "app"


def environment_of_image() -> dict[str, str]:
    return dict(pair.split("=", 1) for name, rest in instructions() if name == "ENV" for pair in shlex.split(rest))


def test_all_that_is_copied_is_there_and_nothing_else_goes_to_the_engine() -> None:
    assert all((ROOT / source).exists() for source in copied())
    ignored, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    assert {line.removeprefix("!") for line in rest if line.startswith("!")} == set(copied())
    assert not {".", "tests", "docs", ".env", ".git"} & set(copied())


def test_the_image_is_built_in_stages_of_pinned_wheels_and_runs_as_nobody_in_particular() -> None:
    assert [name for name, _ in instructions()].count("FROM") == 2
    install = next(rest for name, rest in instructions() if name == "RUN" and "pip install" in rest)
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert " -r requirements.txt" in install
    assert last("USER") == "10001:10001"
    assert f"--uid {last('USER').split(':')[0]}" in next(rest for _, rest in instructions() if "useradd" in rest)
    assert last("VOLUME") == environment_of_image()["DATA_DIR"]
    assert last("EXPOSE") == environment_of_image()["PORT"]


def test_the_image_holds_all_that_the_program_reads(tmp_path: Path) -> None:
    app = image(tmp_path)
    code = {file.relative_to(app) for file in app.rglob("*") if file.is_file()}
    kept = {Path("schema.sql"), Path("LICENSE")}
    assert kept <= code
    assert {file.parts[0] for file in code - kept} == {"proxy", "matcher"}
    shown = subprocess.run(
        [sys.executable, "-m", "proxy", "--version"],
        cwd=app,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(app), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("discogs-proxy ")


# --- the services -------------------------------------------------------------------------------------------------


VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """By the compose specification's rules, as far as our file needs them. Raises KeyError for what must be set."""

    def one(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if name is None:
            return "$"
        if not environment.get(name) and kind == "?":
            raise KeyError(name)
        return environment.get(name) or (rest if kind == "-" else "")

    match value:
        case dict():
            return {key: interpolated(each, environment) for key, each in value.items()}
        case list():
            return [interpolated(each, environment) for each in value]
        case str():
            return VARIABLE.sub(one, value)
        case _:
            return value


def services(**environment: str) -> dict[str, dict[str, Any]]:
    """With an environment variable that is only named taken over where it is set."""
    given = REQUIRED | environment
    found: dict[str, dict[str, Any]] = interpolated(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), given)[
        "services"
    ]
    for service in found.values():
        named = service.get("environment", {})
        service["environment"] = {
            name: given.get(name) if value is None else value
            for name, value in named.items()
            if value is not None or name in given
        }
    return found


def test_there_are_these_services_and_monitoring_is_asked_for_by_name() -> None:
    found = services()
    assert tuple(found) == SERVICES
    assert [name for name, each in found.items() if "monitoring" in each.get("profiles", [])] == list(SERVICES[2:])


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_shut_in(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service.get("user", last("USER")).split(":")[0] not in ("", "0", "root")
    assert "healthcheck" in service or name == "proxy"  # whose image has one
    assert "max-size" in service["logging"]["options"]
    assert not {"privileged", "network_mode", "pid", "ipc"} & service.keys()


def test_the_database_is_reached_by_the_proxy_alone() -> None:
    whole = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert whole["networks"]["database"] == {"internal": True}
    assert [name for name, each in services().items() if "database" in each["networks"]] == ["proxy", "postgres"]
    assert "ports" not in services()["postgres"]


def test_no_password_has_a_default() -> None:
    with pytest.raises(KeyError, match="POSTGRES_PASSWORD"):
        services(POSTGRES_PASSWORD="")
    grafana = services()["grafana"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == ""
    program, flag, script = grafana["entrypoint"]
    started = script.replace("exec /run.sh", "echo started")
    for password, code, told in (("", 2, "set GRAFANA_PASSWORD in .env"), ("hunter2", 0, "started")):
        shown = subprocess.run(
            [program, flag, started],
            env={"GF_SECURITY_ADMIN_PASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (shown.returncode != 0) == (code != 0)
        assert told in shown.stdout + shown.stderr
        assert "hunter2" not in shown.stdout + shown.stderr


def test_every_setting_reaches_the_proxy() -> None:
    passed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["proxy"]["environment"]
    fixed = {name for name, value in passed.items() if value is not None}
    assert fixed == {"HOST", "PORT", "DATA_DIR", "DATABASE_URL"}
    assert set(passed) == {each.name for each in variables()} - {"TLS_CERT", "TLS_KEY"}


def test_all_that_is_mounted_is_there() -> None:
    for service in services().values():
        for source in (volume.split(":")[0] for volume in service["volumes"]):
            assert (ROOT / source).is_dir() or not source.startswith("."), source


def docker_compose() -> list[str]:
    """`config` needs no engine."""
    for command in (["docker", "compose"], ["docker-compose"]):
        program = shutil.which(command[0])
        if program and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("docker compose is needed: apt install docker-compose")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of its own, so that no .env of the checkout is read."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("docker-compose.yml", "Dockerfile"):
        shutil.copy(ROOT / name, folder)
    return folder


def config(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*docker_compose(), "--profile", "monitoring", "config"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(project)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_docker_compose_takes_it_and_reads_it_as_we_do(project: Path) -> None:
    (project / ".env").write_text(f"POSTGRES_PASSWORD=hunter2\nSTORES={STORE}\n")
    shown = config(project)
    assert shown.returncode == 0, shown.stderr
    read = yaml.safe_load(shown.stdout)["services"]
    ours = services(STORES=STORE)
    assert set(read) == set(ours)
    for name, service in ours.items():
        told = {key: value for key, value in (read[name].get("environment") or {}).items() if value is not None}
        assert told == service["environment"]
        assert read[name].get("entrypoint") in (
            None,
            [part.replace("$", "$$") for part in service.get("entrypoint", [])],
        )
        assert read[name].get("command") == service.get("command")


def test_docker_compose_refuses_to_start_without_a_password(project: Path) -> None:
    shown = config(project)
    assert shown.returncode != 0
    assert "POSTGRES_PASSWORD" in shown.stderr or "set it in .env" in shown.stderr


# --- the same processes, by hand ----------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[int]:
    """One that has the user and the database of the compose file; its port on loopback."""
    server = EmbeddedPostgres(folder)
    wired = Path(parse_qs(urlsplit(await server.start()).query)["host"][0], SOCKET_NAME)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        real_reader, real_writer = await asyncio.open_unix_connection(wired)
        await asyncio.gather(pump(reader, real_writer), pump(real_reader, writer))

    door = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield door.sockets[0].getsockname()[1]
    finally:
        door.close()
        await server.stop()


def run(command: list[str], **environment: str) -> int:
    return subprocess.run(
        [sys.executable if command[0] == "python" else command[0], *command[1:]],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=30,
        check=False,
    ).returncode


async def until(what: str, holds: Any) -> None:
    async with asyncio.timeout(60):
        while not await holds():
            await asyncio.sleep(0.1)
    assert what


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def json_of(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return json.loads(await response.read())


def health_of_image() -> list[str]:
    command: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    return command


def certificate(folder: Path) -> dict[str, str]:
    """The settings of a self-signed one."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed: apt install openssl")
    settings = {"TLS_CERT": str(folder / "cert.pem"), "TLS_KEY": str(folder / "key.pem")}
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=music.example"
    command = [*make.split(), "-out", settings["TLS_CERT"], "-keyout", settings["TLS_KEY"]]
    subprocess.run(command, check=True, capture_output=True)
    return settings


async def test_the_image_knows_its_health_also_where_the_proxy_serves_https(tmp_path: Path, database_dsn: str) -> None:
    """By a certificate that is not for 127.0.0.1, and of an authority that nobody knows."""
    tls = certificate(tmp_path)
    environment = {
        "DATABASE_URL": database_dsn,
        "DATA_DIR": str(tmp_path),
        "DISCOGS_API_URL": "http://127.0.0.1:9",
    } | tls
    async with proxy_process(tmp_path / "log", **environment) as proxy:
        assert proxy.url.startswith("https://")
        port = str(urlsplit(proxy.url).port)
        assert await asyncio.to_thread(run, health_of_image(), PORT=port, **tls) == 0
    assert await asyncio.to_thread(run, health_of_image(), PORT=port, **tls) != 0


@pytest.mark.slow
async def test_what_compose_would_start_works_together(tmp_path: Path, discogs: SimulatedDiscogs) -> None:
    port = free_port()
    found = services(
        DISCOGS_API_URL=discogs.url, DISCOGS_RATE_LIMIT="0", STORES=STORE, MATCH_PROVIDERS="discogs_videos"
    )
    async with postgres(tmp_path / "postgres-data") as database_port:
        check = found["postgres"]["healthcheck"]["test"][1:]
        if shutil.which(check[0]):
            assert await asyncio.to_thread(run, [*check, f"--port={database_port}"]) == 0
        environment = environment_of_image() | found["proxy"]["environment"]
        environment |= {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(image(tmp_path / "image")),
            "PORT": str(port),
            "DATA_DIR": str(tmp_path / "proxy-data"),
            "DATABASE_URL": environment["DATABASE_URL"].replace("@postgres:5432", f"@127.0.0.1:{database_port}"),
        }
        program, *arguments = json.loads(last("ENTRYPOINT"))
        assert program == "python"
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], env=environment, cwd=tmp_path / "image" / "app", stderr=log
            )
        try:
            await until("it is ready", lambda: answers(f"http://127.0.0.1:{port}/readyz"))
            assert await asyncio.to_thread(run, health_of_image(), PORT=str(port)) == 0
            page = await json_of(f"http://127.0.0.1:{port}/users/{STORE}/inventory")
            assert page["listings"][0]["processing_status"]
            await scraped(found["prometheus"], tmp_path, port)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0  # its stop_grace_period
            assert await asyncio.to_thread(run, health_of_image(), PORT=str(port)) != 0
        finally:
            process.kill()
            process.wait()
    for line in (tmp_path / "log").read_text().splitlines():
        assert json.loads(line)["level"] in ("info", "warning"), line


async def scraped(service: dict[str, Any], folder: Path, proxy_port: int) -> None:
    """By Prometheus with the compose file's command and configuration."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is needed: apt install prometheus")
    port, configured = free_port(), folder / "prometheus"
    sources = {target: source for source, target, *_ in (volume.split(":") for volume in service["volumes"])}
    shutil.copytree(ROOT / sources["/etc/prometheus"], configured)
    (file,) = (each for each in configured.rglob("*.yml") if "proxy:8080" in each.read_text())
    file.write_text(file.read_text().replace("proxy:8080", f"127.0.0.1:{proxy_port}"))
    mapped = {"/etc/prometheus": str(configured), "/prometheus": str(folder / "prometheus-data")}
    command = [
        re.sub(r"=(/etc/prometheus|/prometheus)", lambda at: f"={mapped[at[1]]}", each) for each in service["command"]
    ]
    url = f"http://127.0.0.1:{port}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log)
    try:
        await until("it is ready", lambda: answers(f"{url}/-/ready"))

        async def is_up() -> bool:
            result = (await json_of(f"{url}/api/v1/query?query=discogs_proxy_requests_total"))["data"]["result"]
            return bool(result)

        await until("it has scraped", is_up)
        assert (await json_of(f"{url}/api/v1/rules"))["data"]["groups"]
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
