"""A run above those that differ in their seed alone: their mean curves, and figures.

It is made of what the store holds, by the end of a grid and by `rebuild`, and replaced when that
has changed. Two programs that make it at once agree on one of theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.identity import digest
from pipeline.results.protocols import PROTOCOLS, choose
from pipeline.results.schema import CURVES, TAGS
from pipeline.results.tracking.description import description_of_seeds
from pipeline.results.tracking.experiments import by_key, search
from pipeline.results.tracking.shown import (
    LAYOUT,
    PARENT,
    REPORTED,
    inputs,
    log_epochs,
    milliseconds,
    params,
    what,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_OF_ONE = frozenset({"key", "seed", "grid", "device", "git_commit", "image_digest"})
"""Tags that tell of one run."""
_GONE = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"})
"""How MLflow calls the trouble with a run that was deleted meanwhile."""


def join_seeds(
    client: MlflowClient,
    experiment: str,
    runs: pl.DataFrame,
    epochs: Callable[[Sequence[str]], pl.LazyFrame],
    shown: Sequence[Any],
) -> int:
    """Put a run with mean and deviation above each set of runs that differ in their seed alone.

    Args:
        client: of MLflow.
        experiment: of their data set.
        runs: rows of the runs table; those that are done count.
        epochs: the epochs of runs by their keys.
        shown: all that the experiment shows.

    Returns:
        How many were made.
    """
    done = runs.filter(pl.col("status") == "done").sort("seed", "key")
    parts = done.partition_by("group", as_dict=True).items()
    sets = {str(group): part.to_dicts() for (group,), part in parts if len(part) > 1}
    states = {group: _state(rows) for group, rows in sets.items()}
    parents = _by_group(shown)
    stale = [
        group
        for group, state in states.items()
        if all(run.data.tags["made_from"] != state for run in parents[group])
    ]
    new = done.filter(pl.col("group").is_in(stale)).select("key", "group")
    recorded = epochs(new["key"].to_list()).collect() if stale else pl.DataFrame()
    for group in stale:
        for run in parents[group]:
            _if_there(client.delete_run, run.info.run_id)
        own = recorded.join(new.filter(group=group), on="key", how="semi")
        _make(client, experiment, sets[group], own, states[group])
    if stale:
        parents = _by_group(search(client, experiment, "tags.kind = 'seeds'"))
    members = by_key(shown)
    for group, rows in sets.items():
        parent = _the_one(client, parents[group])
        for run in (run for row in rows for run in members.get(row["key"], ())):
            if run.data.tags.get(PARENT) != parent:
                _if_there(client.set_tag, run.info.run_id, PARENT, parent)
    return len(stale)


def _state(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a set is made of: its runs, when each ended, and how figures are shown."""
    return digest([LAYOUT, *([row["key"], str(row["finished_at"])] for row in rows)])


def _by_group(shown: Sequence[Any]) -> defaultdict[str, list[Any]]:
    found = defaultdict(list)
    for run in shown:
        if run.data.tags.get("kind") == "seeds":
            found[run.data.tags["group"]].append(run)
    return found


def _figures(epochs: pl.DataFrame, n: int) -> dict[str, tuple[float, float]]:
    """`metric/protocol` -> mean and deviation (ddof 1) over n runs, where each has the figure."""
    figures = {}
    for metric in REPORTED:
        for name, rule in PROTOCOLS.items():
            values = choose(epochs.lazy(), rule, metric).collect()["value"].drop_nulls()
            if len(values) == n:
                figures[f"{metric}/{name}"] = float(values.mean()), float(values.std())  # type: ignore[arg-type]  # of numbers, at least two
    return figures


def _mean_curves(epochs: pl.DataFrame, n: int) -> list[dict[str, Any]]:
    """The curves as a run reports them, each the mean over n runs, where each has a value."""
    of_all = [
        pl.when(pl.col(name).is_not_null().sum() == n).then(pl.col(name).mean()).alias(name)
        for name in CURVES
    ]
    means = epochs.group_by("epoch").agg(of_all).sort("epoch")
    return [row | {"scalars": {}} for row in means.iter_rows(named=True)]


def _make(
    client: MlflowClient,
    experiment: str,
    rows: Sequence[dict[str, Any]],
    epochs: pl.DataFrame,
    state: str,
) -> None:
    from mlflow.entities import Metric

    first, figures = rows[0], _figures(epochs, len(rows))
    starts = [milliseconds(row["started_at"]) for row in rows if row["started_at"]]
    ends = [milliseconds(row["finished_at"]) for row in rows if row["finished_at"]]
    tags = {name: str(first[name]) for name in TAGS if name not in _OF_ONE and first[name]}
    tags |= LAYOUT | {
        "kind": "seeds",
        "made_from": state,
        "n_seeds": str(len(rows)),
        "mlflow.runName": f"{what(first)}, {len(rows)} seeds",
        "mlflow.note.content": description_of_seeds(rows, figures),
        "mlflow.source.name": "pipeline.results.tracker",
        "mlflow.source.type": "LOCAL",
    }
    if first["user"]:
        tags["mlflow.user"] = first["user"]
    run = client.create_run(experiment, start_time=min(starts, default=None), tags=tags)
    run_id, now = str(run.info.run_id), max(ends, default=0)
    shown = {"n_seeds": float(len(rows))}
    for figure, (mean, deviation) in figures.items():
        metric, _, protocol = figure.partition("/")
        shown |= {figure: mean, f"{metric}_deviation/{protocol}": deviation}
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in shown.items()],
        params=params(first, leave_out={"seed"}),
    )
    log_epochs(client, run_id, _mean_curves(epochs, len(rows)))
    client.log_inputs(run_id, datasets=inputs(first))
    client.set_terminated(run_id, "FINISHED", end_time=max(ends, default=None))


def _the_one(client: MlflowClient, parents: Sequence[Any]) -> str:
    """The run that counts among those that several programs made at once; the others go."""
    first, *others = sorted(
        parents, key=lambda run: (-int(run.data.tags["n_seeds"]), run.info.run_id)
    )
    for run in others:
        _if_there(client.delete_run, run.info.run_id)
    return str(first.info.run_id)


def _if_there(action: Callable[..., object], *arguments: str) -> None:
    """Change a run, unless another program has deleted it meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        action(*arguments)
    except MlflowException as failure:
        if failure.error_code not in _GONE:
            raise
