"""Pictures of a run: names are drawn as they are, whatever signs they hold."""

from __future__ import annotations

import io
import time
from xml.etree import ElementTree as ET

import pytest

from pipeline.results.schema import CURVES, DRAWN, EPOCH_COLUMNS
from pipeline.results.tracking import figures

HOSTILE = [
    "$x_{$",
    r"$\foo$",
    "[/b]",
    "<script>",
    "a\nb\x00c",
    "猫",
    "&amp;",
    "x" * 5000,
    "^_{}\\",
    "",
]


def drawn(figure: object) -> str:
    """Text of a picture, as its reader sees it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")  # type: ignore[attr-defined]  # a figure
    root = ET.fromstring(buffer.getvalue())
    return "\n".join(text for element in root.iter() if (text := element.text))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_drawn_as_plain_text_at_once(name: str) -> None:
    began = time.monotonic()
    with figures.quick_style():
        texts = drawn(figures.confusion_matrix(name, [3, 0, 1, 2], [name, "other"]))
        curve = drawn(figures.curves(name, [{"epoch": 0, "test_accuracy": 0.5}]))
    assert time.monotonic() - began < 10
    for text, length in ((texts, 24), (curve, 70)):
        assert figures.plain(name, length) in text
    assert len(figures.plain(name, 24)) <= 24


def test_every_curve_with_a_legend_is_drawn() -> None:
    record = {"epoch": 0} | dict.fromkeys(CURVES, 0.5)
    with figures.quick_style():
        texts = drawn(figures.curves("run", [record, record | {"epoch": 1}]))
        without = drawn(figures.curves("run", [{"epoch": 0, "lr": 0.1}]))
    assert {"test_accuracy", "averaged_test_accuracy", "memorised"} <= set(DRAWN)
    assert all(EPOCH_COLUMNS[name].fraction for name in DRAWN)
    for legend in DRAWN.values():
        assert legend in texts
        assert legend not in without
