// The operator's page by keyboard and without reloading. Without it all forms and links work as they stand.
"use strict";

const main = document.getElementById("main");
const said = document.getElementById("said");
const help = document.getElementById("help");
const who = document.querySelector(".who")?.dataset.name;
const UNDO = `discogs-proxy undo ${who}`; // what he can take back, newest last, for as long as the tab lives
const UNDO_MAX = 200;
const LOGGED_OUT = "You are not logged in any more: reload the page.";
let current = null; // the track or release that keys are for
let busy = false; // while an answer is awaited further presses do nothing

document.documentElement.dataset.script = "";

// --- where the reviewer is ---

const items = () => [...main.querySelectorAll("[data-item]")];

function move(item) {
  if (!item) return;
  current = item;
  (item.querySelector("a.title") ?? item).focus({ preventScroll: true });
  item.scrollIntoView({ block: item.offsetHeight > innerHeight * 0.8 ? "start" : "nearest" });
}

function step(by) {
  const all = items();
  const here = all.indexOf(current);
  move(all[here < 0 ? 0 : Math.min(all.length - 1, Math.max(0, here + by))]);
}

// Of a list: the entry where the reviewer is, the first one before he has moved.
const open = () => (current ?? items()[0])?.querySelector("a.title")?.click();

function pendingAfter(item) {
  const all = items();
  return all.slice(all.indexOf(item) + 1).find((each) => "pending" in each.dataset);
}

// The list alone can be searched.
async function search() {
  const box = () => main.querySelector("input[type=search]");
  if (!box()) await go("/admin/review");
  box()?.focus();
}

function skip() {
  const next = pendingAfter(current);
  if (next) move(next);
  else if (main.dataset.following) go(main.dataset.following);
}

// The place to begin: after the track that was decided just now, else the first that is pending.
function begin(id) {
  const decided = id ? document.getElementById(id) : null;
  const after = decided && ("pending" in decided.dataset ? decided : pendingAfter(decided));
  current = null;
  move(after ?? main.querySelector("[data-pending]") ?? decided);
  if (!current) main.focus({ preventScroll: true });
}

// --- asking the server, and showing its page in place ---

// `failedAt`: where he stays if what he sent was not taken, as its own address shows no page.
async function show(request, id, failedAt) {
  if (busy) return;
  busy = true;
  main.setAttribute("aria-busy", "true");
  try {
    const response = await request();
    if (!response.headers.get("Content-Type")?.startsWith("text/html")) throw new Error(await sentence(response));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (!page.querySelector(".who")) {
      location.assign(response.url); // logged out meanwhile
      return;
    }
    put(page, failedAt && !response.redirected ? failedAt : response.url, id);
  } catch (error) {
    const away = "The proxy does not answer. Nothing is known to be changed: try again.";
    tell(error instanceof TypeError ? away : error.message);
  } finally {
    busy = false;
    main.removeAttribute("aria-busy");
  }
}

async function sentence(response) {
  if (response.status === 401) return LOGGED_OUT;
  try {
    return (await response.json()).message;
  } catch {
    return `The proxy answered ${response.status}: try again.`;
  }
}

function put(page, url, id) {
  const fresh = page.getElementById("main");
  const path = fresh.dataset.path ?? url;
  const stays = fresh.dataset.path !== undefined && fresh.dataset.path === main.dataset.path;
  document.title = page.title;
  for (const name of Object.keys(main.dataset)) delete main.dataset[name];
  Object.assign(main.dataset, fresh.dataset);
  main.replaceChildren(...fresh.childNodes);
  history[stays ? "replaceState" : "pushState"](null, "", path);
  if (!stays) scrollTo(0, 0);
  remember();
  begin(stays ? id : null);
}

const go = (path) => show(() => fetch(path), null);
const post = (action, fields, id) =>
  show(() => fetch(action, { method: "POST", body: new URLSearchParams(fields) }), id, location.href);

// --- what is told ---

function tell(text) {
  main.querySelector(".own-words")?.remove();
  const alert = document.createElement("p");
  alert.className = "alert own-words";
  alert.setAttribute("role", "alert");
  alert.textContent = text;
  main.prepend(alert);
}

