"""Scoring detectors on stored runs: one row per run and detector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from analysis.labels import FACTS, row_labels
from analysis.selection import Wanted, matching
from analysis.suspects.detectors import DETECTORS, Detector
from analysis.suspects.evidence import Evidence
from analysis.suspects.neighbours import Features
from analysis.suspects.quality import MEASURES, measured
from analysis.suspects.rates import Estimated, confident_rate
from pipeline.errors import LabError, quoted, suggest
from pipeline.results.given import shown_noise
from pipeline.results.store import Store
from pipeline.results.view import Results

_REAL = ("estimated_rate", "true_rate", *MEASURES)
_COUNTS = ("n", "n_wrong", "false_negatives")
ROW = {
    **dict.fromkeys(("dataset", "noise", "label", "detector"), pl.String()),
    "seed": pl.Int64(),
    "key": pl.String(),
    "estimate": pl.String(),
    **dict.fromkeys(_REAL, pl.Float64()),
    **dict.fromkeys(_COUNTS, pl.Int64()),
}
"""Columns of the rows: what is ranked, what estimated the rate, how well the ranking does."""


class Scored(NamedTuple):
    """Rows of all runs and detectors, and what is missing in them."""

    rows: pl.DataFrame
    """Columns `ROW`; measures are null where nobody knows the true labels."""
    remarks: list[str]
    """One line for each reason for which runs are not among them."""


def runs_to_rank(source: Results, wanted: Wanted) -> pl.DataFrame:
    """Finished runs that are asked for, with what they are called.

    Args:
        source: runs of a store or of views.
        wanted: allowed values by column of the runs table or setting.

    Returns:
        Their rows, each run once, with a column label; sorted by data set, noise, label and seed.

    Raises:
        LabError: if none matches.
    """
    runs = source.runs.filter(pl.col("status") == "done").collect()
    if runs.is_empty():
        raise LabError("no finished runs yet", "results of at least one run", "uv run dvc repro")
    # Labels may have two names, and a run a row for each.
    found = matching(runs, wanted).sort("noise").unique("key", keep="first", maintain_order=True)
    names = row_labels(found.select({"key", *FACTS}))
    return found.join(names, on="group").sort("dataset", "noise", "label", "seed", "key")


def chosen(names: Sequence[str], features: Features | None) -> dict[str, Detector]:
    """The detectors that are asked for; all that can be had, unless some are named.

    Raises:
        LabError: for an unknown name, and one that needs features where there are none.
    """
    unknown = [name for name in names if name not in DETECTORS]
    if unknown:
        raise LabError(
            f"detector {quoted(unknown[0])}", *suggest(unknown[0], DETECTORS, "no --detector")
        )
    needy = [name for name in names if DETECTORS[name].by_neighbours and features is None]
    if needy:
        raise LabError(
            f"detector {needy[0]} without features", "a row per training image", "--features FILE"
        )
    return {
        name: detector
        for name, detector in DETECTORS.items()
        if (name in names if names else features is not None or not detector.by_neighbours)
    }


def evidence_of(store: Store, run: Mapping[str, Any], features: Features | None) -> Evidence:
    """What a stored run says about its training samples.

    Args:
        store: that has its samples.
        run: its row, of which key and class_names are read.
        features: for the votes of neighbours; None leaves these out.

    Returns:
        The evidence; without rows where the run stored no samples.
    """
    samples = store.samples([run["key"]]).sort("index").collect()
    found = Evidence(len(run["class_names"]), samples)
    if features is None or samples.is_empty():
        return found
    return replace(found, neighbours=features.votes(found.index, found.given, found.n_classes))


def estimated(
    found: Evidence, run: Mapping[str, Any], hoc: Mapping[str, float]
) -> Estimated | None:
    """The estimated share of wrong labels: HOC's where one was given, else cleanlab's."""
    if run["labels_digest"] in hoc:
        return Estimated(hoc[run["labels_digest"]], "hoc")
    rate = confident_rate(found)
    return None if rate is None else Estimated(rate, "confident")


def score_runs(
    store: Store,
    runs: pl.DataFrame,
    detectors: Mapping[str, Detector],
    hoc: Mapping[str, float],
    features: Features | None = None,
) -> Scored:
    """Measure every detector on every run.

    Args:
        store: that has their samples.
        runs: from `runs_to_rank`.
        detectors: from `chosen`.
        hoc: estimated rates by digest of the label table.
        features: for detectors of neighbours.

    Returns:
        The rows and what is missing.
    """
    rows: list[dict[str, Any]] = []
    gaps: dict[tuple[str, str], list[str]] = defaultdict(list)
    for run in runs.iter_rows(named=True):
        name = f"{run['dataset']} {shown_noise(run)} {run['label']}"
        found = evidence_of(store, run, features)
        if found.unseen.all():
            gaps[name, "saw no training sample"].append(run["key"])
            continue
        rate = estimated(found, run, hoc)
        for detector, how in detectors.items():
            lacking = found.lacking(how.needs)
            if lacking:
                gaps[name, f"stored no {', '.join(lacking)}"].append(detector)
            else:
                rows.append(_row(run, detector, how, found, rate))
    remarks = [_remark(name, why, what) for (name, why), what in gaps.items()]
    return Scored(pl.DataFrame(rows, schema=ROW), remarks)


def _row(
    run: Mapping[str, Any], name: str, detector: Detector, found: Evidence, rate: Estimated | None
) -> dict[str, Any]:
    score = detector.score(found)
    known, wrong = np.isfinite(score), found.wrong
    row = {column: run[column] for column in ("dataset", "noise", "label", "seed", "key")}
    row |= {"noise": shown_noise(run), "detector": name, "n": int(known.sum())}
    if rate is not None:
        row |= {"estimate": rate.by, "estimated_rate": rate.rate}
    if wrong is None:
        return row
    numbers = measured(score[known], wrong[known], None if rate is None else rate.rate)
    return row | numbers | {"true_rate": numbers["n_wrong"] / numbers["n"]}


def _remark(name: str, why: str, what: Sequence[str]) -> str:
    """One line on what a group of runs has not."""
    if why.startswith("stored"):
        left_out = ", ".join(dict.fromkeys(what))
        return f"{name}: {why}, so no {left_out}; computing its runs again (--force) stores it"
    return f"{name}: {len(what)} runs left out, {why}"
