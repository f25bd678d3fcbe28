"""A list of runs: what each is, how it stands, and its last test accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.conditions import condition
from analysis.layouts.layout import Cell, Layout
from analysis.selection import Wanted, matching, plain_columns, setting_names
from analysis.single_runs.figures import last_accuracies, percent
from pipeline.errors import LabError, quoted, suggest
from pipeline.installation import as_typed
from pipeline.results.given import noise_as_shown
from pipeline.results.keys import seeds_in_words
from pipeline.results.view import Results

_SHOWN = ("key", "method", "variant", "dataset", "noise", "seed", "epochs", "status")
_WHEN = "started_at"


def list_runs(source: Results, wanted: Wanted, further: Sequence[str], most: int) -> Layout:
    """Lay runs out, a line each, the newest last.

    Args:
        source: runs and epochs.
        wanted: allowed values by column or setting.
        further: columns or settings that have a column of their own.
        most: number of runs, the newest; 0 for all.

    Returns:
        The table.

    Raises:
        LabError: for a name that is neither column nor setting, and a value that no run has.
    """
    runs = source.runs.select(plain_columns(source.runs)).collect()
    if runs.is_empty():
        raise LabError("no runs yet", "results of at least one run", "uv run dvc repro")
    # A run that was asked for by several names of its labels is one run.
    chosen = matching(runs, wanted).unique("key", keep="first", maintain_order=True)
    for name in further:
        known = {*runs.columns, *setting_names(chosen)}
        if name not in known:
            raise LabError(f"column {quoted(name)}", *suggest(name, known, "no --by"))
    order = [name for name in (_WHEN, "key") if name in chosen.columns]
    newest = chosen.sort(order, nulls_last=False).tail(most or len(chosen))
    accuracies = last_accuracies(source.epochs.filter(pl.col("key").is_in(newest["key"].to_list())))
    seeds = [seeds_in_words(row).removeprefix("seed ") for row in newest.iter_rows(named=True)]
    texts = (
        newest.with_columns(noise_as_shown())
        .select(*_SHOWN[:1], *(condition(name) for name in (*_SHOWN[1:], *further)))
        .with_columns(seed=pl.Series(seeds, dtype=pl.String))
    )
    when = newest[_WHEN].to_list() if _WHEN in newest.columns else None
    rows = []
    for number, row in enumerate(texts.iter_rows()):
        cells = [*row, percent(accuracies.get(row[0]))]
        if when is not None:
            at = when[number]
            cells.append(f"{at.astimezone():%Y-%m-%dT%H:%M}" if at else "")
        rows.append([Cell(text) for text in cells])
    header = [*_SHOWN, *further, "test accuracy", *(["started"] if when is not None else [])]
    return Layout(header, [rows], _caption(len(newest), len(chosen)))


def _caption(n: int, n_chosen: int) -> str:
    newest = ", the newest; --most 0 lists all" if n < n_chosen else ""
    return as_typed(
        f"{n} of {n_chosen} runs{newest}. Test accuracy: last epoch. "
        "uv run python analysis/runs.py show KEY tells more."
    )
