"""The run above several seeds: made of the store, once, whoever makes it at the same moment."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.results.store import Store
from pipeline.results.tracker import rebuild, show_seeds, tracking_uri
from pipeline.results.tracking.experiments import search
from pipeline.results.tracking.seeds import join_seeds
from pipeline.results.tracking.shown import PARENT
from tests.support.results_builder import add_run

FIRST, SECOND, THIRD = (0.5, 0.7, 0.6), (0.5, 0.6, 0.62), (0.4, 0.5, 0.7)
NOISY = {"val_noisy_accuracy": (0.3, 0.2, 0.1)}


def found() -> tuple[MlflowClient, str, list[Any], dict[str, Any]]:
    """What is shown: the runs over seeds, and the others by their key."""
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = search(client, experiment.experiment_id)
    over_seeds = [run for run in runs if run.data.tags.get("kind") == "seeds"]
    single = {run.data.tags["key"]: run for run in runs if "key" in run.data.tags}
    assert len(over_seeds) + len(single) == len(runs)
    return client, experiment.experiment_id, over_seeds, single


def parents(single: dict[str, Any]) -> set[str | None]:
    return {run.data.tags.get(PARENT) for run in single.values()}


def test_runs_of_equal_settings_stand_below_their_mean_and_deviation(view: Path) -> None:
    for seed, accuracies in enumerate((FIRST, SECOND)):
        add_run(Store(), accuracies, seed=seed, curves=NOISY)
    alone = add_run(Store(), FIRST, variant="dal")
    rebuild()
    client, _, (over_seeds,), single = found()
    metrics, tags = over_seeds.data.metrics, over_seeds.data.tags
    for protocol, values in {
        "last": (FIRST[2], SECOND[2]),
        "last10": (mean(FIRST), mean(SECOND)),
        "best-noisy-val": (FIRST[0], SECOND[0]),
    }.items():
        assert metrics[f"test_accuracy/{protocol}"] == pytest.approx(mean(values))
        assert metrics[f"test_accuracy_deviation/{protocol}"] == pytest.approx(stdev(values))
    curve = client.get_metric_history(over_seeds.info.run_id, "test/accuracy")
    assert [(point.step, point.value) for point in curve] == [
        (epoch, pytest.approx(mean(both)))
        for epoch, both in enumerate(zip(FIRST, SECOND, strict=True))
    ]
    assert metrics["n_seeds"] == 2
    assert tags["mlflow.runName"] == "ce sym, 2 seeds"
    assert "test_accuracy/last | 61.00 ± 1.41 %" in tags["mlflow.note.content"]
    assert "seed" not in over_seeds.data.params
    assert over_seeds.data.params["lr"] == "0.1"
    assert over_seeds.info.status == "FINISHED"
    assert PARENT not in single.pop(alone).data.tags
    assert parents(single) == {over_seeds.info.run_id}


@pytest.mark.slow
def test_what_not_every_seed_has_is_no_mean_and_what_diverged_is_no_seed(view: Path) -> None:
    add_run(Store(), FIRST, seed=0, curves=NOISY)
    add_run(Store(), SECOND, seed=1)
    diverged = add_run(Store(), THIRD, seed=2, status="diverged")
    rebuild()
    _, _, (over_seeds,), single = found()
    assert over_seeds.data.metrics["test_accuracy/last"] == pytest.approx(0.61)
    assert "test_accuracy/best-noisy-val" not in over_seeds.data.metrics
    assert "validation/noisy_accuracy" not in over_seeds.data.metrics
    assert PARENT not in single[diverged].data.tags


@pytest.mark.slow
def test_it_is_made_once_and_anew_when_a_seed_comes(
    view: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [add_run(Store(), FIRST, seed=seed) for seed in range(2)]
    rebuild()
    first = found()[2][0].info.run_id
    rebuild()
    show_seeds(keys)
    assert [run.info.run_id for run in found()[2]] == [first]
    third = add_run(Store(), THIRD, seed=2)
    rebuild()
    _, _, (over_seeds,), single = found()
    assert over_seeds.data.metrics["n_seeds"] == 3
    assert parents(single) == {over_seeds.info.run_id}
    assert set(single) == {*keys, third}
    means = [line.rpartition(", ")[2] for line in capsys.readouterr().out.splitlines()]
    assert means == ["1 means over seeds", "0 means over seeds", "1 means over seeds"]


def test_two_programs_that_make_it_at_once_agree_on_one(view: Path) -> None:
    for seed, accuracies in enumerate((FIRST, SECOND)):
        add_run(Store(), accuracies, seed=seed)
    rebuild()
    client, experiment, over_seeds, single = found()
    rows, before = Store().runs().collect(), list(single.values())
    # As a program sees it that has looked before the other one made its own.
    assert join_seeds(client, experiment, rows, Store().epochs, before) == 1
    _, _, (kept,), single = found()
    assert kept.info.run_id == min(kept.info.run_id, over_seeds[0].info.run_id)
    assert parents(single) == {kept.info.run_id}


@pytest.mark.slow
def test_a_run_that_is_shown_anew_keeps_its_place(view: Path) -> None:
    keys = [add_run(Store(), FIRST, seed=seed) for seed in range(2)]
    rebuild()
    client, _, (over_seeds,), single = found()
    client.set_tag(single[keys[0]].info.run_id, "layout", "of an earlier version")
    client.set_tag(single[keys[0]].info.run_id, "mlflow.user", "somebody")
    rebuild()
    _, _, _, again = found()
    assert again[keys[0]].info.run_id != single[keys[0]].info.run_id
    assert again[keys[0]].data.tags["mlflow.user"] == "somebody"
    assert again[keys[0]].data.tags["layout"] != "of an earlier version"
    assert parents(again) == {over_seeds.info.run_id}


def test_a_grid_ends_without_a_tracker(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    show_seeds([add_run(Store(), seed=seed) for seed in range(2)])
    assert capsys.readouterr().err.count("MLflow view off") == 1
