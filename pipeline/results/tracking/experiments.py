"""Experiments of MLflow, one per data set, and finding runs in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.files import project_root
from pipeline.results.tracking.client import tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 5000
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Says that models are trained here; the pages still open as `GenAI` unless their address says
`workflowType=machine_learning`."""


def experiment_of(client: MlflowClient, dataset: str) -> str:
    """Number of the experiment of a data set, which is made, or brought back if it was deleted."""
    found = client.get_experiment_by_name(dataset)
    if found is None:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.create_experiment(dataset, _artifacts_of(dataset), _KIND))
        except MlflowException:
            # Another program may have made it since.
            found = client.get_experiment_by_name(dataset)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _artifacts_of(dataset: str) -> str | None:
    """Where pictures go; a server decides for itself."""
    if not tracking_uri().startswith("sqlite"):
        return None
    place: Path = project_root() / "mlartifacts" / dataset
    return place.as_uri()


def search(client: MlflowClient, experiment: str, condition: str = "") -> list[Any]:
    """All runs of an experiment that meet a condition."""
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment], condition, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def by_key(runs: Iterable[Any]) -> dict[str, list[Any]]:
    """What an experiment shows, by the key of the stored run; what has none is left out."""
    shown: dict[str, list[Any]] = defaultdict(list)
    for run in runs:
        if key := run.data.tags.get("key"):
            shown[key].append(run)
    return shown
