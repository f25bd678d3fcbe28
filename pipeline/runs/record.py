"""The bookkeeping of one run: its rows in the store, its live view, and what both cost."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import polars as pl
import torch

from pipeline.results.provenance import provenance
from pipeline.results.schema import EPOCHS, SAMPLES
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView
from pipeline.training.loop import Session
from pipeline.training.processes import Processes


class RunRecord:
    """Writes about a run, on the main process only.

    Args:
        row: what is known before the start, in the columns of the runs table.
        store: where the rows go; trouble there stops the run.
        view: where the run is shown; trouble there is noted and forgotten.
        processes: the processes.
    """

    def __init__(
        self, row: dict[str, Any], store: Store, view: LiveView, processes: Processes
    ) -> None:
        self._store, self._view, self._processes = store, view, processes
        self._row = (
            row
            | provenance()
            | {
                "n_processes": processes.n_processes,
                "device": processes.kind,
                "started_at": datetime.now(UTC),
            }
        )
        self._began = time.perf_counter()
        self._seconds = 0.0

    def open(self, earlier: list[dict[str, Any]]) -> None:
        """Note that the run begins; `earlier` are its epochs from before a resume."""
        if self._processes.is_main:
            with self._timed():
                self._store.write_run(self._row | {"status": "running"})
                self._view.start(self._row | {"status": "running"}, earlier)

    def epoch(self, record: dict[str, Any]) -> None:
        """Show an epoch as it ends."""
        if self._processes.is_main:
            with self._timed():
                self._view.epoch(record)

    def broken_off(self, status: str, detail: str) -> None:
        """Note why a run ended before its end."""
        if self._processes.is_main:
            row = self._row | {"status": status, "status_detail": detail} | self._costs()
            self._store.write_run(row)
            self._view.finish(row, [])

    def close(self, session: Session, status: str, detail: str | None, resumed: bool) -> None:
        """Store the finished run: samples, epochs, then the row that makes it count."""
        if not self._processes.is_main:
            return
        confusion = session.last_test.confusion.flatten().tolist() if session.last_test else None
        row = self._row | {
            "status": status,
            "status_detail": detail,
            "confusion": confusion,
            "resumed": int(resumed),
        }
        with self._timed():
            self._view.finish(row, session.progress.records)
            epochs = _epochs_frame(row["key"], session.progress.records)
            samples = _samples_frame(row["key"], session)
        self._store.write_finished(row | self._costs(), epochs, samples)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - began

    def _costs(self) -> dict[str, Any]:
        device = self._processes.device
        peak = (
            torch.cuda.max_memory_allocated(device)
            if device.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        return {
            "seconds": time.perf_counter() - self._began,
            "seconds_tracking": self._seconds,
            "peak_memory_bytes": peak,
            "finished_at": datetime.now(UTC),
        }


def _epochs_frame(key: str, records: list[dict[str, Any]]) -> pl.DataFrame:
    rows = [
        record | {"key": key, "scalars": json.dumps(record["scalars"], sort_keys=True)}
        for record in records
    ]
    return pl.DataFrame(rows, schema=EPOCHS)


def _samples_frame(key: str, session: Session) -> pl.DataFrame:
    train = session.train
    columns = {
        "index": train.index,
        "y_noisy": train.y_noisy,
        "y_clean": train.y_clean,
        **session.dynamics.samples(),
        "corrected_label": session.method.corrected_labels(),
    }
    known = {name: column.cpu().numpy() for name, column in columns.items() if column is not None}
    frame = pl.DataFrame(known).with_columns(key=pl.lit(key))
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in SAMPLES.items()
    )
