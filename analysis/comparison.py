"""Comparing methods: mean and spread over seeds of one metric under one protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

import polars as pl

from analysis.conditions import CONDITIONS, conditions, settings_as_texts
from analysis.evidence.pairs import PAIRED_ON
from analysis.labels import FACTS, row_labels
from analysis.selection import Wanted, matching, plain_columns
from pipeline.errors import LabError, quoted, suggest
from pipeline.results.foreign import UNKNOWN
from pipeline.results.given import noise_as_shown
from pipeline.results.protocols import PROTOCOLS, Name, Protocol, choose
from pipeline.results.schema import AVERAGED, CURVES
from pipeline.results.standing import STOPPED
from pipeline.results.view import Results

METRICS = tuple(name for name in CURVES if name != "lr")
"""Columns of the epochs table that can be compared."""
LOWER_IS_BETTER = frozenset({
    "train_loss", "test_loss", "averaged_test_loss", "memorised", "prediction_changes",
    "test_calibration_error", "averaged_test_calibration_error",
})  # fmt: skip
Models = Literal["both", "only", "no"]
"""Rows of the averaged weights: beside those of the weights as trained, without them, or none."""


class Comparison(NamedTuple):
    """Numbers of a table of methods, and what they mean."""

    cells: pl.DataFrame
    """One row per place of the table: dataset, noise, label, the columns of `by`; mean and std
    (sample standard deviation, ddof 1; null for one run) of the metric over the n finished runs
    that recorded it; not_found (in which the rule finds no epoch), unrecorded, diverged, failed,
    stopped and running count the others; knows lists declared knowledge; `CONDITIONS` as text;
    optimism where it is asked for."""
    values: pl.DataFrame
    """One row per run behind a mean: the columns that name its place and row, `PAIRED_ON`, and
    value, the metric itself."""
    metric: str
    protocol: Name
    by: tuple[str, ...]


def compare(
    results: Results,
    protocol: Name = "last",
    metric: str = "test_accuracy",
    *,
    where: Wanted | None = None,
    by: Sequence[str] = (),
    averaged: Models = "both",
    optimism: bool = False,
) -> Comparison:
    """Compare all methods, seeds averaged and different settings kept apart.

    Args:
        results: runs and epochs of a store or of views.
        protocol: name of the rule that picks the epoch.
        metric: column of the epochs table, or a scalar that runs stored under a name of their own,
            such as ilsvrc_accuracy.
        where: allowed values by column of the runs table or setting; None for all runs.
        by: further columns of the runs table that separate rows.
        averaged: whether runs that keep averaged weights have a row of these, under their label
            and `(averaged)`; it has their metric, at the epoch that they themselves choose. A
            metric that does not tell of them has no such row.
        optimism: also have a column of this name, the mean over the same runs of how much larger
            the metric is at the epoch that the test split chooses (`oracle`).

    Returns:
        The cells, sorted by data set, noise and label, and the values that they summarise.

    Raises:
        LabError: for an unknown metric or column, or if no run matches.
    """
    results = _with_metric(results, metric)
    columns = plain_columns(results.runs)
    for column in by:
        if column not in columns:
            raise LabError(f"column {quoted(column)}", *suggest(column, columns, "no --by"))
    runs = _runs(results, where or {}, by)
    runs = runs.join(row_labels(runs, by), on="group")
    rule = PROTOCOLS[protocol]
    parts = [] if averaged == "only" else [_with_values(runs, results, rule, metric, optimism)]
    if averaged != "no" and _has_average(results, metric):
        keeping = runs.filter("_averages").with_columns(label=averaged_label())
        if len(keeping):  # the epochs are read once more only where there is something to find
            parts.append(_with_values(keeping, results, rule, AVERAGED + metric, optimism))
    if not any(len(part) for part in parts):
        raise LabError(
            f"no run with the {metric} of averaged weights",
            "runs with the setting averaging, and a metric on test or validation images",
            "--averaged no",
        )
    found = pl.concat(parts)
    status = pl.col("status")
    value, excess = (pl.when(status == "done").then(name) for name in ("value", "optimism"))
    cells = (
        # In the order of the keys: the same runs give the same sum, to the last bit.
        found.sort("key", "label")
        .group_by("dataset", "noise", "label", *by, maintain_order=True)
        .agg(
            mean=value.mean(),
            std=value.std(ddof=1),
            n=value.count(),
            not_found=((status == "done") & pl.col("not_found")).sum(),
            unrecorded=(
                (status == "done") & pl.col("value").is_null() & ~pl.col("not_found")
            ).sum(),
            diverged=(status == "diverged").sum(),
            failed=(status == "failed").sum(),
            stopped=(status == STOPPED).sum(),
            running=(status == "running").sum(),
            knows=pl.col("knows").list.explode().drop_nulls().unique().sort(),
            **{
                name: pl.col(f"_{name}").unique().sort().str.join(", ")
                for name in CONDITIONS
                if name not in by
            },
            **({"optimism": excess.mean()} if optimism else {}),
        )
        .sort("dataset", "noise", "label", *by)
    )
    return Comparison(cells, _values(found, by), metric, protocol, tuple(by))


def _with_metric(results: Results, metric: str) -> Results:
    """The results with the metric as a column of their epochs."""
    if metric in METRICS:
        return results
    first = results.epochs.filter(pl.col("epoch") == 0).select("scalars").unique().collect()
    known = {name for text in first["scalars"] for name in json.loads(text or "{}")}
    if metric not in known:
        raise LabError(
            f"metric {quoted(metric)}",
            *suggest(metric, [*METRICS, *sorted(known)], "--metric test_accuracy"),
        )
    wanted = [name for name in (metric, AVERAGED + metric) if name in known]
    scalar = pl.col("scalars").str.json_path_match
    columns = {name: scalar(f"$.{name}").cast(pl.Float64) for name in wanted}
    return results._replace(epochs=results.epochs.with_columns(**columns))


def _has_average(results: Results, metric: str) -> bool:
    return AVERAGED + metric in results.epochs.collect_schema().names()


def _with_values(
    runs: pl.DataFrame, results: Results, rule: Protocol, metric: str, optimism: bool
) -> pl.DataFrame:
    """The runs with the metric under the rule, null where it was not recorded or not found."""
    values = choose(results.epochs, rule, metric).select(
        "key", "value", not_found=pl.col("epoch").is_null()
    )
    if optimism:
        best = choose(results.epochs, PROTOCOLS["oracle"], metric).select("key", best="value")
        values = values.join(best, on="key", how="left").select(
            pl.all().exclude("best"), optimism=pl.col("best") - pl.col("value")
        )
    found = runs.join(values.collect(), on="key", how="left")
    return found.with_columns(pl.col("not_found").fill_null(False))


def _values(found: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The runs behind the means; one on unknown images shares them with no other."""
    names = dict.fromkeys(("dataset", "noise", "label", *by, *PAIRED_ON))
    images = pl.col("data_digest")
    return (
        found.filter(pl.col("status") == "done", pl.col("value").is_not_null())
        .with_columns(pl.when(images == UNKNOWN).then("key").otherwise(images).alias("data_digest"))
        .select(*names, "value")
    )


