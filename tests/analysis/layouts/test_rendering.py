"""Tables on the terminal."""

from __future__ import annotations

import pytest

from analysis.layouts.layout import Cell, Layout
from analysis.layouts.rendering import write


def test_a_narrow_terminal_cuts_nothing_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    titles = [f"measure{number}" for number in range(9)]
    row = [Cell("symmetric-40"), *(Cell(f"0.1{number} ± 0.2{number}") for number in range(9))]
    write(Layout(["noise", *titles], [[row]], "The caption."), "terminal")
    shown = capsys.readouterr().out
    assert "…" not in shown
    numbers = [f"0.{first}{number}" for first in (1, 2) for number in range(9)]
    assert all(text in shown for text in ("symmetric-40", *titles, *numbers))


def test_a_narrow_terminal_breaks_no_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    header = ["data set", "noise", "corrected p", "95 % interval", *["seeds needed"] * 5]
    row = ["all places", "symmetric-40", "0.012", "+14.9 to +17.1", *["7"] * 5]
    write(Layout(header, [[[Cell(text) for text in row]]], "The caption."), "terminal")
    shown = capsys.readouterr().out
    words = " ".join(header + row).split()
    assert all(f" {word} " in shown for word in words)
