"""Embeddings that were computed elsewhere, in place of an encoder."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from methods.lra_diffusion import LraDiffusion, LraDiffusionSettings
from pipeline.config import RunSettings, read_params
from pipeline.encoders.artefact import read_encoder_card
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.encoder_spec import parse_encoder
from pipeline.encoders.importing import import_encoder
from pipeline.errors import LabError
from pipeline.files import cache_folder, encoders_folder
from pipeline.runs.planning import Planner
from pipeline.training.method import Problem
from tests.support.lab import PARAMS, write_params
from tests.support.runs import numbers, row, run

LRA = {"encoder": "given", "epochs": 1, "n_steps": 50, "width": 32}
N_TRAIN, N_TEST = 1437, 360


def write(folder, dtype=np.float32, width=24, **sizes):
    """Random projections of the digits, cut to the given sizes; returns the files by split."""
    data = Planner(read_params()).shelf.dataset("digits")
    pixels = {"train": data.train_images, "test": data.test_images}
    matrix = np.random.default_rng(0).normal(size=(64, width)) / 500
    files = {}
    for split, images in pixels.items():
        rows = images.reshape(len(images), -1) @ matrix
        np.save(folder / f"{split}.npy", rows.astype(dtype)[: sizes.get(split)])
        files[split] = f"{split}.npy"  # relative to the project
    return files


def name_encoder(lab, files, **more):
    """Write a params.yaml whose encoder `given` has these files."""
    entry = {"kind": "embeddings", "files": files, **more}
    noise = PARAMS["noise"] | {"open": {"kind": "openset", "rate": 0.1, "source": "digits"}}
    write_params(lab, PARAMS | {"noise": noise, "encoders": {"given": entry}})
    return entry


def test_both_methods_learn_from_the_rows_of_the_files(lab):
    name_encoder(lab, write(lab, np.float16))
    linear = run("feature_classifier", encoder="given", epochs=8).key
    assert numbers(linear)[0]["test_accuracy"].max() > 0.6
    diffusion = run("lra_diffusion", **LRA).key
    scalars = json.loads(numbers(diffusion)[0]["scalars"][0])
    # With ten neighbours of the same class 0.43 are expected, with random ones 0.18.
    assert 0.25 < scalars["agreement"] < 0.5
    for key in (linear, diffusion):
        assert row(key)["knows"] == ["extra_features"]
        assert row(key)["encoder_digest"]
    card = read_encoder_card(encoders_folder("given"))
    assert (card.kind, card.network, card.n_features) == ("embeddings", "none", 24)
    assert not (cache_folder() / "embeddings").exists()  # nothing was computed


@pytest.mark.slow
def test_rows_that_change_places_change_the_run_and_its_numbers(lab):
    files = write(lab)
    name_encoder(lab, files)
    first = run("feature_classifier", encoder="given", epochs=1, classifier="knn").key
    path = lab / files["test"]
    np.save(path, np.load(path)[::-1])
    second = run("feature_classifier", encoder="given", epochs=1, classifier="knn").key
    assert first != second
    own, of_others = (numbers(key)[0]["test_accuracy"][0] for key in (first, second))
    assert own > 0.6
    assert of_others < 0.3


def test_files_that_are_gone_leave_what_was_imported_and_a_part_of_them_does_not(lab):
    files = write(lab)
    name_encoder(lab, files)
    settings = RunSettings(dataset="digits", noise="symmetric-40")
    found = Planner(read_params()).encoder("given", settings).identity
    for path in files.values():
        (lab / path).rename(lab / f"{path}.away")
    assert Planner(read_params()).encoder("given", settings).identity == found
    (lab / "test.npy.away").rename(lab / "test.npy")
    with pytest.raises(LabError, match=r"train\.npy'? is missing"):
        Planner(read_params()).encoder("given", settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": N_TRAIN - 1}, r"1436 rows of embeddings for the 1437 images of split train"),
        ({"test": 10}, r"10 rows of embeddings for the 360 images of split test"),
    ],
)
def test_another_number_of_rows_is_refused(lab, change, message):
    name_encoder(lab, write(lab, **change))
    with pytest.raises(LabError, match=message):
        run("feature_classifier", encoder="given", epochs=1)


def test_a_split_without_a_file_is_refused(lab):
    files = write(lab)
    name_encoder(lab, {"train": files["train"]})
    with pytest.raises(
        LabError, match=r"no embeddings of split test; .*there are: train; try: add test: FILE"
    ):
        run("feature_classifier", encoder="given", epochs=1)


def test_what_needs_a_network_is_refused(lab):
    name_encoder(lab, write(lab))
    with pytest.raises(LabError, match="without a network.*; try: --query cached"):
        run("lra_diffusion", **LRA, query="re-encoded")
    with pytest.raises(LabError, match="start_from given, a table of embeddings without weights"):
        run("robust_loss", start_from="given")


def test_images_that_open_set_labels_replace_have_no_embeddings(lab):
    name_encoder(lab, write(lab))
    with pytest.raises(LabError, match="open-set labels, which replace images"):
        run("feature_classifier", encoder="given", epochs=1, noise="open")


@pytest.mark.parametrize("unit_length", [False, True])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_every_float_type_gives_the_numbers_of_its_file(lab, dtype, unit_length):
    entry = name_encoder(lab, write(lab, np.dtype(dtype)), unit_length=unit_length)
    card, state = import_encoder("given", parse_encoder(entry, "test"))
    assert card.unit_length is unit_length
    for split, n in (("train", N_TRAIN), ("test", N_TEST)):
        rows = torch.from_numpy(np.load(lab / f"{split}.npy").astype(np.float32))
        expected = normalize(rows, dim=1) if unit_length else rows
        assert state[split].shape == (n, 24)
        torch.testing.assert_close(state[split].float(), expected, rtol=0, atol=0)
    half = dtype == "<f2" and not unit_length
    assert state["train"].dtype == (torch.float16 if half else torch.float32)


def store(path, rows, form):
    """Write rows as the libraries of others do."""
    if form == "npz":
        np.savez_compressed(path, rows)
    else:
        torch.save({"features": torch.from_numpy(rows)} if form == "mapping" else
                   torch.from_numpy(rows), path)  # fmt: skip


@pytest.mark.parametrize(("form", "ending"), [("npz", "npz"), ("tensor", "pt"), ("mapping", "pth")])
def test_files_of_numpy_and_torch_give_the_same_rows(lab, form, ending):
    files = write(lab)
    expected = import_encoder("given", parse_encoder(name_encoder(lab, files), "test")).state
    others = {}
    for split, path in files.items():
        others[split] = str(lab / f"other-{split}.{ending}")
        store(others[split], np.load(lab / path), form)
    found = import_encoder("given", parse_encoder(name_encoder(lab, others), "test")).state
    assert all(found[split].equal(expected[split]) for split in files)


def test_files_of_several_arrays_and_of_code_are_refused(lab):
    entry = {"kind": "embeddings", "files": {"train": "train.npz"}}
    np.savez(lab / "train.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(LabError, match=r"2 tables \(a, b\); expected: .*; try: "):
        import_encoder("given", parse_encoder(entry, "test"))
    entry = {"kind": "embeddings", "files": {"train": "train.pt"}}
    for content in (open, [torch.zeros(2, 2)], {"a": 3}):
        torch.save(content, lab / "train.pt")
        with pytest.raises(LabError, match=r"(cannot be read|holds a|holds 0 tables).*; try: "):
            import_encoder("given", parse_encoder(entry, "test"))


def test_a_query_that_needs_a_network_is_refused_before_anything_is_trained(lab):
    name_encoder(lab, write(lab))
    problem = Problem(10, N_TRAIN, (8, 8, 1), encoder=given_encoder())
    with pytest.raises(LabError, match=r"query re-encoded.*; try: --query cached"):
        LraDiffusion(LraDiffusionSettings(query="re-encoded", backbone="small-cnn"), problem)


def given_encoder():
    """The encoder that params.yaml names."""
    spec = parse_encoder(read_params().encoders["given"], "test")
    return Encoder(*import_encoder("given", spec))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5), r"float64 \[5\]"),
        (np.zeros((5, 2), dtype=np.int64), r"int64 \[5, 2\]"),
        (np.full((5, 2), np.inf), "not finite"),
        (np.array([[None]]), "cannot be read"),
        (np.zeros((5, 3)), r"different lengths: \{'train': 2, 'test': 3\}"),
    ],
)
def test_files_that_hold_something_else_are_refused(lab, values, message):
    np.save(lab / "train.npy", np.zeros((7, 2)))
    np.save(lab / "test.npy", values, allow_pickle=True)
    entry = {"kind": "embeddings", "files": {"train": "train.npy", "test": "test.npy"}}
    with pytest.raises(LabError, match=message):
        import_encoder("given", parse_encoder(entry, "test"))


@pytest.mark.parametrize("more", [{"files": {}}, {"files": {"train": "x.npy"}, "antialias": False}])
def test_an_entry_without_files_or_with_keys_of_networks_is_refused(more):
    with pytest.raises(LabError, match="files|antialias"):
        parse_encoder({"kind": "embeddings", **more}, "test")
