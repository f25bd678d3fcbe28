"""What MLflow shows of a run: settings, tags, inputs, curves, protocol figures, pictures."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.results.given import shown_noise
from pipeline.results.keys import seeds_in_words
from pipeline.results.protocols import PROTOCOLS, choose
from pipeline.results.schema import AVERAGED, CURVES, EPOCHS, METRICS, TAGS, Status
from pipeline.results.standing import STOPPED
from pipeline.results.tracking.description import description
from pipeline.results.tracking.model import FIGURES, show_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Param

ENDINGS: dict[Status, str] = {
    "done": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "running": "KILLED",
}
"""What MLflow calls an ending."""
_BATCH = 900
"""Metrics per request; MLflow takes 1,000."""
_LONGEST_PARAM = 6000
_LONGEST_DIGEST = 36
REPORTED = ("test_accuracy", f"{AVERAGED}test_accuracy")
"""Columns whose figures under each protocol are shown."""
PARENT = "mlflow.parentRunId"
"""Tag that puts a run below another one."""
KEPT_TAGS = ("mlflow.user", PARENT)
"""Tags that the store may not know: a view that replaces another takes them over."""
LAYOUT = {"layout": "sections"}
"""Tag of views that call their curves as this version does; others are made anew."""


def create_run(
    client: MlflowClient, experiment: str, row: dict[str, Any], kept: dict[str, str]
) -> str:
    """Open the view of a run: its name, tags, settings and inputs.

    Args:
        client: of MLflow.
        experiment: of the data set.
        row: of the runs table.
        kept: values of `KEPT_TAGS`; what the store knows counts more.

    Returns:
        MLflow's number of the run.
    """
    started = row.get("started_at")
    run = client.create_run(
        experiment,
        start_time=milliseconds(started) if started else None,
        tags=kept | _tags(row),
    )
    run_id = str(run.info.run_id)
    client.log_batch(run_id, params=params(row))
    client.log_inputs(run_id, datasets=inputs(row))
    return run_id


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a view that the one in its place takes over."""
    return {name: tags[name] for name in KEPT_TAGS if name in tags}


def is_whole(tags: Mapping[str, str]) -> bool:
    """Whether a view shows all that there is of its run, as this version shows it."""
    return tags.get("complete") == "true" and LAYOUT.items() <= tags.items()


def _tags(row: dict[str, Any]) -> dict[str, str]:
    tags = {name: str(row[name]) for name in TAGS if row.get(name) is not None}
    seeds = seeds_in_words(row).replace("seed ", "s")
    tags |= LAYOUT | {"mlflow.runName": f"{what(row)} {seeds}"}
    tags["mlflow.note.content"] = description(row, {})
    if row.get("command"):
        tags["mlflow.source.name"] = shlex.split(row["command"])[0]
        tags["mlflow.source.type"] = "LOCAL"
    known = {"mlflow.source.git.commit": "git_commit", "mlflow.user": "user"}
    return tags | {tag: row[name] for tag, name in known.items() if row.get(name)}


def what(row: dict[str, Any]) -> str:
    """What runs of equal settings are called, whatever their seed."""
    return f"{row.get('variant') or row['method']} {shown_noise(row)}"


def params(row: dict[str, Any], leave_out: Collection[str] = ()) -> list[Param]:
    """The settings of a run, those that have a value.

    Args:
        row: of the runs table.
        leave_out: names of settings.
    """
    from mlflow.entities import Param

    settings = json.loads(row["settings"])
    settings |= {"method": row["method"], "version": row["version"]}
    return [
        Param(name, str(value)[:_LONGEST_PARAM])
        for name, value in settings.items()
        if value is not None and name not in leave_out
    ]


