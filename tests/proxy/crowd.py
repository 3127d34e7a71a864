"""Callers of every kind and what they ask for: a crowd in front of a Discogs with secrets.

What only one user may see bears a marker with his name, and credentials are words that occur nowhere else: whatever
leaks can be found by searching for it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from multidict import CIMultiDict

from tests.conftest import ADMIN_TOKEN, STORE
from tests.simulated_discogs import SECRET, Catalogue, Listing, SimulatedDiscogs
from tests.simulated_discogs.accounts import Consumer, OAuthToken, Signed, hmac_signature

OTHER_STORE, COLLECTOR = "small_shop", "anna"
TOKENS = {STORE: "word-of-the-operator", OTHER_STORE: "word-of-the-shop", COLLECTOR: "word-of-anna"}
"""Of the users. The operator himself owns a store."""

OPERATORS_APP = Consumer("operators-key", "operators-hush", "The Proxy")
SHOPS_APP = Consumer("shops-key", "shops-hush", "A Shop")
ANNAS_OAUTH = OAuthToken("annas-access", "annas-pledge", COLLECTOR)
WRONG = "word-of-nobody"

CREDENTIALS = (
    *TOKENS.values(),
    *(word for app in (OPERATORS_APP, SHOPS_APP) for word in (app.key, app.secret)),
    ANNAS_OAUTH.token,
    ANNAS_OAUTH.secret,
    WRONG,
    ADMIN_TOKEN,
)
MARKER = re.compile(SECRET + r"[\w@.-]+")


def populated() -> SimulatedDiscogs:
    """Two stores with drafts and orders, a collector with a private collection; an export and an upload each."""
    catalogue = Catalogue.generate(seed=7, stores={STORE: 40, OTHER_STORE: 12})
    discogs = SimulatedDiscogs(catalogue, semicolons=True)
    sold = [listing.release_id for listing in catalogue.for_sale(STORE)]
    discogs.register_user(STORE, TOKENS[STORE], wants=tuple(sold[:9]))
    discogs.register_user(OTHER_STORE, TOKENS[OTHER_STORE], currency="JPY", collection=tuple(sold[:5]))
    discogs.register_user(
        COLLECTOR, ANNA, currency="EUR", wants=tuple(sold[:20:2]), collection=tuple(sold[:9]), private_collection=True
    )
    discogs.put_in_cart(COLLECTOR, catalogue.for_sale(STORE)[0].id)
    for app in (OPERATORS_APP, SHOPS_APP):
        discogs.register_consumer(app.key, app.secret, app.name)
    discogs.register_oauth_token(COLLECTOR, ANNAS_OAUTH.token, ANNAS_OAUTH.secret)
    return discogs


# --- who asks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Who:
    """`query` is his credential in the query; `signs`: with a header for each request, over its URL."""

    name: str
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
    identified: bool = True
    signs: bool = False

    def __str__(self) -> str:
        return self.name

    def headers_for(self, method: str, target: str) -> CIMultiDict[str]:
        headers = CIMultiDict(self.headers)
        if self.signs:
            headers["Authorization"] = oauth_header(signed(method, target))
        return headers


def by_header(name: str, *values: str, query: str = "", identified: bool = True) -> Who:
    return Who(name, tuple(("Authorization", value) for value in values), query, identified)


def oauth(method: str = "PLAINTEXT", signature: str = "") -> dict[str, str]:
    return {
        "oauth_consumer_key": SHOPS_APP.key,
        "oauth_token": ANNAS_OAUTH.token,
        "oauth_signature_method": method,
        "oauth_signature": signature or f"{SHOPS_APP.secret}&{ANNAS_OAUTH.secret}",
        "oauth_timestamp": str(int(time.time())),
        "oauth_nonce": "once",
    }


def signed(method: str, target: str) -> dict[str, str]:
    """As a client signs that takes the proxy for api.discogs.com."""
    path, _, query = target.partition("?")
    fields = oauth("HMAC-SHA1")
    request = Signed(method, path, tuple(parse_qsl(query, keep_blank_values=True)))
    return fields | {"oauth_signature": hmac_signature(request, fields, SHOPS_APP, ANNAS_OAUTH)}


def oauth_header(fields: Mapping[str, str]) -> str:
    return "OAuth " + ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in fields.items())


def oauth_query(fields: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())


ANNA, OWNER, SHOP = TOKENS[COLLECTOR], TOKENS[STORE], TOKENS[OTHER_STORE]
KEY_HEADER = f"Discogs key={SHOPS_APP.key}, secret={SHOPS_APP.secret}"
KEY_QUERY = f"key={SHOPS_APP.key}&secret={SHOPS_APP.secret}"


def callers() -> list[Who]:
    return [
        Who("nobody", identified=False),
        Who("cookies", (("Cookie", f"token={OWNER}"), ("Discogs-UID", "1")), identified=False),
        by_header("key", KEY_HEADER, identified=False),
        by_header("wrong key", f"Discogs key={SHOPS_APP.key}, secret={WRONG}", identified=False),
        Who("key by query", query=KEY_QUERY, identified=False),
        Who("operator's key", query=f"key={OPERATORS_APP.key}&secret={OPERATORS_APP.secret}", identified=False),
        *(by_header(user, f"Discogs token={token}") for user, token in TOKENS.items()),
        *(Who(f"{user} by query", query=f"token={token}") for user, token in TOKENS.items()),
        Who("anna in capitals", query=f"TOKEN={ANNA}"),
        Who("operator, encoded", query=f"%74oken={OWNER}"),
        by_header("anna, odd blanks", f"Discogs  TOKEN = {ANNA} "),
        by_header("wrong token", f"Discogs token={WRONG}"),
        Who("wrong token by query", query=f"token={WRONG}"),
        by_header("oauth", oauth_header(oauth())),
        Who("oauth by query", query=oauth_query(oauth())),
        by_header("oauth, wrong", oauth_header(oauth(signature=f"{SHOPS_APP.secret}&{WRONG}"))),
        Who("oauth, signed", signs=True),
        by_header("bearer", f"Bearer {OWNER}"),
        by_header("basic", f"Basic {OWNER}"),
        by_header("empty", ""),
        by_header("all in one", f"Discogs key={OPERATORS_APP.key}, secret={OPERATORS_APP.secret}, token={SHOP}"),
        by_header("anna, and the operator by query", f"Discogs token={ANNA}", query=f"token={OWNER}"),
        by_header("shop, and anna", f"Discogs token={SHOP}", f"Discogs token={ANNA}"),
        by_header("key, and the operator", KEY_HEADER, f"Discogs token={OWNER}"),
        by_header("key, and the operator by query", KEY_HEADER, query=f"token={OWNER}"),
        Who("anna and the operator by query", query=f"token={ANNA}&token={OWNER}"),
        Who("behind a semicolon", query=f"a=1;token={OWNER}"),
        Who("before a semicolon", query=f"token={SHOP};a=1"),
        Who("behind an encoded semicolon", query=f"a=1%3Btoken={ANNA}"),
        Who("key, and anna behind a semicolon", query=f"{KEY_QUERY};token={ANNA}"),
    ]


# --- for what -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """`public`: a wrong credential may still get it, where it is not sent to Discogs.

    `own`: a path of the proxy's own, of which Discogs knows nothing.
    """

    method: str
    path: str
    public: bool = False
    own: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def target(self, query: str) -> str:
        return self.path + ("&" if "?" in self.path else "?") + query if query else self.path


INVENTORY_QUERIES = (
    "per_page=4",
    "per_page=4&status=For+Sale",
    "per_page=4&status=for%20sale&status=Draft",
    "per_page=4&status=Draft",
    "per_page=3&status=All&sort=price",
    "per_page=2&a=1;status=Draft",
    "per_page=2&sort=location",
    "per_page=2&sort=status",
    "per_page=2&sort=listed&sort=location",
    "per_page=2&sort=location&sort=listed",
    "per_page=2&a=1;sort=location",
    "per_page=2&callback=cb",
    "page=101",
    "page=1&page=101",
    "page=101&page=1",
)
COLLECTION = ("folders", "folders/0/releases", "folders/1", "folders/1/releases", "fields", "value")


def probes(discogs: SimulatedDiscogs) -> list[Probe]:
    stores = (STORE, STORE.upper(), OTHER_STORE, COLLECTOR)
    inventories = [f"/users/{store}/inventory?{query}" for store in stores for query in INVENTORY_QUERIES]
    public, private = _public(discogs), _private(discogs)
    own = (f"/api/stores/{STORE}/inventory", "/metrics", "/healthz", "/readyz", "/api/admin/queue", "/admin")
    return [
        *(Probe("GET", path, public=True) for path in (*public, *inventories)),
        *(Probe("GET", path) for path in private),
        *(Probe("HEAD", path, public=True) for path in (*public[:2], inventories[0])),
        *(Probe("HEAD", path) for path in private[:2]),
        *_writes(discogs),
        *(Probe("GET", path, own=True) for path in own),
    ]


def _public(discogs: SimulatedDiscogs) -> list[str]:
    catalogue = discogs.catalogue
    releases = [listing.release_id for listing in catalogue.for_sale(STORE)[:4]]
    heading = catalogue.heading_of(releases[0])
    master = next(filter(None, (catalogue.master_id_of(each.id) for each in catalogue.headings())))
    artist, label = heading.artists[0].artist.id, heading.labels[0].label.id
    listings = [each.id for store in (STORE, OTHER_STORE) for each in _of_each_status(catalogue.store(store).all())]
    return [
        "/",
        *(f"/releases/{each}" for each in releases),
        f"/releases/{releases[0]}?curr_abbr=EUR",
        f"/releases/{releases[0]}/rating",
        f"/releases/{releases[0]}/stats",
        "/releases/2147483646",
        *(f"{path}{end}" for path in (f"/artists/{artist}", f"/labels/{label}") for end in ("", "/releases")),
        f"/masters/{master}",
        f"/masters/{master}/versions",
        "/database/search?q=a&per_page=3",
        f"/marketplace/stats/{releases[0]}",
        *(f"/marketplace/listings/{each}" for each in listings),
        *(f"/users/{user}" for user in TOKENS),
    ]


def _private(discogs: SimulatedDiscogs) -> list[str]:
    release = discogs.catalogue.for_sale(STORE)[0].release_id
    user_ids = [account.id for user in TOKENS if (account := discogs.accounts.find(user))]
    return [
        "/oauth/identity",
        "/marketplace/orders",
        *(f"/marketplace/orders/{each}-1{end}" for each in user_ids for end in ("", "/messages")),
        "/oauth/request_token",
        f"/marketplace/price_suggestions/{release}",
        "/marketplace/fee/10",
        *(f"/inventory/{each}" for each in ("export", "export/599632", "export/599632/download", "upload")),
        *(f"/users/{user}/collection/{each}" for user in TOKENS for each in COLLECTION),
        *(f"/users/{user}/{each}" for user in TOKENS for each in ("wants", "lists", "submissions")),
        *(f"/lists/{each * 2 + 1}" for each in user_ids),
        f"/releases/{release}/rating/{COLLECTOR}",
        f"/users/{STORE}/",
        "/users/%2e%2e/inventory",
        "/some/gateway",
    ]


def _writes(discogs: SimulatedDiscogs) -> list[Probe]:
    """None of them changes anything: refused, or repeating what is."""
    listing = discogs.catalogue.for_sale(STORE)[0]
    return [
        Probe("POST", f"/users/{COLLECTOR}"),
        Probe("PUT", f"/users/{COLLECTOR}/wants/{listing.release_id}"),
        Probe("POST", "/marketplace/listings"),
        Probe("POST", f"/marketplace/listings/{listing.id}"),
        Probe("DELETE", "/marketplace/listings/1"),
        Probe("DELETE", f"/users/{STORE}/inventory"),
        Probe("POST", f"/releases/{listing.release_id}"),
    ]


def _of_each_status(listings: Iterable[Listing]) -> list[Listing]:
    return list({listing.status: listing for listing in listings}.values())
