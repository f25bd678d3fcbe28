"""Runs by themselves: a list, all that is known of one, its samples, two side by side.

uv run python analysis/runs.py list                                 # the newest runs of the store
uv run python analysis/runs.py list --where status=stopped --by lr  # by any column or setting
uv run python analysis/runs.py show KEY                             # settings, lineage, epochs
uv run python analysis/runs.py diff KEY KEY                         # differences, figures
uv run python analysis/runs.py samples KEY ledger.csv               # what it told of each sample

KEY is that of a run, or as much of its beginning as no other run has. `uv run python -m
pipeline.results rm KEY` removes runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
import tyro

from analysis.layouts.rendering import Form, show, write
from analysis.selection import Filters, views_of
from analysis.single_runs.difference import difference
from analysis.single_runs.ledger import write_ledger
from analysis.single_runs.listing import list_runs
from analysis.single_runs.page import epochs_table, facts_of, lines_of
from pipeline.command_line import Many, joined, run_subcommand
from pipeline.errors import program
from pipeline.results.keys import resolved
from pipeline.results.standing import computed_now, in_words
from pipeline.results.store import Store
from pipeline.results.view import results, views_that_hold
from pipeline.storage.belongings import belongings


@dataclass(frozen=True)
class Listed(Filters):
    """Which runs to list, and how."""

    grid: Many[str] = ()
    """Runs of these grids only, by their views in results/views; every stored run without."""
    by: Many[str] = ()
    """Columns of the runs table, or settings, that get a column of their own, such as lr."""
    most: int = 40
    """Runs to list, the newest; 0 for all."""
    format: Form = "terminal"
    """How to print it."""


def list_them(flags: Annotated[Listed, tyro.conf.arg(name="")]) -> None:
    """List runs, the newest last.

    Args:
        flags: which runs.
    """
    views = [*joined(flags.view), *views_of(joined(flags.grid))]
    source = results(views, Store(flags.store))
    write(list_runs(source, flags.wanted, joined(flags.by), flags.most), flags.format)


def show_one(key: tyro.conf.Positional[str], every: bool = False, store: str | None = None) -> None:
    """Show all that is known of a run.

    Args:
        key: of the run, or the beginning of it.
        every: all epochs instead of a dozen.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    chosen.require()
    (found,) = resolved(chosen, [key])
    (row,) = _rows(chosen, [found])
    epochs = chosen.epochs([found]).sort("epoch").collect()
    facts = facts_of(row, epochs, belongings(chosen.artefacts, found), views_that_hold([found]))
    for line in lines_of(row, facts):
        print(line)
    if len(epochs):
        print("\nepochs")
        show(epochs_table(epochs, every))
    elif row["status"] in {"running", "stopped"}:
        print("\nIts epochs are shown once it has ended.")


def samples(
    key: tyro.conf.Positional[str], file: tyro.conf.Positional[Path], store: str | None = None
) -> None:
    """Write the ledger of a run: a row per training sample, with file and class names.

    Args:
        key: of the run, or the beginning of it.
        file: .csv or .parquet file to make or to replace.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    chosen.require()
    (found,) = resolved(chosen, [key])
    (row,) = _rows(chosen, [found])
    n = write_ledger(row, chosen.samples([found]).collect(), file.expanduser())
    print(f"written: {file}, {n} samples")


def diff(
    first: tyro.conf.Positional[str],
    second: tyro.conf.Positional[str],
    store: str | None = None,
    form: Annotated[Form, tyro.conf.arg(name="format")] = "terminal",
) -> None:
    """Set two runs side by side: what they differ in, and what each reached.

    Args:
        first: key of a run, or the beginning of it.
        second: that of another one.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
        form: how to print it.
    """
    chosen = Store(store)
    chosen.require()
    keys = resolved(chosen, [first, second])
    one, other = _rows(chosen, keys)
    epochs = chosen.epochs(keys).sort("key", "epoch").collect()
    by_key = {key: epochs.filter(pl.col("key") == key) for key in keys}
    write(difference(one, other, by_key), form)


def _rows(store: Store, keys: list[str]) -> list[dict[str, object]]:
    """Rows of runs in the order of their keys, their status in words."""
    runs = store.runs(keys).with_columns(in_words(computed_now(store.place))).collect()
    by_key = {row["key"]: row for row in runs.to_dicts()}
    return [by_key[key] for key in keys]


@program
def main() -> None:
    """Run the subcommand of the command line."""
    commands: dict[str, Callable[..., None]] = {
        "list": list_them, "show": show_one, "diff": diff, "samples": samples,
    }  # fmt: skip
    run_subcommand(commands, __doc__)


if __name__ == "__main__":
    main()
