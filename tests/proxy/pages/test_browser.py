"""The operator's page in a real browser: by key, by click, by two at once, on a phone, with hostile texts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from matcher.database import Database
from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.proxy.pages.conftest import Windows
from tests.proxy.pages.reviewing import REVIEWERS, ask, matches

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>\'"&'
PAGES = ("review", "review?tab=approved", "review?tab=unmatched", "review?q=nosuchword")
ADMINS_PAGES = ("stores", "queue", "queue?status=unmatched", "cache", "budget")


async def all_pending(proxy: Proxy) -> int:
    """What was approved without a person waits for one, too; how many matches do."""
    async with proxy.app[keys.DATABASE].transaction() as connection:
        await connection.execute("UPDATE track_matches SET approved = false WHERE verified_at IS NULL")
    return len(await matches(proxy))


async def shown(proxy: Proxy, release_id: int) -> str:
    _, body = await proxy.get(f"/releases/{release_id}")
    return json.dumps(json.loads(body)["audio_matches"])


async def within_a_second(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(1):
        while not await condition():
            await asyncio.sleep(0.01)


async def decisions_of(database: Database, by: str) -> list[tuple[int, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT match_id, action FROM match_decisions WHERE decided_by = $1 ORDER BY id", by
        )
    return [(row["match_id"], row["action"]) for row in rows]


def buttons(page: Page, name: str) -> Any:
    return page.locator("[data-pending]").first.get_by_role("button", name=name)


async def test_a_wrong_token_is_told_and_a_right_one_logs_in_until_one_logs_out(windows: Windows) -> None:
    window = await windows.open(None)
    page = await window.open("/admin/releases/1")
    await page.get_by_label("token").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not known")
    window.complaints.clear()  # the browser tells of the 401
    await page.get_by_label("token").fill("the-token-of-anna")
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/admin/releases/1")
    assert "the-token-of-anna" not in await page.content()
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url("**/admin/login")
    await window.open("/admin/review")
    await expect(page).to_have_url(f"{window.proxy.url}/admin/login?next=%2Fadmin%2Freview")


async def test_a_hundred_pending_matches_are_reviewed_by_keyboard_alone(windows: Windows, proxy: Proxy) -> None:
    pending = await all_pending(proxy)
    assert pending >= 100
    window = await windows.open()
    await window.press("j")
    await window.press("Enter")
    await window.page.wait_for_url("**/admin/releases/*")
    for turn in range(100):
        await expect(window.page.locator("[data-pending]:focus")).to_have_count(1)
        await window.press("ra"[turn % 5 > 0])
    decided = await decisions_of(proxy.app[keys.DATABASE], "anna")
    assert len(decided) == len({match for match, _ in decided}) == 100
    assert [action for _, action in decided].count("reject") == 20


async def test_what_was_decided_by_keyboard_is_taken_back_by_keyboard(windows: Windows, proxy: Proxy) -> None:
    before = [(each["id"], each["status"]) for each in await matches(proxy)]
    window = await windows.open()
    await window.press("j")
    await window.press("Enter")
    await window.page.wait_for_url("**/admin/releases/*")
    for key in ("a", "r", "s", "a", "u", "u", "u"):
        await window.press(key)
    decided = await decisions_of(proxy.app[keys.DATABASE], "anna")
    assert [action for _, action in decided] == ["approve", "reject", "approve", "undo", "undo", "undo"]
    assert [match for match, _ in decided[:3]] == [match for match, _ in decided[:2:-1]]
    assert sorted(before) == sorted((each["id"], each["status"]) for each in await matches(proxy))
    await window.press("u")
    await expect(window.page.get_by_role("alert")).to_contain_text("Nothing is left to undo")
    await window.press("?")
    await expect(window.page.get_by_role("dialog")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
async def test_by_click_with_and_without_scripts(windows: Windows, proxy: Proxy, scripts: bool) -> None:
    match = (await matches(proxy))[0]
    window = await windows.open(scripts=scripts)
    page = await window.open(f"/admin/releases/{match['release_id']}")
    await buttons(page, "Approve").click()
    await expect(page.locator("[data-notice]")).to_contain_text("anna approved")
    await page.locator("[data-notice]").get_by_role("button", name="Undo").click()
    await expect(page.locator("[data-notice]")).to_contain_text("anna took back")
    own = page.locator("[data-pending]").first
    await own.get_by_text("Set a URL of your own").click()
    await own.get_by_role("textbox").fill("https://soundcloud.com/someone/something")
    await own.get_by_role("button", name="Set").click()
    await expect(page.locator("[data-notice]")).to_contain_text("anna set another URL")
    assert "soundcloud.com/someone" in await shown(proxy, match["release_id"])


async def test_enter_opens_the_first_release_before_one_has_moved(windows: Windows) -> None:
    window = await windows.open()
    first = await window.page.locator("a.title").first.get_attribute("href")
    await window.press("Enter")
    await expect(window.page).to_have_url(f"{window.proxy.url}{first}")
    await window.open("/admin/review")
    await window.page.get_by_role("searchbox").focus()
    await window.press("Enter")
    await expect(window.page).to_have_url(f"{window.proxy.url}/admin/review?tab=pending&q=")


@pytest.mark.parametrize("by_key", [True, False])
async def test_the_next_best_is_used_by_one_key_or_tap_and_taken_back(
    windows: Windows, proxy: Proxy, by_key: bool
) -> None:
    match = next(each for each in await matches(proxy) if each["runner_up"])
    release_id, url = match["release_id"], match["runner_up"]["url"]
    before = await shown(proxy, release_id)
    window = await windows.open(width=360)
    page = await window.open(f"/admin/releases/{release_id}")
    track = page.locator(".track", has=page.locator(f'form[action="/admin/matches/{match["id"]}/reject"]'))
    if by_key:
        await track.focus()
        await window.press("o")
    else:
        await track.get_by_role("button", name="Use this one").dblclick()
    await expect(page.locator("[data-notice]")).to_contain_text("anna set another URL")
    assert url in await shown(proxy, release_id)
    assert [action for _, action in await decisions_of(proxy.app[keys.DATABASE], "anna")] == ["set"]
    await window.press("u")
    await expect(page.locator("[data-notice]")).to_contain_text("anna took back")
    assert await shown(proxy, release_id) == before


async def test_the_second_tap_of_a_double_tap_decides_nothing_that_has_come_into_its_place(
    windows: Windows, proxy: Proxy
) -> None:
    await all_pending(proxy)
    window = await windows.open()
    await window.press("Enter")
    page = window.page
    await page.wait_for_url("**/admin/releases/*")
    await buttons(page, "Approve").click()
    await expect(page.locator("[data-notice]")).to_contain_text("anna approved")
    box = await buttons(page, "Approve").bounding_box()
    assert box
    await page.mouse.move(box["x"] + 20, box["y"] + 20)
    await page.mouse.down(click_count=2)
    await page.mouse.up(click_count=2)
    await expect(page.locator("main:not([aria-busy])")).to_have_count(1)
    assert len(await decisions_of(proxy.app[keys.DATABASE], "anna")) == 1
    await buttons(page, "Approve").click()
    await expect(page.locator("main:not([aria-busy])")).to_have_count(1)
    assert len(await decisions_of(proxy.app[keys.DATABASE], "anna")) == 2


async def test_a_reject_is_gone_from_a_shoppers_answer_within_a_second_and_stays_so(
    windows: Windows, proxy: Proxy, start_proxy: StartProxy
) -> None:
    sold = {each["release_id"]: each for each in await matches(proxy, "approved")}
    release_id, match = next(iter(sold.items()))
    url = match["match_url"]
    assert url in await shown(proxy, release_id)
    window = await windows.open()
    page = await window.open(f"/admin/releases/{release_id}")
    await page.locator(f'form[action="/admin/matches/{match["id"]}/reject"] button').click()

    async def is_gone() -> bool:
        return url not in await shown(proxy, release_id)

    await expect(page.locator("[data-notice]")).to_contain_text("anna rejected")
    await within_a_second(is_gone)
    await ask(proxy, "POST", "/api/admin/process-queue?limit=1000")  # it is matched again
    assert await is_gone()
    restarted = await start_proxy(STORES=STORE, REVIEW_TOKENS=REVIEWERS)
    assert url not in await shown(restarted, release_id)
    assert match["id"] in [each["id"] for each in await matches(restarted, "rejected")]


async def test_a_whole_release_at_once_and_back(windows: Windows, proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    release_id = match["release_id"]
    window = await windows.open()
    page = await window.open(f"/admin/releases/{release_id}")
    for button, told in (("Approve all pending", "approved"), ("No audio, ever", "no audio, ever")):
        before = await shown(proxy, release_id)
        await page.get_by_role("button", name=button).click()
        await expect(page.locator("[data-notice]")).to_contain_text(told)
        assert await shown(proxy, release_id) != before
        await page.locator("[data-notice]").get_by_role("button", name="Undo").click()
        await expect(page.locator("[data-notice]")).to_contain_text("took back")
        assert await shown(proxy, release_id) == before


async def test_two_reviewers_at_once_lose_nothing_and_are_told_of_each_other(windows: Windows, proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    path = f"/admin/releases/{match['release_id']}"
    first, second = await windows.open("anna"), await windows.open("boris")
    for each in (first, second):
        await each.open(path)
    await first.press("a")
    await second.press("r")
    await expect(second.page.get_by_role("alert")).to_contain_text("anna approved this track's match meanwhile")
    second.complaints.clear()  # the browser tells of the 409
    database = proxy.app[keys.DATABASE]
    assert [action for _, action in await decisions_of(database, "anna")] == ["approve"]
    assert await decisions_of(database, "boris") == []
    await first.open(path)
    await expect(first.page.get_by_text("decided by anna")).not_to_have_count(0)


async def test_the_player_is_loaded_when_wanted_large_enough_and_told_where_from(
    windows: Windows, proxy: Proxy
) -> None:
    match = next(each for each in await matches(proxy) if each["platform"] == "youtube")
    for width in (1100, 390):
        window = await windows.open(width=width)
        page = await window.open(f"/admin/releases/{match['release_id']}")
        assert await page.locator("iframe").count() == 0
        before = await page.locator("[data-pending]").first.bounding_box()
        await window.press("p")
        frame = page.locator("iframe").first
        box = await frame.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 200
        assert await page.locator("[data-pending]").first.bounding_box() == before
        await expect(page.frame_locator("iframe").first.get_by_text("a player")).to_be_visible()
        (asked,) = [headers for url, headers in window.outside if "youtube" in url]
        assert asked["referer"] == proxy.url + "/"
        await window.press("p")
        await expect(frame).to_have_count(0)


async def test_hostile_texts_do_not_run(windows: Windows, proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    async with proxy.app[keys.DATABASE].transaction() as connection:
        await connection.execute(
            """
            UPDATE releases SET title = $2, artist = $2, label = $2, catno = $2, thumb = 'javascript:alert(1)',
              images = jsonb_build_array(jsonb_build_object('type', 'primary', 'uri', 'https://evil.example/x.png')),
              tracklist = jsonb_set(tracklist, ARRAY[$3::text, 'title'], to_jsonb($2::text))
            WHERE discogs_id = $1
            """,
            match["release_id"],
            HOSTILE,
            str(match["track_index"]),
        )
        await connection.execute(
            "UPDATE track_matches SET candidate_title = $2, match_url = $3, platform = $2, reasons = $4 WHERE id = $1",
            match["id"],
            HOSTILE,
            "javascript:window.ran=1//",
            json.dumps([{"name": HOSTILE, "weight": 1.0, "detail": HOSTILE}]),
        )
    window = await windows.open("admin")
    for path in ("review", f"releases/{match['release_id']}", f"review?q={HOSTILE}", "queue?status=matched"):
        page = await window.open(f"/admin/{path}")
        assert await page.evaluate("window.ran") is None
        assert HOSTILE in await page.locator("main").inner_text() or path.startswith(("review?", "queue"))
        assert await page.locator('[href^="javascript:"], [src^="javascript:"], [src*="evil"]').count() == 0


async def test_search_finds_by_artist_title_and_catalogue_number(windows: Windows, proxy: Proxy) -> None:
    window = await windows.open()
    page = await window.open("/admin/review?tab=unmatched")
    title = await page.locator("a.title").first.inner_text()
    await page.get_by_role("searchbox").fill(title.partition(" – ")[2])
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("a.title").first).to_have_text(title)
    await page.locator("a.title").first.click()
    await expect(page.locator(".track")).not_to_have_count(0)  # its tracklist came from Discogs
    await window.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()


async def test_stores_queue_cache_and_budget_are_operated(windows: Windows, proxy: Proxy) -> None:
    window = await windows.open("admin")
    page = await window.open("/admin/stores")
    notice = page.locator("[data-notice]")
    await page.get_by_role("button", name="Pause").click()
    await expect(notice).to_contain_text("paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(notice).to_contain_text("by schedule again")
    await page.get_by_role("button", name="Sync now").click()
    await expect(notice).to_contain_text("was checked")
    await page.get_by_label("Track a store").fill("small_shop")
    await page.get_by_role("button", name="Track", exact=True).click()
    await expect(notice).to_contain_text("small_shop is tracked")
    section = page.locator("section", has_text="small_shop")
    await section.get_by_text("Remove…").click()
    await section.get_by_role("button", name="Remove").click()
    await expect(notice).to_contain_text("small_shop is forgotten")
    page = await window.open("/admin/queue?status=unmatched")
    await page.get_by_role("button", name="Match it next").first.click()
    await expect(notice).to_contain_text("is matched next")
    page = await window.open("/admin/cache")
    await page.get_by_label("Which").fill("249504")
    await page.get_by_role("button", name="Purge").click()
    await expect(notice).to_contain_text("Nothing was kept of it")
    page = await window.open("/admin/budget")
    async with page.expect_response("**/admin/budget.json") as renewed:
        assert (await (await renewed.value).json())["shopper_waiting"] == 0


async def test_who_was_logged_out_elsewhere_is_told_so(windows: Windows, proxy: Proxy) -> None:
    window = await windows.open("admin")
    page = await window.open("/admin/budget")
    (cookie,) = await window.context.cookies()
    await proxy.app[keys.ACCESS].end_session(cookie.get("value", ""))
    await expect(page.get_by_role("alert")).to_contain_text("You are not logged in any more")


async def test_who_logs_in_after_another_in_the_same_tab_undoes_nothing_of_his(windows: Windows, proxy: Proxy) -> None:
    window = await windows.open("anna")
    page = await window.open(f"/admin/releases/{(await matches(proxy))[0]['release_id']}")
    await window.press("a")
    await page.get_by_role("button", name="Log out anna").click()
    await window.log_in("boris")
    await window.press("u")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is left to undo that you decided")
    database = proxy.app[keys.DATABASE]
    assert [action for _, action in await decisions_of(database, "anna")] == ["approve"]
    assert await decisions_of(database, "boris") == []


async def test_after_a_form_that_failed_the_page_can_be_loaded_again(windows: Windows) -> None:
    window = await windows.open("admin")
    page = await window.open("/admin/stores")
    too_long = "each => { each.value = 'x'.repeat(30000) }"
    await page.locator("form[data-act=pause] input").evaluate(too_long)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("alert")).to_contain_text("too large")
    window.complaints.clear()  # the browser tells of the 400
    again = await page.reload()
    assert again
    assert again.status == 200
    await expect(page.get_by_role("heading", name="Stores")).to_be_visible()


@pytest.mark.parametrize(("dark", "width"), [(False, 1100), (True, 1100), (False, 390), (True, 390)])
async def test_every_page_is_accessible_in_light_and_dark_and_on_a_phone(
    windows: Windows, proxy: Proxy, dark: bool, width: int
) -> None:
    release_id = (await matches(proxy))[0]["release_id"]
    axe = Axe()
    window = await windows.open(None, dark=dark, width=width)
    await window.open("/admin/login")
    found = await serious(axe, window.page)
    await window.log_in("admin")
    for path in (*PAGES, f"releases/{release_id}", *ADMINS_PAGES):
        page = await window.open(f"/admin/{path}")
        found += [f"{path}: {each}" for each in await serious(axe, page)]
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"
        small = await page.evaluate(
            """[...document.querySelectorAll('button, .button, .play, nav a, summary')]
               .filter(each => each.offsetParent && each.getBoundingClientRect().height < 43.9)
               .map(each => each.textContent)"""
        )
        assert small == []
        links = await page.evaluate(
            """[...document.querySelectorAll('main a, footer a')]
               .filter(each => each.offsetParent)
               .map(each => [each.textContent, each.getBoundingClientRect()])
               .filter(([_, box]) => box.height < 24 || box.width < 24)
               .map(([text, _]) => text)"""
        )
        assert links == []
    assert found == []


async def serious(axe: Axe, page: Page) -> list[str]:
    result = await axe.run(page)
    return [
        f"{each['id']} {[node['target'] for node in each['nodes']][:3]}"
        for each in result.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
