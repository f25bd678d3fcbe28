"""ONNX files: they predict what their models do, for batches of any size."""

import json

import numpy as np
import pytest
import torch

from pipeline.errors import LabError
from pipeline.export import export
from pipeline.models import onnx_file
from pipeline.models.found import find_model
from pipeline.models.kept import load_model
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from tests.support.every_method import METHODS, VARIANTS, settings_of
from tests.support.lab import PARAMS, write_params
from tests.support.runs import run
from tests.support.tiny_encoder import ENTRY

pytestmark = pytest.mark.services
CASES = [*((name, {}) for name in METHODS if name != "simclr"), *VARIANTS[:2]]


def loaded(key):
    folder, card = find_model(key, Store())
    return load_model(folder, card, load_method(card.method), torch.device("cpu"), averaged=False)


@pytest.mark.parametrize(("name", "own"), CASES, ids=str)
def test_a_file_gives_the_probabilities_of_its_model(lab, name, own):
    import onnxruntime

    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    settings = settings_of(name, own) | {"epochs": 2}
    key = run(name, execution={"keep_weights": True}, **settings).key
    export(key, lab / "model.onnx")
    session = onnxruntime.InferenceSession(lab / "model.onnx")
    names = session.get_modelmeta().custom_metadata_map["class_names"]
    assert json.loads(names) == [str(number) for number in range(10)]
    model = loaded(key)
    draw = torch.Generator().manual_seed(1)
    for n in (1, 7):
        images = torch.rand(n, 1, 8, 8, generator=draw)
        (found,) = session.run(None, {"images": images.numpy()})
        views = []
        for view in model.method.predict_views:
            if view == "embedding":
                views.append(model.encoder(images))
            else:
                mean, std = torch.tensor(model.card.mean), torch.tensor(model.card.std)
                views.append((images - mean) / std)
        with torch.no_grad():
            expected = model.method.predict(*views).float()
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "own", "why"),
    [
        ("simclr", {}, "predicts by a search among its 1437 training samples"),
        ("feature_classifier", {"classifier": "knn"}, "predicts by a search among"),
        ("lra_diffusion", {"image_encoder": "head_2023_05"}, "normalises by the batch"),
    ],
)
def test_a_prediction_that_no_graph_holds_is_refused(lab, name, own, why):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    settings = settings_of(name, own) | {"epochs": 1}
    key = run(name, execution={"keep_weights": True}, **settings).key
    with pytest.raises(LabError, match=f"{why}.*try: pipeline.predict"):
        export(key, lab / "model.onnx")
    assert not (lab / "model.onnx").exists()


def test_a_file_that_predicts_something_else_is_not_left(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_CLOSE", -1.0)
    with pytest.raises(LabError, match="differs by .* from it"):
        export(kept.key, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
