"""The OpenAPI document is true: of the routes, and of what the real proxy answers to whatever is asked."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from aiohttp import web

from proxy import keys
from proxy.app import ROUTES
from proxy.domain.rate_limit import RateLimit
from proxy.handlers.openapi import PATHS
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "ignored_auth",
)
README = Path(__file__).resolve().parents[3] / "README.md"
OWN = re.compile(r"/(api/|healthz|readyz|metrics)(?!.*:\.\*)")


def without_limits(proxy: Proxy) -> None:
    """Else most answers would be 429, and tell nothing."""
    access = proxy.app[keys.ACCESS]
    access.guesses = access.calls = RateLimit(per_minute=10**9, burst=10**9)


def routes() -> set[tuple[str, str]]:
    return {
        (each.method.lower(), each.path)
        for each in ROUTES
        if isinstance(each, web.RouteDef) and each.method != "*" and OWN.match(each.path)
    }


def test_every_route_is_documented_and_no_other() -> None:
    assert {(method, path) for path, methods in PATHS.items() for method in methods} == routes()


def test_the_readme_names_every_path() -> None:
    text = README.read_text()
    for _, path in routes():
        last = [part for part in path.split("/") if part and not part.startswith("{")][-1]
        assert last in text, path


async def test_it_is_given_to_everybody(proxy: Proxy) -> None:
    response, body = await proxy.get("/api/openapi.json")
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(body)["openapi"].startswith("3.1")


@pytest.mark.slow
async def test_whatever_is_asked_no_answer_is_undocumented(start_proxy: StartProxy, tmp_path: Path) -> None:
    """schemathesis: no 5xx, no other status, and each body as its schema says."""
    proxy = await start_proxy(STORES=STORE)
    without_limits(proxy)
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    await proxy.get(f"/api/stores/{STORE}/inventory")
    await proxy.admin("POST", "/api/admin/process-queue?limit=40")
    ran = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{proxy.url}/api/openapi.json"),
        *("-H", f"Authorization: Bearer {ADMIN_TOKEN}"),
        *("--seed", "7", "--max-examples", "15", "--phases", "examples,coverage,fuzzing", "--no-shrink"),
        *("--checks", ",".join(CHECKS)),
        *("--continue-on-failure", "--no-color", "--exclude-path", "/metrics"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await ran.communicate()
    assert ran.returncode == 0, said.decode()[-8000:]