// A decision can be taken back later, too, when the notice that told of it has gone.
function remember() {
  const notice = main.querySelector("[data-notice]");
  said.textContent = (main.querySelector(".alert") ?? notice?.querySelector("p"))?.textContent.trim() ?? "";
  const form = notice?.querySelector("form");
  if (form) undoable([...undoable(), { action: form.action, fields: [...new FormData(form)] }].slice(-UNDO_MAX));
}

function undoable(list) {
  if (list) sessionStorage.setItem(UNDO, JSON.stringify(list));
  return list ?? JSON.parse(sessionStorage.getItem(UNDO) ?? "[]");
}

function undo() {
  const list = undoable();
  const last = list.pop();
  if (!last) {
    tell("Nothing is left to undo that you decided in this tab.");
    return;
  }
  undoable(list);
  post(last.action, last.fields, null);
}

// --- players: loaded when they are wanted ---

function play(player) {
  if (!player) return;
  const isRunning = player.querySelector("iframe") !== null;
  stopAll();
  if (isRunning) return;
  const frame = document.createElement("iframe");
  frame.src = player.dataset.player;
  frame.title = `Player: ${player.closest("[data-item]").getAttribute("aria-label")}`;
  frame.allow = "autoplay; encrypted-media; fullscreen; picture-in-picture";
  frame.referrerPolicy = "strict-origin-when-cross-origin"; // YouTube plays for nobody who hides where from
  player.querySelector(".play").hidden = true;
  player.append(frame);
}

function stopAll() {
  for (const frame of main.querySelectorAll("[data-player] iframe")) {
    frame.parentElement.querySelector(".play").hidden = false;
    frame.remove();
  }
}

// --- keys and clicks ---

const press = (action, where = current) => where?.querySelector(`form[data-act="${action}"] button`)?.click();

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  Enter: open,
  a: () => press("approve"),
  r: () => press("reject"),
  o: () => press("use-next-best"),
  A: () => press("all-approve", main),
  R: () => press("all-reject", main),
  N: () => press("all-no-audio", main),
  s: skip,
  u: undo,
  p: () => play(current?.querySelector("[data-player]")),
  "?": () => help?.showModal(),
  "/": search,
};

document.addEventListener("keydown", (event) => {
  const key = KEYS[event.key];
  const types = event.target.closest("input, select, textarea, dialog");
  const isPressed = event.key === "Enter" && event.target.closest("a, button, summary");
  if (!key || types || isPressed || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!busy) key();
});

document.addEventListener("focusin", (event) => {
  current = event.target.closest("[data-item]") ?? current;
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.act) return;
  event.preventDefault();
  post(form.action, [...new FormData(form)], form.closest("[data-item]")?.id);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help.showModal();
  const link = event.target.closest(".play");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  play(link.closest("[data-player]"));
});

// The second tap of a double tap may fall on a button that has come into this place meanwhile.
document.addEventListener("click", (event) => {
  if (event.detail > 1 && event.target.closest("form[data-act] button")) event.preventDefault();
});

addEventListener("popstate", () => location.reload());

// --- the budget, live ---

const LIVE_MS = 3000;

async function renew() {
  const live = main.querySelector("[data-live]");
  if (live && !document.hidden) await figures(live);
  setTimeout(renew, LIVE_MS);
}

async function figures(live) {
  try {
    const response = await fetch(live.dataset.live);
    if (response.redirected) throw new Error(LOGGED_OUT); // to the log-in
    if (!response.ok) throw new Error(await sentence(response));
    for (const [name, value] of Object.entries(await response.json())) {
      for (const place of live.querySelectorAll(`[data-figure="${name}"]`)) {
        place.textContent = value;
      }
    }
    main.querySelector(".own-words")?.remove();
  } catch (error) {
    tell(error instanceof TypeError ? "The proxy does not answer: these figures are old." : error.message);
  }
}

remember();
if (main.querySelector("[data-pending]")) begin(null);
if (main.querySelector("[data-live]")) setTimeout(renew, LIVE_MS);
