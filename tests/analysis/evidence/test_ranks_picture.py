"""The picture of mean ranks: names as they are, every row, a bar for each group."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from analysis.evidence.ranks import Ranking
from analysis.evidence.ranks_picture import draw_ranks
from analysis.pictures import svg

RANKING = Ranking(("$a_{$", "<b>", "_c", "d"), (1.25, 1.75, 3.0, 4.0), 12, 0.001, 1.35,
                  ((0, 1), (1, 2), (2, 3)))  # fmt: skip


def test_the_picture_is_the_same_twice_and_holds_every_name_and_number() -> None:
    picture = svg(draw_ranks(RANKING))
    assert picture == svg(draw_ranks(RANKING))
    drawn = [text.text for text in ElementTree.fromstring(picture).iter()
             if text.tag.endswith("}text")]  # fmt: skip
    assert set(RANKING.labels) <= set(drawn)
    assert {"1.25", "1.75", "3.00", "4.00", "critical difference 1.35"} <= set(drawn)


@pytest.mark.parametrize("groups", [(), ((0, 3),), ((0, 1), (1, 2), (2, 3))])
def test_there_is_a_bar_for_each_group_that_spans_its_rows(groups) -> None:
    _, bars = draw_ranks(RANKING._replace(groups=groups)).axes
    ends = [line.get_ydata() for line in bars.get_lines()]
    spans = [tuple(row for row in range(4) if low < row < high) for low, high in ends]
    assert spans == [tuple(range(first, last + 1)) for first, last in groups]
