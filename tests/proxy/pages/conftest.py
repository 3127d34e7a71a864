"""A real browser before the operator's page; whatever lies outside the proxy is answered here."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Route, async_playwright

from tests.conftest import STORE, Proxy, StartProxy
from tests.proxy.pages.reviewing import REVIEWERS, TOKENS, matched

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9" fill="#88a"/></svg>'
PLAYER = "<!doctype html><title>player</title><p>a player</p>"


def chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("the operator's page is not tested without a browser: apt-get install chromium")
        pytest.skip("needs a browser: apt-get install chromium")
    return found


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    executable = chromium()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=executable, args=arguments)
        yield launched
        await launched.close()


@dataclass(slots=True)
class Window:
    """A browser of one person, with all that went wrong in it."""

    proxy: Proxy
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    outside: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Requests that left the proxy, with their headers."""

    async def open(self, path: str) -> Page:
        await self.page.goto(self.proxy.url + path)
        return self.page

    async def log_in(self, who: str) -> Page:
        await self.open("/admin/login")
        await self.page.get_by_label("token").fill(TOKENS[who])
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url("**/admin/review*")
        return self.page

    async def press(self, key: str) -> None:
        """A key, and whatever it brings about."""
        await self.page.keyboard.press(key)
        await self.page.locator("main:not([aria-busy])").wait_for()


@dataclass(slots=True)
class Windows:
    browser: Browser
    proxy: Proxy
    opened: list[Window] = field(default_factory=list)

    async def open(
        self, who: str | None = "anna", *, dark: bool = False, width: int = 1100, scripts: bool = True
    ) -> Window:
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        window = Window(self.proxy, context, await context.new_page())
        self.opened.append(window)
        await context.route("**/*", lambda route: self._route(window, route))
        window.page.on("console", lambda message: _complaint(window, message))
        window.page.on("pageerror", lambda error: window.complaints.append(_told(error)))
        if who:
            await window.log_in(who)
        return window

    async def _route(self, window: Window, route: Route) -> None:
        if route.request.url.startswith(self.proxy.url):
            await route.continue_()
            return
        window.outside.append((route.request.url, await route.request.all_headers()))
        if route.request.resource_type == "image":
            await route.fulfill(body=PICTURE, content_type="image/svg+xml")
        else:
            await route.fulfill(body=PLAYER, content_type="text/html")


def _complaint(window: Window, message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        window.complaints.append(message.text)


def _told(error: Error) -> str:
    return f"uncaught: {error.message}"


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    found = await start_proxy(STORES=STORE, REVIEW_TOKENS=REVIEWERS)
    await matched(found)
    return found


@pytest.fixture
async def windows(browser: Browser, proxy: Proxy) -> AsyncIterator[Windows]:
    """No window may complain: of the policy for content least of all."""
    found = Windows(browser, proxy)
    yield found
    assert [each.complaints for each in found.opened if each.complaints] == []
