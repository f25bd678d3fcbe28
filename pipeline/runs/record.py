"""The record of one run: its rows in the store, its live view, and what both cost."""

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
from pipeline.storage.belongings import kept_model
from pipeline.storage.places import artefact_place
from pipeline.training.loop import Session
from pipeline.training.processes import Processes

FINAL = frozenset({"done", "diverged"})
"""Statuses of results that stand: computed again on request only."""


class RunRecord:
    """Writes about a run, on the main process only.

    A result that stands is kept until the new one is whole: a run that is forced and then stopped
    or killed hides nothing.

    Args:
        row: what is known before the start, in the columns of the runs table.
        store: where the rows go; trouble there stops the run.
        view: where the run is shown; trouble there is noted and forgotten.
        processes: of the run.
    """

    def __init__(
        self, row: dict[str, Any], store: Store, view: LiveView, processes: Processes
    ) -> None:
        self._store, self._view, self._processes = store, view, processes
        self._row = (
            {"n_train": 0, "n_val": 0, "n_test": 0}
            | row
            | provenance()
            | {
                "n_processes": processes.n_processes,
                "device": processes.kind,
                "started_at": datetime.now(UTC),
                "resumed": 0,
            }
        )
        earlier = store.run(row["key"]) if processes.is_main else None
        self._earlier = earlier or {}
        self._stands = self._earlier.get("status") in FINAL
        self._shown = False
        self._began = time.perf_counter()
        self._seconds_before = self._seconds_tracking = 0.0
        if processes.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(processes.device)

    def open(self, counts: dict[str, int], earlier_epochs: list[dict[str, Any]] | None) -> None:
        """Note that the run begins.

        Args:
            counts: n_train, n_val and n_test.
            earlier_epochs: records from before a resume; None for a run from its beginning.
        """
        self._row |= counts
        if not self._processes.is_main:
            return
        if earlier_epochs is not None:
            self._continue(earlier_epochs)
        with self._timed():
            row = self._row | {"status": "running"} | self._costs()
            if not self._stands:
                self._store.write_run(row)
            self._view.start(row, earlier_epochs or [])
            self._shown = True

    def _continue(self, epochs: list[dict[str, Any]]) -> None:
        """Go on with the costs of earlier sittings, where they are known."""
        known = {} if self._stands else self._earlier
        self._row["resumed"] = (known.get("resumed") or 0) + 1
        self._row["started_at"] = known.get("started_at") or self._row["started_at"]
        # A run that was killed has left no total: its finished epochs are a lower bound.
        trained = sum(record["seconds"] for record in epochs)
        self._seconds_before = max(known.get("seconds") or 0.0, trained)
        self._seconds_tracking = known.get("seconds_tracking") or 0.0

    def epoch(self, record: dict[str, Any]) -> None:
        """Show an epoch as it ends."""
        if self._processes.is_main:
            with self._timed():
                self._view.epoch(record)

    def broken_off(self, status: str, detail: str) -> None:
        """Note why a run ended before its end."""
        if self._processes.is_main:
            row = self._row | {"status": status, "status_detail": detail} | self._costs()
            if not self._stands:
                self._store.write_run(row)
            if self._shown:
                self._view.finish(row, [])

    def close(
        self, session: Session, status: str, detail: str | None, costs: dict[str, float | None],
        keeps_model: bool = False,
    ) -> None:  # fmt: skip
        """Store the finished run, then show it as complete.

        Args:
            session: that has ended.
            status: done or diverged.
            detail: why it diverged.
            costs: further columns of the runs table.
            keeps_model: whether a model lies beside the stored run.
        """
        if not self._processes.is_main:
            return
        confusion = session.last_test.confusion.flatten().tolist() if session.last_test else None
        row = self._row | {"status": status, "status_detail": detail, "confusion": confusion}
        with self._timed():
            epochs = _epochs_frame(row["key"], session.progress.records)
            samples = _samples_frame(row["key"], session)
        row |= self._costs() | costs
        self._store.write_finished(row, epochs, samples)
        model = kept_model(artefact_place(), row["key"]) if keeps_model else None
        self._view.finish(row, session.progress.records, model)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._seconds_tracking += time.perf_counter() - began

    def _costs(self) -> dict[str, Any]:
        device = self._processes.device
        peak = (
            torch.cuda.max_memory_allocated(device)
            if device.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        return {
            "seconds": self._seconds_before + time.perf_counter() - self._began,
            "seconds_tracking": self._seconds_tracking,
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
        **session.ledger.samples(),
        "corrected_label": session.method.corrected_labels(),
    }
    known = {name: column.cpu().numpy() for name, column in columns.items() if column is not None}
    frame = pl.DataFrame(known).with_columns(key=pl.lit(key))
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in SAMPLES.items()
    )
