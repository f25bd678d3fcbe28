"""Views: the runs of one grid as a sorted, deterministic file, and reading results from either.

A view holds one row per run with its epochs inside. It carries no clock, host or cost, so making it
again from the same results gives the same bytes, whoever computed them and when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipeline.errors import LabError
from pipeline.files import results_folder
from pipeline.results.schema import EPOCH_COLUMNS, RUN_COLUMNS, SEED_COLUMNS
from pipeline.results.standing import computed_now, in_words
from pipeline.results.store import Store
from pipeline.results.tables import parquet

_RUNS = {name: column.dtype for name, column in RUN_COLUMNS.items() if not column.cost}
_EPOCHS = {
    name: column.dtype
    for name, column in EPOCH_COLUMNS.items()
    if not column.cost and name != "key"
}
VIEW: dict[str, pl.DataType] = {
    **_RUNS,
    "curve": pl.List(pl.Struct(_EPOCHS)),
}
"""Columns of a view: those of `runs` without cost, and the epochs of the run in order."""

_ORDER = ("dataset", "noise", "method", "variant", "seed", *SEED_COLUMNS, "key")


class Results(NamedTuple):
    """Runs and their epochs, whatever they were read from."""

    runs: pl.LazyFrame
    """Columns of `schema.RUNS`, those of cost only when read from the store."""
    epochs: pl.LazyFrame
    """Columns of `schema.EPOCHS`, likewise."""


def write_view(keys: Iterable[str], path: Path, store: Store | None = None) -> None:
    """Write the view of one grid, sorted by what its cells are called.

    Args:
        keys: the runs of its cells; a run that fills several cells appears once.
        path: Parquet file to write.
        store: store that holds the runs, the project's unless given.

    Raises:
        LabError: if a run is not in the store, has not ended or is damaged, and where `path` cannot
            be written.
    """
    wanted, source = set(keys), store or Store()
    # Views are what is published: no damaged number may pass into one.
    source.check_files(wanted, ["runs", "epochs"])
    runs = source.runs(wanted).filter(pl.col("status") != "running").collect()
    missing = sorted(wanted - set(runs["key"]))
    if missing:
        raise LabError(
            f"{len(missing)} of {len(wanted)} runs have no result, such as {missing[0]}",
            "a grid of which every run has ended",
            "uv run python -m pipeline.stages.runs, which computes what is missing",
        )
    curves = (
        source.epochs(wanted)
        .sort("key", "epoch")
        .group_by("key")
        .agg(curve=pl.struct(_EPOCHS.keys()))
        .collect()
    )
    view = runs.join(curves, on="key", how="left").with_columns(pl.col("curve").fill_null([]))
    parquet.write(view.sort(_ORDER).select(VIEW.keys()), path)


def read_views(paths: Sequence[Path]) -> Results:
    """Read one or several views as one; a run in more than one of them counts once.

    Args:
        paths: files made by `write_view`.

    Returns:
        Their runs and epochs.

    Raises:
        LabError: naming a file that is missing or no view.
    """
    stored = _stored_in_views(paths)
    return Results(_under_every_name(stored.runs), stored.epochs)


def results(views: Sequence[Path] = (), store: Store | None = None) -> Results:
    """Results of the given views, or of the store if there are none.

    The status of a run that has begun and that no program computes is `stopped` here.

    Raises:
        LabError: naming a view that is missing or no view.
    """
    chosen = store or Store()
    found = stored(views, chosen)
    # Views hold finished runs only.
    runs = found.runs if views else found.runs.with_columns(in_words(computed_now(chosen.place)))
    return Results(_under_every_name(runs), found.epochs)


def stored(views: Sequence[Path] = (), store: Store | None = None) -> Results:
    """As `results`, but each run once, under its first name.

    Raises:
        LabError: naming a view that is missing or no view.
    """
    if views:
        return _stored_in_views(views)
    chosen = store or Store()
    return Results(chosen.runs(), chosen.epochs())


def views_that_hold(keys: Collection[str]) -> dict[str, list[str]]:
    """Names of the grids in whose views runs are, with the keys of these runs."""
    found = {}
    for path in sorted((results_folder() / "views").glob("*.parquet")):
        try:
            inside = pl.scan_parquet(path, glob=False).select("key").collect()["key"]
        except (OSError, pl.exceptions.PolarsError):
            continue  # no view, or a damaged one: whoever reads it is told
        if met := sorted(set(inside) & set(keys)):
            found[path.stem] = met
    return found


def _stored_in_views(paths: Sequence[Path]) -> Results:
    for path in paths:
        if not path.is_file():
            raise LabError(
                f"no view at {path}", "a file made by the runs stage", "uv run dvc repro runs"
            )
        if not _is_view(path):
            raise LabError(
                f"{path} is no view, or is corrupt",
                "a file made by the runs stage",
                f"rm {path} && uv run dvc repro runs",
            )
    rows = parquet.scan(paths, VIEW).unique("key", keep="first", maintain_order=True)
    epochs = (
        rows.select("key", "curve")
        .explode("curve")
        .filter(pl.col("curve").is_not_null())
        .unnest("curve")
    )
    return Results(rows.drop("curve"), epochs)


def _under_every_name(runs: pl.LazyFrame) -> pl.LazyFrame:
    """The runs, and again those that were asked for by another name of their label table."""
    named = pl.col("also_named")
    again = (
        runs.filter(named.is_not_null())
        .explode("also_named")
        .with_columns(
            dataset=named.str.split("/").list.first(), noise=named.str.split("/").list.last()
        )
        .with_columns(also_named=pl.lit(None, dtype=pl.List(pl.String)))
    )
    return pl.concat([runs, again.select(runs.collect_schema().names())])


def _is_view(path: Path) -> bool:
    # Columns a file lacks read as null, so a foreign file shows by runs without a name.
    names = parquet.scan([path], VIEW).select("key", "dataset", "noise", "method", "status")
    with path.open("rb") as file:
        sound = parquet.fault(file, VIEW) is None
    return sound and not any(names.null_count().collect().row(0))
