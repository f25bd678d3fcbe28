"""The features of an encoder as a file, in the order of the training images."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.dataset import load_dataset
from pipeline.encoders.artefact import weights_digest
from pipeline.errors import LabError
from pipeline.stages import data, encoder
from tests.support.tiny_encoder import tiny_encoder


def test_features_are_those_of_all_training_images(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["data", "digits"])
    data.main()
    digits, one = load_dataset("digits"), tiny_encoder()
    one.card = replace(one.card, weights_digest=weights_digest(one.state))
    encoder.write_features(one, digits, lab / "features.npy", torch.device("cpu"))
    found = np.load(lab / "features.npy")
    assert (found.dtype, found.shape) == (np.float32, (digits.card.n_train, 64))
    images = torch.from_numpy(digits.train_images[100:110].copy()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        assert found[100:110] == pytest.approx(one(images).numpy(), abs=1e-5)
    with pytest.raises(LabError, match="a name that ends in .npy"):
        encoder.write_features(one, digits, lab / "features.csv", torch.device("cpu"))


@pytest.mark.parametrize("words", [("--dataset", "digits"), ("--features", "features.npy")])
def test_features_need_a_data_set(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["encoder", "simclr-digits", *words])
    with pytest.raises(SystemExit):
        encoder.main()
    assert "one of --features and --dataset; expected: both" in capsys.readouterr().err
