"""The picture of mean ranks with their critical difference."""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis.evidence.ranks import Ranking
from analysis.pictures import names_as_text

_LINE, _ACCENT = "#7f7f7f", "#0072b2"


@names_as_text
def draw_ranks(ranking: Ranking) -> Figure:
    """Draw mean ranks, the best on top; a bar beside joins rows that are not separable.

    Args:
        ranking: rows by their mean ranks.

    Returns:
        A row of the picture per row of the table, under a ruler as long as the critical difference.
    """
    n_rows = len(ranking.labels)
    figure = Figure(figsize=(7.2, 1.3 + 0.27 * n_rows), layout="constrained")
    axes, bars = figure.subplots(1, 2, sharey=True, width_ratios=[9, 1])
    rows = range(n_rows)
    axes.hlines(rows, 1, ranking.mean_ranks, color=_LINE, linewidth=0.8)
    axes.plot(ranking.mean_ranks, rows, "o", color=_ACCENT)
    for row, mean in enumerate(ranking.mean_ranks):
        axes.annotate(f"{mean:.2f}", (mean, row), (7, 0), textcoords="offset points",
                      va="center", fontsize="small")  # fmt: skip
    ruler = -1.0
    axes.plot([1, 1 + ranking.critical_difference], [ruler, ruler], "|-", color="black")
    axes.annotate(f"critical difference {ranking.critical_difference:.2f}", (1, ruler), (0, 5),
                  textcoords="offset points", fontsize="small")  # fmt: skip
    axes.set_yticks(rows, ranking.labels)
    axes.set(xlabel="mean rank, 1 is the best", ylim=(n_rows - 0.4, ruler - 0.8))
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for number, group in enumerate(ranking.groups):
        ends = (group[0] - 0.25, group[1] + 0.25)
        bars.plot([number, number], ends, color="black", linewidth=3, solid_capstyle="butt")
    bars.set_xlim(-0.5, max(len(ranking.groups), 4))
    bars.set_axis_off()
    return figure
