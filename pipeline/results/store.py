"""The results store: one immutable Parquet file per run and table, read as one table each.

    STORE/runs/KEY.parquet  STORE/epochs/KEY.parquet  STORE/samples/KEY.parquet
    STORE/compacted/runs.parquet  epochs.parquet  samples.parquet     (see `compaction`)

A file belongs to one key, so writers of different runs never meet. The row in `runs` is written
last: a run whose process died before has left no finished row, and its other files stay unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from pipeline.errors import LabError, quoted
from pipeline.files import store_folder
from pipeline.results.schema import STATUSES, TABLES, Table, dtypes
from pipeline.results.tables import parquet
from pipeline.results.tables.conform import conform
from pipeline.results.tables.folder import StoreFolder
from pipeline.results.tables.snapshot import snapshot

_MEND = "mend the code that reports this run"


class Store(StoreFolder):
    """A folder of finished and running runs.

    Args:
        folder: where it lies; None for the project's (`pipeline.files.store_folder`). It is made by
            the first write.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder or store_folder())

    def write_run(self, row: Mapping[str, object]) -> None:
        """Write or replace the row of one run, as before its first step or when it failed.

        Args:
            row: values of the `runs` columns; nullable ones may be left out.

        Raises:
            LabError: for a column that is unknown, missing or of the wrong kind, for an unknown
                status, and where the store cannot be written.
        """
        self._write("runs", *_run_frame(row))

    def write_finished(
        self, run_row: Mapping[str, object], epochs: pl.DataFrame, samples: pl.DataFrame
    ) -> None:
        """Write everything about a run that has ended; it counts once its row has its name.

        Args:
            run_row: values of the `runs` columns, with a status other than running.
            epochs: one row per epoch, in order; columns of `schema.EPOCHS`.
            samples: one row per training sample; columns of `schema.SAMPLES`. May be empty.

        Raises:
            LabError: as `write_run`; also for rows of another key, epochs out of order and
                samples that occur twice.
        """
        key, run = _run_frame(run_row)
        if run["status"].item() == "running":
            raise LabError(
                "a finished run with status 'running'", "done, failed or diverged", _MEND
            )
        epoch_rows, sample_rows = conform(epochs, "epochs"), conform(samples, "samples")
        for table, rows in (("epochs", epoch_rows), ("samples", sample_rows)):
            if not (rows["key"] == key).all():
                raise LabError(
                    f"rows of another key in the {table} of {key}", "one key a file", _MEND
                )
        if not (epoch_rows["epoch"].diff().drop_nulls() > 0).all():
            raise LabError(
                f"the epochs of {key} are out of order", "each epoch once, rising", _MEND
            )
        if sample_rows["index"].is_duplicated().any():
            raise LabError(f"a sample of {key} occurs twice", "each index once", _MEND)
        # The runs row last: its appearance is what makes the other two visible.
        self._write("samples", key, sample_rows)
        self._write("epochs", key, epoch_rows)
        self._write("runs", key, run)

    def status(self, key: str) -> str | None:
        """Status of a run, None if the store does not know it."""
        return self.statuses([key]).get(key)

    def statuses(self, keys: Iterable[str]) -> dict[str, str]:
        """Status of each of `keys` that the store knows."""
        found = self.runs(list(keys)).select("key", "status").collect()
        return dict(found.iter_rows())

    def run(self, key: str) -> dict[str, Any] | None:
        """The row of one run by column name, None if the store does not know it."""
        return next(self.runs([key]).collect().iter_rows(named=True), None)

    def runs(self, keys: Collection[str] | None = None) -> pl.LazyFrame:
        """All runs, or those of `keys`; columns of `schema.RUNS`, in no particular order.

        The files are looked for when the frame is collected, which raises LabError naming a file
        that cannot be read.
        """
        return self._lazy("runs", keys)

    def epochs(self, keys: Collection[str] | None = None) -> pl.LazyFrame:
        """Epochs of all finished runs, or those of `keys`; columns of `schema.EPOCHS`."""
        return self._lazy("epochs", keys)

    def samples(self, keys: Collection[str] | None = None) -> pl.LazyFrame:
        """Samples of all finished runs, or those of `keys`; columns of `schema.SAMPLES`."""
        return self._lazy("samples", keys)

    def _write(self, table: Table, key: str, rows: pl.DataFrame) -> None:
        parquet.write(rows, self.path(table, key))

    def _lazy(self, table: Table, keys: Collection[str] | None) -> pl.LazyFrame:
        def read(
            columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            del batch_size  # the rows come as one batch: a snapshot of the store

            def narrowed(rows: pl.LazyFrame) -> pl.LazyFrame:
                if predicate is not None:
                    rows = rows.filter(predicate)
                if columns is not None:
                    rows = rows.select(columns)
                return rows if n_rows is None else rows.head(n_rows)

            yield snapshot(self, table, keys, narrowed)

        return register_io_source(read, schema=dtypes(TABLES[table]))


def _run_frame(row: Mapping[str, object]) -> tuple[str, pl.DataFrame]:
    """Key and one-row frame of a run."""
    try:
        frame = pl.DataFrame({name: [value] for name, value in row.items()})
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise LabError(
            f"a value of a runs row: {error}", "one kind of value a column", _MEND
        ) from error
    run = conform(frame, "runs")
    status = run["status"].item()
    if status not in STATUSES:
        raise LabError(f"status {quoted(status)}", ", ".join(STATUSES), _MEND)
    return run["key"].item(), run
