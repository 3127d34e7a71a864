from __future__ import annotations

import random
from collections import Counter

import pytest

from proxy.commands.simulated_day.crowd import Crowd


def test_a_crowd_is_drawn_from_by_weight() -> None:
    crowd, draw = Crowd(5), random.Random(1)
    for member, weight in enumerate((1.0, 0.0, 2.0, 5.0, 1.0)):
        crowd.put(member, weight)
    crowd.put(3, 0.0)
    drawn = Counter(crowd.draw(draw.random()) for _ in range(4000))
    assert drawn == {0: pytest.approx(1000, rel=0.1), 2: pytest.approx(2000, rel=0.1), 4: pytest.approx(1000, rel=0.1)}
