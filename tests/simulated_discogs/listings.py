"""The stock of a generated store, drawn from the seed and the store's name."""

import random
from collections.abc import Iterator

from .numbering import RELEASES
from .values import FOR_SALE, MEDIA_CONDITIONS, SECRET, SLEEVE_CONDITIONS, Listing, Seller
from .words import COMMENTS

NEWEST = 1_790_000_000  # no generated listing was posted after this, 2026-09-21
YEARS_OF_STOCK = 6
SECONDS_PER_YEAR = 31_557_600
FIRST_LISTING_DAY, IDS_PER_SECOND = 1_480_000_000, 11.5

CHANCE_OF_SECOND_COPY = 0.04
CHANCE_OF_LATER_EDIT = 0.25
HIDDEN_PER_LISTING = 1 / 8
HIDDEN_STATUSES = (("Draft", 4), ("Sold", 4), ("Expired", 2), ("Deleted", 2), ("Violation", 1), ("Suspended", 1))
POPULARITY = 1.6  # above 1: low numbers, the same in every store, are drawn more often

CONDITION_WEIGHTS = (6, 30, 34, 18, 6, 4, 1, 1)
SLEEVE_WEIGHTS = (5, 26, 32, 17, 6, 3, 1, 1, 5, 3, 1)
PRICE_ENDINGS = (0.0, 0.0, 0.5, 0.99, 0.95, 0.49)

SELLER_COUNTRIES = (
    ("EUR", "Germany"),
    ("USD", "United States"),
    ("GBP", "United Kingdom"),
    ("EUR", "France"),
    ("JPY", "Japan"),
    ("SEK", "Sweden"),
)
TERMS = (
    "DOMESTIC POSTAGE (with tracking): 1-2 records {c} 6.00, 3-8 records {c} 8.50, more on request.\r\n",
    "WORLDWIDE: up to 500 g {c} 14.00; up to 1 kg {c} 19.00; up to 2 kg {c} 28.00. Please wait for the total!\r\n",
    "All items are graded under a strong lamp, “play graded” where noted. No returns on VG and below…\r\n",
    "Unpaid orders are cancelled after 4 days. Wir versenden dienstags & freitags. ¡Gracias! ありがとう!\r\n",
    "Vinyl is shipped outside of its sleeve in a sturdy cardboard mailer with two stiffeners.\r\n",
)


def seller_of(seed: int, username: str, number: int) -> Seller:
    draw = random.Random(f"{seed}/seller/{username.lower()}")
    currency, country = SELLER_COUNTRIES[draw.randrange(len(SELLER_COUNTRIES))]
    rating = draw.choice((100.0, 99.8, 99.4, 98.7))
    return Seller(
        id=100_000 + number * 7_919 + draw.randrange(7_000),
        username=username,
        currency=currency,
        ships_from=country,
        rating=f"{rating:.1f}",
        stars=5.0 if rating > 99.5 else 4.5,
        ratings=draw.randrange(20, 40_000),
        min_order_total=draw.choice((0.0, 5.0, 10.0)),
        payment=draw.choice(("PayPal Commerce", "PayPal", "PayPal Commerce, Bank Transfer")),
        shipping="".join(term.format(c=currency) for term in TERMS * 3)[: draw.randrange(700, 1_400)],
    )


def stock_of(seed: int, seller: Seller, for_sale: int, releases: int) -> Iterator[Listing]:
    """`for_sale` public listings and some that only the owner sees, in no particular order."""
    draw = random.Random(f"{seed}/stock/{seller.username.lower()}")
    hidden = _hidden_statuses(round(for_sale * HIDDEN_PER_LISTING), draw)
    number = 0
    for status in [FOR_SALE] * for_sale + hidden:
        if draw.random() >= CHANCE_OF_SECOND_COPY:
            number = int(releases * draw.random() ** POPULARITY)
        yield drawn_listing(RELEASES.id_of(number), _birth(draw), status, seller.currency, draw)


def _hidden_statuses(count: int, draw: random.Random) -> list[str]:
    """Each once, as far as there is room, then by weight."""
    statuses, weights = zip(*HIDDEN_STATUSES, strict=True)
    return [*statuses, *draw.choices(statuses, weights, k=count)][:count]


def drawn_listing(release_id: int, born: int, status: str, currency: str, draw: random.Random) -> Listing:
    identity = int((born - FIRST_LISTING_DAY) * IDS_PER_SECOND) + draw.randrange(11)
    moved = draw.random() < CHANCE_OF_LATER_EDIT
    comments = draw.choice(COMMENTS)
    return Listing(
        id=identity,
        release_id=release_id,
        posted=draw.randrange(born, NEWEST) if moved and born < NEWEST else born,
        price=drawn_price(currency, draw),
        condition=draw.choices(MEDIA_CONDITIONS, CONDITION_WEIGHTS)[0],
        sleeve_condition=draw.choices(SLEEVE_CONDITIONS, SLEEVE_WEIGHTS)[0],
        comments=comments if status == FOR_SALE else f"{SECRET}{status.upper()}-COMMENT-{identity} {comments}",
        status=status,
        allow_offers=draw.random() < 0.4,
        audio=draw.random() < 0.02,
        shipping=500.0 if currency == "JPY" else draw.choice((4.0, 5.0, 6.5)),
        weight=draw.choice((60, 85, 230, 230, 460)),
        format_quantity=draw.choice((0, 1, 1, 2)),
        external_id=f"{SECRET}EXTERNAL-{identity}",
        location=f"{SECRET}SHELF-{draw.randrange(40)}-{identity}",
    )


def drawn_price(currency: str, draw: random.Random) -> float:
    amount = int(draw.lognormvariate(2.4, 0.8)) + 1
    return float(amount * 100) if currency == "JPY" else amount + draw.choice(PRICE_ENDINGS)


def _birth(draw: random.Random) -> int:
    return NEWEST - int(YEARS_OF_STOCK * SECONDS_PER_YEAR * draw.random() ** 1.3)
