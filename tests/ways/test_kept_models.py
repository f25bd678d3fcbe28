"""What holds for the model of every method, found by itself: it predicts as the run was tested."""

import shutil

import numpy as np
import pytest
import torch

from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError
from pipeline.models.found import find_model
from pipeline.models.kept import load_model
from pipeline.predict import predict
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from tests.support.every_method import METHODS, VARIANTS, settings_of, typed
from tests.support.lab import PARAMS, write_params
from tests.support.large_data_files import write_webvision
from tests.support.new_images import read_rows, write_test_images
from tests.support.programs import finish, launch
from tests.support.runs import run
from tests.support.tiny_encoder import ENTRY

RETRIEVING = [
    ("feature_classifier", {"classifier": "knn"}),
    ("lra_diffusion", {"f_q": "neighbours"}),
    ("lra_diffusion", {"image_encoder": "head_2023_05", "query": "re-encoded"}),
]
AVERAGED = [("sln", {"averaging": 0.9}), ("co_teaching", {"averaging": 0.9})]
CASES = [
    pytest.param(name, own, id="-".join([name, *map(str, own.values())]))
    for name, own in [*((name, {}) for name in METHODS), *VARIANTS, *RETRIEVING, *AVERAGED]
]
pytestmark = pytest.mark.slow


@pytest.fixture
def with_encoder(lab):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    return lab


@pytest.mark.parametrize(("name", "own"), CASES)
def test_a_model_predicts_the_test_images_as_its_run_did(with_encoder, name, own):
    key = run(name, execution={"keep_weights": True}, **settings_of(name, own)).key
    labels = write_test_images(with_encoder / "photos")
    last = Store().epochs([key]).sort("epoch").collect().row(-1, named=True)
    for averaged in {False, last["averaged_test_accuracy"] is not None}:
        predict(key, with_encoder / "photos", csv=with_encoder / "found.csv", averaged=averaged)
        found = [int(row["class"]) for row in read_rows(with_encoder / "found.csv")]
        expected = last["averaged_test_accuracy" if averaged else "test_accuracy"]
        assert np.mean(found == labels) == expected
    assert run(name, execution={"keep_weights": True}, **settings_of(name, own)).ending == "stored"


def test_a_table_of_embeddings_cannot_be_asked_about_new_images(lab):
    rows = np.random.default_rng(0).normal(size=(1797, 4)).astype(np.float32)
    for split, part in (("train", rows[:1437]), ("test", rows[1437:])):
        np.save(lab / f"{split}.npy", part)
    files = {split: f"{split}.npy" for split in ("train", "test")}
    write_params(lab, PARAMS | {"encoders": {"table": {"kind": "embeddings", "files": files}}})
    how = {"encoder": "table", "epochs": 1}
    key = run("feature_classifier", execution={"keep_weights": True}, **how).key
    folder, card = find_model(key, Store())
    with pytest.raises(LabError, match="of encoder table, of which there was a table and no"):
        load_model(folder, card, load_method(card.method), torch.device("cpu"), averaged=False)


def test_image_files_of_a_large_data_set_are_prepared_by_its_transform(lab):
    write_webvision(lab / "web", per_class=2)
    entry = {"kind": "webvision", "n_classes": 50, "root": "web", "complete": False}
    write_params(lab, PARAMS | {"datasets": {"webvision-mini": entry}})
    settings = {"dataset": "webvision-mini", "noise": "clean", "epochs": 1, "val_rate": 0.0}
    how = {"keep_weights": True, "workers": 0}
    key = run(execution=how, batch_size=32, **settings).key
    data = load_dataset("webvision-mini")
    for number in range(len(data.test)):
        path = lab / "photos" / f"{number:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(data.test.file(number), path)
    predict(key, lab / "photos", csv=lab / "found.csv", workers=0)
    due = [data.card.class_names[label] for label in data.test_labels]
    found = [row["class"] for row in read_rows(lab / "found.csv")]
    same = [one == other for one, other in zip(found, due, strict=True)]
    assert np.mean(same) == Store().epochs([key]).collect()["test_accuracy"].item()
    (lab / "photos" / "0001.jpg").write_bytes(b"\xff\xd8 half a picture")
    with pytest.raises(LabError, match=r"left out: 0001\.jpg; expected"):
        predict(key, lab / "photos", csv=lab / "fewer.csv", workers=0)
    assert [row["class"] for row in read_rows(lab / "fewer.csv")] == [found[0], *found[2:]]


def test_a_run_on_two_processes_keeps_the_model_that_it_was_tested_with(lab):
    settings = settings_of("elr", {"plus": True})
    words = (*typed(settings), "--keep-weights", "--no-tracking")
    code, out, err = finish(*launch(2, *words, method="elr"), lab=lab)
    assert code == 0, err
    key = out.split()[1]
    assert f"predict: uv run python -m pipeline.predict {key} FOLDER" in out
    labels = write_test_images(lab / "photos")
    predict(key, lab / "photos", csv=lab / "found.csv")
    found = [int(row["class"]) for row in read_rows(lab / "found.csv")]
    last = Store().epochs([key]).sort("epoch").collect()["test_accuracy"][-1]
    # Batches are other ones than on each of two processes: an image may lie on the edge.
    assert np.mean(found == labels) == pytest.approx(last, abs=1.5 / len(labels))
