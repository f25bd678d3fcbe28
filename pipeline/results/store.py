"""The results store: who writes and reads its three tables, and how.

    STORE/runs/KEY.parquet  STORE/epochs/KEY.parquet  STORE/samples/KEY.parquet
    STORE/segments, STORE/manifest                          merged runs, see `compaction`

A file belongs to one key, so writers of different runs never meet. The row in `runs` is written
last: a run whose process died before has left no finished row, and its other files stay unseen.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from pipeline.errors import LabError, quoted
from pipeline.results.schema import RUNS, STATUSES, TABLES, Table, dtypes
from pipeline.results.tables import index, layout, parquet
from pipeline.results.tables.conform import conform
from pipeline.results.tables.files import StoreFiles
from pipeline.results.tables.manifest import newest
from pipeline.results.tables.snapshot import UNREADABLE, snapshot, statuses_of_loose
from pipeline.storage.place import Place
from pipeline.storage.places import artefact_place, store_place

_MEND = "mend the code that reports this run"


class Store(StoreFiles):
    """Finished and running runs, in a folder or a bucket.

    Args:
        where: the place or its address; None for the project's (`LNL_STORE`). It is made by the
            first write.
    """

    def __init__(self, where: Place | Path | str | None = None) -> None:
        if where is None:
            super().__init__(store_place())
        else:
            super().__init__(where if isinstance(where, Place) else Place.at(where))

    @property
    def artefacts(self) -> Place:
        """Where checkpoints, weights and softmax outputs of its runs lie."""
        return artefact_place() if self.place == store_place() else self.place

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
        if not _all_differ(epoch_rows["epoch"]) or not epoch_rows["epoch"].is_sorted():
            raise LabError(
                f"the epochs of {key} are out of order", "each epoch once, rising", _MEND
            )
        if not _all_differ(sample_rows["index"]):
            raise LabError(f"a sample of {key} occurs twice", "each index once", _MEND)
        # The runs row last: its appearance is what makes the other two visible.
        self._write("samples", key, sample_rows)
        self._write("epochs", key, epoch_rows)
        self._write("runs", key, run)

    def status(self, key: str) -> str | None:
        """Status of a run, None if the store does not know it; looks at no other run."""
        row = self._row(key, ["status"])
        return None if row is None else row["status"]

    def statuses(self, keys: Iterable[str]) -> dict[str, str]:
        """Status of each of `keys` that the store knows."""
        wanted = set(keys)
        loose = statuses_of_loose(self, wanted)
        try:
            merged = index.find(self.place, newest(self.place).of("runs"), wanted - loose.keys())
        except UNREADABLE:
            # Whatever it is: a reading that looks again gets over it or says it.
            return dict(self.runs(wanted).select("key", "status").collect().iter_rows())
        return loose | {key: found.status for key, found in merged.items()}

    def run(self, key: str) -> dict[str, Any] | None:
        """The row of one run by column name, None if the store does not know it."""
        return self._row(key, list(RUNS))

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
        self.place.put(layout.loose(table, key), parquet.encode(rows))

    def _row(self, key: str, columns: list[str]) -> dict[str, Any] | None:
        schema = {name: RUNS[name] for name in columns}
        content = self.place.get(layout.loose("runs", key))
        try:
            if content is not None:
                return parquet.scan([io.BytesIO(content)], schema).collect().row(0, named=True)
            found = index.find(self.place, newest(self.place).of("runs"), [key])
            if not found or columns == ["status"]:
                return {"status": found[key].status} if found else None
            name = self.place.uri(found[key].segment.name)
            rows = parquet.scan([name], schema, self.place.storage_options)
            return rows.filter(pl.col("key") == key).collect().row(0, named=True)
        except UNREADABLE:
            rows = self.runs([key]).select(columns)
            return next(rows.collect().iter_rows(named=True), None)

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


def _all_differ(values: pl.Series) -> bool:
    return values.n_unique() == len(values)


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