def inputs(row: dict[str, Any]) -> list[DatasetInput]:
    """The data set with its labels for training, and its images for the evaluation."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    def entry(name: str, digest: str, use: str, counts: Sequence[str]) -> DatasetInput:
        source = {column: row[column] for column in ("dataset", "noise", "data_digest")}
        profile = {column: row[column] for column in counts if row.get(column) is not None}
        dataset = Dataset(
            name, digest[:_LONGEST_DIGEST], "local", json.dumps(source), profile=json.dumps(profile)
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", use)])

    return [
        entry(
            f"{row['dataset']} {row['noise']}",
            row["labels_digest"],
            "training",
            ("n_train", "n_val", "realised_rate"),
        ),
        entry(row["dataset"], row["data_digest"], "evaluation", ("n_test",)),
    ]


def log_epochs(client: MlflowClient, run_id: str, epochs: Sequence[dict[str, Any]]) -> None:
    """Continue the curves of a run; values that are missing or not finite have no point."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, record["epoch"])
        for record in epochs
        for name, value in {
            **{metric: record.get(name) for name, metric in METRICS.items()},
            **{f"method/{name}": value for name, value in record["scalars"].items()},
        }.items()
        if value is not None and math.isfinite(value)
    ]
    for begin in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])


def complete(
    client: MlflowClient, run_id: str, row: dict[str, Any], epochs: Sequence[dict[str, Any]],
    model: str | None = None,
) -> None:  # fmt: skip
    """End the view of a run, once its rows are in the store.

    Args:
        client: of MLflow.
        run_id: MLflow's number of the run.
        row: of the runs table.
        epochs: of the run.
        model: where the card of the model that it kept lies, if it kept one.
    """
    from mlflow.entities import Metric, RunTag

    from pipeline.results.tracking import figures

    title = f"{row.get('variant') or row['method']}, {row['dataset']}, {shown_noise(row)}"
    with figures.quick_style():
        if epochs:
            client.log_figure(run_id, figures.curves(title, epochs), "curves.svg")
        if row.get("confusion"):
            picture = figures.confusion_matrix(title, row["confusion"], row["class_names"])
            client.log_figure(run_id, picture, "confusion.svg")
    client.log_dict(run_id, json.loads(row["settings"]), "settings.yaml")
    chosen = _protocol_figures(epochs)
    now = int(time.time() * 1000)
    has_ended = row["status"] != "running"
    told = row if has_ended else row | {"status": STOPPED}
    about = description(told, chosen)
    of_model: dict[str, str] = {}
    if model is not None:
        of_model = dict.fromkeys(FIGURES, show_model(client, run_id, row, model, about))
    tags = {
        "status": told["status"],
        "complete": str(has_ended).lower(),
        "mlflow.note.content": about,
    }
    client.log_batch(
        run_id,
        metrics=[
            Metric(name, found[1], now, found[0], model_id=of_model.get(name))
            for name, found in chosen.items()
            if found
        ],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    finished = row.get("finished_at")
    client.set_terminated(
        run_id, ENDINGS[row["status"]], end_time=milliseconds(finished) if finished else None
    )


def _protocol_figures(epochs: Sequence[dict[str, Any]]) -> dict[str, tuple[int, float] | None]:
    """`metric/protocol` -> (epoch, value), where the run recorded what the protocol needs.

    None where the protocol found no epoch.
    """
    known = [{name: record.get(name) for name in EPOCHS} for record in epochs]
    rows = [row | {"key": "", "scalars": None} for row in known]
    table = pl.DataFrame(rows, schema=EPOCHS).with_columns(
        # As in the store: no number is as good as none.
        pl.when(pl.col(name).is_finite()).then(name)
        for name in CURVES
    )
    return {
        f"{metric}/{name}": None if epoch is None else (epoch, value)
        for metric in REPORTED
        for name, rule in PROTOCOLS.items()
        for _, epoch, value in choose(table.lazy(), rule, metric).collect().iter_rows()
    }


def milliseconds(moment: datetime) -> int:
    """A moment as MLflow counts it."""
    return int(moment.timestamp() * 1000)
