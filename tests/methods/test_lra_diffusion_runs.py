"""Label diffusion and its baselines as runs: on two processes, resumed, on the authors' split."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from pipeline.data.dataset import load_dataset
from pipeline.encoders.artefact import load_encoder
from pipeline.encoders.neighbours import nearest
from pipeline.errors import Interrupted
from pipeline.files import encoders_folder, methods_folder
from pipeline.noise.label_table import load_table
from pipeline.training.gather import Gather
from pipeline.training.optimisation import clipped_groups, make_optimizer
from pipeline.training.processes import Processes
from tests.support.lab import PARAMS, write_params
from tests.support.lra_cases import INDEX, make_batch, make_method
from tests.support.programs import PYTHON, SCRIPT, finish, launch
from tests.support.runs import numbers, row, run, stop_at_step
from tests.support.tiny_encoder import ENTRY
from tests.support.two_processes import on_processes

SMALL = {"epochs": 2, "n_steps": 100, "width": 32}


@pytest.fixture(autouse=True)
def encoders(lab):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})


def shared_step(rank, n_rows, n_processes, settings):
    """Loss and gradients of a step as data-parallel training averages them, norms frozen."""
    method = make_method(**settings).eval()
    counts = tuple(len(INDEX[:n_rows][r::n_processes]) for r in range(n_processes))
    mine = INDEX[:n_rows][rank::n_processes]
    gather = Gather(counts, rank)
    output = method(make_batch(method, mine, gather))
    (output.loss * len(mine) * n_processes / n_rows).backward()
    gradients = [p.grad for p in method.parameters()]
    if n_processes > 1:
        for gradient in gradients:
            torch.distributed.all_reduce(gradient)
    average = [gradient / n_processes for gradient in gradients]
    return gather.mean(output.loss.detach().expand(len(mine))), average


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [16, 7])
@pytest.mark.parametrize("settings", [{}, {"query": "re-encoded", "f_q": "neighbours"}])
def test_two_processes_make_the_step_of_one(n_rows, settings):
    loss, gradients = shared_step(0, n_rows, 1, settings)
    for shared_loss, shared_gradients in on_processes(2, shared_step, n_rows, 2, settings):
        torch.testing.assert_close(shared_loss, loss)
        for found, expected in zip(shared_gradients, gradients, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_the_program_on_one_and_on_two_processes(lab, monkeypatch):
    flags = ["--no-tracking", "--epochs", "2", "--n-steps", "100", "--batch-size", "128"]
    key, one = launched(1, flags, lab)
    monkeypatch.setenv("LNL_STORE", str(lab / "two"))
    same_key, two = launched(2, flags, lab)
    assert same_key == key
    assert row(key)["n_processes"] == 2
    assert json.loads(row(key)["settings"])["encoder"] == "simclr-digits"
    # Norms are over each process's share on a CPU, so losses differ a little; draws do not.
    for name in ("retrieved_as_given", "agreement"):
        scalars = [[json.loads(text)[name] for text in rows["scalars"]] for rows in (one, two)]
        assert scalars[0] == pytest.approx(scalars[1], abs=1e-7)
    assert two["train_loss"].to_list() == pytest.approx(one["train_loss"].to_list(), rel=0.2)
    for column in ("memorised", "corrected", "averaged_test_accuracy", "val_noisy_accuracy"):
        assert two[column].null_count() == 0


def launched(n_processes, flags, lab):
    """Start the script of label diffusion; returns the key and the epochs of its run."""
    script = str(methods_folder() / "lra_diffusion.py")
    words = [PYTHON, script, *flags]
    if n_processes > 1:
        words = [script if word == SCRIPT else word for word in launch(n_processes, *flags)]
    code, out, err = finish(*words, lab=lab)
    assert code == 0, err
    key = next(line for line in out.splitlines() if line.startswith("run ")).split()[1]
    return key, numbers(key)[0]


@pytest.mark.slow
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(lab, monkeypatch):
    settings = SMALL | {"batch_size": 128, "crop_padding": 1, "query": "re-encoded"}
    whole = numbers(run("lra_diffusion", **settings).key)
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    for step in (3, 9):  # of ten in each of two epochs
        with monkeypatch.context() as stopping:
            stop_at_step(stopping, step)
            with pytest.raises(Interrupted):
                run("lra_diffusion", **settings)
    key = run("lra_diffusion", **settings).key
    assert row(key)["resumed"] == 2
    for uninterrupted, resumed in zip(whole, numbers(key), strict=True):
        assert_frame_equal(uninterrupted, resumed, check_exact=True)


@pytest.mark.slow
def test_labels_of_a_part_are_validated_on_the_rest_and_the_row_says_so(lab):
    y = run("feature_classifier", epochs=1, noise="symmetric-40") and given_labels()
    np.save(lab / "part.npy", y[:1200].astype(np.uint8))
    noise = PARAMS["noise"] | {"part": {"kind": "file", "path": str(lab / "part.npy")}}
    write_params(lab, PARAMS | {"noise": noise, "encoders": {"simclr-digits": ENTRY}})
    settings = SMALL | {"noise": "part", "validation": "uncovered", "val_rate": 0.0}
    key = run("lra_diffusion", **settings).key
    stored = row(key)
    assert (stored["n_train"], stored["n_val"]) == (1200, 1437 - 1200)
    assert stored["knows"] == ["clean_validation"]
    epochs, samples = numbers(key)
    assert epochs["val_noisy_accuracy"].null_count() == len(epochs)
    assert epochs["val_clean_accuracy"].null_count() == 0
    assert samples["index"].max() == 1199
    held_out = run("lra_diffusion", **SMALL).key
    assert row(held_out)["knows"] == []


def given_labels():
    """Given labels of the digits, which belong to the images in order."""
    return load_table("digits", "symmetric-40").y_noisy


def test_the_baseline_of_neighbours_is_their_vote(lab):
    key = run("feature_classifier", classifier="knn", val_rate=0.0, k=7).key
    assert row(key)["variant"] == "knn"
    data = load_dataset("digits")
    encoder = load_encoder(encoders_folder("simclr-digits"))
    pixels = [torch.from_numpy(np.array(x)) for x in (data.train_images, data.test_images)]
    train, test = (encoder(x.permute(0, 3, 1, 2) / 255) for x in pixels)
    y = torch.from_numpy(given_labels())
    votes = torch.nn.functional.one_hot(y[nearest(test, train, 7).row], 10).sum(dim=1)
    voted = votes.argmax(dim=1).numpy()
    accuracy = (voted == data.test_labels).mean()
    epochs, samples = numbers(key)
    assert epochs["test_accuracy"].to_list() == pytest.approx([accuracy] * len(epochs))
    # While training nobody votes for their own label: it would be most of what agrees.
    wrong = samples.filter(pl.col("y_noisy") != pl.col("y_clean"))
    assert (wrong["prediction"] == wrong["y_noisy"]).mean() < 0.3


def test_the_linear_baseline_learns(lab):
    epochs, _ = numbers(run("feature_classifier", epochs=5).key)
    assert epochs["test_accuracy"].max() > 0.6


@pytest.mark.parametrize("separately", [False, True])
def test_gradients_are_clipped_together_or_in_their_groups(separately):
    method = make_method(clip_norm=0.5, clip_separately=separately)
    optimizer = make_optimizer(method, method.settings)
    for p in method.parameters():
        p.grad = torch.ones_like(p)
    Processes().clip_gradients(clipped_groups(optimizer, method.settings), 0.5)
    norms = [
        torch.cat([p.grad.flatten() for p in module.parameters()]).norm()
        for module in (method.head, method.image_encoder)
    ]
    if separately:
        assert norms == pytest.approx([0.5, 0.5], rel=1e-3)
    else:
        assert float(sum(norm**2 for norm in norms)) == pytest.approx(0.25, rel=1e-3)
        assert norms[0] < 0.5
