"""Report: one HTML file that opens offline, metrics for `dvc metrics`, curves for `dvc plots`.

uv run python analysis/report.py results/views/digits --out results/report
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import tyro
from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.layout import KNOWING, number, spread
from analysis.sections import SHOWN, DatasetSection, dataset_section
from pipeline.errors import LabError, program
from pipeline.files import replacing, results_folder
from pipeline.results.protocols import PROTOCOLS
from pipeline.results.view import Results, results


@dataclass(frozen=True)
class Flags:
    """What to report and where."""

    views: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Views of grids; the whole store unless given."""
    out: Path = field(default_factory=lambda: results_folder() / "report")
    """Folder for report.html, metrics.json and curves.csv."""


def write_report(source: Results, out: Path) -> None:
    """Write the report; the same results give the same bytes.

    Args:
        source: runs and epochs.
        out: folder for report.html, metrics.json (mean accuracies by data set, noise and method)
            and curves.csv (`curves.mean_curves`).

    Raises:
        LabError: if there are no runs.
    """
    held = Results(source.runs.collect().lazy(), source.epochs.collect().lazy())
    statuses = held.runs.select("dataset", "status").collect()
    if statuses.is_empty():
        raise LabError("no runs to report", "results of at least one run", "uv run dvc repro")
    gathered = [dataset_section(held, name) for name in statuses["dataset"].unique().sort()]
    sections = [section for section, _ in gathered]
    counts = statuses.group_by("status").len().sort("status").rows()
    pages = Environment(
        loader=PackageLoader("analysis", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    html = pages.get_template("report.html").render(
        sections=sections,
        counts=counts,
        protocols={name: PROTOCOLS[name].meaning for name in SHOWN},
        knowing=KNOWING,
        spread=spread,
        number=number,
    )
    _write(out / "report.html", html)
    _write(out / "metrics.json", json.dumps(_metrics(sections), indent=1, sort_keys=True) + "\n")
    curves = pl.concat([curves for _, curves in gathered])
    _write(out / "curves.csv", curves.write_csv(float_precision=6))


def _metrics(sections: list[DatasetSection]) -> dict[str, Any]:
    """Mean test accuracy under each protocol and memorised share, as fractions."""
    return {
        section.dataset: {
            noise.noise: {
                row["label"]: {
                    **{name: _rounded(cell["mean"]) for name, cell in row["cells"].items()},
                    "memorised": _rounded(row["memorised"]),
                    "n": row["n"],
                    "diverged": row["diverged"],
                }
                for row in noise.rows
            }
            for noise in section.noises
        }
        for section in sections
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@program
def main() -> None:
    """Write the report that the command line asks for."""
    flags = tyro.cli(Flags, description=__doc__)
    write_report(results(flags.views), flags.out)
    print(f"report in {flags.out / 'report.html'}")


if __name__ == "__main__":
    main()
