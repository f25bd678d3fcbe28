"""Pictures of one run: its curves and its confusion matrix.

Margins are set by hand: automatic layout draws every picture twice, which short runs notice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline.results.schema import DRAWN


@contextmanager
def quick_style() -> Iterator[None]:
    """Settings under which pictures are drawn fast and plainly: text stays text, never formulas."""
    with rc_context({"svg.fonttype": "none", "text.parse_math": False}), catch_warnings():
        # Glyphs that a font lacks are drawn by the reader's browser.
        simplefilter("ignore", UserWarning)
        yield


def plain(text: str, length: int) -> str:
    """A name as it can be drawn: on one line, printable, of bounded length."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def curves(title: str, epochs: Sequence[dict[str, Any]]) -> Figure:
    """Accuracies and memorisation over the epochs of one run; draw within `quick_style`.

    Args:
        title: above the picture.
        epochs: rows of the epochs table; columns without values are left out.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(6, 4), dpi=80)
    axes = figure.subplots()
    for column, label in DRAWN.items():
        points = [(row["epoch"], row[column]) for row in epochs if row.get(column) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label)
    axes.set(title=plain(title, 70), xlabel="epoch", ylabel="fraction", ylim=(0, 1))
    axes.legend(fontsize="small", loc="upper right")
    return figure


def confusion_matrix(title: str, counts: Sequence[int], class_names: Sequence[str]) -> Figure:
    """Confusion on the test images as shares of each true class (rows sum to one).

    Draw within `quick_style`.

    Args:
        title: above the picture.
        counts: K*K counts row by row, row = true class.
        class_names: names of the K classes.

    Returns:
        The figure; up to 20 classes, cells of a tenth and more carry their number.
    """
    n = len(class_names)
    matrix = np.asarray(counts, dtype=float).reshape(n, n)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6, 6), dpi=80)
    axes = figure.add_axes((0.2, 0.2, 0.75, 0.72))
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set(title=plain(title, 70), xlabel="predicted", ylabel="true")
    if n <= 20:
        names = [plain(name, 24) for name in class_names]
        axes.set_xticks(range(n), names, rotation=90, fontsize="small")
        axes.set_yticks(range(n), names, fontsize="small")
        for (i, j), share in np.ndenumerate(shares):
            # Every number costs a millisecond: those too small to matter stay unwritten.
            if share >= 0.1:
                colour = "white" if share > 0.5 else "black"
                axes.text(j, i, f"{share:.2f}", ha="center", va="center", fontsize=7, color=colour)
    return figure
