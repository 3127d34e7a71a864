"""What the simulated database and marketplace hold, as plain values; `shapes` writes them as JSON."""

from dataclasses import dataclass

SECRET = "SECRET-"
"""Begins every string that only its owner may see, so that a leak can be found by searching for it."""

FOR_SALE, SOLD, DRAFT, DELETED = "For Sale", "Sold", "Draft", "Deleted"
STATUSES = ("All", DELETED, DRAFT, "Expired", FOR_SALE, SOLD, "Suspended", "Violation")
EDITABLE_STATUSES = (FOR_SALE, DRAFT, "Expired")
MEDIA_CONDITIONS = (
    "Mint (M)",
    "Near Mint (NM or M-)",
    "Very Good Plus (VG+)",
    "Very Good (VG)",
    "Good Plus (G+)",
    "Good (G)",
    "Fair (F)",
    "Poor (P)",
)
SLEEVE_CONDITIONS = (*MEDIA_CONDITIONS, "Generic", "Not Graded", "No Cover")


@dataclass(frozen=True, slots=True)
class Artist:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Credit:
    """An artist as a release names it: `anv` is the name printed there, `join` what links it to the next."""

    artist: Artist
    anv: str = ""
    join: str = ""
    role: str = ""
    tracks: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Imprint:
    """A label or company in its part on one release."""

    label: Label
    catno: str
    entity_type: str = "1"
    entity_type_name: str = "Label"


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    quantity: int
    descriptions: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Identifier:
    type: str
    value: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """`seconds` is how long it really lasts, `duration` what the database shows: "" where nobody noted it."""

    position: str
    title: str
    seconds: int = 0
    duration: str = ""
    type: str = "track"
    artists: tuple[Credit, ...] = ()
    credits: tuple[Credit, ...] = ()
    sub_tracks: tuple["Track", ...] = ()


@dataclass(frozen=True, slots=True)
class Video:
    """`kind` and `track` (index in the tracklist) tell what it truly shows; no answer carries them."""

    youtube_id: str
    title: str
    seconds: int
    description: str | None = None
    kind: str = "exact"
    track: int | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """What an inventory row shows of a release; cheap to make, unlike the whole release."""

    id: int
    title: str
    artists: tuple[Credit, ...]
    labels: tuple[Imprint, ...]
    formats: tuple[Format, ...]
    year: int
    genres: tuple[str, ...]
    styles: tuple[str, ...]
    country: str | None
    images: int
    have: int
    want: int


@dataclass(frozen=True, slots=True)
class Release:
    heading: Heading
    tracks: tuple[Track, ...]
    videos: tuple[Video, ...]
    credits: tuple[Credit, ...]
    master_id: int | None = None
    released: str = ""
    notes: str = ""
    companies: tuple[Imprint, ...] = ()
    series: tuple[Imprint, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    ratings: int = 0
    rating: float = 0.0
    submitter: str = "submitter"
    contributors: tuple[str, ...] = ()
    data_quality: str = "Needs Vote"
    added: int = 1_000_000_000
    changed: int = 1_000_000_000
    weight: int = 230

    @property
    def id(self) -> int:
        return self.heading.id


@dataclass(frozen=True, slots=True)
class Listing:
    """`posted` in seconds since 1970; prices in the seller's currency; weight in grams."""

    id: int
    release_id: int
    posted: int
    price: float
    condition: str = MEDIA_CONDITIONS[2]
    sleeve_condition: str = MEDIA_CONDITIONS[2]
    comments: str = ""
    status: str = FOR_SALE
    allow_offers: bool = False
    audio: bool = False
    shipping: float = 5.0
    weight: int = 230
    format_quantity: int = 1
    external_id: str = ""
    location: str = ""
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class Seller:
    """The public face of a store, which every one of its rows repeats."""

    id: int
    username: str
    currency: str
    ships_from: str
    rating: str
    stars: float
    ratings: int
    min_order_total: float
    payment: str
    shipping: str


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user; `registered` in seconds since 1970."""

    id: int
    username: str
    currency: str = "USD"
    name: str = ""
    home_page: str = ""
    location: str = ""
    profile: str = ""
    registered: int = 1_300_000_000
    private_collection: bool = False
    wants: tuple[int, ...] = ()
    collection: tuple[int, ...] = ()

    @property
    def email(self) -> str:
        return f"{SECRET}EMAIL-{self.username}@example.invalid"
