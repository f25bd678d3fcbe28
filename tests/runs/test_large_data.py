"""Runs on data sets whose images stay in files: all splits, the same numbers however decoded."""

import json

import numpy as np
import polars as pl
import pytest
import timm
import torch
from safetensors.torch import save_file

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.files import cache_folder
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import resolve
from tests.support.lab import PARAMS, SMALL, write_params
from tests.support.large_data_files import write_clothing, write_food, write_webvision
from tests.support.programs import finish, launch
from tests.support.runs import numbers, row, run

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


@pytest.mark.slow
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
    with pytest.raises(LabError, match="try: webvision-lra"):
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


LRA = TINY | {"batch_size": 8, "n_steps": 20, "ddim_steps": 5, "width": 16, "k": 3}


@pytest.fixture
def tiny_vit(lab):
    """An entry of a small network for 160-pixel colour images, with random weights."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), lab / "vit.safetensors")
    return {"kind": "timm", "model": "test_vit.r160_in1k", "weights": "vit.safetensors"}


def write_cells(lab, name, entry, encoder):
    """Write a params.yaml with one data set and one encoder, called `asked`."""
    entry = entry | {"complete": False}
    write_params(lab, PARAMS | {"datasets": {name: entry}, "encoders": {"asked": encoder}})


def embedded_splits():
    """Number of embeddings in the cache, by split."""
    notes = [json.loads(file.read_text()) for file in cache_folder().glob("embeddings/*.json")]
    return {note["split"]: note["shape"][0] for note in notes}


def test_label_diffusion_on_food_retrieves_by_cached_embeddings(lab, tiny_vit):
    write_food(lab / "food")
    write_cells(lab, "food101n", {"kind": "food101n", "root": "food"}, tiny_vit)
    settings = LRA | {"encoder": "asked", "query": "cached", "append_own": False}
    outcome = run("lra_diffusion", dataset="food101n", execution={"workers": 0}, **settings)
    found = row(outcome.key)
    assert (found["n_train"], found["n_val"], found["n_test"]) == (15, 0, 6)
    assert found["knows"] == ["extra_features"]
    epochs, samples = numbers(outcome.key)
    assert epochs["test_accuracy"][0] is not None
    # Four candidates, of which the one that was drawn agrees with itself.
    assert 0.25 <= json.loads(epochs["scalars"][0])["agreement"] <= 1
    assert (samples["prediction"] != -1).sum() == 8  # the last, smaller batch is left out
    assert embedded_splits() == {"train": 15, "test": 6}


@pytest.mark.slow
def test_label_diffusion_on_webvision_encodes_anew_in_balanced_epochs(webvision, tiny_vit):
    write_cells(
        webvision, "webvision-mini", {"kind": "webvision", "n_classes": 50, "root": "web"}, tiny_vit
    )
    settings = LRA | {
        "encoder": "asked", "query": "re-encoded", "transform": "webvision-lra",
        "sampling": "balanced", "weighted": False, "averaging": 0.9, "average_buffers": False,
        "clip_norm": 1.0, "clip_separately": True,
    }  # fmt: skip
    once = run("lra_diffusion", dataset="webvision-mini", execution={"workers": 0}, per_class=1,
               **settings)  # fmt: skip
    epochs, samples = numbers(once.key)
    # 6 batches of 8 of the 50 samples, one of each label; none of the other 52 is predicted.
    seen = samples.filter(pl.col("prediction") != -1)
    assert len(samples) == 100
    assert len(seen) == seen["y_noisy"].n_unique() == 48
    scalars = json.loads(epochs["scalars"][0])
    for name in ("ilsvrc_accuracy", "averaged_ilsvrc_accuracy"):
        assert 0 <= scalars[name] <= 1
    found = row(once.key)
    assert embedded_splits() == {"train": 100, "test": found["n_test"], "ilsvrc": 10}
    # A limit that no label reaches is none.
    many = run("lra_diffusion", dataset="webvision-mini", execution={"workers": 0}, per_class=500,
               **settings)  # fmt: skip
    assert (numbers(many.key)[1]["prediction"] != -1).sum() == 96


def test_label_diffusion_on_clothing_is_validated_with_given_embeddings(lab):
    write_clothing(lab / "clothes")
    sizes, draw = {"train": 42, "val": 28, "test": 28}, np.random.default_rng(0)
    for split, n in sizes.items():
        np.save(lab / f"{split}.npy", draw.normal(size=(n, 6)).astype(np.float16))
    files = {split: f"{split}.npy" for split in sizes}
    write_cells(
        lab, "clothing1m", {"kind": "clothing1m", "root": "clothes"},
        {"kind": "embeddings", "files": files},
    )  # fmt: skip
    settings = LRA | {"encoder": "asked", "sampling": "balanced", "validation": "provided"}
    outcome = run("lra_diffusion", dataset="clothing1m", execution={"workers": 0}, **settings)
    found = row(outcome.key)
    assert (found["n_train"], found["n_val"], found["n_test"]) == (42, 28, 28)
    assert found["knows"] == ["clean_validation", "extra_features"]
    epochs, _ = numbers(outcome.key)
    assert epochs["val_clean_accuracy"][0] is not None
    assert embedded_splits() == {}


@pytest.mark.parametrize(
    ("method", "dataset", "expected"),
    [
        ("lra_diffusion", "clothing1m",
         {"validation": "provided", "transform": "clothing1m", "per_class": 10_000}),
        ("lra_diffusion", "webvision-mini",
         {"validation": "held-out", "val_rate": 0.0, "transform": "webvision-lra",
          "per_class": 500, "clip_separately": True}),
        ("lra_diffusion", "food101n", {"transform": "food101n", "query": "cached"}),
        ("robust_loss", "webvision-mini",
         {"transform": None, "normalisation": "imagenet", "val_rate": 0.0, "sampling": "all"}),
    ],
)  # fmt: skip
def test_the_paper_recipes_of_large_data_sets(lab, method, dataset, expected):
    asked = {"recipe": "paper", "dataset": dataset, "noise": "clean"}
    asked |= {"loss": "dal"} if method == "robust_loss" else {}
    resolved = resolve(load_method(method), asked, read_params())
    assert resolved.recipe_status in {"published", "unchecked"}
    assert {name: getattr(resolved.settings, name) for name in expected} == expected
