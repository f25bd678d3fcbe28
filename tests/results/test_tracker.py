"""The MLflow view: complete while it works, off at the first failure, rebuilt from the store."""

import getpass
import json

import pytest
from mlflow import MlflowClient

from pipeline.errors import Interrupted, LabError
from pipeline.results import tracker
from pipeline.results.protocols import PROTOCOLS, choose
from pipeline.results.schema import CURVES, METRICS
from pipeline.results.tracker import rebuild
from pipeline.results.tracking import shown as shown_runs
from tests.support.runs import numbers, row, run, stop_at_step


def shown(dataset="digits"):
    client = MlflowClient(tracker.tracking_uri())
    experiment = client.get_experiment_by_name(dataset)
    return client, client.search_runs([experiment.experiment_id]) if experiment else []


def picture(client, found):
    """What the view shows of a run, without what a rebuild cannot know."""
    history = {
        name: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, name)]
        for name in found.data.metrics
    }
    artifacts = {item.path for item in client.list_artifacts(found.info.run_id)}
    return found.data.params, history, artifacts, found.info.status


def test_a_live_run_is_shown_whole_and_rebuilt_the_same(view, made_database, monkeypatch):
    key = run(execution={"tracking": True, "grid": "sweep"}).key
    client, runs = shown()
    live = picture(client, runs[0])
    params, history, artifacts, status = live
    settings = json.loads(row(key)["settings"])
    assert params["loss"] == "ce"
    assert params["epochs"] == str(settings["epochs"])
    epochs, _ = numbers(key)
    assert [value for _, value in history["labels/memorised"]] == epochs["memorised"].to_list()
    assert artifacts == {"curves.svg", "confusion.svg", "settings.yaml"}
    assert status == "FINISHED"
    tags = runs[0].data.tags
    assert (tags["key"], tags["grid"], tags["noise"]) == (key, "sweep", "symmetric-40")
    assert tags["git_commit"] == row(key)["git_commit"]

    # Another file: MLflow would keep the deleted one open.
    again = view.with_name("again.db")
    again.write_bytes(made_database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{again}")
    rebuild()
    client, runs = shown()
    assert len(runs) == 1
    assert picture(client, runs[0]) == live
    rebuild()  # idempotent
    assert len(shown()[1]) == 1


def models_of(client):
    experiment = client.get_experiment_by_name("digits").experiment_id
    return client.search_logged_models([experiment])


@pytest.mark.slow
def test_a_model_that_a_run_kept_is_shown_as_one_and_goes_with_its_run(view):
    key = run(execution={"tracking": True, "keep_weights": True}).key
    client, (found,) = shown()
    (model,) = models_of(client)
    assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]
    assert (model.source_run_id, str(model.status)) == (found.info.run_id, "READY")
    assert model.params["noise"] == "symmetric-40"
    last = numbers(key)[0]["test_accuracy"][-1]
    assert {one.key: one.value for one in model.metrics} == {"test_accuracy/last": last}
    card = model.tags["mlflow.note.content"]
    assert f"pipeline.predict {key} FOLDER" in card
    assert model.tags["card"].endswith(f"encoders/{key}/model.json")
    assert "model.md" in {item.path for item in client.list_artifacts(found.info.run_id)}
    # Another view of the run, by the store alone, replaces both.
    client.set_tag(found.info.run_id, "complete", "false")
    rebuild()
    client, (again,) = shown()
    (newer,) = models_of(client)
    assert newer.source_run_id == again.info.run_id != found.info.run_id
    assert newer.tags["mlflow.note.content"] == card


def test_the_columns_that_users_of_mlflow_look_at_are_filled(view):
    key = run(execution={"tracking": True}).key
    _, runs = shown()
    stored, tags = row(key), runs[0].data.tags
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.name"] == stored["command"].split()[0]
    assert tags["mlflow.source.git.commit"] == stored["git_commit"]
    assert tags["mlflow.user"] == stored["user"] == getpass.getuser()
    assert f"`{key}`" in tags["mlflow.note.content"]
    assert "done" in tags["mlflow.note.content"]
    used = {
        entry.tags[0].value: (entry.dataset.name, entry.dataset.digest)
        for entry in runs[0].inputs.dataset_inputs
    }
    assert used == {
        "training": ("digits symmetric-40", stored["labels_digest"][:36]),
        "evaluation": ("digits", stored["data_digest"][:36]),
    }


@pytest.mark.slow
def test_every_recorded_column_is_a_curve_and_every_protocol_a_figure(view):
    key = run("sln", averaging=0.99, execution={"tracking": True}).key
    epochs, _ = numbers(key)
    client, runs = shown()
    recorded = {name for name in CURVES if epochs[name].null_count() < epochs.height}
    assert "averaged_test_accuracy" in recorded
    for name in recorded:
        points = client.get_metric_history(runs[0].info.run_id, METRICS[name])
        assert [point.value for point in points] == epochs[name].drop_nulls().to_list()
    metrics = runs[0].data.metrics
    for metric in ("test_accuracy", "averaged_test_accuracy"):
        for name, rule in PROTOCOLS.items():
            (value,) = choose(epochs.lazy(), rule, metric).collect()["value"]
            assert metrics.get(f"{metric}/{name}") == (value and pytest.approx(value))
    # Two epochs are too few for a minimum.
    assert "test_accuracy/fewest-changes | not found" in runs[0].data.tags["mlflow.note.content"]


def test_a_tracker_that_fails_is_switched_off_and_the_run_goes_on(lab, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    key = run(epochs=1, execution={"tracking": True}).key
    assert row(key)["status"] == "done"
    note = capsys.readouterr().err
    assert note.count("MLflow view off") == 1
    assert "rebuild" in note


def test_a_run_that_fails_before_it_begins_is_no_trouble_of_the_tracker(lab, capsys):
    with pytest.raises(LabError, match="none would be left"):
        run(batch_size=10_000, drop_last=True, execution={"tracking": True})
    assert "MLflow" not in capsys.readouterr().err


def test_a_view_broken_off_in_the_middle_is_completed(view, monkeypatch):
    def fail(*arguments):
        raise ConnectionError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(shown_runs, "complete", fail)
        key = run(execution={"tracking": True}).key
    rebuild()
    client, runs = shown()
    assert [found.data.tags["key"] for found in runs] == [key]
    assert len(client.get_metric_history(runs[0].info.run_id, "test/accuracy")) == 2


def test_a_resumed_run_is_one_run_in_the_view_with_all_its_epochs(view, monkeypatch):
    with monkeypatch.context() as stopping:
        stop_at_step(stopping, 30)
        with pytest.raises(Interrupted):
            run(execution={"tracking": True})
    key = run(execution={"tracking": True}).key
    client, runs = shown()
    assert [found.data.tags["key"] for found in runs] == [key]
    assert runs[0].info.status == "FINISHED"
    history = client.get_metric_history(runs[0].info.run_id, "test/accuracy")
    assert [m.value for m in history] == numbers(key)[0]["test_accuracy"].to_list()


def test_nothing_is_shown_without_tracking(lab):
    run(epochs=1)
    assert not (lab / "mlflow.db").exists()


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_every_ending_has_a_status_in_the_view(status):
    assert shown_runs.ENDINGS[status] == "FAILED"
