"""Pages of an inventory as upstream gives them: which answers are pages at all, and the seller in every row."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.adapters.upstream import Answer, checked_json
from proxy.errors import NotFound, UpstreamBroken


def inventory_page(answer: Answer) -> dict[str, object]:
    """Raises NotFound for a store that Discogs does not know, UpstreamBroken for anything but a page."""
    body = checked_json(answer)
    if answer.status == 404:
        raise NotFound(_message(body) or "User does not exist or may have been deleted.")
    if answer.status != 200 or not isinstance(body, dict):
        raise UpstreamBroken(f"Discogs answered {answer.status}, which is no inventory. {_message(body)}".rstrip())
    if not isinstance(body.get("listings"), list) or not all(_has_number(body, key) for key in ("pages", "items")):
        raise UpstreamBroken("Discogs answered with a page that is no inventory.")
    return body


def _has_number(body: dict[str, object], key: str) -> bool:
    pagination = body.get("pagination")
    value = pagination.get(key) if isinstance(pagination, dict) else None
    return type(value) is int and value >= 0


def _message(body: object) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def items_of(body: Mapping[str, object]) -> int:
    """How many listings the store has in all."""
    pagination = body.get("pagination")
    value = pagination.get("items") if isinstance(pagination, dict) else None
    return min(value, 2**31 - 1) if type(value) is int and value >= 0 else 0


def seller_apart(listing: Mapping[str, object]) -> tuple[dict[str, object], object]:
    """The listing with its seller left null, in its place, and the seller."""
    seller = listing.get("seller")
    return ({**listing, "seller": None} if "seller" in listing else dict(listing)), seller
