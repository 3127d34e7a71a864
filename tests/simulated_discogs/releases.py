"""Catalogue data drawn from a seed: the same seed and number give the same release, in whatever order asked."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from .numbering import ARTISTS, LABELS, MASTERS, RELEASES
from .values import Artist, Credit, Format, Heading, Identifier, Imprint, Label, Release, Track
from .videos import videos_of
from .words import CARRIERS, KEYS, LATIN_NAMES, LATIN_NOUNS, NOTES, SCENES, USERNAMES, VERBS, Carrier, Scene

VARIOUS = Artist(194, "Various")
ARTISTS_PER_SCENE = 150
LABELS_PER_SCENE = 60

# Of ten releases in a row, which are versions of one work: (number of the first, number of versions).
VERSION_GROUPS = ((0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (4, 2), (6, 4), (6, 4), (6, 4), (6, 4))
ALBUMS = ("LP", "CD", "Cass")

CHANCE_OF_SUFFIX = 0.08
CHANCE_OF_VARIOUS = 0.20  # of compilations and long players by many hands
CHANCE_OF_TWO_ARTISTS = 0.08
CHANCE_OF_NAME_VARIATION = 0.08
CHANCE_OF_LONE_MASTER = 0.5
CHANCE_OF_UNKNOWN_YEAR = 0.06
CHANCE_OF_UNKNOWN_COUNTRY = 0.02
CHANCE_OF_NO_DURATIONS = 0.13
CHANCE_OF_SOME_DURATIONS = 0.10
CHANCE_OF_HEADINGS = 0.06
CHANCE_OF_TRACK_CREDITS = 0.25

JOINS = ("&", "Feat.", "Vs.", ",", "And")
PRESSINGS = (("Reissue",), ("Repress",), ("Reissue", "Remastered"), ("Limited Edition",), ("Promo",), ("Stereo",))
FORMAT_TEXTS = ("", "", "", "", "180g", "Gatefold", "Red", "White Label", "Die-Cut Sleeve")
MOVEMENTS = ("I. Allegro Con Brio", "II. Andante", "III. Scherzo: Molto Vivace", "IV. Finale. Presto", "Adagio")
HEADINGS = ("Side One", "Logo Side", "Disc One: The Early Years", "Bonus Tracks", "Part II: “Nocturnes”")
COMPANIES = (
    ("Pressed By", "17"),
    ("Phonographic Copyright (p)", "13"),
    ("Copyright (c)", "14"),
    ("Recorded At", "23"),
    ("Mastered At", "29"),
    ("Distributed By", "9"),
)


@dataclass(frozen=True, slots=True)
class Work:
    """What all versions of a master share; `leads` are the titles that its name is made of."""

    first: int
    versions: int
    scene: Scene
    title: str
    leads: tuple[str, ...]
    artists: tuple[Credit, ...]
    carrier: str
    year: int
    genres: tuple[str, ...]
    styles: tuple[str, ...]

    @property
    def various(self) -> bool:
        return self.artists[0].artist == VARIOUS


def heading(seed: int, number: int) -> Heading:
    work, draw = work_of(seed, number), _draw(seed, "pressing", number)
    carrier = CARRIERS[_carrier_of(work, number, draw)]
    label = label_of(seed, draw.randrange(LABELS_PER_SCENE) * len(SCENES) + SCENES.index(work.scene))
    year = 0 if draw.random() < CHANCE_OF_UNKNOWN_YEAR else work.year + _years_later(work, number, draw)
    want = int(draw.lognormvariate(3.2, 1.4))
    return Heading(
        id=RELEASES.id_of(number),
        title=work.title,
        artists=work.artists,
        labels=_imprints(label, draw),
        formats=_formats(work, carrier, number, draw),
        year=year,
        genres=work.genres,
        styles=work.styles,
        country=None if draw.random() < CHANCE_OF_UNKNOWN_COUNTRY else draw.choice(work.scene.countries),
        images=draw.choice((0, 1, 2, 2, 3, 4, 5, 8)),
        have=int(draw.lognormvariate(4.2, 1.5)),
        want=want,
    )


def release(seed: int, number: int) -> Release:
    head, work = heading(seed, number), work_of(seed, number)
    recordings = recordings_of(seed, work)
    draw = _draw(seed, "release", number)
    carrier = CARRIERS[_carrier_of(work, number, _draw(seed, "pressing", number))]
    added = draw.randrange(980_000_000, 1_740_000_000)
    label = head.labels[0].label
    return Release(
        heading=head,
        tracks=placed(recordings, carrier),
        videos=videos_of(work.title, work.artists, recordings, _draw(seed, "videos", work.first)),
        credits=_credits(seed, work.scene, draw, draw.choice((0, 0, 1, 2, 4, 7))),
        master_id=master_id_of(seed, number),
        released=_released(head.year, draw),
        notes=draw.choice(NOTES).format(
            year=head.year or "19??", label=label.name, country=head.country, n=draw.choice((100, 300, 500))
        ),
        companies=_companies(seed, work.scene, draw),
        series=(Imprint(label, f"Vol. {draw.randrange(1, 30)}", "2", "Series"),) if draw.random() < 0.07 else (),
        identifiers=_identifiers(head, draw),
        ratings=head.have // 9,
        rating=round(draw.uniform(3, 5), 2) if head.have >= 9 else 0.0,
        submitter=draw.choice(USERNAMES),
        contributors=tuple(draw.sample(USERNAMES, draw.randrange(1, 5))),
        data_quality=draw.choice(("Needs Vote", "Needs Vote", "Correct", "Complete and Correct")),
        added=added,
        changed=draw.randrange(added, 1_790_000_000),
        weight=carrier.weight,
    )


def master_id_of(seed: int, number: int) -> int | None:
    work = work_of(seed, number)
    lone = work.versions == 1 and _draw(seed, "master", work.first).random() >= CHANCE_OF_LONE_MASTER
    return None if lone else MASTERS.id_of(work.first)


def versions_of(number: int) -> range:
    """The numbers of all releases that are versions of the same work."""
    offset, versions = VERSION_GROUPS[number % 10]
    first = number - number % 10 + offset
    return range(first, first + versions)


@lru_cache(maxsize=20_000)
def work_of(seed: int, number: int) -> Work:
    group = versions_of(number)
    first, versions = group.start, len(group)
    draw = _draw(seed, "work", first)
    scene = SCENES[draw.randrange(len(SCENES))]
    carrier = draw.choice(scene.carriers)
    leads = tuple(phrase(scene, scene.titles, draw) for _ in range(2))
    return Work(
        first=first,
        versions=versions,
        scene=scene,
        title=_work_title(carrier, leads, draw),
        leads=leads,
        artists=_work_artists(seed, scene, carrier, draw),
        carrier=carrier,
        year=draw.randint(*scene.years),
        genres=scene.genres[: draw.randint(1, len(scene.genres))],
        styles=tuple(draw.sample(scene.styles, draw.choice((0, 1, 1, 2, 2, 3)))),
    )


@lru_cache(maxsize=20_000)
def artist_of(seed: int, number: int) -> Artist:
    draw = _draw(seed, "artist", number)
    scene = SCENES[number % len(SCENES)]
    name = phrase(scene, scene.artists, draw)
    suffix = f" ({draw.randint(2, 14)})" if draw.random() < CHANCE_OF_SUFFIX else ""
    return Artist(ARTISTS.id_of(number), name + suffix)


@lru_cache(maxsize=5_000)
def label_of(seed: int, number: int) -> Label:
    draw = _draw(seed, "label", number)
    scene = SCENES[number % len(SCENES)]
    return Label(LABELS.id_of(number), phrase(scene, scene.labels, draw))


def artists_in_all() -> int:
    return ARTISTS_PER_SCENE * len(SCENES)


def labels_in_all() -> int:
    return LABELS_PER_SCENE * len(SCENES)


def phrase(scene: Scene, templates: Sequence[str], draw: random.Random) -> str:
    template = draw.choice(templates)
    while "{" in template:
        start, end = template.index("{"), template.index("}")
        template = template[:start] + _word(scene, template[start + 1 : end], draw) + template[end + 1 :]
    return template


def _word(scene: Scene, slot: str, draw: random.Random) -> str:
    words = {
        "a": scene.adjectives,
        "n": scene.nouns,
        "f": scene.first_names,
        "l": scene.last_names,
        "v": VERBS,
        "key": KEYS,
        "l_latin": LATIN_NAMES,
        "n_latin": LATIN_NOUNS,
    }.get(slot)
    if words is not None:
        return draw.choice(words)
    return str(draw.randint(1991, 2021) if slot == "year" else draw.randint(2, 99))


def recordings_of(seed: int, work: Work) -> tuple[Track, ...]:
    """The tracks of a work in order, not yet placed on sides; durations shown as the database has them."""
    draw = _draw(seed, "recordings", work.first)
    carrier = CARRIERS[work.carrier]
    count = sum(draw.randint(*carrier.per_side) for _ in carrier.sides or "1")
    tracks = _tracks(seed, work, count, draw)
    if len(tracks) > 6 and draw.random() < CHANCE_OF_HEADINGS + 0.4 * work.various:
        tracks = _with_headings(tracks, draw)
    return _with_durations(tracks, draw)


def placed(recordings: Sequence[Track], carrier: Carrier) -> tuple[Track, ...]:
    """The same tracks with the positions of this carrier, headings and index tracks without any."""
    positions = iter(_positions(sum(map(_places, recordings)), carrier))
    return tuple(_placed(track, positions) for track in recordings)


def _places(track: Track) -> int:
    return len(track.sub_tracks) or int(track.type == "track")


def _placed(track: Track, positions: Iterator[str]) -> Track:
    if track.type == "heading":
        return track
    if track.sub_tracks:
        return replace(track, sub_tracks=tuple(_placed(part, positions) for part in track.sub_tracks))
    return replace(track, position=next(positions))


def _positions(count: int, carrier: Carrier) -> list[str]:
    if not carrier.sides:
        return _disc_positions(count, carrier.quantity)
    per_side = -(-count // len(carrier.sides))
    sides = [carrier.sides[number // per_side] for number in range(count)]
    alone = {side for side in sides if sides.count(side) == 1}
    return [side if side in alone else f"{side}{sides[:n].count(side) + 1}" for n, side in enumerate(sides)]


def _disc_positions(count: int, discs: int) -> list[str]:
    per_disc = -(-count // discs)
    if discs == 1:
        return [str(number + 1) for number in range(count)]
    return [f"{number // per_disc + 1}-{number % per_disc + 1}" for number in range(count)]


def _tracks(seed: int, work: Work, count: int, draw: random.Random) -> tuple[Track, ...]:
    if work.scene.name == "classical" and draw.random() < 0.6:
        return tuple(_suite(work, draw) for _ in range(max(1, count // 3)))
    titles = _track_titles(work, count, draw)
    return tuple(_track(seed, work, title, draw) for title in titles)


def _track_titles(work: Work, count: int, draw: random.Random) -> list[str]:
    if work.carrier in {'12"', "CD single"} and work.scene.mixes:
        return _mixes(work, count, draw)
    titles = [*work.leads[:count], *(_album_title(work.scene, draw) for _ in range(count - 2))]
    return titles if work.carrier.startswith('7"') else draw.sample(titles, len(titles))


def _mixes(work: Work, count: int, draw: random.Random) -> list[str]:
    mixes = [
        phrase(work.scene, [mix], draw) for mix in draw.sample(work.scene.mixes, min(count, len(work.scene.mixes)))
    ]
    return [f"{work.leads[0]} ({mix})" for mix in mixes]


def _album_title(scene: Scene, draw: random.Random) -> str:
    title = phrase(scene, scene.titles, draw)
    mixed = bool(scene.mixes) and draw.random() < 0.12
    return f"{title} ({phrase(scene, scene.mixes, draw)})" if mixed else title


def _track(seed: int, work: Work, title: str, draw: random.Random) -> Track:
    return Track(
        position="",
        title=title,
        seconds=_seconds(work.scene, draw),
        artists=_scene_artists(seed, work.scene, draw) if work.various else (),
        credits=_credits(seed, work.scene, draw, int(draw.random() < CHANCE_OF_TRACK_CREDITS)),
    )


def _suite(work: Work, draw: random.Random) -> Track:
    """An index track: a title over its movements, which alone have positions and durations."""
    movements = draw.sample(MOVEMENTS, draw.randint(2, 4))
    parts = tuple(Track("", title, _seconds(work.scene, draw)) for title in movements)
    return Track("", phrase(work.scene, work.scene.titles, draw), type="index", sub_tracks=parts)


def _seconds(scene: Scene, draw: random.Random) -> int:
    shortest, longest = scene.minutes
    return int(draw.triangular(shortest * 60, longest * 60))


def _with_headings(tracks: tuple[Track, ...], draw: random.Random) -> tuple[Track, ...]:
    first, second = (Track("", title, type="heading") for title in draw.sample(HEADINGS, 2))
    half = len(tracks) // 2
    return (first, *tracks[:half], second, *tracks[half:])


def _with_durations(tracks: tuple[Track, ...], draw: random.Random) -> tuple[Track, ...]:
    policy = draw.random()
    if policy < CHANCE_OF_NO_DURATIONS:
        return tracks
    known = 0.7 if policy < CHANCE_OF_NO_DURATIONS + CHANCE_OF_SOME_DURATIONS else 1.0
    return tuple(_timed(track, known, draw) for track in tracks)


def _timed(track: Track, known: float, draw: random.Random) -> Track:
    parts = tuple(_timed(part, known, draw) for part in track.sub_tracks)
    shown = track.seconds > 0 and draw.random() < known
    return replace(track, duration=clock_time(track.seconds) if shown else "", sub_tracks=parts)


def clock_time(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _work_title(carrier: str, leads: tuple[str, ...], draw: random.Random) -> str:
    return " / ".join(leads) if carrier == '7"' and draw.random() < 0.6 else leads[0]


def _work_artists(seed: int, scene: Scene, carrier: str, draw: random.Random) -> tuple[Credit, ...]:
    if carrier in {"CD", "2xLP", "2xCD", '12" EP'} and draw.random() < CHANCE_OF_VARIOUS:
        return (Credit(VARIOUS),)
    return _scene_artists(seed, scene, draw)


def _scene_artists(seed: int, scene: Scene, draw: random.Random) -> tuple[Credit, ...]:
    first = Credit(_scene_artist(seed, scene, draw))
    if draw.random() < CHANCE_OF_NAME_VARIATION:
        first = replace(first, anv=name_variation(first.artist.name))
    if draw.random() >= CHANCE_OF_TWO_ARTISTS:
        return (first,)
    return (replace(first, join=draw.choice(JOINS)), Credit(_scene_artist(seed, scene, draw)))


def _scene_artist(seed: int, scene: Scene, draw: random.Random) -> Artist:
    return artist_of(seed, draw.randrange(ARTISTS_PER_SCENE) * len(SCENES) + SCENES.index(scene))


def name_variation(name: str) -> str:
    """How another sleeve spells it: the first word cut to its initial, a lone word in capitals."""
    first, blank, rest = bare_name(name).partition(" ")
    return f"{first[0]}. {rest}" if blank else first.upper()


def bare_name(name: str) -> str:
    """Without the number that tells namesakes apart: "Wool (4)" is "Wool"."""
    return name.rsplit(" (", 1)[0] if name.endswith(")") and name.rsplit(" (", 1)[-1][:-1].isdigit() else name


def _credits(seed: int, scene: Scene, draw: random.Random, count: int) -> tuple[Credit, ...]:
    return tuple(Credit(_scene_artist(seed, scene, draw), role=draw.choice(scene.roles)) for _ in range(count))


def _carrier_of(work: Work, number: int, draw: random.Random) -> str:
    """Later versions of an album may be of another carrier; a single stays what it was."""
    again = draw.choice(ALBUMS)
    return again if number != work.first and work.carrier in ALBUMS else work.carrier


def _years_later(work: Work, number: int, draw: random.Random) -> int:
    later = draw.randint(0, 25)
    return 0 if number == work.first else min(later, 2026 - work.year)


def _formats(work: Work, carrier: Carrier, number: int, draw: random.Random) -> tuple[Format, ...]:
    extra = draw.choice(PRESSINGS) if number != work.first or draw.random() < 0.15 else ()
    compilation = ("Compilation",) if work.various else ()
    descriptions = tuple(dict.fromkeys((*carrier.descriptions, *extra, *compilation)))
    main = Format(carrier.format, carrier.quantity, descriptions, draw.choice(FORMAT_TEXTS))
    bonus = Format("Vinyl", 1, ('7"', "Reissue")) if "LP" in descriptions and draw.random() < 0.04 else None
    return (main, bonus) if bonus else (main,)


def _imprints(label: Label, draw: random.Random) -> tuple[Imprint, ...]:
    imprint = Imprint(label, _catalogue_number(label, draw))
    doubled = draw.random() < 0.12
    return (imprint, replace(imprint, catno=imprint.catno.replace(" ", "-").lower())) if doubled else (imprint,)


def _catalogue_number(label: Label, draw: random.Random) -> str:
    letters = "".join(filter(str.isalpha, label.name))[:4].upper()
    patterns = (
        "{s} {n:03}",
        "{s}{n:03}",
        "{s}-{n:04}",
        "{s} {n:02} LP",
        "С60 {n:05} 009",
        "none",
        "{n:04}, {s}-{n:04}",
    )
    weights = (5, 5, 4, 2, 1, 1, 1)
    return draw.choices(patterns, weights)[0].format(s=letters, n=draw.randrange(1, 999))


def _companies(seed: int, scene: Scene, draw: random.Random) -> tuple[Imprint, ...]:
    kinds = draw.sample(COMPANIES, draw.choice((0, 0, 1, 2, 3)))
    return tuple(Imprint(_scene_label(seed, scene, draw), "", number, name) for name, number in kinds)


def _scene_label(seed: int, scene: Scene, draw: random.Random) -> Label:
    return label_of(seed, draw.randrange(LABELS_PER_SCENE) * len(SCENES) + SCENES.index(scene))


def _identifiers(head: Heading, draw: random.Random) -> tuple[Identifier, ...]:
    runout = Identifier("Matrix / Runout", f"{head.labels[0].catno} A1 ▽ {draw.randrange(9999)}", "Side A, etched")
    barcode = Identifier("Barcode", f"{draw.randrange(10**12, 10**13)}", "Scanned")
    society = Identifier("Rights Society", draw.choice(("GEMA", "BIEM", "SACEM", "JASRAC", "MCPS")))
    return tuple(draw.sample((runout, barcode, society), draw.randrange(4)))


def _released(year: int, draw: random.Random) -> str:
    exact = draw.choice(("", "{y}", "{y}", "{y}", "{y}-{m:02}-00", "{y}-{m:02}-{d:02}"))
    return exact.format(y=year, m=draw.randint(1, 12), d=draw.randint(1, 28)) if year else ""


def _draw(seed: int, kind: str, number: int) -> random.Random:
    return random.Random(f"{seed}/{kind}/{number}")
