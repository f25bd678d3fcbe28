"""A run whose store is a bucket: stopped, killed and continued there, with equal numbers."""

import os
import signal

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal

from pipeline.encoders.artefact import load_encoder
from pipeline.encoders.kept import kept_weights_folder
from pipeline.models.found import find_model
from pipeline.models.kept import load_model
from pipeline.results.claims import claims
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from pipeline.storage.fetched import local_file
from pipeline.storage.places import artefact_place, store_place
from pipeline.training.checkpoints import unfinished_runs
from pipeline.training.observers import posterior_address
from tests.support.launched import until
from tests.support.programs import finish, launch, start
from tests.support.runs import numbers, row

FLAGS = (
    "--dataset", "digits", "--noise", "symmetric-40", "--backbone", "small-cnn",
    "--epochs", "12", "--batch-size", "16", "--keep-weights", "--posterior", "--no-tracking",
    "--checkpoint-seconds", "0.3",
)  # fmt: skip
"""Long enough, on a fast machine, to be ended twice before its end."""
pytestmark = pytest.mark.services


@pytest.fixture
def bucket(lab, s3, monkeypatch):
    """A store in a bucket."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.bucket()}/some/store"


def to_its_end(lab):
    code, out, err = finish(*launch(1, *FLAGS), lab=lab)
    assert code == 0, err
    return out.split()[1]


def ended_in_its_middle(lab, number):
    """End a run by a signal once it has written a checkpoint."""
    before = artefact_place().entries("checkpoints")
    program = start(*launch(1, *FLAGS), lab=lab, own_group=True)
    until(
        lambda: artefact_place().entries("checkpoints") != before or program.poll() is not None,
        "a checkpoint",
    )
    assert program.poll() is None, program.communicate()
    os.killpg(program.pid, number)
    program.communicate(timeout=60)


def test_a_run_in_a_bucket_is_stopped_killed_and_continued(lab, bucket, monkeypatch):
    key = to_its_end(lab)
    expected = numbers(key)
    weights = load_encoder(kept_weights_folder(key)).card.weights_digest
    mean = np.load(f"{posterior_address(key)}/mean.npy")

    monkeypatch.setenv("LNL_STORE", bucket)
    ended_in_its_middle(lab, signal.SIGTERM)
    assert unfinished_runs() == {key}
    assert row(key)["status"] == "running"
    assert claims(store_place()) == []
    ended_in_its_middle(lab, signal.SIGKILL)
    assert [(found.key, found.alive) for found in claims(store_place())] == [(key, False)]

    assert to_its_end(lab) == key
    assert row(key)["resumed"] == 2
    for ours, theirs in zip(expected, numbers(key), strict=True):
        assert_frame_equal(ours, theirs, check_exact=True)
    assert load_encoder(kept_weights_folder(key)).card.weights_digest == weights
    folder, card = find_model(key, Store())
    load_model(folder, card, load_method(card.method), torch.device("cpu"), averaged=False)
    assert card.test_accuracy == expected[0]["test_accuracy"][-1]
    np.testing.assert_array_equal(np.load(local_file(f"{posterior_address(key)}/mean.npy")), mean)
    assert unfinished_runs() == set()
    assert claims(store_place()) == []
    assert not list(lab.glob("s3:*"))


def test_checkpoints_and_weights_lie_in_a_shared_folder_where_there_is_one(
    lab, bucket, monkeypatch
):
    monkeypatch.setenv("LNL_STORE", bucket)
    monkeypatch.setenv("LNL_SHARED", "shared")
    ended_in_its_middle(lab, signal.SIGTERM)
    key = next(iter(unfinished_runs()))
    assert (lab / "shared" / "checkpoints" / f"{key}.pt").exists()
    assert to_its_end(lab) == key
    assert load_encoder(lab / "shared" / "encoders" / key).card.run_key == key
    names = {entry.name.split("/")[0] for entry in store_place().entries()}
    assert names == {"runs", "epochs", "samples"}
