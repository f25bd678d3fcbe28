"""A run from settings to rows: skipped, resumed, diverged, stopped; always whole."""

import socket

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from methods import losses
from pipeline.errors import Interrupted, LabError
from pipeline.results.claims import claim, claims
from pipeline.results.claims.holder import Holder
from pipeline.results.store import Store
from pipeline.storage.places import store_place
from pipeline.training.stopping import StopRequest
from tests.support.lab import PARAMS, write_params
from tests.support.runs import checkpoint_path, numbers, row, run, stop_at_step


def test_a_run_is_stored_whole_and_not_run_again(lab):
    outcome = run()
    assert outcome.ending == "done"
    epochs, samples = numbers(outcome.key)
    stored = row(outcome.key)
    assert epochs["epoch"].to_list() == [0, 1]
    assert epochs["test_accuracy"][1] > 0.5
    assert (stored["status"], stored["variant"]) == ("done", "ce")
    assert stored["n_train"] + stored["n_val"] == 1437
    assert sum(stored["confusion"]) == stored["n_test"] == 360
    assert run().ending == "stored"

    # The epoch's memorisation follows from the samples of the last epoch.
    wrong = samples.filter(pl.col("y_noisy") != pl.col("y_clean"))
    assert len(samples) == stored["n_train"]
    memorised = (wrong["prediction"] == wrong["y_noisy"]).mean()
    corrected = (wrong["prediction"] == wrong["y_clean"]).mean()
    assert epochs["memorised"][1] == pytest.approx(memorised)
    assert epochs["corrected"][1] == pytest.approx(corrected)
    assert stored["realised_rate"] == pytest.approx(0.4, abs=0.06)

    # Every epoch saw every sample, and what changed between them is counted both ways.
    assert samples["seen"].unique().to_list() == [2]
    changes = epochs["prediction_changes"].to_list()
    assert changes == [None, samples["prediction_changes"].sum()]
    assert 0 < changes[1] < stored["n_train"]
    probabilities = np.stack(samples["mean_probabilities"].to_list()).astype(float)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=5e-3)
    given = probabilities[np.arange(len(samples)), samples["y_noisy"]]
    np.testing.assert_allclose(given, samples["mean_probability"], rtol=1e-3, atol=1e-6)


def test_force_computes_the_same_numbers_again(lab):
    outcome = run()
    before = numbers(outcome.key)
    assert run(execution={"force": True}).ending == "done"
    for old, new in zip(before, numbers(outcome.key), strict=True):
        assert_frame_equal(old, new)


def test_another_seed_is_another_run(lab):
    first, second = run(epochs=1), run(epochs=1, seed=1)
    assert first.key != second.key
    assert row(first.key)["group"] == row(second.key)["group"]


@pytest.mark.parametrize("loss", ["dal", "nlnl"])
@pytest.mark.parametrize(
    "stop_at",
    [5, pytest.param(21, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.slow)],
)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(lab, monkeypatch, loss, stop_at):
    settings = {"loss": loss, "crop_padding": 1}
    whole = numbers(run(**settings).key)
    store = lab / "second"
    monkeypatch.setenv("LNL_STORE", str(store))
    steps = stop_at_step(monkeypatch, stop_at)
    with pytest.raises(Interrupted, match="SIGTERM"):
        run(**settings)
    key = next(iter(Store().runs().collect()["key"]))
    assert row(key)["status"] == "running"
    assert checkpoint_path(key).exists()
    assert run(**settings).ending == "done"
    assert len(steps) == 42  # 2 epochs of 21 steps: nothing was trained twice
    assert row(key)["resumed"] == 1
    assert not checkpoint_path(key).exists()
    for uninterrupted, resumed in zip(whole, numbers(key), strict=True):
        assert_frame_equal(uninterrupted, resumed, check_exact=True)


def test_a_checkpoint_is_written_by_time(lab, monkeypatch):
    written = []
    monkeypatch.setattr(
        "pipeline.runs.run.save_checkpoint", lambda session, key: written.append(key)
    )
    run(epochs=1, execution={"checkpoint_seconds": 0.0})
    assert len(written) == 21


@pytest.mark.parametrize("damage", [b"", b"junk"])
def test_a_damaged_checkpoint_is_named_with_its_remedy(lab, damage):
    key = run().key
    checkpoint_path(key).parent.mkdir(parents=True, exist_ok=True)
    checkpoint_path(key).write_bytes(damage)
    with pytest.raises(LabError, match=f"{key}.*damaged.*rm "):
        run(execution={"force": True})


def test_a_loss_that_is_not_finite_ends_as_diverged_and_keeps_its_row(lab, monkeypatch):
    monkeypatch.setattr(losses, "ce", lambda logits, y: logits.sum() * float("nan"))
    outcome = run()
    assert outcome.ending == "diverged"
    stored = row(outcome.key)
    assert (stored["status"], stored["status_detail"]) == ("diverged", outcome.detail)
    assert "epoch 0" in outcome.detail
    epochs, _ = numbers(outcome.key)
    assert epochs["train_loss"].to_list() == [None]
    assert run().ending == "stored"


