"""What the proxy answers by itself, as OpenAPI 3.1; tests hold it true to the routes and to the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from matcher.domain.links import LinkState
from matcher.domain.queue_words import QueueState
from matcher.models import MatchStatus, ProcessingStatus
from proxy import __version__
from proxy.adapters.tracking import HOURS_KEPT
from proxy.domain.asked import ID_MAX, LIMIT_DEFAULT, LIMIT_MAX
from proxy.domain.resources import RELEASE_ID_MAX
from proxy.domain.review import INDEX_MAX
from proxy.domain.store_query import FEED_LIMIT, FEED_LIMIT_MOST, FIELDS, Sort
from proxy.handlers.admin import LIMIT_MAX as DRAIN_MAX
from proxy.handlers.middleware import json_response

Json = Mapping[str, object]

ERRORS = {
    400: "What is asked cannot be understood.",
    401: "No token, or a wrong one.",
    403: "The token does not suffice, or a page that is not ours asks for a change.",
    404: "There is no such thing.",
    409: "It cannot be done as things are; the message says why.",
    413: "The body is too long.",
    429: "Too many calls, or no call to Discogs is free in time: see Retry-After.",
    502: "Discogs did not answer as it should.",
    503: "A part of the proxy is away: see Retry-After.",
    504: "Discogs did not answer in time.",
}
OF_ADMIN = (400, 401, 403, 429, 503)
OF_DISCOGS = (502, 504)


# --- schemas --------------------------------------------------------------------------------------------------------

TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
COUNT: Json = {"type": "integer", "minimum": 0}
NUMBER: Json = {"type": "number"}
FRACTION: Json = {"type": ["number", "null"], "maximum": 1}
RELEASE_ID: Json = {"type": "integer", "minimum": 1, "maximum": RELEASE_ID_MAX}
ANY_OBJECT: Json = {"type": "object"}
BY: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "description": "Who decides; of a reviewer his own name.",
}


def nullable(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


def array(items: Json) -> Json:
    return {"type": "array", "items": items}


def record(**members: Json) -> Json:
    """All of these members and no others."""
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def described(what: str, schema: Json) -> Json:
    return {**schema, "description": what}


def optional(schema: Json, **members: Json) -> Json:
    """The same with members that may be missing."""
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101 - of a record
    return {**schema, "properties": {**properties, **members}}


CALLS = {
    "requests": COUNT,
    "hits": COUNT,
    "hit_rate": FRACTION,
    "client": COUNT,
    "upstream": COUNT,
    "reduction": FRACTION,
}
MATCH = record(
    id=COUNT,
    release_id=COUNT,
    artist=nullable(TEXT),
    release_title=nullable(TEXT),
    track_index=nullable(COUNT),
    sub_index=nullable(COUNT),
    position=nullable(TEXT),
    title=nullable(TEXT),
    duration=nullable(TEXT),
    platform=nullable(TEXT),
    match_url=nullable(TEXT),
    candidate_title=nullable(TEXT),
    candidate_duration_s=nullable(COUNT),
    provider=nullable(TEXT),
    confidence=nullable(NUMBER),
    status={"enum": list(MatchStatus)},
    verified_by=nullable(TEXT),
    verified_at=nullable(TIME),
    created_at=nullable(TIME),
    dead_since=nullable(TIME),
    link_state={"enum": [*LinkState, "expired"]},
    reasons=array(ANY_OBJECT),
    runner_up=nullable(record(url=TEXT, title=nullable(TEXT), confidence=NUMBER)),
)
DECISION = record(
    id=COUNT,
    track_index=nullable(COUNT),
    sub_index=nullable(COUNT),
    match_id=nullable(COUNT),
    match_url=nullable(TEXT),
    action={"enum": ["approve", "reject", "set", "undo", "no_audio"]},
    decided_by=TEXT,
    decided_at=TIME,
)
JOB = record(
    release_id=COUNT,
    artist=nullable(TEXT),
    title=nullable(TEXT),
    store=nullable(TEXT),
    state={"enum": list(QueueState)},
    priority=TEXT,
    attempts=COUNT,
    enqueued_at=TIME,
    not_before=TIME,
    decided_at=nullable(TIME),
    last_error=nullable(TEXT),
    why=TEXT,
)
STORE = record(
    username=TEXT,
    tracked={"enum": ["settings", "operator", "requests", None]},
    mirrored=FLAG,
    paused=FLAG,
    items=nullable(COUNT),
    checked_at=nullable(TIME),
    reconciled_at=nullable(TIME),
    requested_at=nullable(TIME),
    sweep=nullable(record(pages_read=COUNT, pages=nullable(COUNT))),
    seconds_left=nullable(COUNT),
    check_interval_ms=nullable(COUNT),
    coverage=record(known=COUNT, total=nullable(COUNT)),
    version=COUNT,
    gone_at=nullable(TIME),
    calls_24h=record(**CALLS, replaced=COUNT, checks=COUNT),
)
FORWARDED = described(
    "Asked for in the last day in a way that spares no call, with the setting to change.",
    record(username=TEXT, change=TEXT, asked_at=TIME),
)
OF_ALL_STORES = {"check_interval_ms": COUNT, "calls_24h": record(**CALLS), "progress": ANY_OBJECT}
NUMBERS = record(
    since=TIME,
    stores={
        "type": "object",
        "additionalProperties": record(
            requests=COUNT, hits=COUNT, hit_rate=FRACTION, load_ms=record(p50=nullable(NUMBER), p95=nullable(NUMBER))
        ),
    },
    api_calls=record(client=COUNT, upstream=COUNT, reduction=FRACTION),
    queue=described("Releases by their state now.", record(**{status.value: COUNT for status in ProcessingStatus})),
    matching=described(
        "Match jobs of these hours: `releases` decided, `matched` of them; one looked at again counts again.",
        record(releases=COUNT, matched=COUNT, success_rate=FRACTION),
    ),
    budget=record(limit=nullable(COUNT), remaining=nullable(COUNT)),
)
DECIDED = record(changed=FLAG, match=nullable(MATCH))
DECIDED_RELEASE = record(changed=FLAG, matches=array(MATCH))
DRAINED = record(**dict.fromkeys(("processed", "cached", "unmatched", "failed", "parked", "remaining"), COUNT))
MIGRATED = record(
    matches=COUNT, orphaned_releases=COUNT, newly_queued=COUNT, has_audio_corrected=COUNT, foreign_key=TEXT
)
SYNCED = record(
    result={"enum": ["running", "gone", "failed", "swept", "changed", "unchanged"]},
    **dict.fromkeys(("calls", "added", "removed", "moved", "edited", "pages", "middle"), COUNT),
    store=STORE,
)
HIDDEN = record(store=TEXT, listing_id=COUNT, description=nullable(TEXT), hidden=COUNT, next_check_at=nullable(TIME))
RESULTS = optional(
    record(results=array(ANY_OBJECT), cacheStats=record(cached=COUNT, fresh=COUNT, total=COUNT), notices=ANY_OBJECT),
    pagination=record(page=COUNT, pages=COUNT, per_page=COUNT, items=COUNT),
    coverage=record(known=COUNT, total=COUNT),
)
PURGED = record(soft=FLAG, dropped={"type": "object", "additionalProperties": COUNT})
SOFT = {"soft": {"type": "boolean", "default": True, "description": "It still serves while Discogs fails."}}


# --- operations -----------------------------------------------------------------------------------------------------


def in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Json, description: str = "") -> Json:
    return {"name": name, "in": "query", "schema": schema, **({"description": description} if description else {})}


def operation(
    summary: str,
    answers: Mapping[int, Json | None],
    errors: Sequence[int],
    *parameters: Json,
    body: Json | None = None,
    needs_body: bool = False,
) -> Json:
    told = {str(status): _answer(status, schema) for status, schema in answers.items()}
    told |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in errors}
    made: dict[str, object] = {"summary": summary, "responses": told, "parameters": list(parameters)}
    if body is not None:
        made["requestBody"] = {"required": needs_body, "content": {"application/json": {"schema": body}}}
    return made


def admin(
    summary: str,
    answer: Json | None,
    errors: Sequence[int] = (),
    *parameters: Json,
    body: Json | None = None,
    needs_body: bool = False,
    statuses: Sequence[int] = (200,),
) -> Json:
    """One that needs a token."""
    errors = (*OF_ADMIN, *errors, *(() if body is None else (413,)))
    answers = dict.fromkeys(statuses, answer)
    made = operation(summary, answers, errors, *parameters, body=body, needs_body=needs_body)
    return {**made, "security": [{"token": []}]}


def _answer(status: int, schema: Json | None) -> Json:
    if schema is None:
        return {"description": "Nothing follows."}
    said = {200: "Done.", 202: "Begun: it goes on."}.get(status, "Answered.")
    return {"description": said, "content": {"application/json": {"schema": schema}}}


STORE_NAME = in_path("store", {"type": "string", "minLength": 1})
RELEASE = in_path("release", RELEASE_ID)
LIMIT = in_query("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT})
CURSOR = in_query("cursor", TEXT, "`next` of the answer before; absent: the first page.")
BY_WHOM = {"type": "object", "properties": {"by": BY}}
SHOWN = (
    {**in_query("fields", array({"enum": sorted(FIELDS)}), "Members of the results."), "explode": False},
    in_query("min_confidence", {"type": "number", "minimum": 0, "maximum": 100}, "Of the matches shown."),
)
FILTERS = (
    in_query("page", {"type": "integer", "minimum": 1}),
    in_query("per_page", {"type": "integer", "minimum": 1}, "More than 100 are 100."),
    in_query("sort", {"enum": list(Sort)}),
    in_query("sort_order", {"enum": ["asc", "desc"]}),
    in_query("has_audio", {"enum": ["true", "false"]}),
    *(in_query(name, {"type": "string", "maxLength": 200}) for name in ("q", "artist", "label", "format")),
    in_query("condition", TEXT, "As Discogs names it, or its grade."),
    in_query("year", {"type": "integer", "minimum": 1000, "maximum": 9999}),
    in_query("min_price", {"type": "number", "minimum": 0}),
    in_query("max_price", {"type": "number", "minimum": 0}),
)
OF_STORES = (404, *OF_DISCOGS)


def decision(summary: str) -> Json:
    match = in_path("match", {"type": "integer", "minimum": 1, "maximum": ID_MAX})
    return admin(summary, DECIDED, (404, 409), match, body=BY_WHOM)


def of_release(summary: str) -> Json:
    return admin(summary, DECIDED_RELEASE, (404, 409), RELEASE, body=BY_WHOM)


PATHS: Mapping[str, Mapping[str, Json]] = {
    "/healthz": {"get": operation("The process lives.", {200: ANY_OBJECT}, ())},
    "/readyz": {"get": operation("Shoppers can be served; what is degraded and why.", {200: ANY_OBJECT}, ())},
    "/metrics": {
        "get": {
            "summary": "Prometheus' text format.",
            "responses": {"200": {"description": "Metrics.", "content": {"text/plain": {"schema": TEXT}}}},
        }
    },
    "/api/openapi.json": {"get": operation("This document.", {200: ANY_OBJECT}, ())},
    "/api/stores/{store}/inventory": {
        "get": operation(
            "A store's whole For Sale inventory with audio.",
            {200: RESULTS, 304: None},
            (400, 404, 429, 502, 503, 504),
            STORE_NAME,
            *FILTERS,
            *SHOWN,
        )
    },
    "/api/feed": {
        "get": operation(
            "The newest listings of several stores.",
            {200: record(results=array(ANY_OBJECT), next=nullable(TEXT), notices=ANY_OBJECT), 304: None},
            (400, 404, 429, 502, 503, 504),
            in_query("stores", TEXT, "Names joined by commas; absent: all that are known."),
            in_query("limit", {"type": "integer", "minimum": 1, "maximum": FEED_LIMIT_MOST, "default": FEED_LIMIT}),
            CURSOR,
            *SHOWN,
        )
    },
    "/api/admin/metrics": {
        "get": admin(
            "What the proxy saved, how fast it is, how matching goes. A fraction is null where there was nothing.",
            NUMBERS,
            (),
            in_query("hours", {"type": "integer", "minimum": 1, "maximum": HOURS_KEPT, "default": 24}, "See `since`."),
        )
    },
    "/api/admin/process-queue": {
        "post": admin(
            "Match queued releases now. It waits for free calls of Discogs and for providers, 25 s at most: call it "
            "again, at once, while `remaining` is above 0. `processed` ended now, and are cached, unmatched, failed or "
            "parked; what is parked is for later, and not among `remaining`.",
            DRAINED,
            (),
            in_query("limit", {"type": "integer", "minimum": 1, "maximum": DRAIN_MAX}),
            body={
                "type": "object",
                "properties": {"limit": {"type": "integer", "minimum": 1, "maximum": DRAIN_MAX}},
            },
        )
    },
    "/api/admin/purge": {
        "post": admin(
            "Drop copies of a release, of a store, or of a path and what lies below it.",
            PURGED,
            (),
            body={
                "oneOf": [
                    optional(record(release=RELEASE_ID), **SOFT),
                    optional(record(store={"type": "string", "pattern": "^[^/]+$"}), **SOFT),
                    optional(record(path={"type": "string", "pattern": r"^/[^?]*$"}), **SOFT),
                ]
            },
            needs_body=True,
        )
    },
    "/api/admin/migrate-inventory-system": {
        "post": admin("Adopt the matches of the old system; may be repeated.", MIGRATED)
    },
    "/api/admin/queue": {
        "get": admin(
            "The match queue: how many of each state, and those of one, each with why it waits.",
            record(counts=record(**{state.value: COUNT for state in QueueState}), jobs=array(JOB), next=nullable(TEXT)),
            (),
            in_query("status", {"enum": list(QueueState), "default": QueueState.QUEUED}),
            LIMIT,
            CURSOR,
        )
    },
    "/api/admin/queue/{release}/requeue": {
        "post": admin(
            "Match it next, with all its attempts. One that is being matched stays so.",
            record(release_id=COUNT, status=TEXT, changed=FLAG),
            (404, 409),
            RELEASE,
        )
    },
    "/api/admin/stores": {
        "get": admin(
            "The stores that are known, those tracked first.",
            record(stores=array(STORE), next=nullable(TEXT), forwarded=array(FORWARDED), **OF_ALL_STORES),
            (),
            LIMIT,
            CURSOR,
        ),
    },
    "/api/admin/stores/{store}": {
        "put": admin(
            "Track a store.",
            record(store=STORE, check_intervals_ms={"type": "object", "additionalProperties": COUNT}, **OF_ALL_STORES),
            OF_STORES,
            STORE_NAME,
            statuses=(200, 202),
        ),
        "delete": admin("Forget a store; matches stay.", None, (404, 409), STORE_NAME, statuses=(204,)),
    },
    "/api/admin/stores/{store}/sync": {
        "post": admin("Check a store now.", SYNCED, OF_STORES, STORE_NAME, statuses=(200, 202))
    },
    "/api/admin/stores/{store}/pause": {
        "post": admin("Check a store only when somebody asks for it.", STORE, (404,), STORE_NAME)
    },
    "/api/admin/stores/{store}/resume": {"post": admin("Check it by schedule again.", STORE, (404,), STORE_NAME)},
    "/api/admin/stores/{store}/listings/{listing}/hide": {
        "post": admin(
            "Show a listing to nobody until the next check has seen how it is.",
            HIDDEN,
            (404,),
            STORE_NAME,
            in_path("listing", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),
        )
    },
    "/api/admin/matches": {
        "get": admin(
            "Matches of one status: pending ones most looked at first, others newest first.",
            record(matches=array(MATCH), next=nullable(TEXT)),
            (),
            in_query("status", {"enum": list(MatchStatus), "default": MatchStatus.PENDING}),
            LIMIT,
            CURSOR,
        )
    },
    "/api/admin/matches/{match}/approve": {"post": decision("It is right.")},
    "/api/admin/matches/{match}/reject": {"post": decision("It is wrong.")},
    "/api/admin/matches/{match}/undo": {"post": decision("Take the last decision of it back.")},
    "/api/admin/releases/{release}/tracks/{track}/match": {
        "put": admin(
            "Set a URL of one's own for a track.",
            DECIDED,
            (404, 409),
            RELEASE,
            in_path("track", {"type": "integer", "minimum": 0, "maximum": INDEX_MAX}),
            body=optional(
                {**BY_WHOM, "required": ["url"]},
                url={"type": "string", "maxLength": 500},
                sub_index=nullable({"type": "integer", "minimum": 0, "maximum": INDEX_MAX}),
            ),
            needs_body=True,
        )
    },
    "/api/admin/releases/{release}/decisions": {
        "get": admin(
            "What was decided, newest first.",
            record(release_id=COUNT, decisions=array(DECISION), next=nullable(TEXT)),
            (404,),
            RELEASE,
            LIMIT,
            CURSOR,
        )
    },
    "/api/admin/releases/{release}/approve": {"post": of_release("Approve the best of each track that is pending.")},
    "/api/admin/releases/{release}/reject": {"post": of_release("Reject all that no person approved.")},
    "/api/admin/releases/{release}/no-audio": {
        "post": of_release("There is no audio for it, ever."),
        "delete": of_release("Take that back, and look for it again."),
    },
}


def document() -> Json:
    error = record(message=TEXT)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "discogs-proxy",
            "version": __version__,
            "description": "What the proxy answers by itself. Every other path is Discogs' own, passed on; releases "
            "and inventories gain audio_matches and processing_status.",
        },
        "servers": [{"url": "/"}],
        "paths": PATHS,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                str(status): {"description": said, "content": {"application/json": {"schema": error}}}
                for status, said in ERRORS.items()
            },
        },
    }


async def openapi(_: web.Request) -> web.Response:
    return json_response(document())
