"""How methods are told apart in charts: a colour and a dash of each, alike all over the page."""

from __future__ import annotations

LIGHT = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6a51a3", "#000000",
    "#8c564b", "#7f7f7f",
)  # fmt: skip
"""On a light page; told apart with colour-blind eyes: the palette of Okabe and Ito (2008), and
three more."""
DARK = (
    "#4da6e0", "#ff8340", "#2cc79a", "#e6a3c8", "#9bd3f7", "#ffc04d", "#a894e0", "#ffffff",
    "#c99a8e", "#a8a8a8",
)  # fmt: skip
"""The same on a dark page, number by number."""
_DASHES = ((1, 0), (6, 3), (2, 2), (10, 3, 2, 3), (12, 5), (1, 4))
"""Lengths of line and gap in turn; the first is a line without gaps."""
N_TOLD_APART = len(LIGHT) * len(_DASHES)
"""Methods of which no two have the same colour and dash."""


def colour(number: int) -> int:
    """The number of the colour of a method."""
    return number % len(LIGHT)


def dash(number: int) -> list[int]:
    """The dash of a method: those of one colour differ."""
    return list(_DASHES[number // len(LIGHT) % len(_DASHES)])
