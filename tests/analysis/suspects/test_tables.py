"""Tables of detectors: means over runs, and which values are marked."""

from __future__ import annotations

import polars as pl

from analysis.suspects.quality import MEASURES
from analysis.suspects.scoring import ROW
from analysis.suspects.tables import details, joined

AUROC = {
    "margin": (0.90, 0.80, 0.70),
    "aum": (0.89, 0.81, 0.69),  # now above margin, now below
    "mean-loss": (0.85, 0.75, 0.64),  # below it by nearly the same in each run
}


def rows_of(auroc: dict[str, tuple[float, ...]]) -> pl.DataFrame:
    """One method on one label table, every measure as its AUROC."""
    rows = [
        dict.fromkeys(ROW) | dict.fromkeys(MEASURES, value)
        | {"dataset": "small", "noise": "sym", "label": "ce", "detector": name, "seed": seed}
        | {"key": f"r{seed}", "fnr_at_true": 1.0 - value}
        for name, values in auroc.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=ROW)


def test_what_no_run_separates_from_the_best_detector_is_marked_as_well() -> None:
    layout = joined(rows_of(AUROC), "auroc")
    (row,) = layout.rows
    shown = dict(zip(layout.header, row, strict=True))
    assert [name for name in AUROC if shown[name].best] == ["margin", "aum"]
    assert shown["margin"].text == "0.800 ± 0.100"
    assert "Bold: the best, and what is not separable from it at 5 %" in layout.caption


def test_the_smaller_is_the_better_where_wrong_labels_are_missed() -> None:
    layout = details(rows_of(AUROC))
    at, name = layout.header.index("FNR"), layout.header.index("detector")
    assert {row[name].text for row in layout.rows if row[at].best} == {"margin", "aum"}


def test_with_one_run_only_the_best_is_marked() -> None:
    layout = joined(rows_of({name: values[:1] for name, values in AUROC.items()}), "auroc")
    assert [cell.text for cell in layout.rows[0] if cell.best] == ["0.900"]
    assert "cannot be told" in layout.caption
