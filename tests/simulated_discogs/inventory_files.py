"""Routes of the inventory as a file: exports to start, wait for and download, and uploads."""

import csv
import io
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

from .exchange import Answer, Ask, Body, Refusal, not_found
from .paging import page_of, pagination
from .stores import artist_text
from .times import pacific
from .values import SECRET, Listing
from .world import Job, World

SECONDS_TO_EXPORT = 2.0
CSV_COLUMNS = (
    "listing_id",
    "artist",
    "title",
    "label",
    "catno",
    "format",
    "release_id",
    "status",
    "price",
    "listed",
    "comments",
    "media_condition",
    "sleeve_condition",
    "accept_offer",
    "external_id",
    "weight",
    "format_quantity",
    "location",
    "quantity",
)


def start_export(ask: Ask, world: World) -> Answer:
    account = world.signed_in(ask)
    if any(job.owner == account.username and not _is_done(job, ask) for job in world.exports.values()):
        raise Refusal(409, "An inventory export is already in progress.")
    job = Job(599_632 + len(world.exports), account.username, ask.now, "export")
    world.exports[job.id] = job
    return Answer(200, content_type="text/plain", headers={"Location": f"{ask.origin}/inventory/export/{job.id}"})


def exports(ask: Ask, world: World) -> Answer:
    account = world.signed_in(ask)
    page = page_of(ask, [job for job in world.exports.values() if job.owner == account.username])
    bodies = [_export_body(job, ask) for job in page.rows]
    return Answer(body={"items": bodies, "pagination": pagination(ask, page)})


def export(ask: Ask, world: World) -> Answer:
    job = _own_job(ask, world, world.exports)
    since = ask.headers.get("If-Modified-Since")
    modified = _modified(job, ask)
    if since and parsedate_to_datetime(since).timestamp() >= int(modified):
        return Answer(304)
    return Answer(body=_export_body(job, ask), headers={"Last-Modified": formatdate(modified, usegmt=True)})


def download(ask: Ask, world: World) -> Answer:
    job = _own_job(ask, world, world.exports)
    if not _is_done(job, ask):
        raise not_found()
    disposition = f"attachment; filename={_filename(job)}"
    text = inventory_csv(job.owner, world).encode()
    return Answer(raw=text, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


def inventory_csv(username: str, world: World) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    store = world.catalogue.find_store(username)
    writer.writerows(_csv_row(listing, world) for listing in (store.ordered("All") if store else ()))
    return lines.getvalue()


def _csv_row(listing: Listing, world: World) -> tuple[str | int | float, ...]:
    heading = world.catalogue.heading_of(listing.release_id)
    return (
        listing.id,
        artist_text(heading),
        heading.title,
        heading.labels[0].label.name,
        heading.labels[0].catno,
        ", ".join(heading.formats[0].descriptions),
        listing.release_id,
        listing.status,
        listing.price,
        datetime.fromtimestamp(listing.posted, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        listing.comments,
        listing.condition,
        listing.sleeve_condition,
        "Y" if listing.allow_offers else "N",
        listing.external_id,
        listing.weight,
        listing.format_quantity,
        listing.location,
        listing.quantity,
    )


def upload(ask: Ask, world: World) -> Answer:
    """The file is taken and listed; its rows change nothing."""
    account = world.signed_in(ask)
    if not ask.headers.get("Content-Type", "").startswith("multipart/form-data"):
        raise Refusal(415, "Upload must be a CSV file.")
    job = Job(119_615 + len(world.uploads), account.username, ask.now, ask.names["kind"])
    world.uploads[job.id] = job
    return Answer(200, content_type="text/plain", headers={"Location": f"{ask.origin}/inventory/upload/{job.id}"})


def uploads(ask: Ask, world: World) -> Answer:
    account = world.signed_in(ask)
    page = page_of(ask, [job for job in world.uploads.values() if job.owner == account.username])
    return Answer(body={"items": [_upload_body(job) for job in page.rows], "pagination": pagination(ask, page)})


def one_upload(ask: Ask, world: World) -> Answer:
    return Answer(body=_upload_body(_own_job(ask, world, world.uploads)))


def _own_job(ask: Ask, world: World, jobs: dict[int, Job]) -> Job:
    account, job = world.signed_in(ask), jobs.get(ask.number("id"))
    if job is None or job.owner != account.username:
        raise not_found()
    return job


def _is_done(job: Job, ask: Ask) -> bool:
    return ask.now >= job.started + SECONDS_TO_EXPORT


def _modified(job: Job, ask: Ask) -> float:
    return job.started + (SECONDS_TO_EXPORT if _is_done(job, ask) else 0)


def _filename(job: Job) -> str:
    return f"{SECRET}{job.owner}-inventory-{job.id}.csv"


def _export_body(job: Job, ask: Ask) -> Body:
    url, done = f"{ask.origin}/inventory/export/{job.id}", _is_done(job, ask)
    return {
        "status": "success" if done else "pending",
        "created_ts": pacific(job.started),
        "url": url,
        "finished_ts": pacific(job.started + SECONDS_TO_EXPORT) if done else None,
        "download_url": f"{url}/download",
        "filename": _filename(job),
        "id": job.id,
    }


def _upload_body(job: Job) -> Body:
    return {
        "status": "success",
        "results": "CSV file contains 0 records.",
        "created_ts": pacific(job.started),
        "finished_ts": pacific(job.started),
        "filename": f"{SECRET}{job.owner}-{job.kind}-{job.id}.csv",
        "type": job.kind,
        "id": job.id,
    }
