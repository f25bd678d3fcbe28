"""Pictures that go into a page: deterministic SVG as data URIs, colours, heat maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6a51a3", "#000000",
    "#8c564b", "#7f7f7f",
)  # fmt: skip
"""Told apart with colour-blind eyes: the palette of Okabe and Ito (2008), and three more."""
_NAMED_CLASSES, _NUMBERED_CLASSES = 20, 12


def colours(names: Iterable[str]) -> dict[str, str]:
    """One colour per name, in order; they repeat after ten."""
    return {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}


names_as_text = mpl.rc_context({"text.parse_math": False})
"""Decorates a function that draws: a name with dollar signs is no formula."""


def svg(figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure."""
    buffer = io.BytesIO()
    # Text stays text: smaller, and searchable; ids and dates would differ between two runs.
    with mpl.rc_context({"svg.hashsalt": "report", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().decode()


def data_uri(picture: str | bytes) -> str:
    """A picture, SVG as text or PNG as bytes, as an address that holds it."""
    kind, content = ("svg+xml", picture.encode()) if isinstance(picture, str) else ("png", picture)
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


@names_as_text
def draw_transition(transition: Sequence[Sequence[float]], class_names: Sequence[str]) -> Figure:
    """Draw a transition matrix.

    Args:
        transition: T [K, K], T[i, j] = P(noisy = j | clean = i).
        class_names: names of the K classes.

    Returns:
        A heat map; its cells carry percent up to 12 classes, a colour bar explains more.
    """
    matrix = np.asarray(transition, dtype=float)
    figure = Figure(figsize=(3.9, 3.9), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    axes.set(xlabel="given label", ylabel="clean class")
    if len(matrix) <= _NAMED_CLASSES:
        rotation = 90 if max(map(len, class_names)) > 3 else 0
        axes.set_xticks(range(len(matrix)), class_names, fontsize="small", rotation=rotation)
        axes.set_yticks(range(len(matrix)), class_names, fontsize="small")
    if len(matrix) <= _NUMBERED_CLASSES:
        for (row, column), share in np.ndenumerate(matrix):
            if share >= 0.005:
                axes.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize="small",
                    color="white" if share > 0.55 else "black",
                )
    else:
        figure.colorbar(image, shrink=0.75, format=PercentFormatter(1))
    return figure