def averaged_label() -> pl.Expr:
    """`sln` -> `sln (averaged)`, `sln (sigma=0.5)` -> `sln (sigma=0.5, averaged)`."""
    label = pl.col("label")
    return (
        pl.when(label.str.ends_with(")"))
        .then(label.str.strip_suffix(")") + ", averaged)")
        .otherwise(label + " (averaged)")
    )


def _runs(results: Results, where: Wanted, by: Sequence[str]) -> pl.DataFrame:
    """Rows of the runs that are asked for, with the columns that a comparison needs."""
    asked = {*where, *CONDITIONS} & set(plain_columns(results.runs))
    called_by = {"noise_kind", "realised_rate"}
    needed = {"key", "status", "knows", *called_by, *PAIRED_ON, *FACTS, *by, *asked}
    runs = results.runs.select(sorted(needed)).collect()
    if runs.is_empty():
        raise LabError("no runs yet", "results of at least one run", "uv run dvc repro")
    # Runs of one group have equal settings: what a search chose, it chose for all its seeds.
    n_trials = pl.col("n_trials").max().over("group")
    found = matching(runs, where).with_columns(noise_as_shown(), n_trials)
    # Runs of one group differ in nothing but the seed: their settings are read once.
    identity = ["group", "recipe", "n_train"]
    told = found.unique(identity).with_columns(settings_as_texts("averaging"))
    settings = pl.col("settings")
    groups = told.select(
        *identity,
        *(condition.name.prefix("_") for condition in conditions(settings)),
        _averages=settings.struct.field("averaging").is_not_null(),
    )
    return found.join(groups, on=identity, nulls_equal=True)
