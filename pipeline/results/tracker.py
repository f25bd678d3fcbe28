"""The one door to MLflow: a live view of runs that can be deleted and rebuilt from the store.

    python -m pipeline.results.tracker rebuild     # mirror every stored run that the view lacks

Runs are flat, tagged with their key and grouped by tag; a batch of metrics goes out once an epoch
at most. At the first failure the view is switched off for the rest of the run; `rebuild` fills it
later.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from pipeline.errors import program
from pipeline.files import project_root
from pipeline.results.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STATUS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "running": "KILLED"}
_TAGS = ("key", "group", "method", "variant", "dataset", "noise", "seed", "recipe",
         "recipe_status", "status", "git_commit", "image_digest", "device")  # fmt: skip
_CURVES = ("lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_top5",
           "val_noisy_accuracy", "val_clean_accuracy", "memorised", "corrected",
           "clean_fitted")  # fmt: skip
_FLUSH_SECONDS = 5.0
_BATCH = 900
"""Metrics per request; MLflow takes 1,000."""


def tracking_uri() -> str:
    """Where MLflow keeps its view: `MLFLOW_TRACKING_URI`, else mlflow.db of the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


def connect() -> MlflowClient:
    """A client that fails fast: training waits for the tracker seconds, not minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A server's addresses are no part of what a program prints.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Importing MLflow takes seconds: only programs that track pay for it.
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri())


def prepare_view(datasets: Sequence[str]) -> None:
    """Create database and experiments before several programs write at once.

    Two programs that open a missing SQLite file together break each other's set-up.
    """
    try:
        client = connect()
        for dataset in datasets:
            _experiment(client, dataset)
    except Exception as failure:
        _note(failure)


def _note(failure: Exception) -> None:
    print(
        f"note: MLflow view off ({type(failure).__name__}: {str(failure).splitlines()[0]}); "
        "to complete it later: python -m pipeline.results.tracker rebuild",
        file=sys.stderr,
    )


class LiveView:
    """The MLflow run of one training run, as it goes.

    Args:
        active: whether anything is shown at all.
        sweep: name of the sweep that the run belongs to; a tag to group by.
    """

    def __init__(self, active: bool, sweep: str) -> None:
        self._active, self._sweep = active, sweep
        self._waiting: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()

    def start(self, row: dict[str, Any], earlier: Sequence[dict[str, Any]]) -> None:
        """Create the run: settings as params, identity as tags.

        Args:
            row: of the runs table; a view that was broken off under its key is replaced.
            earlier: epochs from before a resume.
        """
        self._guarded(self._start, row)
        self._waiting.extend(earlier)

    def epoch(self, record: dict[str, Any]) -> None:
        """Take in an epoch; the curves are sent every few seconds."""
        if not self._active:
            return
        self._waiting.append(record)
        if time.monotonic() - self._flushed_at >= _FLUSH_SECONDS:
            self._guarded(self._flush)

    def finish(self, row: dict[str, Any], epochs: Sequence[dict[str, Any]]) -> None:
        """Send what waits, the pictures and the resolved settings, and end the run."""
        self._guarded(self._finish, row, epochs)

    def _guarded(self, action: Any, *arguments: Any) -> None:
        if not self._active:
            return
        try:
            action(*arguments)
        # Whatever the tracker's trouble is, it is no reason to lose a training run.
        except Exception as failure:
            self._active = False
            _note(failure)

    def _start(self, row: dict[str, Any]) -> None:
        self._client = connect()
        _delete_runs(self._client, row["dataset"], row["key"])
        self._run_id = _create_run(self._client, row, self._sweep)

    def _flush(self) -> None:
        _log_epochs(self._client, self._run_id, self._waiting)
        self._waiting.clear()
        self._flushed_at = time.monotonic()

    def _finish(self, row: dict[str, Any], epochs: Sequence[dict[str, Any]]) -> None:
        self._flush()
        _complete(self._client, self._run_id, row, epochs)


def rebuild(store: Path | None = None, sweep: str = "rebuilt") -> None:
    """Mirror every finished run of the store that MLflow lacks or shows incomplete.

    Args:
        store: folder of the store; the project's by default.
        sweep: tag to group the mirrored runs by, where they are not in the view yet.
    """
    source, client, mirrored = Store(store), connect(), 0
    experiments: dict[str, dict[str, str]] = {}
    for row in source.runs().collect().iter_rows(named=True):
        if row["status"] == "running":
            continue
        known = experiments.setdefault(row["dataset"], _complete_runs(client, row["dataset"]))
        if row["key"] in known:
            continue
        epochs = source.epochs([row["key"]]).collect().to_dicts()
        group = _delete_runs(client, row["dataset"], row["key"]) or sweep
        run_id = _create_run(client, row, group)
        decoded = [epoch | {"scalars": json.loads(epoch["scalars"] or "{}")} for epoch in epochs]
        _log_epochs(client, run_id, decoded)
        _complete(client, run_id, row, decoded)
        mirrored += 1
    print(f"{mirrored} runs mirrored to MLflow")


def _experiment(client: MlflowClient, dataset: str) -> str:
    found = client.get_experiment_by_name(dataset)
    if found is not None:
        return str(found.experiment_id)
    uri = tracking_uri()
    place = (project_root() / "mlartifacts" / dataset).as_uri() if "sqlite" in uri else None
    return str(client.create_experiment(dataset, artifact_location=place))


def _runs_with_key(client: MlflowClient, dataset: str, condition: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [_experiment(client, dataset)], condition, max_results=1000, page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def _complete_runs(client: MlflowClient, dataset: str) -> dict[str, str]:
    """Keys that the view shows in full -> MLflow run."""
    runs = _runs_with_key(client, dataset, "tags.complete = 'true'")
    return {run.data.tags["key"]: run.info.run_id for run in runs}


def _delete_runs(client: MlflowClient, dataset: str, key: str) -> str | None:
    """Remove the views of a run; returns the sweep they belonged to."""
    sweep = None
    for run in _runs_with_key(client, dataset, f"tags.key = '{key}'"):
        sweep = run.data.tags.get("sweep", sweep)
        client.delete_run(run.info.run_id)
    return sweep


def _create_run(client: MlflowClient, row: dict[str, Any], sweep: str) -> str:
    tags = {name: str(row[name]) for name in _TAGS if row.get(name) is not None}
    name = f"{row.get('variant') or row['method']} {row['noise']} s{row['seed']}"
    started = row.get("started_at")
    run = client.create_run(
        _experiment(client, row["dataset"]),
        start_time=_milliseconds(started) if started else None,
        tags=tags | {"sweep": sweep, "mlflow.runName": name},
    )
    _log_params(client, run.info.run_id, row)
    return str(run.info.run_id)


def _log_params(client: MlflowClient, run_id: str, row: dict[str, Any]) -> None:
    from mlflow.entities import Param

    settings = json.loads(row["settings"])
    settings |= {"method": row["method"], "version": row["version"]}
    shown = [Param(name, str(value)) for name, value in settings.items() if value is not None]
    client.log_batch(run_id, params=shown)


def _log_epochs(client: MlflowClient, run_id: str, epochs: Sequence[dict[str, Any]]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, record["epoch"])
        for record in epochs
        for name, value in {
            **{name: record.get(name) for name in _CURVES},
            **{f"scalar.{name}": value for name, value in record["scalars"].items()},
        }.items()
        if value is not None
    ]
    for begin in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])


def _complete(
    client: MlflowClient, run_id: str, row: dict[str, Any], epochs: Sequence[dict[str, Any]]
) -> None:
    from mlflow.entities import RunTag

    from pipeline.results import figures

    title = f"{row.get('variant') or row['method']}, {row['dataset']}, {row['noise']}"
    with figures.quick_style():
        if epochs:
            client.log_figure(run_id, figures.curves(title, epochs), "curves.svg")
        if row.get("confusion"):
            picture = figures.confusion_matrix(title, row["confusion"], row["class_names"])
            client.log_figure(run_id, picture, "confusion.svg")
    client.log_dict(run_id, json.loads(row["settings"]), "settings.yaml")
    tags = {"status": row["status"], "complete": str(row["status"] != "running").lower()}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    finished = row.get("finished_at")
    client.set_terminated(
        run_id, _STATUS[row["status"]], end_time=_milliseconds(finished) if finished else None
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@program
def main() -> None:
    """Command line of the tracker."""
    tyro.extras.subcommand_cli_from_dict({"rebuild": rebuild}, description=__doc__)


if __name__ == "__main__":
    main()
