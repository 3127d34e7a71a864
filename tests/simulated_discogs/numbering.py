"""Ids as Discogs has them, rising with gaps, and the way back from an id to the thing it numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Numbering:
    """The n-th thing has an id between `start + n * step` and the next multiple, so gaps are not found."""

    start: int
    step: int

    def id_of(self, number: int) -> int:
        return self.start + number * self.step + (number * 2_654_435_761 % 4_294_967_291) % self.step

    def number_of(self, identity: int) -> int | None:
        number = (identity - self.start) // self.step
        return number if number >= 0 and self.id_of(number) == identity else None


RELEASES = Numbering(1_000, 1_487)
MASTERS = Numbering(500, 373)
ARTISTS = Numbering(300, 4_099)
LABELS = Numbering(200, 1_709)
