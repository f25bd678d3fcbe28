"""A model that a run kept, as MLflow shows it: a logged model whose weights lie elsewhere.

It is an output of the run, with a card as its description, and carries the figures of the epoch
that its weights are of. MLflow gets no copy of the weights.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FIGURES = ("test_accuracy/last", "averaged_test_accuracy/last")
"""Metrics that tell of the weights that were kept: those of the last epoch."""
_PARAMS = ("dataset", "noise", "backbone", "recipe", "epochs", "seed")


def show_model(
    client: MlflowClient, run_id: str, row: dict[str, Any], address: str, about: str
) -> str:
    """Show the model of a run.

    Args:
        client: of MLflow.
        run_id: MLflow's number of the run.
        row: of the runs table.
        address: where the model's card lies.
        about: the description of the run, whose last lines are a table.

    Returns:
        MLflow's number of the model.
    """
    from mlflow.entities import LoggedModelOutput

    key, place = row["key"], address.replace("`", "'")
    names = json.dumps(row["class_names"], ensure_ascii=False).replace("`", "'").replace("|", "/")
    card = (
        f"{about}\n| model | `{place}` |\n| classes | `{names}` |\n"
        f"| predict | `uv run python -m pipeline.predict {key} FOLDER` |"
    )
    experiment = client.get_run(run_id).info.experiment_id
    tags = {"key": key, "card": address, "mlflow.note.content": card,
            # As mlflow.create_external_model marks models whose weights it does not have.
            "mlflow.model.isExternal": "true"}  # fmt: skip
    params = {name: str(row[name]) for name in _PARAMS if row.get(name) is not None}
    model = client.create_logged_model(
        experiment, f"{row['method']}-{key}", run_id, tags, params, "classifier"
    )
    # At once: what replaces the view of this run finds the model by it.
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    client.log_text(run_id, card, "model.md")
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def withdraw(client: MlflowClient, run: Run) -> None:
    """Delete the view of a run together with that of its model."""
    for output in run.outputs.model_outputs if run.outputs else ():
        client.delete_logged_model(output.model_id)
    client.delete_run(run.info.run_id)
