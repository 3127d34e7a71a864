"""The operator's page without a browser: its headers, forms, limits and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlencode

import aiohttp
import pytest

from proxy import keys
from proxy.adapters import mirror
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.proxy.pages.reviewing import REVIEWERS, TOKENS, ask, matched, matches, seen, send
from tests.simulated_discogs import SimulatedDiscogs

ROOT = Path(__file__).resolve().parents[3]
FIELD = re.compile(r'name="([^"]*)" value="([^"]*)"')


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    found = await start_proxy(STORES=STORE, REVIEW_TOKENS=REVIEWERS)
    await matched(found)
    return found


def released(body: str) -> list[int]:
    return [int(each) for each in re.findall(r'class="title" href="/admin/releases/(\d+)"', body)]


async def test_every_page_bears_a_strict_policy_and_lets_youtube_know_where_from(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(REVIEW_TOKENS=REVIEWERS)
    for path in ("/admin/login", "/admin/review", "/admin/stores", "/admin/queue", "/admin/cache", "/admin/budget"):
        response, body = await seen(proxy, path, "admin")
        assert response.status == 200
        policy = dict(each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert "unsafe" not in str(policy)
        assert response.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert not re.search(r"<script(?! src=)|<style|\son\w+=|style=", body)


def test_pages_stay_those_of_the_code_that_runs_while_a_new_version_is_put_in_its_place(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "proxy", tmp_path / "proxy")
    script = """
        from proxy.handlers.pages import ENVIRONMENT, PAGES_DIR
        for each in PAGES_DIR.glob("*.html"):
            each.write_text("{{ of_the_new_version }}")
        values = {"caller": None, "menu": (), "here": "/admin", "error": "no such page"}
        print(ENVIRONMENT.get_template("error.html").render(**values))
    """
    ran = subprocess.run(
        [sys.executable, "-c", dedent(script)],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no such page" in ran.stdout, ran.stderr


async def test_static_files_are_found_unchanged(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    for name, kind in (("admin.css", "text/css"), ("admin.js", "text/javascript")):
        response, _ = await proxy.get(f"/admin/static/{name}")
        assert (response.status, response.content_type) == (200, kind)
        again, body = await proxy.get(f"/admin/static/{name}", If_None_Match=response.headers["ETag"])
        assert (again.status, body) == (304, b"")
    for name in ("nothing.css", "..%2fbase.html", "base.html"):
        response, _ = await proxy.get(f"/admin/static/{name}")
        assert response.status == 404


async def test_who_is_not_logged_in_sees_the_form_alone(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    response, _ = await proxy.get("/admin/review?tab=approved")
    assert (response.status, response.headers["Location"]) == (
        303,
        "/admin/login?next=%2Fadmin%2Freview%3Ftab%3Dapproved",
    )
    for strange in (
        "https://evil.example/",
        "//evil.example",
        "/admin\\@evil",
        "/administrator",
        "javascript:alert(1)",
    ):
        _, body = await proxy.get(f"/admin/login?next={strange}")
        assert 'name="next" value="/admin"' in body.decode()


async def test_guessing_is_limited_and_locks_nobody_out(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()

    async def log_in(token: str) -> tuple[aiohttp.ClientResponse, bytes]:
        form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": proxy.url}
        return await proxy.request("POST", "/admin/login", data=f"token={token}", **form)

    assert [(await log_in("wrong"))[0].status for _ in range(10)] == [401] * 10
    response, body = await log_in("wrong")
    assert response.status == 429
    assert int(response.headers["Retry-After"]) > 0
    assert "Too many wrong tokens" in body.decode()
    assert (await log_in(ADMIN_TOKEN))[0].status == 303


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("multipart/form-data", "x"),
        ("multipart/form-data; boundary=x", "--x"),
        ("application/x-www-form-urlencoded; charset=unheard-of", "token=x"),
    ],
)
async def test_a_form_that_cannot_be_read_is_told(start_proxy: StartProxy, content_type: str, form: str) -> None:
    proxy = await start_proxy()
    response, body = await proxy.request("POST", "/admin/login", data=form, Content_Type=content_type, Origin=proxy.url)
    assert response.status == 400
    assert "The form cannot be read" in body.decode()


async def test_no_page_lets_a_browser_ask_discogs_for_an_icon(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    _, body = await proxy.get("/admin/login")
    assert '<link rel="icon" href="/admin/static/icon.svg"' in body.decode()
    response, _ = await proxy.get("/admin/static/icon.svg")
    assert (response.status, response.content_type) == (200, "image/svg+xml")


async def test_a_form_of_another_site_changes_nothing(proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    form: dict[str, object] = {"release": match["release_id"]}
    response, _ = await send(proxy, f"/admin/matches/{match['id']}/reject", form, Origin="https://evil.example")
    assert response.status == 403
    assert match["id"] in [each["id"] for each in await matches(proxy)]


async def test_the_list_is_paged_without_gap_or_double_and_what_is_for_sale_comes_first(proxy: Proxy) -> None:
    async with proxy.app[keys.DATABASE].transaction() as connection:
        await connection.execute("UPDATE track_matches SET approved = false WHERE verified_at IS NULL")
        expected = await connection.fetchval("SELECT count(DISTINCT release_id) FROM track_matches")
        gone = await connection.fetchval("SELECT min(release_id) FROM track_matches")
        await connection.execute("UPDATE mirror_listings SET gone_at = now() WHERE release_id = $1", gone)
    found: list[int] = []
    path: str | None = "/admin/review"
    while path:
        _, body = await seen(proxy, path)
        found += released(body)
        following = re.search(r'rel="next" href="([^"]+)"', body)
        path = following[1].replace("&amp;", "&") if following else None
    assert len(found) == len(set(found)) == expected > 30
    assert found[-1] == gone


async def opened(proxy: Proxy, release_id: int, times: int) -> None:
    """By shoppers."""
    for _ in range(times):
        await proxy.get(f"/releases/{release_id}")
    await proxy.app[keys.DEMAND].flush()


async def test_what_shoppers_open_most_is_reviewed_first_also_when_it_is_matched_again(proxy: Proxy) -> None:
    _, body = await seen(proxy, "/admin/review")
    *_, once, twice = order = released(body)
    await opened(proxy, once, 1)
    await opened(proxy, twice, 2)
    rejected = next(each["id"] for each in await matches(proxy, "approved") if each["release_id"] == twice)
    await ask(proxy, "POST", f"/api/admin/matches/{rejected}/reject")  # it waits behind all others now
    _, body = await seen(proxy, "/admin/review")
    assert released(body) == [twice, once, *order[:-2]]
    assert (await matches(proxy))[0]["release_id"] == twice


async def test_who_reads_on_while_shoppers_look_sees_no_release_twice(proxy: Proxy) -> None:
    async with proxy.app[keys.DATABASE].transaction() as connection:
        await connection.execute("UPDATE track_matches SET approved = false WHERE verified_at IS NULL")
    _, body = await seen(proxy, "/admin/review")
    first, following = released(body), re.search(r'rel="next" href="([^"]+)"', body)
    assert following
    await opened(proxy, first[-1], 3)
    _, body = await seen(proxy, following[1].replace("&amp;", "&"))
    assert released(body)
    assert not set(first) & set(released(body))


async def test_a_decision_leads_on_until_nothing_is_pending(proxy: Proxy) -> None:
    _, body = await seen(proxy, "/admin/review")
    order = released(body)
    visited = []
    path = f"/admin/releases/{order[0]}"
    for _ in range(200):
        _, body = await seen(proxy, path)
        if "/admin/releases/" not in path:
            break
        visited.append(int(re.findall(r"\d+", path)[0]))
        fields = dict(re.findall(r'name="(release|at|seen|pending)" value="([^"]*)"', body))
        waiting = re.findall(r'data-pending.*?action="(/admin/matches/\d+/)approve"', body, re.DOTALL)
        response, _ = await send(proxy, f"{waiting[0]}{'reject' if len(visited) % 2 else 'approve'}", fields)
        assert response.status == 303
        path = response.headers["Location"]
    assert list(dict.fromkeys(visited)) == order
    assert "Nothing waits for you" in body


async def test_a_sure_match_that_waits_for_a_person_says_why(proxy: Proxy) -> None:
    sure = [each for each in await matches(proxy) if each["confidence"] > 95]
    assert sure
    for match in sure:
        _, body = await seen(proxy, f"/admin/releases/{match['release_id']}")
        shown = re.search(rf"{match['confidence']:.1f} %</strong> sure\s+· waits for you: (.+)", body)
        assert shown
        assert shown[1] != "less than 85 % sure"


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "for sale"])
async def test_search_minds_no_case_no_accents_and_not_how_a_number_is_written(proxy: Proxy, is_kept: bool) -> None:
    release_id = (await matches(proxy))[0]["release_id"]
    said = {"artist": "O. Chãos", "title": "Manhã De Saudade", "catalog_number": "SOMP-0166"}
    async with proxy.app[keys.DATABASE].transaction() as connection:
        if is_kept:
            await connection.execute(
                "UPDATE releases SET artist = $2, title = $3, catno = $4 WHERE discogs_id = $1",
                *(release_id, *said.values()),
            )
        else:
            await connection.execute(
                "UPDATE releases SET title = NULL, artist = NULL WHERE discogs_id = $1", release_id
            )
            await connection.execute(
                "UPDATE mirror_listings SET body = $2 WHERE release_id = $1",
                *(release_id, json.dumps({"release": said}).encode()),
            )
    written = ["Manhã de", "manha de", "MANHA", "Manha\u0303", "chaos manhã"]
    for query in (*written, "somp-0166", "SOMP0166", "somp 0166", "ｓｏｍｐ0166"):
        _, body = await seen(proxy, f"/admin/review?{urlencode({'q': query})}")
        assert released(body) == [release_id], query


async def test_repeated_taps_are_one_decision(proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    form: dict[str, object] = {"release": match["release_id"], "seen": 0, "pending": 1}
    for _ in range(3):
        response, _ = await send(proxy, f"/admin/matches/{match['id']}/approve", form)
        assert response.status == 303
    _, told = await ask(proxy, "GET", f"/api/admin/releases/{match['release_id']}/decisions")
    assert len(told["decisions"]) == 1


async def test_to_use_the_next_best_is_to_paste_its_url_and_harmless_when_repeated(proxy: Proxy) -> None:
    match = next(each for each in await matches(proxy) if each["runner_up"])
    release_id, url = match["release_id"], match["runner_up"]["url"]
    _, body = await seen(proxy, f"/admin/releases/{release_id}")
    shown = re.findall(r'action="([^"]+)" data-act="use-next-best">(.*?)</form>', body, re.DOTALL)
    path, fields = next((path, dict(FIELD.findall(fields))) for path, fields in shown if url in fields)
    assert path == f"/admin/releases/{release_id}/tracks/{match['track_index']}/match"
    for _ in range(3):
        response, _ = await send(proxy, path, fields)
        assert response.status == 303
    _, told = await ask(proxy, "GET", f"/api/admin/releases/{release_id}/decisions")
    assert [(each["action"], each["match_url"], each["decided_by"]) for each in told["decisions"]] == [
        ("set", url, "anna")
    ]
    used = [each for each in await matches(proxy, "approved") if each["match_url"] == url]
    assert [(each["provider"], each["confidence"], each["verified_by"]) for each in used] == [("person", 100, "anna")]
    assert match["id"] not in [each["id"] for each in await matches(proxy)]


async def test_a_release_never_seen_is_shown_with_how_it_becomes_known_and_nothing_to_decide(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy()
    release_id = discogs.catalogue.for_sale(STORE)[0].release_id
    path = f"/admin/releases/{release_id}"
    _, body = await seen(proxy, path, "admin")
    assert 'class="track' in body
    assert f'href="/releases/{release_id}"' in body
    assert f'action="{path}' not in body
    await proxy.get(f"/releases/{release_id}")
    _, body = await seen(proxy, path, "admin")
    assert f'href="/releases/{release_id}"' not in body
    assert f'action="{path}/no-audio"' in body
    _, body = await seen(proxy, "/admin/releases/999999999", "admin")
    assert "Discogs has no such release." in body
    assert 'href="/releases/' not in body


async def test_an_outdated_decision_is_not_kept(proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    release_id = match["release_id"]
    form: dict[str, object] = {"release": release_id, "seen": 0, "pending": 1}
    await send(proxy, f"/admin/matches/{match['id']}/approve", form, "anna")
    for path, fields in (
        (f"/admin/matches/{match['id']}/reject", form),
        (f"/admin/releases/{release_id}/no-audio", form),
        (f"/admin/releases/{release_id}/tracks/{match['track_index']}/match", form | {"url": "https://a.example/b"}),
    ):
        response, body = await send(proxy, path, fields, "boris")
        assert response.status == 409
        assert "anna approved this track&#39;s match meanwhile: your decision was not kept." in body
    _, told = await ask(proxy, "GET", f"/api/admin/releases/{release_id}/decisions")
    assert [each["decided_by"] for each in told["decisions"]] == ["anna"]


async def test_what_is_told_to_be_undone_is_ones_own_decision_and_nothing_later(proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    release_id, decide = match["release_id"], f"/admin/matches/{match['id']}"
    form: dict[str, object] = {"release": release_id, "pending": 1}
    undo_approval = await notice_of(proxy, await send(proxy, f"{decide}/approve", form, "anna"), "anna")
    undo_rejection = await notice_of(proxy, await send(proxy, f"{decide}/reject", form, "boris"), "boris")
    response, body = await send(proxy, *undo_approval, "anna")
    assert response.status == 409
    assert "boris rejected this track&#39;s match meanwhile: nothing was taken back." in body
    response, _ = await send(proxy, *undo_rejection, "boris")
    assert response.status == 303
    _, told = await ask(proxy, "GET", f"/api/admin/releases/{release_id}/decisions")
    done = [(each["decided_by"], each["action"]) for each in told["decisions"]]
    assert done == [("boris", "undo"), ("boris", "reject"), ("anna", "approve")]


async def test_that_there_is_no_audio_is_taken_back_by_who_said_it_and_not_what_another_said_since(
    proxy: Proxy,
) -> None:
    release_id = (await matches(proxy))[0]["release_id"]
    path, form = f"/admin/releases/{release_id}", {"pending": "1"}
    undo = await notice_of(proxy, await send(proxy, f"{path}/no-audio", dict(form), "anna"), "anna")
    await send(proxy, f"{path}/undo-no-audio", dict(form), "boris")
    await send(proxy, f"{path}/no-audio", dict(form), "boris")
    response, body = await send(proxy, *undo, "anna")
    assert response.status == 409
    assert "boris said that there is no audio, ever, for this release meanwhile: nothing was taken back." in body


async def test_who_decides_a_track_twice_takes_both_back_one_after_the_other(proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    release_id = match["release_id"]
    url = f"/admin/releases/{release_id}/tracks/{match['track_index']}/match"
    approved = await send(proxy, f"/admin/matches/{match['id']}/approve", {"release": release_id})
    undo_approval = await notice_of(proxy, approved)
    undo_url = await notice_of(proxy, await send(proxy, url, {"url": "https://a.example/b"}))
    for undo in (undo_url, undo_approval):
        response, _ = await send(proxy, *undo)
        assert response.status == 303
    assert match["id"] in [each["id"] for each in await matches(proxy)]


async def notice_of(
    proxy: Proxy, answer: tuple[aiohttp.ClientResponse, str], who: str = "anna"
) -> tuple[str, dict[str, object]]:
    """What the button of the notice sends that tells of a decision made just now."""
    _, body = await seen(proxy, answer[0].headers["Location"], who)
    found = re.search(r'data-notice>.*?action="([^"]+)" data-act="undo">(.*?)</form>', body, re.DOTALL)
    assert found
    return found[1], dict(FIELD.findall(found[2]))


async def test_a_reviewer_reviews_what_his_stores_sell_and_nothing_else(proxy: Proxy) -> None:
    match = (await matches(proxy))[0]
    _, body = await seen(proxy, "/admin/review", "carl")
    assert released(body) == []
    assert "/admin/stores" not in body
    for path in (f"/admin/releases/{match['release_id']}",):
        response, _ = await seen(proxy, path, "carl")
        assert response.status == 404
    response, _ = await send(proxy, f"/admin/matches/{match['id']}/approve", {"release": match["release_id"]}, "carl")
    assert response.status == 404
    for path in ("/admin/stores", "/admin/queue", "/admin/cache", "/admin/budget", "/admin/budget.json"):
        response, _ = await seen(proxy, path, "anna")
        assert response.status == 403
    for path in ("/admin/purge", "/admin/stores", f"/admin/queue/{match['release_id']}/requeue"):
        response, _ = await send(proxy, path, {}, "anna")
        assert response.status == 403
    assert len(TOKENS) == 4


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/admin/matches/x/approve", {"release": 1}, 400),
        ("/admin/matches/1/approve", {}, 400),
        ("/admin/matches/999999/approve", {"release": 1}, 404),
        ("/admin/releases/0/approve", {}, 400),
        ("/admin/releases/1/tracks/0/match", {"url": "javascript:alert(1)"}, 400),
        ("/admin/releases/1/undo", {"matches": "1,x"}, 400),
        ("/admin/stores", {"username": "../x"}, 400),
        ("/admin/stores/nobody/pause", {}, 404),
        ("/admin/queue/5/requeue", {}, 404),
        ("/admin/purge", {"kind": "all", "what": "x"}, 400),
        ("/admin/purge", {"kind": "release", "what": "x"}, 400),
        ("/admin/purge", {"kind": "path", "what": "x"}, 400),
        ("/admin/purge", {"kind": "store", "what": "a/b"}, 400),
    ],
)
async def test_what_cannot_be_done_is_told_on_a_page(
    start_proxy: StartProxy, path: str, form: dict[str, object], status: int
) -> None:
    proxy = await start_proxy(REVIEW_TOKENS=REVIEWERS)
    response, body = await send(proxy, path, form, "admin")
    assert response.status == status
    assert 'role="alert"' in body
    assert "{" not in body, "who fills in a form knows nothing of JSON"


@pytest.mark.parametrize("query", ["tab=odd", "cursor=!", f"q={'a' * 201}"])
async def test_a_list_that_cannot_be_is_told(start_proxy: StartProxy, query: str) -> None:
    response, body = await seen(await start_proxy(), f"/admin/review?{query}", "admin")
    assert response.status == 400
    assert 'role="alert"' in body


async def test_stores_are_shown_page_by_page_and_what_is_done_leads_back_to_the_page(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    async with proxy.app[keys.DATABASE].connection() as connection:
        for number in range(51):
            await mirror.make_known(connection, f"store{number:02}")
    _, body = await seen(proxy, "/admin/stores", "admin")
    following = re.search(r'rel="next" href="([^"]+)"', body)
    assert following
    assert "store49" in body
    assert "store50" not in body
    _, body = await seen(proxy, following[1], "admin")
    assert re.findall(r'<h2 id="store-\d+">(\w+)', body) == ["store50"]
    response, _ = await send(proxy, "/admin/stores/store50/remove", {"path": following[1]}, "admin")
    assert response.headers["Location"] == f"{following[1]}&did=remove&store=store50"
    _, body = await seen(proxy, response.headers["Location"], "admin")
    assert "store50 is forgotten" in body
    assert "No further store" in body


async def test_a_paused_store_is_checked_only_when_it_is_asked_for(proxy: Proxy) -> None:
    for action, paused in (("pause", True), ("pause", True), ("resume", False)):
        status, row = await ask(proxy, "POST", f"/api/admin/stores/{STORE}/{action}")
        assert (status, row["paused"]) == (200, paused)
    status, _ = await ask(proxy, "POST", "/api/admin/stores/nobody_here/pause")
    assert status == 404


async def test_a_browser_that_may_not_see_a_page_is_told_on_one(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(REVIEW_TOKENS=REVIEWERS)
    for path, status in (("/admin/stores", 403), ("/admin/nothing", 403)):
        response, body = await seen(proxy, path, "anna", "text/html,*/*;q=0.8")
        assert (response.status, response.content_type) == (status, "text/html")
        assert 'role="alert"' in body
        response, body = await seen(proxy, path, "anna")
        assert (response.status, response.content_type) == (status, "application/json")
