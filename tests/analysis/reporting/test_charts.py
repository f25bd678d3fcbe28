"""Charts are valid Vega-Lite of what the page puts in, and pictures hold what they show."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import vl_convert

from analysis.reporting.charts import charts, libraries, picture
from analysis.reporting.figures import Figure, cells, heat_map, thinned
from analysis.reporting.palette import LIGHT

LINE = {"m": 0, "method": "dal", "epoch": [0, 1], "mean": [0.5, 0.75], "std": [0.1, None]}


@pytest.mark.slow
@pytest.mark.parametrize("name", charts())
def test_every_chart_is_valid(name: str) -> None:
    schema = charts()[name]["$schema"]
    version = re.search(r"v(\d+\.\d+)", schema)
    assert version
    # Names that the page gives a value in the theme of a chart.
    theme = [{"name": one, "value": "red"} for one in ("ink", "soft", "accent", "cold", "on_hot")]
    spec = charts()[name] | {"config": {"params": theme}, "datasets": {"rows": [LINE]}}
    compiled = vl_convert.vegalite_to_vega(spec, vl_version=version[1])
    assert compiled["marks"]


@pytest.mark.slow
def test_the_script_is_one_for_the_page_and_ends_nowhere_inside() -> None:
    script = libraries()
    assert "vegaEmbed" in script
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_a_picture_holds_every_method_and_is_the_same_twice() -> None:
    other = LINE | {"m": 11, "method": "<b>$x_{$"}
    panels = {"test accuracy": Figure("curves", [LINE, other], {})}
    drawn = picture(panels)
    assert drawn == picture(panels)
    texts = {text.text for text in ElementTree.fromstring(drawn).iter() if text.text}
    assert {"test accuracy", "dal", "<b>$x_{$", "epoch"} <= texts
    # The twelfth has the second colour, with gaps.
    assert LIGHT[1] in drawn
    assert "stroke-dasharray" in drawn


def test_long_curves_keep_their_ends_and_few_points() -> None:
    assert thinned(3) == [0, 1, 2]
    for n in (60, 61, 300):
        kept = thinned(n)
        assert (kept[0], kept[-1], len(kept)) == (0, n - 1, 60)
        assert kept == sorted(set(kept))


def test_a_large_matrix_keeps_its_largest_cells() -> None:
    shares = np.full((100, 100), 0.004)
    np.fill_diagonal(shares, 0.6)
    shares[3, 7], shares[5] = 0.2, np.nan
    kept = {(row["row"], column): share for row in cells(shares)
            for column, share in zip(row["column"], row["share"], strict=True)}  # fmt: skip
    assert len(kept) == 100
    assert kept[3, 7] == 0.2
    assert (5, 5) not in kept
    assert sum(len(row["column"]) for row in cells(np.full((100, 100), 0.01))) == 400
    names = [str(number) for number in range(100)]
    figure = heat_map("confusion", cells(shares), names, names)
    assert (figure.params["texts"], figure.step) == (False, 4)
