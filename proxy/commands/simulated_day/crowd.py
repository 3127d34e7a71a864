"""Many things of which one is drawn by weight."""

from __future__ import annotations


class Crowd:
    """Members with weights, drawn by weight: a binary indexed tree."""

    def __init__(self, size: int) -> None:
        self._weights = [0.0] * size
        self._tree = [0.0] * (size + 1)
        self._top = 1 << size.bit_length() >> 1
        self.total = 0.0

    def put(self, member: int, weight: float) -> None:
        """0 takes it out."""
        if added := weight - self._weights[member]:
            self._weights[member] = weight
            self.total = max(0.0, self.total + added)
            place = member + 1
            while place < len(self._tree):
                self._tree[place] += added
                place += place & -place

    def draw(self, share: float) -> int | None:
        """The member at that share of the total; None where rounding errors lead to none."""
        left, place, step = share * self.total, 0, self._top
        while step:
            if place + step < len(self._tree) and self._tree[place + step] <= left:
                place += step
                left -= self._tree[place]
            step >>= 1
        return place if place < len(self._weights) and self._weights[place] else None
