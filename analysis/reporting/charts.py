"""The charts of the report, as Vega-Lite: drawn in the page, and as pictures for other programs.

A chart is written once and without data; the page adds the rows of each figure, and the colours of
a light or a dark page. A row may hold lists, which its chart unfolds: that is less to carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from analysis.reporting.figures import Figure
from analysis.reporting.palette import LIGHT, N_TOLD_APART, colour, dash

_VERSION = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
_BAND = 0.13
"""Opacity of a band of one deviation."""
_NUMBERS = list(range(N_TOLD_APART))
# What is near the pointer is a cell around a point, whose datum is the point; Vega-Lite looks for
# texts, unlike numbers, in the cell itself.
_POINT = "(datum.datum || datum)"
_TOLD = (
    f"{{'method': {_POINT}.method, 'epoch': {_POINT}.epoch, 'mean': format({_POINT}.mean, '.1%'), "
    f"'± over seeds': {_POINT}.std === null ? '–' : format({_POINT}.std, '.1%')}}"
)
_SWITCHED_ON = "indexof(off, datum.m) < 0"


@cache
def libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which asks no network for anything."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION)
    return script.replace("</script", r"<\/script")


@cache
def charts() -> dict[str, dict[str, Any]]:
    """Every chart of the page, by name."""
    made = {
        "curves": _curves(),
        "transition": _heat_map("clean class", "given label"),
        "confusion": _heat_map("true class", "predicted class"),
        "classes": _heat_map(None, "class"),
        "ranks": _ranks(),
    }
    # As wide as the page lets it be, and as high as its rows.
    size = {"width": "container", "autosize": alt.AutoSizeParams(type="fit-x", contains="padding")}
    return {name: chart.properties(**size).to_dict() for name, chart in made.items()}


def picture(panels: Mapping[str, Figure]) -> str:
    """Curves side by side with their legend, as SVG.

    Args:
        panels: figures of the chart `curves`, by what stands above them.
    """
    methods = {row["m"]: row["method"] for figure in panels.values() for row in figure.rows}
    names = [methods[number] for number in sorted(methods)]
    told = {
        "color": alt.Color(
            "method:N",
            scale=alt.Scale(domain=names, range=[LIGHT[colour(m)] for m in sorted(methods)]),
            legend=alt.Legend(
                title=None,
                orient="bottom",
                columns=6,
                labelLimit=0,
                symbolLimit=0,
                symbolType="stroke",
                symbolSize=400,
                symbolStrokeWidth=2,
            ),
        ),
        "strokeDash": alt.StrokeDash(
            "method:N", scale=alt.Scale(domain=names, range=[dash(m) for m in sorted(methods)])
        ),
    }
    parts = [
        alt.layer(*_band_and_line(alt.NamedData(name=title), **told)).properties(
            width=300, height=260, title=alt.Title(title.split("\n"), anchor="start")
        )
        for title in panels
    ]
    chart = alt.hconcat(*parts).add_params(*_switches()).to_dict(validate=False)
    # Given afterwards: within a chart, rows are copied and looked through at every turn.
    chart["datasets"] = {title: figure.rows for title, figure in panels.items()}
    return str(vl_convert.vegalite_to_svg(chart, vl_version=_VERSION))


def _curves() -> alt.LayerChart:
    """A line a method over the epochs; that near the pointer stands out and is named."""
    rows, scale = _rows(), alt.Scale(domain=_NUMBERS)
    near = alt.selection_point(
        name="near", fields=["m"], on="pointerover", clear="pointerout", nearest=True
    )
    band, line = _band_and_line(
        rows,
        color=alt.Color("look:N", scale=scale, legend=None),
        strokeDash=alt.StrokeDash(
            "look:N",
            scale=alt.Scale(domain=_NUMBERS, range=[dash(m) for m in _NUMBERS]),
            legend=None,
        ),
        opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0.12)),
    )
    points = (
        _unfolded(rows)
        .mark_point(opacity=0, size=60)
        .encode(x=_epoch(), y=_share("mean"), tooltip=alt.value(alt.ExprRef(_TOLD)))
        .add_params(near)
    )
    return (
        alt.LayerChart(layer=[band, line, points]).add_params(*_switches()).properties(height=250)
    )


def _switches() -> tuple[alt.Parameter, alt.Parameter]:
    """Numbers of the methods that are switched off; opacity of bands."""
    return alt.param(name="off", value=[]), alt.param(name="bands", value=_BAND)


def _band_and_line(rows: alt.NamedData, **told: Any) -> tuple[alt.Chart, alt.Chart]:
    """Mean and one deviation; `told` says how methods are told apart."""
    base = _unfolded(rows)
    band = base.mark_area(fillOpacity=alt.ExprRef("bands"), strokeOpacity=0).encode(
        x=_epoch(), y=_share("low"), y2="high:Q", detail="m:N",
        **{name: how for name, how in told.items() if name != "strokeDash"},
    )  # fmt: skip
    line = base.mark_line(strokeWidth=1.8).encode(
        x=_epoch(), y=_share("mean"), detail="m:N", **told
    )
    return band, line


def _unfolded(rows: alt.NamedData) -> alt.Chart:
    """A row for each method and epoch, of the methods that are switched on."""
    return (
        alt.Chart(rows)
        .transform_filter(_SWITCHED_ON)
        .transform_flatten(["epoch", "mean", "std"])
        .transform_calculate(
            low="max(0, datum.mean - datum.std)",
            high="min(1, datum.mean + datum.std)",
            look=f"datum.m % {N_TOLD_APART}",
        )
    )


def _epoch() -> alt.X:
    scale = alt.Scale(nice=False, zero=False)
    return alt.X("epoch:Q", title="epoch", scale=scale, axis=alt.Axis(tickMinStep=1, grid=False))


def _share(name: str) -> alt.Y:
    scale = alt.Scale(zero=False, nice=True)
    return alt.Y(f"{name}:Q", title=None, scale=scale, axis=alt.Axis(format="%"))


def _rows() -> alt.NamedData:
    """The rows that the page puts in."""
    return alt.NamedData(name="rows")


def _heat_map(row_title: str | None, column_title: str) -> alt.LayerChart:
    """Shares by row and column, both numbered; the page names them."""
    column = alt.X(
        "column:O",
        title=column_title,
        axis=alt.Axis(
            labelExpr="column_names[datum.value]",
            labelOverlap=True,
            labelAngle=alt.ExprRef("upright ? 0 : -90"),
            labelAlign=alt.ExprRef("upright ? 'center' : 'right'"),
            labelBaseline=alt.ExprRef("upright ? 'top' : 'middle'"),
            domain=False,
        ),
    )
    row = alt.Y(
        "row:O",
        title=row_title,
        axis=alt.Axis(
            labelExpr="row_names[datum.value]", labelOverlap=True, labelLimit=150, domain=False
        ),
    )
    base = (
        alt.Chart(_rows())
        .transform_filter(_SWITCHED_ON)
        .transform_flatten(["column", "share"])
        .transform_calculate(
            row_name="row_names[datum.row]", column_name="column_names[datum.column]"
        )
        .encode(x=column, y=row)
    )
    cells = base.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1]), legend=None),
        tooltip=[
            alt.Tooltip("row_name:N", title=row_title or "method"),
            alt.Tooltip("column_name:N", title=column_title),
            alt.Tooltip("share:Q", format=".1%"),
        ],
    )
    texts = (
        base.transform_filter("texts && datum.share >= 0.005")
        .mark_text(fontSize=10)
        .encode(
            text=alt.Text("percent:N"),
            color=alt.condition(
                "datum.share > 0.55",
                alt.value(alt.ExprRef("on_hot")),
                alt.value(alt.ExprRef("ink")),
            ),
        )
        .transform_calculate(percent="format(100 * datum.share, '.0f')")
    )
    names = ("off", "row_names", "column_names")
    params = [alt.param(name=name, value=[]) for name in names]
    params += [alt.param(name=name, value=False) for name in ("texts", "upright")]
    chart = alt.LayerChart(layer=[cells, texts], view=alt.ViewBackground(fill=alt.ExprRef("cold")))
    return chart.add_params(*params)


def _ranks() -> alt.LayerChart:
    """Mean ranks under a ruler as long as the critical difference; bars join groups of rows."""
    row = alt.Y(
        "row:O",
        title=None,
        axis=alt.Axis(
            labelExpr="row_names[datum.value]", labelLimit=260, domain=False, ticks=False
        ),
    )
    base = alt.Chart(_rows()).encode(y=row)
    place = alt.X(
        "to:Q",
        title="mean rank, 1 is the best",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(tickCount=10),
    )
    line = base.mark_rule(color=alt.ExprRef("soft")).encode(x=alt.X("from:Q"), x2="to:Q")
    methods = base.transform_filter("datum.kind == 'method'")
    points = methods.mark_point(
        filled=True, size=70, opacity=1, color=alt.ExprRef("accent")
    ).encode(x=place)
    texts = methods.mark_text(align="left", dx=8, color=alt.ExprRef("ink")).encode(
        x=place, text=alt.Text("to:Q", format=".2f")
    )
    groups = (
        alt.Chart(_rows())
        .transform_filter("datum.kind == 'group'")
        .mark_rule(strokeWidth=4, color=alt.ExprRef("ink"))
        .encode(x=alt.X("from:Q"), y="row:O", y2="last:O")
    )
    return alt.LayerChart(layer=[line, points, texts, groups]).add_params(
        alt.param(name="row_names", value=[])
    )
