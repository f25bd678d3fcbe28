"""The folder to try things on: a fifth of its training images lies in a wrong class."""

from pathlib import Path

import polars as pl
import pytest

from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import load_dataset, prepare_dataset
from pipeline.data.example_folder import TRUTH, write_example
from pipeline.errors import LabError


@pytest.mark.slow
def test_the_example_is_a_folder_of_images_with_wrong_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    n_wrong = write_example(tmp_path / "some")
    assert n_wrong == 158
    prepare_dataset("mine", DataSpec(kind="imagefolder", root="some", image_size=8))
    dataset = load_dataset("mine")
    assert (dataset.card.n_train, dataset.card.n_test, dataset.card.n_classes) == (800, 200, 10)
    true = dict(pl.read_csv(tmp_path / "some" / TRUTH).iter_rows())
    given = [dataset.card.class_names[label] for label in dataset.train_labels]
    pairs = zip(dataset.train_files or (), given, strict=True)
    assert sum(true[file] != label for file, label in pairs) == n_wrong
    with pytest.raises(LabError, match="exists; expected: a name that is free"):
        write_example(tmp_path / "some")
