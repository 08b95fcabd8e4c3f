"""Which of the answers is the p99?"""

import pytest

from bench.reads import Times


@pytest.mark.parametrize(("answers", "p99"), [(1, 1.0), (30, 30.0), (100, 99.0), (101, 100.0), (200, 198.0)])
def test_p99_is_the_nearest_rank(answers: int, p99: float) -> None:
    times = Times(first=[float(place) for place in range(answers, 0, -1)])
    assert times.p99 == p99