def test_an_unforeseen_failure_is_stored_and_tried_again(lab, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(losses, "ce", lambda logits, y: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    key = Store().runs().collect()["key"].item()
    assert row(key)["status"] == "failed"
    assert "division" in row(key)["status_detail"]
    assert run().ending == "done"


def test_a_run_that_another_program_computes_is_left_to_it(lab):
    key = run().key
    other = claim(store_place(), key)
    outcome = run(execution={"force": True})
    assert outcome.ending == "busy"
    assert socket.gethostname() in outcome.detail
    other.release()
    assert run(execution={"force": True}).ending == "done"
    assert claims(store_place()) == []


def test_a_run_that_is_taken_over_stops_and_writes_nothing(lab, monkeypatch):
    steps = []

    def taking_over(request):
        steps.append(None)
        if len(steps) == 5:
            key = claims(store_place())[0].key
            monkeypatch.setattr(Holder, "is_gone", True)
            others.append(claim(store_place(), key))
        return original(request)

    others, original = [], StopRequest.save_now
    monkeypatch.setattr(StopRequest, "save_now", taking_over)
    outcome = run(execution={"checkpoint_seconds": 0.0})
    assert outcome.ending == "busy"
    assert "taken over" in outcome.detail
    assert len(steps) == 5
    assert row(outcome.key)["status"] == "running"  # as before the other one began
    others[0].renew()
    assert not others[0].is_lost
    others[0].release()
    assert run().ending == "done"


def test_validation_samples_are_held_out_of_training(lab):
    key = run(val_rate=0.25).key
    stored = row(key)
    assert stored["n_val"] == round(0.25 * 1437)
    epochs, samples = numbers(key)
    assert len(samples) == 1437 - stored["n_val"]
    assert 0 < epochs["val_noisy_accuracy"][1] < epochs["val_clean_accuracy"][1] <= 1
    with pytest.raises(LabError, match="val_rate"):
        run(val_rate=0.0001)


def test_without_validation_the_columns_are_empty(lab):
    epochs, _ = numbers(run(val_rate=0.0, epochs=1).key)
    assert epochs["val_noisy_accuracy"].to_list() == [None]


def test_a_data_set_whose_labels_may_be_wrong(lab, tmp_path):
    """The user's own images, no clean labels: everything that needs them is left out."""
    from PIL import Image

    stream = torch.Generator().manual_seed(0)
    for split, n in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "mine" / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = torch.randint(0, 256, (9, 8, 3), generator=stream, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
    mine = {"kind": "imagefolder", "root": str(tmp_path / "mine"), "image_size": 8}
    write_params(lab, PARAMS | {"datasets": {"mine": mine}})
    key = run(dataset="mine", noise="clean", batch_size=8).key
    epochs, samples = numbers(key)
    assert epochs["memorised"].to_list() == [None, None]
    assert epochs["train_accuracy"].null_count() == 0
    assert samples["y_clean"].null_count() == 24 - row(key)["n_val"]
    assert row(key)["realised_rate"] is None
    with pytest.raises(LabError, match="clean"):
        run(dataset="mine", noise="symmetric-40")


def test_a_posterior_is_kept_on_request_and_makes_label_noise(lab, monkeypatch):
    clean = {"noise": "clean", "val_rate": 0.0}
    key = run(**clean, execution={"posterior": True}).key
    folder = lab / "results" / "store" / "posteriors" / key
    last, mean = np.load(folder / "last.npy"), np.load(folder / "mean.npy")
    assert last.shape == mean.shape == (1437, 10)
    np.testing.assert_allclose(mean.sum(axis=1), 1)
    _, samples = numbers(key)
    assert (last.argmax(axis=1) == samples["prediction"].to_numpy()).all()
    means = np.stack(samples["mean_probabilities"].to_list())
    np.testing.assert_allclose(means, mean.astype(np.float16), rtol=1e-3, atol=1e-7)

    tables = {
        "pmd": {"kind": "pmd", "type": "I", "rate": 0.35,
                "posterior": f"results/store/posteriors/{key}/last.npy"},
        "dependent": {"kind": "dependent", "rate": 0.4,
                      "posterior": f"results/store/posteriors/{key}/mean.npy"},
    }  # fmt: skip
    write_params(lab, PARAMS | {"noise": tables})
    assert row(run(noise="pmd").key)["realised_rate"] == pytest.approx(0.35, abs=0.06)
    assert row(run(noise="dependent").key)["realised_rate"] == pytest.approx(574 / 1437)


def test_a_resumed_run_keeps_the_same_posterior(lab, monkeypatch):
    how = {"posterior": True}
    key = run(execution=how).key
    path = lab / "results" / "store" / "posteriors" / key / "mean.npy"
    whole = np.load(path)
    path.unlink()
    stop_at_step(monkeypatch, 30)
    with pytest.raises(Interrupted):
        run(execution=how | {"force": True})
    run(execution=how | {"force": True})
    np.testing.assert_array_equal(np.load(path), whole)
