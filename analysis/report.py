"""Report: one HTML file that opens offline, metrics for `dvc metrics`, pictures for `dvc plots`.

uv run python analysis/report.py results/views/digits.parquet --out results/report
uv run python analysis/report.py results/views/digits.parquet --bundle digits.zip
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import tyro

from analysis.bundle import write_bundle
from analysis.curves import PANELS
from analysis.layouts.layout import KNOWING, number, sort_key, spread
from analysis.pages import page
from analysis.published.gaps import WITHIN
from analysis.reporting.charts import charts, libraries, picture
from analysis.reporting.palette import DARK, LIGHT, colour, dash
from analysis.reporting.rank_section import rank_sections
from analysis.reporting.sections import DatasetSection, dataset_section, numbered
from analysis.selection import matching
from pipeline.command_line import Many, joined, read_flags
from pipeline.errors import LabError, program, quoted
from pipeline.files import replacing, results_folder
from pipeline.results.protocols import PROTOCOLS
from pipeline.results.store import Store
from pipeline.results.tracking.pages import run_pages
from pipeline.results.view import Results, results, stored


@dataclass(frozen=True)
class Flags:
    """What to report and where."""

    views: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Views of grids; the whole store unless given."""
    out: Path = field(default_factory=lambda: results_folder() / "report")
    """Folder for report.html, metrics.json, curves.csv, and the folders last and curves."""
    store: str | None = None
    """Store to read without views, a folder or s3://bucket/prefix; LNL_STORE or results/store
    unless given."""
    dataset: Many[str] = ()
    """Data sets; all of them unless given."""
    method: Many[str] = ()
    """Methods; all of them unless given."""
    bundle: Path | None = None
    """Zip file to make of the report and the runs behind it, which opens anywhere."""
    mlflow: str | None = None
    """Address under which MLflow's pages open, such as http://127.0.0.1:5000: keys of runs link to
    them. The runs are looked up where MLFLOW_TRACKING_URI says, or in mlflow.db."""
    samples: bool = False
    """Put the samples of the runs into the bundle as well; they come from the store."""


def write_report(source: Results, out: Path, links: Mapping[str, str] | None = None) -> None:
    """Write the report; the same results give the same bytes.

    Args:
        source: runs and epochs.
        out: folder for report.html, metrics.json (mean accuracies by data set, noise and method,
            under each protocol) and curves.csv (`curves.mean_curves`). For DVC, which shows a line
            per file: last/METHOD.json, mean test accuracy of the last epoch by data set and noise;
            curves/DATASET-NOISE.svg, a line per method.
        links: addresses that tell more of runs, by key.

    Raises:
        LabError: if there are no runs.
    """
    # In order, so that means over epochs are the same to the last bit.
    epochs = source.epochs.sort("key", "epoch").collect()
    held = Results(source.runs.collect().lazy(), epochs.lazy())
    statuses = held.runs.select("dataset", "status").collect()
    if statuses.is_empty():
        raise LabError("no runs to report", "results of at least one run", "uv run dvc repro")
    numbers = numbered(held.runs.collect())
    datasets = statuses["dataset"].unique().sort()
    gathered = [dataset_section(held, name, numbers) for name in datasets]
    sections = [section for section, _ in gathered]
    counts = statuses.group_by("status").len().sort("status").rows()
    html = page(
        "reporting/report.html",
        sections=sections,
        numbers=numbers,
        links=links or {},
        rankings=rank_sections(held),
        counts=counts,
        meanings={name: rule.meaning for name, rule in PROTOCOLS.items()},
        knowing=KNOWING,
        within=f"{WITHIN:g}",
        spread=spread,
        number=number,
        sort_key=sort_key,
        panels=PANELS,
        charts=charts(),
        libraries=libraries(),
        light=LIGHT,
        dark=DARK,
        colour=colour,
        dash=dash,
    )
    _write(out / "report.html", html)
    metrics = _metrics(sections)
    _write(out / "metrics.json", _json(metrics))
    _write_all(out / "last", {f"{name}.json": _json(v) for name, v in _last(metrics).items()})
    pictures = {
        f"{_file_name(section.dataset)}-{_file_name(noise.noise)}.svg": picture(noise.curves)
        for section in sections
        for noise in section.noises
        if noise.curves
    }
    _write_all(out / "curves", pictures)
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


def _last(metrics: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy after the last epoch: by method, as a file can be named, data set and noise."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for dataset, noises in metrics.items():
        for noise, methods in noises.items():
            for label, numbers in methods.items():
                if numbers["last"] is not None:
                    found[label][dataset][noise] = numbers["last"]
    names = [_file_name(label) for label in found]
    unique = (name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names))
    return dict(zip(unique, found.values(), strict=True))


def _file_name(label: str) -> str:
    """`gce (q=0.5)` -> `gce-q=0.5`."""
    return re.sub(r"[^A-Za-z0-9_.=+]+", "-", label).strip("-.")[:100] or "method"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_all(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files of a folder; those of an earlier report go."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        _write(folder / name, text)


@program
def main() -> None:
    """Write the report that the command line asks for."""
    flags = read_flags(Flags, __doc__)
    if flags.samples and flags.bundle is None:
        raise LabError("--samples without --bundle", "both", "--bundle results.zip")
    if flags.bundle is not None and flags.bundle.suffix != ".zip":
        raise LabError(
            f"bundle {flags.bundle}", "a name that ends in .zip", f"--bundle {flags.bundle}.zip"
        )
    if flags.mlflow is not None and not flags.mlflow.startswith(("http://", "https://")):
        raise LabError(
            f"--mlflow {quoted(flags.mlflow)}",
            "an address that a browser opens",
            "--mlflow http://127.0.0.1:5000",
        )
    store = Store(flags.store)
    source = _chosen(results(flags.views, store), flags)
    links = {}
    if flags.mlflow is not None:
        datasets = source.runs.select("dataset").unique().collect()["dataset"].sort()
        links = run_pages(flags.mlflow, datasets)
    write_report(source, flags.out, links)
    print(f"report in {flags.out / 'report.html'}")
    if flags.bundle is not None:
        keys = set(source.runs.select("key").collect()["key"])
        html = (flags.out / "report.html").read_bytes()
        samples_of = store if flags.samples else None
        n_runs = write_bundle(flags.bundle, html, stored(flags.views, store), keys, samples_of)
        print(f"{n_runs} runs with their report in {flags.bundle}")


def _chosen(source: Results, flags: Flags) -> Results:
    wanted = {"dataset": joined(flags.dataset), "method": joined(flags.method)}
    if not any(wanted.values()):
        return source
    runs = matching(source.runs.collect(), wanted).lazy()
    return Results(runs, source.epochs.join(runs.select("key").unique(), on="key", how="semi"))


if __name__ == "__main__":
    main()
