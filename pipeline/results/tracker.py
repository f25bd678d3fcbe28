"""A live view of runs in MLflow, which can be deleted and rebuilt from the store.

    uv run python -m pipeline.results.tracker rebuild     # mirror every stored run that it lacks

Runs are tagged with their key and their grid; a batch of metrics goes out every few seconds. At the
first failure the view is switched off for the rest of the run; `rebuild` fills it later. The end of
a grid, and `rebuild`, put a run with mean and deviation above those that differ in their seed.

    uv run python -m pipeline.results.tracker address digits   # what to open to see its runs
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar

import polars as pl

from pipeline.command_line import run_subcommand
from pipeline.errors import program
from pipeline.results.store import Store
from pipeline.results.tracking import shown
from pipeline.results.tracking.address import how_to_open
from pipeline.results.tracking.client import connect, explained, prepare, tracking_uri
from pipeline.results.tracking.experiments import by_key, experiment_of, search
from pipeline.results.tracking.limits import (
    CONNECT_SECONDS,
    QUIET_SECONDS,
    Allowance,
    TooSlow,
    within,
)
from pipeline.results.tracking.model import withdraw
from pipeline.results.tracking.seeds import join_seeds
from pipeline.storage.belongings import kept_model

__all__ = ["LiveView", "how_to_open", "prepare_view", "rebuild", "show_seeds", "tracking_uri"]

FLUSH_SECONDS = 5.0
"""Least time between two batches of curves."""
_MIRROR_SECONDS = 60.0
"""What `rebuild` waits at most for one run, or for one search."""
_AT_ONCE = 100
"""Runs whose epochs `rebuild` reads together."""


def prepare_view(datasets: Sequence[str]) -> None:
    """Create database and experiments before the first of many runs.

    Args:
        datasets: of the runs.
    """

    def make() -> None:
        client = connect()
        for dataset in datasets:
            experiment_of(client, dataset)

    try:
        prepare()
        within(CONNECT_SECONDS, make)
    # Whatever the tracker's trouble is, it is no reason to lose a grid.
    except Exception as failure:
        LiveView.switch_off(failure)


class LiveView:
    """The MLflow run of one training run, as it goes.

    Call `start`, `epoch` after each epoch, and `finish` once the rows are in the store: a view that
    is complete promises a stored run.

    Args:
        active: whether anything is shown at all.
    """

    quiet_until: ClassVar[float] = 0.0
    """Monotonic time before which no view of this program is opened."""

    def __init__(self, active: bool) -> None:
        self._active = active and time.monotonic() >= self.quiet_until
        self._waiting: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()
        self._allowance = Allowance()

    def start(self, row: dict[str, Any], earlier: Sequence[dict[str, Any]]) -> None:
        """Create the run: settings as params, identity as tags.

        Args:
            row: of the runs table; a view that was broken off under its key is replaced.
            earlier: epochs from before a resume.
        """
        self._guarded(prepare)
        self._guarded(self._allowance.call, self._start, row)
        self._waiting.extend(earlier)

    def epoch(self, record: dict[str, Any]) -> None:
        """Take in an epoch; the curves are sent every few seconds."""
        if not self._active:
            return
        self._waiting.append(record)
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self._guarded(self._allowance.call, self._flush)

    def finish(
        self, row: dict[str, Any], epochs: Sequence[dict[str, Any]], model: str | None = None
    ) -> None:
        """Send what waits, the pictures and the figures of the protocols, and end the run.

        Args:
            row: of the runs table, as it was stored.
            epochs: all epochs of the run.
            model: where the card of the model that it kept lies, if it kept one.
        """
        self._guarded(self._allowance.call, self._finish, row, epochs, model)

    def _guarded(self, action: Callable[..., object], *arguments: Any) -> None:
        if not self._active:
            return
        try:
            action(*arguments)
        # Whatever the tracker's trouble is, it is no reason to lose a training run.
        except Exception as failure:
            self._active = False
            self.switch_off(failure)

    @classmethod
    def switch_off(cls, failure: Exception) -> None:
        """Say why there is no view; a tracker that was too slow is left alone for a while."""
        print(f"note: MLflow view off: {explained(failure)}", file=sys.stderr)
        if isinstance(failure, TooSlow):
            cls.quiet_until = time.monotonic() + QUIET_SECONDS

    def _start(self, row: dict[str, Any]) -> None:
        self._client = connect()
        experiment = experiment_of(self._client, row["dataset"])
        kept: dict[str, str] = {}
        for run in search(self._client, experiment, f"tags.key = '{row['key']}'"):
            kept |= shown.kept_tags(run.data.tags)
            withdraw(self._client, run)
        self._run_id = shown.create_run(self._client, experiment, row, kept)

    def _flush(self) -> None:
        shown.log_epochs(self._client, self._run_id, self._waiting)
        self._waiting.clear()
        self._flushed_at = time.monotonic()

    def _finish(
        self, row: dict[str, Any], epochs: Sequence[dict[str, Any]], model: str | None
    ) -> None:
        self._flush()
        shown.complete(self._client, self._run_id, row, epochs, model)


def show_seeds(keys: Collection[str]) -> None:
    """Renew what is shown of several seeds together, after the last of many runs.

    Args:
        keys: of runs; those that differ from them in their seed alone count, too.
    """
    if time.monotonic() < LiveView.quiet_until:
        return
    source = Store()
    runs = source.runs()
    asked = runs.filter(pl.col("key").is_in(list(keys))).select("group").unique()
    rows = runs.join(asked, on="group", how="semi").collect()
    try:
        prepare()
        client = connect()
        for (dataset,), part in rows.group_by("dataset", maintain_order=True):
            experiment = within(CONNECT_SECONDS, experiment_of, client, dataset)
            known = within(_MIRROR_SECONDS, search, client, experiment)
            _join(client, experiment, part, source, known)
    # Whatever the tracker's trouble is, it is no reason to lose a grid.
    except Exception as failure:
        LiveView.switch_off(failure)


def rebuild(store: str | None = None) -> None:
    """Mirror every finished run of the store that MLflow lacks or shows incomplete.

    Args:
        store: folder or s3://bucket/prefix of the store; the project's by default.
    """
    source = Store(store)
    source.require()
    rows = source.runs().filter(pl.col("status") != "running").sort("started_at", "key").collect()
    mirrored = joined = 0
    try:
        prepare()
        for (dataset,), part in rows.group_by("dataset", maintain_order=True):
            client = connect()
            experiment = within(CONNECT_SECONDS, experiment_of, client, dataset)
            known = within(_MIRROR_SECONDS, search, client, experiment)
            n = _mirror(client, experiment, source, part, known)
            if n:
                known = within(_MIRROR_SECONDS, search, client, experiment)
            mirrored, joined = mirrored + n, joined + _join(client, experiment, part, source, known)
    # One line instead of a library's traceback, and a remedy that helps.
    except Exception as failure:
        raise explained(failure) from failure
    print(f"{mirrored} runs mirrored to MLflow, {joined} means over seeds")


def address(dataset: str, /) -> None:
    """Print what to type or open to see the runs of a data set in MLflow.

    Args:
        dataset: its name.
    """
    print(how_to_open(dataset))


def _join(client: Any, experiment: str, runs: pl.DataFrame, source: Store, known: list[Any]) -> int:
    """Put runs over seeds above those of one data set; returns how many were made."""
    seconds = _MIRROR_SECONDS + len(runs)
    return within(seconds, join_seeds, client, experiment, runs, source.epochs, known)


def _mirror(
    client: Any, experiment: str, source: Store, runs: pl.DataFrame, shown_now: list[Any]
) -> int:
    """Mirror what the experiment of one data set lacks; returns how many runs."""
    known = by_key(shown_now)

    def lacks(row: dict[str, Any]) -> bool:
        return not any(shown.is_whole(run.data.tags) for run in known.get(row["key"], []))

    missing = [row for row in runs.iter_rows(named=True) if lacks(row)]
    for row, epochs in _with_epochs(source, missing):
        model = kept_model(source.artefacts, row["key"])
        within(_MIRROR_SECONDS, _show, client, experiment, row, epochs, known, model)
    return len(missing)


def _with_epochs(
    source: Store, rows: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Rows of runs with their epochs, as a live run reports them."""
    for begin in range(0, len(rows), _AT_ONCE):
        part = rows[begin : begin + _AT_ONCE]
        stored = source.epochs([row["key"] for row in part]).sort("epoch").collect()
        curves = stored.partition_by("key", as_dict=True)
        for row in part:
            epochs = curves[row["key"],].to_dicts() if (row["key"],) in curves else []
            yield (
                row,
                [one | {"scalars": json.loads(one["scalars"] or "{}")} for one in epochs],
            )


def _show(
    client: Any,
    experiment: str,
    row: dict[str, Any],
    epochs: list[dict[str, Any]],
    known: dict[str, list[Any]],
    model: str | None,
) -> None:
    """Replace what there is of a run by its whole view."""
    kept: dict[str, str] = {}
    for run in known.get(row["key"], []):
        kept |= shown.kept_tags(run.data.tags)
        withdraw(client, run)
    run_id = shown.create_run(client, experiment, row, kept)
    shown.log_epochs(client, run_id, epochs)
    shown.complete(client, run_id, row, epochs, model)


@program
def main() -> None:
    """Command line of the tracker."""
    run_subcommand({"rebuild": rebuild, "address": address}, __doc__)


if __name__ == "__main__":
    main()
