"""Runs on data sets whose images stay in files: all splits, the same numbers however decoded."""

import json

import pytest
from conftest import PARAMS, SMALL, write_params
from large_data_files import write_clothing, write_webvision
from programs import finish, launch
from runs import numbers, row, run

from pipeline.errors import LabError
from pipeline.results.store import Store

TINY = {"epochs": 1, "batch_size": 32, "backbone": "small-cnn", "noise": "clean", "val_rate": 0.0}


@pytest.fixture
def webvision(lab):
    """A miniature of Mini-WebVision: 50 classes, two images each, both published test sets."""
    write_webvision(lab / "web", per_class=2)
    entry = {"kind": "webvision", "n_classes": 50, "root": "web", "complete": False}
    params = PARAMS | {"datasets": {"webvision-mini": entry}}
    params["methods"] = {"robust_loss": {"loss": "dal"} | SMALL | TINY}
    write_params(lab, params)
    return lab


def test_webvision_is_tested_on_both_sets_and_workers_change_nothing(webvision):
    outcome = run(dataset="webvision-mini", execution={"workers": 0})
    epochs, samples = numbers(outcome.key)
    scalars = json.loads(epochs["scalars"][0])
    assert 0 <= scalars["ilsvrc_accuracy"] <= scalars["ilsvrc_top5"] <= 1
    assert epochs["test_top5"][0] is not None
    assert len(samples) == row(outcome.key)["n_train"] == 100
    assert row(outcome.key)["realised_rate"] is None
    again = run(dataset="webvision-mini", execution={"workers": 2, "force": True})
    assert again.key == outcome.key
    assert epochs.equals(numbers(again.key)[0])
    assert samples.equals(numbers(again.key)[1])
    other = run(dataset="webvision-mini", execution={"workers": 0}, transform="webvision-lra")
    assert other.key != outcome.key


@pytest.mark.slow
def test_two_processes_equal_one_on_images_in_files(webvision):
    flags = ["--dataset", "webvision-mini", "--no-tracking", "--workers", "1"]
    expected = numbers(run(dataset="webvision-mini", execution={"workers": 0}).key)[0]
    code, _, err = finish(*launch(2, *flags, "--force"), lab=webvision)
    assert code == 0, err
    stored = Store().runs().collect()
    assert stored["n_processes"].to_list() == [2]
    found = numbers(stored["key"][0])[0]
    assert found["train_loss"][0] == pytest.approx(expected["train_loss"][0], rel=1e-4)
    assert found["test_accuracy"][0] == pytest.approx(expected["test_accuracy"][0], abs=1e-9)


def test_the_name_of_a_transform_is_checked(webvision):
    with pytest.raises(LabError, match="did you mean 'webvision-lra'"):
        run(dataset="webvision-mini", transform="webvision-lar")


def test_images_in_one_array_have_no_transform(lab):
    with pytest.raises(LabError, match="leave --transform out"):
        run(transform="clothing1m")


def test_clothing_epochs_are_balanced_and_validated_on_its_clean_split(lab):
    write_clothing(lab / "clothes")
    entry = {"kind": "clothing1m", "root": "clothes", "complete": False}
    write_params(lab, PARAMS | {"datasets": {"clothing1m": entry}})
    settings = TINY | {"sampling": "balanced", "validation": "provided"}
    outcome = run("sln", dataset="clothing1m", execution={"workers": 0}, sigma=0.2, **settings)
    found = row(outcome.key)
    assert (found["n_train"], found["n_val"], found["n_test"]) == (42, 28, 28)
    epochs, _ = numbers(outcome.key)
    assert epochs["val_clean_accuracy"][0] is not None
    assert epochs["averaged_test_accuracy"][0] is not None
    # The 28 clean training images, whose labels nobody may learn from, are no test set.
    assert "clean_train" not in epochs["scalars"][0]
